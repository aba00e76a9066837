package runs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/storage/event"
)

// WriteRows writes the rows of a finished builder, which kept row ids, as a rows segment. The builder's partitions are
// released as they are written.
func (s *Store) WriteRows(ctx context.Context, id string, position uint64, b *Builder) (Segment, error) {
	if !b.opt.RowIDs {
		return Segment{}, errors.New("runs: the builder keeps no row ids")
	}
	w, err := newSegmentWriter(s.opt, Segment{ID: id, Kind: KindRows, Position: position}, b.layout, b.Partitions())
	if err != nil {
		return Segment{}, err
	}
	return w.fill(func() error {
		var sorter Sorter
		var key []byte
		for p := range b.Partitions() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := w.partition(); err != nil {
				return err
			}
			sorted, err := sorter.Sort(b, p, SortOptions{})
			if err != nil {
				return err
			}
			for _, g := range sorted.ByKey() {
				key = sorted.AppendKey(key[:0], int(g))
				w.begin(key)
				if err := w.add(sorted.Rows, sorted.First[g], sorted.First[g+1]); err != nil {
					return err
				}
				if err := w.end(); err != nil {
					return err
				}
			}
			b.Release(p)
			if b.opt.Progress != nil {
				b.opt.Progress(1 / float64(b.Partitions()))
			}
		}
		return nil
	})
}

// fill runs the body of a segment and finishes it, or removes it where the body fails.
func (w *segmentWriter) fill(body func() error) (Segment, error) {
	if err := body(); err != nil {
		return Segment{}, errors.Join(err, w.abort())
	}
	return w.finish()
}

// DaysSpec says which entries BuildDays writes.
type DaysSpec struct {
	ID       string
	Span     event.Interval // day aligned
	Position uint64         // of the snapshot
	Partials []event.Partial
	// OnlyDirty writes only entries of days that Snapshot.Dirty lists, empty ones where no row is left: an overlay.
	OnlyDirty bool
	// Progress is told of each partition folded, as a part of all; nil: nobody.
	Progress func(part float64)
}

// BuildDays computes the daily partials of a snapshot's rows in a span as a days segment. Days that the snapshot's Dirty
// lists get an entry also where no row is left, so that it replaces an older one. Its memory is a batch a segment and
// the states of one day.
func (s *Store) BuildDays(ctx context.Context, snap *Snapshot, spec DaysSpec) (Segment, error) {
	m := snap.Manifest
	if length := s.opt.Days.Length(); spec.Span.Lo%length != 0 || spec.Span.Hi%length != 0 || spec.Span.Lo >= spec.Span.Hi {
		return Segment{}, errors.New("runs: the span of daily partials is not aligned to days")
	}
	if len(spec.Partials) != m.Partials {
		return Segment{}, fmt.Errorf("runs: %d partials, the manifest has %d", len(spec.Partials), m.Partials)
	}
	r, err := snap.Reader(nil)
	if err != nil {
		return Segment{}, err
	}
	l := daysLayout(m.Layout, m.Partials)
	w, err := newSegmentWriter(s.opt, Segment{ID: spec.ID, Kind: KindDays, Span: spec.Span, Position: spec.Position}, l, m.Partitions)
	if err != nil {
		return Segment{}, err
	}
	d := newDayBuilder(w, l, spec, r)
	return w.fill(func() error {
		for p := range m.Partitions {
			if err := w.partition(); err != nil {
				return err
			}
			if err := r.eachKey(ctx, p, true, d.key); err != nil {
				return err
			}
			if spec.Progress != nil {
				spec.Progress(1 / float64(m.Partitions))
			}
		}
		return nil
	})
}

// dayBuilder folds the rows of one key after the other into entries.
type dayBuilder struct {
	w      *segmentWriter
	r      *Reader
	spec   DaysSpec
	states []functions.State
	counts []int64 // rows that count for each state
	out    *event.Rows
	day    int64
	open   bool
	dirty  []int64 // of the key, not yet written
	buf    []byte
}

