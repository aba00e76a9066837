package pgsource

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// What a source had at a time is read by FOR SYSTEM_TIME, its rows and its features'; aggregates follow changes of rows.
func TestAsKnownThen(t *testing.T) {
	pg := postgres.StartServer(t, postgres.Options{Logical: true})
	app := dial(t, pg.DSN)
	exec(t, app, "CREATE TABLE orders (id bigint PRIMARY KEY, customer integer NOT NULL, total numeric(10,2), placed timestamptz NOT NULL) PARTITION BY HASH (id)",
		"CREATE TABLE orders_0 PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 0)", "CREATE TABLE orders_1 PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
		"INSERT INTO orders SELECT i, i % 2, i, '2024-06-01 00:00Z'::timestamptz + i * interval '1 hour' FROM generate_series(1, 10) i")
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, connection(t, pg, ""), "CREATE SOURCE orders WITH (connector = 'postgres', connection = 'app', table = 'orders', event_time = 'placed')",
		"CREATE ENTITY customer (customer integer)", "CREATE FEATURE spend ON customer AS SELECT customer, count(*) AS n, sum(total) AS total, last(total) AS last FROM orders GROUP BY customer WINDOW 5 HOURS, LIFETIME")
	values := "SELECT customer, spend_n_5h, spend_total_5h, spend_n_lifetime, spend_total_lifetime, spend_last_lifetime FROM customer%s WHERE customer IN (0, 1) ORDER BY customer"
	// The oracle is PostgreSQL itself, over its rows at the time.
	oracle := `SELECT c, count(*) FILTER (WHERE placed >= t - interval '5 hours'), sum(total) FILTER (WHERE placed >= t - interval '5 hours'), count(id), sum(total), (array_agg(total ORDER BY placed DESC, id DESC) FILTER (WHERE total IS NOT NULL))[1]
		FROM (VALUES (0), (1)) x(c) CROSS JOIN (SELECT timestamptz '2024-06-01 09:00Z' AS t) y LEFT JOIN orders ON customer = c AND placed < t GROUP BY c ORDER BY c`
	exec(t, conn, "SET tilehouse.read_time = '2024-06-01 09:00Z'")
	eventually(t, conn, "SELECT count(*) FROM orders", "10")
	type then struct {
		at           time.Time
		rows, values []string
	}
	var moments []then
	rows := "SELECT id, customer, total, extract(epoch FROM placed)::bigint FROM orders%s ORDER BY id"
	for _, sql := range []string{"SELECT 1", "UPDATE orders SET total = total + 100 WHERE id = 3; DELETE FROM orders WHERE id IN (4, 7)", "UPDATE orders SET placed = placed + interval '3 hours', customer = 1 WHERE id = 2",
		"INSERT INTO orders VALUES (11, 0, NULL, '2024-06-01 08:30Z'); UPDATE orders SET id = 12 WHERE id = 1", "TRUNCATE orders"} {
		exec(t, app, sql)
		eventually(t, conn, fmt.Sprintf(rows, ""), texts(t, app, fmt.Sprintf(rows, ""))...)
		time.Sleep(5 * time.Millisecond)
		m := then{time.Now(), texts(t, app, fmt.Sprintf(rows, "")), texts(t, app, oracle)}
		time.Sleep(5 * time.Millisecond)
		same(t, "features after "+sql, texts(t, conn, fmt.Sprintf(values, "")), m.values)
		moments = append(moments, m)
	}
	for _, m := range moments {
		of := fmt.Sprintf(" FOR SYSTEM_TIME AS OF '%s'", m.at.UTC().Format("2006-01-02 15:04:05.000000Z"))
		same(t, "rows"+of, texts(t, conn, fmt.Sprintf(rows, of)), m.rows)
		same(t, "features"+of, texts(t, conn, fmt.Sprintf(values, of)), m.values)
	}
}

