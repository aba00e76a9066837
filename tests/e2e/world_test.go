package e2e_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/tests/harness"
	"github.com/tilehouse/tilehouse/tests/oracle"
	"github.com/tilehouse/tilehouse/tests/seeds"
)

// world is an event table on a server, and every row version that was ever in it.
type world struct {
	t        *testing.T
	r        *rand.Rand
	srv      *harness.Server
	opt      harness.Options
	conn     *pgx.Conn
	clock    *atomic.Int64 // microseconds; commits are timed by it
	pk       bool          // id is the primary key
	base     int64         // event times lie in the 60 days before horizon, which moves on from it, some in the year before
	versions []oracle.Row
	position int64   // transactions so far
	commits  []int64 // the clock at each of them
	nextID   int64
	offset   int64 // of its ids and keys: worlds that share a server and a table each have their own
	shared   bool
	files    bool // the relation is files, of which old contents are lost when they change
	lost     int  // reads of older positions refused for that reason
	features []feature
	columns  map[string]*oracle.Feature
	values   int // compared
	log      []string
}

var newRand = seeds.Rand

func soak() bool { return os.Getenv("TILEHOUSE_SOAK") != "" }

// worldOptions is how worlds differ.
type worldOptions struct {
	pk       bool
	base     int64
	noSettle bool
	days     event.Days
}

// newWorldAt is a world without a relation, whose server may read the files under roots.
func newWorldAt(t *testing.T, r *rand.Rand, o worldOptions, roots ...string) *world {
	w := &world{t: t, r: r, pk: o.pk, base: o.base, clock: &atomic.Int64{}, nextID: 1, columns: map[string]*oracle.Feature{}}
	w.clock.Store(time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
	w.opt = harness.Options{Dir: t.TempDir(), FileRoots: roots, NoSettle: o.noSettle, Days: o.days, Clock: func() time.Time { return time.UnixMicro(w.clock.Load()) }}
	w.start()
	return w
}

// newWorld is a world with an event table and entities, and no features yet.
func newWorld(t *testing.T, r *rand.Rand, o worldOptions) *world {
	w := newWorldAt(t, r, o)
	key := ""
	if w.pk {
		key = " PRIMARY KEY"
	}
	w.exec("CREATE TABLE ev (id bigint" + key + `, k bigint, shop text, cat text, qty integer, big bigint, amount numeric(12,2),
		price double precision, ts timestamptz NOT NULL) WITH (event_time = 'ts', lateness = '1 day')`)
	w.exec("CREATE ENTITY cust (k bigint)")
	w.exec("CREATE ENTITY pair (k bigint, shop text)")
	return w
}

func (w *world) start() {
	w.srv = harness.Start(w.t, w.opt)
	w.conn = w.srv.Connect(w.t)
}

// restart ends the server and starts one on the same directory.
func (w *world) restart() {
	w.note("restart")
	w.srv.Stop()
	w.start()
}

func (w *world) exec(sql string) {
	w.t.Helper()
	w.note(sql)
	if _, err := w.conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		w.t.Fatalf("%s: %v", abbreviate(sql), err)
	}
}

// note keeps what was done last, for failures.
func (w *world) note(what string) {
	if w.log = append(w.log, abbreviate(what)); len(w.log) > 12 {
		w.log = w.log[1:]
	}
}

func abbreviate(s string) string {
	if len(s) > 300 {
		return s[:300] + "…"
	}
	return s
}

// create creates features of the definitions, by name.
func (w *world) create(names ...string) {
	w.t.Helper()
	for _, f := range definitions(w.base + 20*day) {
		for _, n := range names {
			if f.name != n {
				continue
			}
			w.exec(f.sql())
			w.features = append(w.features, f)
			for c, o := range f.columns() {
				w.columns[c] = o
			}
		}
	}
}

// tick begins a transaction: a new position and a new second.
func (w *world) tick() {
	w.position++
	w.commits = append(w.commits, w.clock.Add(second))
}

func stamp(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02 15:04:05.999999Z07:00")
}

// horizon is the present of the events: it moves on with every transaction, so that days end and are settled all the time.
func (w *world) horizon() int64 { return w.base + 30*day + w.position*10*hour }

// eventTime is a time with a taste for ties, midnights, hours and times a window from others.
func (w *world) eventTime() int64 {
	r, now := w.r, w.horizon()
	switch r.IntN(10) {
	case 0:
		return now/day*day - r.Int64N(40)*day
	case 1:
		return now/hour*hour - r.Int64N(40*24)*hour + r.Int64N(3) - 1
	case 2:
		return now - r.Int64N(365*day)
	case 3, 4:
		if n := len(w.versions); n > 0 {
			return w.versions[r.IntN(n)].TS + []int64{0, 0, 0, 1, -1, second, day, -7 * day, hour}[r.IntN(9)]
		}
	case 5, 6, 7:
		return now - r.Int64N(2*day) // the newest days get more
	}
	return now - r.Int64N(60*day)
}

