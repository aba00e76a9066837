package materialize

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// follower makes what happens to stream sides happen to dual sources, in the transaction that brings it. It implements reclog.Follower, by the
// current catalog: loads change a boundary while no transaction of the stream side is under way (reclog.Log.Hold).
type follower struct {
	catalog func() *schema.Catalog
	known   atomic.Pointer[following]
}

// following is what a catalog says of dual sources.
type following struct {
	catalog *schema.Catalog
	by      map[reclog.SourceID][]*dualStream
}

// dualStream is how rows of a stream side are rows of a dual source.
type dualStream struct {
	*schema.Dual
	source reclog.SourceID
	stream *schema.Relation
	time   int   // place of the event time in both: of the dual source's columns
	key    []int // of the dual source's rows in the log; without a dedupe key, the origin
	from   []int // the same in the stream side's rows; nil without a dedupe key
	origin int   // the column of the origin, behind all others
}

func newDualStream(cat *schema.Catalog, r *schema.Relation) (*dualStream, error) {
	s := cat.Relations[r.Dual.Stream]
	if s == nil {
		return nil, errNoRelation
	}
	d := &dualStream{Dual: r.Dual, source: reclog.SourceID(r.ID), stream: s, time: r.ColumnIndex(r.EventTime), origin: len(r.Columns)}
	for _, k := range r.Dual.Key {
		i := r.ColumnIndex(k)
		d.key, d.from = append(d.key, i), append(d.from, r.Dual.Places[i])
	}
	if d.key == nil {
		d.key = []int{d.origin}
	}
	return d, nil
}

// of is what the current catalog says of a source.
func (f *follower) of(source reclog.SourceID) []*dualStream {
	now := f.catalog()
	k := f.known.Load()
	if k == nil || k.catalog != now {
		k = &following{catalog: now, by: map[reclog.SourceID][]*dualStream{}}
		for _, r := range now.Relations {
			if r.Dual == nil {
				continue
			}
			if d, err := newDualStream(now, r); err == nil { // else the stream side is being dropped with it
				k.by[reclog.SourceID(r.Dual.Stream)] = append(k.by[reclog.SourceID(r.Dual.Stream)], d)
			}
		}
		f.known.Store(k)
	}
	return k.by[source]
}

// Follows implements reclog.Follower.
func (f *follower) Follows(source reclog.SourceID) bool { return len(f.of(source)) > 0 }

// Follow implements reclog.Follower.
func (f *follower) Follow(r reclog.Reading, a *reclog.Applied, mark *int64) (reclog.Followed, error) {
	var out reclog.Followed
	var left []leftOut
	for _, d := range f.of(a.Source) {
		c, n, err := d.follow(r, a)
		if err != nil {
			return out, fmt.Errorf("dual source %d: %w", d.source, err)
		}
		c.Mark = mark
		out.Changes = append(out.Changes, c)
		if n.Repeated+n.Late > 0 {
			left = append(left, leftOut{source: d.source, LeftOut: n})
		}
	}
	if len(left) > 0 {
		position := a.Position
		out.Write = func(b *pebble.Batch) {
			for _, l := range left {
				_ = b.Set(leftOutKey(l.source, position), l.append(nil), nil)
			}
		}
	}
	return out, nil
}

