package materialize

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/runs"
)

// Limits of a group's segments. A tier holds segments of similar size: within a factor of tierFactor.
const (
	tierFactor = 4
	tierFan    = 4 // segments of a tier that are merged into one
)

// nobody is the row id of a row that stands for an emptied day: no table and no file has it.
const nobody = math.MaxUint64

// overlayChunk is how many rows are gathered before they are sorted into an overlay.
const overlayChunk = 8_192

// overlay is a change of a group's runs being prepared.
type overlay struct {
	m     *Manager
	g     *Group
	man   runs.Manifest
	fresh []runs.Segment // written here: removed where the change is not published
	job   *job           // told of progress; nil: nobody
	// beforeDiscard is called before segments that were merged are removed; nil: nobody else knows them.
	beforeDiscard func() error
}

func (m *Manager) newOverlay(g *Group) *overlay { return &overlay{m: m, g: g, man: *g.Manifest} }

// segmentID is an id that no segment ever had.
func (m *Manager) segmentID(g uint32, kind runs.Kind) (string, error) {
	n, err := m.cfg.Log.Sequence("run")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("g%d-%s-%d", g, kind, n), nil
}

// builder collects rows of the overlay.
func (o *overlay) builder() (*runs.Builder, error) {
	var b *runs.Builder
	b, err := o.builderTelling(func(part float64) { o.job.worked(part * float64(b.Rows())) })
	return b, err
}

func (o *overlay) builderTelling(progress func(part float64)) (*runs.Builder, error) {
	return runs.NewBuilder(o.man.Layout, runs.BuilderOptions{Partitions: o.man.Partitions, Budget: runs.NewBudget(o.m.cfg.Memory), FS: o.m.cfg.FS, SpillPath: o.m.SpillPath(), RowIDs: true, Progress: progress})
}

func (o *overlay) put(old []string, s runs.Segment) error {
	o.fresh = append(o.fresh, s)
	next, err := o.man.Replace(old, s)
	if err == nil {
		o.man = next
	}
	return err
}

// discard removes what was written. The change was not published.
func (o *overlay) discard() error { return o.m.segments.discard(o.fresh...) }

// add lays the rows of b over the group's runs, which then hold everything up to a position: a segment of rows, and entries for the days
// that have ended, of which open is the first that has not. What is there of later days is read from rows, so that a day that fills does
// not have its rows folded again whenever some come. dead hides what is not live at the position; gone are the days of rows that went.
//
// Once a day has entries it keeps them: a row that comes to it late, or goes, makes that of its key anew.
func (o *overlay) add(ctx context.Context, b *runs.Builder, position uint64, dead func(uint64) bool, gone map[string][]int64, open int64) error {
	before := o.man
	rows, err := o.writeRows(ctx, b, position)
	if err != nil {
		return err
	}
	o.man.Position = position
	covered := o.covered()
	if err := o.heal(ctx, before, rows, position, dead, until(gone, o.m.cfg.Days.Of(covered.Hi)), covered); err != nil {
		return err
	}
	// The days that ended since, of all rows, as most of these came while they had not.
	ended := event.Interval{Lo: covered.Hi, Hi: open}
	span := event.Interval{Lo: math.MaxInt64, Hi: math.MinInt64}
	for _, s := range o.rowsSegments() {
		iv := o.m.wholeDays(s.Span)
		span.Lo, span.Hi = min(span.Lo, iv.Lo), max(span.Hi, iv.Hi)
	}
	if covered.Lo >= covered.Hi {
		ended.Lo = span.Lo
	}
	if ended.Hi = min(ended.Hi, span.Hi); ended.Lo >= ended.Hi {
		return nil
	}
	of := o.only(nil)
	for _, s := range o.rowsSegments() {
		if s.Span.Lo < ended.Hi && ended.Lo < s.Span.Hi {
			of.Segments = append(of.Segments, s)
		}
	}
	n := b.Rows()
	if rows != nil && rows.Span.Lo < covered.Hi {
		n = 0 // told of before
	}
	_, err = o.entries(ctx, &runs.Snapshot{Store: o.m.runs, Manifest: of, Dead: dead}, ended, position, n)
	return err
}