func newDayBuilder(w *segmentWriter, l event.Layout, spec DaysSpec, r *Reader) *dayBuilder {
	d := &dayBuilder{w: w, r: r, spec: spec, out: newRows(l, true, 0), counts: make([]int64, len(spec.Partials))}
	for i := range spec.Partials {
		d.states = append(d.states, spec.Partials[i].Agg.New())
	}
	return d
}

// key writes the entries of one key.
func (d *dayBuilder) key(key []byte) error {
	if err := d.r.Seek(key); err != nil {
		return err
	}
	d.dirty = d.dirty[:0]
	if d.r.s.Dirty != nil {
		d.dirty = d.r.s.Dirty(key, d.dirty)
	}
	lo, hi := d.r.calendar().Of(d.spec.Span.Lo), d.r.calendar().Of(d.spec.Span.Hi)
	d.dirty = slices.DeleteFunc(d.dirty, func(day int64) bool { return day < lo || day >= hi })
	if d.spec.OnlyDirty && len(d.dirty) == 0 {
		return nil
	}
	d.w.begin(key)
	d.open = false
	var m merger
	for i, sr := range d.r.rows {
		if e := d.r.rowAt[i]; e.rows > 0 {
			own := *sr
			m.add(&entrySource{r: &own, e: e, iv: d.spec.Span, dead: d.r.s.Dead, batch: e.first})
		}
	}
	if t := d.r.s.Tail; t != nil && d.r.tailLo < d.r.tailHi {
		from, to := timeRange(t.Rows.TS, d.r.tailLo, d.r.tailHi, d.spec.Span)
		var spans []span
		if err := d.r.live(t.Rows, from, to, func(from, to int) error {
			spans = append(spans, span{rows: t.Rows, from: from, to: to})
			return nil
		}); err != nil {
			return err
		}
		m.add(&spanList{spans})
	}
	if err := m.run(d.rows); err != nil {
		return err
	}
	if err := d.endDay(); err != nil {
		return err
	}
	if err := d.empties(hi); err != nil {
		return err
	}
	if err := d.flush(); err != nil {
		return err
	}
	return d.w.end()
}

// rows folds rows, which come in order of time.
func (d *dayBuilder) rows(r *event.Rows, from, to int) error {
	for from < to {
		day := d.r.calendar().Of(r.TS[from])
		if !d.open || day != d.day {
			if err := d.endDay(); err != nil {
				return err
			}
			d.day, d.open = day, true
		}
		_, end := timeRange(r.TS, from, to, event.Interval{Lo: r.TS[from], Hi: d.r.calendar().Start(day + 1)})
		for i := range d.spec.Partials {
			p := &d.spec.Partials[i]
			in := p.Input(r)
			for row := from; row < end; row++ {
				if p.Passes(r, row) {
					d.states[i].Update(in, row)
					d.counts[i]++
				}
			}
		}
		from = end
	}
	return nil
}

// endDay writes the entry of the open day.
func (d *dayBuilder) endDay() error {
	if !d.open {
		return nil
	}
	d.open = false
	if err := d.empties(d.day); err != nil {
		return err
	}
	wanted := !d.spec.OnlyDirty
	if len(d.dirty) > 0 && d.dirty[0] == d.day {
		wanted, d.dirty = true, d.dirty[1:]
	}
	for i, st := range d.states {
		if wanted {
			if d.counts[i] == 0 {
				d.out.Cols[i].AppendNull()
			} else {
				d.buf = st.Append(d.buf[:0])
				d.out.Cols[i].AppendBytes(d.buf)
			}
		}
		st.Reset()
		d.counts[i] = 0
	}
	if !wanted {
		return nil
	}
	return d.entry(d.day)
}

// empties writes empty entries for dirty days before a day.
func (d *dayBuilder) empties(before int64) error {
	for len(d.dirty) > 0 && d.dirty[0] < before {
		day := d.dirty[0]
		d.dirty = d.dirty[1:]
		for _, c := range d.out.Cols {
			c.AppendNull()
		}
		if err := d.entry(day); err != nil {
			return err
		}
	}
	return nil
}

