package reclog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Trimming takes row versions out of the log that no read may ask for any more, and with them the deletes of these rows, the times of
// positions that changed nothing else, and the rises of the newest event time before. It goes through a source's changes in their order,
// a step a batch, beside the committer: it writes nothing but records of positions that are long committed, which the committer does not.
//
//	change ─ no row and no delete is left ─► removed; many in a row by one range, which frees whole files
//	       └ enough of a chunk is gone ────► the chunk anew, without these rows
//
// A step is there as a whole or not at all, and after it the log reads as before for every position and event time that is still
// read: a delete goes in the batch of its row, or later. A trim that was cut short is begun anew and finds less to do.

const (
	// trimStep ends a step: bytes of the log that it has read.
	trimStep = 1 << 20
	// thinFrom is the share of a chunk's rows, one in so many, that must go before the others are written anew: so all rewriting of a
	// chunk together costs a few times its bytes, and what could go and is there is at most this share.
	thinFrom = 4
	// rangeFrom is from how many removed records in a row on one range takes them out.
	rangeFrom = 16
	// freeFrom is the share of what a step has read, one in so many bytes, that must go before Pebble is asked for the space at once. The
	// rest comes back as it compacts by itself.
	freeFrom = 4
	// maxFree bounds the ranges of keys that Pebble is asked to compact after a trim; more are joined.
	maxFree = 64
	// maxHeld bounds the stretches of dead rows that a trim remembers to be there still. Deletes of rows behind stay.
	maxHeld = 1 << 20
)

// TrimRequest says which rows of a source may go from the log. The caller sees to it that all such rows were deleted at positions up to
// Position; that nobody reads them, at whatever position; and that nobody derives anything from changes after a position before
// Position, but for who asks Trimmed.
type TrimRequest struct {
	Source   SourceID
	Time     int    // the column of the event time, a timestamptz, as rows are stored
	Before   int64  // rows of event times before it, in microseconds UTC,
	Inserted uint64 // that came at positions up to this one
	Position uint64
}

// Trimmed is what was trimmed of a source since it was made.
type Trimmed struct {
	// Before is the event time of the last trim that went through; math.MinInt64: none.
	Before int64
	// Position is that of the last trim, done or not: of changes up to it rows that are dead, and deletes, may be missing.
	Position uint64
	Rows     uint64 // taken out
	Bytes    uint64 // by which keys and values of the log became fewer, before compression
}

func (t *Trimmed) append(b []byte) []byte {
	b = binary.AppendVarint(b, t.Before)
	for _, x := range []uint64{t.Position, t.Rows, t.Bytes} {
		b = binary.AppendUvarint(b, x)
	}
	return b
}

// Trimmed is what was trimmed of a source. Errors: ErrClosed, ErrCorrupt.
func (l *Log) Trimmed(s SourceID) (Trimmed, error) {
	none := Trimmed{Before: math.MinInt64}
	if err := l.enter(); err != nil {
		return none, err
	}
	defer l.leave()
	v, closer, err := l.db.Get(trimKey(s))
	if errors.Is(err, pebble.ErrNotFound) {
		return none, nil
	}
	if err != nil {
		return none, err
	}
	defer closer.Close()
	d := &decoder{b: v}
	before, n := binary.Varint(v)
	if n <= 0 {
		return none, fmt.Errorf("%w: trim of source %d", ErrCorrupt, s)
	}
	d.b = d.b[n:]
	out := Trimmed{before, d.uvarint(), d.uvarint(), d.uvarint()}
	if d.err != nil {
		return none, fmt.Errorf("%w: trim of source %d: %w", ErrCorrupt, s, d.err)
	}
	return out, nil
}

// SourceBytes estimates what the changes of a source, and their rows, take on disk. Errors: ErrClosed.
func (l *Log) SourceBytes(s SourceID) (uint64, error) {
	if err := l.enter(); err != nil {
		return 0, err
	}
	defer l.leave()
	return l.db.EstimateDiskUsage(sourceKey(KeyLog, s), sourceEnd(KeyLog, s))
}

