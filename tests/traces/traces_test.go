package traces

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/tilehouse/tilehouse/tests/harness"
)

// world is a server whose spans are kept, and a session.
type world struct {
	t     *testing.T
	spans *tracetest.SpanRecorder
	conn  *pgx.Conn
}

func start(t *testing.T, literals bool) *world {
	w := &world{t: t, spans: tracetest.NewSpanRecorder()}
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(w.spans))
	w.conn = harness.Start(t, harness.Options{Tracer: provider.Tracer("test"), Literals: literals}).Connect(t)
	return w
}

func (w *world) exec(sql string) {
	w.t.Helper()
	if _, err := w.conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// since are the spans that ended since a number of them had.
func (w *world) since(n int) []sdk.ReadOnlySpan { return w.spans.Ended()[n:] }

// find waits for a span of a name that has an attribute.
func (w *world) find(since int, name, attribute, value string) sdk.ReadOnlySpan {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, s := range w.since(since) {
			if s.Name() == name && (attribute == "" || is(s, attribute) == value) {
				return s
			}
		}
	}
	var have []string
	for _, s := range w.since(since) {
		have = append(have, fmt.Sprint(s.Name(), s.Attributes()))
	}
	w.t.Fatalf("no span %s with %s = %q among\n%s", name, attribute, value, strings.Join(have, "\n"))
	return nil
}

// is the text of a span's attribute; "": it lacks it.
func is(s sdk.ReadOnlySpan, attribute string) string {
	for _, a := range s.Attributes() {
		if string(a.Key) == attribute {
			return a.Value.String()
		}
	}
	return ""
}

func check(t *testing.T, s sdk.ReadOnlySpan, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if got := is(s, k); got != v {
			t.Errorf("span %s has %s = %q, want %q", s.Name(), k, got, v)
		}
	}
}

func TestStatements(t *testing.T) {
	w := start(t, false)
	w.exec("CREATE TABLE t (id bigint PRIMARY KEY, k bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts'); CREATE ENTITY e (k bigint)")
	n := len(w.spans.Ended())
	w.exec("INSERT INTO t VALUES (1, 7, '2024-05-01 12:00:00Z'), (2, 7, '2024-05-01 12:00:00Z')")
	insert := w.find(n, "INSERT", "", "")
	check(t, insert, map[string]string{"db.system.name": "postgresql", "db.system": "postgresql", "db.namespace": "tilehouse", "db.user": "tilehouse", "db.operation.name": "INSERT", "tilehouse.rows": "2",
		"db.query.text": "INSERT INTO t VALUES (?, ?, ?), (?, ?, ?)", "client.address": "127.0.0.1"})
	if insert.SpanKind() != trace.SpanKindServer || insert.Parent().IsValid() {
		t.Errorf("the span is of kind %v, with parent %v", insert.SpanKind(), insert.Parent())
	}
	for _, name := range []string{"bind", "run"} {
		if s := w.find(n, name, "", ""); s.Parent().SpanID() != insert.SpanContext().SpanID() {
			t.Errorf("span %s is not below its statement's", name)
		}
	}

	// A build is below its statement.
	n = len(w.spans.Ended())
	w.exec("CREATE FEATURE n ON e AS SELECT k, count(*) FROM t GROUP BY k WINDOW 7 DAYS")
	create, build := w.find(n, "CREATE", "", ""), w.find(n, "build", "tilehouse.object", "n")
	check(t, build, map[string]string{"tilehouse.rows": "2", "tilehouse.keys": "1", "tilehouse.stage": "done"})
	if build.SpanContext().TraceID() != create.SpanContext().TraceID() || len(build.Events()) == 0 {
		t.Errorf("the build is of trace %v with %d stages, its statement of %v", build.SpanContext().TraceID(), len(build.Events()), create.SpanContext().TraceID())
	}

	// The extended protocol, with the caller's trace in a comment.
	n = len(w.spans.Ended())
	const parent = "4bf92f3577b34da6a3ce929d0e0e4736"
	rows, err := w.conn.Query(context.Background(), "SELECT n FROM e WHERE k = ANY($1) /*application='shop',traceparent='00-"+parent+"-00f067aa0ba902b7-01',tracestate='congo%3Dt61rcWkgMzE'*/", []int64{7, 8, 9})
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	lookup := w.find(n, "SELECT", "", "")
	check(t, lookup, map[string]string{"db.response.returned_rows": "3", "db.query.text": "SELECT n FROM e WHERE k = ANY($1)"})
	if got := lookup.SpanContext(); got.TraceID().String() != parent || lookup.Parent().SpanID().String() != "00f067aa0ba902b7" || got.TraceState().String() != "congo=t61rcWkgMzE" {
		t.Errorf("the lookup is of trace %v below %v, with state %q", got.TraceID(), lookup.Parent().SpanID(), got.TraceState())
	}
	if s := w.find(n, "prepare", "", ""); s.SpanContext().TraceID().String() != parent {
		t.Errorf("the preparation is of trace %v", s.SpanContext().TraceID())
	}

	// An error shows its code, and no value.
	n = len(w.spans.Ended())
	if _, err := w.conn.Exec(context.Background(), "INSERT INTO t VALUES (1, 8, '2024-05-01 12:00:00Z')", pgx.QueryExecModeSimpleProtocol); err == nil {
		t.Fatal("a row of a key that is there is taken")
	}
	failed := w.find(n, "query", "db.response.status_code", "23505")
	if s := failed.Status(); s.Description != "23505" {
		t.Errorf("the status is %v", s)
	}
	for _, s := range w.spans.Ended() {
		if text := fmt.Sprint(s.Name(), s.Attributes(), s.Events(), s.Status()); strings.Contains(text, "2024-05") {
			t.Errorf("a span shows a value: %s", text)
		}
	}
}