// row is a random new row; id identifies it.
func (w *world) row(id int64) oracle.Row {
	r := w.r
	some := func(v any) any {
		if r.IntN(8) == 0 {
			return nil
		}
		return v
	}
	c := map[string]any{
		"id": id, "k": w.offset + []int64{1, 1, 1, 1, 2, 2, 3, 0, -4}[r.IntN(9)], "shop": []string{"x", "y", "a longer one"}[r.IntN(3)],
		"cat":    some([]string{"a", "b", "c", "ä", "zz", "Z", fmt.Sprint("n", r.IntN(40))}[r.IntN(7)]),
		"qty":    some([]int64{0, -1, 3, math.MaxInt32, math.MinInt32, r.Int64N(9)}[r.IntN(6)]),
		"big":    some([]int64{math.MaxInt64, math.MinInt64, r.Int64N(1000), r.Int64()}[r.IntN(4)]),
		"amount": some(oracle.Dec{Unscaled: []int64{0, 999_999_999_999, -999_999_999_999, r.Int64N(20000) - 3000, r.Int64N(20000)}[r.IntN(5)], Scale: 2}),
		"price": some([]float64{0, 0.1, -0.1, 1e16, -1e16, r.NormFloat64(), r.Float64() * 1000, 1e300, 5e-324,
			math.Ldexp(r.Float64()-0.5, r.IntN(400)-200)}[r.IntN(10)]),
	}
	if r.IntN(500) == 0 {
		c["price"] = []float64{math.Inf(1), math.Inf(-1), math.NaN()}[r.IntN(3)]
	}
	pk := int64(0)
	if w.pk {
		pk = id
	}
	return oracle.Row{TS: w.eventTime(), PK: pk, Cells: c, Added: w.position}
}

var columnOrder = []string{"id", "k", "shop", "cat", "qty", "big", "amount", "price"}

// literals are a row's values in the table's order.
func literals(v *oracle.Row) string {
	var out []string
	for _, c := range columnOrder {
		if x := v.Cells[c]; x == nil {
			out = append(out, "NULL")
		} else {
			out = append(out, "'"+oracle.Text(x)+"'")
		}
	}
	return "(" + strings.Join(append(out, "'"+stamp(v.TS)+"'"), ", ") + ")"
}

// copyLine is a row in COPY's text form.
func copyLine(v *oracle.Row) string {
	var out []string
	for _, c := range columnOrder {
		if x := v.Cells[c]; x == nil {
			out = append(out, `\N`)
		} else {
			out = append(out, oracle.Text(x))
		}
	}
	return strings.Join(append(out, stamp(v.TS)), "\t") + "\n"
}

func (w *world) fresh(n int) []oracle.Row {
	var rows []oracle.Row
	for range n {
		rows = append(rows, w.row(w.nextID))
		if w.nextID++; !w.pk && w.r.IntN(6) == 0 {
			rows = append(rows, rows[len(rows)-1]) // the same row twice: without a key both count
		}
	}
	return rows
}

// insert adds n random rows in one transaction.
func (w *world) insert(n int) {
	w.t.Helper()
	w.tick()
	w.add(w.fresh(n))
}

// add writes rows of the current position, by INSERT or COPY.
func (w *world) add(rows []oracle.Row) {
	w.t.Helper()
	if w.r.IntN(4) == 0 {
		var b strings.Builder
		for i := range rows {
			b.WriteString(copyLine(&rows[i]))
		}
		w.note("COPY " + b.String())
		if _, err := w.conn.PgConn().CopyFrom(context.Background(), strings.NewReader(b.String()), "COPY ev FROM STDIN"); err != nil {
			w.t.Fatalf("COPY: %v", err)
		}
	} else {
		var values []string
		for i := range rows {
			values = append(values, literals(&rows[i]))
		}
		w.exec("INSERT INTO ev VALUES " + strings.Join(values, ", "))
	}
	w.versions = append(w.versions, rows...)
}

// live are the indexes of rows that are there now and for which keep is true.
func (w *world) live(keep func(*oracle.Row) bool) (out []int) {
	for i := range w.versions {
		if v := &w.versions[i]; v.Removed == 0 && keep(v) {
			out = append(out, i)
		}
	}
	return out
}

func (w *world) someID() int64 { return w.offset + 1 + w.r.Int64N(w.nextID-w.offset) }