// follow is the change of a dual source that a change of its stream side is.
func (d *dualStream) follow(r reclog.Reading, a *reclog.Applied) (reclog.Change, LeftOut, error) {
	c := reclog.Change{Source: d.source, Key: d.key}
	var n LeftOut
	if err := d.deletes(r, a, &c); err != nil {
		return c, n, err
	}
	if a.Inserted == nil || a.Inserted.N == 0 {
		return c, n, nil
	}
	rows, err := fit(d.stream, a.Inserted)
	if err != nil {
		return c, n, err
	}
	out := &vector.Chunk{}
	for _, place := range d.Places {
		out.Cols = append(out.Cols, rows.Cols[place])
	}
	gone := make(map[uint64]bool, len(c.Deletes))
	for _, id := range c.Deletes {
		gone[id] = true
	}
	keep := make([]int, 0, rows.N)
	ts := out.Cols[d.time].I64
	for i := range rows.N {
		if len(d.from) == 0 {
			if d.Before(ts[i]) {
				n.Late++
				continue
			}
		} else if id, err := r.Owner(d.source, rows, i, d.from); err != nil {
			return c, n, err
		} else if id != 0 && !gone[id] {
			n.Repeated++ // a row of the batch side: the stream side's own are unique
			continue
		}
		keep = append(keep, i)
	}
	if len(keep) == 0 {
		return c, n, nil
	}
	if len(keep) < rows.N {
		some := vector.NewChunk(out.Types(), len(keep))
		for _, i := range keep {
			some.AppendRow(out, i)
		}
		out = some
	}
	ids := vector.New(vector.T(vector.Int64), len(keep))
	for _, i := range keep {
		ids.AppendInt(int64(a.FirstInsertID) + int64(i))
	}
	out.N, out.Cols = len(keep), append(out.Cols, ids)
	c.Inserts = out
	return c, n, nil
}

// deletes finds the dual source's rows that go with those of its stream side.
func (d *dualStream) deletes(r reclog.Reading, a *reclog.Applied, c *reclog.Change) error {
	if len(a.DeletedIDs) == 0 {
		return nil
	}
	rows, from := a.Deleted, d.from
	if len(from) == 0 {
		ids := vector.New(vector.T(vector.Int64), len(a.DeletedIDs))
		for _, id := range a.DeletedIDs {
			ids.AppendInt(int64(id))
		}
		rows, from = &vector.Chunk{N: len(a.DeletedIDs), Cols: []*vector.Vector{ids}}, []int{0}
	}
	if rows == nil {
		return errors.New("the rows that went are not known")
	}
	for i, gone := range a.DeletedIDs {
		id, err := r.Owner(d.source, rows, i, from)
		if err != nil {
			return err
		}
		if id == 0 {
			continue // it was left out
		}
		have, at, err := r.Row(d.source, id)
		if err != nil {
			return err
		}
		if have.Cols[d.origin].I64[at] == int64(gone) && d.streams(int64(gone), have.Cols[d.time].I64[at]) {
			c.Deletes = append(c.Deletes, id)
		}
	}
	return nil
}

// streams reports whether a dual source's row is still the stream side's.
func (d *dualStream) streams(origin, ts int64) bool {
	return d.OfStream(origin) && (!d.Before(ts) || uint64(origin) >= d.Since)
}

// LeftOut is how many rows of a stream side a dual source left out, ever.
type LeftOut struct {
	Repeated int64 // of a key that a row of the batch side has
	Late     int64 // before the boundary, of a dual source without a dedupe key
	Lacked   int64 // that were rows until the boundary passed them, and are no rows of the batch side
}

type leftOut struct {
	source reclog.SourceID
	LeftOut
}

// leftOutKey is the key of what was left out in a transaction. A load adds up what stands before it.
//
//	'u' source position   uv repeated, late, lacked
func leftOutKey(source reclog.SourceID, position uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32([]byte{reclog.KeyFollowed}, uint32(source)), position)
}

func (n LeftOut) append(b []byte) []byte {
	for _, x := range []int64{n.Repeated, n.Late, n.Lacked} {
		b = binary.AppendUvarint(b, uint64(x))
	}
	return b
}

// readLeftOut adds up what a dual source left out in all transactions that the database has.
func readLeftOut(r pebble.Reader, source reclog.SourceID) (n LeftOut, err error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: leftOutKey(source, 0), UpperBound: leftOutKey(source+1, 0)})
	if err != nil {
		return n, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		v := it.Value()
		for _, x := range []*int64{&n.Repeated, &n.Late, &n.Lacked} {
			u, k := binary.Uvarint(v)
			if k <= 0 {
				return n, fmt.Errorf("%w: rows left out of source %d", reclog.ErrCorrupt, source)
			}
			*x, v = *x+int64(u), v[k:]
		}
	}
	return n, it.Error()
}

// LeftOut is what a dual source left out so far.
func (m *Manager) LeftOut(r *schema.Relation) (LeftOut, error) {
	return readLeftOut(m.cfg.Log.DB(), reclog.SourceID(r.ID))
}
