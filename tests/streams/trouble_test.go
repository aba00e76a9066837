package streams

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tilehouse/tilehouse/tests/harness"
)

const columns = "(id bigint, k bigint, ts timestamptz, PRIMARY KEY (id), WATERMARK FOR ts AS ts - INTERVAL '1 minute')"

// start is a server with a connection called bus, and a session.
func start(t *testing.T, bus *kfake.Cluster) *pgx.Conn {
	t.Helper()
	return startAt(t, bus.ListenAddrs()[0])
}

func startAt(t *testing.T, broker string) *pgx.Conn {
	t.Helper()
	conn := harness.Start(t, harness.Options{}).Connect(t)
	exec(t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", broker))
	return conn
}

func source(name, more string) string {
	return fmt.Sprintf("CREATE SOURCE %s %s WITH (connector = 'kafka', connection = 'bus', topic = 'events'%s) FORMAT PLAIN ENCODE JSON", name, columns, more)
}

func event(id int) string { return fmt.Sprintf(`{"id": %d, "k": %d, "ts": "%s"}`, id, id%3, now()) }

func events(from, to int) (out []string) {
	for id := from; id < to; id++ {
		out = append(out, event(id))
	}
	return out
}

func refusal(t *testing.T, conn *pgx.Conn, sql string) *pgconn.PgError {
	t.Helper()
	_, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol)
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		t.Fatalf("%s gives %v", sql, err)
	}
	return e
}