// update changes rows in one transaction: one by its id to new values, or many by a condition.
func (w *world) update() {
	w.t.Helper()
	w.tick()
	id := w.someID()
	change := func(found []int, set func(c map[string]any, ts *int64)) {
		for _, i := range found {
			old := &w.versions[i]
			next := oracle.Row{TS: old.TS, PK: old.PK, Added: w.position, Cells: map[string]any{}}
			for c, v := range old.Cells {
				next.Cells[c] = v
			}
			set(next.Cells, &next.TS)
			old.Removed = w.position
			w.versions = append(w.versions, next)
		}
	}
	if w.r.IntN(3) == 0 {
		w.exec(fmt.Sprintf("UPDATE ev SET qty = qty / 2, shop = 'x' WHERE id BETWEEN %d AND %d AND qty > 5", id, id+3))
		change(w.live(func(v *oracle.Row) bool {
			q, ok := v.Cells["qty"].(int64)
			n := v.Cells["id"].(int64)
			return ok && q > 5 && n >= id && n <= id+3
		}), func(c map[string]any, _ *int64) { c["qty"], c["shop"] = c["qty"].(int64)/2, "x" })
		return
	}
	n := w.row(id)
	var sets []string
	for _, c := range columnOrder[1:] {
		if x := n.Cells[c]; x == nil {
			sets = append(sets, c+" = NULL")
		} else {
			sets = append(sets, c+" = '"+oracle.Text(x)+"'")
		}
	}
	w.exec(fmt.Sprintf("UPDATE ev SET %s, ts = '%s' WHERE id = %d", strings.Join(sets, ", "), stamp(n.TS), id))
	change(w.live(func(v *oracle.Row) bool { return v.Cells["id"] == id }), func(c map[string]any, ts *int64) {
		for k, v := range n.Cells {
			c[k] = v
		}
		*ts = n.TS
	})
}

// remove deletes some rows in one transaction.
func (w *world) remove() {
	w.t.Helper()
	w.tick()
	id := w.someID()
	to := id + w.r.Int64N(3)
	w.exec(fmt.Sprintf("DELETE FROM ev WHERE id >= %d AND id <= %d", id, to))
	for _, i := range w.live(func(v *oracle.Row) bool { n := v.Cells["id"].(int64); return n >= id && n <= to }) {
		w.versions[i].Removed = w.position
	}
}

// step is one random change, or work that changes no value: settling days, rebuilding a feature, a restart.
func (w *world) step() {
	w.t.Helper()
	switch n := w.r.IntN(48); {
	case n < 16:
		w.insert(1 + w.r.IntN(12))
	case n < 18:
		w.insert(60)
	case n < 25:
		w.update()
	case n < 30:
		w.remove()
	case n < 32: // several statements in one transaction: one position
		w.tick()
		w.exec("BEGIN")
		w.add(w.fresh(3))
		w.add(w.fresh(2))
		w.exec("COMMIT")
	case n < 34: // and one that leaves nothing
		kept := len(w.versions)
		w.exec("BEGIN")
		w.add(w.fresh(3))
		w.exec("ROLLBACK")
		w.versions = w.versions[:kept]
	case n < 38:
		w.settle()
	case n < 42:
		w.refresh()
	case n < 43:
		w.burst(300)
	case n < 45 && !w.shared:
		w.restart()
	case n < 47 && !w.shared:
		w.recreate()
	default:
		w.insert(1)
	}
}

func (w *world) settle() {
	w.t.Helper()
	w.note("Settle")
	if err := w.srv.Engine.Settle(context.Background()); err != nil {
		w.t.Fatalf("Settle: %v", err)
	}
}

// burst adds many rows of one key, most of them within a second and many at one microsecond.
func (w *world) burst(n int) {
	w.t.Helper()
	w.tick()
	at := w.eventTime()
	rows := w.fresh(n)
	for i := range rows {
		rows[i].Cells["k"] = w.offset + 2
		rows[i].TS = at + []int64{0, 0, 1, w.r.Int64N(second), w.r.Int64N(hour)}[w.r.IntN(5)]
	}
	w.add(rows)
}

// recreate drops a feature whose partials others may share, and creates it again.
func (w *world) recreate() {
	w.t.Helper()
	i := w.r.IntN(len(w.features))
	f := w.features[i]
	w.exec("DROP FEATURE " + f.name)
	if w.r.IntN(2) == 0 {
		w.insert(3)
	}
	w.exec(f.sql())
}

// refresh rebuilds one feature from rows.
func (w *world) refresh() {
	w.t.Helper()
	w.exec("REFRESH FEATURE " + w.features[w.r.IntN(len(w.features))].name)
}

// oneOf reads sql, whose rows are printed as their values' texts with spaces between, and compares them with those that want has,
// as many as there are.
func (w *world) oneOf(t *testing.T, sql string, want map[string]bool) {
	t.Helper()
	rows, err := w.conn.Query(context.Background(), sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(sql, err)
	}
	got, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var words []string
		for _, v := range row.RawValues() {
			if v == nil {
				v = []byte("NULL")
			}
			words = append(words, string(v))
		}
		return strings.Join(words, " "), nil
	})
	if err != nil {
		t.Fatal(sql, err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d: %s", len(got), len(want), sql)
	}
	for _, g := range got {
		if !want[g] {
			t.Fatalf("%s\ngot %s, want one of %v\nlast: %v", sql, g, want, w.log)
		}
		w.values++
	}
}
