package reading

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/tests/harness"
)

const hour = int64(3600e6)

var start = time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// row is a row of either side; nil is NULL.
type row struct {
	id int64
	k  *string
	ts *int64
	v  *int64
	f  *float64
}

func some[T any](r *rand.Rand, vs ...T) *T {
	if r.IntN(12) == 0 {
		return nil
	}
	return &vs[r.IntN(len(vs))]
}

func randomRows(r *rand.Rand, n int, times []int64) []row {
	out := make([]row, n)
	for i := range out {
		t := times[r.IntN(len(times))] + r.Int64N(3) - 1
		out[i] = row{id: int64(i), k: some(r, "a", "b", "c", ""), ts: some(r, t), v: some[int64](r, 1, 2, 3),
			f: some(r, 0, math.Copysign(0, -1), 1.5, math.NaN(), math.Inf(1))}
	}
	return out
}

func literal(v any) string {
	switch v := v.(type) {
	case *string:
		if v != nil {
			return "'" + *v + "'"
		}
	case *int64:
		if v != nil {
			return fmt.Sprint(*v)
		}
	case *float64:
		if v != nil {
			return fmt.Sprintf("'%s'::float8", strings.Replace(fmt.Sprint(*v), "+Inf", "Infinity", 1))
		}
	}
	return "NULL"
}

func instant(t *int64) string {
	if t == nil {
		return "NULL"
	}
	return "'" + time.UnixMicro(*t).UTC().Format("2006-01-02 15:04:05.000000Z") + "'"
}

// least compares as the tie rule orders: NULL, then values; NaN is the greatest, and −0 is before 0 by its text.
func least(a, b row) int {
	null := func(a, b bool) int { return cmp.Compare(fmt.Sprint(b), fmt.Sprint(a)) }
	if c := null(a.v == nil, b.v == nil); c != 0 {
		return c
	}
	if a.v != nil && *a.v != *b.v {
		return cmp.Compare(*a.v, *b.v)
	}
	if c := null(a.f == nil, b.f == nil); c != 0 || a.f == nil {
		return c
	}
	switch x, y := *a.f, *b.f; {
	case math.IsNaN(x) || math.IsNaN(y):
		return cmp.Compare(fmt.Sprint(math.IsNaN(x)), fmt.Sprint(math.IsNaN(y)))
	case x != y:
		return cmp.Compare(x, y)
	default:
		return cmp.Compare(fmt.Sprint(math.Signbit(y)), fmt.Sprint(math.Signbit(x)))
	}
}

// naive is what an ASOF join gives a left row: written from the README's rules, sharing nothing with the engine.
func naive(l row, right []row, op string, keyed bool, tolerance int64) *row {
	var best *row
	for i := range right {
		r := &right[i]
		if l.k == nil || r.k == nil || *l.k != *r.k || l.ts == nil || r.ts == nil {
			continue
		}
		age := *l.ts - *r.ts
		match := map[string]bool{">=": age >= 0, ">": age > 0, "<=": age <= 0, "<": age < 0}[op]
		if !match {
			continue
		}
		if best != nil {
			c := cmp.Compare(*r.ts, *best.ts)
			if c == 0 && keyed {
				c = cmp.Compare(r.id, best.id)
			} else if c == 0 {
				c = least(*r, *best)
			}
			if (op[0] == '>') != (c > 0) {
				continue
			}
		}
		best = r
	}
	if best != nil && tolerance >= 0 && max(*l.ts-*best.ts, *best.ts-*l.ts) > tolerance {
		return nil
	}
	return best
}

func text(r *row) string {
	if r == nil {
		return "none"
	}
	f := literal(r.f)
	return instant(r.ts) + " " + literal(r.v) + " " + f
}

func insert(t *testing.T, c *pgx.Conn, table string, rows []row, withID bool) {
	t.Helper()
	var values []string
	for _, r := range rows {
		id := ""
		if withID {
			id = fmt.Sprint(r.id) + ", "
		}
		values = append(values, fmt.Sprintf("(%s%s, %s, %s, %s)", id, literal(r.k), instant(r.ts), literal(r.v), literal(r.f)))
	}
	for part := range slices.Chunk(values, 1000) {
		if _, err := c.Exec(context.Background(), "INSERT INTO "+table+" VALUES "+strings.Join(part, ", ")); err != nil {
			t.Fatal(err)
		}
	}
}

// Ordinary ASOF joins are the naive ones: on ties, at ±1 µs, with NULLs, small and large left sides (which DuckDB plans
// differently), one thread and several, and whichever columns are asked for.
func TestOrdinaryAsof(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for _, threads := range []int{1, 4} {
		t.Run(fmt.Sprint("threads=", threads), func(t *testing.T) { ordinaryAsof(t, seed, threads) })
	}
}