func TestRefusals(t *testing.T) {
	bus, _ := cluster(t, 2, "events")
	conn := start(t, bus)
	exec(t, conn, "CREATE CONNECTION nowhere WITH (type = 'kafka', brokers = '127.0.0.1:1')")
	with := func(w string) string {
		return "CREATE SOURCE s " + columns + " WITH (" + w + ") FORMAT PLAIN ENCODE JSON"
	}
	for _, c := range []struct{ sql, code, message, place string }{
		{with("connector = 'kafka', topic = 'events'"), "22023", `source "s" needs a connection`, "s (id"},
		{with("connector = 'kafka', connection = 'bus'"), "22023", `source "s" needs a topic`, "s (id"},
		{with("connector = 'kafka', connection = 'none', topic = 'events'"), "42704", `connection "none" does not exist`, "'none'"},
		{with("connector = 'kafka', connection = 'bus', topic = 'none'"), "42704", `topic "none" does not exist on connection "bus"`, "'none'"},
		{with("connector = 'kafka', connection = 'nowhere', topic = 'events'"), "08001", `connection "nowhere": the brokers do not answer`, "'nowhere'"},
		{with("connector = 'kafka', connection = 'bus', topic = 'events', group = 'x'"), "22023", `unknown option "group" of CREATE SOURCE`, "group"},
		{with("connector = 'kafka', connection = 'bus', topic = 'events', start = 'soon'"), "22007", `invalid input syntax`, "'soon'"},
		{with("connector = 'kafka', connection = 'bus', topic = 'events', start = '0:5, 0:6'"), "22023", `option "start": partition 0 is given twice`, "'0:5, 0:6'"},
		{with("connector = 'kafka', connection = 'bus', topic = 'events', start = '7:0'"), "22023", `the topic has no partition 7`, "'events'"},
		{with("connector = 'kafka', connection = 'bus', topic = 'events', idle_timeout = '10 ms'"), "22023", `option "idle_timeout" must be at least 1 second`, "'10 ms'"},
		{with("connector = 'nats', connection = 'bus'"), "0A000", `connector "nats" is not supported`, "'nats'"},
		{strings.Replace(source("s", ""), "FORMAT PLAIN ENCODE JSON", "", 1), "42P17", `source "s" does not say how its messages are read`, "s (id"},
		{strings.Replace(source("s", ""), "PLAIN", "MAXWELL", 1), "0A000", `FORMAT MAXWELL is not supported`, "FORMAT"},
		{strings.Replace(source("s", ""), "PLAIN", "UPSERT (key_encode = 'xml')", 1), "22023", `option "key_encode" must be one of json, text`, "'xml'"},
		{strings.Replace(source("s", ""), "PLAIN", "DEBEZIUM (key_encode = 'text')", 1), "22023", `unknown option "key_encode" of FORMAT DEBEZIUM`, "key_encode"},
		{strings.Replace(strings.Replace(source("s", ""), "PLAIN", "UPSERT (key_encode = 'text')", 1), "(id)", "(id, k)", 1), "42P17", `key_encode = 'text' is for a primary key of one column: that of source "s" has 2`, "'text'"},
		{strings.Replace(strings.Replace(source("s", ""), "PLAIN", "DEBEZIUM", 1), "PRIMARY KEY (id), ", "", 1), "42P17", `source "s" has no primary key, by which FORMAT DEBEZIUM knows its rows`, "FORMAT"},
		{source("s", "") + " (timestamp_unit = 'minutes')", "22023", `option "timestamp_unit" must be one of s, ms, us, ns`, "'minutes'"},
		{source("s", "") + " (schema = 'x')", "22023", `unknown option "schema" of ENCODE JSON`, "schema"},
		{"CREATE SOURCE s WITH (connector = 'kafka', connection = 'bus', topic = 'events') FORMAT PLAIN ENCODE JSON", "42P17", "a Kafka source declares its columns", "s WITH"},
		{"CREATE SOURCE s (id bigint, ts timestamptz) WITH (connector = 'kafka', connection = 'bus', topic = 'events') FORMAT PLAIN ENCODE JSON", "42P17", `source "s" has no event time`, "s (id"},
		{"CREATE SOURCE s (id bigint, ts bigint) WITH (connector = 'kafka', connection = 'bus', topic = 'events', event_time = 'ts') FORMAT PLAIN ENCODE JSON", "42804", `event time "ts" of relation "s" must be timestamptz`, "'ts'"},
		{"CREATE SOURCE s (id bigint DEFAULT 1, ts timestamptz) WITH (connector = 'kafka', connection = 'bus', topic = 'events', event_time = 'ts') FORMAT PLAIN ENCODE JSON", "0A000", "cannot have a DEFAULT", "id"},
		{"CREATE SOURCE s (__offset bigint, ts timestamptz) WITH (connector = 'kafka', connection = 'bus', topic = 'events', event_time = 'ts') FORMAT PLAIN ENCODE JSON", "42939", `column name "__offset" is reserved`, "__offset"},
		{"CREATE CONNECTION c WITH (brokers = 'a:1')", "22023", `connection "c" needs a type`, "c WITH"},
		{"CREATE CONNECTION c WITH (type = 'kafka')", "22023", `connection "c" needs brokers`, "c WITH"},
		{"CREATE CONNECTION c WITH (type = 'pulsar', brokers = 'a:1')", "22023", `option "type" must be one of cassandra, kafka, postgres, not "pulsar"`, "'pulsar'"},
		{"CREATE CONNECTION c WITH (type = 'kafka', brokers = 'a')", "22023", `broker "a" is not written host:port`, "'a'"},
		{"CREATE CONNECTION c WITH (type = 'kafka', brokers = 'a:1', colour = 'red')", "22023", `unknown option "colour" of CREATE CONNECTION`, "colour"},
		{"CREATE CONNECTION c WITH (type = 'kafka', brokers = 'a:1', sasl.mechanism = 'PLAIN', sasl.username = 'u', sasl.password = 'pw')", "22023", `option "sasl.password" takes a secret`, "'pw'"},
		{"CREATE CONNECTION c WITH (type = 'kafka', brokers = 'a:1', sasl.mechanism = 'PLAIN', sasl.username = 'u', sasl.password = SECRET none)", "42704", `secret "none" does not exist`, "SECRET none"},
		{"CREATE CONNECTION c WITH (type = 'kafka', brokers = 'a:1', sasl.mechanism = 'PLAIN', sasl.username = 'u')", "22023", `needs option "sasl.password"`, "'PLAIN'"},
		{"CREATE CONNECTION c WITH (type = 'kafka', brokers = 'a:1', sasl.mechanism = 'MAGIC')", "22023", `must be one of PLAIN, SCRAM-SHA-256`, "'MAGIC'"},
		{"CREATE CONNECTION c WITH (type = 'kafka', brokers = 'a:1', sasl.username = 'u')", "22023", `option "sasl.username" does not go with`, "'u'"},
		{"CREATE CONNECTION c WITH (type = 'kafka', brokers = 'a:1', tls.server_name = 'x')", "22023", `option "tls.server_name" needs tls = true`, "'x'"},
		{"CREATE CONNECTION bus WITH (type = 'kafka', brokers = 'a:1')", "42710", `connection "bus" already exists`, "bus"},
		{"CREATE SECRET s AS 'X'", "22023", `secret "s" needs a backend`, "s AS"},
		{"CREATE SECRET s WITH (backend = 'vault') AS 'X'", "22023", `option "backend" must be one of env, file`, "'vault'"},
		{"CREATE SECRET s WITH (backend = 'file') AS 'x/y'", "22023", `must be an absolute path`, "s WITH"},
		{"DROP SECRET nothing", "42704", `secret "nothing" does not exist`, "nothing"},
		{"DROP CONNECTION nothing", "42704", `connection "nothing" does not exist`, "nothing"},
	} {
		e := refusal(t, conn, c.sql)
		if e.Code != c.code || !strings.Contains(e.Message, c.message) {
			t.Errorf("%s\n\tgives %s %s\n\twant %s %s", c.sql, e.Code, e.Message, c.code, c.message)
		}
		if e.Position == 0 || !strings.HasPrefix(c.sql[e.Position-1:], c.place) {
			t.Errorf("%s\n\t%s points to byte %d, want %q", c.sql, e.Message, e.Position, c.place)
		}
	}
	eventually(t, conn, "SELECT count(*)::text FROM tilehouse.sources", "0")
	// What is read, and what is not.
	exec(t, conn, source("s", ""))
	for sql, code := range map[string]string{
		"INSERT INTO s VALUES (1, 1, now())": "42809", "DELETE FROM s": "42809", "UPDATE s SET k = 1": "42809", "TRUNCATE s": "42809", "COPY s FROM STDIN": "42809",
		"INSERT INTO s VALUES (1, 1, now()) RETURNING id": "42809", "REFRESH SOURCE s": "42809", "SELECT *, __offset FROM s": "0A000", "ALTER TABLE s ADD COLUMN x int": "0A000",
		"ALTER SOURCE s SET (topic = 'other')": "22023", "DROP CONNECTION bus": "2BP01", "ALTER CONNECTION bus RENAME TO other": "2BP01", "DROP TABLE s": "42809",
	} {
		if e := refusal(t, conn, sql); e.Code != code {
			t.Errorf("%s gives %s %s, want %s", sql, e.Code, e.Message, code)
		}
	}
	exec(t, conn, "COMMENT ON SOURCE s IS 'a'; COMMENT ON CONNECTION bus IS 'b'; ALTER SOURCE s SET (future_bound = '2 days'); ALTER SOURCE s RENAME TO s2; DROP CONNECTION bus CASCADE")
	eventually(t, conn, "SELECT count(*)::text FROM tilehouse.sources", "0")
}

