package pointintime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sync/errgroup"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/runs"
)

// Mode says how the value of a cut is computed. All modes give the same values.
type Mode uint8

// The modes. Tests force them and compare.
const (
	ModeAuto      Mode = iota // the cheaper way for each key
	ModeSlide                 // running states over rows
	ModeAssemble              // each cut from daily partials and rows at the edges; needs a Snapshot
	ModeRecompute             // each window from its rows anew
)

// Limits of Options.
const (
	DefaultMemory = 256 << 20 // bytes
	MaxThreads    = 64
	chunkRows     = 2048 // of results
)

// Options configure a Join.
type Options struct {
	Threads    int    // workers; 0: 1
	Partitions int    // of labels and streamed events; 0: runs.DefaultPartitions. A Snapshot's own number counts there
	Memory     int64  // bytes of collected labels and events before they spill; 0: DefaultMemory
	FS         vfs.FS // holds the spill files
	SpillPath  string // prefix of their names, no other statement's
	Mode       Mode
}

// Output is a column of the result: a partial over a window.
type Output struct {
	Partial int
	Window  Window
}

// Labels is rows of the left side, all columns of length len(Row).
type Labels struct {
	Row      []int64        // number of the left row, given back with its values
	Key      *vector.Vector // Bytes: encoded entity key; NULL: no event counts
	T        *vector.Vector // I64: the cut, microseconds UTC; NULL: no event counts
	Position []uint64       // of the log, below 1<<63; only with JoinSpec.Life
}

// LabelSource emits labels in any order and from any number of goroutines. What it emits is copied before emit returns.
type LabelSource func(ctx context.Context, emit func(*Labels) error) error

// EventSource emits event rows, with keys, in any order and from any number of goroutines; row ids may be missing. They are
// copied before emit returns.
type EventSource func(ctx context.Context, emit func(*event.Rows) error) error

// Progress is what a Join has done.
type Progress struct {
	Labels int64 // labels read
	Events int64 // event rows read from sources
	Done   int64 // labels whose values went to the sink
}

// JoinSpec is a point-in-time join: the values of Outputs at every label.
type JoinSpec struct {
	Layout    event.Layout // of Events and of the Snapshot
	Partials  []event.Partial
	Outputs   []Output
	Inclusive bool // events at the cut itself count
	// CompleteThrough is the time, inclusive, up to which the events are complete: a Following output is NULL where its
	// window ends after it, or where the cut is NULL. Other outputs do not ask for it.
	CompleteThrough int64

	Labels []LabelSource // run at once, a goroutine each, before the events are read
	// Exactly one of Events and Snapshot is set.
	Events   []EventSource // run at once, a goroutine each
	Snapshot *runs.Snapshot
	// Life says at which positions, from ≤ p < to, a row version is there: a label counts those of its own position. The events have row
	// ids then, and are, as the snapshot's, the row versions of all the labels' positions. nil: all rows count for every label. It is
	// called by several goroutines.
	Life func(rowID uint64) (from, to uint64)

	// Sink takes chunks of (row number BIGINT, outputs…), in any order, never two at once, once all labels are read. A chunk
	// is valid during the call. Every label is given exactly once.
	Sink     func(*vector.Chunk) error
	Progress func(Progress)   // may be nil; never called twice at once
	Stats    *event.ReadStats // reads of the Snapshot are added to it; may be nil
	Options  Options
}

