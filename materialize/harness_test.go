package materialize

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tiles"
)

// world is a data directory with a manager, and below it one with files.
type world struct {
	t     testing.TB
	dir   string
	files string
	log   *reclog.Log
	db    *duck.DB
	tiles *tiles.Store
	reg   *schema.Registry
	m     *Manager

	portion int64            // rows between two checkpoints; 0: as configured by default
	fresh   int              // rows of a commit that are kept fresh at least; 0: as configured by default
	fold    int              // keys that one commit of a fold changes; 0: as configured by default
	clock   func() time.Time // nil: the real one
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.files = filepath.Join(w.dir, "files")
	must(t, os.Mkdir(w.files, 0o755))
	w.open()
	t.Cleanup(w.close)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) open() {
	w.t.Helper()
	var err error
	w.log, err = reclog.Open(filepath.Join(w.dir, "log"), reclog.Options{ReserveBytes: -1})
	must(w.t, err)
	w.reg, err = schema.OpenRegistry(w.log.DB())
	must(w.t, err)
	w.db, err = duck.Open("", duck.Options{TempDir: filepath.Join(w.dir, "spill", "duckdb"), ReadRoots: []string{w.files},
		Init: []string{"ATTACH " + duck.QuoteLiteral(filepath.Join(w.dir, "projections.duckdb")) + " AS proj", CreatePositions}})
	must(w.t, err)
	w.tiles = tiles.Open(w.log.DB(), tiles.Options{Release: w.log.Release, FoldKeys: w.fold, BuildFiles: tiles.BuildFiles{FS: vfs.Default, Dir: filepath.Join(w.dir, "spill"), Writer: w.log.TableWriter()}})
	roots, err := NewRoots([]string{w.files})
	must(w.t, err)
	clock := w.clock
	if clock == nil {
		clock = time.Now
	}
	w.m, err = New(w.t.Context(), Config{Dir: w.dir, FS: vfs.Default, Log: w.log, DB: w.db, Tiles: w.tiles, Catalog: w.reg, Roots: roots,
		Memory: 64 << 20, Threads: 2, Logger: logger(w.t), Clock: clock, NoSettle: true, PortionRows: w.portion, FreshRows: w.fresh})
	must(w.t, err)
}

func (w *world) close() {
	if w.m == nil {
		return
	}
	if err := w.m.Close(); err != nil {
		w.t.Error(err)
	}
	if err := w.db.Close(); err != nil {
		w.t.Error(err)
	}
	w.tiles.Close()
	if err := w.log.Close(); err != nil {
		w.t.Error(err)
	}
	w.m = nil
}

func (w *world) reopen(between func()) {
	w.t.Helper()
	w.close()
	if between != nil {
		between()
	}
	w.open()
}

var testColumns = []schema.Column{{Name: "ts", Type: vector.T(vector.TimestampTZ)}, {Name: "k", Type: vector.T(vector.Int64)}, {Name: "v", Type: vector.T(vector.Int64)}}

// The relations of a world.
const (
	tableID  = 1
	sourceID = 2
)

func (w *world) relation(r *schema.Relation) {
	w.t.Helper()
	r.Columns, r.EventTime = testColumns, "ts"
	must(w.t, w.reg.Update(w.t.Context(), func(c *schema.Catalog) error { c.Relations[r.ID] = r; return nil }))
}

func (w *world) table() {
	w.relation(&schema.Relation{ID: tableID, Name: "t", Kind: schema.EventTable})
}

func (w *world) source() {
	w.relation(&schema.Relation{ID: sourceID, Name: "s", Kind: schema.FileSource, File: &schema.File{Path: "*.parquet", Format: "parquet"}})
}

// feature materializes count, sum and min of an expression of v by k.
func (w *world) feature(id, relation uint32, value string, online bool) {
	w.t.Helper()
	must(w.t, w.m.Materialize(w.t.Context(), w.request(id, relation, value, online)))
}

