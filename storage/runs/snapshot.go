package runs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tilehouse/tilehouse/storage/event"
)

// Snapshot is a group's rows at one position: the runs of a manifest, rows after it, and which of all these are dead.
// It is immutable; any number of readers use it at once.
type Snapshot struct {
	Store    *Store
	Manifest *Manifest
	// Tail is rows of positions after the manifest's, sorted with row ids; nil: none.
	Tail *Sorted
	// Dead reports whether a row version does not exist at the read's position; nil: all exist. It is called by several
	// goroutines.
	Dead func(rowID uint64) bool
	// Dirty appends to dst the days of a key, ascending, whose entries in days segments are not what the live rows give:
	// every day to which a row came, or from which one went, after the entry was built. Days of the tail's rows need not
	// be listed. nil: none. It is called by several goroutines.
	Dirty func(key []byte, dst []int64) []int64
	// NoPartials reads rows only. A read at a position before the manifest's must set it.
	NoPartials bool
}

// NewTail sorts rows, which have keys and row ids, for Snapshot.Tail.
func NewTail(l event.Layout, rows *event.Rows) (*Sorted, error) {
	b, err := NewBuilder(l, BuilderOptions{Partitions: 1, RowIDs: true})
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if err := b.Add(rows); err != nil {
		return nil, err
	}
	if err := b.Finish(); err != nil {
		return nil, err
	}
	return new(Sorter).Sort(b, 0, SortOptions{})
}

// Reader reads a snapshot key by key. It serves one goroutine, and is fastest where keys of one partition come in order.
type Reader struct {
	s        *Snapshot
	rows     []*segReader // oldest first
	days     []*segReader
	coverage []event.Interval // what days segments speak for: disjoint, ascending
	stats    *event.ReadStats

	key     []byte
	rowAt   []entry // by rows reader; rows == 0: the key is not there
	dayAt   []entry
	tailLo  int
	tailHi  int
	dirty   []int64
	marked  bool // dirty is filled
	buf     *event.Rows
	merge   merger
	entries []dayEntry
}

// Reader opens the segments of a snapshot. What reads cost is added to stats, which may be nil.
func (s *Snapshot) Reader(stats *event.ReadStats) (*Reader, error) {
	if stats == nil {
		stats = new(event.ReadStats)
	}
	m := s.Manifest
	if len(m.Segments) > MaxSegments {
		return nil, fmt.Errorf("runs: %d segments, more than %d: compact them", len(m.Segments), MaxSegments)
	}
	r := &Reader{s: s, stats: stats}
	for i := range m.Segments {
		seg := &m.Segments[i]
		if len(seg.Parts) != m.Partitions {
			return nil, fmt.Errorf("runs: segment %s has %d partitions, the manifest %d", seg.ID, len(seg.Parts), m.Partitions)
		}
		switch {
		case seg.Kind == KindRows:
			sr, err := newSegReader(s.Store, seg, m.Layout, stats)
			if err != nil {
				return nil, err
			}
			r.rows = append(r.rows, sr)
		case seg.Kind != KindDays:
			return nil, fmt.Errorf("runs: segment %s is of unknown kind %q", seg.ID, seg.Kind)
		case !s.NoPartials:
			sr, err := newSegReader(s.Store, seg, daysLayout(m.Layout, m.Partials), stats)
			if err != nil {
				return nil, err
			}
			r.days = append(r.days, sr)
			r.coverage = append(r.coverage, seg.Span)
		}
	}
	r.coverage = union(r.coverage)
	r.rowAt, r.dayAt = make([]entry, len(r.rows)), make([]entry, len(r.days))
	return r, nil
}

// union sorts intervals and joins those that overlap or touch.
func union(ivs []event.Interval) []event.Interval {
	slices.SortFunc(ivs, func(a, b event.Interval) int {
		switch {
		case a.Lo < b.Lo:
			return -1
		case a.Lo > b.Lo:
			return 1
		}
		return 0
	})
	var out []event.Interval
	for _, iv := range ivs {
		if iv.Lo >= iv.Hi {
			continue
		}
		if n := len(out); n > 0 && iv.Lo <= out[n-1].Hi {
			out[n-1].Hi = max(out[n-1].Hi, iv.Hi)
			continue
		}
		out = append(out, iv)
	}
	return out
}

