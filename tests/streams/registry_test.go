package streams

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/harness"
)

// registry is a schema registry in this process, as far as readers ask one.
type registry struct {
	*httptest.Server
	mu      sync.Mutex
	schemas map[string]map[string]any // by path
	away    bool
	asked   map[string]int
}

func newRegistry(t *testing.T, user, password string) *registry {
	r := &registry{schemas: map[string]map[string]any{}, asked: map[string]int{}}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked[q.URL.Path]++
		if u, p, _ := q.BasicAuth(); u != user || p != password {
			http.Error(w, `{"error_code": 401, "message": "who are you"}`, http.StatusUnauthorized)
			return
		}
		s := r.schemas[q.URL.Path]
		switch {
		case r.away:
			http.Error(w, "bad gateway", http.StatusBadGateway)
		case s == nil:
			http.Error(w, `{"error_code": 40403, "message": "Schema not found"}`, http.StatusNotFound)
		default:
			w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
			_ = json.NewEncoder(w).Encode(s)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *registry) set(id int, kind, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.schemas[fmt.Sprintf("/schemas/ids/%d", id)] = map[string]any{"schema": text, "schemaType": kind}
}

func (r *registry) gone(away bool) { r.mu.Lock(); defer r.mu.Unlock(); r.away = away }

func (r *registry) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw}))
}

// framed is a value behind the id of its schema.
func framed(t *testing.T, id int, text string, value any) []byte {
	t.Helper()
	b, err := avro.Marshal(avro.MustParse(text), value)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), b...)
}

const (
	eventV1  = `{"type": "record", "name": "event", "fields": [{"name": "id", "type": "long"}, {"name": "k", "type": "long"}, {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}}]}`
	eventV2  = `{"type": "record", "name": "event", "fields": [{"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}}, {"name": "id", "type": "int"}, {"name": "k", "type": ["null", "long"]}, {"name": "note", "type": "string"}]}`
	eventV3  = `{"type": "record", "name": "event", "fields": [{"name": "id", "type": "long"}, {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}}, {"name": "k", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}}]}`
	eventKey = `{"type": "record", "name": "key", "fields": [{"name": "id", "type": "long"}]}`
)

