package reclog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/tilehouse/tilehouse/functions/vector"
)

// liveRef names a live-row entry.
type liveRef struct {
	source SourceID
	first  uint64
}

// group is the transactions of one batch. What they do to primary keys and live rows is kept in maps over the database, of
// which the final state is written: later transactions see earlier ones, a failed one is undone, and the batch need not be
// indexed.
type group struct {
	l       *Log
	b       *pebble.Batch
	it      *pebble.Iterator // over live rows; opened by the first delete
	pos     uint64           // of the last transaction added
	time    int64            // its commit time
	keys    map[string]uint64
	entries map[liveRef]*live
	fresh   map[SourceID][]uint64 // entries made by this group, ascending
	local   map[liveRef]localRows
	next    map[SourceID]uint64
	newest  map[SourceID]int64 // newest event times that rose
	prep    *preparation       // of the transaction being added
	undo    []func()
	applied []Applied
}

// localRows is where the rows of an entry are that the database does not hold yet.
type localRows struct {
	c    *vector.Chunk
	from int
	key  []int
}

func (l *Log) newGroup() *group {
	return &group{
		l: l, b: l.db.NewBatch(), pos: l.pos.Load(), time: l.lastTime,
		keys: map[string]uint64{}, entries: map[liveRef]*live{}, fresh: map[SourceID][]uint64{},
		local: map[liveRef]localRows{}, next: map[SourceID]uint64{}, newest: map[SourceID]int64{},
	}
}

func (g *group) close() {
	if g.it != nil {
		_ = g.it.Close() // its errors were reported by Error
	}
	_ = g.b.Close()
}

// add adds p, or leaves the group as it was and returns why not.
func (g *group) add(p *pending) error {
	switch {
	case p.drop != nil:
		return g.drop(*p.drop)
	case p.own != nil:
		p.own(g.b)
		return nil
	}
	g.undo, g.prep = g.undo[:0], p.prep
	napplied := len(g.applied)
	err := g.addTxn(p)
	if err != nil {
		for _, undo := range slices.Backward(g.undo) {
			undo()
		}
		g.applied = g.applied[:napplied]
	}
	return err
}

func (g *group) addTxn(p *pending) error {
	pos := g.pos + 1
	at := max(g.l.o.Clock().UnixMicro(), g.time+1)
	own := len(p.txn.Changes)
	res := Committed{Position: pos, Time: at, FirstRowID: make([]uint64, own)}
	records := make([]*change, own)
	g.l.unfollow(p) // of an attempt in a larger group
	for i := range own {
		rec, a, err := g.addChange(&p.changes[i], &p.rows[i], pos, i)
		if err != nil {
			return err
		}
		records[i], res.FirstRowID[i] = rec, rec.first
		if g.l.follows(a.Source) {
			more, err := g.follow(p, &p.txn.Changes[i], rec, a, pos)
			if err != nil {
				return err
			}
			records = append(records, more...)
		}
	}
	rises, err := g.rises(p.changes)
	if err != nil {
		return err
	}
	if p.txn.Extra != nil {
		// A batch of its own, so that what a failing Extra wrote can be thrown away.
		extra := g.l.db.NewBatch()
		defer extra.Close()
		if err := p.txn.Extra(extra, pos); err != nil {
			return err
		}
		if !extra.Empty() {
			if err := g.b.Apply(extra, nil); err != nil {
				return err
			}
		}
	}
	// From here on nothing fails.
	for i, rec := range records {
		c, rows := &p.changes[i], &p.rows[i]
		if rec.rows == 0 && len(rec.deletes) == 0 {
			continue
		}
		_ = g.b.Set(changeKey(c.Source, pos, i), rec.append(nil), nil)
		for j, data := range rows.chunks {
			_ = g.b.Set(bulkKey(c.Source, rows.bulk, j), data, nil)
		}
		if rows.staged {
			_ = g.b.Delete(bulkMarker(c.Source, rows.bulk), nil)
		}
		if rows.sorted != nil {
			rows.writeKeys(g.b, rec.first)
		}
	}
	for _, write := range p.followed {
		write(g.b)
	}
	for s, t := range rises {
		g.newest[s] = t
		_ = g.b.Set(newestKey(s, pos), binary.BigEndian.AppendUint64(nil, uint64(t)), nil)
	}
	_ = g.b.Set(positionKey(pos), appendPosition(at, onlySource(p)), nil)
	g.pos, g.time, p.res = pos, at, res
	return nil
}

