package streams

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/message"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/kafka"
)

// throughputColumns are those of the measured topic; their types are the message decoder's, too.
var throughputColumns = []schema.Column{
	{Name: "id", Type: vector.T(vector.Int64)}, {Name: "customer_id", Type: vector.T(vector.Int64)}, {Name: "merchant_id", Type: vector.T(vector.Int64)},
	{Name: "amount", Type: vector.DecimalOf(12, 2)}, {Name: "status", Type: vector.T(vector.Text)}, {Name: "ts", Type: vector.T(vector.TimestampTZ)},
}

const throughputSource = `CREATE SOURCE s (id bigint, customer_id bigint, merchant_id bigint, amount numeric(12,2), status text, ts timestamptz, PRIMARY KEY (id), WATERMARK FOR ts AS ts - INTERVAL '10 minutes')
	WITH (connector = 'kafka', connection = 'bus', topic = 'events') FORMAT PLAIN ENCODE JSON`

// throughputFeatures are ten features of two entities.
var throughputFeatures = []string{
	"CREATE ENTITY customer (customer_id bigint)", "CREATE ENTITY merchant (merchant_id bigint)",
	"CREATE FEATURE c_n ON customer AS SELECT customer_id, count(*) FROM s GROUP BY customer_id WINDOW 1 HOUR",
	"CREATE FEATURE c_total ON customer AS SELECT customer_id, sum(amount) FROM s GROUP BY customer_id WINDOW 7 DAYS",
	"CREATE FEATURE c_mean ON customer AS SELECT customer_id, avg(amount) FROM s GROUP BY customer_id WINDOW 30 DAYS",
	"CREATE FEATURE c_most ON customer AS SELECT customer_id, max(amount) FROM s GROUP BY customer_id WINDOW 1 DAYS",
	"CREATE FEATURE c_declined ON customer AS SELECT customer_id, count(*) FILTER (WHERE status = 'declined') FROM s GROUP BY customer_id WINDOW 7 DAYS",
	"CREATE FEATURE m_n ON merchant AS SELECT merchant_id, count(*) FROM s GROUP BY merchant_id WINDOW 1 HOUR",
	"CREATE FEATURE m_total ON merchant AS SELECT merchant_id, sum(amount) FROM s GROUP BY merchant_id WINDOW 7 DAYS",
	"CREATE FEATURE m_spread ON merchant AS SELECT merchant_id, stddev(amount) FROM s GROUP BY merchant_id WINDOW 30 DAYS",
	"CREATE FEATURE m_least ON merchant AS SELECT merchant_id, min(amount) FROM s GROUP BY merchant_id WINDOW 1 DAYS",
	"CREATE FEATURE m_last ON merchant AS SELECT merchant_id, last(status) FROM s GROUP BY merchant_id WINDOW 7 DAYS",
}

// TestThroughput measures how many messages a second are read into ten features of two entities, beside a bare consumer that decodes the
// same messages into rows and drops them, in turns. It is a measurement against a real Kafka: TILEHOUSE_THROUGHPUT is how many
// messages.
func TestThroughput(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("TILEHOUSE_THROUGHPUT"))
	if err != nil {
		t.Skip("a measurement: TILEHOUSE_THROUGHPUT=10000000 runs it")
	}
	b, client := realKafka(t, kafka.Options{}, 8, "events")
	began := time.Now()
	fill(t, client, n)
	t.Logf("%d messages produced in %v", n, time.Since(began).Round(time.Second))
	var bare, plain, ours []float64
	for range 3 {
		bare = append(bare, bareConsumer(t, b.Addr, n, rowDecoder(t)))
		plain = append(plain, bareConsumer(t, b.Addr, n, structDecoder(t)))
		ours = append(ours, ingestAll(t, b.Addr, n))
	}
	slices.Sort(bare)
	slices.Sort(plain)
	slices.Sort(ours)
	fmt.Printf("soak: throughput of %d messages into ten features: %.0f messages/s (%.0f-%.0f), a bare consumer %.0f (%.0f-%.0f): %.2f of it\n",
		n, ours[1], ours[0], ours[2], bare[1], bare[0], bare[2], ours[1]/bare[1])
	fmt.Printf("soak: one that decodes by encoding/json into a struct: %.0f messages/s (%.0f-%.0f): %.2f of it\n", plain[1], plain[0], plain[2], ours[1]/plain[1])
}

