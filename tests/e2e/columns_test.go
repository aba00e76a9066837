package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/harness"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// Columns of an event table are added, dropped, renamed and widened, under names that come again, between inserts, updates, deletes, settled
// days, rebuilds and restarts. The table is PostgreSQL's, which runs the same statements; features over it and over event views have the
// values that PostgreSQL computes from its rows, online, in joins and at positions of before, until a column that they read is dropped.
func TestChangedColumns(t *testing.T) {
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
	var statements []string // told where one fails
	run := func(c *pgx.Conn, sql string) {
		t.Helper()
		if c == conn {
			statements = append(statements, sql)
		}
		if _, err := c.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			var e *pgconn.PgError
			errors.As(err, &e)
			t.Fatalf("%s: %v %s\n%s", sql, err, e.Detail, strings.Join(statements, ";\n"))
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
			t.Fatalf("%s: %v\n%s", sql, res.Err(), strings.Join(statements, ";\n"))
		}
		return out.String()
	}
	create := "CREATE TABLE ev (id integer PRIMARY KEY, k integer NOT NULL, a integer, ts timestamptz NOT NULL)"
	run(pg, create)
	run(conn, create+" WITH (event_time = 'ts')")
	run(conn, "CREATE ENTITY cust (k bigint)")
	type column struct{ name, typ string }
	type feature struct {
		name   string
		column *column
	}
	key, id, at := &column{"k", "integer"}, &column{"id", "integer"}, &column{"ts", "timestamptz"}
	values := []*column{{"a", "integer"}} // numbers that features aggregate
	named := []*column{key, id, at}       // the others
	var features []feature
	made, next := 0, 0
	any := func() *column { return values[r.IntN(len(values))] }
	free := func() string { // a name that no column has
		for {
			n := string(rune('a' + r.IntN(10)))
			if r.IntN(4) == 0 {
				n = []string{"to", "Sum", "min x", "filter", "k2"}[r.IntN(5)]
			}
			if !slices.ContainsFunc(append(slices.Clone(values), named...), func(c *column) bool { return strings.EqualFold(c.name, n) }) {
				return n
			}
		}
	}
	q := func(name string) string { return `"` + name + `"` }
	makeFeature := func() {
		c, name := any(), fmt.Sprintf("f%d", made)
		made++
		from, x, k := "ev", q(c.name), q(key.name)
		switch r.IntN(3) {
		case 0: // a view of some columns
			run(conn, fmt.Sprintf("CREATE VIEW v%s WITH (event_time = 'happened') AS SELECT %s AS k, %s AS happened, e.%s AS x FROM ev e", name, q(key.name), q(at.name), q(c.name)))
			from, x, k = "v"+name, "x", "k"
		case 1: // an alias
			from, x, k = "ev AS e", "e."+q(c.name), "e."+q(key.name)
		}
		run(conn, fmt.Sprintf("CREATE FEATURE %s ON cust AS SELECT %s AS k, sum(%s::bigint) AS s, count(*) AS n FROM %s WHERE %[3]s IS DISTINCT FROM 3 GROUP BY %[2]s WINDOW 2 DAYS, LIFETIME", name, k, x, from))
		features = append(features, feature{name, c})
	}
	makeFeature()
	defaults := []string{"", " DEFAULT 7", " DEFAULT -3 NOT NULL", " DEFAULT 3", " DEFAULT NULL"}
	type past struct {
		clock, cut int64
		key        int
		f          feature
		value      string
	}
	var history []past
	change := func() {
		switch r.IntN(6) {
		case 0, 1:
			if len(values) > 6 {
				return
			}
			c := &column{free(), []string{"integer", "bigint", "smallint"}[r.IntN(3)]}
			both(fmt.Sprintf("ALTER TABLE ev ADD COLUMN %s %s%s", q(c.name), c.typ, defaults[r.IntN(len(defaults))]))
			values = append(values, c)
		case 2, 3:
			all := append(slices.Clone(values), named...)
			c := all[r.IntN(len(all))]
			to := free()
			both(fmt.Sprintf("ALTER TABLE ev RENAME COLUMN %s TO %s", q(c.name), q(to)))
			c.name = to
		case 4:
			if len(values) < 2 {
				return
			}
			i := r.IntN(len(values))
			c := values[i]
			both(fmt.Sprintf("ALTER TABLE ev DROP COLUMN %s CASCADE", q(c.name)))
			values = slices.Delete(values, i, i+1)
			features = slices.DeleteFunc(features, func(f feature) bool { return f.column == c })
			history = slices.DeleteFunc(history, func(h past) bool { return h.f.column == c })
		default:
			c := any()
			if r.IntN(4) == 0 {
				c = id
			}
			if c.typ != "bigint" && !slices.ContainsFunc(features, func(f feature) bool { return f.column == c }) {
				c.typ = map[string]string{"smallint": "integer", "integer": "bigint"}[c.typ]
				both(fmt.Sprintf("ALTER TABLE ev ALTER COLUMN %s TYPE %s", q(c.name), c.typ))
			}
		}
	}
	for step := range 80 {
		now.Add(int64(5 * time.Hour / time.Microsecond))
		switch r.IntN(12) {
		case 0, 1, 2:
			change()
		case 3:
			if len(features) < 6 {
				makeFeature()
			}
		case 4:
			both(fmt.Sprintf("UPDATE ev SET %s = %d WHERE %s = %d AND %s %% 3 = %d", q(any().name), r.IntN(9), q(key.name), r.IntN(3), q(id.name), r.IntN(3)))
		case 5:
			both(fmt.Sprintf("DELETE FROM ev WHERE %s %% 7 = %d", q(id.name), r.IntN(7)))
		case 6: // nothing stays of what is rolled back
			kept, keptNamed, keptFeatures, keptHistory := []column{}, []column{}, slices.Clone(features), slices.Clone(history)
			old := slices.Clone(values)
			for _, c := range values {
				kept = append(kept, *c)
			}
			for _, c := range named {
				keptNamed = append(keptNamed, *c)
			}
			both("BEGIN")
			for range 3 {
				change()
			}
			end := []string{"COMMIT", "ROLLBACK"}[r.IntN(2)]
			both(end)
			if end == "ROLLBACK" {
				values, features, history = old, keptFeatures, keptHistory
				for i, c := range values {
					*c = kept[i]
				}
				for i, c := range named {
					*c = keptNamed[i]
				}
			}
		case 7:
			if err := srv.Engine.Settle(ctx); err != nil {
				t.Fatal(err)
			}
		case 8:
			switch {
			case step%3 == 0:
				srv.Stop()
				open()
			case len(features) > 0:
				run(conn, "REFRESH FEATURE "+features[r.IntN(len(features))].name)
			}
		default:
			var vals []string
			for range 1 + r.IntN(8) {
				next++
				vals = append(vals, fmt.Sprintf("(%d, %d, '%s', %d)", next, r.IntN(3), stamp(now.Load()-r.Int64N(day)), r.IntN(9)))
			}
			both(fmt.Sprintf("INSERT INTO ev (%s, %s, %s, %s) VALUES %s", q(id.name), q(key.name), q(at.name), q(any().name), strings.Join(vals, ", ")))
		}
		all := fmt.Sprintf("SELECT * FROM ev ORDER BY %s", q(id.name))
		if got, want := rows(conn, all), rows(pg, all); got != want {
			t.Fatalf("step %d: %s\ngot\n%swant\n%s\n%s", step, all, got, want, strings.Join(statements, ";\n"))
		}
		columns := "SELECT attname, attnum, atttypid::regtype, attnotnull, attisdropped FROM pg_attribute WHERE attrelid = 'ev'::regclass AND attnum > 0 ORDER BY attnum"
		if got, want := rows(conn, columns), rows(pg, columns); got != want {
			t.Fatalf("step %d: %s\ngot\n%swant\n%s\n%s", step, columns, got, want, strings.Join(statements, ";\n"))
		}
		if len(features) == 0 {
			makeFeature()
		}
		cut := now.Load() - r.Int64N(2*day)
		run(conn, fmt.Sprintf("SET tilehouse.read_time = '%s'", stamp(cut)))
		f := features[r.IntN(len(features))]
		naive := func(k, cut string) string {
			part := func(what, more string) string {
				return fmt.Sprintf("(SELECT %s FROM ev WHERE %s = %s AND %s < %s%s AND %s IS DISTINCT FROM 3)", what, q(key.name), k, q(at.name), cut, more, q(f.column.name))
			}
			window := fmt.Sprintf(" AND %s >= %s - INTERVAL '2 days'", q(at.name), cut)
			sum := fmt.Sprintf("sum(%s::bigint)", q(f.column.name))
			return strings.Join([]string{part(sum, window), part("count(*)", window), part(sum, ""), part("count(*)", "")}, ", ")
		}
		cols := func(f feature, of string) string {
			return fmt.Sprintf("%s%s_s_2d, %[1]s%[2]s_n_2d, %[1]s%[2]s_s_lifetime, %[1]s%[2]s_n_lifetime", of, f.name)
		}
		for k := range 3 {
			got := rows(conn, fmt.Sprintf("SELECT %s FROM cust WHERE k = %d", cols(f, ""), k))
			want := rows(pg, "SELECT "+naive(fmt.Sprint(k), "'"+stamp(cut)+"'::timestamptz"))
			if got != want {
				t.Fatalf("step %d, key %d, %s at %s: got %s, want %s\n%s", step, k, f.name, stamp(cut), got, want, strings.Join(statements, ";\n"))
			}
			history = append(history, past{now.Load() + 1e6, cut, k, f, want})
		}
		got := rows(conn, fmt.Sprintf("SELECT l.%s, %s FROM ev l ASOF JOIN cust f ON f.k = l.%s AND l.%s > f.ts ORDER BY 1", q(id.name), cols(f, "f."), q(key.name), q(at.name)))
		if want := rows(pg, fmt.Sprintf("SELECT l.%s, %s FROM ev l ORDER BY 1", q(id.name), naive("l."+q(key.name), "l."+q(at.name)))); got != want {
			t.Fatalf("step %d: joined\n%swant\n%s\n%s", step, got, want, strings.Join(statements, ";\n"))
		}
		h := history[r.IntN(len(history))]
		run(conn, fmt.Sprintf("SET tilehouse.read_time = '%s'", stamp(h.cut)))
		if got = rows(conn, fmt.Sprintf("SELECT %s FROM cust FOR SYSTEM_TIME AS OF '%s' WHERE k = %d", cols(h.f, ""), stamp(h.clock), h.key)); got != h.value {
			t.Fatalf("step %d: %+v as known then: %s\n%s", step, h, got, strings.Join(statements, ";\n"))
		}
	}
}