// onlySource is the source that alone a transaction changes; nil: none, several, or more than rows.
func onlySource(p *pending) *SourceID {
	if len(p.changes) == 0 || p.txn.Extra != nil || len(p.followed) > 0 {
		return nil
	}
	s := p.changes[0].Source
	for i := range p.changes {
		if p.changes[i].Source != s {
			return nil
		}
	}
	return &s
}

// addChange validates a change against everything before it and enters it in the maps.
func (g *group) addChange(c *Change, rows *prepared, pos uint64, index int) (*change, *Applied, error) {
	next, err := g.nextRow(c.Source)
	if err != nil {
		return nil, nil, err
	}
	a := Applied{Source: c.Source, Position: pos, DeletedIDs: c.Deletes, FirstInsertID: next}
	if a.Deleted, err = g.delete(c); err != nil {
		return nil, nil, err
	}
	rec := &change{first: next, deletes: c.Deletes}
	if n := rows.n; n > 0 {
		a.Inserted = c.Inserts
		rec.rows, rec.key, rec.inline, rec.bulk, rec.sizes = n, c.Key, rows.inline, rows.bulk, rows.sizes
		if err := g.checkKeys(c, rows, next); err != nil {
			return nil, nil, err
		}
		g.insertEntries(c, rows, pos, index, next)
	}
	if a.Inserted != nil || len(a.DeletedIDs) > 0 {
		g.applied = append(g.applied, a)
	}
	return rec, &a, nil
}

func (g *group) nextRow(s SourceID) (uint64, error) {
	if n, ok := g.next[s]; ok {
		return n, nil
	}
	if n, ok := g.l.next[s]; ok {
		return n, nil
	}
	n, err := g.l.loadNext(s)
	if err == nil {
		g.l.next[s] = n
	}
	return n, err
}

func (g *group) insertEntries(c *Change, rows *prepared, pos uint64, index int, next uint64) {
	source, had := c.Source, false
	before, had := g.next[source]
	nfresh := len(g.fresh[source])
	sizes := rows.sizes
	if rows.inline != nil {
		sizes = []int{rows.n}
	}
	from := 0
	for j, n := range sizes {
		ref := liveRef{source, next + uint64(from)}
		g.entries[ref] = &live{pos: pos, n: n, change: index, bulk: rows.bulk, chunk: j}
		g.local[ref] = localRows{c.Inserts, from, c.Key}
		g.fresh[source] = append(g.fresh[source], ref.first)
		from += n
	}
	g.next[source] = next + uint64(rows.n)
	g.undo = append(g.undo, func() {
		for _, first := range g.fresh[source][nfresh:] {
			delete(g.entries, liveRef{source, first})
			delete(g.local, liveRef{source, first})
		}
		g.fresh[source] = g.fresh[source][:nfresh]
		if had {
			g.next[source] = before
		} else {
			delete(g.next, source)
		}
	})
}

// checkKeys finds primary keys that are there already, and enters the new ones.
func (g *group) checkKeys(c *Change, rows *prepared, next uint64) error {
	switch {
	case rows.resolved:
		return nil
	case rows.sorted != nil:
		return g.checkSuspects(c, rows)
	}
	for i, k := range rows.keys {
		id, err := g.keyOwner(k)
		if err != nil {
			return err
		}
		if id != 0 {
			return uniqueError(c.Source, c.Key, c.Inserts, i)
		}
		g.setKey(string(k), next+uint64(i))
	}
	return nil
}

// keyOwner is the row id that a primary key belongs to, 0: none.
func (g *group) keyOwner(k []byte) (uint64, error) {
	if id, ok := g.keys[string(k)]; ok {
		return id, nil
	}
	return g.l.getUint(k)
}

func (g *group) setKey(k string, id uint64) {
	before, had := g.keys[k]
	g.keys[k] = id
	g.undo = append(g.undo, func() {
		if had {
			g.keys[k] = before
		} else {
			delete(g.keys, k)
		}
	})
}

