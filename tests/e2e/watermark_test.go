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

	"github.com/tilehouse/tilehouse/tests/harness"
)

// A label over an event table with a watermark is NULL until its window ended at or before the watermark of the position that is read: the
// newest event time ever given up to there, less the delay. The oracle keeps every row with the steps that brought it and took it away.
func TestWatermark(t *testing.T) {
	r := newRand(t)
	const minute, width, delay = int64(60e6), int64(90 * 60e6), int64(20 * 60e6)
	base := time.Date(2024, 4, 2, 20, 0, 0, 0, time.UTC).UnixMicro() // windows go over midnight
	var now atomic.Int64
	now.Store(base - minute)
	dir := t.TempDir()
	var srv *harness.Server
	var conn *pgx.Conn
	open := func() {
		srv = harness.Start(t, harness.Options{Dir: dir, MemoryLimit: 256 << 20, Threads: 2, Clock: func() time.Time { return time.UnixMicro(now.Load()) }})
		conn = srv.Connect(t)
	}
	open()
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec("CREATE ENTITY cust (k bigint)")
	exec("CREATE TABLE labels (n bigint, k bigint, t timestamptz)")
	type label struct{ n, k, t int64 }
	var labels []label
	for n := range int64(60) {
		l := label{n, r.Int64N(3), base - 2*60*minute + r.Int64N(9*60)*minute}
		labels = append(labels, l)
		exec(fmt.Sprintf("INSERT INTO labels VALUES (%d, %d, '%s')", l.n, l.k, stamp(l.t)))
	}
	// The table and its first row come in one transaction.
	exec("BEGIN")
	exec("CREATE TABLE ev (id bigint PRIMARY KEY, k bigint, ts timestamptz NOT NULL, WATERMARK FOR ts AS ts - INTERVAL '20 minutes') WITH (event_time = 'ts')")
	type row struct {
		k, ts       int64
		added, gone int // steps; gone 0: never
	}
	rows := map[int64]*row{}
	nextID, step := int64(1), 1
	insert := func() {
		var vals []string
		for range 1 + r.IntN(3) {
			v := &row{k: r.Int64N(3), ts: now.Load() - 3*60*minute + r.Int64N(3*60)*minute, added: step}
			rows[nextID] = v
			vals = append(vals, fmt.Sprintf("(%d, %d, '%s')", nextID, v.k, stamp(v.ts)))
			nextID++
		}
		exec("INSERT INTO ev VALUES " + strings.Join(vals, ", "))
	}
	insert()
	exec("COMMIT")
	exec("CREATE VIEW seen WITH (event_time = 'ts') AS SELECT k, ts FROM ev")
	exec("CREATE FEATURE soon ON cust AS SELECT k, count(*) FROM ev GROUP BY k WINDOW 90 MINUTES FOLLOWING")
	exec("CREATE FEATURE viewed ON cust AS SELECT k, count(*) FROM seen GROUP BY k WINDOW 90 MINUTES FOLLOWING")
	commits := []int64{now.Load()}
	for range 14 {
		now.Add(20 * minute)
		step++
		if r.IntN(3) == 0 {
			// The newest row of all goes, too: the watermark stays.
			var newest int64
			for id, v := range rows {
				if v.gone == 0 && (newest == 0 || v.ts > rows[newest].ts) {
					newest = id
				}
			}
			if newest != 0 {
				rows[newest].gone = step
				exec(fmt.Sprintf("DELETE FROM ev WHERE id = %d", newest))
				commits = append(commits, now.Load())
				continue
			}
		}
		insert()
		commits = append(commits, now.Load())
	}
	counted, nulls := 0, 0
	check := func(upTo int, from string) {
		t.Helper()
		mark := int64(-1 << 62)
		for _, v := range rows {
			if v.added <= upTo {
				mark = max(mark, v.ts)
			}
		}
		res, err := conn.Query(context.Background(), "SELECT l.n, f.soon, f.viewed FROM labels l ASOF JOIN "+from+" f ON f.k = l.k AND l.t > f.ts ORDER BY l.n")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Close()
		for _, l := range labels {
			var n int64
			var got, viewed *int64
			if !res.Next() || res.Scan(&n, &got, &viewed) != nil || n != l.n {
				t.Fatalf("label %d is missing: %v", l.n, res.Err())
			}
			var want *int64
			if l.t+width <= mark-delay {
				want = new(int64)
				for _, v := range rows {
					if v.k == l.k && v.added <= upTo && (v.gone == 0 || v.gone > upTo) && l.t < v.ts && v.ts <= l.t+width {
						*want++
					}
				}
				counted++
			} else {
				nulls++
			}
			for _, g := range []*int64{got, viewed} {
				if (g == nil) != (want == nil) || g != nil && *g != *want {
					t.Fatalf("step %d, label %d of key %d at %s, watermark %s: got %s, want %s", upTo, l.n, l.k, stamp(l.t), stamp(mark-delay), number(g), number(want))
				}
			}
		}
	}
	for round := range 2 {
		for i, c := range commits {
			check(i+1, "cust FOR SYSTEM_TIME AS OF '"+stamp(c+minute)+"'")
		}
		check(step, "cust")
		exec("SET tilehouse.use_runs = off")
		check(step, "cust")
		// EXPLAIN FEATURE says the same as the join.
		for _, l := range labels[:6] {
			var lines []string
			res, _ := conn.Query(context.Background(), fmt.Sprintf("EXPLAIN FEATURE soon FOR (%d) AT '%s'", l.k, stamp(l.t)))
			for res.Next() {
				var s string
				if err := res.Scan(&s); err != nil {
					t.Fatal(err)
				}
				lines = append(lines, strings.TrimSpace(s))
			}
			if res.Err() != nil {
				t.Fatal(res.Err())
			}
			var got *int64
			err := conn.QueryRow(context.Background(), fmt.Sprintf("SELECT f.soon FROM labels l ASOF JOIN cust f ON f.k = l.k AND l.t > f.ts WHERE l.n = %d", l.n)).Scan(&got)
			if last := lines[len(lines)-1]; err != nil || last != "value: "+number(got) {
				t.Fatalf("%s, and the join has %s: %v", strings.Join(lines, "\n"), number(got), err)
			}
		}
		if round == 0 { // the watermark is as durable as the rows
			srv.Stop()
			open()
		}
	}
	if counted < 100 || nulls < 100 {
		t.Errorf("%d labels had a value and %d none: the test shows little", counted, nulls)
	}
	var pg interface{ SQLState() string }
	if _, err := conn.Exec(context.Background(), "CREATE TABLE x (ts timestamptz, b timestamptz, WATERMARK FOR b AS b) WITH (event_time = 'ts')"); !errors.As(err, &pg) || pg.SQLState() != "42P17" {
		t.Errorf("a watermark of another column: %v", err)
	}
}

func number(n *int64) string {
	if n == nil {
		return "NULL"
	}
	return fmt.Sprint(*n)
}
