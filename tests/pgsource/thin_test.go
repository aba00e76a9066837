package pgsource

import (
	"testing"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// A table is read as it is, and then followed: its rows, their versions, and latest values over them.
func TestThin(t *testing.T) {
	pg := postgres.StartServer(t, postgres.Options{Logical: true})
	app := dial(t, pg.DSN)
	exec(t, app, "CREATE TABLE customers (id bigint PRIMARY KEY, name text, plan varchar(10), seats integer, since timestamptz)",
		"INSERT INTO customers VALUES (1, 'Ada', 'free', 1, '2024-01-01 00:00Z'), (2, 'Bob', 'pro', 5, NULL)")
	dir := t.TempDir()
	s := servertest.Start(t, dir, servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, connection(t, pg, ""), "CREATE SOURCE customers WITH (connector = 'postgres', connection = 'app', table = 'customers', mode = 'cdc')",
		"CREATE ENTITY customer (id bigint)", "CREATE FEATURE c ON customer AS SELECT id, plan, seats FROM customers")
	eventually(t, conn, "SELECT * FROM customers ORDER BY id", "1|Ada|free|1|2024-01-01 00:00:00+00", "2|Bob|pro|5|NULL")
	eventually(t, conn, "SELECT c_plan, c_seats FROM customer WHERE id = 1", "free|1")
	exec(t, app, "UPDATE customers SET plan = 'team', seats = NULL WHERE id = 1", "DELETE FROM customers WHERE id = 2", "INSERT INTO customers VALUES (3, 'Cleo', 'x', 7, NULL)",
		"UPDATE customers SET id = 4 WHERE id = 3")
	eventually(t, conn, "SELECT id, plan FROM customers ORDER BY id", "1|team", "4|x")
	same(t, "latest values", texts(t, conn, "SELECT id, c_plan, c_seats FROM customer WHERE id IN (1, 2, 3, 4, 5) ORDER BY id"), []string{"1|team|NULL", "2|NULL|NULL", "3|NULL|NULL", "4|x|7", "5|NULL|NULL"})
	same(t, "versions", texts(t, conn, "SELECT id, plan, __deleted, __initial, __committed IS NULL FROM customers_versions ORDER BY __known, id"),
		[]string{"1|free|f|t|t", "2|pro|f|t|t", "1|team|f|f|f", "2|NULL|t|f|f", "3|x|f|f|f", "3|NULL|t|f|f", "4|x|f|f|f"})
	same(t, "source", texts(t, conn, "SELECT kind, path, connection, state, lag, rows, last_error FROM tilehouse.sources WHERE name = 'customers'"), []string{"postgres source|public.customers|app|running|0|2|NULL"})
	s.Kill()
	exec(t, app, "UPDATE customers SET plan = 'gone' WHERE id = 1")
	s = servertest.Start(t, dir, servertest.Options{})
	conn = dial(t, s.DSN())
	eventually(t, conn, "SELECT id, plan FROM customers ORDER BY id", "1|gone", "4|x")
	same(t, "number of versions", texts(t, conn, "SELECT count(*) FROM customers_versions"), []string{"8"})
	exec(t, conn, "DROP SOURCE customers CASCADE")
	eventually(t, app, "SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_publication)", "0|0")
}