// covered is the days that the runs' entries speak for: from the first on, without a gap. Without entries it is empty.
func (o *overlay) covered() event.Interval {
	out := event.Interval{Lo: math.MaxInt64, Hi: math.MinInt64}
	for _, s := range o.man.Segments {
		if s.Kind == runs.KindDays {
			out.Lo, out.Hi = min(out.Lo, s.Span.Lo), max(out.Hi, s.Span.Hi)
		}
	}
	return out
}

// until is gone without the days from one on.
func until(gone map[string][]int64, day int64) map[string][]int64 {
	out := map[string][]int64{}
	for k, days := range gone {
		if n, _ := slices.BinarySearch(days, day); n > 0 {
			out[k] = days[:n]
		}
	}
	return out
}

// heal makes the entries anew of the days before the end of what is covered that a row came to, or went from. They cost what these days
// have: where the rows are of days that the runs, as they were before, know nothing of, they alone are folded; else the rows of the keys and days in
// question are gathered into a segment for the time of the fold.
func (o *overlay) heal(ctx context.Context, before runs.Manifest, rows *runs.Segment, position uint64, dead func(uint64) bool, gone map[string][]int64, covered event.Interval) error {
	late := rows != nil && rows.Span.Lo < covered.Hi
	if !late && len(gone) == 0 {
		return nil
	}
	alone := len(gone) == 0
	// An entry segment speaks for everything that is covered, so that any neighbours can be merged later.
	days := covered
	if late {
		span := event.Interval{Lo: rows.Span.Lo, Hi: min(rows.Span.Hi, covered.Hi)}
		days.Lo = min(days.Lo, o.m.wholeDays(span).Lo)
		span = o.m.wholeDays(span)
		for _, s := range before.Segments {
			if s.Kind == runs.KindRows && s.Span.Lo < span.Hi && span.Lo < s.Span.Hi {
				alone = false
			}
		}
	}
	for _, ds := range gone {
		days.Lo = min(days.Lo, o.m.cfg.Days.Start(ds[0]))
	}
	snap := &runs.Snapshot{Store: o.m.runs, Manifest: o.only(rows), Dead: dead}
	if !alone {
		if !late {
			rows = nil
		}
		t, empty, err := o.gather(ctx, rows, position, dead, gone, o.m.cfg.Days.Of(covered.Hi))
		if err != nil {
			return err
		}
		defer func() { _ = o.m.segments.discard(t) }() // never published; a file that stays is removed at the next start
		snap.Manifest, snap.Dead = o.only(&t), func(id uint64) bool { return id == nobody }
		if len(empty) > 0 {
			snap.Dirty = func(key []byte, dst []int64) []int64 { return append(dst, empty[string(key)]...) }
		}
	}
	n := int64(0)
	if late {
		n = rows.Rows
	}
	_, err := o.entries(ctx, snap, days, position, n)
	return err
}

// entries writes the entries of a snapshot's rows in whole days. So many rows of the job are then done.
func (o *overlay) entries(ctx context.Context, snap *runs.Snapshot, days event.Interval, position uint64, rows int64) (runs.Segment, error) {
	id, err := o.m.segmentID(o.g.Schema.ID, runs.KindDays)
	if err != nil {
		return runs.Segment{}, err
	}
	s, err := o.m.runs.BuildDays(ctx, snap, runs.DaysSpec{ID: id, Span: days, Position: position, Partials: o.g.Partials, Progress: o.folded(rows)})
	if err != nil {
		return runs.Segment{}, err
	}
	return s, o.put(nil, s)
}

// writeRows writes the rows of b, which are of a position, as a segment; nil where there are none.
func (o *overlay) writeRows(ctx context.Context, b *runs.Builder, position uint64) (*runs.Segment, error) {
	if b.Rows() == 0 {
		return nil, nil
	}
	id, err := o.m.segmentID(o.g.Schema.ID, runs.KindRows)
	if err != nil {
		return nil, err
	}
	s, err := o.m.runs.WriteRows(ctx, id, position, b)
	if err != nil {
		return nil, err
	}
	return &s, o.put(nil, s)
}

// rowsSegments are the segments of rows.
func (o *overlay) rowsSegments() []runs.Segment {
	return slices.DeleteFunc(slices.Clone(o.man.Segments), func(s runs.Segment) bool { return s.Kind != runs.KindRows })
}

