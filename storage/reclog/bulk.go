package reclog

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/tilehouse/tilehouse/functions/vector"
)

// Limits of a transaction's rows.
const (
	// MaxRowBytes is the most bytes of one row.
	MaxRowBytes = 256 << 20
	// chunkBytes ends a chunk before MaxChunkRows where rows are long.
	chunkBytes = 512 << 10
	// bulkBytes of encoded rows make a transaction stage them ahead of its batch.
	bulkBytes = 1 << 20
	// stageBytes is the size of the batches in which rows are staged.
	stageBytes = 4 << 20
	// bulkKeys primary keys make a transaction check them before it enters the queue.
	bulkKeys = 20_000
	// maxTouched is how many keys changed by others a preparation remembers before it gives up and is checked in full.
	maxTouched = 1 << 20
)

// prepared is a change's rows, encoded by the caller of Commit rather than by the committer.
type prepared struct {
	n      int
	inline []byte   // the one chunk
	bulk   uint64   // where the chunks are, or will be
	chunks [][]byte // of the bulk, to be written by the transaction's own batch
	sizes  []int    // rows of each chunk of the bulk
	staged bool     // the chunks are in the database, with a marker

	keys     [][]byte // database keys of the primary keys, one a row
	resolved bool     // they are Change.Resolved
	sorted   []uint32 // rows in the order of keys, found distinct; nil: the committer checks every key
	suspects []uint32 // rows whose keys were there
}

// preparation is a bulk between its check of primary keys and its commit. The committer notes the keys that others touch
// meanwhile, so that only those need a second look.
type preparation struct {
	touched map[string]struct{}
	full    bool // too many: check every key
}

func appendPrimary(dst []byte, s SourceID, c *vector.Chunk, row int, key []int) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, KeyPrimary), uint32(s))
	for _, k := range key {
		dst = vector.AppendKey(dst, c.Cols[k], row)
	}
	return dst
}

// prepare encodes rows and keys, and stages a bulk. After an error nothing is left of it.
func (l *Log) prepare(ctx context.Context, p *pending) (err error) {
	defer func() {
		if err != nil {
			l.release(p, err)
		}
	}()
	t := p.txn
	p.changes, p.rows = append([]Change(nil), t.Changes...), make([]prepared, len(t.Changes))
	seen := map[SourceID]int{}
	rows := 0
	for i := range t.Changes {
		c, r := &t.Changes[i], &p.rows[i]
		seen[c.Source]++
		if c.Inserts == nil || c.Inserts.N == 0 {
			continue
		}
		r.n = c.Inserts.N
		for j, v := range c.Inserts.Cols {
			if v.N != r.n {
				return fmt.Errorf("reclog: column %d has %d values, the chunk %d", j, v.N, r.n)
			}
		}
		rows += r.n
		if c.Time < 0 || c.Time > len(c.Inserts.Cols) || c.Time > 0 && c.Inserts.Cols[c.Time-1].Type.Kind != vector.TimestampTZ {
			return fmt.Errorf("reclog: column %d of %d is no event time", c.Time-1, len(c.Inserts.Cols))
		}
		for _, k := range c.Key {
			if k < 0 || k >= len(c.Inserts.Cols) {
				return fmt.Errorf("reclog: primary-key column %d of %d", k, len(c.Inserts.Cols))
			}
			switch c.Inserts.Cols[k].Type.Buffer() {
			case vector.BufNone, vector.BufNested:
				return fmt.Errorf("reclog: primary-key column of type %s", c.Inserts.Cols[k].Type)
			}
		}
		switch {
		case c.Resolved != nil:
			r.keys, r.sorted, r.resolved = c.Resolved.encoded, c.Resolved.sorted, true
			if len(r.keys) != r.n || len(c.Deletes) > 0 {
				return fmt.Errorf("reclog: %d resolved keys of %d rows, %d deletes", len(r.keys), r.n, len(c.Deletes))
			}
		case len(c.Key) > 0:
			r.keys = encodeKeys(c.Source, c.Inserts, c.Key)
		}
	}
	// Keys first: a duplicate is found before anything is staged.
	for i := range t.Changes {
		if r := &p.rows[i]; len(r.keys) >= bulkKeys && !r.resolved && seen[t.Changes[i].Source] == 1 {
			if p.prep == nil {
				p.prep = &preparation{touched: map[string]struct{}{}}
				l.prepMu.Lock()
				l.preps[p.prep] = struct{}{}
				l.prepMu.Unlock()
			}
			if err := l.checkAhead(ctx, &t.Changes[i], r); err != nil {
				return err
			}
		}
	}
	for i := range t.Changes {
		if p.rows[i].n > 0 {
			if err := l.encodeRows(ctx, p, i); err != nil {
				return err
			}
		}
		p.bytes += 9 * len(t.Changes[i].Deletes)
		if l.follows(t.Changes[i].Source) { // as much again may follow
			p.bytes += len(p.rows[i].inline) + 9*len(t.Changes[i].Deletes)
		}
	}
	return nil
}