// fill produces n messages of 100,000 customers and 5,000 merchants over the last two days.
func fill(t *testing.T, client *kgo.Client, n int) {
	status := []string{"ok", "ok", "ok", "declined"}
	from := time.Now().Add(-48 * time.Hour)
	step := 48 * time.Hour / time.Duration(n)
	for i := range n {
		at := from.Add(time.Duration(i) * step).UTC()
		v := fmt.Appendf(nil, `{"id": %d, "customer_id": %d, "merchant_id": %d, "amount": %d.%02d, "status": "%s", "ts": "%s"}`,
			i, i*7919%100_000, i*104_729%5_000, i%997, i%100, status[i%4], at.Format(time.RFC3339Nano))
		client.Produce(context.Background(), &kgo.Record{Topic: "events", Partition: int32(i % 8), Value: v}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := client.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// rowDecoder decodes messages into rows by the server's decoder, and drops them.
func rowDecoder(t *testing.T) func(rs []*kgo.Record) {
	types := make([]vector.Type, len(throughputColumns))
	for i, c := range throughputColumns {
		types[i] = c.Type
	}
	decoder := message.NewJSON(throughputColumns, message.JSONOptions{})
	return func(rs []*kgo.Record) {
		rows := vector.NewChunk(types, len(rs))
		for _, r := range rs {
			if err := decoder.Append(rows, r.Value); err != nil {
				t.Fatal(err)
			}
			rows.N++
		}
	}
}

// structDecoder decodes messages by encoding/json, as a consumer of one's own would.
func structDecoder(t *testing.T) func(rs []*kgo.Record) {
	return func(rs []*kgo.Record) {
		for _, r := range rs {
			var m struct {
				ID       int64       `json:"id"`
				Customer int64       `json:"customer_id"`
				Merchant int64       `json:"merchant_id"`
				Amount   json.Number `json:"amount"`
				Status   string      `json:"status"`
				TS       time.Time   `json:"ts"`
			}
			if err := json.Unmarshal(r.Value, &m); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// bareConsumer reads the topic once and has each message decoded; it gives messages per second.
func bareConsumer(t *testing.T, addr string, n int, decode func(rs []*kgo.Record)) float64 {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	began := time.Now()
	for seen := 0; seen < n; {
		fetches := client.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		rs := fetches.Records()
		decode(rs)
		seen += len(rs)
	}
	return float64(n) / time.Since(began).Seconds()
}

// ingestAll reads the topic into a new server with its features, which are there before the reading begins: each that is made later is built
// of what was read until then, and that is another measurement. It gives messages per second from the beginning to the last one.
func ingestAll(t *testing.T, addr string, n int) float64 {
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := dial(t, s.DSN())
	defer func() { _ = conn.Close(context.Background()) }()
	exec(t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", addr))
	exec(t, conn, throughputSource)
	exec(t, conn, "ALTER SOURCE s SUSPEND")
	for _, sql := range throughputFeatures {
		exec(t, conn, sql)
	}
	before := rowsOf(t, conn) // what was read until it was suspended
	began := time.Now()
	exec(t, conn, "ALTER SOURCE s RESUME")
	for last := int64(0); last < int64(n); time.Sleep(20 * time.Millisecond) {
		last = rowsOf(t, conn)
	}
	rate := float64(int64(n)-before) / time.Since(began).Seconds()
	t.Logf("%.0f messages/s, at most %d kB resident", rate, s.PeakMemory(t)>>10)
	s.Terminate(time.Minute)
	return rate
}

func rowsOf(t *testing.T, conn *pgx.Conn) int64 {
	var rows int64
	if err := conn.QueryRow(context.Background(), "SELECT rows FROM tilehouse.sources WHERE name = 's'").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	return rows
}