func ordinaryAsof(t *testing.T, seed uint64, threads int) {
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	c := harness.Start(t, harness.Options{Threads: threads, MemoryLimit: 256 << 20}).Connect(t)
	ctx := context.Background()
	run := func(sql string) {
		t.Helper()
		if _, err := c.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	compared := 0
	for round, size := range []int{20, 20, 300} {
		times := make([]int64, size/5)
		for i := range times {
			times[i] = start + r.Int64N(200)*hour
		}
		left, right := randomRows(r, size, times), randomRows(r, size, times)
		run("CREATE TABLE l (id bigint, k text, ts timestamptz, v bigint, f float8)")
		run("CREATE TABLE plain (k text, ts timestamptz, v bigint, f float8)")
		run("CREATE TABLE keyed (id bigint PRIMARY KEY, k text, ts timestamptz, v bigint, f float8)")
		run("CREATE TABLE events (id bigint PRIMARY KEY, k text, ts timestamptz NOT NULL, v bigint, f float8) WITH (event_time = 'ts')")
		insert(t, c, "l", left, true)
		insert(t, c, "plain", right, false)
		insert(t, c, "keyed", right, true)
		insert(t, c, "events", slices.DeleteFunc(slices.Clone(right), func(r row) bool { return r.ts == nil }), true)
		for _, rel := range []string{"plain", "keyed", "events", "(SELECT k, ts, v, f FROM plain)"} {
			for _, op := range []string{">=", ">", "<=", "<"} {
				for _, tolerance := range []int64{-1, 0, hour, hour - 1} {
					if tolerance == 0 && len(op) == 1 { // refused: nothing could match
						continue
					}
					kind, clause := []string{"ASOF", "ASOF LEFT"}[r.IntN(2)], ""
					if tolerance >= 0 {
						clause = fmt.Sprintf(" TOLERANCE '%d microseconds'", tolerance)
					}
					columns := []string{"r.ts, r.v, r.f", "r.f", "r.v, l.ts"}[r.IntN(3)]
					sql := fmt.Sprintf("SELECT l.id, %s FROM l %s JOIN %s r ON l.k = r.k AND l.ts %s r.ts%s", columns, kind, rel, op, clause)
					if r.IntN(3) == 0 { // a view of it has the same rows
						run("CREATE OR REPLACE VIEW shown" + fmt.Sprint(len(columns)) + " AS " + sql)
						sql = "SELECT * FROM shown" + fmt.Sprint(len(columns)) + " AS l"
					}
					sql += " ORDER BY l.id"
					want := map[int64]string{}
					for _, l := range left {
						m := naive(l, right, op, rel == "keyed" || rel == "events", tolerance)
						if m == nil && kind == "ASOF" {
							continue
						}
						if m == nil {
							m = &row{}
						}
						switch columns {
						case "r.f":
							want[l.id] = literal(m.f)
						case "r.v, l.ts":
							want[l.id] = literal(m.v) + " " + instant(l.ts)
						default:
							want[l.id] = text(m)
						}
					}
					got := map[int64]string{}
					rows, err := c.Query(ctx, sql)
					if err != nil {
						t.Fatalf("%s: %v", sql, err)
					}
					for rows.Next() {
						var id int64
						var g row
						var ts *time.Time
						into := map[string][]any{"r.f": {&id, &g.f}, "r.v, l.ts": {&id, &g.v, &ts}, "r.ts, r.v, r.f": {&id, &ts, &g.v, &g.f}}[columns]
						if err := rows.Scan(into...); err != nil {
							t.Fatal(err)
						}
						if ts != nil {
							us := ts.UnixMicro()
							g.ts = &us
						}
						s := map[string]string{"r.f": literal(g.f), "r.v, l.ts": literal(g.v) + " " + instant(g.ts), "r.ts, r.v, r.f": text(&g)}[columns]
						if _, twice := got[id]; twice {
							t.Fatalf("%s: row %d comes twice", sql, id)
						}
						got[id] = s
						compared++
					}
					if rows.Err() != nil {
						t.Fatalf("%s: %v", sql, rows.Err())
					}
					for id := range int64(size) {
						if got[id] != want[id] {
							t.Fatalf("seed %d, round %d: %s\nrow %d (%s, %s): %q, want %q", seed, round, sql, id, literal(left[id].k), instant(left[id].ts), got[id], want[id])
						}
					}
				}
			}
		}
		run("DROP VIEW IF EXISTS shown14, shown3, shown9")
		for _, table := range []string{"l", "plain", "keyed", "events"} {
			run("DROP TABLE " + table)
		}
	}
	t.Logf("%d rows compared", compared)
}
