package large

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/oracle"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

const (
	hour = int64(3_600_000_000) // microseconds
	day  = 24 * hour
	span = 120 * day // of event times
)

// first is the earliest event time, in microseconds.
var first = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// size is how much data a run has.
type size struct {
	rows, keys, labels int
	files              int
	limit              string // --memory-limit
	bound              int64  // of resident memory, in bytes; 0: reported only
	samples, lookups   int    // (key, time) pairs compared with the oracle
}

var (
	quick = size{rows: 240_000, keys: 2_400, labels: 24_000, files: 4, limit: "128MiB", samples: 400, lookups: 100}
	// 512 MB are 512,000,000 bytes: 500,000 of the kernel's kB.
	full = size{rows: 20_000_000, keys: 200_000, labels: 2_000_000, files: 8, limit: "512MB", bound: 512_000_000, samples: 5_000, lookups: 1_000}
)

// generator writes and reads the data. A value is a hash of its row's number, so that any part can be had again.
type generator struct {
	size
	seed int64
	conn *duck.Conn
	dir  string
}

func newGenerator(t *testing.T, s size, seed int64) *generator {
	dir := t.TempDir()
	db, err := duck.Open("", duck.Options{ReadRoots: []string{dir}, MemoryLimit: 1 << 30, TempDir: t.TempDir(), Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	g := &generator{size: s, seed: seed, dir: dir}
	if g.conn, err = db.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.conn.Close() })
	return g
}

// hash is SQL for a number in [0, n) of row i's column.
func (g *generator) hash(i string, column, n int64) string {
	return fmt.Sprintf("(hash(%s, %d, %d) %% %d)::BIGINT", i, column, g.seed, n)
}

// Key 0 has one row in 200. Half of the times are whole minutes, so that the hot key has ties.
func (g *generator) key(i string) string {
	return fmt.Sprintf("(CASE WHEN %s = 0 THEN 0 ELSE %s END)", g.hash(i, 1, 200), g.hash(i, 2, int64(g.keys)))
}

func (g *generator) micros(i string) string {
	return fmt.Sprintf("(%d + CASE WHEN %s = 0 THEN %s * 60000000 ELSE %s END)", first, g.hash(i, 3, 2), g.hash(i, 4, span/60_000_000), g.hash(i, 5, span))
}

// eventColumns are the columns of event i. Numbers of very different size make a sum of doubles that is not exact go wrong.
func (g *generator) eventColumns(i string) string {
	null := func(column int64, sql string) string {
		return fmt.Sprintf("CASE WHEN %s <> 0 THEN %s END", g.hash(i, column, 9), sql)
	}
	return strings.Join([]string{
		g.key(i) + " AS k",
		"make_timestamptz(" + g.micros(i) + ") AS ts",
		null(6, fmt.Sprintf("(%s - 100)::INTEGER", g.hash(i, 7, 1000))) + " AS n",
		null(8, fmt.Sprintf("((%s - 20000)::DECIMAL(12, 2) / 100)::DECIMAL(12, 2)", g.hash(i, 9, 1_000_000))) + " AS amount",
		null(10, fmt.Sprintf("(%s - 500000)::DOUBLE / 7 * CASE WHEN %s = 0 THEN 1e12 ELSE 1 END", g.hash(i, 11, 1_000_000), g.hash(i, 12, 50))) + " AS x",
		null(13, fmt.Sprintf("'c' || %s", g.hash(i, 14, 24))) + " AS cat",
	}, ", ")
}

// labelColumns are the columns of label i: of any key, some unknown, at any time; every fourth at an edge of an event's week.
func (g *generator) labelColumns(i string) string {
	event := "(" + i + " * 7)"
	edge := fmt.Sprintf("(%s + (%s - 1) * %d + %s - 1)", g.micros(event), g.hash(i, 103, 3), 7*day, g.hash(i, 104, 3))
	return fmt.Sprintf("%s AS id, CASE WHEN %s %% 4 = 0 THEN %s ELSE %s END AS k, make_timestamptz(CASE WHEN %s %% 4 = 0 THEN %s ELSE %d + %s END) AS ts",
		i, i, g.key(event), g.hash(i, 101, int64(g.keys)*102/100), i, edge, first, g.hash(i, 102, span+day))
}

func (g *generator) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := g.conn.Exec(context.Background(), sql); err != nil {
		t.Fatalf("%.200s: %v", sql, err)
	}
}