// fold folds all rows of the days before open, of which dead hides those that are not live, into entries: one segment, nil where there are
// no rows of such days.
func (o *overlay) fold(ctx context.Context, dead func(uint64) bool, open int64) (*runs.Segment, error) {
	var rows int64
	days := event.Interval{Lo: math.MaxInt64, Hi: math.MinInt64}
	for _, s := range o.man.Segments {
		iv := o.m.wholeDays(s.Span)
		days.Lo, days.Hi, rows = min(days.Lo, iv.Lo), max(days.Hi, iv.Hi), rows+s.Rows
	}
	if days.Hi = min(days.Hi, open); rows == 0 || days.Lo >= days.Hi {
		return nil, nil
	}
	s, err := o.entries(ctx, &runs.Snapshot{Store: o.m.runs, Manifest: &o.man, Dead: dead, NoPartials: true}, days, o.man.Position, rows)
	return &s, err
}

// folded tells the job of so many rows being folded.
func (o *overlay) folded(rows int64) func(part float64) {
	return func(part float64) { o.job.worked(part * float64(rows)) }
}

func (o *overlay) only(s *runs.Segment) *runs.Manifest {
	m := &runs.Manifest{Layout: o.man.Layout, Partials: o.man.Partials, Partitions: o.man.Partitions, Position: o.man.Position}
	if s != nil {
		m.Segments = []runs.Segment{*s}
	}
	return m
}

// gather writes a segment of all live rows of every (key, day) before the day end that a row of the segment fresh (nil: none) came to or, by
// gone, went from. A day without rows gets a dead one, so that its key is met, and is listed in empty.
func (o *overlay) gather(ctx context.Context, fresh *runs.Segment, position uint64, dead func(uint64) bool, gone map[string][]int64, end int64) (seg runs.Segment, empty map[string][]int64, err error) {
	b, err := o.builderTelling(nil) // beside what the job counts
	if err != nil {
		return seg, nil, err
	}
	defer b.Close()
	all, err := (&runs.Snapshot{Store: o.m.runs, Manifest: &o.man, Dead: dead, NoPartials: true}).Reader(nil)
	if err != nil {
		return seg, nil, err
	}
	chunk := event.NewRows(o.man.Layout, overlayChunk)
	flush := func() error {
		err := b.Add(chunk)
		chunk = event.NewRows(o.man.Layout, overlayChunk)
		return err
	}
	empty = map[string][]int64{}
	key := func(key []byte, days []int64) error {
		if err := all.Seek(key); err != nil {
			return err
		}
		for _, d := range days {
			rows, from, to, err := all.Rows(event.Interval{Lo: o.m.cfg.Days.Start(d), Hi: o.m.cfg.Days.Start(d + 1)})
			if err != nil {
				return err
			}
			for i := from; i < to; i++ {
				if appendKeyed(chunk, key, rows, i); chunk.N() == overlayChunk {
					if err := flush(); err != nil {
						return err
					}
				}
			}
			if from == to {
				empty[string(key)] = append(empty[string(key)], d)
				appendNobody(chunk, key, o.m.cfg.Days.Start(d))
			}
		}
		return nil
	}
	met := map[string]bool{} // of gone
	if fresh != nil {
		snap := &runs.Snapshot{Store: o.m.runs, Manifest: o.only(fresh), NoPartials: true}
		own, err := snap.Reader(nil)
		if err != nil {
			return seg, nil, err
		}
		err = snap.Keys(ctx, func(k []byte) error {
			if err := own.Seek(k); err != nil {
				return err
			}
			rows, from, to, err := own.Rows(event.Interval{Lo: event.Forever, Hi: o.m.cfg.Days.Start(end)})
			if err != nil {
				return err
			}
			var days []int64
			for i := from; i < to; i++ {
				if d := o.m.cfg.Days.Of(rows.TS[i]); len(days) == 0 || days[len(days)-1] != d {
					days = append(days, d)
				}
			}
			if g := gone[string(k)]; g != nil {
				met[string(k)] = true
				days = joinDays(days, g)
			}
			return key(k, days)
		})
		if err != nil {
			return seg, nil, err
		}
	}
	for k, days := range gone {
		if !met[k] {
			if err := key([]byte(k), days); err != nil {
				return seg, nil, err
			}
		}
	}
	if err := flush(); err != nil {
		return seg, nil, err
	}
	if err := b.Finish(); err != nil {
		return seg, nil, err
	}
	id, err := o.m.segmentID(o.g.Schema.ID, runs.KindRows)
	if err != nil {
		return seg, nil, err
	}
	seg, err = o.m.runs.WriteRows(ctx, id, position, b)
	return seg, empty, err
}

