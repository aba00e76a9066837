package tiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/event"
)

// batchKeys is how many (key, day) one commit of Settle or Prune changes: so few that Apply waits a millisecond or so for it.
const batchKeys = 64

// SettledThrough is the newest settled day at the newest commit; NotSettled where none is.
func (s *Store) SettledThrough(g *Group) (day int64, err error) {
	m, err := s.metaOf(s.db, g)
	return m.settled, err
}

// RetainedFrom is the first day whose rows are retained; false where all are.
func (s *Store) RetainedFrom(g *Group) (day int64, ok bool, err error) {
	m, err := s.metaOf(s.db, g)
	return m.horizon, err == nil && m.horizon != noDay, err
}

func (s *Store) metaOf(r pebble.Reader, g *Group) (groupMeta, error) {
	m, err := as[groupMeta](s.value(r, g, appendHead(nil, g.Prefix, kindMeta), 0, 0, false))
	if m == nil {
		return groupMeta{settled: noDay, publishing: noDay, horizon: noDay}, err
	}
	return *m, err
}

// update runs fn in a transaction of its own, committed without a sync unless sync is set: what is lost in a crash is a suffix,
// and the caller does it again.
func (s *Store) update(opt *pebble.WriteOptions, fn func(t *txn) error) error {
	b := s.db.NewBatch()
	defer b.Close()
	t := s.begin(b)
	err := fn(t)
	if err == nil {
		err = b.Commit(opt)
	}
	t.finish(err == nil)
	return err
}

// Settle publishes day, and every earlier day not yet published: the states of all keys having rows in them enter the key
// records. It commits batches of its own and may be interrupted and run again. A day is UTC, counted from 1970-01-01. progress,
// if not nil, is told the number of (key, day) done so far.
func (s *Store) Settle(ctx context.Context, g *Group, day int64, progress func(keys int64)) error {
	if day <= noDay || day > 1<<31-2 {
		return fmt.Errorf("%w: day %d", ErrRange, day)
	}
	var from int64
	done := false
	// From this commit on a first row of these days makes the day settled at once, so that the pass below meets every other.
	err := s.update(pebble.NoSync, func(t *txn) error {
		m, err := t.meta(g)
		if err != nil {
			return err
		}
		if from = m.settled + 1; day <= m.settled {
			done = true
			return nil
		}
		n := *m
		n.publishing = max(n.publishing, day)
		return t.set(appendHead(nil, g.Prefix, kindMeta), &n, 0)
	})
	if err != nil || done {
		return err
	}
	lo, hi := appendDayKey(nil, g.Prefix, from, nil), appendDayKey(nil, g.Prefix, day+1, nil)
	if from == noDay+1 {
		lo, _ = kindBounds(g.Prefix, kindDay)
	}
	f := newFolder(g)
	if err := s.eachDay(ctx, lo, hi, progress, func(t *txn, d int64, key []byte) error { return t.settle(f, key, d) }); err != nil {
		return fmt.Errorf("tiles: settling day %d of group %d: %w", day, g.Prefix, err)
	}
	return s.update(pebble.Sync, func(t *txn) error {
		m, err := t.meta(g)
		if err != nil {
			return err
		}
		n := *m
		n.settled = max(n.settled, day)
		return t.set(appendHead(nil, g.Prefix, kindMeta), &n, 0)
	})
}

// eachDay runs fn for the index keys in [lo, hi), batchKeys to a transaction.
func (s *Store) eachDay(ctx context.Context, lo, hi []byte, progress func(int64), fn func(t *txn, day int64, key []byte) error) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return err
	}
	var total int64
	ok := it.First()
	for ok && err == nil {
		if err = ctx.Err(); err != nil {
			break
		}
		err = s.update(pebble.NoSync, func(t *txn) error {
			for n := 0; ok && n < batchKeys; n++ {
				day, key, err := splitDayKey(it.Key())
				if err != nil {
					return err
				}
				if err := fn(t, day, bytes.Clone(key)); err != nil {
					return err
				}
				total++
				ok = it.Next()
			}
			return nil
		})
		if err == nil && progress != nil {
			progress(total)
		}
	}
	return errors.Join(err, it.Close())
}

func (t *txn) settle(f *folder, key []byte, day int64) error {
	r, err := t.record(f.g, key)
	if err != nil || r == nil {
		return err
	}
	at, ok := r.days.find(day)
	if !ok || r.days.meta[at] == 1 {
		return nil // deleted, or settled since the pass began
	}
	w, err := t.tree(f, key, day, r, at)
	if err != nil {
		return err
	}
	root, err := w.need(0, 0)
	if err != nil {
		return err
	}
	pack := t.s.inline(root, w.start)
	switch {
	case pack != nil && w.own:
		err = t.del(w.nodeKey(0, 0))
	case pack == nil && !w.own:
		err = t.set(w.nodeKey(0, 0), root, w.start)
	}
	if err != nil {
		return err
	}
	days := newDays(f.g, r.days.n(), len(r.days.data)+256)
	days.copyFrom(r.days, 0, at)
	days.open(day, 1)
	if err := f.nodeStates(days, root); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	days.push(pack)
	days.copyFrom(r.days, at+1, r.days.n())
	return t.set(appendRecordKey(nil, f.g.Prefix, key), &record{days: days, life: r.life}, 0)
}