// encodeKeys are the database keys of the rows of a chunk.
func encodeKeys(source SourceID, c *vector.Chunk, key []int) [][]byte {
	keys := make([][]byte, c.N)
	arena := make([]byte, 0, 16*min(c.N, 1<<16))
	for i := range keys {
		if cap(arena)-len(arena) < 64 && c.N > 1 {
			arena = make([]byte, 0, 1<<20)
		}
		from := len(arena)
		arena = appendPrimary(arena, source, c, i, key)
		keys[i] = arena[from:len(arena):len(arena)]
	}
	return keys
}

// encodeRows cuts the rows into chunks, and stages them once they are many bytes.
func (l *Log) encodeRows(ctx context.Context, p *pending, index int) error {
	c, r := &p.changes[index], &p.rows[index]
	var waiting int // bytes of r.chunks
	for from := 0; from < r.n; {
		to, size := from, 0
		for to < r.n && to-from < MaxChunkRows && size < chunkBytes {
			n := rowBytes(c.Inserts, to)
			if n > MaxRowBytes {
				return fmt.Errorf("%w: row of %d bytes", ErrTooLarge, n)
			}
			if to > from && size+n > chunkBytes {
				break
			}
			size += n
			to++
		}
		if from == 0 && to == r.n {
			r.inline = AppendChunk(nil, c.Inserts, from, to)
			p.bytes += len(r.inline)
			break
		}
		if r.bulk == 0 {
			r.bulk = l.epoch<<32 | l.bulks.Add(1)
		}
		data := binary.AppendUvarint(make([]byte, 0, size/2+64), uint64(len(c.Key)))
		for _, k := range c.Key {
			data = binary.AppendUvarint(data, uint64(k))
		}
		data = AppendChunk(data, c.Inserts, from, to)
		r.chunks, r.sizes = append(r.chunks, data), append(r.sizes, to-from)
		waiting += len(data)
		if limit := bulkBytes; waiting >= limit && !r.staged || waiting >= stageBytes {
			if err := l.stage(ctx, c.Source, r); err != nil {
				return err
			}
			waiting = 0
		}
		from = to
	}
	if r.staged && len(r.chunks) > 0 {
		if err := l.stage(ctx, c.Source, r); err != nil {
			return err
		}
		waiting = 0
	}
	p.bytes += waiting
	for _, k := range r.keys {
		p.bytes += len(k) + 9
	}
	return nil
}

// stage writes r.chunks, the last of r.sizes, to the database. No change refers to them yet; the marker makes the next Open
// remove them if none ever does. They need no sync of their own: they stand in the WAL before the batch that commits them.
func (l *Log) stage(ctx context.Context, s SourceID, r *prepared) error {
	select {
	case <-l.stop:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	default:
	}
	bytes := 0
	for _, data := range r.chunks {
		bytes += len(data)
	}
	if err := l.fs.admit(int64(2*bytes), false); err != nil {
		return err
	}
	b := l.db.NewBatch()
	defer b.Close()
	if !r.staged {
		if err := b.Set(bulkMarker(s, r.bulk), nil, nil); err != nil {
			return err
		}
	}
	first := len(r.sizes) - len(r.chunks)
	for i, data := range r.chunks {
		if err := b.Set(bulkKey(s, r.bulk, first+i), data, nil); err != nil {
			return err
		}
	}
	r.chunks = nil
	r.staged = true
	return b.Commit(pebble.NoSync)
}

// release ends p's preparation, and removes what was staged where the outcome is that it failed. After ErrInDoubt the
// committer may yet succeed: then the marker decides at the next Open.
func (l *Log) release(p *pending, err error) {
	if p.prep != nil {
		l.prepMu.Lock()
		delete(l.preps, p.prep)
		l.prepMu.Unlock()
	}
	if err == nil || err == ErrInDoubt || err == ErrClosed || l.fs.waiting.Load() > 0 {
		return
	}
	l.removeStaged(p, 0)
}

// removeStaged removes what was staged for the changes of a transaction from the i-th on.
func (l *Log) removeStaged(p *pending, i int) {
	for ; i < len(p.rows); i++ {
		if r := &p.rows[i]; r.staged {
			b := l.db.NewBatch()
			l.removeBulk(b, p.changes[i].Source, r.bulk)
			// A failure leaves the marker, by which the next Open removes the rows.
			_ = b.Commit(pebble.NoSync)
			_ = b.Close()
		}
	}
}

func (l *Log) removeBulk(b *pebble.Batch, s SourceID, bulk uint64) {
	_ = b.DeleteRange(bulkKey(s, bulk, 0), bulkKey(s, bulk+1, 0), nil)
	_ = b.Delete(bulkMarker(s, bulk), nil)
}

// dropStaged removes, at Open, the rows of bulks that no transaction committed.
func (l *Log) dropStaged(b *pebble.Batch) error {
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{KeyMeta, 's'}, UpperBound: []byte{KeyMeta, 's' + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		k := it.Key()
		if len(k) != 14 {
			return fmt.Errorf("%w: bulk marker", ErrCorrupt)
		}
		l.removeBulk(b, SourceID(binary.BigEndian.Uint32(k[2:])), binary.BigEndian.Uint64(k[6:]))
	}
	return it.Error()
}

