package pointintime

import (
	"context"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/runs"
)

// worker computes partitions, one after the other, on one goroutine.
type worker struct {
	join *join
	ctx  context.Context
	out  *vector.Chunk

	empty    []functions.State // by running; never updated
	runnings []running
	inputs   []functions.Input // by running
	lo, hi   [][]int           // by window, by cut of the key
	labels   runs.Sorter
	events   runs.Sorter
	bounds   []event.Interval
	reader   *runs.Reader
	wants    []Want
	history  history
	key      []byte
	stats    event.ReadStats
}

func (w *worker) open() {
	p, spec := &w.join.plan, w.join.spec
	w.out = vector.NewChunk(p.types, chunkRows)
	for _, r := range p.runnings {
		a := spec.Partials[r.partial].Agg
		w.empty = append(w.empty, a.New())
		if spec.Life != nil {
			w.runnings = append(w.runnings, newVersioned(&w.history, a, spec.Options.Mode))
		} else {
			w.runnings = append(w.runnings, newRunning(a, spec.Options.Mode))
		}
		w.inputs = append(w.inputs, functions.Input{Args: make([]*vector.Vector, len(spec.Partials[r.partial].Args))})
	}
	w.lo, w.hi = make([][]int, len(p.windows)), make([][]int, len(p.windows))
}

// flush gives the collected results to the sink.
func (w *worker) flush() error {
	if w.out.N == 0 {
		return nil
	}
	j := w.join
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.spec.Sink(w.out); err != nil {
		return err
	}
	j.progress.Done += int64(w.out.N)
	j.report()
	w.out.Reset()
	return nil
}

// finalize appends the value of running r's state at cut t (ok: it is not NULL) to its outputs.
func (w *worker) finalize(r int, s functions.State, t int64, ok bool) error {
	for _, o := range w.join.plan.runnings[r].outputs {
		out, win := w.out.Cols[o+1], &w.join.plan.outputs[o].Window
		if win.Following && !(ok && win.Known(t, w.join.spec.CompleteThrough)) {
			out.AppendNull()
			continue
		}
		if err := s.Finalize(out); err != nil {
			return err
		}
	}
	return nil
}

// compute computes a partition.
func (w *worker) compute(p work) error {
	labels, err := w.labels.Sort(p.of, p.p, runs.SortOptions{})
	if err != nil {
		return err
	}
	p.of.Release(p.p)
	switch {
	case p.of == w.join.void:
		return w.nothing(labels)
	case w.join.events == nil:
		return w.snapshot(labels)
	}
	return w.partition(labels, p.p)
}