func (g *generator) write(t *testing.T) {
	t.Helper()
	each := g.rows / g.files
	for f := range g.files {
		g.exec(t, fmt.Sprintf("COPY (SELECT %s FROM range(%d, %d) r(i)) TO '%s' (FORMAT parquet)", g.eventColumns("i"), f*each, (f+1)*each, filepath.Join(g.dir, fmt.Sprintf("events-%d.parquet", f))))
	}
	g.exec(t, fmt.Sprintf("COPY (SELECT %s FROM range(%d) r(i)) TO '%s' (FORMAT parquet)", g.labelColumns("i"), g.labels, filepath.Join(g.dir, "labels.parquet")))
}

// instant is a key and a time that values are compared at.
type instant struct{ k, ts int64 }

// sample gives the instants of some labels, by their ids.
func (g *generator) sample(t *testing.T, ids []string) map[int64]instant {
	t.Helper()
	out := map[int64]instant{}
	g.read(t, fmt.Sprintf("SELECT id, k, epoch_us(ts) FROM (SELECT %s FROM (SELECT unnest([%s]) AS i))", g.labelColumns("i"), strings.Join(ids, ", ")), func(c [][]int64, _ []float64, i int) {
		out[c[0][i]] = instant{c[1][i], c[2][i]}
	})
	return out
}

// absent stands for NULL in an integer column, and says of a double that it is NULL.
const absent = int64(-1) << 62

// rowsOf reads the events of keys from the files.
func (g *generator) rowsOf(t *testing.T, keys map[int64]bool) map[int64][]oracle.Row {
	t.Helper()
	list := make([]string, 0, len(keys))
	for k := range keys {
		list = append(list, strconv.FormatInt(k, 10))
	}
	g.exec(t, "CREATE TABLE wanted AS SELECT unnest(["+strings.Join(list, ", ")+"]::BIGINT[]) AS k")
	orAbsent := func(sql string) string { return fmt.Sprintf("COALESCE(%s, %d)", sql, absent) }
	out := map[int64][]oracle.Row{}
	g.read(t, fmt.Sprintf("SELECT k, epoch_us(ts), %s, %s, %s, CASE WHEN x IS NULL THEN %d ELSE 0 END, COALESCE(x, 0) FROM '%s' SEMI JOIN wanted USING (k)",
		orAbsent("n::BIGINT"), orAbsent("(amount * 100)::BIGINT"), orAbsent("substr(cat, 2)::BIGINT"), absent, filepath.Join(g.dir, "events-*.parquet")),
		func(c [][]int64, x []float64, i int) {
			r := oracle.Row{TS: c[1][i], Cells: map[string]any{"n": nil, "amount": nil, "cat": nil, "x": nil}}
			if v := c[2][i]; v != absent {
				r.Cells["n"] = v
			}
			if v := c[3][i]; v != absent {
				r.Cells["amount"] = oracle.Dec{Unscaled: v, Scale: 2}
			}
			if v := c[4][i]; v != absent {
				r.Cells["cat"] = fmt.Sprintf("c%d", v)
			}
			if c[5][i] != absent {
				r.Cells["x"] = x[i]
			}
			out[c[0][i]] = append(out[c[0][i]], r)
		})
	return out
}

// read calls fn for each row: its columns are integers, but for a double that may come last.
func (g *generator) read(t *testing.T, sql string, fn func(c [][]int64, last []float64, i int)) {
	t.Helper()
	res, err := g.conn.Query(context.Background(), sql)
	if err != nil {
		t.Fatalf("%.200s: %v", sql, err)
	}
	defer res.Close()
	for {
		ch, err := res.Next()
		if err != nil {
			t.Fatal(err)
		}
		if ch == nil {
			return
		}
		cols := make([][]int64, len(ch.Cols))
		for j, c := range ch.Cols {
			cols[j] = c.I64
		}
		for i := range ch.N {
			fn(cols, ch.Cols[len(ch.Cols)-1].F64, i)
		}
	}
}

// output is an aggregate of a feature, in SQL and for the oracle.
type output struct {
	name, sql, fn string
	arg           string
	constants     []string
	filter        func(*oracle.Row) bool
}

type feature struct {
	name    string
	outputs []output
	windows []string
	delay   int64
}

func above50(r *oracle.Row) bool { n, ok := r.Cells["n"].(int64); return ok && n > 50 }