// delete marks c's deletes dead, frees their primary keys, and returns the old rows if the Applier wants them.
func (g *group) delete(c *Change) (*vector.Chunk, error) {
	if len(c.Deletes) == 0 {
		return nil, nil
	}
	want := g.l.applier.Load() != nil
	var old []localRows
	for _, id := range c.Deletes {
		ref, e, err := g.find(c.Source, id)
		if err != nil {
			return nil, err
		}
		i := int(id - ref.first)
		rows, ok := g.local[ref]
		if !ok {
			if rows, err = g.l.cache.rows(g.l.db, ref, e); err != nil {
				return nil, err
			}
		}
		e.kill(i)
		if g.entries[ref] == nil {
			g.entries[ref] = e
		}
		g.undo = append(g.undo, func() { e.revive(i) })
		if len(rows.key) > 0 {
			g.setKey(string(appendPrimary(nil, c.Source, rows.c, rows.from+i, rows.key)), 0)
		}
		if want {
			old = append(old, localRows{rows.c, rows.from + i, nil})
		}
	}
	if !want {
		return nil, nil
	}
	return gather(old, (*g.l.applier.Load()).Schema(c.Source))
}

// gather copies rows of one source, of which older ones may lack columns, into one chunk.
func gather(rows []localRows, schema Schema) (*vector.Chunk, error) {
	if schema.Types == nil {
		for _, v := range rows[0].c.Cols {
			schema.Types = append(schema.Types, v.Type)
		}
	}
	out := vector.NewChunk(schema.Types, len(rows))
	for _, r := range rows {
		if err := appendRow(out, r.c, r.from, schema); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// find is the entry of a live row.
func (g *group) find(s SourceID, id uint64) (liveRef, *live, error) {
	conflict := func() (liveRef, *live, error) {
		return liveRef{}, nil, fmt.Errorf("%w: source %d, row %d", ErrConflict, s, id)
	}
	check := func(ref liveRef, e *live) (liveRef, *live, error) {
		if i := id - ref.first; i >= uint64(e.n) || e.isDead(int(i)) {
			return conflict()
		}
		return ref, e, nil
	}
	if fresh := g.fresh[s]; len(fresh) > 0 && id >= fresh[0] {
		i, exact := slices.BinarySearch(fresh, id)
		if !exact {
			i--
		}
		ref := liveRef{s, fresh[i]}
		return check(ref, g.entries[ref])
	}
	if g.it == nil {
		var err error
		if g.it, err = g.l.newLiveIter(); err != nil {
			return liveRef{}, nil, err
		}
	}
	ref, value, err := seekLive(g.it, s, id)
	if errors.Is(err, ErrConflict) {
		return conflict()
	}
	if err != nil {
		return liveRef{}, nil, err
	}
	if e := g.entries[ref]; e != nil {
		return check(ref, e)
	}
	e, err := decodeLive(value)
	if err != nil {
		return liveRef{}, nil, err
	}
	return check(ref, e)
}

// write puts the final state of the maps into the batch.
func (g *group) write() error {
	for ref, e := range g.entries {
		key := liveKey(ref.source, ref.first)
		var err error
		if e.ndead == e.n {
			// The entry may have been made by this very group; then there is nothing to delete, which does no harm.
			err = g.b.Delete(key, nil)
		} else {
			err = g.b.Set(key, e.append(nil), nil)
		}
		if err != nil {
			return err
		}
	}
	for k, id := range g.keys {
		var err error
		if id == 0 {
			err = g.b.Delete([]byte(k), nil)
		} else {
			err = g.b.Set([]byte(k), binary.AppendUvarint(nil, id), nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *group) drop(s SourceID) error {
	next, err := g.nextRow(s)
	if err != nil {
		return err
	}
	for _, space := range []byte{KeyLog, KeyLive, KeyPrimary, KeyNewest, KeyStreams, KeyLetters, KeyEnds, KeyFollowed} {
		if err := g.b.DeleteRange(sourceKey(space, s), sourceEnd(space, s), nil); err != nil {
			return err
		}
	}
	if err := g.b.Delete(trimKey(s), nil); err != nil {
		return err
	}
	g.l.cache.forget()
	delete(g.l.newest, s)
	return g.b.Set(floorKey(s), binary.AppendUvarint(nil, next), nil)
}

// loadNext finds the next row id of a source: after the last change's, and not below what DropSource left.
func (l *Log) loadNext(s SourceID) (uint64, error) {
	next, err := l.getUint(floorKey(s))
	if err != nil {
		return 0, err
	}
	it, err := l.db.NewIter(&pebble.IterOptions{
		LowerBound: append(sourceKey(KeyLog, s), logChanges), UpperBound: append(sourceKey(KeyLog, s), logBulk),
	})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	if it.Last() {
		c, err := decodeChange(it.Value())
		if err != nil {
			return 0, err
		}
		next = max(next, c.first+uint64(c.rows))
	}
	return max(next, 1), it.Error()
}
