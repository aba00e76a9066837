package latest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/tests/harness"
)

// customers are the keys 1 … customers; the next one has no versions.
const customers = 9

// epoch is the time around which versions begin to hold.
var epoch = time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// clock stands still after all versions.
var clock = time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)

var definitions = []string{
	"CREATE ENTITY customer (customer_id bigint)",
	"CREATE TABLE plans (id bigint PRIMARY KEY, customer_id bigint NOT NULL, plan text, seats integer, since timestamptz NOT NULL) WITH (event_time = 'since')",
	"CREATE TABLE loose (id bigint, customer_id bigint NOT NULL, plan text, seats integer, since timestamptz NOT NULL) WITH (event_time = 'since')",
	"CREATE VIEW announced WITH (event_time = 'known') AS SELECT id, customer_id, upper(plan) AS plan, since - INTERVAL '30 hours' AS known FROM plans WHERE seats > 2",
	"CREATE TABLE labels (n bigint, customer_id bigint, t timestamptz)",
}

var features = []string{
	"CREATE FEATURE plan ON customer AS SELECT customer_id, plan FROM plans",
	"CREATE FEATURE paying WITH (valid_from = 'since', initial_valid_from = 'column', delay = '2 days') AS SELECT p.seats AS n, p.customer_id, lower(p.plan) AS kind FROM plans p WHERE p.seats > 3",
	"CREATE FEATURE march WITH (start = '2024-03-12 00:00Z') AS SELECT customer_id, seats FROM plans",
	"CREATE FEATURE loosely AS SELECT customer_id, plan, seats FROM loose",
	"CREATE FEATURE told AS SELECT customer_id, plan FROM announced",
	"CREATE FEATURE offline ON customer WITH (online = false) AS SELECT customer_id, seats FROM loose",
}

var outputs = []feature{
	{column: "plan", from: "plans", keyed: true, value: plan},
	{column: "paying_n", from: "plans", keyed: true, value: seats, where: more(3), delay: 2 * day},
	{column: "paying_kind", from: "plans", keyed: true, value: cased(strings.ToLower), where: more(3), delay: 2 * day},
	{column: "march", from: "plans", keyed: true, value: seats, start: time.Date(2024, 3, 12, 0, 0, 0, 0, time.UTC).UnixMicro()},
	{column: "loosely_plan", from: "loose", value: plan},
	{column: "loosely_seats", from: "loose", value: seats},
	{column: "told", from: "plans", keyed: true, value: cased(strings.ToUpper), where: more(2), shift: -30 * hour},
	{column: "offline", from: "loose", value: seats},
}

func more(than int64) func(*version) bool {
	return func(v *version) bool { return v.seats != nil && *v.seats > than }
}

func cased(f func(string) string) func(*version) any {
	return func(v *version) any {
		if v.plan == nil {
			return nil
		}
		return f(*v.plan)
	}
}

// world is a server and what its tables of versions hold.
type world struct {
	t        *testing.T
	r        *rand.Rand
	server   *harness.Server
	conn     *pgx.Conn
	versions map[string][]version
	nextID   int64
	compared int
	root     string // of files; "" for none
}

func (w *world) open(dir string) {
	var roots []string
	if w.root != "" {
		roots = []string{w.root}
	}
	w.server = harness.Start(w.t, harness.Options{Dir: dir, FileRoots: roots, NoSettle: true, MemoryLimit: 256 << 20, Threads: 2, Clock: func() time.Time { return clock }})
	w.conn = w.server.Connect(w.t)
}