func TestTransactions(t *testing.T) {
	bus, client := cluster(t, 1, "events")
	produce(t, client, "events", 0, events(0, 5)...)
	conn := start(t, bus)
	exec(t, conn, "BEGIN; "+source("s", "")+"; CREATE ENTITY e (k bigint); ROLLBACK")
	eventually(t, conn, "SELECT count(*)::text FROM tilehouse.sources", "0")
	exec(t, conn, "BEGIN")
	exec(t, conn, source("s", ""))
	exec(t, conn, "CREATE ENTITY e (k bigint)")
	exec(t, conn, "CREATE FEATURE n ON e AS SELECT k, count(*) FROM s GROUP BY k WINDOW LIFETIME")
	exec(t, conn, "COMMIT")
	eventually(t, conn, "SELECT n::text AS v FROM e WHERE k = 1", "2")
}

func TestStarts(t *testing.T) {
	bus, client := cluster(t, 2, "events")
	produce(t, client, "events", 0, events(0, 10)...)
	time.Sleep(20 * time.Millisecond)
	at := time.Now()
	time.Sleep(20 * time.Millisecond)
	produce(t, client, "events", 1, events(10, 15)...)
	conn := start(t, bus)
	for name, more := range map[string]string{"earliest": "", "latest": ", start = 'latest'", "offsets": ", start = '0:8'", "time": fmt.Sprintf(", start = '%s'", at.UTC().Format("2006-01-02 15:04:05.000Z"))} {
		exec(t, conn, source("s_"+name, more))
	}
	produce(t, client, "events", 0, event(15))
	for name, want := range map[string]string{"earliest": "16", "latest": "1", "offsets": "8", "time": "6"} {
		eventually(t, conn, "SELECT count(*)::text FROM s_"+name, want)
	}
}