func TestRegistry(t *testing.T) {
	bus, client := cluster(t, 1, "events")
	reg := newRegistry(t, "reader", "pw")
	reg.set(1, "AVRO", eventV1)
	reg.set(2, "AVRO", eventV2)
	reg.set(10, "AVRO", eventKey)
	t.Setenv("REGISTRY_PASSWORD", "pw")
	t.Setenv("WRONG_PASSWORD", "pq")
	conn := harness.Start(t, harness.Options{}).Connect(t)
	exec(t, conn, "CREATE SECRET pw WITH (backend = 'env') AS 'REGISTRY_PASSWORD'; CREATE SECRET pq WITH (backend = 'env') AS 'WRONG_PASSWORD'")
	connection := func(secret string) string {
		return fmt.Sprintf("CREATE OR REPLACE CONNECTION bus WITH (type = 'kafka', brokers = '%s', schema.registry = '%s', schema.registry.username = 'reader', schema.registry.password = SECRET %s, tls.ca = '%s')",
			bus.ListenAddrs()[0], reg.URL, secret, reg.ca())
	}
	exec(t, conn, connection("pw"))
	exec(t, conn, strings.Replace(source("s", ""), "JSON", "AVRO", 1))
	exec(t, conn, strings.Replace(strings.Replace(source("u", ""), "JSON", "AVRO", 1), "PLAIN", "UPSERT", 1))
	exec(t, conn, "CREATE ENTITY e (k bigint)")
	exec(t, conn, "CREATE FEATURE n ON e AS SELECT k, count(*) FROM u GROUP BY k WINDOW LIFETIME")
	at := time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)
	send := func(id int, value []byte) {
		t.Helper()
		r := &kgo.Record{Topic: "events", Key: framed(t, 10, eventKey, map[string]any{"id": int64(id)}), Value: value}
		if err := client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	v1 := func(id, k int) {
		send(id, framed(t, 1, eventV1, map[string]any{"id": int64(id), "k": int64(k), "ts": at}))
	}
	v1(1, 7)
	send(2, framed(t, 2, eventV2, map[string]any{"id": 2, "k": map[string]any{"long": int64(7)}, "ts": at, "note": "x"}))
	send(3, framed(t, 3, eventV3, valueOfV3(at)))
	send(4, []byte("\x00\x00\x00\x00\x01c"))
	send(5, []byte(`{"id": 5}`))
	v1(1, 8)
	messages := "SELECT messages || ' ' || rows || ' ' || dead_letters FROM tilehouse.sources WHERE name = "
	eventually(t, conn, messages+"'s'", "6 2 4")
	eventually(t, conn, "SELECT string_agg(message_offset || ' ' || code, ', ' ORDER BY number) FROM tilehouse.dead_letters WHERE source = 's'", "2 42704, 3 22P02, 4 22P02, 5 23505")
	eventually(t, conn, messages+"'u'", "6 2 3")
	eventually(t, conn, "SELECT string_agg(id || ':' || k, ' ' ORDER BY id) FROM u", "1:8 2:7")
	eventually(t, conn, "SELECT n::text FROM e WHERE k = 7", "1")
	reg.mu.Lock()
	if n := reg.asked["/schemas/ids/1"]; n > 3 {
		t.Errorf("schema 1 was asked for %d times", n)
	}
	reg.mu.Unlock()

	// While the registry is away the source waits with a reason, and loses nothing.
	reg.gone(true)
	send(6, framed(t, 4, eventV1, map[string]any{"id": int64(6), "k": int64(7), "ts": at}))
	v1(7, 7)
	eventually(t, conn, "SELECT state || ' ' || last_error FROM tilehouse.sources WHERE name = 's'", "retrying the schema registry answers with HTTP status 502")
	eventually(t, conn, messages+"'s'", "6 2 4")
	reg.set(4, "AVRO", eventV1)
	reg.gone(false)
	eventually(t, conn, messages+"'s'", "8 4 4")
	eventually(t, conn, "SELECT state FROM tilehouse.sources WHERE name = 's'", "running")

	// What has a schema by now is taken.
	reg.set(3, "AVRO", eventV3)
	exec(t, conn, "REPLAY DEAD LETTERS FROM s; REPLAY DEAD LETTERS FROM u")
	eventually(t, conn, "SELECT string_agg(message_offset || ' ' || code, ', ' ORDER BY number) FROM tilehouse.dead_letters WHERE source = 's'", "2 42804, 3 22P02, 4 22P02, 5 23505")

	// A login that the registry refuses. What reads when the message comes has it.
	exec(t, conn, "ALTER SOURCE s SUSPEND")
	exec(t, conn, connection("pq"))
	v1(8, 7)
	exec(t, conn, "ALTER SOURCE s RESUME")
	eventually(t, conn, "SELECT state || ' ' || last_error FROM tilehouse.sources WHERE name = 's'", "retrying the schema registry refuses the login (HTTP status 401)")
	exec(t, conn, connection("pw"))
	eventually(t, conn, messages+"'s'", "9 5 4")
	// An id that is not there is not asked for with every message.
	for i := range 50 {
		send(100+i, []byte("\x00\x00\x00\x09\x09x"))
	}
	eventually(t, conn, messages+"'s'", "59 5 54")
	reg.mu.Lock()
	if n := reg.asked["/schemas/ids/2313"]; n > 12 {
		t.Errorf("an id that there is not was asked for %d times", n)
	}
	reg.mu.Unlock()
}

// valueOfV3 is a value of eventV3.
func valueOfV3(at time.Time) map[string]any {
	return map[string]any{"id": int64(3), "ts": at, "k": big.NewRat(5, 4)}
}

