package streams

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/kafka"
)

// freshProbes is how many messages are timed at each rate, freshPoll how long a probe waits between two lookups: without a wait the
// lookups of the measurement take a core of the server's.
const (
	freshProbes = 400
	freshPoll   = time.Millisecond
)

// TestFreshness measures how long after it was given to the producer a message counts in a lookup, while others come at rates that
// rise until the reading falls behind. It is a measurement: run by TILEHOUSE_FRESHNESS, against a real Kafka with TILEHOUSE_KAFKA, else
// against kfake. With TILEHOUSE_GROUP two servers share the reading, and one of them is asked.
func TestFreshness(t *testing.T) {
	if !asked("TILEHOUSE_FRESHNESS") {
		t.Skip("a measurement: TILEHOUSE_FRESHNESS=1 runs it, TILEHOUSE_KAFKA=1 with a real Kafka")
	}
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
	o, more, servers := servertest.Options{}, "", 1
	if asked("TILEHOUSE_GROUP") {
		o.Args, more, servers = []string{"--archive-root", t.TempDir()}, ", archive = 'events'", 2
	}
	var conn *pgx.Conn
	for range servers {
		conn = dial(t, servertest.Start(t, t.TempDir(), o).DSN())
		exec(t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", addr))
		exec(t, conn, source("s", more))
		exec(t, conn, "CREATE ENTITY e (k bigint)")
		exec(t, conn, "CREATE FEATURE n ON e AS SELECT k, count(*) FROM s GROUP BY k WINDOW 1 HOUR")
	}
	f := &freshness{t: t, client: client, conn: conn}
	for _, rate := range []int{1_000, 10_000, 20_000, 30_000, 40_000} {
		if !f.at(rate) {
			return
		}
	}
}

// freshness is one measurement against one server.
type freshness struct {
	t      *testing.T
	client *kgo.Client
	conn   *pgx.Conn
	sent   int // messages of the load so far
	probed int
}

func (f *freshness) message(id, k int) *kgo.Record {
	return &kgo.Record{Topic: "events", Partition: int32(id % 8), Value: fmt.Appendf(nil, `{"id": %d, "k": %d, "ts": "%s"}`, id, k, time.Now().UTC().Format(time.RFC3339Nano))}
}

// at measures at a rate in messages per second, and reports whether producer and server kept up with it.
func (f *freshness) at(rate int) bool {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var n atomic.Int64
	done := make(chan struct{})
	began := time.Now()
	go func() { // the load
		defer close(done)
		for ctx.Err() == nil {
			for int(n.Load()) < int(time.Since(began).Seconds()*float64(rate)) && ctx.Err() == nil {
				f.client.Produce(ctx, f.message(1_000_000_000+f.sent+int(n.Load()), int(n.Load())%1000), nil)
				n.Add(1)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	time.Sleep(2 * time.Second) // all is warm
	var took []time.Duration
	for range freshProbes {
		f.probed++
		took = append(took, f.probe(ctx, f.probed))
		time.Sleep(5 * time.Millisecond)
	}
	seconds := time.Since(began).Seconds()
	reached := float64(n.Load()) / seconds
	stop()
	<-done
	f.sent += int(n.Load())
	slices.Sort(took)
	q := func(p float64) time.Duration { return took[int(p*float64(len(took)-1))].Round(10 * time.Microsecond) }
	fmt.Printf("soak: freshness at %.0f messages/s, %d probes: p50 %v, p90 %v, p99 %v, most %v\n", reached, len(took), q(0.5), q(0.9), q(0.99), q(1))
	return reached > 0.97*float64(rate) && q(0.5) < time.Second
}

// probe produces a message of a new key and waits until a lookup counts it.
func (f *freshness) probe(ctx context.Context, i int) time.Duration {
	k := 10_000 + i
	r := f.message(i, k)
	sent := time.Now()
	f.client.Produce(ctx, r, func(_ *kgo.Record, err error) {
		if err != nil {
			f.t.Error(err)
		}
	})
	for {
		var n int64
		if err := f.conn.QueryRow(ctx, "SELECT n FROM e WHERE k = $1", k).Scan(&n); err != nil {
			f.t.Fatal(err)
		}
		if n > 0 {
			return time.Since(sent)
		}
		if time.Since(sent) > 30*time.Second {
			f.t.Fatalf("message %d does not count", i)
		}
		time.Sleep(freshPoll)
	}
}