// nothing answers labels that no event counts for.
func (w *worker) nothing(labels *runs.Sorted) error {
	for g := range labels.Groups() {
		w.key = labels.AppendKey(w.key[:0], g)
		for i := labels.First[g]; i < labels.First[g+1]; i++ {
			w.out.Cols[0].AppendInt(labels.Rows.RowID[i])
			for r, s := range w.empty {
				if err := w.finalize(r, s, labels.Rows.TS[i], len(w.key) != undatedLen); err != nil {
					return err
				}
			}
			if w.out.N++; w.out.N == chunkRows {
				if err := w.ctx.Err(); err != nil {
					return err
				}
				if err := w.flush(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// partition computes the labels of partition p from its streamed events.
func (w *worker) partition(labels *runs.Sorted, p int) error {
	j := w.join
	w.bounds = w.bounds[:0]
	for g := range labels.Groups() {
		ts := labels.Rows.TS[labels.First[g]:labels.First[g+1]]
		w.bounds = append(w.bounds, j.plan.hull(ts[0], ts[len(ts)-1]))
	}
	events, err := w.events.Sort(j.events, p, runs.SortOptions{Within: labels, Bounds: w.bounds})
	if err != nil {
		return err
	}
	j.events.Release(p)
	w.bind(events.Rows)
	for g := range labels.Groups() {
		from, to := labels.First[g], labels.First[g+1]
		if err := w.slide(events.Rows, events.First[g], events.First[g+1], labels.Rows, from, to); err != nil {
			return err
		}
	}
	return nil
}

// bind points the inputs at rows.
func (w *worker) bind(rows *event.Rows) {
	for r := range w.inputs {
		p := &w.join.spec.Partials[w.join.plan.runnings[r].partial]
		in := &w.inputs[r]
		in.TS, in.Tie = rows.TS, rows.Tie
		for i, c := range p.Args {
			in.Args[i] = rows.Cols[c]
		}
	}
}

// slide moves the windows over a key's rows from ≤ i < to, for its labels lfrom ≤ i < lto, both in order of time. The
// inputs are bound to rows. Labels with positions are taken in the order of those.
func (w *worker) slide(rows *event.Rows, from, to int, labels *event.Rows, lfrom, lto int) error {
	p := &w.join.plan
	cuts := labels.TS[lfrom:lto]
	if w.join.spec.Life != nil && len(cuts) > 0 {
		w.history.load(w.join.spec.Life, rows, from, to, labels.Cols[0].I64[lfrom:lto])
	}
	for i := range p.windows {
		w.lo[i], w.hi[i] = locate(&p.windows[i], p.inclusive, cuts, rows.TS[:to], from, w.lo[i][:0], w.hi[i][:0])
	}
	for r := range w.runnings {
		rp := &p.runnings[r]
		w.runnings[r].begin(&w.inputs[r], filterOf(&w.join.spec.Partials[rp.partial], rows), w.lo[rp.window], w.hi[rp.window])
	}
	label := func(k int) int { return k }
	if w.join.spec.Life != nil {
		label = func(k int) int { return w.history.order[k] }
	}
	for i := 0; i < len(cuts); {
		n := min(len(cuts)-i, chunkRows-w.out.N)
		for k := i; k < i+n; k++ {
			w.out.Cols[0].AppendInt(labels.RowID[lfrom+label(k)])
		}
		for r, run := range w.runnings {
			for k := i; k < i+n; k++ {
				l := label(k)
				if err := w.finalize(r, run.at(l), cuts[l], true); err != nil {
					return err
				}
			}
		}
		i += n
		if w.out.N += n; w.out.N == chunkRows {
			if err := w.ctx.Err(); err != nil {
				return err
			}
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// locate appends the places of a window's ends at every cut among ts[from:], which ascends as the cuts do. Ends only move
// forward, and galloping keeps sparse cuts over many rows cheap.
func locate(win *Window, inclusive bool, cuts, ts []int64, from int, lo, hi []int) ([]int, []int) {
	a, b := from, from
	for _, t := range cuts {
		iv := win.Interval(t, inclusive)
		a, b = seek(ts, a, iv.Lo), seek(ts, b, iv.Hi)
		lo, hi = append(lo, a), append(hi, b)
	}
	return lo, hi
}

// seek is the first place at or after from whose time is not before t.
func seek(ts []int64, from int, t int64) int {
	if from >= len(ts) || ts[from] >= t {
		return from
	}
	// ts[from] < t from here on.
	step := 1
	for from+step < len(ts) && ts[from+step] < t {
		from += step
		step *= 2
	}
	end := min(from+step, len(ts))
	for from++; from < end; {
		if mid := int(uint(from+end) / 2); ts[mid] < t {
			from = mid + 1
		} else {
			end = mid
		}
	}
	return from
}

// snapshot computes the labels of a partition from runs, key by key in their order on disk.
func (w *worker) snapshot(labels *runs.Sorted) error {
	if w.reader == nil {
		var err error
		if w.reader, err = w.join.spec.Snapshot.Reader(&w.stats); err != nil {
			return err
		}
	}
	for _, g := range labels.ByKey() {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		w.key = labels.AppendKey(w.key[:0], int(g))
		if err := w.reader.Seek(w.key); err != nil {
			return err
		}
		from, to := labels.First[g], labels.First[g+1]
		cuts := labels.Rows.TS[from:to]
		hull := w.join.plan.hull(cuts[0], cuts[len(cuts)-1])
		if w.assembles(hull, len(cuts)) {
			if err := w.assemble(labels.Rows, from, to); err != nil {
				return err
			}
			continue
		}
		rows, a, b, err := w.reader.Rows(hull)
		if err != nil {
			return err
		}
		w.bind(rows)
		if err := w.slide(rows, a, b, labels.Rows, from, to); err != nil {
			return err
		}
	}
	return nil
}

// Costs, in units of one row folded into one state, of the choice between sliding and assembling.
const (
	costRead   = 1 // a row found and read
	costState  = 6 // an encoded state decoded and merged
	costPieces = 8 // a cover begun
)

// assembles reports whether the labels of a key cost less one by one, from daily partials, than by sliding over its rows.
func (w *worker) assembles(hull event.Interval, cuts int) bool {
	if w.join.spec.Life != nil {
		return false // a day's state is that of one position
	}
	switch w.join.spec.Options.Mode {
	case ModeAssemble:
		return true
	case ModeSlide, ModeRecompute:
		return false
	}
	rows, days := w.reader.Weight(hull)
	if days == 0 {
		return false
	}
	p := &w.join.plan
	states := int64(len(p.runnings))
	slide := rows * (costRead + 2*states)
	perDay := rows / max(days, 1)
	each := int64(0)
	for _, win := range p.windows {
		in := days
		if !win.Lifetime {
			in = min(in, win.Length/event.Day)
		}
		each += costPieces + in*costState*states + 2*perDay*(costRead+states)
	}
	return int64(cuts)*each < slide
}

// assemble computes each label from its pieces.
func (w *worker) assemble(labels *event.Rows, from, to int) error {
	p, spec := &w.join.plan, w.join.spec
	if w.wants == nil {
		w.wants = make([]Want, len(p.runnings))
		for r, rp := range p.runnings {
			w.wants[r] = Want{Partial: rp.partial, State: spec.Partials[rp.partial].Agg.New()}
		}
	}
	for i := from; i < to; i++ {
		t := labels.TS[i]
		for r, rp := range p.runnings {
			w.wants[r].State.Reset()
			w.wants[r].Interval = p.windows[rp.window].Interval(t, p.inclusive)
		}
		if err := Assemble(w.reader, spec.Partials, w.wants); err != nil {
			return err
		}
		w.out.Cols[0].AppendInt(labels.RowID[i])
		for r := range p.runnings {
			if err := w.finalize(r, w.wants[r].State, t, true); err != nil {
				return err
			}
		}
		if w.out.N++; w.out.N == chunkRows {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}
