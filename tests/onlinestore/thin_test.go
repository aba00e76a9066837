package onlinestore

import (
	"testing"

	"github.com/tilehouse/tilehouse/tests/cassandra"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

// A gateway answers what the server answers, follows rows and definitions, and refuses the rest.
func TestGatewayThin(t *testing.T) {
	skipFast(t)
	c := cassandra.Start(t, cassandra.Options{})
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, `CREATE TABLE purchases (id bigint PRIMARY KEY, customer_id bigint, amount numeric(12,2), ts timestamptz NOT NULL) WITH (event_time = 'ts');
		CREATE ENTITY customer (customer_id bigint);
		CREATE FEATURE spend ON customer AS SELECT customer_id, sum(amount) AS total, count(*) AS n FROM purchases GROUP BY customer_id WINDOW 1 HOUR, 7 DAYS, LIFETIME;
		INSERT INTO purchases SELECT i, i % 5, i, now() - i * INTERVAL '1 hour' FROM generate_series(1, 500) AS g(i)`)
	store(t, conn, c, "thin", "")
	sent(t, conn, nil)
	g := gateway(t, c, "thin")
	gw := dial(t, g.DSN())
	both := func(sql string, args ...string) {
		t.Helper()
		same(t, conn, gw, sql, args...)
	}
	exec(t, conn, "SET tilehouse.read_time = '2100-01-01'")
	exec(t, gw, "SET tilehouse.read_time = '2100-01-01'")
	both("SELECT * FROM customer WHERE customer_id = ANY($1) ORDER BY 1", "{0,1,2,3,4,5,77}")
	exec(t, conn, "INSERT INTO purchases VALUES (1000, 3, 7.5, now()), (1001, 9, 1, now()); DELETE FROM purchases WHERE id = 3; UPDATE purchases SET amount = 12 WHERE id = 4")
	sent(t, conn, gw)
	both("SELECT * FROM customer WHERE customer_id = ANY($1) ORDER BY 1", "{0,1,2,3,4,5,9,77}")
	exec(t, conn, "CREATE FEATURE top ON customer AS SELECT customer_id, max(amount) FROM purchases GROUP BY customer_id WINDOW 30 DAYS")
	sent(t, conn, gw)
	both("SELECT customer_id, top, spend_total_7d FROM customer WHERE customer_id = $1", "3")
	exec(t, conn, "CREATE FEATURE VIEW risk AS SELECT c.top * r.x AS y, c.spend_n_7d FROM customer c, request() AS r(x numeric)")
	sent(t, conn, gw)
	both("SELECT * FROM risk WHERE customer_id = $1 AND x = 2", "3")
	both("SELECT spend_total_7d / nullif(spend_n_7d, 0) AS q FROM customer WHERE customer_id = 2")
	for sql, want := range map[string]string{
		"SELECT * FROM purchases":                       "0A000",
		"INSERT INTO purchases VALUES (1, 1, 1, now())": "0A000",
		"CREATE TABLE x (i integer)":                    "0A000",
		"DROP FEATURE top":                              "0A000",
		"SELECT * FROM customer":                        "0A000",
		"EXPLAIN FEATURE top FOR (3) AT '2024-01-01'":   "0A000",
		"SELECT * FROM tilehouse.watermarks":            "0A000",
		"COPY (SELECT 1) TO STDOUT":                     "0A000",
		"SELECT spend_n_7d FROM customer FOR SYSTEM_TIME AS OF '2024-01-01 00:00Z' WHERE customer_id = 3": "0A000",
		"SELECT * FROM nothing": "42P01",
	} {
		if e := refusal(t, gw, sql); e.Code != want {
			t.Errorf("%s gives %s %s", sql, e.Code, e.Message)
		}
	}
	exec(t, gw, "SELECT name FROM tilehouse.features; SELECT relname FROM pg_class LIMIT 1; SHOW FEATURES; BEGIN; SELECT 1; COMMIT")
}
