package materialize

import (
	"context"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Request asks for a feature to be materialized and published.
type Request struct {
	Feature      *schema.Feature
	Keys         []schema.Expr
	From         schema.From
	Fingerprints []string // of the partials it reads
	// Group makes the definition of a new group with the feature's partials and those of old (nil: none).
	Group func(id uint32, old *schema.Group) *schema.Group
	// Put adds the feature to a catalog being changed.
	Put func(c *schema.Catalog, f *schema.Feature) error
	// Notice tells the client of progress; may be nil.
	Notice func(text string)
	// Again builds the group anew though one holds the partials.
	Again bool
}

// online is what the tiles of a group must keep for outputs: how much history of row packs, in microseconds, whether one has no
// lower bound, and the event times, ascending, at which such ones begin.
func online(outputs []schema.Output) (retain int64, lifetime bool, eras []int64) {
	for _, o := range outputs {
		switch w := o.Window; {
		case w.Following:
		case w.Lifetime:
			lifetime = true
			retain = max(retain, w.Delay)
			if w.Start != event.Forever {
				eras = append(eras, w.Start)
			}
		default:
			retain = max(retain, w.Length+w.Delay+w.Hop)
		}
	}
	slices.Sort(eras)
	return retain, lifetime, slices.Compact(eras)
}

// serves reports whether the tiles of a group keep what outputs need.
func serves(g *schema.Group, outputs []schema.Output) bool {
	retain, lifetime, eras := online(outputs)
	for _, e := range eras {
		if !slices.Contains(g.Eras, e) {
			return false
		}
	}
	return g.Online && g.Retain >= retain && (g.Lifetime || !lifetime)
}

// keep makes the tiles of a group to be built keep what outputs need, besides what it keeps already.
func keep(g *schema.Group, outputs []schema.Output) {
	retain, lifetime, eras := online(outputs)
	eras = append(eras, g.Eras...)
	slices.Sort(eras)
	g.Online, g.Retain, g.Lifetime, g.Eras = true, max(g.Retain, retain), g.Lifetime || lifetime, slices.Compact(eras)
}

// repoint moves the features of a group to another.
func repoint(c *schema.Catalog, from, to uint32) {
	for id, f := range c.Features {
		if f.Group == from {
			g := *f
			g.Group = to
			c.Features[id] = &g
		}
	}
}

// replace builds a group and publishes it in place of old, with what change does to the catalog. The build lock is held.
func (m *Manager) replace(ctx context.Context, def, old *schema.Group, job *job) error {
	g, err := m.buildGroup(ctx, m.cfg.Catalog.Current(), def, m.cfg.Log.Position(), job)
	if err != nil {
		return errors.Join(err, m.abandon(ctx, g))
	}
	if err := m.built(g); err != nil {
		return err
	}
	put := func(c *schema.Catalog) error {
		if c.Groups[old.ID] == nil {
			return errGroupGone
		}
		repoint(c, old.ID, def.ID)
		delete(c.Groups, old.ID)
		c.Groups[def.ID] = def
		return nil
	}
	if err := m.publish(ctx, []*Group{g}, nil, put); err != nil {
		return errors.Join(err, m.dropGroup(def))
	}
	return nil
}

// buildGroup reads the relation's rows, at a position or one not much later, into runs, day partials and tiles. An error comes
// with what is there so far, for abandon. It holds a batch of rows, the Builder's budget, and the rows of one key.
func (m *Manager) buildGroup(ctx context.Context, cat *schema.Catalog, def *schema.Group, position uint64, job *job) (*Group, error) {
	def.Manifest = nil
	g, err := Compile(def)
	if err != nil {
		return nil, err
	}
	g.lateness = job.lateness
	passes := 2 // the rows are written, and folded into days
	if def.Online {
		passes++
	}
	if err := m.buildRuns(ctx, cat, g, position, passes, job); err != nil {
		return g, err
	}
	g.marks.raise(newestTime(g.Manifest))
	if err := g.seal(g.Manifest.Position); err != nil {
		return g, err
	}
	if g.Tiles != nil {
		if err := m.buildTiles(ctx, g, (&gone{rows: g.dead}).dead(), job); err != nil {
			return g, err
		}
	}
	return g, nil
}

// seal writes a group's manifest into its definition: what is live in the runs is of one position.
func (g *Group) seal(position uint64) error {
	g.Manifest.Position, g.Schema.Position, g.floor, g.tilesAt = position, position, position, position
	var err error
	g.Schema.Manifest, err = encodeDocument(g.Manifest, g.floor, g.dead)
	return err
}

// catchUp applies to a group's tiles what the log has after the position that they hold.
func (m *Manager) catchUp(ctx context.Context, cat *schema.Catalog, g *Group) error {
	b, err := baseOf(cat, g.Schema.Relation)
	if err != nil {
		return err
	}
	upTo := m.cfg.Log.Position()
	if !b.Logged() || g.tilesAt >= upTo {
		return nil
	}
	source, types := reclog.SourceID(b.ID), columnTypes(b)
	old, err := m.deletedRows(ctx, b, g.tilesAt, upTo)
	if err != nil {
		return err
	}
	err = m.cfg.Log.Scan(ctx, source, g.tilesAt, upTo, RowSchema(b), func(pos uint64, deleted []uint64, first uint64, ins *vector.Chunk) error {
		change := &reclog.Applied{Source: source, Position: pos, FirstInsertID: first, Inserted: ins, DeletedIDs: deleted}
		if len(deleted) > 0 {
			change.Deleted = vector.NewChunk(types, len(deleted))
			for _, id := range deleted {
				change.Deleted.AppendRow(old.rows, old.at[id])
			}
		}
		fresh, err := m.freshly(ctx, g, []*reclog.Applied{change})
		if err != nil {
			return err
		}
		batch := m.cfg.Log.DB().NewBatch()
		defer batch.Close()
		done, err := m.applyChange(ctx, cat, batch, g, pos, change, fresh)
		if err == nil {
			err = batch.Commit(pebble.NoSync)
		}
		if done != nil {
			done(err == nil)
		}
		return err
	})
	if err == nil {
		g.tilesAt = upTo
	}
	return err
}

// deleted is rows by row id.
type deleted struct {
	rows *vector.Chunk
	at   map[uint64]int
}

// deletedRows are the rows that went at positions after < p ≤ upTo, found by one scan of the log, if any did.
func (m *Manager) deletedRows(ctx context.Context, b *schema.Relation, after, upTo uint64) (deleted, error) {
	wanted := map[uint64]bool{}
	err := m.cfg.Log.Versions(ctx, reclog.SourceID(b.ID), after, upTo, func(v reclog.Version) error {
		if v.Delete {
			wanted[v.RowID] = true
		}
		return nil
	})
	if err != nil || len(wanted) == 0 {
		return deleted{}, err
	}
	rows, ids, err := m.oldRows(ctx, b, wanted, upTo)
	d := deleted{rows, make(map[uint64]int, len(ids))}
	for i, id := range ids {
		d.at[uint64(id)] = i
	}
	return d, err
}

// abandon ends a build that is not published; nobody ever saw it. The rows that it sorted stay as its checkpoint where it was
// cancelled, or the server ends: repeating the statement goes on from there. Everything else goes.
func (m *Manager) abandon(ctx context.Context, g *Group) error {
	if g == nil {
		return nil
	}
	var errs []error
	if ctx.Err() == nil && g.rows != "" {
		errs = append(errs, m.checkpoints.forget(g.rows))
	}
	for _, s := range g.unpublished {
		if !m.checkpoints.has(s.ID) {
			errs = append(errs, m.segments.discard(s))
		}
	}
	if g.Tiles != nil {
		errs = append(errs, m.cfg.Tiles.Drop(g.Schema.ID))
	}
	return errors.Join(append(errs, m.checkpoints.expire())...)
}

// built ends a build that was published: its checkpoint goes, and what it wrote and did not need.
func (m *Manager) built(g *Group) error {
	return errors.Join(m.checkpoints.forget(g.rows), m.segments.discard(superseded(g.unpublished, g.Manifest.Segments)...))
}

// dropGroup gives up the files and tiles of a group that no catalog names any more. Files stay while statements read them;
// a read of the tiles sees at its view's snapshot what they were.
func (m *Manager) dropGroup(g *schema.Group) error {
	m.tailMu.Lock()
	delete(m.tails, g.ID)
	m.tailMu.Unlock()
	m.recent.forget(g.ID)
	m.segments.retire(segmentsOf(g.Manifest))
	var err error
	if m.overtaken.since(g.ID) != 0 { // in memory the mark stays, for statements with an older catalog
		err = m.cfg.Log.DB().Delete(overtakenKey(g.ID), pebble.NoSync)
	}
	if g.Online {
		err = errors.Join(err, m.cfg.Tiles.Drop(g.ID))
	}
	return err
}