// Schemas that the statement gives, as text or as a file.
func TestGivenSchemas(t *testing.T) {
	bus, client := cluster(t, 1, "events")
	root := t.TempDir()
	proto := `syntax = "proto3"; import "google/protobuf/timestamp.proto"; message Unused {} message Event { int64 id = 1; int64 k = 2; google.protobuf.Timestamp ts = 3; }`
	if err := os.WriteFile(filepath.Join(root, "event.proto"), []byte(proto), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := harness.Start(t, harness.Options{FileRoots: []string{root}})
	conn := srv.Connect(t)
	exec(t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", bus.ListenAddrs()[0]))
	as := func(name, encode string) string { return strings.Replace(source(name, ""), "JSON", encode, 1) }
	for _, c := range []struct{ sql, code, message, place string }{
		{as("s", "AVRO"), "42P17", "ENCODE AVRO needs a schema", "ENCODE"},
		{as("s", "AVRO (schema = '{')"), "22023", "the schema cannot be read as AVRO", "'{'"},
		{as("s", "PROTOBUF (schema = 'message')"), "22023", "the schema cannot be read as PROTOBUF", "'message'"},
		{as("s", "PROTOBUF (schema.file = 'none.proto')"), "58P01", `could not open file "none.proto"`, "'none.proto'"},
		{as("s", "PROTOBUF (schema.file = '../none.proto')"), "42501", ``, ""},
		{as("s", "PROTOBUF (schema.file = 'event.proto', schema = 'x')"), "22023", `say the same`, "'event.proto'"},
		{as("s", "PROTOBUF (schema.file = 'event.proto', message = 'Nothing')"), "22023", `the schema has no message "Nothing"`, "'event.proto'"},
		{as("s", "AVRO (schema = '\"long\"', message = 'Event')"), "22023", `unknown option "message" of ENCODE AVRO`, "message"},
		{strings.Replace(as("s", "PROTOBUF (schema.file = 'event.proto')"), "PLAIN", "DEBEZIUM", 1), "0A000", "FORMAT DEBEZIUM ENCODE PROTOBUF", "FORMAT"},
		{strings.Replace(as("s", "AVRO (schema = '\"long\"')"), "PLAIN", "UPSERT (key_encode = 'avro')", 1), "22023", `must be one of json, text`, "'avro'"},
		{strings.Replace(source("s", ""), "JSON", "XML", 1), "0A000", "ENCODE XML is not supported", "ENCODE"},
		{"CREATE CONNECTION c WITH (type = 'kafka', brokers = 'a:1', schema.registry = 'host')", "22023", "is not written http://host:port", "'host'"},
		{"CREATE CONNECTION c WITH (type = 'kafka', brokers = 'a:1', schema.registry.username = 'u')", "22023", "a login of a schema registry is", "'u'"},
	} {
		e := refusal(t, conn, c.sql)
		if c.code != "42501" && e.Code != c.code || !strings.Contains(e.Message, c.message) {
			t.Errorf("%s\n\tgives %s %s\n\twant %s %s", c.sql, e.Code, e.Message, c.code, c.message)
		}
		if c.place != "" && (e.Position == 0 || !strings.HasPrefix(c.sql[e.Position-1:], c.place)) {
			t.Errorf("%s\n\t%s points to byte %d, want %q", c.sql, e.Message, e.Position, c.place)
		}
	}
	exec(t, conn, as("p", "PROTOBUF (schema.file = 'event.proto', message = 'Event')"))
	exec(t, conn, as("a", "AVRO (schema = '"+eventV1+"')"))
	exec(t, conn, strings.Replace(as("u", "AVRO (schema = '"+eventV1+"')"), "PLAIN", "UPSERT (key_encode = 'text')", 1))
	at := time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)
	b, err := avro.Marshal(avro.MustParse(eventV1), map[string]any{"id": int64(1), "k": int64(2), "ts": at})
	if err != nil {
		t.Fatal(err)
	}
	keyed(t, client, 0, "1", string(b), "9", "\x08\x07\x10\x03\x1a\x06\x08\xc0\x9a\xec\xb2\x06")
	eventually(t, conn, "SELECT id || ' ' || k || ' ' || (ts = '2024-06-01 12:00:00Z') FROM a", "1 2 true")
	eventually(t, conn, "SELECT id || ' ' || k || ' ' || (ts = '2024-06-01 12:00:00Z') FROM p", "7 3 true")
	eventually(t, conn, "SELECT string_agg(source || ' ' || code, ', ' ORDER BY source, number) FROM tilehouse.dead_letters", "a 22P02, p 22P02, u 22P02")
	// The file's text is kept: a restart needs no file.
	if err := os.Remove(filepath.Join(root, "event.proto")); err != nil {
		t.Fatal(err)
	}
	srv.Stop()
	conn = harness.Start(t, harness.Options{Dir: srv.Dir}).Connect(t)
	keyed(t, client, 0, "8", "\x08\x08\x10\x03\x1a\x06\x08\xc0\x9a\xec\xb2\x06")
	eventually(t, conn, "SELECT count(*)::text FROM p", "2")
}
