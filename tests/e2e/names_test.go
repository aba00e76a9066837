package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// Words that DuckDB reserves and PostgreSQL does not are names like any other: of columns of tables, of left sides and of keys.
func TestNames(t *testing.T) {
	w := newWorldAt(t, newRand(t), worldOptions{base: time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC).UnixMicro()})
	for i, name := range []string{"at", "qualify", "pivot", "unpivot", "pivot_longer", "pivot_wider", "lambda", "describe", "show", "summarize", "semi", "anti", "positional",
		"asof", "glob", "map", "struct", "macro", "sample", "exclude", "columns", "value", "rows", "type", "groups", "try_cast", "by", "generated", "unpack"} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.exec(fmt.Sprintf("CREATE TABLE t%d (%s bigint, x bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts')", i, name))
			w.exec(fmt.Sprintf("CREATE ENTITY e%d (%s bigint)", i, name))
			w.exec(fmt.Sprintf("INSERT INTO t%d (%s, x, ts) VALUES (1, 5, '2024-02-01')", i, name))
			w.exec(fmt.Sprintf("CREATE FEATURE f%d ON e%d AS SELECT %s, sum(x) FROM t%d WHERE %s > 0 GROUP BY %s WINDOW 7 DAYS", i, i, name, i, name, name))
			w.exec(fmt.Sprintf("INSERT INTO t%d (%s, x, ts) VALUES (1, 6, '2024-02-02')", i, name))
			w.exec("SET tilehouse.read_time = '2024-02-03 00:00:00Z'")
			for _, sql := range []string{
				fmt.Sprintf("SELECT f%d AS v FROM e%d WHERE %s = 1", i, i, name),
				fmt.Sprintf("SELECT f.f%d AS v FROM (VALUES (1::bigint, '2024-02-03 00:00:00Z'::timestamptz)) l(%s, moment) ASOF JOIN e%d f ON f.%s = l.%s AND l.moment > f.ts", i, name, i, name, name),
				fmt.Sprintf("SELECT sum(l.%s) + 10 AS v FROM t%d l WHERE l.%s = 1 AND x = 5", name, i, name),
			} {
				want := "11"
				if rows := w.query(true, sql); len(rows) != 1 || rows[0]["v"] != want {
					t.Errorf("%s: %v, want %s", sql, rows, want)
				}
			}
		})
	}
}

// A label is NULL, its count too, until its source is complete through the end of its window: for event tables until the clock
// has passed it.
func TestLabelsWaitForTheirWindow(t *testing.T) {
	w := newWorldAt(t, newRand(t), worldOptions{base: 0})
	w.exec("CREATE TABLE ev (k bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts')")
	w.exec("CREATE ENTITY cust (k bigint)")
	w.exec("CREATE FEATURE n ON cust AS SELECT k, count(*) FROM ev GROUP BY k WINDOW 2 DAYS FOLLOWING")
	at := w.clock.Load()
	w.exec(fmt.Sprintf("INSERT INTO ev VALUES (1, '%s'), (1, '%s'), (1, '%s')", stamp(at-2*day), stamp(at-2*day+1), stamp(at)))
	for _, c := range []struct {
		cut  int64
		want string
	}{{at - 2*day, "2"}, {at - 2*day - 1, "2"}, {at - 2*day + 1, "NULL"}, {at - 4*day, "1"}, {at - 4*day - 1, "0"}} {
		sql := fmt.Sprintf("SELECT f.n FROM (VALUES (1::bigint, '%s'::timestamptz)) l(k, ts) ASOF JOIN cust f ON f.k = l.k AND l.ts > f.ts", stamp(c.cut))
		if rows := w.query(true, sql); len(rows) != 1 || rows[0]["n"] != c.want {
			t.Errorf("at %s: %v, want %s", stamp(c.cut), rows, c.want)
		}
	}
}