func (w *world) request(id, relation uint32, value string, online bool) Request {
	i64 := vector.T(vector.Int64)
	col := -1
	if value == "v" {
		col = 2
	}
	keys := []schema.Expr{{SQL: "k", Type: i64, Column: 1}}
	if col < 0 { // a group of its own
		keys[0] = schema.Expr{SQL: "(k + 0)", Type: i64, Column: -1}
	}
	f := &schema.Feature{ID: id, Name: fmt.Sprintf("f%d", id), Relation: relation, Online: online,
		Outputs: []schema.Output{{Name: "n", Window: schema.Window{Length: 7 * event.Day}}}}
	var prints []string
	var partials []schema.Partial
	for _, fn := range []string{"count", "sum", "min"} {
		p := schema.Partial{Fingerprint: fmt.Sprintf("%s %d %s", fn, relation, value), Function: fn, Args: []int{0}, Types: []vector.Type{i64}, Filter: -1, SQL: fn}
		partials, prints = append(partials, p), append(prints, p.Fingerprint)
	}
	return Request{Feature: f, Keys: keys, Fingerprints: prints,
		Group: func(id uint32, _ *schema.Group) *schema.Group {
			return &schema.Group{ID: id, Relation: relation, Keys: keys, Columns: []schema.Expr{{SQL: value, Type: i64, Column: col}},
				Partials: partials, Layout: event.Layout{Keys: []vector.Type{i64}, Columns: []vector.Type{i64}}}
		},
		Put: func(c *schema.Catalog, f *schema.Feature) error { c.Features[f.ID] = f; return nil }}
}

// row is a row of the model.
type row struct {
	id          uint64
	ts, k, v    int64
	added, gone uint64
}

// model is what the event table must hold: every version.
type model struct {
	rows []*row
	rng  *rand.Rand
}

func newModel(t *testing.T) *model {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return &model{rng: rand.New(rand.NewPCG(seed, 1))}
}

// day0 is 2026-01-01.
const day0 = 20_454 * event.Day

func (md *model) random(n int, days int64) *vector.Chunk {
	ch := vector.NewChunk([]vector.Type{vector.T(vector.TimestampTZ), vector.T(vector.Int64), vector.T(vector.Int64)}, n)
	for range n {
		ch.Cols[0].AppendInt(day0 + md.rng.Int64N(days*event.Day))
		ch.Cols[1].AppendInt(md.rng.Int64N(20))
		ch.Cols[2].AppendInt(md.rng.Int64N(1000) - 500)
		ch.N++
	}
	return ch
}

// commit inserts n random rows of the first days and deletes some live ones.
func (w *world) commit(md *model, n int, days int64, deletes int) {
	w.t.Helper()
	ch := reclog.Change{Source: tableID}
	if n > 0 {
		ch.Inserts = md.random(n, days)
	}
	var live []*row
	for _, r := range md.rows {
		if r.gone == 0 {
			live = append(live, r)
		}
	}
	md.rng.Shuffle(len(live), func(i, j int) { live[i], live[j] = live[j], live[i] })
	live = live[:min(deletes, len(live))]
	for _, r := range live {
		ch.Deletes = append(ch.Deletes, r.id)
	}
	c, err := w.log.Commit(w.t.Context(), &reclog.Txn{Changes: []reclog.Change{ch}})
	must(w.t, err)
	for _, r := range live {
		r.gone = c.Position
	}
	for i := range n {
		md.rows = append(md.rows, &row{id: c.FirstRowID[0] + uint64(i), ts: ch.Inserts.Cols[0].I64[i], k: ch.Inserts.Cols[1].I64[i], v: ch.Inserts.Cols[2].I64[i], added: c.Position})
	}
}

// fold is an event.Visitor.
type fold struct {
	partials []event.Partial
	states   []functions.State
	kinds    map[event.PieceKind]int
}

func newFold(p []event.Partial) *fold {
	f := &fold{partials: p, kinds: map[event.PieceKind]int{}}
	for i := range p {
		f.states = append(f.states, p[i].Agg.New())
	}
	return f
}

