package streams

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

// noticed runs a statement and gives the notice that it ends with.
func noticed(t *testing.T, conn *pgx.Conn, notices *[]string, sql string) string {
	t.Helper()
	*notices = nil
	exec(t, conn, sql)
	if len(*notices) == 0 {
		return ""
	}
	return (*notices)[len(*notices)-1]
}

func listening(t *testing.T, dsn string) (*pgx.Conn, *[]string) {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	var notices []string
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices = append(notices, n.Message) }
	conn, err := pgx.ConnectConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn, &notices
}

func keyed(t *testing.T, client *kgo.Client, partition int32, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		r := &kgo.Record{Topic: "events", Partition: partition, Key: []byte(pairs[i])}
		if pairs[i+1] != "" {
			r.Value = []byte(pairs[i+1])
		}
		if err := client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReplay(t *testing.T) {
	bus, client := cluster(t, 2, "events")
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn, notices := listening(t, s.DSN())
	exec(t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", bus.ListenAddrs()[0]))
	exec(t, conn, source("s", ""))
	exec(t, conn, "CREATE ENTITY e (k bigint)")
	exec(t, conn, "CREATE FEATURE f ON e AS SELECT k, count(*) AS n, sum(100 / (id - 7)) AS parts FROM s GROUP BY k WINDOW LIFETIME")
	at := func(id int, ts int64) string { return fmt.Sprintf(`{"id": %d, "k": 1, "ts": %d}`, id, ts) }
	now := time.Now().Unix()
	produce(t, client, "events", 0, at(1, now*1000), at(2, now-5), at(3, now-4), at(1, now-3), `{"id": 4`) // seconds where milliseconds are meant
	produce(t, client, "events", 1, at(7, now*1000), at(5, now-2), at(6, (now+2*86400)*1000))
	eventually(t, conn, "SELECT messages || ' ' || rows || ' ' || dead_letters FROM tilehouse.sources", "8 1 7")
	codes := "SELECT string_agg(message_offset || '/' || partition || ' ' || code, ', ' ORDER BY partition, message_offset) FROM tilehouse.dead_letters"
	eventually(t, conn, codes, "1/0 22008, 2/0 22008, 3/0 22008, 4/0 22P02, 0/1 22012, 1/1 22008, 2/1 22008")

	for _, c := range []struct{ sql, code, message, place string }{
		{"REPLAY DEAD LETTERS FROM none", "42704", `source "none" does not exist`, "none"},
		{"REPLAY DEAD LETTERS FROM s WHERE numbr > 5", "42703", `column "numbr" does not exist`, "numbr"},
		{"REPLAY DEAD LETTERS FROM s WHERE number", "42804", `argument of AND must be type boolean`, "number"},
		{"REPLAY DEAD LETTERS FROM s WHERE code = 'x' code", "42601", "a scalar expression is expected", "code = 'x' code"},
		{"REPLAY DEAD LETTERS s", "42601", "syntax error", "REPLAY"},
		{"DROP DEAD LETTERS FROM s WHERE", "42601", "syntax error", ""},
		{"ALTER SOURCE s FORMAT UPSERT ENCODE JSON", "22023", `source "s" has FORMAT PLAIN`, "FORMAT"},
		{"ALTER SOURCE s FORMAT PLAIN ENCODE JSON (unit = 's')", "22023", `unknown option "unit"`, "unit"},
		{"BEGIN; REPLAY DEAD LETTERS FROM s", "25001", "cannot run inside a transaction block", ""},
	} {
		e := refusal(t, conn, c.sql)
		if e.Code != c.code || !strings.Contains(e.Message, c.message) {
			t.Errorf("%s\n\tgives %s %s\n\twant %s %s", c.sql, e.Code, e.Message, c.code, c.message)
		}
		if c.place != "" && (e.Position == 0 || !strings.HasPrefix(c.sql[e.Position-1:], c.place)) {
			t.Errorf("%s\n\t%s points to byte %d, want %q", c.sql, e.Message, e.Position, c.place)
		}
		_, _ = conn.Exec(context.Background(), "ROLLBACK")
	}

	// Nothing is fixed: nothing changes.
	if n := noticed(t, conn, notices, "REPLAY DEAD LETTERS FROM s"); n != `source "s": 0 messages taken, 7 still dead` {
		t.Errorf("a replay without a fix says %q", n)
	}
	eventually(t, conn, "SELECT concat_ws(' ', object, stage, rows, total_rows, percent) FROM tilehouse.jobs ORDER BY id DESC LIMIT 1", "s done 7 7 100")
	exec(t, conn, "ALTER SOURCE s FORMAT PLAIN ENCODE JSON (timestamp_unit = 's')")
	if n := noticed(t, conn, notices, "REPLAY DEAD LETTERS FROM s WHERE partition = 0 AND message_offset < 2"); n != `source "s": 1 message taken, 0 still dead` {
		t.Errorf("a replay of one says %q", n)
	}
	eventually(t, conn, "SELECT string_agg(id || ' ' || __partition || '/' || __offset, ', ' ORDER BY id) FROM s", "1 0/0, 2 0/1")
	if n := noticed(t, conn, notices, "REPLAY DEAD LETTERS FROM s"); n != `source "s": 2 messages taken, 4 still dead` {
		t.Errorf("a replay of all says %q", n)
	}
	eventually(t, conn, "SELECT string_agg(id || ' ' || __partition || '/' || __offset, ', ' ORDER BY id) FROM s", "1 0/0, 2 0/1, 3 0/2, 5 1/1")
	eventually(t, conn, codes, "3/0 23505, 4/0 22P02, 0/1 22008, 2/1 22008") // reasons of now
	eventually(t, conn, "SELECT f_n || ' ' || f_parts FROM e WHERE k = 1", fmt.Sprintf("4 %d", 100/-6+100/-5+100/-4+100/-2))
	exec(t, conn, "ALTER SOURCE s FORMAT PLAIN ENCODE JSON (timestamp_unit = 'ms')")
	exec(t, conn, "ALTER SOURCE s SET (future_bound = '3 days')")
	if n := noticed(t, conn, notices, "REPLAY DEAD LETTERS FROM s WHERE partition = 1"); n != `source "s": 1 message taken, 1 still dead` {
		t.Errorf("a replay of partition 1 says %q", n)
	}
	exec(t, conn, "DROP FEATURE f")
	exec(t, conn, "REPLAY DEAD LETTERS FROM s WHERE partition = 1")
	eventually(t, conn, "SELECT string_agg(id::text, ', ' ORDER BY id) FROM s", "1, 2, 3, 5, 6, 7")
	eventually(t, conn, "SELECT messages || ' ' || rows || ' ' || dead_letters FROM tilehouse.sources", "8 6 2")
	exec(t, conn, "ALTER SOURCE s SUSPEND")
	if e := refusal(t, conn, "REPLAY DEAD LETTERS FROM s"); e.Code != "55000" {
		t.Errorf("a replay of a suspended source gives %s %s", e.Code, e.Message)
	}
	exec(t, conn, "ALTER SOURCE s RESUME")
	if n := noticed(t, conn, notices, "DROP DEAD LETTERS FROM s WHERE code = '22P02'"); n != `source "s": 1 dead letter dropped` {
		t.Errorf("dropping one says %q", n)
	}
	eventually(t, conn, "SELECT count(*)::text FROM tilehouse.dead_letters", "1")
	exec(t, conn, "DROP DEAD LETTERS FROM s")
	eventually(t, conn, "SELECT count(*)::text FROM tilehouse.dead_letters", "0")
	eventually(t, conn, "SELECT messages || ' ' || rows || ' ' || dead_letters FROM tilehouse.sources", "8 6 2")
	// What was dropped is gone, the source reads on, and the definition is what it was altered to.
	produce(t, client, "events", 0, at(9, now*1000))
	eventually(t, conn, "SELECT messages || ' ' || rows || ' ' || dead_letters FROM tilehouse.sources", "9 7 2")
	if d := texts(t, conn, "SELECT definition FROM tilehouse.sources"); !strings.HasSuffix(d[0], "FORMAT PLAIN ENCODE JSON (timestamp_unit = 'ms')") {
		t.Errorf("the definition is %q", d)
	}
	s.Kill()
}

// A message of a version is older than what came after it, whether that is a row, or its end.
func TestReplayOfVersions(t *testing.T) {
	bus, client := cluster(t, 1, "events")
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn, notices := listening(t, s.DSN())
	exec(t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", bus.ListenAddrs()[0]))
	exec(t, conn, strings.Replace(source("s", ""), "PLAIN", "UPSERT", 1)+" (unknown_fields = 'refuse')")
	version := func(k int, more string) string {
		return fmt.Sprintf(`{"k": %d, "ts": "2024-03-01T12:00:00Z"%s}`, k, more)
	}
	const bad = `, "note": "x"`
	keyed(t, client, 0, "1", version(1, ""), "1", version(2, bad), // the newest of 1 is dead
		"2", version(1, bad), "2", version(2, ""), // an older one of 2
		"3", version(1, bad), "3", "", // a row of 3 that has ended
		"4", version(1, ""), "4", version(2, bad), "4", "",
		"5", version(1, bad), // the only one of 5
		"6", version(1, bad), "6", "", "6", version(3, ""), "6", version(4, bad), "6", version(5, bad))
	eventually(t, conn, "SELECT messages || ' ' || rows || ' ' || dead_letters FROM tilehouse.sources", "15 3 8")
	rows := "SELECT string_agg(id || ':' || k, ' ' ORDER BY id) FROM s"
	eventually(t, conn, rows, "1:1 2:2 6:3")
	exec(t, conn, "ALTER SOURCE s FORMAT UPSERT ENCODE JSON")
	if n := noticed(t, conn, notices, "REPLAY DEAD LETTERS FROM s WHERE message_offset = 14"); n != `source "s": 1 message taken, 0 still dead` {
		t.Errorf("a replay of the last one says %q", n)
	}
	if n := noticed(t, conn, notices, "REPLAY DEAD LETTERS FROM s"); n != `source "s": 7 messages taken, 0 still dead` {
		t.Errorf("a replay of all says %q", n)
	}
	eventually(t, conn, rows, "1:2 2:2 5:1 6:5")
	eventually(t, conn, "SELECT messages || ' ' || rows || ' ' || dead_letters FROM tilehouse.sources", "15 4 0")
	s.Kill()
}

// A replay that is cancelled, or ends with the server, has done whole transactions; the next one does the rest, and nothing twice.
func TestReplayCutShort(t *testing.T) {
	bus, client := cluster(t, 2, "events")
	dir := t.TempDir()
	s := servertest.Start(t, dir, servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", bus.ListenAddrs()[0]))
	exec(t, conn, source("s", "")+" (unknown_fields = 'refuse')")
	exec(t, conn, "CREATE ENTITY e (k bigint)")
	exec(t, conn, "CREATE FEATURE n ON e AS SELECT k, count(*) FROM s GROUP BY k WINDOW LIFETIME")
	const messages = 30_000
	var values []string
	for id := range messages {
		values = append(values, fmt.Sprintf(`{"id": %d, "k": 1, "ts": "2024-03-01T12:00:00Z", "note": "%s"}`, id, strings.Repeat("x", 100)))
	}
	produce(t, client, "events", 0, values[:messages/2]...)
	produce(t, client, "events", 1, values[messages/2:]...)
	eventually(t, conn, "SELECT dead_letters::text FROM tilehouse.sources", fmt.Sprint(messages))
	exec(t, conn, "ALTER SOURCE s FORMAT PLAIN ENCODE JSON")
	for i := range 4 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(20+30*i)*time.Millisecond)
		other := dial(t, s.DSN())
		_, err := other.Exec(ctx, "REPLAY DEAD LETTERS FROM s", pgx.QueryExecModeSimpleProtocol)
		cancel()
		t.Logf("replay %d: %v", i, err)
		if i%2 == 1 {
			s.Kill()
			s = servertest.Start(t, dir, servertest.Options{})
		}
		conn = dial(t, s.DSN())
		produce(t, client, "events", int32(i%2), fmt.Sprintf(`{"id": %d, "k": 1, "ts": "2024-03-01T12:00:00Z"}`, messages+i))
		eventually(t, conn, "SELECT messages::text FROM tilehouse.sources", fmt.Sprint(messages+i+1))
		got := texts(t, conn, "SELECT (s.rows + s.dead_letters) || ' ' || (s.rows = (SELECT count(*) FROM s)) || ' ' || (s.dead_letters = (SELECT count(*) FROM tilehouse.dead_letters)) FROM tilehouse.sources s")
		if want := fmt.Sprintf("%d true true", messages+i+1); got[0] != want {
			t.Fatalf("after replay %d: %s, want %s", i, got[0], want)
		}
	}
	exec(t, conn, "REPLAY DEAD LETTERS FROM s")
	eventually(t, conn, "SELECT count(*) || ' ' || count(DISTINCT id) FROM s", fmt.Sprintf("%d %[1]d", messages+4))
	eventually(t, conn, "SELECT n::text FROM e WHERE k = 1", fmt.Sprint(messages+4))
	s.Kill()
}