// features are states of every shape: counters, decimals, exact sums of doubles, extremes, multisets, newest values, a sketch.
var features = []feature{
	{name: "spend", windows: []string{"1 DAY", "7 DAYS", "30 DAYS", "LIFETIME"}, outputs: []output{
		{name: "n", sql: "count(*)", fn: "count"},
		{name: "total", sql: "sum(n)", fn: "sum", arg: "n"},
		{name: "mean", sql: "avg(amount)", fn: "avg", arg: "amount"},
		{name: "exact", sql: "sum(x)", fn: "sum", arg: "x"},
		{name: "hi", sql: "max(x)", fn: "max", arg: "x"},
		{name: "big", sql: "count(*) FILTER (WHERE n > 50)", fn: "count", filter: above50},
	}},
	{name: "recent", windows: []string{"12 HOURS", "14 DAYS"}, outputs: []output{
		{name: "kinds", sql: "count(DISTINCT cat)", fn: "count_distinct", arg: "cat"},
		{name: "newest", sql: "last_k(n, 3)", fn: "last_k", arg: "n", constants: []string{"3"}},
		{name: "latest", sql: "last(cat)", fn: "last", arg: "cat"},
		{name: "lo", sql: "min(amount)", fn: "min", arg: "amount"},
	}},
	{name: "known", windows: []string{"51 HOURS", "30 DAYS"}, delay: 7 * day, outputs: []output{
		{name: "users", sql: "approx_count_distinct(n)", fn: "approx_count_distinct", arg: "n"},
		{name: "mean", sql: "avg(x)", fn: "avg", arg: "x"},
	}},
}

func (f *feature) sql() string {
	items, with := make([]string, len(f.outputs)), ""
	for i, o := range f.outputs {
		items[i] = o.sql + " AS " + o.name
	}
	if f.delay > 0 {
		with = fmt.Sprintf(" WITH (delay = '%d hours')", f.delay/hour)
	}
	return fmt.Sprintf("CREATE FEATURE %s ON account%s AS SELECT k, %s FROM ev GROUP BY k WINDOW %s", f.name, with, strings.Join(items, ", "), strings.Join(f.windows, ", "))
}

// columns are the names of all outputs, and what the oracle computes for each.
func columns() (names []string, oracles []*oracle.Feature) {
	for _, f := range features {
		for _, o := range f.outputs {
			for _, w := range f.windows {
				of := &oracle.Feature{Func: o.fn, Constants: o.constants, Delay: f.delay, Filter: o.filter, Lifetime: w == "LIFETIME"}
				if o.arg != "" {
					of.Args = []func(*oracle.Row) any{func(r *oracle.Row) any { return r.Cells[o.arg] }}
				}
				suffix := "lifetime"
				if n, unit, ok := strings.Cut(w, " "); ok {
					suffix = n + strings.ToLower(unit[:1])
					number, _ := strconv.ParseInt(n, 10, 64)
					of.Window = number * map[byte]int64{'H': hour, 'D': day}[unit[0]]
				}
				names = append(names, f.name+"_"+o.name+"_"+suffix)
				oracles = append(oracles, of)
			}
		}
	}
	return names, oracles
}

// same reports whether a text is the oracle's, or one of the same double: from 2⁵³ on PostgreSQL prints a digit more for some.
func same(got, want string) bool {
	if got == want {
		return true
	}
	a, err := strconv.ParseFloat(got, 64)
	b, other := strconv.ParseFloat(want, 64)
	return err == nil && other == nil && strings.Contains(got, "e+") && math.Float64bits(a) == math.Float64bits(b)
}

// texts copies a row's values, which the driver will overwrite.
func texts(raw [][]byte) []string {
	out := make([]string, len(raw))
	for i, v := range raw {
		if out[i] = string(v); v == nil {
			out[i] = "NULL"
		}
	}
	return out
}

