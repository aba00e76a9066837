package dual

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/tests/harness"
	"github.com/tilehouse/tilehouse/tests/oracle"
	"github.com/tilehouse/tilehouse/tests/seeds"
)

const (
	hour = int64(3600 * 1_000_000)
	day  = 24 * hour
	keys = 6
)

var base = time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// world is a server with a dual source, and what both sides hold.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	dir    string // of files
	data   string
	srv    *harness.Server
	conn   *pgx.Conn
	clock  atomic.Int64
	keyed  bool
	auto   bool
	option int64 // the batch side's complete_through
	bound  *int64
	set    int
	batch  []row            // as refreshed
	files  map[string][]row // as on disk
	stream []arrived
	came   int
	nextID int64
	past   []moment
	values int
	log    []string
	topic  *topic // the stream side is a topic; nil: an event table
}

// moment is what was known at a time.
type moment struct {
	at   int64
	rows []row
}

var seeded = seeds.Rand

func newWorld(t *testing.T, keyed, auto bool) *world {
	w := &world{t: t, rng: seeded(t), dir: t.TempDir(), data: t.TempDir(), keyed: keyed, auto: auto, files: map[string][]row{}}
	w.clock.Store(time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
	w.start()
	return w
}

func (w *world) start() {
	w.srv = harness.Start(w.t, harness.Options{Dir: w.data, FileRoots: []string{w.dir}, NoSettle: true, Clock: func() time.Time { return time.UnixMicro(w.clock.Add(1)) }})
	w.conn = w.srv.Connect(w.t)
}

func (w *world) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(w.log, "\n"))
}

func (w *world) exec(sql string) {
	w.t.Helper()
	w.note("%s", sql)
	if _, err := w.conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		w.fatal("%s: %v", sql, err)
	}
}

// read is a result as text, NULL as NULL.
func (w *world) read(sql string) [][]string {
	w.t.Helper()
	res := w.conn.PgConn().Exec(context.Background(), sql)
	var out [][]string
	for res.NextResult() {
		r := res.ResultReader()
		for r.NextRow() {
			var row []string
			for _, v := range r.Values() {
				if v == nil {
					row = append(row, "NULL")
				} else {
					row = append(row, string(v))
				}
			}
			out = append(out, row)
		}
	}
	if err := res.Close(); err != nil {
		w.fatal("%s: %v", sql, err)
	}
	return out
}

func stamp(t int64) string { return time.UnixMicro(t).UTC().Format("2006-01-02 15:04:05.000000Z") }

func money(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// fresh is a row around some day.
func (w *world) fresh(id int64, around int64) row {
	ts := around + w.rng.Int64N(2*day) - day
	if w.rng.IntN(4) == 0 {
		ts -= ts % (12 * hour) // midnights, ties
	}
	return row{id: id, k: w.rng.Int64N(keys), cents: w.rng.Int64N(100_000), shop: []string{"a", "b", "süd", "x y"}[w.rng.IntN(4)], ts: ts, hasTS: true, hasKey: true}
}

func (w *world) newID() int64 { w.nextID++; return w.nextID }

// write writes a file of the batch side.
func (w *world) write(name string, rows []row) {
	w.t.Helper()
	var b strings.Builder
	b.WriteString("id,k,amount,shop,ts\n")
	for _, r := range rows {
		id, ts := strconv.FormatInt(r.id, 10), stamp(r.ts)
		if !r.hasKey {
			id = ""
		}
		if !r.hasTS {
			ts = ""
		}
		fmt.Fprintf(&b, "%s,%d,%s,%q,%s\n", id, r.k, money(r.cents), r.shop, ts)
	}
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(b.String()), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.files[name] = rows
	w.note("write %s: %v", name, rows)
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
		w.t.Fatal(err)
	}
	delete(w.files, name)
	w.note("remove %s", name)
}

// loaded notes that the batch side was loaded.
func (w *world) loaded(bound *int64) {
	w.batch = nil
	for _, rows := range w.files {
		w.batch = append(w.batch, rows...)
	}
	if w.auto {
		bound = midnight(w.batch, w.option)
	}
	if bound != nil && w.bound != nil && *bound == *w.bound || bound == nil && w.bound == nil {
		return
	}
	w.bound, w.set = bound, w.came
}

func (w *world) refresh() {
	w.exec("REFRESH SOURCE " + []string{"lake", "d"}[w.rng.IntN(2)])
	w.loaded(w.bound)
}