func TestLiterals(t *testing.T) {
	w := start(t, true)
	n := len(w.spans.Ended())
	w.exec("SELECT 'shown'; SELECT 2")
	w.find(n, "SELECT", "db.query.text", "SELECT 'shown'")
	w.find(n, "SELECT", "db.query.text", "SELECT 2")
}

func TestStreams(t *testing.T) {
	bus, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(bus.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	w := start(t, false)
	w.exec(fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", bus.ListenAddrs()[0]))
	w.exec("CREATE SOURCE s (id bigint, k bigint, ts timestamptz, PRIMARY KEY (id), WATERMARK FOR ts AS ts) WITH (connector = 'kafka', connection = 'bus', topic = 'events') FORMAT PLAIN ENCODE JSON")
	w.exec("CREATE ENTITY e (k bigint); CREATE FEATURE n ON e AS SELECT k, count(*) FROM s GROUP BY k WINDOW LIFETIME")
	n := len(w.spans.Ended())
	if err := client.ProduceSync(context.Background(), &kgo.Record{Topic: "events", Partition: 1, Value: []byte(`{"id": 1, "k": 4711, "ts": "2024-06-01 00:00Z"}`)}, &kgo.Record{Topic: "events", Partition: 1, Value: []byte("{poison")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	taken, dead, rows := 0, 0, 0
	for end := time.Now().Add(20 * time.Second); taken < 2 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		taken, dead, rows = 0, 0, 0
		for _, s := range w.since(n) {
			if s.Name() == "commit s" {
				count := func(attribute string) (n int) { fmt.Sscan(is(s, attribute), &n); return n }
				taken, dead, rows = taken+count("messaging.batch.message_count"), dead+count("tilehouse.dead_letters"), rows+count("tilehouse.rows")
			}
		}
	}
	if taken != 2 || dead != 1 || rows != 1 {
		t.Errorf("transactions of %d messages, %d rows, %d dead letters", taken, rows, dead)
	}
	s := w.find(n, "commit s", "", "")
	check(t, s, map[string]string{"messaging.system": "kafka", "messaging.destination.name": "events", "tilehouse.source": "s"})
	if p := is(s, "tilehouse.partitions"); !strings.HasPrefix(p, `["1:0-`) {
		t.Errorf("partitions are %s", p)
	}
	if s.SpanKind() != trace.SpanKindConsumer {
		t.Errorf("the span is of kind %v", s.SpanKind())
	}
	for _, s := range w.spans.Ended() {
		if text := fmt.Sprint(s.Attributes(), s.Events(), s.Status()); strings.Contains(text, "4711") || strings.Contains(text, "poison") {
			t.Errorf("a span shows a value: %s", text)
		}
	}
}