// Join computes a point-in-time join. Its memory is Options.Memory for what is collected, and the rows of one partition
// (of one key, with a Snapshot) a thread. It returns the context's error when that ends, and leaves no file behind.
func Join(ctx context.Context, spec JoinSpec) (err error) {
	j, err := newJoin(&spec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	if err := j.readLabels(ctx); err != nil {
		return err
	}
	if spec.Snapshot == nil {
		if err := j.readEvents(ctx); err != nil {
			return err
		}
	}
	return j.merge(ctx)
}

// join is a Join at work.
type join struct {
	spec    *JoinSpec
	plan    plan
	budget  *runs.Budget
	filter  runs.KeyFilter
	labels  *runs.Builder // with key and cut
	void    *runs.Builder // the other labels
	events  *runs.Builder
	cuts    event.Interval // least and greatest cut, both inclusive; only with any
	anyCut  bool
	threads int

	mu       sync.Mutex // of what follows, and of the sink
	progress Progress
	stats    event.ReadStats
}

func newJoin(spec *JoinSpec) (*join, error) {
	o := spec.Options
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if (spec.Snapshot == nil) == (spec.Events == nil) {
		return nil, errors.New("pointintime: a join reads events or a snapshot")
	}
	if o.Mode == ModeAssemble && spec.Snapshot == nil {
		return nil, errors.New("pointintime: there are no daily partials of streamed events")
	}
	j := &join{spec: spec, threads: max(1, min(o.Threads, MaxThreads)), budget: runs.NewBudget(o.Memory)}
	var err error
	if j.plan, err = newPlan(spec); err != nil {
		return nil, err
	}
	parts := o.Partitions
	if spec.Snapshot != nil {
		parts = spec.Snapshot.Manifest.Partitions
	}
	opt := runs.BuilderOptions{Budget: j.budget, FS: o.FS, SpillPath: o.SpillPath + ".void", RowIDs: true}
	if j.void, err = runs.NewBuilder(event.Layout{}, opt); err != nil {
		return nil, err
	}
	opt.Partitions, opt.SpillPath = parts, o.SpillPath+".labels"
	if spec.Snapshot == nil {
		opt.Record = &j.filter
	}
	layout := event.Layout{Keys: spec.Layout.Keys}
	if spec.Life != nil {
		layout.Columns = []vector.Type{vector.T(vector.Int64)} // positions
	}
	j.labels, err = runs.NewBuilder(layout, opt)
	return j, err
}

func (j *join) close() error {
	err := errors.Join(j.labels.Close(), j.void.Close())
	if j.events != nil {
		err = errors.Join(err, j.events.Close())
	}
	if j.spec.Stats != nil {
		addStats(j.spec.Stats, &j.stats)
	}
	return err
}

func addStats(a, b *event.ReadStats) {
	a.PointReads += b.PointReads
	a.CacheHits += b.CacheHits
	a.Bytes += b.Bytes
	a.Rows += b.Rows
	a.States += b.States
	a.RunsOpened += b.RunsOpened
}

func (j *join) readLabels(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, src := range j.spec.Labels {
		g.Go(func() error {
			return src(gctx, func(l *Labels) error {
				if err := gctx.Err(); err != nil {
					return err
				}
				return j.addLabels(l)
			})
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := errors.Join(j.labels.Finish(), j.void.Finish()); err != nil {
		return err
	}
	if j.budget.Used() > j.budget.Limit()/2 {
		// Else the events would be left with so little that they spill in crumbs.
		return errors.Join(j.labels.Spill(), j.void.Spill())
	}
	return nil
}

// addLabels keeps labels. Those without a key or cut go aside, so that the others' keys stay of one form.
func (j *join) addLabels(l *Labels) error {
	n := len(l.Row)
	if l.Key.N != n || l.T.N != n {
		return errors.New("pointintime: columns of labels differ in length")
	}
	rows := &event.Rows{Key: l.Key, TS: l.T.I64, RowID: l.Row}
	if j.spec.Life != nil {
		if len(l.Position) != n {
			return errors.New("pointintime: labels without positions")
		}
		at := vector.New(vector.T(vector.Int64), n)
		for _, p := range l.Position {
			at.AppendInt(int64(p))
		}
		rows.Cols = []*vector.Vector{at}
	}
	if l.Key.HasNulls() || l.T.HasNulls() {
		var void *event.Rows
		if rows, void = apart(l, rows.Cols); void.N() > 0 {
			if err := j.void.Add(void); err != nil {
				return err
			}
		}
	}
	if err := j.labels.Add(rows); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if rows.N() > 0 {
		lo, hi := slices.Min(rows.TS), slices.Max(rows.TS)
		if j.anyCut {
			lo, hi = min(lo, j.cuts.Lo), max(hi, j.cuts.Hi)
		}
		j.cuts, j.anyCut = event.Interval{Lo: lo, Hi: hi}, true
	}
	j.progress.Labels += int64(n)
	j.report()
	return nil
}

// apart splits labels into those with key and cut, with their positions, and those that no event counts for. The latter's keys spread
// them over partitions, and tell by their length whether there is a cut.
func apart(l *Labels, positions []*vector.Vector) (rows, void *event.Rows) {
	layout := event.Layout{}
	for _, p := range positions {
		layout.Columns = append(layout.Columns, p.Type)
	}
	rows, void = event.NewRows(layout, len(l.Row)), event.NewRows(event.Layout{}, 0)
	for i, row := range l.Row {
		to, key, t := void, []byte{byte(row), byte(row >> 8)}, l.T.I64[i]
		switch {
		case l.T.IsNull(i):
			key, t = key[:undatedLen], 0
		case !l.Key.IsNull(i):
			to, key = rows, l.Key.Bytes(i)
			for c, p := range positions {
				rows.Cols[c].AppendFrom(p, i)
			}
		}
		to.Key.AppendBytes(key)
		to.TS = append(to.TS, t)
		to.RowID = append(to.RowID, row)
	}
	return rows, void
}

// undatedLen is the length of the keys that apart gives to labels without a cut.
const undatedLen = 1

// report calls the progress callback. The lock is held.
func (j *join) report() {
	if j.spec.Progress != nil {
		j.spec.Progress(j.progress)
	}
}

func (j *join) readEvents(ctx context.Context) error {
	o := j.spec.Options
	bounds := event.Interval{}
	if j.anyCut {
		bounds = j.plan.hull(j.cuts.Lo, j.cuts.Hi)
	}
	var err error
	j.events, err = runs.NewBuilder(j.spec.Layout, runs.BuilderOptions{Partitions: j.labels.Partitions(), Budget: j.budget,
		FS: o.FS, SpillPath: o.SpillPath + ".events", Within: &j.filter, Bounds: &bounds, RowIDs: j.spec.Life != nil})
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, src := range j.spec.Events {
		g.Go(func() error {
			return src(gctx, func(r *event.Rows) error {
				if err := gctx.Err(); err != nil {
					return err
				}
				if err := j.events.Add(r); err != nil {
					return err
				}
				j.mu.Lock()
				defer j.mu.Unlock()
				j.progress.Events += int64(r.N())
				j.report()
				return nil
			})
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return j.events.Finish()
}

// work is a partition that a worker computes.
type work struct {
	of *runs.Builder // labels or void
	p  int
	n  int // rows, of events too
}

// merge computes the partitions, the largest first so that threads end together.
func (j *join) merge(ctx context.Context) error {
	var order []work
	for _, b := range []*runs.Builder{j.labels, j.void} {
		for p := range b.Partitions() {
			n := b.PartitionRows(p)
			if n == 0 {
				continue
			}
			if b == j.labels && j.events != nil {
				n += j.events.PartitionRows(p)
			}
			order = append(order, work{b, p, n})
		}
	}
	slices.SortStableFunc(order, func(a, b work) int { return b.n - a.n })
	next := make(chan work, len(order))
	for _, p := range order {
		next <- p
	}
	close(next)
	g, gctx := errgroup.WithContext(ctx)
	for range min(j.threads, max(1, len(order))) {
		g.Go(func() error {
			w := &worker{join: j, ctx: gctx}
			w.open()
			for p := range next {
				if err := gctx.Err(); err != nil {
					return err
				}
				if err := w.compute(p); err != nil {
					return err
				}
			}
			if err := w.flush(); err != nil {
				return err
			}
			j.mu.Lock()
			defer j.mu.Unlock()
			addStats(&j.stats, &w.stats)
			return nil
		})
	}
	return g.Wait()
}

// plan is what the outputs share: equal windows are located once, equal (partial, window) computed once.
type plan struct {
	windows   []Window
	runnings  []runningPlan
	outputs   []Output
	types     []vector.Type // of the result
	inclusive bool
}

type runningPlan struct {
	partial, window int
	outputs         []int
}

func newPlan(spec *JoinSpec) (plan, error) {
	p := plan{outputs: spec.Outputs, inclusive: spec.Inclusive, types: []vector.Type{vector.T(vector.Int64)}}
	for i, o := range spec.Outputs {
		if o.Partial < 0 || o.Partial >= len(spec.Partials) {
			return p, fmt.Errorf("pointintime: output %d is of partial %d of %d", i, o.Partial, len(spec.Partials))
		}
		w := slices.Index(p.windows, o.Window)
		if w < 0 {
			w = len(p.windows)
			p.windows = append(p.windows, o.Window)
		}
		r := slices.IndexFunc(p.runnings, func(r runningPlan) bool { return r.partial == o.Partial && r.window == w })
		if r < 0 {
			r = len(p.runnings)
			p.runnings = append(p.runnings, runningPlan{partial: o.Partial, window: w})
		}
		p.runnings[r].outputs = append(p.runnings[r].outputs, i)
		p.types = append(p.types, spec.Partials[o.Partial].Agg.ResultType())
	}
	for _, pt := range spec.Partials {
		for _, c := range append(slices.Clone(pt.Args), max(pt.Filter, 0)) {
			if (c < 0 || c >= len(spec.Layout.Columns)) && (c != 0 || pt.Filter >= 0) {
				return p, fmt.Errorf("pointintime: a partial reads column %d of %d", c, len(spec.Layout.Columns))
			}
		}
	}
	return p, nil
}

// hull holds every event that counts at a cut from lo to hi, both inclusive.
func (p *plan) hull(lo, hi int64) event.Interval {
	var out event.Interval
	for i, w := range p.windows {
		a, b := w.Interval(lo, p.inclusive), w.Interval(hi, p.inclusive)
		if i == 0 {
			out = event.Interval{Lo: a.Lo, Hi: b.Hi}
			continue
		}
		out = event.Interval{Lo: min(out.Lo, a.Lo), Hi: max(out.Hi, b.Hi)}
	}
	return out
}
