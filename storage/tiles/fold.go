package tiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"sort"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Fold takes the rows of a group that are fresh when it begins to its tiles, in commits of its own, unsynced, key after key: what is lost
// in a crash is a suffix, and the rest is folded once the caller has given the rows again. It may be interrupted and run again.
func (s *Store) Fold(ctx context.Context, g *Group) error {
	w, err := s.waitingOf(g)
	if err != nil {
		return err
	}
	w.fold.Lock()
	defer w.fold.Unlock()
	gen, waits := s.freeze(g.Prefix, w)
	if !waits {
		return nil
	}
	if err := s.foldGeneration(ctx, g, w, gen); err != nil && !errors.Is(err, errForgotten) {
		return fmt.Errorf("tiles: folding fresh rows of group %d: %w", g.Prefix, err)
	}
	return nil
}

// FoldAll is Fold until no rows are fresh. Nobody calls Add for the group meanwhile.
func (s *Store) FoldAll(ctx context.Context, g *Group) error {
	for {
		_, _, waits, err := s.Fresh(g)
		if err != nil || !waits {
			return err
		}
		if err := s.Fold(ctx, g); err != nil {
			return err
		}
	}
}

// AwaitFold waits for the end of a Fold that goes on, which makes haste from then on.
func (s *Store) AwaitFold(g *Group) error {
	w, err := s.waitingOf(g)
	if err != nil {
		return err
	}
	w.awaited.Add(1)
	defer w.awaited.Add(-1)
	w.fold.Lock()
	defer w.fold.Unlock()
	return nil
}

// freeze is the generation to fold, to which nobody adds any more; nil where none of a fold that was cut short is left. It waits for the
// outcome of the batch in flight.
func (s *Store) freeze(prefix uint32, w *waiting) (gen *generation, waits bool) {
	w.pending.Lock()
	defer w.pending.Unlock()
	s.instants.Lock()
	defer s.instants.Unlock()
	if s.waiting[prefix] != w {
		return nil, false
	}
	gens := s.fresh[prefix]
	if gens.folding == nil && w.resume == 0 && gens.growing != nil {
		gens = generations{folding: gens.growing}
		s.setGenerations(prefix, gens)
	}
	return gens.folding, gens.folding != nil || w.resume > 0
}

func (s *Store) foldGeneration(ctx context.Context, g *Group, w *waiting, gen *generation) error {
	order, to := &byKey{}, w.resume
	if gen != nil {
		order, to = gen.byKey(), max(to, gen.upTo())
	}
	p, err := s.position(s.db, g)
	if err != nil {
		return err
	}
	keys := order.all()
	if p != nil && p.foldTo > 0 {
		to = p.foldTo
		keys.from = sort.Search(len(order.keys), func(i int) bool { return bytes.Compare(order.keys[i], p.through) > 0 })
	}
	folders := []*folder{newFolder(g)}
	for last := false; !last; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if w.awaited.Load() > 0 && len(folders) == 1 {
			for range min(runtime.GOMAXPROCS(0), foldParts) - 1 {
				folders = append(folders, newFolder(g))
			}
		}
		slice := keys.first(s.o.FoldKeys)
		last = slice.to == keys.to
		if err := s.update(pebble.NoSync, func(t *txn) error {
			s.instants.Lock()
			forgotten := s.waiting[g.Prefix] != w
			s.instants.Unlock()
			if forgotten {
				return errForgotten
			}
			t.cold = true
			return t.foldSlice(folders, slice, to, last)
		}); err != nil {
			return err
		}
		keys.from = slice.to
	}
	s.instants.Lock()
	defer s.instants.Unlock()
	if s.waiting[g.Prefix] == w {
		w.resume = 0
		gens := s.fresh[g.Prefix]
		gens.folding = nil
		s.setGenerations(g.Prefix, gens)
		s.forgetInstant()
	}
	return nil
}

