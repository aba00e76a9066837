package materialize

import (
	"context"
	"errors"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/runs"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// pending stands for the position of a refresh until everything is ready to be published.
const pending = math.MaxUint64 - 1

// applyRows bounds the rows of one batch that brings new files into the online store. It sorts them, which spares reads of
// the database, and holds what their keys have: some tens of megabytes.
const applyRows = 16_384

// refreshed is a group brought up to a source's new files: old runs with an overlay, or built anew.
type refreshed struct {
	live    *Group // as published before
	overlay *runsChange
	added   []runs.Segment // rows of the overlay that the tiles lack
	built   *Group         // in place of live
}

// refresh publishes a source's changed list of files, in which new positions are pending. Where files were only added, their
// rows are laid over the groups' runs and applied to their tiles, at a cost of what the new files and the days in them hold.
// Where a file went or changed, the groups are built anew, because partials of its days cannot be told from those of others.
// The build lock is held.
func (m *Manager) refresh(ctx context.Context, cat *schema.Catalog, next *schema.Relation, onlyAdded bool) (err error) {
	future := cat.Clone()
	future.Relations[next.ID] = next
	future.Index()
	var all []*refreshed
	defer func() {
		if err != nil {
			for _, r := range all {
				err = errors.Join(err, m.undo(ctx, cat, r))
			}
		}
	}()
	for _, def := range cat.Groups {
		b, err := baseOf(cat, def.Relation)
		if err != nil || b.ID != next.ID {
			continue
		}
		job := m.jobs.begin(ctx, next.Name, def.Relation, def.ID)
		r := &refreshed{live: (*m.live.Load())[def.ID]}
		all = append(all, r)
		if onlyAdded && len(def.Joins) == 0 && r.live != nil && r.live.Schema == def && r.live.Manifest != nil && (!def.Online || r.live.Tiles != nil) {
			err = m.addFiles(ctx, future, next, r, job)
		} else {
			err = m.buildAgain(ctx, future, def, r, job)
		}
		job.end(err)
		if err != nil {
			return err
		}
	}
	for _, r := range all {
		if r.overlay == nil {
			continue
		}
		if r.live.Tiles != nil {
			// A position of its own, greater than the manifest's until that is replaced.
			c, err := m.cfg.Log.Commit(ctx, &reclog.Txn{})
			if err != nil {
				return err
			}
			if err := m.applyFiles(ctx, r, c.Position); err != nil {
				return err
			}
		}
		if err := r.overlay.o.compact(ctx); err != nil {
			return err
		}
	}
	c, err := m.cfg.Log.Commit(ctx, &reclog.Txn{})
	if err != nil {
		return err
	}
	settlePositions(next.File, c.Position)
	if err := m.publishRefresh(ctx, next, all, c.Position); err != nil {
		return err
	}
	published := all
	all = nil // nothing to undo, whatever follows
	var errs []error
	for _, r := range published {
		if r.built != nil {
			errs = append(errs, m.built(r.built), m.dropGroup(r.live.Schema))
		}
	}
	m.poke()
	return errors.Join(errs...)
}

// settlePositions puts a position where it was pending.
func settlePositions(f *schema.File, position uint64) {
	for i := range f.Files {
		if v := &f.Files[i]; v.Added == pending {
			v.Added = position
		} else if v.Removed == pending {
			v.Removed = position
		}
	}
}

// addFiles lays the rows of new files over a group's runs.
func (m *Manager) addFiles(ctx context.Context, future *schema.Catalog, next *schema.Relation, r *refreshed, job *job) error {
	var total int64
	var added portion
	for _, v := range next.File.Files {
		if v.Added == pending {
			added.files, total = append(added.files, v), total+v.Rows
		}
	}
	job.expect(total, 0, 2)
	rejected := newRejects()
	from, err := added.rowsOf(next, rejected)
	if err != nil {
		return err
	}
	o := m.newOverlay(r.live)
	o.job = job
	r.overlay = &runsChange{o: o, floor: r.live.floor, rejected: rejected.rows}
	b, err := o.builder()
	if err != nil {
		return err
	}
	defer b.Close()
	job.stage("reading rows")
	if _, err := m.scanSQL(ctx, future, r.live.Schema, from, pending, true, func(rows *event.Rows) error {
		job.read(rows)
		return b.Add(rows)
	}); err != nil {
		return err
	}
	job.counted()
	if err := b.Finish(); err != nil {
		return err
	}
	job.stage("writing runs")
	if err := o.add(ctx, b, pending, deadFiles(next.File, pending), nil, maxTime); err != nil {
		return err
	}
	for _, s := range o.fresh {
		if s.Kind == runs.KindRows {
			r.added = append(r.added, s)
		}
	}
	return nil
}

// buildAgain builds a group over a source's new files.
func (m *Manager) buildAgain(ctx context.Context, future *schema.Catalog, old *schema.Group, r *refreshed, job *job) error {
	id, err := m.cfg.Log.Sequence("group")
	if err != nil {
		return err
	}
	if r.live == nil {
		r.live = &Group{Schema: old}
	}
	def := *old
	def.ID, def.Ready = uint32(id), false
	r.built, err = m.buildGroup(ctx, future, &def, pending, job)
	return err
}

// applyFiles brings the rows of new files into a group's tiles, in batches. Meanwhile lookups are answered from the runs: from
// here until the new files are published the group shows no tiles. A crash in between shows at the next start, because the
// tiles are then of a later position than the manifest.
func (m *Manager) applyFiles(ctx context.Context, r *refreshed, position uint64) error {
	hidden := *r.live
	hidden.Tiles, hidden.tilesEra = nil, hidden.tilesEra+1
	m.apply.Lock()
	m.setLive(func(l map[uint32]*Group) { l[hidden.Schema.ID] = &hidden })
	m.apply.Unlock()
	for i := range r.added {
		snap := &runs.Snapshot{Store: m.runs, Manifest: r.overlay.o.only(&r.added[i]), NoPartials: true}
		rd, err := snap.Reader(nil)
		if err != nil {
			return err
		}
		chunk := event.NewRows(snap.Manifest.Layout, applyRows)
		flush := func() error {
			batch := m.cfg.Log.DB().NewBatch()
			defer batch.Close()
			done, err := m.cfg.Tiles.Apply(batch, r.live.Tiles, position, nil, chunk)
			if err != nil {
				return err
			}
			err = batch.Commit(pebble.NoSync)
			done(err == nil)
			chunk = event.NewRows(snap.Manifest.Layout, applyRows)
			return err
		}
		err = snap.Keys(ctx, func(key []byte) error {
			if err := rd.Seek(key); err != nil {
				return err
			}
			rows, from, to, err := rd.Rows(event.Interval{Lo: event.Forever, Hi: maxTime})
			if err != nil {
				return err
			}
			for ; from < to; from++ {
				if appendKeyed(chunk, key, rows, from); chunk.N() == applyRows {
					if err := flush(); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err == nil && chunk.N() > 0 {
			err = flush()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// publishRefresh makes the relation's new files and the groups as of them visible at once.
func (m *Manager) publishRefresh(ctx context.Context, next *schema.Relation, all []*refreshed, position uint64) error {
	var changes []*runsChange
	replaced := map[uint32]*Group{}
	for _, r := range all {
		man := &runs.Manifest{}
		if r.built != nil {
			man = r.built.Manifest
		} else {
			man = &r.overlay.o.man
		}
		man.Position = position
		for i := range man.Segments {
			if s := &man.Segments[i]; s.Position == pending {
				s.Position = position
			}
		}
		if r.built == nil {
			changes = append(changes, r.overlay)
			continue
		}
		if err := r.built.seal(position); err != nil {
			return err
		}
		r.built.Schema.Ready = true
		replaced[r.live.Schema.ID] = r.built
	}
	return m.publishRuns(ctx, changes, replaced, func(c *schema.Catalog) error {
		have := c.Relations[next.ID]
		if have == nil {
			return errNoRelation
		}
		now := *have // a comment may have changed meanwhile
		now.File = next.File
		c.Relations[next.ID] = &now
		c.Index()
		for _, g := range replaced {
			if err := m.overtakenSince(ctx, c, g); err != nil {
				return err
			}
		}
		return m.overtakenByFiles(ctx, c, &now, position, replaced)
	})
}

// undo takes back what a refresh that was not published did for a group.
func (m *Manager) undo(ctx context.Context, cat *schema.Catalog, r *refreshed) error {
	if r.built != nil {
		return m.abandon(ctx, r.built)
	}
	if r.overlay == nil {
		return nil
	}
	err := r.overlay.o.discard()
	now := (*m.live.Load())[r.live.Schema.ID]
	if r.live.Tiles == nil || now == nil || now.Tiles != nil {
		return err
	}
	// Some of the new rows are in the tiles: they are loaded again, whatever became of the statement.
	ctx = context.WithoutCancel(ctx)
	b, e := baseOf(cat, r.live.Schema.Relation)
	if e != nil {
		return err
	}
	if e := m.buildTiles(ctx, r.live, deadFiles(b.File, r.live.Manifest.Position), m.jobs.begin(ctx, b.Name, b.ID, r.live.Schema.ID)); e != nil {
		return errors.Join(err, e) // lookups go on from the runs, and the next start loads the tiles
	}
	shown := *r.live
	shown.tilesEra += 2
	m.apply.Lock()
	defer m.apply.Unlock()
	m.setLive(func(l map[uint32]*Group) {
		if l[shown.Schema.ID] == now {
			l[shown.Schema.ID] = &shown
		}
	})
	return err
}