// rowBytes estimates the bytes of a row.
func rowBytes(c *vector.Chunk, i int) int {
	n := 0
	for _, v := range c.Cols {
		n += spanBytes(v, i, i+1)
	}
	return n
}

func spanBytes(v *vector.Vector, from, to int) int {
	switch v.Type.Buffer() {
	case vector.BufI64, vector.BufF64:
		return 8 * (to - from)
	case vector.BufI128:
		return 16 * (to - from)
	case vector.BufBytes:
		return 4*(to-from) + int(v.Off[to]-v.Off[from])
	case vector.BufNested:
		n := 4 * (to - from)
		for _, c := range v.Child {
			n += spanBytes(c, int(v.Off[from]), int(v.Off[to]))
		}
		return n
	case vector.BufNone:
	}
	return 0
}

// checkAhead finds duplicates among the change's own keys, and the keys that the database holds now. It runs in the caller's
// goroutine while others commit.
func (l *Log) checkAhead(ctx context.Context, c *Change, r *prepared) error {
	sorted := sortKeys(r.keys)
	order := func(a, b uint32) int { return bytes.Compare(r.keys[a], r.keys[b]) }
	for i := 1; i < len(sorted); i++ {
		if order(sorted[i-1], sorted[i]) == 0 {
			return uniqueError(c.Source, c.Key, c.Inserts, int(max(sorted[i-1], sorted[i])))
		}
	}
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: sourceKey(KeyPrimary, c.Source), UpperBound: sourceEnd(KeyPrimary, c.Source)})
	if err != nil {
		return err
	}
	defer it.Close()
	for i := 0; i < len(sorted); {
		if i&1023 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !it.SeekGE(r.keys[sorted[i]]) {
			break
		}
		for i < len(sorted) && bytes.Compare(r.keys[sorted[i]], it.Key()) < 0 {
			i++
		}
		if i < len(sorted) && bytes.Equal(r.keys[sorted[i]], it.Key()) {
			if len(c.Deletes) == 0 {
				return uniqueError(c.Source, c.Key, c.Inserts, int(sorted[i]))
			}
			r.suspects = append(r.suspects, sorted[i])
			i++
		}
	}
	if err := it.Error(); err != nil {
		return err
	}
	r.sorted = sorted
	return nil
}

// noteTouched tells bulks that are being prepared which keys the group changed. The group is in the database by now, so
// that a bulk which begins its check later sees it there.
func (l *Log) noteTouched(g *group, ps []*pending) {
	l.prepMu.Lock()
	defer l.prepMu.Unlock()
	for prep := range l.preps {
		if len(ps) == 1 && ps[0].prep == prep || prep.full {
			continue
		}
		for k := range g.keys {
			prep.touched[k] = struct{}{}
		}
		for _, p := range ps {
			for i := range p.rows {
				if p.rows[i].sorted == nil {
					continue
				}
				for _, k := range p.rows[i].keys {
					if len(prep.touched) <= maxTouched {
						prep.touched[string(k)] = struct{}{}
					}
				}
			}
		}
		if len(prep.touched) > maxTouched {
			prep.touched, prep.full = nil, true
		}
	}
}

// checkSuspects is the committer's part of the check of a bulk's keys.
func (g *group) checkSuspects(c *Change, rows *prepared) error {
	check := func(i uint32) error {
		id, err := g.keyOwner(rows.keys[i])
		if err == nil && id != 0 {
			err = uniqueError(c.Source, c.Key, c.Inserts, int(i))
		}
		return err
	}
	again := rows.suspects
	g.l.prepMu.Lock()
	prep := g.prep
	if prep.full {
		again = rows.sorted
	} else if len(prep.touched) > 0 {
		again = slices.Clone(again)
		for k := range prep.touched {
			if i, ok := slices.BinarySearchFunc(rows.sorted, k, func(i uint32, k string) int {
				return bytes.Compare(rows.keys[i], []byte(k))
			}); ok {
				again = append(again, rows.sorted[i])
			}
		}
	}
	g.l.prepMu.Unlock()
	for _, i := range again {
		if err := check(i); err != nil {
			return err
		}
	}
	// The keys are written from rows.sorted; those that the deletes free must not be deleted after that.
	for _, i := range again {
		k := string(rows.keys[i])
		if before, ok := g.keys[k]; ok {
			delete(g.keys, k)
			g.undo = append(g.undo, func() { g.keys[k] = before })
		}
	}
	return nil
}

// writeKeys writes the primary keys of a bulk in their order.
func (r *prepared) writeKeys(b *pebble.Batch, first uint64) {
	var value [binary.MaxVarintLen64]byte
	for _, i := range r.sorted {
		_ = b.Set(r.keys[i], binary.AppendUvarint(value[:0], first+uint64(i)), nil)
	}
}
