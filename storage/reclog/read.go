package reclog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"

	"github.com/cockroachdb/pebble/v2"
	"github.com/tilehouse/tilehouse/functions/vector"
)

// Version is an event in the life of a row: it came, or went, at a position.
type Version struct {
	Position uint64
	Delete   bool
	RowID    uint64
}

// Scan calls fn with the changes of a source at positions after < p ≤ upTo, in order. A change of more rows than fit one
// record, or of which rows were trimmed in between, comes in several calls: the first has its deletes, each has consecutive rows from
// firstInsertID on. inserted is nil where there are none; it has the columns of schema. What fn is given is its own to keep. Positions
// beyond Position() do not exist. Errors: fn's, ctx's, ErrCorrupt, ErrBadChunk.
func (l *Log) Scan(ctx context.Context, source SourceID, after, upTo uint64, schema Schema,
	fn func(pos uint64, deletedIDs []uint64, firstInsertID uint64, inserted *vector.Chunk) error) error {
	return l.scanChanges(ctx, source, after, upTo, func(r pebble.Reader, pos uint64, c *change) error {
		if c.rows == 0 {
			return fn(pos, c.deletes, c.first, nil)
		}
		deletes := c.deletes
		give := func(first uint64, data []byte) error {
			rows, k, err := decodeKept(data)
			if err == nil {
				rows, err = schema.Fit(rows)
			}
			if err != nil {
				return fmt.Errorf("source %d, position %d: %w", source, pos, err)
			}
			return eachRun(rows, k, func(from int, rows *vector.Chunk) error {
				d := deletes
				deletes = nil
				return fn(pos, d, first+uint64(from), rows)
			})
		}
		if c.inline != nil {
			return give(c.first, c.inline)
		}
		first := c.first
		for j, n := range c.sizes {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			if !c.lacks(j) {
				if err := l.bulkRows(r, source, c.bulk, j, func(data []byte) error { return give(first, data) }); err != nil {
					return err
				}
			}
			first += uint64(n)
		}
		return nil
	})
}

