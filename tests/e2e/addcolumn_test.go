package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/tests/harness"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// Columns added to an event table, between inserts, updates, deletes, settled days and restarts: the table is PostgreSQL's, which runs
// the same statements, and features over old and new columns, made at any time, have the values that PostgreSQL computes from its rows,
// online, in joins and at positions of before.
func TestAddedColumns(t *testing.T) {
	r := newRand(t)
	ctx := context.Background()
	pg, err := pgx.Connect(ctx, postgres.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close(ctx)
	const day = int64(86400e6)
	var now atomic.Int64
	now.Store(time.Date(2024, 4, 2, 0, 0, 0, 0, time.UTC).UnixMicro())
	dir := t.TempDir()
	var srv *harness.Server
	var conn *pgx.Conn
	open := func() {
		srv = harness.Start(t, harness.Options{Dir: dir, NoSettle: true, Threads: 2, Clock: func() time.Time { return time.UnixMicro(now.Load()) }})
		conn = srv.Connect(t)
	}
	open()
	run := func(c *pgx.Conn, sql string) {
		t.Helper()
		if _, err := c.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	both := func(sql string) { t.Helper(); run(conn, sql); run(pg, sql) }
	rows := func(c *pgx.Conn, sql string) string {
		t.Helper()
		res, err := c.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		defer res.Close()
		var out strings.Builder
		for res.Next() {
			for _, v := range res.RawValues() {
				fmt.Fprintf(&out, "%v|", string(v))
			}
			out.WriteByte('\n')
		}
		if res.Err() != nil {
			t.Fatalf("%s: %v", sql, res.Err())
		}
		return out.String()
	}
	create := "CREATE TABLE ev (id bigint PRIMARY KEY, k bigint NOT NULL, v0 bigint, ts timestamptz NOT NULL)"
	run(pg, create)
	run(conn, create+" WITH (event_time = 'ts')")
	run(conn, "CREATE ENTITY cust (k bigint)")
	columns := []string{"v0"} // that are numbers
	var features []string     // feature fI is of column features[I]
	feature := func() {
		c := columns[r.IntN(len(columns))]
		run(conn, fmt.Sprintf("CREATE FEATURE f%d ON cust AS SELECT k, sum(%s) AS s, count(*) AS n FROM ev WHERE %[2]s IS DISTINCT FROM 3 GROUP BY k WINDOW 2 DAYS, LIFETIME", len(features), c))
		features = append(features, c)
	}
	feature()
	defaults := []string{"", " DEFAULT 7", " DEFAULT -3 NOT NULL", " DEFAULT 3", " DEFAULT NULL"}
	id := 0
	type past struct {
		clock, cut  int64
		key         int
		cols, value string
	}
	var history []past
	for step := range 60 {
		now.Add(int64(5 * time.Hour / time.Microsecond))
		switch r.IntN(12) {
		case 0, 1:
			c := fmt.Sprintf("v%d", len(columns))
			both(fmt.Sprintf("ALTER TABLE ev ADD COLUMN %s bigint%s", c, defaults[r.IntN(len(defaults))]))
			columns = append(columns, c)
		case 2:
			feature()
		case 3:
			both(fmt.Sprintf("UPDATE ev SET %s = %d WHERE k = %d AND id %% 3 = %d", columns[r.IntN(len(columns))], r.IntN(9), r.IntN(3), r.IntN(3)))
		case 4:
			both(fmt.Sprintf("DELETE FROM ev WHERE id %% 7 = %d", r.IntN(7)))
		case 5:
			c := columns[r.IntN(len(columns))]
			both(fmt.Sprintf("ALTER TABLE ev ALTER COLUMN %s SET DEFAULT %d", c, r.IntN(9)))
		case 6:
			if err := srv.Engine.Settle(ctx); err != nil {
				t.Fatal(err)
			}
		case 7:
			if step%3 == 0 {
				srv.Stop()
				open()
			}
		default:
			var vals []string
			for range 1 + r.IntN(8) {
				id++
				vals = append(vals, fmt.Sprintf("(%d, %d, '%s')", id, r.IntN(3), stamp(now.Load()-r.Int64N(day))))
			}
			list, some := "id, k, ts", columns[r.IntN(len(columns))]
			for i := range vals {
				vals[i] = strings.TrimSuffix(vals[i], ")") + fmt.Sprintf(", %d)", r.IntN(9))
			}
			both(fmt.Sprintf("INSERT INTO ev (%s, %s) VALUES %s", list, some, strings.Join(vals, ", ")))
		}
		all := "SELECT id, k, ts, " + strings.Join(columns, ", ") + " FROM ev ORDER BY id"
		got, want := rows(conn, all), rows(pg, all)
		if got != want {
			t.Fatalf("step %d: %s\ngot\n%swant\n%s", step, all, got, want)
		}
		cut := now.Load() - r.Int64N(2*day)
		run(conn, fmt.Sprintf("SET tilehouse.read_time = '%s'", stamp(cut)))
		i := r.IntN(len(features))
		naive := func(k, cut string) string {
			part := func(what, more string) string {
				return fmt.Sprintf("(SELECT %s FROM ev WHERE k = %s AND ts < %s%s AND %s IS DISTINCT FROM 3)", what, k, cut, more, features[i])
			}
			window := fmt.Sprintf(" AND ts >= %s - INTERVAL '2 days'", cut)
			sum := fmt.Sprintf("sum(%s)", features[i])
			return strings.Join([]string{part(sum, window), part("count(*)", window), part(sum, ""), part("count(*)", "")}, ", ")
		}
		cols := fmt.Sprintf("f%d_s_2d, f%[1]d_n_2d, f%[1]d_s_lifetime, f%[1]d_n_lifetime", i)
		for k := range 3 {
			got = rows(conn, fmt.Sprintf("SELECT %s FROM cust WHERE k = %d", cols, k))
			if want = rows(pg, "SELECT "+naive(fmt.Sprint(k), "'"+stamp(cut)+"'::timestamptz")); got != want {
				t.Fatalf("step %d, key %d at %s: got %s, want %s", step, k, stamp(cut), got, want)
			}
			history = append(history, past{now.Load() + 1e6, cut, k, cols, want})
		}
		got = rows(conn, fmt.Sprintf("SELECT l.id, %s FROM ev l ASOF JOIN cust f ON f.k = l.k AND l.ts > f.ts ORDER BY l.id", "f."+strings.ReplaceAll(cols, ", ", ", f.")))
		if want = rows(pg, "SELECT l.id, "+naive("l.k", "l.ts")+" FROM ev l ORDER BY l.id"); got != want {
			t.Fatalf("step %d: joined\n%swant\n%s", step, got, want)
		}
		h := history[r.IntN(len(history))]
		run(conn, fmt.Sprintf("SET tilehouse.read_time = '%s'", stamp(h.cut)))
		if got = rows(conn, fmt.Sprintf("SELECT %s FROM cust FOR SYSTEM_TIME AS OF '%s' WHERE k = %d", h.cols, stamp(h.clock), h.key)); got != h.value {
			t.Fatalf("step %d: %+v as known then: %s", step, h, got)
		}
	}
}
