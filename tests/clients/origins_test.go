package clients

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// origins are the table and column that each column of a statement's description names, and its name.
func origins(t *testing.T, conn *pgconn.PgConn, sql string) string {
	t.Helper()
	st, err := conn.Prepare(context.Background(), "", sql, nil)
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, f := range st.Fields {
		table := "-"
		if f.TableOID != 0 {
			rows := must(t, conn, fmt.Sprintf("SELECT c.relname, a.attname FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = %d WHERE c.oid = %d", f.TableAttributeNumber, f.TableOID))[0].Rows
			table = "unknown"
			if len(rows) == 1 {
				table = string(rows[0][0]) + "." + string(rows[0][1])
			}
		} else if f.TableAttributeNumber != 0 {
			table = fmt.Sprint("column ", f.TableAttributeNumber)
		}
		out = append(out, f.Name+"="+table)
	}
	return strings.Join(out, " ")
}

// A description names the table and column of outputs that are columns as they stand, through subqueries, joins and CTEs, as
// PostgreSQL's does.
func TestOrigins(t *testing.T) {
	theirs, ours := both(t)
	a, b := connectTo(t, theirs), connectTo(t, ours.DSN())
	for _, sql := range []string{
		"CREATE TABLE o1 (id integer PRIMARY KEY, name text, price numeric(10,2), n numeric)", "CREATE TABLE o2 (id integer, ref integer, note varchar(10))",
		"CREATE VIEW ov AS SELECT id, upper(name) AS up, price AS cost FROM o1", "CREATE VIEW ovv AS SELECT * FROM ov", "CREATE MATERIALIZED VIEW om AS SELECT id, note FROM o2",
		"CREATE TEMP TABLE ot (x integer, y text)",
	} {
		must(t, a, sql)
		must(t, b, sql)
	}
	for _, sql := range []string{
		"SELECT * FROM o1", "SELECT name, id FROM o1", "SELECT o1.name AS other, 1 AS one, id + 1, -id, id::bigint, id::integer, name::text, price::numeric, (id) FROM o1",
		"SELECT * FROM o1 a, o2 b", "SELECT b.*, a.name FROM o1 a JOIN o2 b ON a.id = b.ref", "SELECT * FROM o1 a JOIN o2 b USING (id)", "SELECT * FROM o1 a LEFT JOIN o2 b USING (id)",
		"SELECT * FROM o1 a RIGHT JOIN o2 b USING (id)", "SELECT * FROM o1 a FULL JOIN o2 b USING (id)", "SELECT id FROM o1 NATURAL JOIN o2",
		"SELECT x.name, x.id FROM (SELECT id, name FROM o1) x", "SELECT x.b FROM (SELECT id, name FROM o1) x(a, b)", "SELECT * FROM (SELECT count(*) AS n, id FROM o1 GROUP BY id) x",
		"WITH c AS (SELECT id, name FROM o1) SELECT * FROM c", "WITH c(a, b) AS (SELECT id, name FROM o1) SELECT b, a + 1 FROM c",
		"SELECT id FROM o1 UNION ALL SELECT id FROM o2", "SELECT x.id FROM (SELECT id FROM o1 UNION SELECT id FROM o2) x", "VALUES (1, 2)", "SELECT * FROM (VALUES (1, 2)) v(a, b)",
		"SELECT * FROM ov", "SELECT v.cost, v.id + 1 FROM ov v", "SELECT * FROM ovv", "SELECT * FROM om", "SELECT * FROM ot", "SELECT x.y FROM (SELECT * FROM ot) x",
		"SELECT DISTINCT name FROM o1", "SELECT DISTINCT ON (id) id, name, price FROM o1 ORDER BY id, name", "SELECT name, count(*) FROM o1 GROUP BY name", "SELECT price, n, max(id) FROM o1 GROUP BY price, n",
		"SELECT id, row_number() OVER (ORDER BY id) FROM o1", "SELECT name FROM o1 ORDER BY price LIMIT 3", "SELECT id FROM o1 WHERE id = $1 FOR UPDATE",
		"SELECT l.id FROM o1 a, LATERAL (SELECT a.id) l", "SELECT (SELECT id FROM o1 LIMIT 1)", "SELECT CASE WHEN true THEN id END FROM o1", "SELECT coalesce(id) FROM o1",
		"INSERT INTO o1 VALUES (1, 'a') RETURNING *", "INSERT INTO o1 (id) VALUES (1) RETURNING id AS x, name || 'x'", "UPDATE o1 SET name = 'x' RETURNING name, id + 1", "DELETE FROM o2 WHERE id = 1 RETURNING note",
		"SELECT g FROM generate_series(1, 2) g", "SELECT o1 IS NULL FROM o1", "SELECT lower(note), note::text, note::varchar, note::varchar(10), note::varchar(20) FROM o2",
	} {
		if want, got := origins(t, a, sql), origins(t, b, sql); got != want {
			t.Errorf("%s:\n  PostgreSQL %s\n  Tilehouse  %s", sql, want, got)
		}
	}
}
