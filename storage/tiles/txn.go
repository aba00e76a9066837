package tiles

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/storage/event"
)

// txn is the writes of one batch before it is committed. It holds the store's writer lock, so what the database and the
// overlay say does not change under it.
type txn struct {
	s       *Store
	batch   *pebble.Batch
	version uint64            // that the store will have when the batch is done
	overlay map[string]change // what the batch wrote, decoded
	over    bool
	cold    bool   // what it writes is no sign that it will be read: the cache gets only what it had
	from    Getter // what it reads from, which has all that was committed before it
	scratch []byte
	changes changes
}

type change struct {
	val    any // nil: deleted
	cached any // what the cache gets
	size   int64
	had    bool // the cache had the key
}

// begin joins the transaction of b, or waits for the one in flight and starts another.
func (s *Store) begin(b *pebble.Batch) *txn {
	s.mu.Lock()
	t := s.cur
	s.mu.Unlock()
	if t != nil && t.batch == b {
		return t
	}
	s.writer.Lock()
	t = &txn{s: s, batch: b, version: s.version.Load() + 1, overlay: map[string]change{}, from: s.db}
	s.mu.Lock()
	s.cur = t
	s.mu.Unlock()
	return t
}

// finish ends the transaction; only the first call counts. Views of the new version begin to exist here, after the cache
// has what the commit wrote.
func (t *txn) finish(committed bool) {
	s := t.s
	s.mu.Lock()
	if t.over {
		s.mu.Unlock()
		return
	}
	t.over = true
	s.cur = nil
	s.mu.Unlock()
	if committed {
		for k, c := range t.overlay {
			if t.cold && !c.had {
				continue
			}
			s.cache.written([]byte(k), c.cached, c.size, t.version)
		}
	}
	t.finishChanges(committed)
	s.version.Store(t.version)
	s.instants.Lock()
	s.forgetInstant()
	s.instants.Unlock()
	s.writer.Unlock()
}

// get reads a value as the batch sees it.
func (t *txn) get(g *Group, key []byte, start int64) (any, error) {
	if c, ok := t.overlay[string(key)]; ok {
		return c.val, nil
	}
	return t.s.value(t.from, g, key, start, t.version-1, true)
}

func (t *txn) record(g *Group, key []byte) (*record, error) {
	v, err := t.get(g, appendRecordKey(nil, g.Prefix, key), 0)
	return as[record](v, err)
}

func (t *txn) meta(g *Group) (*groupMeta, error) {
	m, err := as[groupMeta](t.get(g, appendHead(nil, g.Prefix, kindMeta), 0))
	if m == nil && err == nil {
		m = &groupMeta{settled: noDay, publishing: noDay, horizon: noDay}
	}
	return m, err
}

// as is v as *T, nil for an absent value; a value of another kind is an error.
func as[T any](v any, err error) (*T, error) {
	if err != nil || v == nil {
		return nil, err
	}
	x, ok := v.(*T)
	if !ok {
		return nil, fmt.Errorf("%w: value of another kind", ErrCorrupt)
	}
	return x, nil
}

// set writes a value. start is the beginning of a pack's bucket.
func (t *txn) set(key []byte, val any, start int64) error {
	var size int64
	t.scratch = t.scratch[:0]
	switch v := val.(type) {
	case *node:
		t.scratch = appendNode(t.scratch, v, start)
		size = v.memBytes()
	case *record:
		t.scratch = appendRecord(t.scratch, v)
	case *groupMeta:
		t.scratch, size = appendMeta(t.scratch, v), 64
	case *position:
		t.scratch, size = appendPosition(t.scratch, v), 64
	default:
		panic(fmt.Sprintf("tiles: no encoding of %T", val))
	}
	c := change{val: val, cached: val, size: size}
	if compact(t.scratch) {
		c.cached, c.size = raw(bytes.Clone(t.scratch)), int64(len(t.scratch))
	}
	if err := t.noteChange(key); err != nil {
		return err
	}
	t.note(key, c)
	return t.batch.Set(key, t.scratch, nil)
}

func (t *txn) del(key []byte) error {
	if err := t.noteChange(key); err != nil {
		return err
	}
	t.note(key, change{})
	return t.batch.Delete(key, nil)
}

// note makes a change visible to later reads of the batch, and takes the key out of the cache before the first time.
func (t *txn) note(key []byte, c change) {
	if old, ok := t.overlay[string(key)]; ok {
		c.had = old.had
	} else {
		c.had = t.s.cache.touch(key, t.version)
	}
	t.overlay[string(key)] = c
}

// count adds to the counters of the group, and raises its position to at least pos.
func (t *txn) count(g *Group, pos uint64, rows, keys int64) error {
	return t.moved(g, func(p *position) { p.pos, p.rows, p.keys = max(p.pos, pos), p.rows+rows, p.keys+keys })
}

