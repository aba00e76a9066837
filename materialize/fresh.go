package materialize

import (
	"context"
	"errors"
	"time"

	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

const (
	// DefaultFreshRows is how many rows a commit inserts at least that are kept fresh. A smaller one changes the tiles in its own batch, in
	// some milliseconds, so that a group whose rows come slowly has none that are fresh.
	DefaultFreshRows = 1024
	// foldRows is how many rows of a group are fresh before they are folded. Many rows of a key cost little more than one; after a start
	// they are read from the log anew. Twice as many make commits wait.
	foldRows = 4 << 20
	// foldChain is how many rows of one key are fresh before all are folded: a lookup of the key folds them for itself.
	foldChain = 4096
	// foldIdle is how long after the last commit that had fresh rows they are folded, however few there are.
	foldIdle = time.Second
)

// toApply is a group and the changes of one batch of the committer that its tiles get.
type toApply struct {
	group   *Group
	cat     *schema.Catalog
	changes []*reclog.Applied
	fresh   bool // they are kept in front of the tiles
	lacks   bool // others of the batch are not among them
}

// toApply finds the groups that a batch changes. Where it deletes rows of one, those that are fresh are folded: only the tiles can
// take a row back.
func (m *Manager) toApply(ctx context.Context, changes []reclog.Applied) ([]toApply, error) {
	var out []toApply
	for _, g := range *m.live.Load() {
		cat := m.catalogOf(g)
		r, err := baseOf(cat, g.Schema.Relation)
		if g.Tiles == nil || err != nil { // its relation is being dropped, where there is none
			m.recent.forget(g.Schema.ID)
			continue
		}
		t := toApply{group: g, cat: cat}
		for i := range changes {
			c := &changes[i]
			switch {
			case c.Source != reclog.SourceID(r.ID):
			case m.overtaken.serves(g.Schema.ID, c.Position):
				t.changes = append(t.changes, c)
			default:
				t.lacks = true
			}
		}
		if len(t.changes) == 0 {
			if t.lacks {
				m.recent.forget(g.Schema.ID)
			}
			continue
		}
		if t.fresh, err = m.freshly(ctx, g, t.changes); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// freshly decides whether a group's tiles get changes, which are all of one batch, or are kept in front of them: many rows at once, and
// then also few, until those are folded. Before deletes it folds what is fresh, and where too much is it waits.
func (m *Manager) freshly(ctx context.Context, g *Group, changes []*reclog.Applied) (bool, error) {
	waitingRows, _, waits, err := m.cfg.Tiles.Fresh(g.Tiles)
	if err != nil {
		return false, err
	}
	if m.cfg.Tiles.Followed() { // what is sent elsewhere is tiles
		return false, m.cfg.Tiles.FoldAll(ctx, g.Tiles)
	}
	rows, deletes := int64(0), false
	for _, c := range changes {
		deletes = deletes || len(c.DeletedIDs) > 0
		if c.Inserted != nil {
			rows += int64(c.Inserted.N)
		}
	}
	least := int64(m.cfg.FreshRows)
	if least == 0 {
		least = DefaultFreshRows
	}
	switch {
	case waits && (deletes || rows+waitingRows < least):
		return false, m.cfg.Tiles.FoldAll(ctx, g.Tiles)
	case deletes || !waits && rows < least:
		return false, nil
	case rows < least:
		return true, nil
	case waitingRows > 2*foldRows || m.cfg.Tiles.FreshBytes() > m.mostFresh():
		if err := m.makeRoom(ctx, g); err != nil {
			return false, err
		}
	}
	select {
	case m.fold <- struct{}{}:
	default:
	}
	return true, nil
}

// mostFresh is how many bytes the fresh rows of all groups may take, and the recent rows, which are mostly the same: two thirds of the manager's
// memory and three quarters of what others leave. Three quarters of it make those be folded for which it is worth most, all of it commits wait.
func (m *Manager) mostFresh() int64 {
	most := m.cfg.Memory / 3 * 2
	if m.cfg.Spare != nil {
		most += m.cfg.Spare() / 4 * 3
	}
	return most
}

// makeRoom waits for what the background folds, and folds rows of a group, or of that which is worth most, itself where that is not enough.
func (m *Manager) makeRoom(ctx context.Context, g *Group) error {
	for _, other := range *m.live.Load() {
		if other.Tiles != nil {
			if err := m.cfg.Tiles.AwaitFold(other.Tiles); err != nil {
				return err
			}
		}
	}
	rows, _, _, err := m.cfg.Tiles.Fresh(g.Tiles)
	switch {
	case err != nil:
		return err
	case rows > 2*foldRows:
		return m.cfg.Tiles.Fold(ctx, g.Tiles)
	case m.cfg.Tiles.FreshBytes() > m.mostFresh():
		if g := m.worthFolding(); g != nil {
			return m.cfg.Tiles.Fold(ctx, g.Tiles)
		}
	}
	return nil
}

// worthFolding is the group that is worth most to fold; nil where none has fresh rows.
func (m *Manager) worthFolding() *Group {
	var out *Group
	most := 0.0
	for _, g := range *m.live.Load() {
		if g.Tiles == nil {
			continue
		}
		if w := m.cfg.Tiles.FoldWorth(g.Tiles); w > most {
			out, most = g, w
		}
	}
	return out
}

// keepFolding folds fresh rows where there are many, and some time after the last ones came, until ctx ends.
func (m *Manager) keepFolding(ctx context.Context) {
	idle := time.NewTimer(0) // after a start, what it found
	for {
		all := false
		select {
		case <-ctx.Done():
			return
		case <-m.fold: // of many rows
			idle.Reset(foldIdle)
		case <-idle.C:
			all = true
		}
		more, err := m.foldFresh(ctx, all)
		if err != nil && ctx.Err() == nil {
			m.cfg.Logger.Error("folding fresh rows", "error", err)
		}
		if all && more {
			idle.Reset(foldIdle)
		}
	}
}

// foldFresh folds the fresh rows of the groups that have many, or of all, and, while they take too many bytes, of those that it is worth most
// for. It reports whether more have come.
func (m *Manager) foldFresh(ctx context.Context, all bool) (more bool, err error) {
	var errs []error
	fold := func(g *Group, rows int64) error {
		err := m.foldTraced(ctx, g, rows)
		if err == nil {
			var waits bool
			_, _, waits, err = m.cfg.Tiles.Fresh(g.Tiles)
			more = more || waits
		}
		return err
	}
	groups := *m.live.Load()
	for _, g := range groups {
		if g.Tiles == nil {
			continue
		}
		rows, most, waits, err := m.cfg.Tiles.Fresh(g.Tiles)
		if err == nil && waits && (all || rows >= foldRows || most >= foldChain) {
			err = fold(g, rows)
		} else {
			more = more || waits
		}
		errs = append(errs, err)
	}
	for range groups {
		if m.cfg.Tiles.FreshBytes() <= m.mostFresh()/4*3 || ctx.Err() != nil {
			break
		}
		if g := m.worthFolding(); g != nil {
			rows, _, _, err := m.cfg.Tiles.Fresh(g.Tiles)
			if err == nil {
				err = fold(g, rows)
			}
			errs = append(errs, err)
		}
	}
	return more, errors.Join(errs...)
}

// FoldNow takes all fresh rows to the tiles while nobody commits. Once the tiles' changes are followed, none are fresh from then on.
func (m *Manager) FoldNow(ctx context.Context) error {
	m.apply.Lock()
	defer m.apply.Unlock()
	var errs []error
	for _, g := range *m.live.Load() {
		if g.Tiles != nil {
			errs = append(errs, m.cfg.Tiles.FoldAll(ctx, g.Tiles))
		}
	}
	return errors.Join(errs...)
}