func (w *world) exec(sql string) {
	w.t.Helper()
	if _, err := w.conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// rows are the rows of a query as text.
func (w *world) rows(sql string, args ...any) [][]string {
	w.t.Helper()
	res, err := w.conn.Query(context.Background(), sql, args...)
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	defer res.Close()
	var out [][]string
	for res.Next() {
		vs, err := res.Values()
		if err != nil {
			w.t.Fatal(err)
		}
		row := make([]string, len(vs))
		for i, v := range vs {
			row[i] = text(v)
		}
		out = append(out, row)
	}
	if res.Err() != nil {
		w.t.Fatalf("%s: %v", sql, res.Err())
	}
	return out
}

func stamp(t int64) string { return time.UnixMicro(t).UTC().Format("2006-01-02 15:04:05.000000+00") }

// moment is a time at which a version may begin to hold: few, so that many tie, over 40 days.
func (w *world) moment() int64 {
	return epoch + w.r.Int64N(40)*day + []int64{0, 0, day - 1, 7 * hour, w.r.Int64N(3)}[w.r.IntN(5)]
}

func (w *world) fresh() version {
	w.nextID++
	v := version{id: w.nextID, customer: 1 + w.r.Int64N(customers), since: w.moment()}
	if w.r.IntN(4) > 0 {
		p := []string{"", "free", "Pro", "Team", "ä"}[w.r.IntN(5)]
		v.plan = &p
	}
	if w.r.IntN(4) > 0 {
		n := w.r.Int64N(8)
		v.seats = &n
	}
	return v
}

func (v *version) literal() string {
	p, n := null, text(seats(v))
	if v.plan != nil {
		p = "'" + *v.plan + "'"
	}
	return fmt.Sprintf("(%d, %d, %s, %s, '%s')", v.id, v.customer, p, n, stamp(v.since))
}

func (w *world) insert(table string, n int) {
	w.t.Helper()
	var rows []string
	for range n {
		v := w.fresh()
		w.versions[table] = append(w.versions[table], v)
		rows = append(rows, v.literal())
	}
	w.exec("INSERT INTO " + table + " VALUES " + strings.Join(rows, ", "))
}

// change updates or deletes a few versions.
func (w *world) change(table string) {
	w.t.Helper()
	vs := w.versions[table]
	if len(vs) == 0 {
		return
	}
	switch w.r.IntN(3) {
	case 0: // the newest of all, so that it is often in force
		i := 0
		for j := range vs {
			if vs[j].since > vs[i].since {
				i = j
			}
		}
		w.exec(fmt.Sprintf("DELETE FROM %s WHERE id = %d", table, vs[i].id))
		w.versions[table] = slices.Delete(vs, i, i+1)
	case 1:
		gone := 1 + w.r.Int64N(10)
		w.exec(fmt.Sprintf("DELETE FROM %s WHERE id %% 17 = %d", table, gone))
		w.versions[table] = slices.DeleteFunc(vs, func(v version) bool { return v.id%17 == gone })
	default:
		v := &vs[w.r.IntN(len(vs))]
		v.since = w.moment()
		v.plan = nil
		w.exec(fmt.Sprintf("UPDATE %s SET since = '%s', plan = NULL WHERE id = %d", table, stamp(v.since), v.id))
	}
}

// cut is a time to read at: around the ends of versions, also as views and delays move them.
func (w *world) cut() int64 {
	t := w.moment() + w.r.Int64N(3) - 1
	switch w.r.IntN(5) {
	case 0:
		t += 2 * day
	case 1:
		t -= 30 * hour
	case 2:
		t = clock.UnixMicro()
	}
	return t
}

func (w *world) want(f *feature, customer, t int64, inclusive bool) string {
	w.compared++
	return f.at(w.versions[f.from], customer, t, inclusive)
}

func columns(alias string) string {
	var names []string
	for _, f := range outputs {
		names = append(names, alias+f.column)
	}
	return strings.Join(names, ", ")
}

// lookups compares every output of every customer at a set read time.
func (w *world) lookups(n int) {
	w.t.Helper()
	var keys []int64
	for c := range int64(customers + 1) {
		keys = append(keys, c+1)
	}
	for range n {
		t := w.cut()
		w.exec(fmt.Sprintf("SET tilehouse.read_time = '%s'", stamp(t)))
		got := w.rows("SELECT customer_id, "+columns("")+" FROM customer WHERE customer_id = ANY($1)", keys)
		if len(got) != len(keys) {
			w.t.Fatalf("%d rows, not %d", len(got), len(keys))
		}
		for _, row := range got {
			var c int64
			fmt.Sscan(row[0], &c)
			for i := range outputs {
				if want := w.want(&outputs[i], c, t, false); row[1+i] != want {
					w.t.Fatalf("lookup: %s of %d at %s: %q, want %q\n%s", outputs[i].column, c, stamp(t), row[1+i], want, w.explain(i, c, t))
				}
			}
		}
	}
	w.exec("RESET tilehouse.read_time")
}

// joins compares an ASOF JOIN of labels, strict or inclusive.
func (w *world) joins(n int, inclusive bool) {
	w.t.Helper()
	w.exec("DELETE FROM labels")
	type label struct{ c, t int64 }
	labels := make([]label, n)
	var rows []string
	for i := range labels {
		labels[i] = label{1 + w.r.Int64N(customers+1), w.cut()}
		rows = append(rows, fmt.Sprintf("(%d, %d, '%s')", i, labels[i].c, stamp(labels[i].t)))
	}
	w.exec("INSERT INTO labels VALUES " + strings.Join(rows, ", "))
	op := map[bool]string{false: ">", true: ">="}[inclusive]
	got := w.rows("SELECT l.n, " + columns("f.") + " FROM labels l ASOF JOIN customer f ON f.customer_id = l.customer_id AND l.t " + op + " f.ts ORDER BY l.n")
	if len(got) != n {
		w.t.Fatalf("%d rows, not %d", len(got), n)
	}
	for k, row := range got {
		for i := range outputs {
			if want := w.want(&outputs[i], labels[k].c, labels[k].t, inclusive); row[1+i] != want {
				w.t.Fatalf("join %s: %s of %d at %s: %q, want %q\n%s", op, outputs[i].column, labels[k].c, stamp(labels[k].t), row[1+i], want, w.explain(i, labels[k].c, labels[k].t))
			}
		}
	}
}

// explain is EXPLAIN FEATURE of an output's feature.
func (w *world) explain(output int, customer, t int64) string {
	w.t.Helper()
	name, _, _ := strings.Cut(outputs[output].column, "_")
	var lines []string
	for _, row := range w.rows(fmt.Sprintf("EXPLAIN FEATURE %s FOR (%d) AT '%s'", name, customer, stamp(t))) {
		lines = append(lines, row[0])
	}
	return strings.Join(lines, "\n")
}

// explained compares the values that EXPLAIN FEATURE puts together.
func (w *world) explained(n int) {
	w.t.Helper()
	for range n {
		i, c, t := w.r.IntN(len(outputs)), 1+w.r.Int64N(customers), w.cut()
		out := w.explain(i, c, t)
		_, after, ok := strings.Cut(out, "\n"+outputs[i].column+" = ")
		_, after, ok2 := strings.Cut(after, "  value: ")
		got, _, _ := strings.Cut(after, "\n")
		if want := w.want(&outputs[i], c, t, false); !ok || !ok2 || got != want {
			w.t.Fatalf("explained: %s of %d at %s: %q, want %q\n%s", outputs[i].column, c, stamp(t), got, want, out)
		}
	}
}

func TestAgainstOracle(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), versions: map[string][]version{}}
	w.open(t.TempDir())
	for _, sql := range definitions {
		w.exec(sql)
	}
	tables := []string{"plans", "loose"}
	for _, table := range tables { // some are there before the features
		w.insert(table, 60)
	}
	for _, sql := range features {
		w.exec(sql)
	}
	for step := range 30 {
		table := tables[w.r.IntN(2)]
		if w.r.IntN(3) > 0 {
			w.insert(table, 1+w.r.IntN(20))
		} else {
			w.change(table)
		}
		if w.r.IntN(3) == 0 {
			if err := w.server.Engine.Settle(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if step == 20 {
			w.server.Stop()
			w.open(w.server.Dir)
		}
		w.lookups(2)
		w.explained(3)
		if step%3 == 0 {
			w.joins(60, step%2 == 0)
		}
	}
	for _, name := range []string{"plan", "paying", "loosely", "told"} {
		w.exec("REFRESH FEATURE " + name + " FULL")
	}
	w.lookups(20)
	w.joins(300, false)
	w.joins(300, true)
	t.Logf("%d values compared", w.compared)
}