// Features over many times more rows than fit the memory limit, their backfill, a training join and lookups give the oracle's
// values, and the server's resident memory stays within the limit.
func TestMemoryLimit(t *testing.T) {
	s, soak := quick, os.Getenv("TILEHOUSE_SOAK") == "1"
	if soak {
		s = full
	}
	seed := rand.Uint64() >> 1
	if n, err := strconv.ParseUint(os.Getenv("TILEHOUSE_SEED"), 10, 63); err == nil {
		seed = n
	}
	t.Logf("TILEHOUSE_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	g := newGenerator(t, s, int64(seed))
	g.write(t)

	var times []string
	timed := func(what string, began time.Time) {
		times = append(times, fmt.Sprintf("%s %.1f s", what, time.Since(began).Seconds()))
		t.Log(times[len(times)-1])
	}
	srv := servertest.Start(t, t.TempDir(), servertest.Options{Args: []string{"--memory-limit", s.limit, "--file-root", g.dir}})
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, srv.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v\n%s", sql, err, srv.Log())
		}
	}
	exec(fmt.Sprintf("CREATE SOURCE ev WITH (connector = 'file', path = '%s/events-*.parquet', event_time = 'ts')", g.dir))
	exec(fmt.Sprintf("CREATE SOURCE labels WITH (connector = 'file', path = '%s/labels.parquet', event_time = 'ts')", g.dir))
	exec("CREATE ENTITY account (k bigint)")
	for _, f := range features {
		began := time.Now()
		exec(f.sql())
		timed("backfill of "+f.name, began)
	}

	names, oracles := columns()
	ids := make([]string, s.samples)
	for i, id := range r.Perm(s.labels)[:s.samples] {
		ids[i] = strconv.Itoa(id)
	}
	sample := g.sample(t, ids)
	keys := map[int64]bool{0: true}
	for _, at := range sample {
		keys[at.k] = true
	}
	rows := g.rowsOf(t, keys)
	values := 0
	check := func(what string, at instant, got []string) {
		t.Helper()
		for i, f := range oracles {
			if want := f.Value(rows[at.k], at.ts, 0, false); !same(got[i], want) {
				t.Fatalf("%s: %s of key %d at %d: %q, the oracle says %q", what, names[i], at.k, at.ts, got[i], want)
			}
			values++
		}
	}

	began := time.Now()
	res, err := conn.Query(ctx, "SELECT l.id, a."+strings.Join(names, ", a.")+" FROM labels l ASOF JOIN account a ON a.k = l.k AND l.ts > a.ts", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	joined, n := map[int64][]string{}, 0
	for ; res.Next(); n++ {
		raw := res.RawValues()
		id, err := strconv.ParseInt(string(raw[0]), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := sample[id]; ok {
			if _, twice := joined[id]; twice {
				t.Fatalf("label %d twice", id)
			}
			joined[id] = texts(raw[1:])
		}
	}
	if err := res.Err(); err != nil {
		t.Fatalf("join: %v\n%s", err, srv.Log())
	}
	timed(fmt.Sprintf("join of %d labels by %d columns", n, len(names)), began)
	if n != s.labels || len(joined) != len(sample) {
		t.Fatalf("%d rows of %d labels, %d of %d sampled", n, s.labels, len(joined), len(sample))
	}

	type looked struct {
		at  instant
		got []string
	}
	var lookups []looked
	began = time.Now()
	for id, at := range sample {
		if len(lookups) == s.lookups {
			break
		}
		if id%10 == 0 {
			at.k = 0 // the hot key
		}
		exec("SET tilehouse.read_time = '" + time.UnixMicro(at.ts).UTC().Format("2006-01-02 15:04:05.999999Z07:00") + "'")
		row, err := conn.Query(ctx, fmt.Sprintf("SELECT %s FROM account WHERE k = %d", strings.Join(names, ", "), at.k), pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		if !row.Next() {
			t.Fatalf("lookup of key %d: no row: %v", at.k, row.Err())
		}
		lookups = append(lookups, looked{at, texts(row.RawValues())})
		row.Close()
	}
	timed(fmt.Sprintf("%d lookups of %d values", len(lookups), len(names)), began)
	peak := srv.PeakMemory(t)

	for id, got := range joined {
		check("join", sample[id], got)
	}
	for _, l := range lookups {
		check("lookup", l.at, l.got)
	}
	within := "" // a quick run's limit is less than what the program itself takes and a join of many columns
	if s.bound > 0 {
		within = fmt.Sprintf(" of at most %d kB", s.bound>>10)
		if peak > s.bound {
			t.Errorf("peak resident memory (VmHWM) %d kB, more than %d kB", peak>>10, s.bound>>10)
		}
	}
	line := fmt.Sprintf("memory limit: %d rows, %d keys, --memory-limit %s: %s; VmHWM %d kB%s; %d values at %d (key, time) of the join and %d of lookups equal the oracle's",
		s.rows, s.keys, s.limit, strings.Join(times, ", "), peak>>10, within, values, len(joined), len(lookups))
	if soak {
		fmt.Println("soak: " + line)
	}
	t.Log(line)
}
