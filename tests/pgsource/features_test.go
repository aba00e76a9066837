package pgsource

import (
	"fmt"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// initial_valid_from says since when the rows of the first reading hold, and of no later version anything.
func TestInitialValidFrom(t *testing.T) {
	pg := postgres.StartServer(t, postgres.Options{Logical: true})
	app := dial(t, pg.DSN)
	exec(t, app, "CREATE TABLE plans (id bigint PRIMARY KEY, plan text, since timestamptz)",
		"INSERT INTO plans VALUES (1, 'free', '2020-05-01 00:00Z'), (2, 'pro', NULL), (3, 'early', '2999-01-01 00:00Z'), (4, 'gone', '2020-05-01 00:00Z')")
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := dial(t, s.DSN())
	before := time.Now()
	exec(t, conn, connection(t, pg, ""), "CREATE SOURCE plans WITH (connector = 'postgres', connection = 'app', table = 'plans')", "CREATE ENTITY customer (id bigint)",
		"CREATE FEATURE since_read ON customer WITH (initial_valid_from = 'snapshot') AS SELECT id, plan FROM plans",
		"CREATE FEATURE since_ever ON customer WITH (initial_valid_from = '-infinity') AS SELECT id, plan FROM plans",
		"CREATE FEATURE since_column ON customer WITH (initial_valid_from = 'since') AS SELECT id, plan FROM plans WHERE plan <> 'y'")
	eventually(t, conn, "SELECT state FROM tilehouse.sources WHERE name = 'plans'", "running")
	time.Sleep(20 * time.Millisecond)
	middle := time.Now()
	time.Sleep(20 * time.Millisecond)
	exec(t, app, "UPDATE plans SET plan = 'x', since = '2021-01-01 00:00Z' WHERE id = 1", "INSERT INTO plans VALUES (5, 'new', '2020-01-01 00:00Z')", "DELETE FROM plans WHERE id = 4", "UPDATE plans SET plan = 'y' WHERE id = 2")
	eventually(t, conn, "SELECT count(*) FROM plans_versions", "8")
	at := func(instant string, want ...string) {
		t.Helper()
		exec(t, conn, "SET tilehouse.read_time = '"+instant+"'")
		same(t, instant, texts(t, conn, "SELECT id, since_read, since_ever, since_column FROM customer WHERE id IN (1, 2, 3, 4, 5) ORDER BY id"), want)
	}
	stamp := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000Z") }
	at("1990-01-01 00:00:00Z", "1|NULL|free|NULL", "2|NULL|pro|NULL", "3|NULL|early|NULL", "4|NULL|gone|NULL", "5|NULL|NULL|NULL")
	at("2020-05-01 00:00:00Z", "1|NULL|free|NULL", "2|NULL|pro|NULL", "3|NULL|early|NULL", "4|NULL|gone|NULL", "5|NULL|NULL|NULL")
	at(stamp(before), "1|NULL|free|free", "2|NULL|pro|NULL", "3|NULL|early|NULL", "4|NULL|gone|gone", "5|NULL|NULL|NULL")
	at(stamp(middle), "1|free|free|free", "2|pro|pro|NULL", "3|early|early|early", "4|gone|gone|gone", "5|NULL|NULL|NULL")
	at(stamp(time.Now().Add(time.Second)), "1|x|x|x", "2|y|y|NULL", "3|early|early|early", "4|NULL|NULL|NULL", "5|new|new|new")
	same(t, "views", texts(t, conn, "SELECT relation FROM tilehouse.watermarks WHERE relation LIKE 'plans_versions%' ORDER BY 1"), []string{"plans_versions", "plans_versions_since_ever", "plans_versions_since_since"})
	exec(t, conn, "RESET tilehouse.read_time", "ALTER SOURCE plans RENAME TO tariffs", "CREATE OR REPLACE FEATURE since_ever ON customer WITH (initial_valid_from = '-infinity') AS SELECT id, plan, since FROM tariffs")
	same(t, "after another name", texts(t, conn, "SELECT since_ever, since_read FROM customer WHERE id = 1"), []string{"x|x"})
	exec(t, conn, "DROP SOURCE tariffs CASCADE")
	same(t, "after DROP", texts(t, conn, "SELECT relname FROM pg_class WHERE relname LIKE 'tariffs%' OR relname LIKE 'plans%'"), []string{})
}

// Events are joined to the row as it was known at them, and to none after its end.
func TestAttributes(t *testing.T) {
	pg := postgres.StartServer(t, postgres.Options{Logical: true})
	app := dial(t, pg.DSN)
	exec(t, app, "CREATE TABLE shops (chain integer, number integer, region text, PRIMARY KEY (chain, number))", "INSERT INTO shops VALUES (1, 1, 'north'), (1, 2, 'south')")
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, connection(t, pg, ""), "CREATE SOURCE shops WITH (connector = 'postgres', connection = 'app', table = 'shops')",
		"CREATE TABLE sales (id bigint PRIMARY KEY, chain integer, shop integer, amount integer, ts timestamptz NOT NULL) WITH (event_time = 'ts')", "CREATE ENTITY chain (chain integer)",
		"CREATE FEATURE outer_join ON chain AS SELECT x.chain, count(*) FILTER (WHERE s.region = 'north') AS north, count(*) FILTER (WHERE s.number IS NULL) AS nowhere, last(s.region) AS region FROM sales x LEFT ASOF JOIN shops s ON s.chain = x.chain AND s.number = x.shop AND x.ts >= s.__known GROUP BY x.chain WINDOW 1 DAY",
		"CREATE FEATURE inner_join ON chain AS SELECT x.chain, count(*) AS n FROM sales x ASOF JOIN shops s ON s.chain = x.chain AND s.number = x.shop AND x.ts >= s.__known GROUP BY x.chain WINDOW 1 DAY")
	n := 0
	sell := func() {
		n++
		exec(t, conn, fmt.Sprintf("INSERT INTO sales VALUES (%d, 1, 1, 10, now())", n))
	}
	sell() // before the table was read, or after: at a time of its own
	exec(t, conn, "DELETE FROM sales WHERE true")
	eventually(t, conn, "SELECT state FROM tilehouse.sources WHERE name = 'shops'", "running")
	sell()
	exec(t, app, "UPDATE shops SET region = 'east' WHERE number = 1")
	eventually(t, conn, "SELECT region FROM shops WHERE number = 1", "east")
	sell()
	exec(t, app, "DELETE FROM shops WHERE number = 1")
	eventually(t, conn, "SELECT count(*) FROM shops", "1")
	sell()
	sell()
	want := []string{"1|2|east|2"}
	columns := "outer_join_north, outer_join_nowhere, outer_join_region, inner_join"
	same(t, "joined", texts(t, conn, "SELECT "+columns+" FROM chain WHERE chain = 1"), want)
	exec(t, conn, "REFRESH FEATURE outer_join FULL", "REFRESH FEATURE inner_join FULL")
	same(t, "built anew", texts(t, conn, "SELECT "+columns+" FROM chain WHERE chain = 1"), want)
	exec(t, app, "INSERT INTO shops VALUES (1, 1, 'north')")
	eventually(t, conn, "SELECT count(*) FROM shops", "2")
	sell()
	same(t, "there again", texts(t, conn, "SELECT "+columns+" FROM chain WHERE chain = 1"), []string{"2|2|north|3"})
	for sql, message := range map[string]string{
		"CREATE FEATURE f ON chain AS SELECT x.chain, last(s.region) FROM sales x ASOF JOIN shops s ON s.chain = x.chain AND x.ts >= s.__known GROUP BY x.chain WINDOW 1 DAY": `source "shops" is joined by its primary key (chain, number) and nothing else`,
		"CREATE FEATURE f ON chain AS SELECT chain, region FROM shops":                                     `a latest value of source "shops" is one of its whole primary key (chain, number): number is missing`,
		"CREATE FEATURE f ON chain AS SELECT length(region) AS chain, region FROM shops":                   `a latest value of source "shops" is one of its primary key (chain, number), not of length(region)`,
		"CREATE FEATURE f ON chain AS SELECT chain, count(*) FROM shops GROUP BY chain WINDOW 1 DAY":       `source "shops" has no event time`,
		"CREATE FEATURE f ON chain WITH (initial_valid_from = 'often') AS SELECT chain, region FROM shops": `option "initial_valid_from" is snapshot, -infinity or a column of source "shops", not "often"`,
	} {
		if got := failure(conn, sql); got == nil || !contains(got.Message, message) {
			t.Errorf("%s: %v", sql, got)
		}
	}
}