// Key is the pieces of one key, for one goroutine. Errors of opening come from Cover.
func (s *Snapshot) Key(key []byte, stats *event.ReadStats) event.Pieces {
	r, err := s.Reader(stats)
	if err == nil {
		err = r.Seek(key)
	}
	if err != nil {
		return failed{err}
	}
	return r
}

// failed is pieces that could not be opened.
type failed struct{ err error }

func (f failed) Cover(event.Interval, event.Visitor) error { return f.err }

// Seek moves the reader to a key, which may have no rows.
func (r *Reader) Seek(key []byte) error {
	r.key = append(r.key[:0], key...)
	r.marked = false
	p := PartitionOf(key, r.s.Manifest.Partitions)
	for i, sr := range r.rows {
		e, _, err := sr.find(p, key)
		if err != nil {
			return err
		}
		r.rowAt[i] = e
	}
	for i, sr := range r.days {
		e, _, err := sr.find(p, key)
		if err != nil {
			return err
		}
		r.dayAt[i] = e
	}
	r.tailLo, r.tailHi = 0, 0
	if t := r.s.Tail; t != nil {
		if g := t.Find(key); g >= 0 {
			r.tailLo, r.tailHi = t.First[g], t.First[g+1]
		}
	}
	return nil
}

// Weight estimates the rows of the key in iv, dead ones counted, and the day entries in it. It reads no rows.
func (r *Reader) Weight(iv event.Interval) (rows, days int64) {
	share := func(e entry) int64 {
		lo, hi := max(e.lo, iv.Lo), min(e.hi, iv.Hi)
		if e.rows == 0 || lo > hi {
			return 0
		}
		if lo == e.lo && hi == e.hi {
			return e.rows
		}
		return int64(float64(e.rows)*(float64(hi-lo)/float64(e.hi-e.lo)) + 1)
	}
	for _, e := range r.rowAt {
		rows += share(e)
	}
	for _, e := range r.dayAt {
		days += share(e)
	}
	return rows + int64(r.tailHi-r.tailLo), days
}

func (r *Reader) calendar() event.Days { return r.s.Store.opt.Days }

// dirtyDays are the days of the key that entries must not be used for, ascending.
func (r *Reader) dirtyDays() []int64 {
	if r.marked {
		return r.dirty
	}
	r.marked, r.dirty = true, r.dirty[:0]
	if r.s.Dirty != nil {
		r.dirty = r.s.Dirty(r.key, r.dirty)
	}
	for i := r.tailLo; i < r.tailHi; i++ {
		if d := r.calendar().Of(r.s.Tail.Rows.TS[i]); len(r.dirty) == 0 || r.dirty[len(r.dirty)-1] != d {
			r.dirty = append(r.dirty, d)
		}
	}
	slices.Sort(r.dirty)
	r.dirty = slices.Compact(r.dirty)
	return r.dirty
}

// served are the spans of whole days inside iv that entries serve, ascending.
func (r *Reader) served(iv event.Interval) []event.Interval {
	var out []event.Interval
	for _, c := range r.coverage {
		lo, hi := max(c.Lo, iv.Lo), min(c.Hi, iv.Hi)
		if lo >= hi {
			continue
		}
		// The ends of coverage are midnights, so rounding inwards stays in range.
		days := r.calendar()
		if d := days.Of(lo); days.Start(d) != lo {
			lo = days.Start(d + 1)
		}
		hi = days.Start(days.Of(hi))
		if lo >= hi {
			continue
		}
		dirty := r.dirtyDays()
		i, _ := slices.BinarySearch(dirty, days.Of(lo))
		for ; i < len(dirty) && days.Start(dirty[i]) < hi; i++ {
			if d := days.Start(dirty[i]); d > lo {
				out = append(out, event.Interval{Lo: lo, Hi: d})
			}
			lo = days.Start(dirty[i] + 1)
		}
		if lo < hi {
			out = append(out, event.Interval{Lo: lo, Hi: hi})
		}
	}
	return out
}

// Cover implements event.Pieces for the key of the last Seek: daily partials where their days are whole and clean, rows
// elsewhere.
func (r *Reader) Cover(iv event.Interval, v event.Visitor) error {
	if iv.Lo >= iv.Hi {
		return nil
	}
	at := iv.Lo
	for _, d := range r.served(iv) {
		if err := r.coverRows(event.Interval{Lo: at, Hi: d.Lo}, v); err != nil {
			return err
		}
		if err := r.coverDays(d, v); err != nil {
			return err
		}
		at = d.Hi
	}
	return r.coverRows(event.Interval{Lo: at, Hi: iv.Hi}, v)
}