// insert gives the stream rows, in one transaction.
func (w *world) insert(rows ...row) {
	w.t.Helper()
	var values []string
	for _, r := range rows {
		w.came++
		w.stream = append(w.stream, arrived{r, w.came})
		values = append(values, fmt.Sprintf("(%d, %d, %s, '%s', '%s')", r.id, r.k, money(r.cents), r.shop, stamp(r.ts)))
	}
	if w.topic != nil {
		for _, r := range rows {
			w.topic.put(w, r)
		}
		w.topic.wait(w)
		return
	}
	w.exec("INSERT INTO live (id, k, amount, shop, ts) VALUES " + strings.Join(values, ", "))
}

func (w *world) update(i int, r row) {
	w.came++
	if w.topic != nil {
		r.id = w.stream[i].id
		w.stream[i] = arrived{r, w.came}
		w.topic.put(w, r)
		w.topic.wait(w)
		return
	}
	w.exec(fmt.Sprintf("UPDATE live SET k = %d, amount = %s, shop = '%s', ts = '%s' WHERE id = %d", r.k, money(r.cents), r.shop, stamp(r.ts), w.stream[i].id))
	r.id = w.stream[i].id
	w.stream[i] = arrived{r, w.came}
}

func (w *world) delete(i int) {
	if w.topic != nil {
		w.topic.end(w, w.stream[i].id)
		w.stream = slices.Delete(w.stream, i, i+1)
		w.topic.wait(w)
		return
	}
	w.exec(fmt.Sprintf("DELETE FROM live WHERE id = %d", w.stream[i].id))
	w.stream = slices.Delete(w.stream, i, i+1)
}

func (w *world) rows() []row { return union(w.batch, w.stream, w.bound, w.set, w.keyed) }

func (w *world) define(boundary string) {
	w.sides()
	w.dual(boundary)
}

// sides makes the two sides.
func (w *world) sides() {
	w.exec("CREATE SOURCE lake (id bigint, k bigint, amount numeric(12,2), shop text, ts timestamptz) WITH (connector = 'file', path = '" + filepath.Join(w.dir, "*.csv") + "', event_time = 'ts')")
	if w.topic != nil {
		w.topic.define(w)
		return
	}
	if w.keyed {
		w.exec("CREATE TABLE live (shop text, id bigint PRIMARY KEY, k bigint, ts timestamptz NOT NULL, amount numeric(12,2)) WITH (event_time = 'ts')")
	} else {
		w.exec("CREATE TABLE live (shop text, id bigint, k bigint, ts timestamptz NOT NULL, amount numeric(12,2)) WITH (event_time = 'ts')")
	}
}

func (w *world) dual(boundary string) {
	key := ""
	if w.keyed {
		key = ", dedupe_key = 'id'"
	}
	w.exec("CREATE SOURCE d FROM BATCH lake STREAM live WITH (time_boundary = '" + boundary + "'" + key + ")")
}

func (w *world) readers() {
	w.exec("CREATE ENTITY cust (k bigint)")
	w.exec("CREATE FEATURE f ON cust AS SELECT k, count(*) AS n, sum(amount) AS total, last(shop) AS latest, count(DISTINCT shop) AS kinds FROM d GROUP BY k WINDOW 6 HOURS, 3 DAYS, LIFETIME")
	w.exec("CREATE VIEW dear WITH (event_time = 'ts') AS SELECT id, k, amount * 2 AS twice, ts FROM d WHERE amount > 300")
	w.exec("CREATE FEATURE g ON cust WITH (delay = '1 day') AS SELECT k, count(*) AS n, max(twice) AS top FROM dear GROUP BY k WINDOW 2 DAYS")
	w.exec("CREATE TABLE labels (n bigint, k bigint, t timestamptz)")
}

func features() map[string]*oracle.Feature {
	cell := func(name string) []func(*oracle.Row) any {
		return []func(*oracle.Row) any{func(r *oracle.Row) any { return r.Cells[name] }}
	}
	out := map[string]*oracle.Feature{}
	for suffix, length := range map[string]int64{"6h": 6 * hour, "3d": 3 * day, "lifetime": 0} {
		out["f_n_"+suffix] = &oracle.Feature{Func: "count", Window: length, Lifetime: length == 0}
		out["f_total_"+suffix] = &oracle.Feature{Func: "sum", Args: cell("amount"), Window: length, Lifetime: length == 0}
		out["f_latest_"+suffix] = &oracle.Feature{Func: "last", Args: cell("shop"), Window: length, Lifetime: length == 0}
		out["f_kinds_"+suffix] = &oracle.Feature{Func: "count_distinct", Args: cell("shop"), Window: length, Lifetime: length == 0}
	}
	dear := func(r *oracle.Row) bool { return r.Cells["cents"].(int64) > 30_000 }
	out["g_n"] = &oracle.Feature{Func: "count", Filter: dear, Window: 2 * day, Delay: day}
	out["g_top"] = &oracle.Feature{Func: "max", Args: cell("twice"), Filter: dear, Window: 2 * day, Delay: day}
	return out
}