// trim is one pass over a source.
type trim struct {
	l    *Log
	r    TrimRequest
	sum  Trimmed // as it will be written
	last uint64  // the newest position when it began, which stays
	next []byte  // where the next step begins

	held  []span // ids of dead rows that are still in the log, ascending
	blind uint64 // ids from here on are not known

	// Of the step.
	b       *pebble.Batch
	floor   uint64   // least next row id that the removed records tell
	stretch [][]byte // removed records since the last one that stays
	read    int
	rows    uint64
	freed   int64

	emptier []span // positions, and below them bulks, of which much went: Pebble is asked for the space
	bulks   []span
}

// span is ids first ≤ id < end.
type span struct{ first, end uint64 }

// Trim takes rows out of the log, and what only they needed. rest is called after every step with the time that it took, and may sleep;
// nil: no rest. One trim of a source runs at a time. Errors: ErrDiskFull, ErrClosed, ErrCorrupt, ctx's; what was taken out before
// stays so.
func (l *Log) Trim(ctx context.Context, r TrimRequest, rest func(worked time.Duration)) (Trimmed, error) {
	sum, err := l.Trimmed(r.Source)
	if err != nil {
		return sum, err
	}
	t := &trim{l: l, r: r, sum: sum, last: l.Position(), next: changeKey(r.Source, 0, 0), blind: math.MaxUint64}
	if r.Position > t.last || r.Inserted > r.Position {
		return sum, fmt.Errorf("reclog: trim up to position %d, rows up to %d, of %d", r.Position, r.Inserted, t.last)
	}
	// What derives anything from an older position must know before the first row goes.
	t.sum.Position = max(sum.Position, r.Position)
	if err := t.commit(func(b *pebble.Batch) error { return nil }, true); err != nil {
		return sum, err
	}
	for more := true; more; {
		if ctx.Err() != nil {
			return t.sum, context.Cause(ctx)
		}
		began := time.Now()
		if more, err = t.step(); err != nil {
			return t.sum, err
		}
		if rest != nil {
			rest(time.Since(began))
		}
	}
	t.sum.Before = max(t.sum.Before, r.Before)
	if err := t.commit(t.rises, true); err != nil {
		return t.sum, err
	}
	return t.sum, t.free(ctx)
}

// commit writes what fill adds, and the sum, unless the source was dropped meanwhile.
func (t *trim) commit(fill func(b *pebble.Batch) error, sync bool) error {
	l := t.l
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	b := l.db.NewBatch()
	defer b.Close()
	if err := fill(b); err != nil {
		return err
	}
	_ = b.Set(trimKey(t.r.Source), t.sum.append(nil), nil)
	if err := l.fs.admit(int64(2*b.Len()), false); err != nil {
		return err
	}
	l.trimMu.Lock()
	defer l.trimMu.Unlock()
	if l.dropped[t.r.Source] {
		return fmt.Errorf("%w: source %d was dropped", ErrClosed, t.r.Source)
	}
	o := pebble.NoSync // a crash loses the end of what was written, and the next trim finds it again
	if sync {
		o = pebble.Sync
	}
	return b.Commit(o)
}

// step goes over some positions.
func (t *trim) step() (more bool, err error) {
	if err := t.l.enter(); err != nil {
		return false, err
	}
	defer t.l.leave()
	t.floor, t.stretch, t.read, t.rows, t.freed = 0, nil, 0, 0, 0
	sum := t.sum
	err = t.commit(func(b *pebble.Batch) error {
		t.b = b
		more, err = t.records()
		if err == nil && t.floor > 0 {
			err = t.raiseFloor()
		}
		t.sum.Rows += t.rows
		t.sum.Bytes += uint64(max(0, t.freed))
		return err
	}, false)
	if err != nil {
		t.sum = sum
	}
	return more, err
}