func (f *fold) State(k event.PieceKind, _ event.Interval, encoded func(int) []byte) error {
	f.kinds[k]++
	for i, s := range f.states {
		if b := encoded(i); b != nil {
			if err := s.MergeEncoded(b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fold) Rows(k event.PieceKind, _ event.Interval, r *event.Rows, from, to int) error {
	f.kinds[k]++
	for i := range f.partials {
		in := f.partials[i].Input(r)
		for row := from; row < to; row++ {
			f.states[i].Update(in, row)
		}
	}
	return nil
}

func (f *fold) String() string {
	s := ""
	for i, st := range f.states {
		out := vector.New(f.partials[i].Agg.ResultType(), 1)
		if err := st.Finalize(out); err != nil {
			return err.Error()
		}
		switch {
		case out.IsNull(0):
			s += " NULL"
		case len(out.I128) > 0:
			s += fmt.Sprintf(" %d", int64(out.I128[0].LowBits()))
		default:
			s += fmt.Sprintf(" %d", out.I64[0])
		}
	}
	return s
}

// want is the naive value: what a fold of the rows gives.
func want(rows []*row, position uint64, key int64, iv event.Interval, value func(int64) int64) string {
	var n, sum, least int64
	for _, r := range rows {
		if r.k != key || r.ts < iv.Lo || r.ts >= iv.Hi || r.added > position || r.gone != 0 && r.gone <= position {
			continue
		}
		v := value(r.v)
		if n == 0 || v < least {
			least = v
		}
		n, sum = n+1, sum+v
	}
	if n == 0 {
		return " 0 NULL NULL"
	}
	return fmt.Sprintf(" %d %d %d", n, sum, least)
}

func keyOf(k int64) []byte {
	v := vector.New(vector.T(vector.Int64), 1)
	v.AppendInt(k)
	return vector.AppendKey(nil, v, 0)
}

func same(v int64) int64 { return v }

// check compares random intervals of the group of a feature, at the newest position by every path and at older ones by runs,
// with the naive value. It returns the kinds of pieces met.
func (w *world) check(rows []*row, rng *rand.Rand, feature uint32, trials int, value func(int64) int64) map[event.PieceKind]int {
	w.t.Helper()
	ctx := w.t.Context()
	kinds := map[event.PieceKind]int{}
	cat := w.reg.Current()
	def := cat.Groups[cat.Features[feature].Group]
	if def == nil {
		w.t.Fatal("feature without group")
	}
	g, err := w.m.Group(def)
	must(w.t, err)
	view := w.m.View(cat)
	defer view.Close()
	for range trials {
		position := view.position
		old := rng.IntN(3) == 0
		if old {
			position = rng.Uint64N(position + 1)
		}
		flags := Flags{NoRuns: rng.IntN(12) == 0, NoPartials: rng.IntN(4) == 0, NoTiles: rng.IntN(2) == 0}
		lo := day0 + rng.Int64N(12*event.Day)
		iv := event.Interval{Lo: lo, Hi: lo + 1 + rng.Int64N(10*event.Day)}
		key := rng.Int64N(22)
		src := view.Source(g, &position, flags, &event.ReadStats{})
		f := newFold(g.Partials)
		p, err := src.Key(ctx, keyOf(key))
		must(w.t, err)
		if err := p.Cover(iv, f); err != nil {
			if src.online == nil {
				w.t.Fatal(err)
			}
			p, err = src.History(ctx, keyOf(key)) // below what is retained online
			must(w.t, err)
			f = newFold(g.Partials)
			must(w.t, p.Cover(iv, f))
		}
		if got, exp := f.String(), want(rows, position, key, iv, value); got != exp {
			w.t.Fatalf("feature %d key %d at %d of %d, %+v, %+v: got%s, want%s (pieces %v, manifest at %d floor %d)", feature, key, position, view.position, iv, flags, got, exp, f.kinds, def.Position, g.floor)
		}
		for k, n := range f.kinds {
			kinds[k] += n
		}
	}
	return kinds
}

// waitFor runs until ok, at most ten seconds.
func (w *world) waitFor(what string, ok func() bool) {
	w.t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.t.Fatal("never: " + what)
}
