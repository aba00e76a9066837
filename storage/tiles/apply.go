package tiles

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

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
	if _, _, waits, err := s.Fresh(g); err != nil || waits {
		return nil, errors.Join(err, fmt.Errorf("tiles: group %d has fresh rows", g.Prefix))
	}
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
		rec = &record{days: newDays(g, 0, 0)}
	}
	now, days := rec, t.s.o.Days // replaced, not changed, where the record changes
	for !ins.empty() || !del.empty() {
		day := int64(math.MaxInt64)
		if !ins.empty() {
			day = days.Of(ins.TS[ins.from])
		}
		if !del.empty() {
			day = min(day, days.Of(del.TS[del.from]))
		}
		start := days.Start(day)
		di, dd := ins.before(start+days.Length(), start), del.before(start+days.Length(), start)
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
		if now, err = t.applyDay(f, m, key, now, day, at, known, di, dd); err != nil {
			return 0, 0, err
		}
		rows += int64(di.to-di.from) - int64(dd.to-dd.from)
	}
	if now == rec {
		return rows, 0, nil
	}
	return t.setRecord(g, key, now, rows, had)
}

// applyDay changes one day of a key, which the record has at entry at, or would have, and returns the record as it is then.
func (t *txn) applyDay(f *folder, m *groupMeta, key []byte, now *record, day int64, at int, known bool, ins, del span) (*record, error) {
	g, entry := f.g, -1
	if known {
		entry = at
	}
	w, err := t.tree(f, key, day, now, entry)
	if err != nil {
		return nil, err
	}
	root, err := w.change(0, 0, ins, del)
	if err != nil || !known && root == nil {
		return now, err
	}
	settled := known && now.days.meta[at] == 1 || !known && day <= m.publishing
	pack, err := w.place(root, settled || !known)
	if err != nil {
		return nil, err
	}
	switch {
	case !known:
		err = t.set1(appendDayKey(nil, g.Prefix, day, key))
	case root == nil:
		err = t.batch.Delete(appendDayKey(nil, g.Prefix, day, key), nil)
	case !settled && w.own:
		return now, nil // the record says of such a day only that it has rows
	}
	if err != nil {
		return nil, err
	}
	next := newDays(g, now.days.n()+1, len(now.days.data)+256)
	next.copyFrom(now.days, 0, at)
	switch {
	case root == nil:
	case settled:
		var old *table
		if known {
			old = now.days
		}
		next.open(day, 1)
		if err := f.update(next, old, at, ins, del, root); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		next.push(pack)
	default:
		next.open(day, 0)
		next.rowsOnly(pack)
	}
	if known {
		at++
	}
	next.copyFrom(now.days, at, now.days.n())
	return &record{days: next, life: now.life}, nil
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

// fold adds late rows of pruned days to the lifetime states, and takes deleted ones out.
func (t *txn) fold(f *folder, r *record, key []byte, ins, del span) (*record, error) {
	life := r.life
	for !ins.empty() || !del.empty() {
		era := int64(math.MaxInt64)
		if !ins.empty() {
			era = f.g.era(ins.TS[ins.from])
		}
		if !del.empty() {
			era = min(era, f.g.era(del.TS[del.from]))
		}
		ei, ed := ins.era(f.g, era), del.era(f.g, era)
		ins.from, del.from = ei.to, ed.to
		var old *table
		at, had := 0, false
		if life != nil {
			at, had = life.states.find(era)
			old = life.states
		}
		bounds := event.Interval{Lo: math.MaxInt64, Hi: math.MinInt64}
		if !ei.empty() {
			bounds = event.Interval{Lo: ei.TS[ei.from], Hi: ei.TS[ei.to-1]}
		}
		if !had && ei.empty() {
			return nil, fmt.Errorf("%w: row %d at %d, of a pruned day", ErrNoRow, ed.RowID[ed.from], ed.TS[ed.from])
		}
		next, err := life.put(f, era, bounds, func(to *table) (whole bool, err error) {
			for p := range f.states {
				f.states[p].Reset()
				if had {
					if err := f.merge(p, old.state(at, p)); err != nil {
						return false, fmt.Errorf("%w: %w", ErrCorrupt, err)
					}
				}
				if !f.retract(p, ed.batchRows, ed.from, ed.to) {
					return false, t.set1(appendBrokenKey(nil, f.g.Prefix, key))
				}
				f.add(p, ei.batchRows, ei.from, ei.to)
				f.push(to, p)
			}
			return true, nil
		})
		if err != nil {
			return nil, err
		}
		life = next
	}
	return &record{days: r.days, life: life}, nil
}

// era is the part of s in an era, where s begins there or later.
func (s span) era(g *Group, era int64) span {
	if s.empty() {
		return s
	}
	n := sort.Search(s.to-s.from, func(i int) bool { return g.era(s.TS[s.from+i]) > era })
	return span{s.batchRows, s.from, s.from + n}
}

// put replaces the states of an era, whose rows' event times now also span bounds, ends included. fill pushes the states, one a
// partial; where it is not whole, or the state was broken before, the state is broken. l may be nil.
func (l *life) put(f *folder, era int64, bounds event.Interval, fill func(to *table) (whole bool, err error)) (*life, error) {
	if l == nil {
		l = &life{states: newTable(len(f.states), 0, 0)}
	}
	at, had := l.states.find(era)
	after := at
	one := newTable(len(f.states), 1, 256)
	one.open(era, 0)
	whole := true
	if had {
		after++
		bounds.Lo, bounds.Hi = min(bounds.Lo, l.min[at]), max(bounds.Hi, l.max[at])
		whole = l.states.meta[at] == 0
	}
	if whole {
		var err error
		if whole, err = fill(one); err != nil {
			return nil, err
		}
	}
	if !whole { // states of no rows take no space and always decode
		one = newTable(len(f.states), 1, 0)
		one.open(era, 1)
		one.empty()
	}
	next := &life{states: newTable(len(f.states), l.states.n()+1, len(l.states.data)+len(one.data)),
		min: slices.Concat(l.min[:at], []int64{bounds.Lo}, l.min[after:]), max: slices.Concat(l.max[:at], []int64{bounds.Hi}, l.max[after:])}
	next.states.copyFrom(l.states, 0, at)
	next.states.copyFrom(one, 0, 1)
	next.states.copyFrom(l.states, after, l.states.n())
	return next, nil
}