func (r *Reader) coverRows(iv event.Interval, v event.Visitor) error {
	if iv.Lo >= iv.Hi {
		return nil
	}
	for i, sr := range r.rows {
		if r.rowAt[i].rows == 0 {
			continue
		}
		if err := sr.visit(r.rowAt[i], iv, func(rows *event.Rows, from, to int) error {
			return r.live(rows, from, to, func(from, to int) error {
				return v.Rows(event.PieceRun, sr.seg.Span, rows, from, to)
			})
		}); err != nil {
			return err
		}
	}
	if r.tailLo < r.tailHi {
		rows := r.s.Tail.Rows
		from, to := timeRange(rows.TS, r.tailLo, r.tailHi, iv)
		return r.live(rows, from, to, func(from, to int) error { return v.Rows(event.PieceTail, iv, rows, from, to) })
	}
	return nil
}

// live gives the maximal ranges of live rows.
func (r *Reader) live(rows *event.Rows, from, to int, fn func(from, to int) error) error {
	dead := r.s.Dead
	if dead == nil {
		if from == to {
			return nil
		}
		r.stats.Rows += int64(to - from)
		return fn(from, to)
	}
	for from < to {
		if dead(uint64(rows.RowID[from])) {
			from++
			continue
		}
		end := from + 1
		for end < to && !dead(uint64(rows.RowID[end])) {
			end++
		}
		r.stats.Rows += int64(end - from)
		if err := fn(from, end); err != nil {
			return err
		}
		from = end
	}
	return nil
}

// dayEntry is an entry of a days segment.
type dayEntry struct {
	ts   int64
	seg  int // the newest of a day counts
	rows *event.Rows
	i    int
}

// newest collects the entries of the key in iv: by day ascending, the newest of each.
func (r *Reader) newest(iv event.Interval) ([]dayEntry, error) {
	out := r.entries[:0]
	runs := 0
	for s, sr := range r.days {
		if r.dayAt[s].rows == 0 {
			continue
		}
		before := len(out)
		if err := sr.visit(r.dayAt[s], iv, func(rows *event.Rows, from, to int) error {
			for i := from; i < to; i++ {
				out = append(out, dayEntry{rows.TS[i], s, rows, i})
			}
			return nil
		}); err != nil {
			return nil, err
		}
		if len(out) > before {
			runs++
		}
	}
	r.entries = out
	if runs < 2 {
		return out, nil
	}
	slices.SortFunc(out, func(a, b dayEntry) int {
		switch {
		case a.ts != b.ts:
			if a.ts < b.ts {
				return -1
			}
			return 1
		}
		return b.seg - a.seg
	})
	return slices.CompactFunc(out, func(a, b dayEntry) bool { return a.ts == b.ts }), nil
}

func (r *Reader) coverDays(iv event.Interval, v event.Visitor) error {
	entries, err := r.newest(iv)
	if err != nil {
		return err
	}
	var e dayEntry
	encoded := func(p int) []byte {
		if c := e.rows.Cols[p]; !c.IsNull(e.i) {
			return c.Bytes(e.i)
		}
		return nil
	}
	for _, e = range entries {
		r.stats.States += int64(len(e.rows.Cols))
		span := event.Interval{Lo: e.ts, Hi: e.ts + r.calendar().Length()}
		if err := v.State(event.PiecePartial, span, encoded); err != nil {
			return err
		}
	}
	return nil
}