// Versions calls fn with the comings and goings of a source's rows at positions after < p ≤ upTo, in order, without reading
// the rows: what tombstones are made from. Of a transaction some rows of which were trimmed it names all.
func (l *Log) Versions(ctx context.Context, source SourceID, after, upTo uint64, fn func(Version) error) error {
	return l.scanChanges(ctx, source, after, upTo, func(_ pebble.Reader, pos uint64, c *change) error {
		for _, id := range c.deletes {
			if err := fn(Version{Position: pos, Delete: true, RowID: id}); err != nil {
				return err
			}
		}
		for i := range c.rows {
			if err := fn(Version{Position: pos, RowID: c.first + uint64(i)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// scanChanges gives changes and what reads the chunks of their bulks: one snapshot, because both may be trimmed meanwhile.
func (l *Log) scanChanges(ctx context.Context, source SourceID, after, upTo uint64, fn func(r pebble.Reader, pos uint64, c *change) error) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	upTo = min(upTo, l.Position())
	if after >= upTo {
		return nil
	}
	snap := l.db.NewSnapshot()
	defer l.Release(snap)
	// Keys of later changes of a transaction are longer than its position's: the bounds are those of whole positions.
	it, err := snap.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: changeKey(source, after+1, 0), UpperBound: changeKey(source, upTo+1, 0)})
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		pos, _, err := parseChangeKey(it.Key())
		if err != nil {
			return err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		c, err := decodeChange(value)
		if err != nil {
			return fmt.Errorf("source %d, position %d: %w", source, pos, err)
		}
		if err := fn(snap, pos, c); err != nil {
			return err
		}
	}
	return it.Error()
}

// bulkRows calls fn with an encoded chunk of a bulk, which is valid during the call.
func (l *Log) bulkRows(r pebble.Reader, s SourceID, bulk uint64, chunk int, fn func(data []byte) error) error {
	v, closer, err := r.Get(bulkKey(s, bulk, chunk))
	if err != nil {
		return fmt.Errorf("source %d, chunk %d of bulk %d: %w", s, chunk, bulk, err)
	}
	defer closer.Close()
	_, rest, err := bulkHeader(v)
	if err != nil {
		return err
	}
	return fn(rest)
}

// bulkHeader splits a bulk chunk's value into the primary-key columns and the chunk.
func bulkHeader(v []byte) (key []int, chunk []byte, err error) {
	d := &decoder{b: v}
	for range d.count(maxColumns) {
		key = append(key, d.count(maxColumns))
	}
	return key, d.b, d.err
}

// Rows is the live rows of a source with the ids, in their order, with the columns of schema. It sees the newest state.
// Errors: ErrConflict where one is not live.
func (l *Log) Rows(ctx context.Context, source SourceID, ids []uint64, schema Schema) (*vector.Chunk, error) {
	out := vector.NewChunk(schema.Types, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	it, err := l.newLiveIter()
	if err != nil {
		return nil, err
	}
	defer it.Close()
	cache := newChunkCache()
	for _, id := range ids {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		ref, value, err := seekLive(it, source, id)
		if err != nil {
			return nil, err
		}
		e, err := decodeLive(value)
		if err != nil {
			return nil, err
		}
		i := id - ref.first
		if i >= uint64(e.n) || e.isDead(int(i)) {
			return nil, fmt.Errorf("%w: source %d, row %d", ErrConflict, source, id)
		}
		rows, err := cache.rows(l.db, ref, e)
		if err != nil {
			return nil, err
		}
		if err := appendRow(out, rows.c, int(i), schema); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// appendRow appends row i of src to a chunk of a schema.
func appendRow(dst, src *vector.Chunk, i int, schema Schema) error {
	for j, v := range dst.Cols {
		switch {
		case j >= len(src.Cols):
			schema.appendMissing(v, j)
		case !v.Type.Equal(src.Cols[j].Type):
			if err := schema.wider(j, src.Cols[j].Type); err != nil {
				return err
			}
			one := vector.New(src.Cols[j].Type, 1)
			one.AppendFrom(src.Cols[j], i)
			v.AppendFrom(Widen(one, v.Type), 0)
		default:
			v.AppendFrom(src.Cols[j], i)
		}
	}
	dst.N++
	return nil
}

func (l *Log) newLiveIter() (*pebble.Iterator, error) {
	return l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{KeyLive}, UpperBound: []byte{KeyLive + 1}})
}

// seekLive is the live entry that would hold row id; the value is valid until it moves. ErrConflict: none.
func seekLive(it *pebble.Iterator, s SourceID, id uint64) (liveRef, []byte, error) {
	bound := sourceEnd(KeyLive, s)
	if id+1 != 0 {
		bound = liveKey(s, id+1)
	}
	if !it.SeekLT(bound) {
		if err := it.Error(); err != nil {
			return liveRef{}, nil, err
		}
		return liveRef{}, nil, fmt.Errorf("%w: source %d, row %d", ErrConflict, s, id)
	}
	k := it.Key()
	if len(k) != 13 {
		return liveRef{}, nil, fmt.Errorf("%w: live key of %d bytes", ErrCorrupt, len(k))
	}
	if SourceID(binary.BigEndian.Uint32(k[1:])) != s {
		return liveRef{}, nil, fmt.Errorf("%w: source %d, row %d", ErrConflict, s, id)
	}
	v, err := it.ValueAndErr()
	return liveRef{s, binary.BigEndian.Uint64(k[5:])}, v, err
}

// maxCachedChunks bounds a chunkCache; a chunk decodes to some 512 KiB.
const maxCachedChunks = 16

// chunkCache holds decoded records, so that deletes of neighbouring rows decode their chunk once. It forgets the oldest.
// A record changes only by losing rows that are dead, so entries serve those that live. It is used by one goroutine.
type chunkCache struct {
	m   map[liveRef]localRows
	age []liveRef
}

func newChunkCache() *chunkCache { return &chunkCache{m: map[liveRef]localRows{}} }

func (cc *chunkCache) forget() {
	cc.m, cc.age = map[liveRef]localRows{}, nil
}

// rows is the record that entry e of ref points to.
func (cc *chunkCache) rows(r pebble.Reader, ref liveRef, e *live) (localRows, error) {
	if rows, ok := cc.m[ref]; ok {
		return rows, nil
	}
	key := changeKey(ref.source, e.pos, e.change)
	if e.bulk != 0 {
		key = bulkKey(ref.source, e.bulk, e.chunk)
	}
	v, closer, err := r.Get(key)
	if err != nil {
		return localRows{}, fmt.Errorf("source %d, rows from %d: %w", ref.source, ref.first, err)
	}
	defer closer.Close()
	var rows localRows
	var data []byte
	if e.bulk != 0 {
		if rows.key, data, err = bulkHeader(v); err != nil {
			return localRows{}, err
		}
	} else {
		c, err := decodeChange(v)
		if err != nil {
			return localRows{}, err
		}
		rows.key, data = c.key, c.inline
	}
	if rows.c, _, err = decodeKept(data); err != nil {
		return localRows{}, fmt.Errorf("source %d, rows from %d: %w", ref.source, ref.first, err)
	}
	if rows.c.N != e.n {
		return localRows{}, fmt.Errorf("%w: %d rows where the index says %d", ErrCorrupt, rows.c.N, e.n)
	}
	if e.n > 1 {
		if len(cc.age) == maxCachedChunks {
			delete(cc.m, cc.age[0])
			cc.age = cc.age[1:]
		}
		cc.m[ref] = rows
		cc.age = append(cc.age, ref)
	}
	return rows, nil
}

// TimeOf is when a position was committed, in microseconds UTC; of one that was trimmed, because it changed rows only that were, when the
// one before it was. 0 for position 0, for positions not committed yet, where all up to it were trimmed, and after Close.
func (l *Log) TimeOf(pos uint64) int64 {
	if pos == 0 || pos > l.Position() || l.enter() != nil {
		return 0
	}
	defer l.leave()
	t, _ := l.timeOf(pos)
	return t
}

// timeOf is when the last position ≤ pos was committed that is there; false: none is.
func (l *Log) timeOf(pos uint64) (int64, bool) {
	t, err := func() (int64, error) {
		v, closer, err := l.db.Get(positionKey(pos))
		if err == nil {
			defer closer.Close()
			return decodePosition(v)
		}
		if !errors.Is(err, pebble.ErrNotFound) {
			return 0, err
		}
		it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{KeyPosition}, UpperBound: positionKey(pos)})
		if err != nil {
			return 0, err
		}
		defer it.Close()
		if !it.Last() {
			return math.MinInt64, it.Error()
		}
		return decodePosition(it.Value())
	}()
	if err != nil {
		// A position without a time is damage of the database, which no caller can go on with.
		l.o.Fatal(fmt.Errorf("time of position %d: %w", pos, err).Error())
		return 0, false
	}
	if t == math.MinInt64 {
		return 0, false
	}
	return t, true
}

// committedAfter reports of positions whether they were committed after t. Of one that was trimmed it is not known, and false.
func (l *Log) committedAfter(t int64) func(pos uint64) bool {
	return func(pos uint64) bool {
		at, ok := l.timeOf(pos)
		return ok && at > t
	}
}

// PositionAt is the last position committed at or before t, in microseconds UTC; 0: none, or closed.
func (l *Log) PositionAt(t int64) uint64 {
	if l.enter() != nil {
		return 0
	}
	defer l.leave()
	n := l.Position()
	after := l.committedAfter(t)
	if n == 0 || !after(n) {
		return n
	}
	// Times increase with positions. Of those that were trimmed this may be a later one, at which everything was the same.
	return uint64(sort.Search(int(n), func(i int) bool { return after(uint64(i) + 1) }))
}

// PositionFrom is PositionAt of a time that is not before another one, of which it was from. Times that are asked for in their order cost
// less so the closer their positions are.
func (l *Log) PositionFrom(from uint64, t int64) uint64 {
	if l.enter() != nil {
		return 0
	}
	defer l.leave()
	n := l.Position()
	after := l.committedAfter(t)
	for step := uint64(1); from < n; step *= 2 {
		next := min(n, from+step)
		if after(next) {
			// from is not after t, next is.
			return from + uint64(sort.Search(int(next-from), func(i int) bool { return after(from + uint64(i) + 1) }))
		}
		from = next
	}
	return n
}
