package dual

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// topic is the stream side as messages, versions of rows and their ends, on a broker in this process.
type topic struct {
	brokers string
	client  *kgo.Client
	sent    int
}

func newTopic(t *testing.T) *topic {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "live"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &topic{brokers: c.ListenAddrs()[0], client: client}
}

func (p *topic) define(w *world) {
	w.exec(fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", p.brokers))
	w.exec(`CREATE SOURCE live (ts timestamptz, shop text, id bigint, k bigint, amount numeric(12,2), PRIMARY KEY (id), WATERMARK FOR ts AS ts - INTERVAL '1 hour')
		WITH (connector = 'kafka', connection = 'bus', topic = 'live') FORMAT UPSERT ENCODE JSON`)
}

func (p *topic) produce(w *world, id int64, value []byte) {
	w.t.Helper()
	p.sent++
	w.note("message %d: %s", id, value)
	if err := p.client.ProduceSync(context.Background(), &kgo.Record{Topic: "live", Partition: int32(id % 3), Key: fmt.Appendf(nil, `{"id": %d}`, id), Value: value}).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

func (p *topic) put(w *world, r row) {
	b, err := json.Marshal(map[string]any{"id": r.id, "k": r.k, "amount": json.RawMessage(money(r.cents)), "shop": r.shop, "ts": stamp(r.ts)})
	if err != nil {
		panic(err)
	}
	p.produce(w, r.id, b)
}

func (p *topic) end(w *world, id int64) { p.produce(w, id, nil) }

// wait waits until the server has taken all messages.
func (p *topic) wait(w *world) {
	w.t.Helper()
	var got [][]string
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		got = w.read("SELECT messages, dead_letters, state, last_error FROM tilehouse.sources WHERE name = 'live'")
		if n, _ := strconv.Atoi(got[0][0]); n == p.sent && got[0][1] == "0" {
			return
		}
	}
	w.fatal("of %d messages the source has %v", p.sent, got)
}