// maxPendingEntries bounds the entries collected before they are given to the writer.
const maxPendingEntries = 64

func (d *dayBuilder) entry(day int64) error {
	d.out.TS = append(d.out.TS, d.r.calendar().Start(day))
	d.out.RowID = append(d.out.RowID, 0)
	if len(d.out.TS) < maxPendingEntries {
		return nil
	}
	return d.flush()
}

func (d *dayBuilder) flush() error {
	err := d.w.add(d.out, 0, len(d.out.TS))
	resetRows(d.out)
	return err
}

// entrySource yields the live rows of an entry in an interval, holding one batch.
type entrySource struct {
	r        *segReader
	e        entry
	iv       event.Interval
	all      bool // iv does not matter
	dead     func(uint64) bool
	gone     event.Interval // rows of these times are not there
	batch    int
	rows     *event.Rows // the rest of the batch
	from, to int
}

func (s *entrySource) next() (span, error) {
	for {
		for s.from < s.to {
			from := s.from
			if s.dead == nil && s.gone.Lo >= s.gone.Hi {
				s.from = s.to
				return span{rows: s.rows, from: from, to: s.to}, nil
			}
			if s.hidden(from) {
				s.from++
				continue
			}
			end := from + 1
			for end < s.to && !s.hidden(end) {
				end++
			}
			s.from = end
			return span{rows: s.rows, from: from, to: end}, nil
		}
		if s.batch > s.e.last {
			return span{}, nil
		}
		rows, from, to, err := s.r.part(s.e, s.batch)
		if err != nil {
			return span{}, err
		}
		s.batch++
		s.rows = rows
		if s.from, s.to = from, to; !s.all {
			s.from, s.to = timeRange(rows.TS, from, to, s.iv)
		}
	}
}

// hidden reports whether row i of the batch is not to be yielded.
func (s *entrySource) hidden(i int) bool {
	ts := s.rows.TS[i]
	return s.dead != nil && s.dead(uint64(s.rows.RowID[i])) || s.gone.Lo <= ts && ts < s.gone.Hi
}

// MaxMerge bounds the segments of one compaction, and so its cursors.
const MaxMerge = 64

// Drop says which rows a compaction leaves out.
type Drop struct {
	Rows  func(rowID uint64) bool // those dead before every position that is still read; nil: none
	Times event.Interval          // of rows that are about to be read anew; empty: none
}

// Compact merges segments of one kind, given by their ids, into one with the id, without the rows of drop. Of days the newest entry of a key and
// day stays; their spans together must have no gap. The caller then puts the result into the manifest with Replace, and
// removes the old segments when no reader has them.
//
// Rows segments may be merged in any choice. Days segments must be neighbours in the manifest among the days segments
// whose spans overlap theirs, because newer entries replace older ones.
func (s *Store) Compact(ctx context.Context, m *Manifest, ids []string, id string, drop Drop) (Segment, error) {
	if len(ids) == 0 || len(ids) > MaxMerge {
		return Segment{}, fmt.Errorf("runs: %d segments to compact, not 1 to %d", len(ids), MaxMerge)
	}
	var in []*Segment // oldest first
	for i := range m.Segments {
		if slices.Contains(ids, m.Segments[i].ID) {
			in = append(in, &m.Segments[i])
		}
	}
	if len(in) != len(ids) {
		return Segment{}, errors.New("runs: a segment to compact is not in the manifest")
	}
	out := Segment{ID: id, Kind: in[0].Kind, Span: in[0].Span}
	l := m.Layout
	if out.Kind == KindDays {
		l = daysLayout(m.Layout, m.Partials)
		drop = Drop{}
	}
	stats := new(event.ReadStats)
	readers := make([]*segReader, len(in))
	spans := make([]event.Interval, len(in))
	for i, seg := range in {
		if seg.Kind != out.Kind {
			return Segment{}, errors.New("runs: segments of different kinds cannot be compacted")
		}
		if len(seg.Parts) != m.Partitions {
			return Segment{}, fmt.Errorf("runs: segment %s has %d partitions, the manifest %d", seg.ID, len(seg.Parts), m.Partitions)
		}
		out.Position = max(out.Position, seg.Position)
		spans[i] = seg.Span
		var err error
		if readers[i], err = newSegReader(s, seg, l, stats); err != nil {
			return Segment{}, err
		}
	}
	if out.Kind == KindDays {
		if err := mergeable(m, in); err != nil {
			return Segment{}, err
		}
		all := union(spans)
		if len(all) != 1 {
			return Segment{}, errors.New("runs: daily partials with a gap between them cannot be compacted")
		}
		out.Span = all[0]
	}
	w, err := newSegmentWriter(s.opt, out, l, m.Partitions)
	if err != nil {
		return Segment{}, err
	}
	return w.fill(func() error {
		for p := range m.Partitions {
			if err := w.partition(); err != nil {
				return err
			}
			if err := compactPart(ctx, w, readers, p, drop); err != nil {
				return err
			}
		}
		return nil
	})
}

