package materialize

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/runs"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// errGroupGone is the error of a change to a group that was dropped meanwhile.
var errGroupGone = errors.New("the group was dropped")

// FlushTails folds the tail of every group that has one larger than maxTailRows, or any at all, into its runs.
func (m *Manager) FlushTails(ctx context.Context, all bool) error {
	m.build.Lock()
	defer m.build.Unlock()
	return m.flushTails(ctx, all)
}

func (m *Manager) flushTails(ctx context.Context, all bool) error {
	var errs []error
	for _, g := range *m.live.Load() {
		if g.Manifest == nil {
			continue
		}
		if err := m.flushTail(ctx, g, all); err != nil && !errors.Is(err, errGroupGone) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// FoldTail folds the tail of a group's runs into them, and gives the group as it then is, for a read whose tail does not fit the memory (Snapshot's
// ErrTooManyRows): the background is behind with it. It waits for what the background folds now.
func (m *Manager) FoldTail(ctx context.Context, group *schema.Group) (*Group, error) {
	for !m.build.TryLock() {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(foldTick):
		}
	}
	defer m.build.Unlock()
	g, err := m.Group(group)
	if err == nil && g.Manifest != nil {
		err = m.flushTail(ctx, g, true)
	}
	if err != nil {
		return nil, err
	}
	return m.Group(group)
}

// foldTick is how often FoldTail looks whether it is its turn.
const foldTick = 10 * time.Millisecond

// flushTail lays the tail of a group's runs over them, and publishes the result in one catalog version. Row versions that
// went stay in the runs, hidden by tombstones, so that older positions are still served; when there are more than
// maxTombstones of them the rows are merged without them, and positions before are read from the log. It reads what is recent and the log, not the
// tail in memory, and so holds the Builder's budget however much one commit brought. The build lock is held.
func (m *Manager) flushTail(ctx context.Context, g *Group, all bool) error {
	cat := m.cfg.Catalog.Current()
	b, err := baseOf(cat, g.Schema.Relation)
	if err != nil {
		return errGroupGone
	}
	if cat.Groups[g.Schema.ID] == nil {
		return errGroupGone
	}
	if !b.Logged() {
		return nil
	}
	position := m.cfg.Log.Position()
	if !m.overtaken.serves(g.Schema.ID, position) {
		return nil // it is about to be built anew
	}
	size, err := m.changesAfter(ctx, b, g.Manifest.Position, position)
	if err != nil || size == 0 || !all && size <= maxTailRows {
		return err
	}
	dead := maps.Clone(g.dead)
	if dead == nil {
		dead = map[uint64]uint64{}
	}
	o := m.newOverlay(g)
	floor := g.floor
	err = func() error {
		rows, err := o.builder()
		if err != nil {
			return err
		}
		defer rows.Close()
		went, first, err := m.changes(ctx, cat, b, g.Schema, g.Manifest.Position, position, rows.Add)
		if err != nil {
			return err
		}
		maps.Copy(dead, went)
		wanted := map[uint64]bool{} // of the runs
		for id := range went {
			if first == 0 || id < first {
				wanted[id] = true
			}
		}
		gone, err := m.daysOf(ctx, cat, b, g.Schema, wanted, g.Manifest.Position, position)
		if err != nil {
			return err
		}
		if err := rows.Finish(); err != nil {
			return err
		}
		isDead := func(id uint64) bool { _, yes := dead[id]; return yes }
		if err := o.add(ctx, rows, position, isDead, gone, m.openFrom(g, g.marks.newest.Load())); err != nil {
			return err
		}
		if len(dead) > maxTombstones {
			if err := o.purge(ctx, runs.Drop{Rows: isDead}); err != nil {
				return err
			}
			dead, floor = map[uint64]uint64{}, position
		}
		return o.compact(ctx)
	}()
	if err == nil {
		err = m.publishRuns(ctx, []*runsChange{{o: o, floor: floor, dead: dead}}, nil, nil)
	}
	if err != nil {
		return errors.Join(err, o.discard())
	}
	return nil
}

// openFrom is the start of the first day of a group that has not ended when its newest event time is newest. All days of files have.
func (m *Manager) openFrom(g *Group, newest int64) int64 {
	b, err := baseOf(m.cfg.Catalog.Current(), g.Schema.Relation)
	switch {
	case err != nil || !b.Logged():
		return maxTime
	case newest == event.Forever:
		return event.Forever
	}
	return m.cfg.Days.Start(m.settledBy(g, newest) + 1)
}

// changesAfter counts the rows that came and went at positions after < p ≤ upTo, up to one more than a tail may have.
func (m *Manager) changesAfter(ctx context.Context, b *schema.Relation, after, upTo uint64) (int, error) {
	enough := errors.New("enough")
	n := 0
	err := m.cfg.Log.Versions(ctx, reclog.SourceID(b.ID), after, upTo, func(reclog.Version) error {
		if n++; n > maxTailRows {
			return enough
		}
		return nil
	})
	if errors.Is(err, enough) {
		err = nil
	}
	return n, err
}

// runsChange is new runs of a published group.
type runsChange struct {
	o     *overlay
	floor uint64
	dead  map[uint64]uint64
	// rejected are rows of files without key or time, beside those that the group has counted.
	rejected map[uint32]int64
	next     *Group // set by publishRuns
}

// publishRuns makes new runs of published groups live, and groups that take the place of others by their ids, together with
// what change does to the catalog, in one version.
func (m *Manager) publishRuns(ctx context.Context, changes []*runsChange, replaced map[uint32]*Group, change func(c *schema.Catalog) error) error {
	for _, ch := range changes {
		def := *ch.o.g.Schema
		def.Position = ch.o.man.Position
		if len(ch.rejected) > 0 {
			def.Rejected = maps.Clone(def.Rejected)
			if def.Rejected == nil {
				def.Rejected = map[uint32]int64{}
			}
			maps.Copy(def.Rejected, ch.rejected)
		}
		var err error
		if def.Manifest, err = encodeDocument(&ch.o.man, ch.floor, ch.dead); err != nil {
			return err
		}
		next := *ch.o.g
		next.Schema, next.Manifest, next.floor, next.dead = &def, &ch.o.man, ch.floor, ch.dead
		next.marks.raise(newestTime(next.Manifest))
		if now := (*m.live.Load())[def.ID]; now != nil && next.Tiles != nil && now.Tiles == nil {
			next.tilesEra = now.tilesEra + 1 // shown again
		}
		ch.next = &next
	}
	m.apply.Lock()
	defer m.apply.Unlock()
	err := m.cfg.Catalog.Update(ctx, func(c *schema.Catalog) error {
		for _, ch := range changes {
			if c.Groups[ch.next.Schema.ID] == nil {
				return errGroupGone
			}
			c.Groups[ch.next.Schema.ID] = ch.next.Schema
		}
		for id, g := range replaced {
			if c.Groups[id] == nil {
				return errGroupGone
			}
			delete(c.Groups, id)
			c.Groups[g.Schema.ID] = g.Schema
			repoint(c, id, g.Schema.ID)
		}
		if change != nil {
			return change(c)
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.setLive(func(l map[uint32]*Group) {
		for id, g := range replaced {
			delete(l, id)
			l[g.Schema.ID] = g
		}
		for _, ch := range changes {
			l[ch.next.Schema.ID] = ch.next
		}
	})
	for _, ch := range changes {
		m.segments.retire(superseded(ch.o.g.Manifest.Segments, ch.o.man.Segments))
		m.recent.took(ch.next.Schema.ID, ch.o.man.Position)
	}
	return nil
}