// A source that a transaction made and took back leaves nothing, and one that is dropped while PostgreSQL is away says what it leaves.
func TestDropped(t *testing.T) {
	pg := postgres.StartServer(t, postgres.Options{Logical: true})
	app := dial(t, pg.DSN)
	exec(t, app, "CREATE TABLE a (id bigint PRIMARY KEY)", "INSERT INTO a VALUES (1)")
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, connection(t, pg, ""))
	create := "CREATE SOURCE a WITH (connector = 'postgres', connection = 'app', table = 'a')"
	exec(t, conn, "BEGIN", create, "ROLLBACK")
	same(t, "after ROLLBACK", texts(t, conn, "SELECT name FROM tilehouse.sources WHERE state IS NOT NULL"), []string{})
	same(t, "after ROLLBACK", texts(t, app, "SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_publication)"), []string{"0|0"})
	exec(t, conn, "BEGIN", create, "COMMIT")
	eventually(t, conn, "SELECT count(*) FROM a", "1")
	exec(t, conn, "CREATE ROLE analyst LOGIN", "GRANT SELECT ON a TO analyst", "GRANT USAGE ON CONNECTION app TO analyst", "GRANT CREATE ON SCHEMA public TO analyst")
	other := dial(t, s.DSN("user=analyst"))
	same(t, "a role's rows", texts(t, other, "SELECT id FROM a"), []string{"1"})
	same(t, "versions, by the privilege on the source", texts(t, other, "SELECT id FROM a_versions"), []string{"1"})
	exec(t, conn, "REVOKE SELECT ON a FROM analyst")
	if got := failure(other, "SELECT * FROM a_versions"); got == nil || got.Code != "42501" {
		t.Errorf("versions without a privilege: %+v", got)
	}
	exec(t, conn, "GRANT SELECT ON a_versions TO analyst")
	same(t, "versions, by a privilege on them", texts(t, other, "SELECT id FROM a_versions"), []string{"1"})
	if got := failure(other, "SELECT * FROM a"); got == nil || got.Code != "42501" {
		t.Errorf("rows without a privilege: %+v", got)
	}
	exec(t, conn, "REVOKE SELECT ON a_versions FROM analyst", "GRANT SELECT ON a TO analyst")
	if got := failure(other, "REFRESH SOURCE a"); got == nil || got.Code != "42501" {
		t.Errorf("REFRESH SOURCE of another's: %+v", got)
	}
	exec(t, other, strings.Replace(create, "SOURCE a", "SOURCE mine", 1))
	eventually(t, other, "SELECT count(*) FROM mine_versions", "1")
	if got := failure(conn, "DROP CONNECTION app"); got == nil || got.Code != "2BP01" || !contains(got.Detail, "postgres source a") {
		t.Errorf("DROP CONNECTION: %+v", got)
	}
	exec(t, conn, "CREATE SOURCE b WITH (connector = 'postgres', connection = 'app', table = 'a')", "ALTER SOURCE b SUSPEND", "DROP SOURCE b", "DROP SOURCE mine")
	eventually(t, app, "SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_publication)", "1|1")
	pg.Stop()
	exec(t, conn, "DROP SOURCE a")
	for end := time.Now().Add(40 * time.Second); !contains(s.Log(), "pg_drop_replication_slot"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log does not say what is left:\n%s", s.Log())
		}
	}
}

// A transaction that is too large is a state with a reason, and REFRESH SOURCE goes past it.
func TestTooLarge(t *testing.T) {
	pg := postgres.StartServer(t, postgres.Options{Logical: true})
	app := dial(t, pg.DSN)
	exec(t, app, "CREATE TABLE wide (id bigint PRIMARY KEY, v text)")
	s := servertest.Start(t, t.TempDir(), servertest.Options{Args: []string{"--memory-limit", "512MB"}})
	conn := dial(t, s.DSN())
	exec(t, conn, connection(t, pg, ""), "CREATE SOURCE wide WITH (connector = 'postgres', connection = 'app', table = 'wide')")
	eventually(t, conn, "SELECT state FROM tilehouse.sources WHERE name = 'wide'", "running")
	exec(t, app, "INSERT INTO wide SELECT i, repeat(md5(i::text), 100) FROM generate_series(1, 8000) i")
	eventually(t, conn, "SELECT state, last_error LIKE 'a transaction of PostgreSQL%memory-limit%REFRESH SOURCE wide%' FROM tilehouse.sources WHERE name = 'wide'", "retrying|t")
	exec(t, conn, "REFRESH SOURCE wide")
	sums := "SELECT count(*), sum(length(v)), min(v), max(v) FROM wide"
	same(t, "rows", texts(t, conn, sums), texts(t, app, sums))
	exec(t, app, "TRUNCATE wide")
	eventually(t, conn, "SELECT count(*) FROM wide", "0")
	same(t, "versions", texts(t, conn, "SELECT count(*), count(*) FILTER (WHERE __deleted) FROM wide_versions"), []string{fmt.Sprintf("%d|%d", 16000, 8000)})
}