func TestSecrets(t *testing.T) {
	const word, variable = "hunter2-is-the-word", "TEST_BUS_VARIABLE"
	bus, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events"), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "features", word), kfake.Superuser("PLAIN", "plain", word))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	t.Setenv(variable, word)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(word+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conn := harness.Start(t, harness.Options{}).Connect(t)
	exec(t, conn, fmt.Sprintf("CREATE SECRET by_env WITH (backend = 'env') AS '%s'; CREATE SECRET by_file WITH (backend = 'file') AS '%s'; CREATE SECRET absent WITH (backend = 'env') AS 'TEST_NO_SUCH'", variable, file))
	connection := func(name, mechanism, user, secret string) {
		exec(t, conn, fmt.Sprintf("CREATE OR REPLACE CONNECTION %s WITH (type = 'kafka', brokers = '%s', sasl.mechanism = '%s', sasl.username = '%s', sasl.password = SECRET %s)", name, bus.ListenAddrs()[0], mechanism, user, secret))
	}
	connection("bus", "SCRAM-SHA-256", "features", "by_env")
	exec(t, conn, source("scram", ""))
	eventually(t, conn, "SELECT state FROM tilehouse.sources WHERE name = 'scram'", "running")
	connection("plain", "PLAIN", "plain", "by_file")
	exec(t, conn, strings.Replace(source("plain_one", ""), "'bus'", "'plain'", 1))
	eventually(t, conn, "SELECT state FROM tilehouse.sources WHERE name = 'plain_one'", "running")
	t.Setenv("TEST_WRONG_VARIABLE", "another word")
	exec(t, conn, "CREATE SECRET not_it WITH (backend = 'env') AS 'TEST_WRONG_VARIABLE'")
	connection("wrong", "SCRAM-SHA-256", "features", "not_it")
	if e := refusal(t, conn, strings.Replace(source("s", ""), "'bus'", "'wrong'", 1)); e.Code != "28000" && e.Code != "08001" { // kfake hangs up where Kafka says why
		t.Errorf("a wrong login gives %s %s", e.Code, e.Message)
	}
	connection("without", "SCRAM-SHA-256", "features", "absent")
	e := refusal(t, conn, strings.Replace(source("s", ""), "'bus'", "'without'", 1))
	if e.Code != "28000" || !strings.Contains(e.Message, `secret "absent"`) {
		t.Errorf("a secret without a value gives %s %s", e.Code, e.Message)
	}
	said := e.Message + e.Detail + e.Hint
	if e := refusal(t, conn, "DROP SECRET by_env"); e.Code != "2BP01" || !strings.Contains(e.Detail, "connection bus") {
		t.Errorf("DROP of a secret in use gives %s %s %s", e.Code, e.Message, e.Detail)
	}
	// A login that stops to be right shows, and one that is right again is taken up.
	connection("bus", "SCRAM-SHA-256", "nobody", "by_env")
	eventually(t, conn, "SELECT state FROM tilehouse.sources WHERE name = 'scram'", "retrying")
	connection("bus", "SCRAM-SHA-256", "features", "by_file")
	eventually(t, conn, "SELECT state FROM tilehouse.sources WHERE name = 'scram'", "running")
	// Where a value is, and what it is, is told by nothing.
	for _, from := range []string{"tilehouse.secrets", "tilehouse.connections", "tilehouse.sources", "pg_foreign_server", "pg_description"} {
		for _, r := range readText(t, conn, "SELECT * FROM "+from) {
			said += strings.Join(r, " ")
		}
	}
	for _, secret := range []string{word, variable, file, "TEST_NO_SUCH"} {
		if strings.Contains(said, secret) {
			t.Errorf("%q is told", secret)
		}
	}
	if got := texts(t, conn, "SELECT name || ' ' || backend || ' ' || connections FROM tilehouse.secrets ORDER BY 1"); strings.Join(got, "; ") != "absent env without; by_env env ; by_file file bus, plain; not_it env wrong" {
		t.Errorf("secrets are %q", got)
	}
	exec(t, conn, "DROP SECRET by_file CASCADE")
	eventually(t, conn, "SELECT string_agg(name, ',') FROM tilehouse.connections WHERE name <> 'wrong'", "without")
	eventually(t, conn, "SELECT count(*)::text FROM tilehouse.sources", "0")
}

