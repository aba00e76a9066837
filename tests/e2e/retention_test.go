package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/harness"
)

// A table with a retention answers with the values of all rows that it ever had, or refuses: never a short sum. The oracle keeps every row,
// and the bound as the option says it: the UTC day of the newest event time less the retention. The option changes in between: what was
// dropped stays dropped.
func TestRetention(t *testing.T) {
	r := newRand(t)
	const (
		hour, day = int64(3600e6), int64(86400e6)
	)
	keep, floor := 3*day, int64(0) // floor: what retentions of before have dropped
	windows := map[string]int64{"spend_6h": 6 * hour, "spend_2d": 2 * day}
	base := time.Date(2024, 4, 2, 0, 0, 0, 0, time.UTC).UnixMicro()
	var now atomic.Int64
	now.Store(base)
	dir := t.TempDir()
	ctx := context.Background()
	var srv *harness.Server
	var conn *pgx.Conn
	open := func() {
		srv = harness.Start(t, harness.Options{Dir: dir, NoSettle: true, MemoryLimit: 256 << 20, Threads: 2, Clock: func() time.Time { return time.UnixMicro(now.Load()) }})
		conn = srv.Connect(t)
	}
	open()
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec("CREATE ENTITY cust (k bigint)")
	exec("CREATE TABLE ev (id bigint PRIMARY KEY, k bigint, v bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts', retention = '3 days')")
	exec("CREATE FEATURE spend ON cust AS SELECT k, sum(v) FROM ev GROUP BY k WINDOW 6 HOURS, 2 DAYS")
	exec("CREATE TABLE labels (n bigint, k bigint, t timestamptz)")
	type row struct {
		k, v, ts, position int64 // position: commits before it
	}
	var rows []row
	var commits []int64
	step := func() {
		now.Add(5 * hour)
		var vals []string
		for range 1 + r.IntN(12) {
			ts := now.Load() - r.Int64N(12*hour)
			if r.IntN(8) == 0 { // late
				ts -= r.Int64N(2 * day)
			}
			x := row{r.Int64N(3), r.Int64N(100), ts, int64(len(commits))}
			rows = append(rows, x)
			vals = append(vals, fmt.Sprintf("(%d, %d, %d, '%s')", len(rows), x.k, x.v, stamp(x.ts)))
		}
		exec("INSERT INTO ev VALUES " + strings.Join(vals, ", "))
		commits = append(commits, now.Load())
	}
	kept := func() int64 {
		newest := int64(0)
		for _, x := range rows {
			newest = max(newest, x.ts)
		}
		if keep == 0 {
			return floor
		}
		return max(floor, (newest-keep)/day*day)
	}
	change := func() {
		dropped := kept()
		if days := []int64{0, 3, 4, 5}[r.IntN(4)]; days == 0 {
			exec("ALTER TABLE ev RESET (retention)")
			keep = 0
		} else {
			exec(fmt.Sprintf("ALTER TABLE ev SET (retention = '%d days')", days))
			keep = days * day
		}
		if floor = max(0, dropped); floor < base-3*day { // nothing was there
			floor = 0
		}
		floor = max(floor, kept())
	}
	want := func(k, t, w int64, upTo int) string {
		if k := kept(); k > 0 && t-w < k {
			return "22023"
		}
		n, some := int64(0), false
		for _, x := range rows {
			if x.k == k && x.position < int64(upTo) && t-w <= x.ts && x.ts < t {
				n, some = n+x.v, true
			}
		}
		if !some {
			return "NULL"
		}
		return fmt.Sprint(n)
	}
	got := func(sql string) string {
		var s *string
		err := conn.QueryRow(ctx, sql, pgx.QueryExecModeSimpleProtocol).Scan(&s)
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
	refused, values := 0, 0
	check := func() {
		t.Helper()
		for range 8 {
			k, at := r.Int64N(3), now.Load()-r.Int64N(7*day)
			upTo := len(commits)
			system := ""
			if r.IntN(3) == 0 {
				upTo = 1 + r.IntN(len(commits))
				system = " FOR SYSTEM_TIME AS OF '" + stamp(commits[upTo-1]+hour) + "'"
			}
			for column, w := range windows {
				expect := want(k, at, w, upTo)
				exec(fmt.Sprintf("SET tilehouse.read_time = '%s'", stamp(at)))
				reads := []string{
					fmt.Sprintf("SELECT %s::text FROM cust%s WHERE k = %d", column, system, k),
					fmt.Sprintf("SELECT f.%s::text FROM (VALUES (%d::bigint, '%s'::timestamptz)) AS l(k, t) ASOF JOIN cust%s f ON f.k = l.k AND l.t > f.ts", column, k, stamp(at), system),
				}
				if system == "" {
					reads = append(reads, fmt.Sprintf("SELECT x.s::text FROM (VALUES (%d::bigint, '%s'::timestamptz)) AS l(k, t) ASOF JOIN (SELECT k, sum(v) AS s FROM ev GROUP BY k WINDOW %d SECONDS) x ON x.k = l.k AND l.t > x.ts", k, stamp(at), w/1e6))
				}
				for _, sql := range reads {
					if g := got(sql); g != expect {
						t.Fatalf("%s at %s\ngot %s, want %s; kept from %s", sql, stamp(at), g, expect, stamp(kept()))
					}
				}
				if expect == "22023" {
					refused++
				} else {
					values++
				}
			}
		}
	}
	for i := range 22 {
		step()
		check()
		if i > 5 && r.IntN(3) == 0 {
			change()
			check()
		}
		if i%3 == 2 {
			if err := srv.Engine.Settle(ctx); err != nil {
				t.Fatal(err)
			}
			live := 0
			for _, x := range rows {
				if x.ts >= kept() {
					live++
				}
			}
			if g := got("SELECT count(*)::text FROM ev"); g != fmt.Sprint(live) {
				t.Fatalf("the table has %s rows, and %d are kept", g, live)
			}
			if g := got("SELECT to_time::text || ' ' || state FROM tilehouse.materializations WHERE part = 'retention'"); kept() > base-3*day && g != time.UnixMicro(kept()).UTC().Format("2006-01-02 15:04:05+00")+" dropped" {
				t.Fatalf("tilehouse.materializations says %s, and rows are kept from %s", g, stamp(kept()))
			}
			check()
		}
		if i == 12 {
			srv.Stop()
			open()
			check()
		}
	}
	if refused < 30 || values < 100 {
		t.Errorf("%d reads were refused, %d had a value: the test shows little", refused, values)
	}
}
