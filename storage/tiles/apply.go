package tiles

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/event"
)

// Apply writes to b what the group's tiles become when rows are deleted and inserted at position pos. Deleted rows are given in
// full; either Rows may be nil; neither needs an order. A row in both never was. Later calls with the same batch see earlier ones.
//
// The caller then commits b, or drops it, and calls done — of any one of the batch's calls — with the outcome; until then other
// writers wait, and a goroutine that begins a second batch waits for ever. On an error done is nil, the transaction is over and b
// must be dropped. Errors: ErrNoRow, ErrRange, ErrCorrupt, those of Pebble.
func (s *Store) Apply(b *pebble.Batch, g *Group, pos uint64, deletes, inserts *event.Rows) (done func(committed bool), err error) {
	t := s.begin(b)
	if err := t.apply(g, pos, deletes, inserts); err != nil {
		t.finish(false)
		return nil, err
	}
	return t.finish, nil
}

func (t *txn) apply(g *Group, pos uint64, deletes, inserts *event.Rows) error {
	if err := errors.Join(checkRows(deletes), checkRows(inserts)); err != nil {
		return err
	}
	f := newFolder(g)
	m, err := t.meta(g)
	if err != nil {
		return err
	}
	ins, del := sorted(g, inserts), sorted(g, deletes)
	cancel(ins, del)
	insRows, delRows := f.rows(ins.rows), f.rows(del.rows)
	var rows, keys int64
	for i, d := 0, 0; i < len(ins.key) || d < len(del.key); {
		var key []byte
		switch {
		case d == len(del.key) || i < len(ins.key) && bytes.Compare(ins.key[i], del.key[d]) <= 0:
			key = ins.key[i]
		default:
			key = del.key[d]
		}
		ie, de := ins.end(i, key), del.end(d, key)
		dr, dk, err := t.applyKey(f, m, key, span{insRows, i, ie}, span{delRows, d, de})
		if err != nil {
			return fmt.Errorf("tiles: group %d, key %x: %w", g.Prefix, key, err)
		}
		rows, keys = rows+dr, keys+dk
		i, d = ie, de
	}
	return t.count(g, pos, rows, keys)
}

// keyed is rows by (key, order), with the key of each.
type keyed struct {
	key  [][]byte
	rows *event.Rows
}

func sorted(g *Group, r *event.Rows) *keyed {
	k := &keyed{}
	if r == nil || r.N() == 0 {
		k.rows = newRows(&g.Layout, 0)
		return k
	}
	order := make([]int, r.N())
	for i := range order {
		order[i] = i
	}
	compare := func(a, b int) int {
		if c := bytes.Compare(r.Key.Bytes(a), r.Key.Bytes(b)); c != 0 {
			return c
		}
		return event.Compare(r, a, r, b)
	}
	for _, i := range order {
		k.key = append(k.key, r.Key.Bytes(i))
	}
	if slices.IsSortedFunc(order, compare) {
		k.rows = r
		return k
	}
	slices.SortFunc(order, compare)
	k.rows = newRows(&g.Layout, r.N())
	for at, i := range order {
		appendRows(k.rows, r, i, i+1)
		k.key[at] = r.Key.Bytes(i)
	}
	return k
}

// end is the end of the run of key that starts at i.
func (k *keyed) end(i int, key []byte) int {
	for i < len(k.key) && bytes.Equal(k.key[i], key) {
		i++
	}
	return i
}

// cancel takes out the rows that are in both. A state would otherwise be asked to take back what it never had.
func cancel(ins, del *keyed) {
	if len(ins.key) == 0 || len(del.key) == 0 {
		return
	}
	keepI, keepD := make([]bool, len(ins.key)), make([]bool, len(del.key))
	hits := 0
	i, d := 0, 0
	for i < len(ins.key) && d < len(del.key) {
		c := bytes.Compare(ins.key[i], del.key[d])
		if c == 0 {
			c = event.Compare(ins.rows, i, del.rows, d)
		}
		switch {
		case c < 0:
			keepI[i] = true
			i++
		case c > 0:
			keepD[d] = true
			d++
		default:
			i, d, hits = i+1, d+1, hits+1
		}
	}
	if hits == 0 {
		return
	}
	for ; i < len(keepI); i++ {
		keepI[i] = true
	}
	for ; d < len(keepD); d++ {
		keepD[d] = true
	}
	ins.keep(keepI)
	del.keep(keepD)
}

func (k *keyed) keep(which []bool) {
	src, key := k.rows, k.key
	dst := &event.Rows{Key: src.Key}
	if src.Tie != nil {
		dst.Tie = newLike(src.Tie)
	}
	for _, c := range src.Cols {
		dst.Cols = append(dst.Cols, newLike(c))
	}
	k.rows, k.key = dst, nil
	for i, ok := range which {
		if ok {
			appendRows(dst, src, i, i+1)
			k.key = append(k.key, key[i])
		}
	}
}

