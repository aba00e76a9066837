package tiles

import (
	"fmt"
	"math"
	"sort"

	"github.com/tilehouse/tilehouse/storage/event"
)

// shifts are the widths of buckets by level, as powers of two of microseconds; level 0 is the day. A child's bucket number is
// the offset in the day >> its level's shift.
var shifts = [...]int{39, 31, 26, 21, 16, 11, 6, 0}

const lastLevel = len(shifts) - 1

// A day is within the one bucket of level 0: this would not compile otherwise.
const _ = uint(1<<39 - event.Day)

// bucketStart is the first microsecond of a bucket.
func (s *Store) bucketStart(day int64, level int, bucket int64) int64 {
	return s.o.Days.Start(day) + bucket<<shifts[level]
}

// packRows is how many rows a pack at level may hold.
func (s *Store) packRows(level int) int {
	switch {
	case level == lastLevel || s.o.NoLevels:
		return math.MaxInt
	case s.o.NoPacks:
		return 1
	}
	return s.o.PackRows
}

// collapseRows is at how many rows an inner node becomes a pack again: well below packRows, so that a node at the bound does not
// change its form with every row.
func (s *Store) collapseRows(level int) int64 { return int64(s.packRows(level)) / 4 }

// sink takes the nodes of a tree.
type sink func(day int64, level int, bucket int64, n *node) error

// grow builds the tree of sorted rows from ≤ i < to, all in the bucket, and gives its nodes to out, children first. It returns
// the bucket's node.
func (s *Store) grow(f *folder, r *batchRows, from, to int, day int64, level int, bucket int64, out sink) (*node, error) {
	n, start := &node{}, s.o.Days.Start(day)
	if to-from <= s.packRows(level) {
		n.rows = newRows(&f.g.Layout, to-from)
		appendRows(n.rows, r.Rows, from, to)
		return n, out(day, level, bucket, n)
	}
	n.kids = newTable(len(f.states), 8, 256)
	for from < to {
		child := (r.TS[from] - start) >> shifts[level+1]
		end := from + sort.Search(to-from, func(i int) bool { return (r.TS[from+i]-start)>>shifts[level+1] > child })
		if _, err := s.grow(f, r, from, end, day, level+1, child, out); err != nil {
			return nil, err
		}
		n.kids.open(child, int64(end-from))
		f.fold(n.kids, r, from, end)
		from = end
	}
	return n, out(day, level, bucket, n)
}

// tree is the tree of one key and day within a transaction. Its root is a value of its own, or a pack that the key record holds;
// place decides which, after a change.
type tree struct {
	t     *txn
	f     *folder
	key   []byte
	day   int64
	start int64 // of the day
	root  *node // the root that the record holds; nil: it is a value of its own, or is not there
	own   bool  // the root is a value of its own
	none  bool  // the day has no rows yet
}

// tree opens the tree of a day. The record has the day at entry at; below 0: it has not.
func (t *txn) tree(f *folder, key []byte, day int64, r *record, at int) (*tree, error) {
	w := &tree{t: t, f: f, key: key, day: day, start: t.s.o.Days.Start(day)}
	if at < 0 {
		w.none = true
		return w, nil
	}
	b := r.pack(at)
	if w.own = len(b) == 0; w.own {
		return w, nil
	}
	rows, err := decodePack(&f.g.Layout, w.start, b, nil)
	if err != nil {
		return nil, err
	}
	w.root = &node{rows: rows}
	return w, nil
}

// place writes what became of the tree, whose root is now n (nil: no row is left), and returns the pack that the record is to
// hold, nil for none. The small pack of a day that is settled, or new to the record, goes there (inline): a lookup then reads it
// with the states. That of a day that goes on changing does not, so that a row does not cost the whole record.
func (w *tree) place(n *node, inline bool) (pack []byte, err error) {
	if inline && n != nil {
		pack = w.t.s.inline(n, w.start)
	}
	key := w.nodeKey(0, 0)
	switch {
	case n != nil && pack == nil:
		return nil, w.t.set(key, n, w.start)
	case w.own:
		return pack, w.t.del(key)
	}
	return pack, nil
}

// inline is the encoding of a root that the record may hold, nil for one that it may not.
func (s *Store) inline(n *node, start int64) []byte {
	if n.kids != nil || n.count() > inlineBytes || s.o.NoInline {
		return nil
	}
	if b := appendPack(nil, start, n.rows); len(b) <= inlineBytes {
		return b
	}
	return nil
}

func (w *tree) nodeKey(level int, bucket int64) []byte {
	return appendNodeKey(nil, w.f.g.Prefix, w.key, w.day, level, bucket)
}

func (w *tree) load(level int, bucket int64) (*node, error) {
	if level == 0 && (w.none || w.root != nil) {
		return w.root, nil
	}
	return as[node](w.t.get(w.f.g, w.nodeKey(level, bucket), w.t.s.bucketStart(w.day, level, bucket)))
}

// need is load of a node that a parent names.
func (w *tree) need(level int, bucket int64) (*node, error) {
	n, err := w.load(level, bucket)
	if err == nil && n == nil {
		err = fmt.Errorf("%w: missing bucket %d of level %d of day %d", ErrCorrupt, bucket, level, w.day)
	}
	return n, err
}

// save writes a node; the root waits for place.
func (w *tree) save(_ int64, level int, bucket int64, n *node) error {
	if level == 0 {
		return nil
	}
	return w.t.set(w.nodeKey(level, bucket), n, w.t.s.bucketStart(w.day, level, bucket))
}

