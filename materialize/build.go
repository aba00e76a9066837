package materialize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/runs"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Request asks for a feature to be materialized and published.
type Request struct {
	Feature      *schema.Feature
	Keys         []schema.Expr
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

// retain is how much history of row packs the outputs need, in microseconds, and whether one has no lower bound.
func retain(outputs []schema.Output) (micros int64, lifetime bool) {
	for _, o := range outputs {
		switch w := o.Window; {
		case w.Following:
		case w.Lifetime:
			lifetime = true
			micros = max(micros, w.Delay)
		default:
			micros = max(micros, w.Length+w.Delay+w.Hop)
		}
	}
	return micros, lifetime
}

// Materialize publishes a feature: over a group that holds its partials already, which takes no time, or over a new one,
// which takes the place of the group of the same relation and key when it is whole. Readers see the old one until then.
// Cancelling ctx leaves no trace.
func (m *Manager) Materialize(ctx context.Context, req Request) error {
	m.build.Lock()
	defer m.build.Unlock()
	cat := m.cfg.Catalog.Current()
	f := req.Feature
	if f.ID == 0 {
		id, err := m.cfg.Log.Sequence("feature")
		if err != nil {
			return err
		}
		f.ID = uint32(id)
	}
	micros, lifetime := retain(f.Outputs)
	if g := cat.GroupFor(f.Relation, req.Keys, req.Fingerprints); g != nil && !req.Again &&
		(!f.Online || g.Online && g.Retain >= micros && (g.Lifetime || !lifetime)) {
		f.Group = g.ID
		return m.cfg.Catalog.Update(ctx, func(c *schema.Catalog) error { return req.Put(c, f) })
	}
	var old *schema.Group
	for _, g := range cat.Groups {
		if g.Ready && g.Relation == f.Relation && schema.SameKeys(g.Keys, req.Keys) {
			old = g
		}
	}
	id, err := m.cfg.Log.Sequence("group")
	if err != nil {
		return err
	}
	def := req.Group(uint32(id), old)
	if f.Online {
		def.Online, def.Retain, def.Lifetime = true, max(def.Retain, micros), def.Lifetime || lifetime
	}
	f.Group = def.ID
	job := m.jobs.begin(f.Name, def.ID)
	err = m.replace(ctx, def, old, job, func(c *schema.Catalog) error {
		if old != nil {
			repoint(c, old.ID, def.ID)
		}
		return req.Put(c, f)
	})
	job.end(err)
	return err
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

// replace builds a group and publishes it in place of old (nil: none), with what change does to the catalog. The build lock
// is held.
func (m *Manager) replace(ctx context.Context, def, old *schema.Group, job *job, change func(c *schema.Catalog) error) error {
	g, err := m.buildGroup(ctx, def, job)
	if err != nil {
		return errors.Join(err, m.discard(def, g))
	}
	if err := m.publish(ctx, g, old, change); err != nil {
		return errors.Join(err, m.discard(def, g))
	}
	if old == nil {
		return nil
	}
	return m.dropGroup(old)
}

// buildGroup reads the relation's rows at the newest position into runs, day partials and tiles.
func (m *Manager) buildGroup(ctx context.Context, def *schema.Group, job *job) (*Group, error) {
	cat := m.cfg.Catalog.Current()
	r := cat.Relations[def.Relation]
	if r == nil {
		return nil, fmt.Errorf("relation of group %d was dropped", def.ID)
	}
	def.Position = m.cfg.Log.Position()
	g, err := Compile(def)
	if err != nil {
		return nil, err
	}
	man, err := m.buildRuns(ctx, cat, g, job)
	g.Manifest = man
	if err != nil {
		return g, err
	}
	if def.Manifest, err = json.Marshal(man); err != nil {
		return g, err
	}
	if g.Tiles != nil {
		if err := m.buildTiles(ctx, g, job); err != nil {
			return g, err
		}
	}
	return g, nil
}

// buildRuns sorts the rows at the group's position into one rows segment, and folds them into one days segment.
func (m *Manager) buildRuns(ctx context.Context, cat *schema.Catalog, g *Group, job *job) (*runs.Manifest, error) {
	path := m.SpillPath()
	b, err := runs.NewBuilder(g.Schema.Layout, runs.BuilderOptions{Budget: runs.NewBudget(m.cfg.Memory), FS: m.cfg.FS, SpillPath: path, RowIDs: true})
	if err != nil {
		return nil, err
	}
	defer b.Close()
	span := event.Interval{Lo: math.MaxInt64, Hi: math.MinInt64}
	job.stage("reading rows")
	err = m.scan(ctx, cat, g.Schema, g.Schema.Position, func(rows *event.Rows) error {
		for _, t := range rows.TS {
			span.Lo, span.Hi = min(span.Lo, t), max(span.Hi, t)
		}
		job.add(int64(rows.N()))
		return b.Add(rows)
	})
	if err != nil {
		return nil, err
	}
	if err := b.Finish(); err != nil {
		return nil, err
	}
	man := &runs.Manifest{Layout: g.Schema.Layout, Partials: len(g.Partials), Partitions: b.Partitions(), Position: g.Schema.Position}
	if b.Rows() == 0 {
		return man, nil
	}
	job.stage("writing runs")
	rows, err := m.runs.WriteRows(ctx, fmt.Sprintf("g%d-rows-%d", g.Schema.ID, g.Schema.Position), g.Schema.Position, b)
	if err != nil {
		return man, err
	}
	next, err := man.Replace(nil, rows)
	if err != nil {
		return man, err
	}
	man = &next
	job.stage("folding days")
	days := event.Interval{Lo: event.DayOf(span.Lo) * event.Day, Hi: (event.DayOf(span.Hi) + 1) * event.Day}
	seg, err := m.runs.BuildDays(ctx, &runs.Snapshot{Store: m.runs, Manifest: man}, runs.DaysSpec{
		ID: fmt.Sprintf("g%d-days-%d", g.Schema.ID, g.Schema.Position), Span: days, Position: g.Schema.Position, Partials: g.Partials})
	if err != nil {
		return man, err
	}
	if next, err = man.Replace(nil, seg); err != nil {
		return man, err
	}
	return &next, nil
}

// scan gives the event rows of a group at a position, live ones only, in chunks that are valid during the call.
func (m *Manager) scan(ctx context.Context, cat *schema.Catalog, g *schema.Group, position uint64, emit func(*event.Rows) error) error {
	r := cat.Relations[g.Relation]
	b := base(cat, r)
	rows, ids, err := m.baseSQL(ctx, b, position)
	if err != nil {
		return err
	}
	conn, err := m.cfg.DB.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	res, err := conn.Query(ctx, eventSQL(cat, g, rows))
	if err != nil {
		return err
	}
	defer res.Close()
	out := event.NewRows(g.Layout, 0)
	for {
		ch, err := res.Next()
		if err != nil {
			return err
		}
		if ch == nil {
			return nil
		}
		eventRows(g.Layout, ch, ids, len(b.PrimaryKey), out)
		if err := emit(out); err != nil {
			return err
		}
	}
}

// scanAsOf is scan at a position before the newest of an event table: the log is replayed, because the projection holds
// only what is live now.
func (m *Manager) scanAsOf(ctx context.Context, cat *schema.Catalog, g *schema.Group, position uint64, emit func(*event.Rows) error) error {
	b := base(cat, cat.Relations[g.Relation])
	dead := map[uint64]bool{}
	err := m.cfg.Log.Versions(ctx, reclog.SourceID(b.ID), 0, position, func(v reclog.Version) error {
		if v.Delete {
			dead[v.RowID] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.cfg.Log.Scan(ctx, reclog.SourceID(b.ID), 0, position, columnTypes(b), func(_ uint64, _ []uint64, first uint64, ins *vector.Chunk) error {
		if ins == nil {
			return nil
		}
		keep, ids := ins, consecutive(first, ins.N)
		if len(dead) > 0 {
			keep, ids = vector.NewChunk(columnTypes(b), ins.N), nil
			for i := range ins.N {
				if id := first + uint64(i); !dead[id] {
					keep.AppendRow(ins, i)
					ids = append(ids, int64(id))
				}
			}
		}
		rows, err := m.eval.rows(ctx, cat, g, keep, ids)
		if err != nil {
			return err
		}
		return emit(rows)
	})
}

// publish makes a built group live: with the committer held, the tiles catch up with what was committed since, and the
// catalog changes in the same batch.
func (m *Manager) publish(ctx context.Context, g *Group, old *schema.Group, change func(c *schema.Catalog) error) error {
	if g.Tiles != nil {
		if err := m.catchUp(ctx, g); err != nil { // most of it, while others commit
			return err
		}
	}
	m.apply.Lock()
	defer m.apply.Unlock()
	if g.Tiles != nil {
		if err := m.catchUp(ctx, g); err != nil {
			return err
		}
	}
	g.Schema.Ready = true
	err := m.cfg.Catalog.Update(ctx, func(c *schema.Catalog) error {
		c.Groups[g.Schema.ID] = g.Schema
		if old != nil {
			delete(c.Groups, old.ID)
		}
		return change(c)
	})
	if err != nil {
		return err
	}
	m.setLive(func(l map[uint32]*Group) {
		l[g.Schema.ID] = g
		if old != nil {
			delete(l, old.ID)
		}
	})
	return nil
}

// catchUp applies to a group's tiles what the log has after the position that they hold.
func (m *Manager) catchUp(ctx context.Context, g *Group) error {
	cat := m.cfg.Catalog.Current()
	b := base(cat, cat.Relations[g.Schema.Relation])
	if b.Kind != schema.EventTable {
		return nil
	}
	upTo := m.cfg.Log.Position()
	types := columnTypes(b)
	err := m.cfg.Log.Scan(ctx, reclog.SourceID(b.ID), g.tilesAt, upTo, types, func(pos uint64, deleted []uint64, first uint64, ins *vector.Chunk) error {
		change := &reclog.Applied{Source: reclog.SourceID(b.ID), Position: pos, FirstInsertID: first, Inserted: ins, DeletedIDs: deleted}
		if len(deleted) > 0 {
			var err error
			if change.Deleted, err = m.oldRows(ctx, b, deleted, pos); err != nil {
				return err
			}
		}
		batch := m.cfg.Log.DB().NewBatch()
		defer batch.Close()
		done, err := m.applyChange(ctx, cat, batch, g, pos, change)
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

// oldRows are deleted rows, found in the log by their ids.
func (m *Manager) oldRows(ctx context.Context, b *schema.Relation, ids []uint64, before uint64) (*vector.Chunk, error) {
	at := map[uint64]int{}
	for i, id := range ids {
		at[id] = i
	}
	found := vector.NewChunk(columnTypes(b), len(ids))
	order := make([]int, 0, len(ids))
	err := m.cfg.Log.Scan(ctx, reclog.SourceID(b.ID), 0, before, columnTypes(b), func(_ uint64, _ []uint64, first uint64, ins *vector.Chunk) error {
		if ins == nil {
			return nil
		}
		for i := range ins.N {
			if j, ok := at[first+uint64(i)]; ok {
				found.AppendRow(ins, i)
				order = append(order, j)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if found.N != len(ids) {
		return nil, fmt.Errorf("relation %s: %d of %d deleted rows are not in the log", b.Name, len(ids)-found.N, len(ids))
	}
	out := vector.NewChunk(columnTypes(b), len(ids))
	inverse := make([]int, len(ids))
	for i, j := range order {
		inverse[j] = i
	}
	for _, i := range inverse {
		out.AppendRow(found, i)
	}
	return out, nil
}

// discard removes what an unfinished build left.
func (m *Manager) discard(def *schema.Group, g *Group) error {
	c := *def
	if g != nil && g.Manifest != nil {
		if b, err := json.Marshal(g.Manifest); err == nil {
			c.Manifest = b
		}
	}
	return m.dropGroup(&c)
}

// Dropped is what DROP took out of the catalog.
type Dropped struct {
	Groups    []*schema.Group
	Relations []*schema.Relation
}

// Drop removes the data of dropped objects.
func (m *Manager) Drop(ctx context.Context, d Dropped) error {
	m.apply.Lock()
	m.setLive(func(l map[uint32]*Group) {
		for _, g := range d.Groups {
			delete(l, g.ID)
		}
	})
	m.apply.Unlock()
	var errs []error
	for _, g := range d.Groups {
		errs = append(errs, m.dropGroup(g))
	}
	for _, r := range d.Relations {
		if r.Kind == schema.EventTable {
			errs = append(errs, m.proj.drop(ctx, r.ID), m.cfg.Log.DropSource(reclog.SourceID(r.ID)))
		}
	}
	return errors.Join(errs...)
}

// dropGroup removes the files and tiles of a group that no catalog names any more.
func (m *Manager) dropGroup(g *schema.Group) error {
	var errs []error
	m.tailMu.Lock()
	delete(m.tails, g.ID)
	m.tailMu.Unlock()
	if len(g.Manifest) > 0 {
		var man runs.Manifest
		if err := json.Unmarshal(g.Manifest, &man); err != nil {
			errs = append(errs, err)
		}
		for _, s := range man.Segments {
			errs = append(errs, m.runs.Remove(s))
		}
	}
	if g.Online {
		errs = append(errs, m.cfg.Tiles.Drop(g.ID))
	}
	return errors.Join(errs...)
}
