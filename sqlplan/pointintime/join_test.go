package pointintime

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/runs"
)

const hour = int64(3_600_000_000)

var (
	tDouble = vector.T(vector.Float64)
	tBigint = vector.T(vector.Int64)
	tText   = vector.T(vector.Text)
	tBool   = vector.T(vector.Bool)
)

// testLayout: a double, a bigint, a text, a filter.
var testLayout = event.Layout{Keys: []vector.Type{tBigint}, Tie: true, Columns: []vector.Type{tDouble, tBigint, tText, tBool}}

func bind(t testing.TB, name string, args ...vector.Type) functions.Aggregate {
	t.Helper()
	d, ok := functions.Lookup(name)
	if !ok {
		t.Fatalf("no aggregate %s", name)
	}
	a, err := d.Bind(args, make([]string, len(args)), functions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func testPartials(t testing.TB) []event.Partial {
	return []event.Partial{
		{Agg: bind(t, "sum", tDouble), Args: []int{0}, Filter: -1},
		{Agg: bind(t, "count"), Filter: -1},
		{Agg: bind(t, "max", tBigint), Args: []int{1}, Filter: -1},
		{Agg: bind(t, "last", tText), Args: []int{2}, Filter: -1},
		{Agg: bind(t, "count"), Filter: 3},
		{Agg: bind(t, "min", tDouble), Args: []int{0}, Filter: 3},
		{Agg: bind(t, "approx_count_distinct", tText), Args: []int{2}, Filter: -1},
		{Agg: bind(t, "count_distinct", tBigint), Args: []int{1}, Filter: -1},
	}
}

// world is random events and labels with the ties, NULLs and edges that joins get wrong.
type world struct {
	rows   *event.Rows
	dead   map[int64]bool
	labels Labels
	lives  [][2]uint64 // by row id, where labels have positions: from when, and until when, a row is there
}

// there reports whether event e is there for label i.
func (w *world) there(e, i int) bool {
	if w.lives == nil {
		return !w.dead[w.rows.RowID[e]]
	}
	life := w.lives[w.rows.RowID[e]]
	return life[0] <= w.labels.Position[i] && w.labels.Position[i] < life[1]
}

func bigKey(k int64) []byte {
	v := vector.New(tBigint, 1)
	v.AppendInt(k)
	return vector.AppendKey(nil, v, 0)
}

func textKey(k int64) []byte {
	v := vector.New(tText, 1)
	v.AppendString(fmt.Sprintf("k\x00%0*d", k%40, k))
	return vector.AppendKey(nil, v, 0)
}

func newWorld(r *rand.Rand, events, labels, keys int, windows []Window, text bool) *world {
	w := &world{rows: event.NewRows(testLayout, events), dead: map[int64]bool{}}
	key := func() []byte {
		k := r.Int64N(int64(keys))
		if r.IntN(3) == 0 {
			k = 0 // hot
		}
		if text {
			return textKey(k)
		}
		return bigKey(k)
	}
	moment := func() int64 {
		t := r.Int64N(12*event.Day) - 6*event.Day
		switch r.IntN(4) {
		case 0:
			t = event.DayOf(t)*event.Day + r.Int64N(3) - 1
		case 1:
			t -= t % hour
		}
		return t
	}
	for i := range events {
		w.rows.Key.AppendBytes(key())
		w.rows.TS = append(w.rows.TS, moment())
		w.rows.RowID = append(w.rows.RowID, int64(i))
		w.rows.Tie.AppendBytes([]byte{byte(r.IntN(4)), byte(i), byte(i >> 8)})
		for c, v := range w.rows.Cols {
			switch {
			case r.IntN(8) == 0:
				v.AppendNull()
			case c == 0:
				v.AppendFloat([]float64{1e300, -1e300, 0.1, 1, math.Copysign(0, -1), r.NormFloat64(), 1e-300}[r.IntN(7)])
			case c == 1:
				v.AppendInt(r.Int64N(50))
			case c == 2:
				v.AppendString(fmt.Sprint("v", r.IntN(30)))
			default:
				v.AppendBool(r.IntN(2) == 0)
			}
		}
	}
	w.labels.Key, w.labels.T = vector.New(vector.T(vector.Bytes), labels), vector.New(vector.T(vector.TimestampTZ), labels)
	for i := range labels {
		w.labels.Row = append(w.labels.Row, int64(i))
		t := moment()
		if r.IntN(2) == 0 { // a cut at an edge of some event
			win := windows[r.IntN(len(windows))]
			t = w.rows.TS[r.IntN(events)] + win.Delay + r.Int64N(3) - 1
			switch r.IntN(3) {
			case 0:
				t += win.Length
			case 1:
				t -= win.Length
			}
		}
		switch r.IntN(30) {
		case 0:
			w.labels.Key.AppendNull()
			w.labels.T.AppendInt(t)
			continue
		case 1:
			w.labels.Key.AppendBytes(key())
			w.labels.T.AppendNull()
			continue
		case 2:
			t = []int64{vector.NegInfinity, vector.PosInfinity, math.MinInt64}[r.IntN(3)]
		}
		w.labels.Key.AppendBytes(key())
		w.labels.T.AppendInt(t)
	}
	return w
}

// counts is LANGUAGE §2, with its inequalities as written, in arithmetic that cannot overflow.
func counts(w Window, t, e int64, inclusive bool) bool {
	x, T := wideOf(e), wideOf(t)
	if w.Start != event.Forever && e < w.Start {
		return false
	}
	if w.Following {
		return T.less(x) && !T.plus(w.Length).less(x)
	}
	u := T.plus(-w.Delay)
	below := x.less(u) || inclusive && !u.less(x)
	switch {
	case w.Lifetime:
		return below
	case w.Hop > 0:
		l := u.plus(-w.Length).floor(w.Hop)
		return below && !x.less(l)
	case inclusive:
		return below && u.plus(-w.Length).less(x)
	}
	return below && !x.less(u.plus(-w.Length))
}

// wide is an integer of more than 64 bits: hi·10⁹ + lo.
type wide struct{ hi, lo int64 }

const wideBase = 1_000_000_000

func wideOf(x int64) wide { return wide{x / wideBase, x % wideBase}.norm() }

func (a wide) norm() wide {
	for a.lo < 0 {
		a.hi, a.lo = a.hi-1, a.lo+wideBase
	}
	return wide{a.hi + a.lo/wideBase, a.lo % wideBase}
}

func (a wide) plus(d int64) wide { b := wideOf(d); return wide{a.hi + b.hi, a.lo + b.lo}.norm() }

func (a wide) less(b wide) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a wide) floor(h int64) wide {
	m := (a.hi%h*(wideBase%h)%h + a.lo%h) % h
	return a.plus(-((m + h) % h))
}

func (w *world) oracle(t testing.TB, partials []event.Partial, outs []Output, inclusive bool, through int64) []*vector.Vector {
	var want []*vector.Vector
	for _, o := range outs {
		p := &partials[o.Partial]
		in := p.Input(w.rows)
		v := vector.New(p.Agg.ResultType(), len(w.labels.Row))
		for i := range w.labels.Row {
			cut, known := w.labels.T.I64[i], !w.labels.T.IsNull(i)
			if o.Window.Following && (!known || wideOf(through).less(wideOf(cut).plus(o.Window.Length))) {
				v.AppendNull()
				continue
			}
			s := p.Agg.New()
			for e := range w.rows.N() {
				if known && !w.labels.Key.IsNull(i) && w.there(e, i) && string(w.rows.Key.Bytes(e)) == string(w.labels.Key.Bytes(i)) &&
					counts(o.Window, cut, w.rows.TS[e], inclusive) && p.Passes(w.rows, e) {
					s.Update(in, e)
				}
			}
			if err := s.Finalize(v); err != nil {
				t.Fatal(err)
			}
		}
		want = append(want, v)
	}
	return want
}

// slices of the rows and labels, as sources emit them.
func (w *world) sources(r *rand.Rand, n int) (labels []LabelSource, events []EventSource) {
	perm := r.Perm(len(w.labels.Row))
	rows := r.Perm(w.rows.N())
	for s := range n {
		labels = append(labels, func(_ context.Context, emit func(*Labels) error) error {
			for i := s; i < len(perm); i += 37 * n {
				l := &Labels{Key: vector.New(vector.T(vector.Bytes), 0), T: vector.New(vector.T(vector.TimestampTZ), 0)}
				for j := i; j < len(perm) && j < i+37*n; j += n {
					l.Row = append(l.Row, w.labels.Row[perm[j]])
					l.Key.AppendFrom(w.labels.Key, perm[j])
					l.T.AppendFrom(w.labels.T, perm[j])
					if w.lives != nil {
						l.Position = append(l.Position, w.labels.Position[perm[j]])
					}
				}
				if err := emit(l); err != nil {
					return err
				}
			}
			return nil
		})
		events = append(events, func(_ context.Context, emit func(*event.Rows) error) error {
			for i := s; i < len(rows); i += 53 * n {
				c := event.NewRows(testLayout, 0)
				for j := i; j < len(rows) && j < i+53*n; j += n {
					c.Append(w.rows, rows[j])
				}
				if err := emit(c); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return labels, events
}

func sameValue(a *vector.Vector, i int, b *vector.Vector, j int) bool {
	if a.IsNull(i) || b.IsNull(j) {
		return a.IsNull(i) && b.IsNull(j)
	}
	if a.Type.Buffer() == vector.BufF64 {
		return math.Float64bits(a.F64[i]) == math.Float64bits(b.F64[j])
	}
	return vector.Compare(a, i, b, j) == 0
}

// check runs a join and compares every value with the oracle's.
func check(t *testing.T, spec JoinSpec, want []*vector.Vector) {
	t.Helper()
	seen := make([]bool, want[0].N)
	spec.Sink = func(c *vector.Chunk) error {
		c.Check()
		for i := range c.N {
			row := int(c.Cols[0].I64[i])
			if seen[row] {
				t.Fatalf("label %d twice", row)
			}
			seen[row] = true
			for o, v := range want {
				if !sameValue(c.Cols[o+1], i, v, row) {
					t.Fatalf("label %d, output %d (%s %+v): got %v, want %v", row, o, spec.Partials[spec.Outputs[o].Partial].Agg.Definition().Name,
						spec.Outputs[o].Window, show(c.Cols[o+1], i), show(v, row))
				}
			}
		}
		return nil
	}
	if err := Join(context.Background(), spec); err != nil {
		t.Fatal(err)
	}
	if i := slices.Index(seen, false); i >= 0 {
		t.Fatalf("label %d is missing", i)
	}
}

func show(v *vector.Vector, i int) any {
	if v.IsNull(i) {
		return nil
	}
	switch v.Type.Buffer() {
	case vector.BufF64:
		return v.F64[i]
	case vector.BufI64:
		return v.I64[i]
	}
	return v.Bytes(i)
}

func randomOutputs(r *rand.Rand, partials []event.Partial) ([]Output, []Window) {
	windows := []Window{
		{Length: 1, Start: event.Forever},
		{Length: 3 * event.Day, Start: event.Forever},
		{Length: hour, Start: event.Forever},
		{Length: 2 * event.Day, Delay: 5*hour + 1, Start: event.Forever},
		{Length: event.Day, Hop: 7 * hour, Start: event.Forever},
		{Length: 4 * event.Day, Hop: hour, Delay: hour, Start: -event.Day},
		{Lifetime: true, Start: event.Forever},
		{Lifetime: true, Start: -2*event.Day + 1, Delay: 3},
		{Length: event.Day, Following: true, Start: event.Forever},
		{Length: 30 * event.Day, Start: event.Forever},
	}
	var outs []Output
	for p := range partials {
		for range 3 {
			outs = append(outs, Output{p, windows[r.IntN(len(windows))]})
		}
	}
	return append(outs, outs[0]), windows
}

func testSeed(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// Streamed events: every mode, partition count, thread count and memory budget gives the oracle's bits.
func TestJoinStreamed(t *testing.T) {
	r := testSeed(t)
	partials := testPartials(t)
	for round := range 12 {
		outs, windows := randomOutputs(r, partials)
		w := newWorld(r, 1+r.IntN(700), 1+r.IntN(150), 1+r.IntN(12), windows, round%2 == 1)
		inclusive, through := r.IntN(2) == 0, r.Int64N(8*event.Day)-4*event.Day
		if i := r.IntN(len(w.labels.Row)); r.IntN(2) == 0 && w.labels.T.I64[i] > -20*event.Day && w.labels.T.I64[i] < 20*event.Day {
			through = w.labels.T.I64[i] + event.Day // exactly where a label ends
		}
		want := w.oracle(t, partials, outs, inclusive, through)
		for _, mode := range []Mode{ModeAuto, ModeRecompute} {
			fs := vfs.NewMem()
			n := 1 + r.IntN(2)
			labels, events := w.sources(r, n)
			opt := Options{Threads: 1 + r.IntN(2), Partitions: 1 + r.IntN(7), FS: fs, SpillPath: "spill", Mode: mode, Memory: []int64{1, 4 << 10, 0}[r.IntN(3)]}
			var last Progress
			check(t, JoinSpec{Layout: testLayout, Partials: partials, Outputs: outs, Inclusive: inclusive, CompleteThrough: through,
				Labels: labels, Events: events, Options: opt, Progress: func(p Progress) { last = p }}, want)
			if last != (Progress{int64(len(w.labels.Row)), int64(w.rows.N()), int64(len(w.labels.Row))}) {
				t.Fatalf("progress %+v", last)
			}
			noFiles(t, fs)
		}
	}
}

func noFiles(t *testing.T, fs vfs.FS) {
	t.Helper()
	if names, err := fs.List(""); err != nil || len(names) > 0 {
		t.Fatalf("files left: %v, %v", names, err)
	}
}

// Labels without a key or cut, more than chunks and partitions hold, are answered like the others, and none before all are read:
// their source may be what the sink writes through.
func TestJoinVoidLabels(t *testing.T) {
	r := testSeed(t)
	partials := testPartials(t)
	outs, windows := randomOutputs(r, partials)
	outs = append(outs, Output{1, Window{Length: event.Day, Following: true, Start: event.Forever}})
	w := newWorld(r, 20, 20_000, 2, windows, false)
	for i := range w.labels.Row {
		switch r.IntN(8) {
		case 0, 1, 2:
			w.labels.Key.SetNull(i)
		case 3, 4, 5:
			w.labels.T.SetNull(i)
		case 6:
			w.labels.Key.SetNull(i)
			w.labels.T.SetNull(i)
		}
	}
	want := w.oracle(t, partials, outs, true, 0)
	for _, memory := range []int64{1, 64 << 10, 0} {
		labels, events := w.sources(r, 2)
		var reading atomic.Int32
		for i, src := range labels {
			labels[i] = func(ctx context.Context, emit func(*Labels) error) error {
				reading.Add(1)
				defer reading.Add(-1)
				return src(ctx, emit)
			}
		}
		fs := vfs.NewMem()
		check(t, JoinSpec{Layout: testLayout, Partials: partials, Outputs: outs, Inclusive: true, Labels: labels, Events: events,
			Options: Options{Threads: 2, FS: fs, SpillPath: "s", Memory: memory},
			Progress: func(p Progress) {
				if p.Done > 0 && reading.Load() > 0 {
					t.Error("a label was answered while others were read")
				}
			}}, want)
		noFiles(t, fs)
	}
}

// Hot keys with long windows: two stacks flip many times, with more cuts than a front holds.
func TestJoinHotKey(t *testing.T) {
	r := testSeed(t)
	partials := testPartials(t)
	outs := []Output{}
	for p := range partials {
		outs = append(outs, Output{p, Window{Length: 7 * event.Day, Start: event.Forever}})
	}
	w := newWorld(r, 1500, 1300, 1, []Window{outs[0].Window}, false)
	want := w.oracle(t, partials, outs, false, 0)
	labels, events := w.sources(r, 2)
	check(t, JoinSpec{Layout: testLayout, Partials: partials, Outputs: outs, Labels: labels, Events: events,
		Options: Options{Threads: 2, FS: vfs.NewMem(), SpillPath: "s"}}, want)
}

// A snapshot of several overlays, daily partials, dead rows, dirty days and a tail gives the same bits, assembled or slid.
func TestJoinSnapshot(t *testing.T) {
	r := testSeed(t)
	partials := testPartials(t)
	for round := range 10 {
		outs, windows := randomOutputs(r, partials)
		w := newWorld(r, 50+r.IntN(700), 1+r.IntN(120), 1+r.IntN(12), windows, round%2 == 1)
		snap, fs := w.snapshot(t, r, partials)
		inclusive, through := r.IntN(2) == 0, r.Int64N(8*event.Day)-4*event.Day
		if i := r.IntN(len(w.labels.Row)); r.IntN(2) == 0 && w.labels.T.I64[i] > -20*event.Day && w.labels.T.I64[i] < 20*event.Day {
			through = w.labels.T.I64[i] + event.Day // exactly where a label ends
		}
		want := w.oracle(t, partials, outs, inclusive, through)
		for _, mode := range []Mode{ModeAuto, ModeSlide, ModeAssemble, ModeRecompute} {
			labels, _ := w.sources(r, 1+r.IntN(2))
			s := *snap
			s.NoPartials = r.IntN(4) == 0
			var stats event.ReadStats
			check(t, JoinSpec{Layout: testLayout, Partials: partials, Outputs: outs, Inclusive: inclusive, CompleteThrough: through,
				Labels: labels, Snapshot: &s, Stats: &stats,
				Options: Options{Threads: 1 + r.IntN(2), FS: fs, SpillPath: "spill", Mode: mode, Memory: []int64{1, 0}[r.IntN(2)]}}, want)
			if mode == ModeAssemble && s.NoPartials && stats.States > 0 {
				t.Fatal("partials were read though switched off")
			}
		}
		if err := snap.Store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// snapshot writes the events as runs: some segments, partials built in between, deletions after, a tail.
func (w *world) snapshot(t *testing.T, r *rand.Rand, partials []event.Partial) (*runs.Snapshot, vfs.FS) {
	fs := vfs.NewMem()
	st, err := runs.Open(runs.StoreOptions{FS: fs, Dir: "runs", CacheBytes: []int64{1, 0}[r.IntN(2)],
		Compression: []runs.Compression{runs.Plain, runs.LZ4, runs.Zstd}[r.IntN(3)]})
	if err != nil {
		t.Fatal(err)
	}
	m := runs.Manifest{Layout: testLayout, Partials: len(partials), Partitions: 1 + r.IntN(5)}
	dirty := map[string][]int64{}
	mark := func(i int) {
		k := string(w.rows.Key.Bytes(i))
		dirty[k] = append(dirty[k], event.DayOf(w.rows.TS[i]))
		slices.Sort(dirty[k])
		dirty[k] = slices.Compact(dirty[k])
	}
	snap := &runs.Snapshot{Store: st, Dead: func(id uint64) bool { return w.dead[int64(id)] },
		Dirty: func(key []byte, dst []int64) []int64 { return append(dst, dirty[string(key)]...) }}
	put := func(seg runs.Segment, err error, old ...string) {
		if err == nil {
			m, err = m.Replace(old, seg)
		}
		if err != nil {
			t.Fatal(err)
		}
		mm := m
		snap.Manifest = &mm
	}
	n := w.rows.N()
	cutoffs := []int{0, n / 2, n * 3 / 4, n * 9 / 10}
	for s := range 3 {
		b, err := runs.NewBuilder(testLayout, runs.BuilderOptions{Partitions: m.Partitions, RowIDs: true})
		if err != nil {
			t.Fatal(err)
		}
		part := event.NewRows(testLayout, 0)
		for i := cutoffs[s]; i < cutoffs[s+1]; i++ {
			part.Append(w.rows, i)
			if s > 0 {
				mark(i)
			}
		}
		if err := errors.Join(b.Add(part), b.Finish()); err != nil {
			t.Fatal(err)
		}
		seg, err := st.WriteRows(context.Background(), fmt.Sprint("rows", s), uint64(s+1), b)
		put(seg, err)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		for i := range n / 20 {
			if victim := r.IntN(cutoffs[s+1] + 1); victim < n && i >= 0 {
				w.dead[w.rows.RowID[victim]] = true
				if s > 0 {
					mark(victim)
				}
			}
		}
		switch s {
		case 0:
			for d := int64(-7); d < 5; d += 3 {
				seg, err := st.BuildDays(context.Background(), snap, runs.DaysSpec{ID: fmt.Sprint("days", d), Span: event.Interval{Lo: d * event.Day, Hi: (d + 3) * event.Day},
					Position: 1, Partials: partials})
				put(seg, err)
			}
		case 1: // rebuild what is dirty
			span := event.Interval{Lo: -7 * event.Day, Hi: 2 * event.Day}
			seg, err := st.BuildDays(context.Background(), snap, runs.DaysSpec{ID: "rebuilt", Span: span, Position: 2, Partials: partials, OnlyDirty: true})
			put(seg, err)
			for k := range dirty {
				dirty[k] = slices.DeleteFunc(dirty[k], func(d int64) bool { return d*event.Day >= span.Lo && d*event.Day < span.Hi })
			}
		case 2:
			if r.IntN(2) == 0 {
				ids := []string{"days-7", "days-4", "days-1", "days2", "rebuilt"}
				seg, err := st.Compact(context.Background(), &m, ids, "alldays", runs.Drop{})
				put(seg, err, ids...)
			}
			if r.IntN(2) == 0 {
				ids := []string{"rows0", "rows1"}
				seg, err := st.Compact(context.Background(), &m, ids, "rows01", runs.Drop{Rows: snap.Dead})
				put(seg, err, ids...)
			}
		}
	}
	tail := event.NewRows(testLayout, 0)
	for i := cutoffs[3]; i < n; i++ {
		tail.Append(w.rows, i)
	}
	if snap.Tail, err = runs.NewTail(testLayout, tail); err != nil {
		t.Fatal(err)
	}
	// The keys with live rows are visited once each.
	live := map[string]bool{}
	for i := range n {
		if !w.dead[w.rows.RowID[i]] {
			live[string(w.rows.Key.Bytes(i))] = true
		}
	}
	if err := snap.Keys(context.Background(), func(key []byte) error {
		if !live[string(key)] {
			return fmt.Errorf("key %x is not live or comes twice", key)
		}
		delete(live, string(key))
		return nil
	}); err != nil || len(live) > 0 {
		t.Fatalf("%v; %d keys missing", err, len(live))
	}
	return snap, fs
}

// Errors of sources and the sink, and cancellation, end the join and leave no file.
func TestJoinErrors(t *testing.T) {
	r := testSeed(t)
	partials := testPartials(t)
	outs, windows := randomOutputs(r, partials)
	w := newWorld(r, 500, 100, 5, windows, false)
	boom := errors.New("boom")
	for what := range 4 {
		fs := vfs.NewMem()
		labels, events := w.sources(r, 2)
		ctx, cancel := context.WithCancel(context.Background())
		want := boom
		spec := JoinSpec{Layout: testLayout, Partials: partials, Outputs: outs, Labels: labels, Events: events,
			Sink: func(*vector.Chunk) error { return nil }, Options: Options{Threads: 2, FS: fs, SpillPath: "spill", Memory: 1}}
		switch what {
		case 0:
			spec.Labels = append(spec.Labels, func(context.Context, func(*Labels) error) error { return boom })
		case 1:
			spec.Events = append(spec.Events, func(context.Context, func(*event.Rows) error) error { return boom })
		case 2:
			spec.Sink = func(*vector.Chunk) error { return boom }
		case 3:
			want = context.Canceled
			spec.Events = append(spec.Events, func(context.Context, func(*event.Rows) error) error { cancel(); return nil })
		}
		if err := Join(ctx, spec); !errors.Is(err, want) {
			t.Fatalf("case %d: %v", what, err)
		}
		cancel()
		noFiles(t, fs)
	}
}