// mergeable refuses a choice of days segments between which another one of overlapping span stands.
func mergeable(m *Manifest, in []*Segment) error {
	chosen := map[string]bool{}
	for _, s := range in {
		chosen[s.ID] = true
	}
	seen := 0
	for i := range m.Segments {
		s := &m.Segments[i]
		switch {
		case chosen[s.ID]:
			seen++
		case s.Kind == KindDays && seen > 0 && seen < len(in):
			for _, c := range in {
				if s.Span.Lo < c.Span.Hi && c.Span.Lo < s.Span.Hi {
					return fmt.Errorf("runs: segment %s overlays what is to be compacted", s.ID)
				}
			}
		}
	}
	return nil
}

func compactPart(ctx context.Context, w *segmentWriter, readers []*segReader, p int, drop Drop) error {
	cursors := make([]*dirCursor, len(readers)) // nil: at its end
	for i, r := range readers {
		c := r.keys(p)
		ok, err := c.next()
		if err != nil {
			return err
		}
		if ok {
			cursors[i] = c
		}
	}
	var m merger
	var key []byte
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		least := []byte(nil)
		for _, c := range cursors {
			if c != nil && (least == nil || bytes.Compare(c.key(), least) < 0) {
				least = c.key()
			}
		}
		if least == nil {
			return nil
		}
		key = append(key[:0], least...)
		m.reset()
		var newest []*entrySource
		for i, c := range cursors {
			if c == nil || !bytes.Equal(c.key(), key) {
				continue
			}
			e, err := c.entry()
			if err != nil {
				return err
			}
			src := &entrySource{r: readers[i], e: e, all: true, dead: drop.Rows, gone: drop.Times, batch: e.first}
			m.add(src)
			newest = append(newest, src)
			ok, err := c.next()
			if err != nil {
				return err
			}
			if !ok {
				cursors[i] = nil
			}
		}
		w.begin(key)
		if w.seg.Kind == KindDays && len(newest) > 1 {
			if err := mergeDays(newest, w.add); err != nil {
				return err
			}
		} else if err := m.run(w.add); err != nil {
			return err
		}
		if err := w.end(); err != nil {
			return err
		}
	}
}

// mergeDays emits the entries of a key by day, of each day the one of the last source that has it.
func mergeDays(src []*entrySource, emit func(*event.Rows, int, int) error) error {
	heads := make([]span, len(src))
	for i, s := range src {
		var err error
		if heads[i], err = s.next(); err != nil {
			return err
		}
	}
	for {
		day, from := int64(maxTS), -1
		for i, h := range heads {
			if h.from < h.to && h.rows.TS[h.from] <= day {
				day, from = h.rows.TS[h.from], i
			}
		}
		if from < 0 {
			return nil
		}
		if err := emit(heads[from].rows, heads[from].from, heads[from].from+1); err != nil {
			return err
		}
		for i := range heads {
			h := &heads[i]
			if h.from == h.to || h.rows.TS[h.from] != day {
				continue
			}
			if h.from++; h.from == h.to {
				var err error
				if *h, err = src[i].next(); err != nil {
					return err
				}
			}
		}
	}
}
