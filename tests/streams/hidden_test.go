package streams

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/tests/harness"
)

// Features and event views read what a message had beside its value, backfilled and streaming, and follow rows that change.
func TestHiddenColumnsInFeatures(t *testing.T) {
	bus, client := cluster(t, 2, "events")
	srv := harness.Start(t, harness.Options{})
	conn := srv.Connect(t)
	exec(t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", bus.ListenAddrs()[0]))
	exec(t, conn, strings.Replace(source("s", ""), "PLAIN", "UPSERT (key_encode = 'text')", 1))
	value := func(k int) string { return fmt.Sprintf(`{"k": %d, "ts": "2024-06-01T12:00:00Z"}`, k) }
	keyed(t, client, 0, "1", value(7), "2", value(7), "3", value(8))
	eventually(t, conn, "SELECT count(*)::text FROM s", "3")
	exec(t, conn, "CREATE ENTITY e (k bigint); CREATE ENTITY part (p int); CREATE ENTITY by_key (key text)")
	exec(t, conn, "CREATE TABLE plans (k bigint, plan text, ts timestamptz NOT NULL) WITH (event_time = 'ts')")
	exec(t, conn, "INSERT INTO plans VALUES (7, 'gold', '2024-01-01Z')")
	exec(t, conn, "CREATE FEATURE f ON e AS SELECT k, max(__offset) AS newest, count(*) FILTER (WHERE __partition = 1) AS ones, max(extract(epoch FROM __arrived - __timestamp)) AS took, last(__key) AS key,"+
		" count(__headers) AS headers FROM s GROUP BY k WINDOW 1 DAY, LIFETIME")
	exec(t, conn, "CREATE FEATURE g ON part AS SELECT __partition AS p, count(*) AS n FROM s GROUP BY __partition WINDOW LIFETIME")
	exec(t, conn, "CREATE VIEW v WITH (event_time = 'ts') AS SELECT encode(__key, 'escape') AS key, __offset * 10 AS at, ts FROM s WHERE __partition < 5")
	exec(t, conn, "CREATE FEATURE h ON by_key AS SELECT key, sum(at) AS total FROM v GROUP BY key WINDOW LIFETIME")
	exec(t, conn, "CREATE FEATURE j ON e AS SELECT x.k, max(x.__offset) FILTER (WHERE p.plan = 'gold') AS gold FROM s x ASOF JOIN plans p ON p.k = x.k AND x.ts >= p.ts GROUP BY x.k WINDOW LIFETIME")
	exec(t, conn, "SET tilehouse.read_time = '2024-06-01 13:00Z'")
	check := func(of, want string) { t.Helper(); eventually(t, conn, of, want) }
	const f = "SELECT f_newest_1d || ' ' || f_ones_lifetime || ' ' || encode(f_key_1d, 'escape') || ' ' || f_headers_1d FROM e WHERE k = 7"
	check(f, "1 0 2 0")
	check("SELECT j::text FROM e WHERE k = 7", "1")
	check("SELECT (abs(f_took_1d) < 60)::text FROM e WHERE k = 7", "true")
	check("SELECT n || '' FROM (SELECT g AS n FROM part WHERE p = 0) x", "3")
	check("SELECT h::text FROM by_key WHERE key = '3'", "20")
	keyed(t, client, 1, "4", value(7), "5", value(7))
	keyed(t, client, 0, "2", "", "3", value(7))
	check("SELECT count(*)::text FROM s", "4")
	check(f, "4 2 5 0")
	check("SELECT j::text FROM e WHERE k = 7", "4")
	check("SELECT g::text FROM part WHERE p = 0", "2")
	check("SELECT h::text FROM by_key WHERE key = '3'", "40")
	check("SELECT count(*)::text FROM (SELECT 7 AS k, TIMESTAMPTZ '2024-06-01 13:00:00Z' AS ts) l ASOF JOIN e ON e.k = l.k AND l.ts > e.ts WHERE e.f_newest_1d = 4 AND e.f_ones_lifetime = 2 AND e.j = 4", "1")
	srv.Stop()
	conn = harness.Start(t, harness.Options{Dir: srv.Dir}).Connect(t)
	exec(t, conn, "SET tilehouse.read_time = '2024-06-01 13:00Z'")
	check(f, "4 2 5 0")
	check("SELECT h::text FROM by_key WHERE key = '3'", "40")
	// A message without what a feature is keyed by is a dead letter.
	produceRaw(t, client, 0, nil, []byte(`{"id": 9}`))
	check("SELECT string_agg(code, ',') FROM tilehouse.dead_letters", "23502")
	if e := refusal(t, conn, "CREATE FEATURE x ON e AS SELECT k, max(__ofset) FROM s GROUP BY k WINDOW 1 DAY"); e.Code != "42703" || !strings.Contains(e.Hint, "__offset") {
		t.Errorf("a wrong name gives %s %s %s", e.Code, e.Message, e.Hint)
	}
}

// A key of a feature that is hidden, and NULL.
func TestHiddenKeyIsNull(t *testing.T) {
	bus, client := cluster(t, 1, "events")
	conn := start(t, bus)
	exec(t, conn, source("s", ""))
	exec(t, conn, "CREATE ENTITY by_key (key bytea)")
	exec(t, conn, "CREATE FEATURE n ON by_key AS SELECT __key AS key, count(*) FROM s GROUP BY __key WINDOW LIFETIME")
	produceRaw(t, client, 0, nil, []byte(event(1)))
	produceRaw(t, client, 0, []byte("x"), []byte(event(2)))
	produceRaw(t, client, 0, nil, []byte(event(3)))
	eventually(t, conn, "SELECT messages || ' ' || rows FROM tilehouse.sources", "3 1")
	eventually(t, conn, `SELECT n::text FROM by_key WHERE key = '\x78'`, "1")
	eventually(t, conn, "SELECT string_agg(code || ' ' || reason, ', ') FROM tilehouse.dead_letters WHERE message_offset = 0", `23502 column "__key" is NULL: it is a key, or declared NOT NULL`)
}