// drop deletes a node; the root waits for place.
func (w *tree) drop(level int, bucket int64) error {
	if level == 0 {
		return nil
	}
	return w.t.del(w.nodeKey(level, bucket))
}

// change adds the rows ins and takes away the rows del, both sorted, of a bucket. It returns the bucket's node, nil where no row
// is left. The caller gives the root to place.
func (w *tree) change(level int, bucket int64, ins, del span) (*node, error) {
	n, err := w.load(level, bucket)
	if err != nil {
		return nil, err
	}
	if n == nil || n.kids == nil {
		return w.changePack(n, level, bucket, ins, del)
	}
	old, kids := n.kids, newTable(len(w.f.states), n.kids.n()+1, len(n.kids.data)+256)
	done := 0 // entries of old that kids has
	for !ins.empty() || !del.empty() {
		child := int64(math.MaxInt64)
		if !ins.empty() {
			child = (ins.TS[ins.from] - w.start) >> shifts[level+1]
		}
		if !del.empty() {
			child = min(child, (del.TS[del.from]-w.start)>>shifts[level+1])
		}
		end := w.t.s.bucketStart(w.day, level+1, child+1)
		ci, cd := ins.before(end, w.start), del.before(end, w.start)
		ins.from, del.from = ci.to, cd.to
		at, had := old.find(child)
		kids.copyFrom(old, done, at)
		done = at
		c, err := w.change(level+1, child, ci, cd)
		if err != nil {
			return nil, err
		}
		var before *table
		if had {
			before, done = old, at+1
		}
		if c == nil {
			continue
		}
		kids.open(child, c.count())
		if err := w.f.update(kids, before, at, ci, cd, c); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	}
	kids.copyFrom(old, done, old.n())
	n = &node{kids: kids}
	if n.count() > w.t.s.collapseRows(level) && kids.n() > 0 {
		return n, w.save(w.day, level, bucket, n)
	}
	rows := newRows(&w.f.g.Layout, int(n.count()))
	for i, child := range kids.ids {
		if err := w.harvest(level+1, child, rows); err != nil {
			return nil, fmt.Errorf("child %d: %w", i, err)
		}
	}
	if rows.N() == 0 {
		return nil, w.drop(level, bucket)
	}
	n = &node{rows: rows}
	return n, w.save(w.day, level, bucket, n)
}

// before is the part of s before end, a time in or just after the day that begins at start.
func (s span) before(end, start int64) span {
	if s.empty() {
		return s
	}
	n := sort.Search(s.to-s.from, func(i int) bool { return s.TS[s.from+i]-start >= end-start })
	return span{s.batchRows, s.from, s.from + n}
}

// harvest moves the rows of a bucket to dst and deletes its nodes; the root waits for place.
func (w *tree) harvest(level int, bucket int64, dst *event.Rows) error {
	n, err := w.need(level, bucket)
	if err != nil {
		return err
	}
	if n.kids == nil {
		if dst != nil {
			appendRows(dst, n.rows, 0, n.rows.N())
		}
	} else {
		for _, child := range n.kids.ids {
			if err := w.harvest(level+1, child, dst); err != nil {
				return err
			}
		}
	}
	return w.drop(level, bucket)
}

// changePack is change of a bucket that is a pack, or empty.
func (w *tree) changePack(n *node, level int, bucket int64, ins, del span) (*node, error) {
	old := &event.Rows{}
	if n != nil {
		old = n.rows
	}
	rows := newRows(&w.f.g.Layout, old.N()+ins.to-ins.from)
	for i := 0; ; {
		next := ins.from
		var src *event.Rows
		switch {
		case i < old.N() && (ins.empty() || event.Compare(old, i, ins.Rows, ins.from) <= 0):
			// Runs of old rows are copied as whole buffers.
			end := i + 1
			if ins.empty() && del.empty() {
				end = old.N()
			} else {
				for end < old.N() && (ins.empty() || event.Compare(old, end, ins.Rows, ins.from) <= 0) &&
					(del.empty() || old.TS[end] < del.TS[del.from]) && (del.empty() || old.TS[i] < del.TS[del.from]) {
					end++
				}
			}
			if end == i+1 && !del.empty() && same(old, i, del.Rows, del.from) {
				del.from++
			} else {
				appendRows(rows, old, i, end)
			}
			i = end
			continue
		case !ins.empty():
			src = ins.Rows
			for ins.from++; del.empty() && !ins.empty() && (i == old.N() || event.Compare(old, i, src, ins.from) > 0); {
				ins.from++
			}
		}
		if src == nil {
			break
		}
		if !del.empty() && same(src, next, del.Rows, del.from) {
			del.from++
			continue
		}
		appendRows(rows, src, next, ins.from)
	}
	if !del.empty() {
		return nil, fmt.Errorf("%w: group %d, row %d at %d", ErrNoRow, w.f.g.Prefix, del.RowID[del.from], del.TS[del.from])
	}
	switch {
	case rows.N() == 0:
		if n == nil {
			return nil, nil
		}
		return nil, w.drop(level, bucket)
	case rows.N() > w.t.s.packRows(level):
		return w.t.s.grow(w.f, w.f.rows(rows), 0, rows.N(), w.day, level, bucket, w.save)
	}
	n = &node{rows: rows}
	return n, w.save(w.day, level, bucket, n)
}

// same reports whether two rows are one row version.
func same(a *event.Rows, i int, b *event.Rows, j int) bool {
	return a.TS[i] == b.TS[j] && a.RowID[i] == b.RowID[j]
}