// emptied notes ids of whose keys much went. Neighbours, and what is beyond the limit, are joined.
func emptied(list []span, s span) []span {
	if n := len(list); n > 0 && (s.first <= list[n-1].end || n == maxFree) {
		list[n-1] = span{min(list[n-1].first, s.first), max(list[n-1].end, s.end)}
		return list
	}
	return append(list, s)
}

// records goes over whole positions from t.next on, until the step is long enough.
func (t *trim) records() (more bool, err error) {
	it, err := t.l.db.NewIter(&pebble.IterOptions{LowerBound: t.next, UpperBound: changeKey(t.r.Source, t.r.Position+1, 0)})
	if err != nil {
		return false, err
	}
	defer it.Close()
	first, at, all := uint64(0), uint64(0), true // the position that is gone over, and whether all of its changes go
	end := func() error {
		if !all || at == 0 || at >= t.last || more {
			return nil
		}
		return t.removePosition(at)
	}
	for it.First(); it.Valid(); it.Next() {
		pos, index, err := parseChangeKey(it.Key())
		if err != nil {
			return false, err
		}
		if pos != at {
			if err := end(); err != nil {
				return false, err
			}
			if at, all = pos, true; t.read >= trimStep {
				t.next, more = bytes.Clone(it.Key()), true
				break
			}
			if first == 0 {
				first = pos
			}
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return false, err
		}
		t.read += len(it.Key()) + len(value)
		removed, err := t.record(pos, index, it.Key(), value)
		if err != nil {
			return false, fmt.Errorf("source %d, position %d: %w", t.r.Source, pos, err)
		}
		if !removed {
			t.unroll()
			all = false
		}
	}
	t.unroll()
	if t.freed*freeFrom >= int64(t.read) && t.freed > 0 {
		t.emptier = emptied(t.emptier, span{first, at + 1})
	}
	return more, errors.Join(end(), it.Error())
}

// unroll removes the records of the stretch.
func (t *trim) unroll() {
	if n := len(t.stretch); n >= rangeFrom {
		_ = t.b.DeleteRange(t.stretch[0], append(slices.Clone(t.stretch[n-1]), 0), nil)
	} else {
		for _, k := range t.stretch {
			_ = t.b.Delete(k, nil)
		}
	}
	t.stretch = t.stretch[:0]
}

// record trims a change, and reports whether nothing of it is left.
func (t *trim) record(pos uint64, index int, key, value []byte) (removed bool, err error) {
	c, err := decodeChange(value)
	if err != nil {
		return false, err
	}
	next := c.first + uint64(c.rows)
	changed, err := t.inserts(pos, c)
	if err != nil {
		return false, err
	}
	deletes := slices.DeleteFunc(slices.Clone(c.deletes), func(id uint64) bool { return !t.holds(id) })
	if n := len(c.deletes) - len(deletes); n > 0 && (changed || len(deletes) == 0 || n*thinFrom >= len(c.deletes)) {
		c.deletes, changed = deletes, true
	}
	if !changed {
		return false, nil
	}
	if c.rows == 0 && len(c.deletes) == 0 {
		t.stretch = append(t.stretch, bytes.Clone(key))
		t.floor = max(t.floor, next)
		t.freed += int64(len(key) + len(value))
		return true, nil
	}
	record := c.append(nil)
	t.freed += int64(len(value) - len(record))
	return false, t.b.Set(key, record, nil)
}