// applyKey changes one key; all rows of ins and del are its. It returns by how much rows and keys grew.
func (t *txn) applyKey(f *folder, m *groupMeta, key []byte, ins, del span) (rows, keys int64, err error) {
	g := f.g
	rec, err := t.record(g, key)
	if err != nil {
		return 0, 0, err
	}
	had := rec != nil
	if !had {
		rec = &record{days: newTable(len(g.Partials), 0, 0)}
	}
	now := rec // replaced, not changed, where the record changes
	for !ins.empty() || !del.empty() {
		day := int64(1) << 40
		if !ins.empty() {
			day = event.DayOf(ins.TS[ins.from])
		}
		if !del.empty() {
			day = min(day, event.DayOf(del.TS[del.from]))
		}
		di, dd := ins.before(dayStart(day)+event.Day, day), del.before(dayStart(day)+event.Day, day)
		ins.from, del.from = di.to, dd.to
		at, known := now.days.find(day)
		if !known && day < m.horizon {
			if !g.Lifetime {
				continue // pruned, and no read reaches so far down
			}
			if now, err = t.fold(f, now, key, di, dd); err != nil {
				return 0, 0, err
			}
			continue
		}
		w := &tree{t: t, f: f, key: key, day: day}
		root, err := w.change(0, 0, di, dd)
		if err != nil {
			return 0, 0, err
		}
		rows += int64(di.to-di.from) - int64(dd.to-dd.from)
		settled := known && now.days.meta[at] == 1
		if !known && root != nil {
			settled = day <= m.publishing
			if err := t.set1(appendDayKey(nil, g.Prefix, day, key)); err != nil {
				return 0, 0, err
			}
		}
		if known && root == nil {
			if err := t.batch.Delete(appendDayKey(nil, g.Prefix, day, key), nil); err != nil {
				return 0, 0, err
			}
		}
		if known && root != nil && !settled || !known && root == nil {
			continue // the record says of an unsettled day only that it has rows
		}
		days := newTable(len(g.Partials), now.days.n()+1, len(now.days.data)+256)
		days.copyFrom(now.days, 0, at)
		if root != nil {
			var old *table
			if known {
				old = now.days
			}
			if settled {
				days.open(day, 1)
				if err := f.update(days, old, at, di, dd, root); err != nil {
					return 0, 0, fmt.Errorf("%w: %w", ErrCorrupt, err)
				}
			} else {
				days.open(day, 0)
				days.empty()
			}
		}
		if known {
			at++
		}
		days.copyFrom(now.days, at, now.days.n())
		now = &record{days: days, life: now.life}
	}
	if now == rec {
		return rows, 0, nil
	}
	return t.setRecord(g, key, now, rows, had)
}

// setRecord writes a key's record, or deletes it where it says nothing any more.
func (t *txn) setRecord(g *Group, key []byte, r *record, rows int64, had bool) (int64, int64, error) {
	k := appendRecordKey(nil, g.Prefix, key)
	switch {
	case r.days.n() > 0 || r.life != nil:
		if had {
			return rows, 0, t.set(k, r, 0)
		}
		return rows, 1, t.set(k, r, 0)
	case had:
		return rows, -1, t.del(k)
	}
	return rows, 0, nil
}

// set1 writes an index key, which has no value and is never cached.
func (t *txn) set1(key []byte) error { return t.batch.Set(key, nil, nil) }

// fold adds late rows of pruned days to the lifetime state, and takes deleted ones out.
func (t *txn) fold(f *folder, r *record, key []byte, ins, del span) (*record, error) {
	l := &life{min: 1<<63 - 1, max: -1 << 63, states: newTable(len(f.states), 1, 256)}
	var old *table
	if r.life != nil {
		l.min, l.max, l.broken, old = r.life.min, r.life.max, r.life.broken, r.life.states
	} else if ins.empty() {
		return nil, fmt.Errorf("%w: row %d at %d, of a pruned day", ErrNoRow, del.RowID[del.from], del.TS[del.from])
	}
	if !ins.empty() {
		l.min, l.max = min(l.min, ins.TS[ins.from]), max(l.max, ins.TS[ins.to-1])
	}
	lost := l.broken
	l.states.open(0, 0)
	for p := 0; p < len(f.states) && !lost; p++ {
		f.states[p].Reset()
		if old != nil {
			if err := f.merge(p, old.state(0, p)); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
		}
		lost = !f.retract(p, del.batchRows, del.from, del.to)
		f.add(p, ins.batchRows, ins.from, ins.to)
		f.push(l.states, p)
	}
	if lost {
		if !l.broken {
			t.rebuild = append(t.rebuild, rebuildKey{f.g, bytes.Clone(key)})
		}
		l.broken, l.states = true, brokenStates(len(f.states))
	}
	return &record{days: r.days, life: l}, nil
}

// brokenStates is the entry of a lifetime state that is of no use: states of no rows, which take no space and always decode.
func brokenStates(partials int) *table {
	t := newTable(partials, 1, 0)
	t.open(0, 0)
	t.empty()
	return t
}
