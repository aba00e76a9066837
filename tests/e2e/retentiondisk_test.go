package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/harness"
)

// diskUse is the bytes of the files below a data directory, by the first part of their path. The file that only keeps space free is left out.
func diskUse(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // it was removed meanwhile
			return nil
		}
		if err != nil || d.IsDir() || d.Name() == "ballast" {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		first, _, _ := strings.Cut(rel, string(filepath.Separator))
		out[first] += info.Size()
		out["all"] += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A table that takes rows at a constant rate and keeps some days takes a constant room on disk, however long it goes on, and its values are
// those of the rows that it ever had, or refused, at every system time, after restarts, after its derived data is gone, and in a session
// that holds up the trimming of the log.
func TestRetentionDisk(t *testing.T) {
	r := newRand(t)
	const (
		hour, day = int64(3600e6), int64(86400e6)
		keep      = 3
	)
	days, perCommit, slack := int64(20), 120, int64(2<<20)
	if soak() {
		days, perCommit, slack = 120, 1500, 24<<20
	}
	base := time.Date(2024, 4, 2, 0, 0, 0, 0, time.UTC).UnixMicro()
	var now atomic.Int64
	now.Store(base)
	dir, ctx := t.TempDir(), context.Background()
	var srv *harness.Server
	var conn *pgx.Conn
	open := func() {
		srv = harness.Start(t, harness.Options{Dir: dir, NoSettle: true, MemoryLimit: 256 << 20, Threads: 2, MemTable: 256 << 10, Clock: func() time.Time { return time.UnixMicro(now.Load()) }})
		conn = srv.Connect(t)
	}
	open()
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%.200s: %v", sql, err)
		}
	}
	got := func(c *pgx.Conn, sql string) string {
		t.Helper()
		var s *string
		err := c.QueryRow(ctx, sql, pgx.QueryExecModeSimpleProtocol).Scan(&s)
		var pg *pgconn.PgError
		switch {
		case errors.As(err, &pg):
			return pg.Code
		case err != nil:
			t.Fatalf("%s: %v", sql, err)
		case s == nil:
			return "NULL"
		}
		return *s
	}
	exec("CREATE ENTITY cust (k bigint)")
	exec(fmt.Sprintf("CREATE TABLE ev (id bigint PRIMARY KEY, k bigint, old text, v bigint, note text, w integer, ts timestamptz NOT NULL) WITH (event_time = 'ts', retention = '%d days')", keep))
	exec("CREATE TABLE whole (id bigint PRIMARY KEY, k bigint, v bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts')")
	exec("CREATE FEATURE spend ON cust AS SELECT k, sum(v) FROM ev GROUP BY k WINDOW 6 HOURS, 2 DAYS")
	exec("CREATE FEATURE ever ON cust AS SELECT k, sum(v) FROM whole GROUP BY k WINDOW LIFETIME")
	type row struct {
		k, v, ts   int64
		came, went int // commits before it came, and went; went < 0: it was not deleted
	}
	var rows []row
	var commits []int64
	total, keys := map[int64]int64{}, int64(3)
	newest, timeColumn := int64(0), "ts"
	kept := func() int64 { return (newest - keep*day) / day * day }
	note := func() string {
		b := make([]byte, 100)
		for i := range b {
			b[i] = byte('a' + r.IntN(26))
		}
		return string(b)
	}
	write := func() {
		now.Add(4 * hour)
		var vals []string
		for range perCommit {
			ts := now.Load() - r.Int64N(8*hour)
			if r.IntN(50) == 0 { // late
				ts -= r.Int64N(2 * day)
			}
			rows = append(rows, row{r.Int64N(keys), r.Int64N(100), ts, len(commits), -1})
			x := &rows[len(rows)-1]
			vals = append(vals, fmt.Sprintf("(%d, %d, %d, '%s', %d, '%s')", len(rows), x.k, x.v, note(), x.v, stamp(x.ts)))
			newest = max(newest, ts)
		}
		exec("INSERT INTO ev (id, k, v, note, w, " + timeColumn + ") VALUES " + strings.Join(vals, ", "))
		commits = append(commits, now.Load())
		now.Add(hour)
		k, v := r.Int64N(keys), r.Int64N(10)
		total[k] += v
		exec(fmt.Sprintf("INSERT INTO whole VALUES (%d, %d, %d, '%s')", len(commits), k, v, stamp(now.Load()-1)))
		if r.IntN(2) == 0 { // somebody deletes and updates, too
			now.Add(hour)
			i := len(rows) - 1 - r.IntN(min(len(rows), 4*perCommit))
			if rows[i].went < 0 && rows[i].ts >= kept()+day {
				exec(fmt.Sprintf("DELETE FROM ev WHERE id = %d", i+1))
				rows[i].went = len(commits)
				commits = append(commits, now.Load())
			}
		}
	}
	sum := func(k, t, w int64, upTo int) string {
		if kept() > t-w {
			return "22023"
		}
		n, some := int64(0), false
		for i := range rows {
			x := &rows[i]
			if x.k == k && x.came < upTo && (x.went < 0 || x.went >= upTo) && t-w <= x.ts && x.ts < t {
				n, some = n+x.v, true
			}
		}
		if !some {
			return "NULL"
		}
		return fmt.Sprint(n)
	}
	refused, values := 0, 0
	check := func(times int) {
		t.Helper()
		for range times {
			k, at := r.Int64N(keys), now.Load()-r.Int64N((keep+2)*day)
			upTo, system := len(commits), ""
			if r.IntN(2) == 0 {
				upTo = 1 + r.IntN(len(commits))
				system = " FOR SYSTEM_TIME AS OF '" + stamp(commits[upTo-1]+hour/2) + "'"
			}
			for column, w := range map[string]int64{"spend_6h": 6 * hour, "spend_2d": 2 * day} {
				want := sum(k, at, w, upTo)
				exec(fmt.Sprintf("SET tilehouse.read_time = '%s'", stamp(at)))
				for _, sql := range []string{
					fmt.Sprintf("SELECT %s::text FROM cust%s WHERE k = %d", column, system, k),
					fmt.Sprintf("SELECT f.%s::text FROM (VALUES (%d::bigint, '%s'::timestamptz)) AS l(k, t) ASOF JOIN cust%s f ON f.k = l.k AND l.t > f.ts", column, k, stamp(at), system),
				} {
					if g := got(conn, sql); g != want {
						t.Fatalf("day %d: %s at %s\ngot %s, want %s; kept from %s", (now.Load()-base)/day, sql, stamp(at), g, want, stamp(kept()))
					}
				}
				if want == "22023" {
					refused++
				} else {
					values++
				}
			}
		}
		exec("SET tilehouse.read_time = ''")
		live, sum := 0, int64(0)
		for i := range rows {
			if rows[i].went < 0 && rows[i].ts >= kept() {
				live, sum = live+1, sum+rows[i].v
			}
		}
		want := fmt.Sprintf("%d rows, %d, %[2]d, %[1]d notes", live, sum)
		if g := got(conn, fmt.Sprintf("SELECT concat(count(*), ' rows, ', sum(v), ', ', sum(w), ', ', count(note), ' notes') FROM ev WHERE %s >= '%s'", timeColumn, stamp(kept()))); g != want {
			t.Fatalf("the table has %s, and %s are kept", g, want)
		}
		for k := range keys {
			want := "NULL"
			if n, ok := total[k]; ok {
				want = fmt.Sprint(n)
			}
			if g := got(conn, fmt.Sprintf("SELECT ever::text FROM cust WHERE k = %d", k)); g != want {
				t.Fatalf("the table that is kept whole gives %s for %d, not %s", g, k, want)
			}
		}
	}
	settle := func() {
		t.Helper()
		for range 2 {
			if err := srv.Engine.Settle(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	trimmed := func() (state, before string, rows, bytes int64) {
		t.Helper()
		var at *time.Time
		if err := conn.QueryRow(ctx, "SELECT state, to_time, rows, bytes FROM tilehouse.materializations WHERE relation = 'ev' AND part = 'log, trimmed'").Scan(&state, &at, &rows, &bytes); err != nil {
			t.Fatal(err)
		}
		if at != nil {
			before = stamp(at.UnixMicro())
		}
		return
	}
	var sizes []map[string]int64
	for d := range days {
		for range 4 {
			write()
		}
		var old *pgx.Conn
		if d == days/3 { // a session reads one snapshot all day long: what it sees stays
			old = srv.Connect(t)
			for _, sql := range []string{"BEGIN ISOLATION LEVEL SERIALIZABLE", "SELECT count(*) FROM ev"} {
				if _, err := old.Exec(ctx, sql); err != nil {
					t.Fatal(err)
				}
			}
			saw := got(old, "SELECT count(*)::text || ' ' || sum(v)::text FROM ev")
			for range 8 {
				write()
			}
			settle()
			if state, _, _, _ := trimmed(); state != "waits for sessions that read" {
				t.Fatalf("the log's trim is %q beside a session that reads", state)
			}
			if again := got(old, "SELECT count(*)::text || ' ' || sum(v)::text FROM ev"); again != saw {
				t.Fatalf("a transaction that saw %s sees %s", saw, again)
			}
			if _, err := old.Exec(ctx, "COMMIT"); err != nil {
				t.Fatal(err)
			}
		}
		check(2)
		settle()
		check(4)
		// What the newest rows bring is dropped by the next settlement, so that the trim is at what is kept now.
		if _, before, _, _ := trimmed(); kept() > base && before != stamp(kept()) {
			t.Fatalf("day %d: the log is trimmed before %s, rows are kept from %s", d, before, stamp(kept()))
		}
		switch d { // what was written before is stored as it was
		case days / 4:
			exec("ALTER TABLE ev DROP COLUMN old")
		case days * 2 / 5:
			exec("ALTER TABLE ev ALTER COLUMN w TYPE bigint")
		case days * 3 / 5:
			exec("ALTER TABLE ev ADD COLUMN later bigint DEFAULT 5")
		case days * 4 / 5:
			exec("ALTER TABLE ev RENAME COLUMN ts TO happened")
			timeColumn = "happened"
		}
		if d == days/2 || d == days-2 {
			srv.Stop()
			if d == days-2 { // everything derived is made anew of what the log still has
				for _, what := range []string{"runs", "projections.duckdb", "projections.duckdb.wal"} {
					if err := os.RemoveAll(filepath.Join(dir, what)); err != nil {
						t.Fatal(err)
					}
				}
			}
			open()
			check(4)
			exec("REFRESH FEATURE spend FULL")
			check(4)
		}
		sizes = append(sizes, diskUse(t, dir))
		if d%4 == 3 {
			state, before, n, bytes := trimmed()
			t.Logf("day %d: %v; trimmed before %s: %d rows, %d bytes (%s)", d, sizes[d], before, n, bytes, state)
		}
	}
	mean := func(days []map[string]int64, part string) (n int64) {
		for _, d := range days {
			n += d[part]
		}
		return n / int64(len(days))
	}
	third := int(days / 3)
	for _, part := range slices.Sorted(func(yield func(string) bool) {
		for p := range sizes[len(sizes)-1] {
			if !yield(p) {
				return
			}
		}
	}) {
		early, late := mean(sizes[keep+3:keep+3+third], part), mean(sizes[len(sizes)-third:], part)
		t.Logf("%s: %d bytes on average early, %d late", part, early, late)
		// A file of DuckDB's has twice what a checkpoint writes, which gives up deleted rows by groups of 122,880: some days of these rows.
		if part == "log" && late > early+early/4+256<<10 || part == "all" && late > early+early/2+slack {
			t.Errorf("%s grows: %d bytes early, %d late", part, early, late)
		}
	}
	if refused < 20 || values < 60 {
		t.Errorf("%d reads were refused, %d had a value: the test shows little", refused, values)
	}
}
