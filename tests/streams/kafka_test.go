package streams

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/kafka"
)

// realKafka is a broker of its own with a topic. The tests that need one are slow ones: TILEHOUSE_SOAK or TILEHOUSE_KAFKA asks for them.
func realKafka(t *testing.T, o kafka.Options, partitions int32, topic string) (*kafka.Broker, *kgo.Client) {
	t.Helper()
	b := kafka.Start(t, o)
	opts := []kgo.Opt{kgo.SeedBrokers(b.Addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.MetadataMinAge(100 * time.Millisecond)}
	if o.User != "" {
		opts = append(opts, kgo.SASL(scram.Auth{User: o.User, Pass: o.Password}.AsSha256Mechanism()))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := kadm.NewClient(client).CreateTopic(context.Background(), partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	return b, client
}

func skipFast(t *testing.T) {
	t.Helper()
	if !soak() && !asked("TILEHOUSE_KAFKA") {
		t.Skip("a slow test: make soak, or TILEHOUSE_KAFKA=1, runs it against a real Kafka")
	}
}

// TestKafkaKilledWhileReading is TestKilledWhileReading with a real Kafka, which is killed and started again, too.
func TestKafkaKilledWhileReading(t *testing.T) {
	skipFast(t)
	b, client := realKafka(t, kafka.Options{}, 4, "events")
	kills, messages := 6, 3000
	if soak() {
		kills, messages = 60, 40_000
	}
	killed(t, b.Addr, client, kills, messages, func(i int) {
		if i%3 == 1 {
			b.Kill()
			b.Restart(t)
		}
	})
}

// A login that Kafka refuses is told as one.
func TestKafkaLogin(t *testing.T) {
	skipFast(t)
	b, client := realKafka(t, kafka.Options{User: "features", Password: "hunter2"}, 1, "events")
	s := servertest.Start(t, t.TempDir(), servertest.Options{Env: []string{"BUS_PASSWORD=hunter2", "WRONG=hunter3"}})
	conn := dial(t, s.DSN())
	exec(t, conn, "CREATE SECRET good_one WITH (backend = 'env') AS 'BUS_PASSWORD'; CREATE SECRET bad_one WITH (backend = 'env') AS 'WRONG'")
	for _, name := range []string{"good", "bad"} {
		exec(t, conn, fmt.Sprintf("CREATE CONNECTION %s WITH (type = 'kafka', brokers = '%s', sasl.mechanism = 'SCRAM-SHA-256', sasl.username = 'features', sasl.password = SECRET %[1]s_one)", name, b.Addr))
	}
	if e := refusal(t, conn, strings.Replace(source("s", ""), "'bus'", "'bad'", 1)); e.Code != "28000" {
		t.Errorf("a wrong password gives %s %s", e.Code, e.Message)
	}
	exec(t, conn, strings.Replace(source("s", ""), "'bus'", "'good'", 1))
	produce(t, client, "events", 0, events(0, 3)...)
	eventually(t, conn, "SELECT count(*)::text FROM s", "3")
}