// inserts trims the rows of a change. Without any left it is a change of deletes alone.
func (t *trim) inserts(pos uint64, c *change) (changed bool, err error) {
	if c.rows == 0 {
		return false, nil
	}
	if c.inline != nil {
		what, data, err := t.chunk(pos, c.first, c.rows, func(fn func([]byte) error) error { return fn(c.inline) })
		switch {
		case err != nil || what == whole:
			return false, err
		case what == thinner:
			c.inline = data
		default:
			c.first, c.rows, c.inline, c.key = c.first+uint64(c.rows), 0, nil, nil
		}
		return true, nil
	}
	first, left, freed, read := c.first, 0, t.freed, t.read
	for j, n := range c.sizes {
		if !c.lacks(j) {
			key := bulkKey(t.r.Source, c.bulk, j)
			var header []byte
			size := 0
			what, data, err := t.chunk(pos, first, n, func(fn func([]byte) error) error {
				v, closer, err := t.l.db.Get(key)
				if err != nil {
					return fmt.Errorf("chunk %d of bulk %d: %w", j, c.bulk, err)
				}
				defer closer.Close()
				_, rest, err := bulkHeader(v)
				if err != nil {
					return err
				}
				size = len(v)
				t.read += size
				header = slices.Clone(v[:len(v)-len(rest)])
				return fn(rest)
			})
			switch {
			case err != nil:
				return false, err
			case what == whole:
				left++
			case what == thinner:
				left++
				v := append(header, data...)
				t.freed += int64(size - len(v))
				_ = t.b.Set(key, v, nil)
			default:
				if c.gone == nil {
					c.gone = make([]byte, (len(c.sizes)+7)/8)
				}
				c.gone[j>>3] |= 1 << (j & 7)
				t.freed += int64(size + len(key))
				_ = t.b.Delete(key, nil)
				changed = true
			}
		}
		first += uint64(n)
	}
	if n := t.freed - freed; n > 0 && n*freeFrom >= int64(t.read-read) {
		t.bulks = emptied(t.bulks, span{c.bulk, c.bulk + 1})
	}
	if left == 0 {
		_ = t.b.DeleteRange(bulkKey(t.r.Source, c.bulk, 0), bulkKey(t.r.Source, c.bulk+1, 0), nil)
		c.first, c.rows, c.key, c.bulk, c.sizes, c.gone = first, 0, nil, 0, nil, nil
		changed = true
	}
	return changed, nil
}

// What becomes of a chunk.
const (
	whole   = iota // it stays as it is
	thinner        // it is written anew
	gone           // nothing is left of it
)

// chunk decides about the n rows from first on that came by one chunk at a position, and notes which dead ones stay. get gives the
// encoded chunk to a function; data is the encoding of what stays of it.
func (t *trim) chunk(pos, first uint64, n int, get func(fn func([]byte) error) error) (what int, data []byte, err error) {
	e, err := t.live(first)
	if err != nil {
		return whole, nil, err
	}
	if e != nil && (e.n != n || e.ndead == e.n) {
		return whole, nil, fmt.Errorf("%w: live entry of row %d", ErrCorrupt, first)
	}
	dead := func(i int) bool { return e == nil || e.isDead(i) }
	if e != nil && e.ndead == 0 {
		return whole, nil, nil
	}
	if pos > t.r.Inserted {
		t.hold(first, n, dead)
		return whole, nil, nil
	}
	err = get(func(b []byte) error {
		_, have, _, err := keptOf(b)
		if err != nil {
			return err
		}
		may := 0
		for i := range n {
			if have.has(i) && dead(i) {
				may++
			}
		}
		stay := func(i int) bool { return have.has(i) && dead(i) }
		if may*thinFrom < have.count(n) {
			t.hold(first, n, stay)
			return nil
		}
		rows, _, err := decodeKept(b)
		if err != nil {
			return err
		}
		if rows.N != n {
			return fmt.Errorf("%w: %d rows of %d", ErrCorrupt, rows.N, n)
		}
		if t.r.Time < 0 || t.r.Time >= len(rows.Cols) || rows.Cols[t.r.Time].Type.Kind != vector.TimestampTZ {
			return fmt.Errorf("%w: column %d of %d is no event time", ErrCorrupt, t.r.Time, len(rows.Cols))
		}
		times := rows.Cols[t.r.Time]
		goes := func(i int) bool { return stay(i) && !times.IsNull(i) && times.I64[i] < t.r.Before }
		left, less := make(kept, (n+7)/8), 0
		for i := range n {
			switch {
			case goes(i):
				less++
			case have.has(i):
				left[i>>3] |= 1 << (i & 7)
			}
		}
		rest := left.count(n)
		switch {
		case less == 0 || less*thinFrom < less+rest:
			t.hold(first, n, stay)
			return nil
		case rest == 0:
			what = gone
		default:
			what, data = thinner, thinned(rows, left)
			t.hold(first, n, func(i int) bool { return left.has(i) && dead(i) })
		}
		t.rows += uint64(less)
		return nil
	})
	return what, data, err
}

