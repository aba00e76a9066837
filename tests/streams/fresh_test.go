package streams

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/kafka"
)

// TestFreshness measures how long after it was given to the producer a message counts in a lookup, while others come at a rate. It is a
// measurement: run by TILEHOUSE_FRESHNESS, against a real Kafka with TILEHOUSE_KAFKA, else against kfake.
func TestFreshness(t *testing.T) {
	if !asked("TILEHOUSE_FRESHNESS") {
		t.Skip("a measurement: TILEHOUSE_FRESHNESS=1 runs it, TILEHOUSE_KAFKA=1 with a real Kafka")
	}
	const rate, probes = 1000, 400
	var addr string
	var client *kgo.Client
	if asked("TILEHOUSE_KAFKA") {
		var b *kafka.Broker
		b, client = realKafka(t, kafka.Options{}, 8, "events")
		addr = b.Addr
	} else {
		bus, c := cluster(t, 8, "events")
		addr, client = bus.ListenAddrs()[0], c
	}
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", addr))
	exec(t, conn, source("s", ""))
	exec(t, conn, "CREATE ENTITY e (k bigint)")
	exec(t, conn, "CREATE FEATURE n ON e AS SELECT k, count(*) FROM s GROUP BY k WINDOW 1 HOUR")
	message := func(id, k int) *kgo.Record {
		return &kgo.Record{Topic: "events", Partition: int32(id % 8), Value: fmt.Appendf(nil, `{"id": %d, "k": %d, "ts": "%s"}`, id, k, time.Now().UTC().Format(time.RFC3339Nano))}
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan int)
	go func() { // the load
		n := 0
		began := time.Now()
		for ctx.Err() == nil {
			for ; n < int(time.Since(began).Seconds()*rate); n++ {
				client.Produce(ctx, message(1_000_000+n, n%1000), nil)
			}
			time.Sleep(time.Millisecond)
		}
		done <- n
	}()
	time.Sleep(2 * time.Second) // all is warm
	began := time.Now()
	var took []time.Duration
	for i := range probes {
		r := message(i, 10_000+i)
		sent := time.Now()
		client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
		for n := int64(0); n == 0; {
			if err := conn.QueryRow(ctx, "SELECT n FROM e WHERE k = $1", 10_000+i).Scan(&n); err != nil {
				t.Fatal(err)
			}
			if time.Since(sent) > 30*time.Second {
				t.Fatalf("message %d does not count", i)
			}
		}
		took = append(took, time.Since(sent))
		time.Sleep(5 * time.Millisecond)
	}
	seconds := time.Since(began).Seconds() + 2
	stop()
	n := <-done
	slices.Sort(took)
	at := func(p float64) time.Duration { return took[int(p*float64(len(took)-1))].Round(10 * time.Microsecond) }
	fmt.Printf("soak: freshness at %.0f messages/s, %d probes: p50 %v, p90 %v, p99 %v, most %v\n", float64(n)/seconds, probes, at(0.5), at(0.9), at(0.99), at(1))
}