// Retention trims the log by the event time, wherever a dropped column has left it; what a table had before is then refused, not short.
func TestTrimmedColumns(t *testing.T) {
	ctx := context.Background()
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
	one := func(sql string) (out string) {
		t.Helper()
		if err := conn.QueryRow(ctx, sql).Scan(&out); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return out
	}
	for _, sql := range []string{
		"CREATE TABLE ev (note timestamptz, id bigint, at timestamptz NOT NULL, x bigint) WITH (event_time = 'at', retention = '2 days')",
		"INSERT INTO ev SELECT '2030-01-01', i, timestamptz '2024-03-25 00:00Z' + i * interval '1 hour', i FROM generate_series(1, 100) AS g(i)",
		"ALTER TABLE ev DROP COLUMN note",
		"ALTER TABLE ev RENAME COLUMN at TO happened",
		"INSERT INTO ev SELECT i, timestamptz '2024-03-25 00:00Z' + i * interval '1 hour', i FROM generate_series(101, 190) AS g(i)",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	const rows = "SELECT count(*) || ' ' || min(id) || ' ' || sum(x) FROM ev"
	then := "2024-04-02 00:00:30Z"
	now.Add(60e6)
	if got := one(rows + " FOR SYSTEM_TIME AS OF '" + then + "'"); got != "190 1 18145" {
		t.Fatal(got)
	}
	for range 3 {
		now.Add(int64(24 * time.Hour / time.Microsecond))
		if err := srv.Engine.Settle(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if got := one("SELECT rows::text FROM tilehouse.materializations WHERE part = 'log, trimmed'"); got == "0" {
		t.Fatal("nothing was trimmed")
	}
	const kept = "71 120 11005"
	if got := one(rows); got != kept {
		t.Fatal(got)
	}
	_, err := conn.Exec(ctx, rows+" FOR SYSTEM_TIME AS OF '"+then+"'")
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != "22023" {
		t.Fatal(err)
	}
	srv.Stop()
	open()
	if got := one(rows); got != kept {
		t.Fatal(got)
	}
}