// moved changes the position record of the group.
func (t *txn) moved(g *Group, change func(p *position)) error {
	key := appendHead(nil, g.Prefix, kindPosition)
	p, err := as[position](t.get(g, key, 0))
	if err != nil {
		return err
	}
	next := position{}
	if p != nil {
		next = *p
	}
	change(&next)
	return t.set(key, &next, 0)
}

func appendNode(dst []byte, n *node, start int64) []byte {
	if n.kids != nil {
		return appendTable(append(dst, tagInner), n.kids)
	}
	return appendPack(dst, start, n.rows)
}

// folder computes encoded states of a group's partials. It keeps one state of each for reuse.
type folder struct {
	g      *Group
	states []functions.State
	none   [][]byte // the encodings of empty states
}

func newFolder(g *Group) *folder {
	f := &folder{g: g}
	for i := range g.Partials {
		st := g.Partials[i].Agg.New()
		f.states = append(f.states, st)
		f.none = append(f.none, st.Append(nil))
	}
	return f
}

// batchRows is rows with their view for each partial, made once for many buckets.
type batchRows struct {
	*event.Rows
	in []*functions.Input
}

func (f *folder) rows(r *event.Rows) *batchRows {
	b := &batchRows{Rows: r}
	for i := range f.g.Partials {
		b.in = append(b.in, f.g.Partials[i].Input(r))
	}
	return b
}

// push ends the open state of t with the encoding of state p.
func (f *folder) push(t *table, p int) {
	at := len(t.data)
	t.data = f.states[p].Append(t.data)
	if bytes.Equal(t.data[at:], f.none[p]) {
		t.data = t.data[:at]
	}
	t.close()
}

// fold pushes the states of rows from ≤ i < to.
func (f *folder) fold(t *table, r *batchRows, from, to int) {
	for p := range f.states {
		f.states[p].Reset()
		f.add(p, r, from, to)
		f.push(t, p)
	}
}

func (f *folder) add(p int, r *batchRows, from, to int) {
	part := &f.g.Partials[p]
	for i := from; i < to; i++ {
		if part.Passes(r.Rows, i) {
			f.states[p].Update(r.in[p], i)
		}
	}
}

// retract takes rows from ≤ i < to out of state p, as decoded; false where it cannot and a row counts.
func (f *folder) retract(p int, r *batchRows, from, to int) bool {
	part := &f.g.Partials[p]
	inv, ok := invertible(part, f.states[p])
	checked := false
	for i := from; i < to; i++ {
		if !part.Passes(r.Rows, i) {
			continue
		}
		if !ok || !checked && f.tooLarge(p) {
			return false
		}
		checked = true
		inv.Retract(r.in[p], i)
	}
	return true
}

// tooLarge reports whether state p exceeds max_state: its encoding was then a mark without content, from which no row can be taken.
func (f *folder) tooLarge(p int) bool {
	b, ok := f.states[p].(functions.Bounded)
	return ok && b.TooLarge()
}

// merge adds the encoded state b to state p.
func (f *folder) merge(p int, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	return f.states[p].MergeEncoded(b)
}

// mergeNode adds all rows of a node to state p; all is the rows of a pack.
func (f *folder) mergeNode(p int, n *node, all *batchRows) error {
	if n.kids == nil {
		f.add(p, all, 0, all.N())
		return nil
	}
	for i := range n.kids.n() {
		if err := f.merge(p, n.kids.state(i, p)); err != nil {
			return err
		}
	}
	return nil
}

// nodeStates pushes the states of all rows of a node.
func (f *folder) nodeStates(t *table, n *node) error {
	var all *batchRows
	if n.kids == nil {
		all = f.rows(n.rows)
	}
	for p := range f.states {
		f.states[p].Reset()
		if err := f.mergeNode(p, n, all); err != nil {
			return err
		}
		f.push(t, p)
	}
	return nil
}

// span is rows from ≤ i < to that come or go; all lie in the bucket at hand.
type span struct {
	*batchRows
	from, to int
}

func (s span) empty() bool { return s.from >= s.to }

// update pushes the states of a bucket after rows came and went: old entry i of old (nil: there was none) less del plus ins.
// Where a partial cannot take a row back, its state is computed from after, the bucket as it is now.
func (f *folder) update(t *table, old *table, i int, ins, del span, after *node) error {
	var all *batchRows
	for p := range f.states {
		f.states[p].Reset()
		if old != nil {
			if err := f.merge(p, old.state(i, p)); err != nil {
				return err
			}
		}
		if f.retract(p, del.batchRows, del.from, del.to) {
			f.add(p, ins.batchRows, ins.from, ins.to)
		} else {
			if all == nil && after.kids == nil {
				all = f.rows(after.rows)
			}
			f.states[p].Reset()
			if err := f.mergeNode(p, after, all); err != nil {
				return err
			}
		}
		f.push(t, p)
	}
	return nil
}