// A broker that is away shows as a state with a reason, and what comes while it is away is read once it is back.
func TestBrokerAway(t *testing.T) {
	bus, client := cluster(t, 2, "events")
	conn := start(t, bus)
	exec(t, conn, source("s", ""))
	produce(t, client, "events", 0, events(0, 10)...)
	eventually(t, conn, "SELECT count(*)::text FROM s", "10")
	var away atomic.Bool
	away.Store(true)
	bus.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
		bus.KeepControl()
		if _, producing := req.(*kmsg.ProduceRequest); away.Load() && !producing {
			return nil, errors.New("away"), true
		}
		return nil, nil, false
	})
	eventually(t, conn, "SELECT state FROM tilehouse.sources", "retrying")
	eventually(t, conn, "SELECT (last_error LIKE 'the brokers do not answer%')::text FROM tilehouse.sources", "true")
	produce(t, client, "events", 1, events(10, 20)...)
	exec(t, conn, "SELECT count(*) FROM s") // reads go on
	away.Store(false)
	eventually(t, conn, "SELECT count(*)::text FROM s", "20")
	eventually(t, conn, "SELECT state || coalesce(last_error, '') FROM tilehouse.sources", "running")
}

func TestTopicChanges(t *testing.T) {
	bus, client := cluster(t, 1, "events")
	conn := start(t, bus)
	exec(t, conn, source("s", ", idle_timeout = '1 second'"))
	produce(t, client, "events", 0, events(0, 5)...)
	eventually(t, conn, "SELECT count(*)::text FROM s", "5")
	// A partition that is added is read from its start.
	adm := kadm.NewClient(client)
	if _, err := adm.UpdatePartitions(context.Background(), 3, "events"); err != nil {
		t.Fatal(err)
	}
	other, err := kgo.NewClient(kgo.SeedBrokers(bus.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	produce(t, other, "events", 2, events(5, 9)...)
	eventually(t, conn, "SELECT count(*)::text FROM s", "9")
	eventually(t, conn, "SELECT string_agg(partition || ':' || next_offset, ' ' ORDER BY partition) FROM tilehouse.source_partitions", "0:5 1:0 2:4")
	// Messages that are deleted before they are read are not passed over in silence.
	exec(t, conn, "ALTER SOURCE s SUSPEND")
	eventually(t, conn, "SELECT state FROM tilehouse.sources", "suspended")
	produce(t, other, "events", 0, events(9, 12)...)
	if err := bus.DeleteRecords("events", 0, 7); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "ALTER SOURCE s RESUME")
	eventually(t, conn, "SELECT (last_error LIKE 'offset 5 of partition 0 is not there%')::text FROM tilehouse.sources", "true")
	// A topic that is deleted shows, and one that was made anew is another one.
	if err := bus.DeleteTopic("events"); err != nil {
		t.Fatal(err)
	}
	eventually(t, conn, "SELECT (last_error LIKE 'the topic does not exist%')::text FROM tilehouse.sources", "true")
	if err := bus.CreateTopic("events", 3, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, conn, "SELECT (last_error LIKE 'the topic was deleted and made anew%')::text FROM tilehouse.sources", "true")
	eventually(t, conn, "SELECT count(*)::text FROM s", "9")
}

// The watermark is what every partition has reached that is not idle, and a label waits for it.
func TestWatermark(t *testing.T) {
	bus, client := cluster(t, 2, "events")
	conn := start(t, bus)
	exec(t, conn, source("s", ", idle_timeout = '2 seconds'"))
	exec(t, conn, "CREATE ENTITY e (k bigint)")
	exec(t, conn, "CREATE FEATURE after ON e AS SELECT k, count(*) FROM s GROUP BY k WINDOW 1 HOUR FOLLOWING")
	at := func(id int, ts string) string {
		return fmt.Sprintf(`{"id": %d, "k": 1, "ts": "2024-03-01 %s"}`, id, ts)
	}
	label := "SELECT coalesce(a.after::text, 'NULL') AS v FROM (SELECT 1::bigint AS k, timestamptz '2024-03-01 10:00:00Z' AS ts) l ASOF JOIN e a ON a.k = l.k AND l.ts > a.ts"
	through := "SELECT coalesce(complete_through::text, 'NULL') FROM tilehouse.watermarks WHERE relation = 's'"
	produce(t, client, "events", 0, at(1, "10:30"), at(2, "12:00"))
	produce(t, client, "events", 1, at(3, "10:45"), at(4, "10:50"))
	eventually(t, conn, through, "2024-03-01 10:49:00+00")
	eventually(t, conn, "SELECT count(*)::text FROM s", "4")
	if got := texts(t, conn, label); got[0] != "NULL" {
		t.Errorf("the label is %s before its source is complete", got)
	}
	// Partition 0 goes on, and partition 1 becomes idle.
	for i := 0; ; i++ {
		produce(t, client, "events", 0, at(10+i, "12:01"))
		if got := texts(t, conn, through); got[0] != "2024-03-01 10:49:00+00" {
			break
		}
		if i > 200 {
			t.Fatal("an idle partition holds the watermark back")
		}
		time.Sleep(100 * time.Millisecond)
	}
	eventually(t, conn, through, "2024-03-01 12:00:00+00")
	eventually(t, conn, label, "3")
	produce(t, client, "events", 1, at(5, "10:55")) // late: it counts, and the watermark stays
	eventually(t, conn, label, "4")
	eventually(t, conn, through, "2024-03-01 12:00:00+00")
}

func TestRights(t *testing.T) {
	bus, client := cluster(t, 1, "events")
	srv := harness.Start(t, harness.Options{})
	conn := srv.Connect(t)
	exec(t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s'); CREATE ROLE ann LOGIN; GRANT CREATE ON SCHEMA public TO ann", bus.ListenAddrs()[0]))
	exec(t, conn, source("s", ""))
	produce(t, client, "events", 0, event(1), "{")
	eventually(t, conn, "SELECT (rows + dead_letters)::text FROM tilehouse.sources WHERE name = 's'", "2")
	ann := dial(t, strings.Replace(srv.DSN, "tilehouse@", "ann@", 1))
	for _, sql := range []string{"CREATE CONNECTION c WITH (type = 'kafka', brokers = 'a:1')", "CREATE SECRET x WITH (backend = 'env') AS 'HOME'", source("mine", ""), "SELECT count(*) FROM s",
		"SELECT * FROM tilehouse.dead_letters", "ALTER SOURCE s SUSPEND", "DROP SOURCE s", "DROP CONNECTION bus", "COMMENT ON CONNECTION bus IS 'x'", "GRANT USAGE ON CONNECTION bus TO ann"} {
		if e := refusal(t, ann, sql); e.Code != "42501" {
			t.Errorf("%s by another role gives %s %s", sql, e.Code, e.Message)
		}
	}
	exec(t, conn, "GRANT USAGE ON CONNECTION bus TO ann; GRANT SELECT ON SOURCE s TO ann")
	exec(t, ann, source("mine", ""))
	eventually(t, ann, "SELECT count(*)::text FROM mine", "1")
	eventually(t, ann, "SELECT count(*)::text FROM s", "1")
	if e := refusal(t, ann, "DROP CONNECTION bus"); e.Code != "42501" {
		t.Errorf("DROP of another role's connection gives %s", e.Code)
	}
	exec(t, conn, "REVOKE USAGE ON CONNECTION bus FROM ann")
	if e := refusal(t, ann, source("mine2", "")); e.Code != "42501" {
		t.Errorf("a source over a connection that may not be used gives %s", e.Code)
	}
	exec(t, conn, "ALTER CONNECTION bus OWNER TO ann")
	eventually(t, conn, "SELECT owner FROM tilehouse.connections", "ann")
	if e := refusal(t, conn, "DROP ROLE ann"); e.Code != "2BP01" {
		t.Errorf("DROP of a role that owns a connection gives %s %s", e.Code, e.Message)
	}
	eventually(t, conn, "SELECT relkind || ' ' || srvname FROM pg_class c JOIN pg_foreign_table f ON f.ftrelid = c.oid JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE relname = 's'", "f bus")
}
