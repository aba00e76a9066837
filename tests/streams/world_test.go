package streams

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// cluster is a broker in this process with a topic, and a client of it.
func cluster(t *testing.T, partitions int32, topics ...string) (*kfake.Cluster, *kgo.Client) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return c, client
}

func produce(t *testing.T, client *kgo.Client, topic string, partition int32, values ...string) {
	t.Helper()
	var rs []*kgo.Record
	for _, v := range values {
		rs = append(rs, &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v), Key: []byte("k"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("x")}}})
	}
	if err := client.ProduceSync(context.Background(), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// stillFor is how long a value that is waited for may stay what it is, and waitsMost how long it may change.
const (
	stillFor  = 60 * time.Second
	waitsMost = 10 * time.Minute
)

// eventually waits until a query's one value is what is wanted, as long as it moves.
func eventually(t *testing.T, conn *pgx.Conn, sql, want string) {
	t.Helper()
	got := ""
	began := time.Now()
	for moved := began; time.Since(moved) < stillFor && time.Since(began) < waitsMost; time.Sleep(10 * time.Millisecond) {
		before := got
		if rows := texts(t, conn, sql); len(rows) == 1 {
			got = rows[0]
		} else {
			got = fmt.Sprintf("%d rows", len(rows))
		}
		if got == want {
			return
		}
		if got != before {
			moved = time.Now()
		}
	}
	var state, reason any
	_ = conn.QueryRow(context.Background(), "SELECT state, last_error FROM tilehouse.sources WHERE state IS NOT NULL LIMIT 1").Scan(&state, &reason)
	t.Fatalf("%s is %s, not %s; the source is %v: %v", sql, got, want, state, reason)
}

func now() string { return time.Now().UTC().Add(-time.Second).Format(time.RFC3339Nano) }

// produceRaw produces one message; nil is NULL.
func produceRaw(t *testing.T, client *kgo.Client, partition int32, key, value []byte) {
	t.Helper()
	if err := client.ProduceSync(context.Background(), &kgo.Record{Topic: "events", Partition: partition, Key: key, Value: value}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}
