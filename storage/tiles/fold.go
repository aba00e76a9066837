package tiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

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

// AwaitFold waits for the end of a Fold that goes on.
func (s *Store) AwaitFold(g *Group) error {
	w, err := s.waitingOf(g)
	if err != nil {
		return err
	}
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
	var keys [][]byte
	to := w.resume
	if gen != nil {
		keys, to = gen.keys(), max(to, gen.upTo())
	}
	p, err := s.position(s.db, g)
	if err != nil {
		return err
	}
	if p != nil && p.foldTo > 0 {
		to = p.foldTo
		keys = keys[sort.Search(len(keys), func(i int) bool { return bytes.Compare(keys[i], p.through) > 0 }):]
	}
	f := newFolder(g)
	for last := false; !last; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(s.o.FoldKeys, len(keys))
		last = n == len(keys)
		if err := s.update(pebble.NoSync, func(t *txn) error {
			s.instants.Lock()
			forgotten := s.waiting[g.Prefix] != w
			s.instants.Unlock()
			if forgotten {
				return errForgotten
			}
			t.cold = true
			if n < ascendKeys {
				return t.foldSlice(f, gen, keys[:n], to, last)
			}
			a, err := newAscending(s.db, g.Prefix)
			if err != nil {
				return err
			}
			t.from = a
			return errors.Join(t.foldSlice(f, gen, keys[:n], to, last), a.close())
		}); err != nil {
			return err
		}
		keys = keys[n:]
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

// foldSlice applies the rows of some keys, up to position to, and notes how far the fold has come.
func (t *txn) foldSlice(f *folder, gen *generation, keys [][]byte, to uint64, last bool) error {
	g := f.g
	m, err := t.meta(g)
	if err != nil {
		return err
	}
	ends := make([]int, len(keys))
	var found []freshRow
	for i, key := range keys {
		from := len(found)
		found = gen.of(t.s.cache.seed, key, found)
		own := found[from:]
		slices.Reverse(own)
		if !slices.IsSortedFunc(own, compareFresh) {
			slices.SortFunc(own, compareFresh)
		}
		ends[i] = len(found)
	}
	rows := f.rows(gatherFresh(&g.Layout, found))
	none := f.rows(newRows(&g.Layout, 0))
	var grown, more int64
	from := 0
	for i, key := range keys {
		dr, dk, err := t.applyKey(f, m, key, span{rows, from, ends[i]}, span{none, 0, 0})
		if err != nil {
			return fmt.Errorf("key %x: %w", key, err)
		}
		grown, more, from = grown+dr, more+dk, ends[i]
	}
	return t.moved(g, func(p *position) {
		p.rows, p.keys = p.rows+grown, p.keys+more
		if last {
			p.pos, p.foldTo, p.through = max(p.pos, to), 0, nil
		} else {
			p.foldTo, p.through = to, bytes.Clone(keys[len(keys)-1])
		}
	})
}