// appendKeyed appends row i of src, whose key is not in it.
func appendKeyed(dst *event.Rows, key []byte, src *event.Rows, i int) {
	dst.Key.AppendBytes(key)
	dst.TS = append(dst.TS, src.TS[i])
	dst.RowID = append(dst.RowID, src.RowID[i])
	if dst.Tie != nil {
		dst.Tie.AppendFrom(src.Tie, i)
	}
	for c := range dst.Cols {
		dst.Cols[c].AppendFrom(src.Cols[c], i)
	}
}

func appendNobody(dst *event.Rows, key []byte, ts int64) {
	dst.Key.AppendBytes(key)
	dst.TS = append(dst.TS, ts)
	dst.RowID = append(dst.RowID, -1) // nobody, as the int64 that rows carry
	if dst.Tie != nil {
		dst.Tie.AppendBytes(nil)
	}
	for _, c := range dst.Cols {
		c.AppendNull()
	}
}

// wholeDays is the days that an interval touches.
func (m *Manager) wholeDays(iv event.Interval) event.Interval {
	days := m.cfg.Days
	return event.Interval{Lo: days.Start(days.Of(iv.Lo)), Hi: days.Start(days.Of(iv.Hi-1) + 1)}
}

// compact merges segments of similar size, so that their number grows with the logarithm of the rows.
func (o *overlay) compact(ctx context.Context) error {
	for {
		ids, kind := tier(&o.man)
		if len(ids) == 0 {
			return nil
		}
		if err := o.merge(ctx, ids, kind, runs.Drop{}); err != nil {
			return err
		}
	}
}

// purge merges all rows segments without the rows of drop.
func (o *overlay) purge(ctx context.Context, drop runs.Drop) error {
	var ids []string
	for _, s := range o.man.Segments {
		if s.Kind == runs.KindRows {
			ids = append(ids, s.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return o.merge(ctx, ids, runs.KindRows, drop)
}

func (o *overlay) merge(ctx context.Context, ids []string, kind runs.Kind, drop runs.Drop) error {
	id, err := o.m.segmentID(o.g.Schema.ID, kind)
	if err != nil {
		return err
	}
	s, err := o.m.runs.Compact(ctx, &o.man, ids, id, drop)
	if err != nil {
		return err
	}
	if err := o.put(ids, s); err != nil {
		return err
	}
	// What this change itself wrote and merged again was never seen by anybody.
	var kept, merged []runs.Segment
	for _, f := range o.fresh {
		if slices.Contains(ids, f.ID) {
			merged = append(merged, f)
		} else {
			kept = append(kept, f)
		}
	}
	o.fresh = kept
	if o.beforeDiscard != nil {
		if err := o.beforeDiscard(); err != nil {
			o.fresh = append(o.fresh, merged...)
			return err
		}
	}
	return o.m.segments.discard(merged...)
}

// tier chooses segments to merge: rows segments of one tier, or the newest entry segments, of which an older one stays apart
// only where it is much larger than all newer ones together. None: nothing is worth it.
func tier(m *runs.Manifest) ([]string, runs.Kind) {
	tiers := map[int][]string{}
	var days []*runs.Segment
	for i := range m.Segments {
		s := &m.Segments[i]
		if s.Kind == runs.KindDays {
			days = append(days, s)
			continue
		}
		t := int(math.Log(float64(max(s.Rows, 1))) / math.Log(tierFactor))
		if tiers[t] = append(tiers[t], s.ID); len(tiers[t]) == tierFan {
			return tiers[t], runs.KindRows
		}
	}
	var ids []string
	var rows int64
	for _, s := range slices.Backward(days) {
		if rows > 0 && s.Rows > tierFactor*rows || len(ids) == runs.MaxMerge {
			break
		}
		ids, rows = append(ids, s.ID), rows+max(s.Rows, 1)
	}
	if len(ids) < tierFan {
		return nil, ""
	}
	return ids, runs.KindDays
}

// superseded are the segments of old that next does not name.
func superseded(old, next []runs.Segment) []runs.Segment {
	return slices.DeleteFunc(slices.Clone(old), func(s runs.Segment) bool {
		return slices.ContainsFunc(next, func(n runs.Segment) bool { return n.ID == s.ID })
	})
}