// live is the live-row entry of a chunk; nil: all of its rows are dead.
func (t *trim) live(first uint64) (*live, error) {
	v, closer, err := t.l.db.Get(liveKey(t.r.Source, first))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return decodeLive(v)
}

// hold notes the rows of a chunk that are dead and stay.
func (t *trim) hold(first uint64, n int, stays func(i int) bool) {
	for i := range n {
		id := first + uint64(i)
		if !stays(i) || id >= t.blind {
			continue
		}
		if k := len(t.held); k > 0 && t.held[k-1].end == id {
			t.held[k-1].end++
			continue
		}
		if len(t.held) == maxHeld {
			t.blind = id
			return
		}
		t.held = append(t.held, span{id, id + 1})
	}
}

// holds reports whether a row that was deleted may still be in the log.
func (t *trim) holds(id uint64) bool {
	if id >= t.blind {
		return true
	}
	i, exact := slices.BinarySearchFunc(t.held, id, func(s span, id uint64) int {
		switch {
		case s.end <= id:
			return -1
		case s.first > id:
			return 1
		}
		return 0
	})
	return exact && i < len(t.held)
}

// raiseFloor keeps row ids of removed records from being given again.
func (t *trim) raiseFloor() error {
	have, err := t.l.getUint(floorKey(t.r.Source))
	if err != nil {
		return err
	}
	if t.floor > have {
		setUint(t.b, floorKey(t.r.Source), t.floor)
	}
	return nil
}

// removePosition removes the time of a position that changed nothing but what was trimmed.
func (t *trim) removePosition(pos uint64) error {
	key := positionKey(pos)
	v, closer, err := t.l.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closer.Close()
	if only, ok := onlyOf(v); !ok || only != t.r.Source {
		return nil
	}
	t.freed += int64(len(key) + len(v))
	return t.b.Delete(key, nil)
}

// rises removes the rises of the newest event time that lie before what is kept, but for the last of them. What they told apart are
// positions at which no event was known that is read.
func (t *trim) rises(b *pebble.Batch) error {
	s := t.r.Source
	it, err := t.l.db.NewIter(&pebble.IterOptions{LowerBound: sourceKey(KeyNewest, s), UpperBound: newestKey(s, t.r.Position+1)})
	if err != nil {
		return err
	}
	defer it.Close()
	var last []byte
	n := 0
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if len(v) != 8 {
			return fmt.Errorf("%w: newest time of source %d", ErrCorrupt, s)
		}
		if int64(binary.BigEndian.Uint64(v)) >= t.r.Before {
			break
		}
		last = append(last[:0], it.Key()...)
		n++
	}
	if n > 1 {
		t.sum.Bytes += uint64(n-1) * uint64(len(last)+8)
		return errors.Join(it.Error(), b.DeleteRange(sourceKey(KeyNewest, s), last, nil))
	}
	return it.Error()
}

// free has Pebble give back the space of what was taken out, where it was much.
func (t *trim) free(ctx context.Context) error {
	if err := t.l.enter(); err != nil {
		return err
	}
	defer t.l.leave()
	s := t.r.Source
	for _, p := range t.emptier {
		if err := t.l.db.Compact(ctx, changeKey(s, p.first, 0), changeKey(s, p.end, 0), false); err != nil {
			return err
		}
	}
	for _, p := range t.bulks {
		if err := t.l.db.Compact(ctx, bulkKey(s, p.first, 0), bulkKey(s, p.end, 0), false); err != nil {
			return err
		}
	}
	return nil
}