// A source of snapshots records what differs between two readings, as versions of the time of the later one.
func TestSnapshots(t *testing.T) {
	pg := postgres.StartServer(t, postgres.Options{})
	app := dial(t, pg.DSN)
	exec(t, app, "CREATE TABLE rates (code text, kind text, rate numeric(8,4), note jsonb)", "INSERT INTO rates SELECT 'c' || i, 'k', i, '{\"a\": 1}' FROM generate_series(1, 9000) i",
		"CREATE VIEW shown AS SELECT code, kind, rate, note FROM rates")
	dir := t.TempDir()
	s := servertest.Start(t, dir, servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, connection(t, pg, ""), "CREATE SOURCE rates (code text, kind text, rate numeric(8,4), note json, PRIMARY KEY (code)) WITH (connector = 'postgres', connection = 'app', table = 'shown', mode = 'snapshot')",
		"CREATE ENTITY rate (code text)", "CREATE FEATURE r ON rate AS SELECT code, rate FROM rates")
	eventually(t, conn, "SELECT state, rows, messages FROM tilehouse.sources WHERE name = 'rates'", "running|9000|9000")
	same(t, "times", texts(t, conn, "SELECT count(DISTINCT __known), bool_and(__initial) FROM rates_versions"), []string{"1|t"})
	exec(t, app, "UPDATE rates SET rate = 5.5 WHERE code = 'c1'", "DELETE FROM rates WHERE code IN ('c2', 'c8999')", "INSERT INTO rates VALUES ('new', NULL, NULL, NULL)", "UPDATE rates SET kind = kind WHERE code < 'c5'")
	same(t, "before REFRESH", texts(t, conn, "SELECT count(*) FROM rates_versions"), []string{"9000"})
	exec(t, conn, "REFRESH SOURCE rates")
	differences := []string{"c1|5.5000|f", "c2|NULL|t", "c8999|NULL|t", "new|NULL|f"}
	same(t, "differences", texts(t, conn, "SELECT code, rate, __deleted FROM rates_versions WHERE NOT __initial ORDER BY code"), differences)
	same(t, "times", texts(t, conn, "SELECT count(DISTINCT __known) FROM rates_versions"), []string{"2"})
	same(t, "rows", texts(t, conn, "SELECT count(*), sum(rate) FROM rates"), texts(t, app, "SELECT count(*), sum(rate) FROM rates"))
	same(t, "latest values", texts(t, conn, "SELECT r FROM rate WHERE code IN ('c1', 'c2', 'c3', 'new') ORDER BY code"), []string{"5.5000", "NULL", "3.0000", "NULL"})
	exec(t, conn, "REFRESH SOURCE rates") // nothing differs
	s.Kill()
	s = servertest.Start(t, dir, servertest.Options{})
	conn = dial(t, s.DSN())
	exec(t, conn, "REFRESH SOURCE rates")
	same(t, "differences", texts(t, conn, "SELECT code, rate, __deleted FROM rates_versions WHERE NOT __initial ORDER BY code"), differences)
	exec(t, app, "INSERT INTO rates VALUES ('new', NULL, NULL, NULL)")
	if got := failure(conn, "REFRESH SOURCE rates"); got == nil || !contains(got.Message, "two rows of one primary key (code)") {
		t.Errorf("two rows of a key: %v", got)
	}
	exec(t, app, "DELETE FROM rates WHERE code = 'new'")
	exec(t, conn, "REFRESH SOURCE rates")
	same(t, "rows", texts(t, conn, "SELECT count(*) FROM rates"), texts(t, app, "SELECT count(*) FROM rates"))
	exec(t, conn, "CREATE SOURCE often (code text, rate numeric(8,4), PRIMARY KEY (code)) WITH (connector = 'postgres', connection = 'app', table = 'rates', mode = 'snapshot', refresh_every = '1 second')")
	eventually(t, conn, "SELECT count(*) FROM often", texts(t, app, "SELECT count(*) FROM rates")...)
	exec(t, app, "TRUNCATE rates")
	eventually(t, conn, "SELECT count(*) FROM often", "0")
}