// Rows is the key's live rows in iv, in order, as rows from ≤ i < to. They are valid until the next call.
func (r *Reader) Rows(iv event.Interval) (rows *event.Rows, from, to int, err error) {
	var spans []span
	sources := 0
	add := func(src int) func(*event.Rows, int, int) error {
		before := len(spans)
		return func(rows *event.Rows, from, to int) error {
			return r.live(rows, from, to, func(from, to int) error {
				if len(spans) == before {
					sources++
				}
				spans = append(spans, span{src, rows, from, to})
				return nil
			})
		}
	}
	for i, sr := range r.rows {
		if r.rowAt[i].rows > 0 {
			if err := sr.visit(r.rowAt[i], iv, add(i)); err != nil {
				return nil, 0, 0, err
			}
		}
	}
	if t := r.s.Tail; t != nil && r.tailLo < r.tailHi {
		from, to := timeRange(t.Rows.TS, r.tailLo, r.tailHi, iv)
		if err := add(len(r.rows))(t.Rows, from, to); err != nil {
			return nil, 0, 0, err
		}
	}
	if r.buf == nil {
		r.buf = newRows(r.s.Manifest.Layout, true, 0)
	}
	switch len(spans) {
	case 0:
		return r.buf, 0, 0, nil
	case 1:
		return spans[0].rows, spans[0].from, spans[0].to, nil
	}
	resetRows(r.buf)
	if sources == 1 {
		for _, s := range spans {
			appendRows(r.buf, s.rows, s.from, s.to)
		}
		return r.buf, 0, len(r.buf.TS), nil
	}
	r.merge.reset()
	for i := 0; i < len(spans); {
		j := i + 1
		for j < len(spans) && spans[j].src == spans[i].src {
			j++
		}
		r.merge.add(&spanList{spans[i:j]})
		i = j
	}
	err = r.merge.run(func(rows *event.Rows, from, to int) error {
		appendRows(r.buf, rows, from, to)
		return nil
	})
	return r.buf, 0, len(r.buf.TS), err
}

// Keys visits every key that has a live row, partition by partition, in byte order within each. The key is valid during
// the call.
func (s *Snapshot) Keys(ctx context.Context, fn func(key []byte) error) error {
	r, err := s.Reader(nil)
	if err != nil {
		return err
	}
	found := errors.New("found")
	all := event.Interval{Lo: event.Forever, Hi: maxTS}
	for p := range s.Manifest.Partitions {
		if err := r.eachKey(ctx, p, false, func(key []byte) error {
			if s.Dead != nil {
				if err := r.Seek(key); err != nil {
					return err
				}
				if err := r.coverRows(all, existing{found}); err != found {
					return err
				}
			}
			return fn(key)
		}); err != nil {
			return err
		}
	}
	return nil
}

// existing ends a cover at its first row.
type existing struct{ found error }

func (e existing) State(event.PieceKind, event.Interval, func(int) []byte) error { return e.found }

func (e existing) Rows(event.PieceKind, event.Interval, *event.Rows, int, int) error { return e.found }

// eachKey visits the keys of a partition in byte order, with their segments' entries dead or alive; with days also keys
// that only days segments have.
func (r *Reader) eachKey(ctx context.Context, p int, days bool, fn func(key []byte) error) error {
	var cursors []*dirCursor
	open := func(rs []*segReader) error {
		for _, sr := range rs {
			// A cursor has a reader of its own, so that seeks do not move its batch.
			own := *sr
			own.rowBatch, own.dirBatch = -1, -1
			c := own.keys(p)
			ok, err := c.next()
			if err != nil {
				return err
			}
			if ok {
				cursors = append(cursors, c)
			}
		}
		return nil
	}
	if err := open(r.rows); err != nil {
		return err
	}
	if days {
		if err := open(r.days); err != nil {
			return err
		}
	}
	var tail [][]byte
	if t := r.s.Tail; t != nil {
		for _, g := range t.ByKey() {
			if k := t.AppendKey(nil, int(g)); PartitionOf(k, r.s.Manifest.Partitions) == p {
				tail = append(tail, k)
			}
		}
	}
	var key []byte
	for len(cursors) > 0 || len(tail) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		least := []byte(nil)
		for _, c := range cursors {
			if least == nil || bytes.Compare(c.key(), least) < 0 {
				least = c.key()
			}
		}
		if len(tail) > 0 && (least == nil || bytes.Compare(tail[0], least) < 0) {
			least = tail[0]
		}
		key = append(key[:0], least...)
		if len(tail) > 0 && bytes.Equal(tail[0], key) {
			tail = tail[1:]
		}
		for i := 0; i < len(cursors); i++ {
			if !bytes.Equal(cursors[i].key(), key) {
				continue
			}
			ok, err := cursors[i].next()
			if err != nil {
				return err
			}
			if !ok {
				cursors = slices.Delete(cursors, i, i+1)
				i--
			}
		}
		if err := fn(key); err != nil {
			return err
		}
	}
	return nil
}