var columns = slices.Sorted(func(yield func(string) bool) {
	for name := range features() {
		if !yield(name) {
			return
		}
	}
})

// want are the values of a key at a time, by columns.
func want(rows []row, k, at int64, inclusive, keyed bool) string {
	var of []oracle.Row
	for _, r := range rows {
		if r.k == k {
			pk := r.id
			if !keyed {
				pk = 0
			}
			of = append(of, oracle.Row{TS: r.ts, PK: pk, Added: 1, Cells: map[string]any{"amount": oracle.Dec{Unscaled: r.cents, Scale: 2}, "twice": oracle.Dec{Unscaled: 2 * r.cents, Scale: 2}, "cents": r.cents, "shop": r.shop}})
		}
	}
	fs := features()
	var out []string
	for _, c := range columns {
		out = append(out, fs[c].Value(of, at, 1, inclusive))
	}
	return strings.Join(out, "|")
}

func (w *world) instant() int64 {
	at := base + w.rng.Int64N(14*day) - 2*day
	switch w.rng.IntN(4) {
	case 0:
		at -= at % day
	case 1:
		if rows := w.rows(); len(rows) > 0 {
			at = rows[w.rng.IntN(len(rows))].ts + w.rng.Int64N(3) - 1
		}
	}
	return at
}

// check compares what is read with the union, at the newest position.
func (w *world) check() {
	w.t.Helper()
	rows := w.rows()
	w.same("SELECT id || ' ' || k || ' ' || (amount * 100)::bigint || ' ' || shop || ' ' || (extract(epoch FROM ts) * 1000000)::bigint FROM d", rows)
	for range 2 {
		w.values += keys
		at := w.instant()
		w.exec(fmt.Sprintf("SET tilehouse.read_time = '%s'", stamp(at)))
		for _, got := range w.read("SELECT k, " + strings.Join(columns, ", ") + " FROM cust WHERE k IN (0, 1, 2, 3, 4, 5)") {
			k, _ := strconv.ParseInt(got[0], 10, 64)
			if have, exp := strings.Join(got[1:], "|"), want(rows, k, at, false, w.keyed); have != exp {
				w.fatal("key %d at %s is\n%s, want\n%s\nof %v, boundary %v set at %d", k, stamp(at), have, exp, rows, w.bound, w.set)
			}
		}
	}
	w.join("", rows)
}

// join compares an ASOF join with the rows that were known at a time, "": now.
func (w *world) join(then string, rows []row) {
	w.t.Helper()
	w.exec("DELETE FROM labels")
	var values []string
	type label struct{ k, at int64 }
	var labels []label
	for i := range 20 {
		l := label{w.rng.Int64N(keys), w.instant()}
		labels = append(labels, l)
		values = append(values, fmt.Sprintf("(%d, %d, '%s')", i, l.k, stamp(l.at)))
	}
	w.exec("INSERT INTO labels VALUES " + strings.Join(values, ", "))
	op := []string{">", ">="}[w.rng.IntN(2)]
	sql := fmt.Sprintf("SELECT l.n, %s FROM labels l ASOF JOIN cust %s c ON c.k = l.k AND l.t %s c.ts", "c."+strings.Join(columns, ", c."), then, op)
	got := w.read(sql)
	if len(got) != len(labels) {
		w.fatal("%s: %d rows", sql, len(got))
	}
	for _, r := range got {
		n, _ := strconv.Atoi(r[0])
		w.values++
		if have, exp := strings.Join(r[1:], "|"), want(rows, labels[n].k, labels[n].at, op == ">=", w.keyed); have != exp {
			w.fatal("%s: key %d at %s is\n%s, want\n%s\nof %v", sql, labels[n].k, stamp(labels[n].at), have, exp, rows)
		}
	}
}

// same compares a query's rows with others.
func (w *world) same(sql string, rows []row) {
	w.t.Helper()
	var got, exp []string
	for _, r := range w.read(sql) {
		got = append(got, r[0])
	}
	for _, r := range rows {
		exp = append(exp, r.columns())
	}
	slices.Sort(got)
	slices.Sort(exp)
	if !slices.Equal(got, exp) {
		w.fatal("%s:\n%s\nwant\n%s\nboundary %v set at %d\nbatch %v\nstream %v", sql, strings.Join(got, "\n"), strings.Join(exp, "\n"), w.bound, w.set, w.batch, w.stream)
	}
}