// someKeys is the keys from ≤ i < to of an order.
type someKeys struct {
	*byKey
	from, to int
}

func (o *byKey) all() someKeys { return someKeys{o, 0, len(o.keys)} }

func (k someKeys) n() int { return k.to - k.from }

// first is the first n keys at most.
func (k someKeys) first(n int) someKeys { return someKeys{k.byKey, k.from, min(k.to, k.from+n)} }

// foldParts is how many parts of a slice of keys are made at once, at most, where somebody waits for the fold.
const foldParts = 4

// foldSlice applies the rows of some keys, up to position to, and notes how far the fold has come. There is a part for each folder.
func (t *txn) foldSlice(folders []*folder, keys someKeys, to uint64, last bool) error {
	g := folders[0].g
	m, err := t.meta(g)
	if err != nil {
		return err
	}
	var grown, more int64
	if len(folders) == 1 || keys.n() < len(folders)*ascendKeys || t.s.journal.on.Load() {
		grown, more, err = t.foldKeys(folders[0], m, keys)
	} else {
		grown, more, err = t.foldTogether(folders, m, keys)
	}
	if err != nil {
		return err
	}
	return t.moved(g, func(p *position) {
		p.rows, p.keys = p.rows+grown, p.keys+more
		if last {
			p.pos, p.foldTo, p.through = max(p.pos, to), 0, nil
		} else {
			p.foldTo, p.through = to, bytes.Clone(keys.keys[keys.to-1])
		}
	})
}

// foldTogether is foldKeys in parts, each in a transaction within this one: what is of one key is of one part.
func (t *txn) foldTogether(folders []*folder, m *groupMeta, keys someKeys) (rows, more int64, err error) {
	type part struct {
		t          *txn
		rows, keys int64
		err        error
	}
	parts := make([]part, len(folders))
	var all sync.WaitGroup
	for i := range parts {
		p := &parts[i]
		p.t = &txn{s: t.s, batch: t.s.db.NewBatch(), version: t.version, overlay: map[string]change{}, from: t.from, cold: t.cold}
		own := someKeys{keys.byKey, keys.from + i*keys.n()/len(parts), keys.from + (i+1)*keys.n()/len(parts)}
		all.Go(func() { p.rows, p.keys, p.err = p.t.foldKeys(folders[i], m, own) })
	}
	all.Wait()
	for i := range parts {
		p := &parts[i]
		if err == nil {
			if err = p.err; err == nil {
				err = t.batch.Apply(p.t.batch, nil)
			}
			maps.Copy(t.overlay, p.t.overlay)
			rows, more = rows+p.rows, more+p.keys
		}
		err = errors.Join(err, p.t.batch.Close())
	}
	return rows, more, err
}

// foldKeys applies the rows of some keys, and says by how many rows and keys the tiles grew.
func (t *txn) foldKeys(f *folder, m *groupMeta, keys someKeys) (grown, more int64, err error) {
	g := f.g
	if keys.n() >= ascendKeys {
		a, failed := newAscending(t.s.db, g.Prefix)
		if failed != nil {
			return 0, 0, failed
		}
		from := t.from
		t.from = a
		defer func() {
			t.from = from
			err = errors.Join(err, a.close())
		}()
	}
	for i := keys.from; i < keys.to; i++ {
		own := keys.part(keys.start(i), keys.ends[i])
		own.sort()
	}
	start := keys.start(keys.from)
	all := keys.part(start, keys.start(keys.to))
	rows := f.rows(all.gather(&g.Layout))
	none := f.rows(newRows(&g.Layout, 0))
	for i := keys.from; i < keys.to; i++ {
		key := keys.keys[i]
		dr, dk, err := t.applyKey(f, m, key, span{rows, keys.start(i) - start, keys.ends[i] - start}, span{none, 0, 0})
		if err != nil {
			return 0, 0, fmt.Errorf("key %x: %w", key, err)
		}
		grown, more = grown+dr, more+dk
	}
	return grown, more, nil
}