// Prune drops the rows of days that no lookup reaches any more: those before the newest settled day less Retain less two days.
// With Lifetime they are folded into their key's cumulative state first. It may be interrupted and run again.
func (s *Store) Prune(ctx context.Context, g *Group) error {
	horizon := int64(noDay)
	// Reads below the horizon fail from this commit on; a key's own rows and its lifetime state change in one commit each.
	err := s.update(pebble.NoSync, func(t *txn) error {
		m, err := t.meta(g)
		if err != nil {
			return err
		}
		horizon = max(s.horizonOf(g, m.settled), m.horizon)
		if horizon == m.horizon {
			return nil
		}
		n := *m
		n.horizon = horizon
		return t.set(appendHead(nil, g.Prefix, kindMeta), &n, 0)
	})
	if err != nil || horizon == noDay {
		return err
	}
	lo, _ := kindBounds(g.Prefix, kindDay)
	hi := appendDayKey(nil, g.Prefix, horizon, nil)
	f := newFolder(g)
	if err := s.eachDay(ctx, lo, hi, nil, func(t *txn, d int64, key []byte) error { return t.prune(f, key, d) }); err != nil {
		return fmt.Errorf("tiles: pruning group %d: %w", g.Prefix, err)
	}
	return nil
}

func (t *txn) prune(f *folder, key []byte, day int64) error {
	g := f.g
	r, err := t.record(g, key)
	if err != nil || r == nil {
		return err
	}
	at, ok := r.days.find(day)
	if !ok {
		return nil
	}
	w, err := t.tree(f, key, day, r, at)
	if err != nil {
		return err
	}
	root, err := w.need(0, 0)
	if err != nil {
		return err
	}
	now := &record{life: r.life, days: newDays(g, r.days.n(), len(r.days.data))}
	if g.Lifetime {
		if now.life, err = w.age(r, at, root); err != nil {
			return err
		}
	}
	now.days.copyFrom(r.days, 0, at)
	now.days.copyFrom(r.days, at+1, r.days.n())
	rows := root.count()
	if err := w.harvest(0, 0, nil); err != nil {
		return err
	}
	if _, err := w.place(nil, true); err != nil {
		return err
	}
	if err := t.batch.Delete(appendDayKey(nil, g.Prefix, day, key), nil); err != nil {
		return err
	}
	_, keys, err := t.setRecord(g, key, now, 0, true)
	if err != nil {
		return err
	}
	return t.count(g, 0, -rows, keys)
}

// age is the lifetime states of r after the day at entry at joined them.
func (w *tree) age(r *record, at int, root *node) (*life, error) {
	f, g := w.f, w.f.g
	first, last := w.start, w.start+(w.t.s.o.Days.Length()-1)
	if root.kids == nil {
		first, last = root.rows.TS[0], root.rows.TS[root.rows.N()-1]
	}
	life := r.life
	if g.era(first) != g.era(last) { // once in the life of a key and a beginning: by rows
		rows := newRows(&g.Layout, int(root.count()))
		if err := w.gather(root, 0, rows); err != nil {
			return nil, err
		}
		all := f.rows(rows)
		for left := (span{all, 0, all.N()}); !left.empty(); {
			era := g.era(left.TS[left.from])
			own := left.era(g, era)
			left.from = own.to
			var err error
			if life, err = life.join(f, era, event.Interval{Lo: own.TS[own.from], Hi: own.TS[own.to-1]}, func(p int) error {
				f.add(p, own.batchRows, own.from, own.to)
				return nil
			}); err != nil {
				return nil, err
			}
		}
		return life, nil
	}
	var all *batchRows
	if root.kids == nil {
		all = f.rows(root.rows)
	}
	return life.join(f, g.era(first), event.Interval{Lo: first, Hi: last}, func(p int) error {
		if r.days.meta[at] == 1 {
			return f.merge(p, r.days.state(at, p))
		}
		return f.mergeNode(p, root, all)
	})
}

// join adds to the states of an era what add adds to state p of the folder.
func (l *life) join(f *folder, era int64, bounds event.Interval, add func(p int) error) (*life, error) {
	return l.put(f, era, bounds, func(to *table) (bool, error) {
		var old *table
		at, had := 0, false
		if l != nil {
			at, had = l.states.find(era)
			old = l.states
		}
		for p := range f.states {
			f.states[p].Reset()
			if had {
				if err := f.merge(p, old.state(at, p)); err != nil {
					return false, fmt.Errorf("%w: %w", ErrCorrupt, err)
				}
			}
			if err := add(p); err != nil {
				return false, fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
			f.push(to, p)
		}
		return true, nil
	})
}

// gather appends the rows below n, a node of a level, to dst.
func (w *tree) gather(n *node, level int, dst *event.Rows) error {
	if n.kids == nil {
		appendRows(dst, n.rows, 0, n.rows.N())
		return nil
	}
	for _, child := range n.kids.ids {
		c, err := w.need(level+1, child)
		if err != nil {
			return err
		}
		if err := w.gather(c, level+1, dst); err != nil {
			return err
		}
	}
	return nil
}
