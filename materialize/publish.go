package materialize

import (
	"context"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// ErrOvertaken is the error of publishing groups that were built over what has changed since.
var ErrOvertaken = errors.New("a source or a feature that the definitions build on was changed meanwhile") // 40001

// Batch is definitions on their way into the catalog. The groups that features need are built as they come; nobody but its
// owner sees them until Publish makes all of them live, with rows, in one catalog version. It is for one goroutine, which ends it by
// Publish or Discard.
//
//	Begin ─► Build … Build ─► Publish   one version, or an error and no trace
//	                     └──► Discard   no trace
type Batch struct {
	m         *Manager
	exclusive bool
	locks     bool // Publish holds the build lock, whether or not there is something built
	held      bool // the build lock is held
	built     []*Built
	duals     []*dualLoad // of dual sources that the batch defines
	loaded    []*dualLoad // those of them that are published
}

// Built is a feature whose group exists.
type Built struct {
	req   Request
	group uint32             // that holds its partials
	made  *Group             // nil: the group was there already
	old   uint32             // the group that made takes the place of; 0: none
	basis []*schema.Relation // that its rows and their attributes are of
}

// Begin starts a batch. An exclusive one keeps builds, refreshes and settlements of others out from its first Build to its
// end, so that it must not wait for a client in between; another one can be overtaken by them (ErrOvertaken).
func (m *Manager) Begin(exclusive bool) *Batch { return &Batch{m: m, exclusive: exclusive} }

// HoldRetention keeps rows from being dropped by retention while the batch is published: its steps depend on what is kept.
func (b *Batch) HoldRetention() { b.locks = true }

// lock takes the build lock unless the batch holds it; the function returned gives it back.
func (b *Batch) lock() (unlock func()) {
	if b.held {
		return func() {}
	}
	b.m.build.Lock()
	if b.exclusive {
		b.held = true
		return func() {}
	}
	return b.m.build.Unlock
}

func (b *Batch) end() {
	if b.held {
		b.held = false
		b.m.build.Unlock()
	}
}

// Build finds the group of cat that holds a feature's partials, which takes no time, or builds a new one with the union of
// these and those of the group of the same relation and key, which it will take the place of. catalog is asked once other builds are
// out of the way, for the current catalog with the batch's own definitions. An error, and the end of ctx, leaves the batch as it was.
func (b *Batch) Build(ctx context.Context, catalog func() (*schema.Catalog, error), req Request) (*Built, error) {
	defer b.lock()()
	cat, err := catalog()
	if err != nil {
		return nil, err
	}
	m, f := b.m, req.Feature
	if f.ID == 0 {
		id, err := m.cfg.Log.Sequence("feature")
		if err != nil {
			return nil, err
		}
		f.ID = uint32(id)
	}
	out := &Built{req: req}
	if g := cat.GroupFor(f.Relation, req.Keys, req.From, req.Fingerprints); g != nil && !req.Again &&
		(!f.Online || serves(g, f.Outputs)) {
		out.group = g.ID
		b.built = append(b.built, out)
		return out, nil
	}
	base, err := baseOf(cat, f.Relation)
	if err != nil {
		return nil, err
	}
	id, err := m.cfg.Log.Sequence("group")
	if err != nil {
		return nil, err
	}
	out.basis = []*schema.Relation{base}
	for _, j := range req.From.Joins {
		joined, err := baseOf(cat, j.Relation)
		if err != nil {
			return nil, err
		}
		out.basis = append(out.basis, joined)
	}
	var old *schema.Group
	if g := cat.GroupOf(f.Relation, req.Keys, req.From); g != nil {
		out.old = g.ID
		read := cat.PartialsRead(g.ID, f.ID)
		only := *g
		only.Partials = slices.DeleteFunc(slices.Clone(g.Partials), func(p schema.Partial) bool { return !read[p.Fingerprint] })
		old = &only
	}
	def := req.Group(uint32(id), old)
	if f.Online {
		keep(def, f.Outputs)
	}
	out.group = def.ID
	job := m.jobs.begin(ctx, f.Name, f.Relation, def.ID)
	job.notice, job.lateness = req.Notice, f.Lateness
	out.made, err = m.buildGroup(ctx, cat, def, m.cfg.Log.Position(), job)
	job.end(err)
	if err != nil {
		return nil, errors.Join(err, m.abandon(ctx, out.made))
	}
	if err := m.built(out.made); err != nil { // another build must not go on from segments that are this group's
		return nil, err
	}
	b.built = append(b.built, out)
	return out, nil
}

// Put adds the feature and its group to a catalog being changed.
func (b *Built) Put(c *schema.Catalog) error {
	if b.made != nil {
		if c.Groups[b.old] != nil {
			repoint(c, b.old, b.group)
			delete(c.Groups, b.old)
		}
		c.Groups[b.group] = b.made.Schema
	}
	f := *b.req.Feature
	f.Group = b.group
	return b.req.Put(c, &f)
}

// Materialize builds a feature's group and publishes both.
func (m *Manager) Materialize(ctx context.Context, req Request) error {
	b := m.Begin(true)
	built, err := b.Build(ctx, m.current, req)
	if err != nil {
		return errors.Join(err, b.Discard(nil))
	}
	return b.Publish(ctx, nil, built.Put)
}

func (m *Manager) current() (*schema.Catalog, error) { return m.cfg.Catalog.Current(), nil }

// Publish commits rows and what change does to the catalog together, and makes the groups that were built live. What the new
// catalog lacks, its data included, is dropped. An error ends the batch without a trace, but for relations that the batch made: those
// are for the caller to Discard.
func (b *Batch) Publish(ctx context.Context, rows []reclog.Change, change func(c *schema.Catalog) error) error {
	defer b.end()
	if len(b.built) > 0 || len(rows) > 0 || b.locks {
		defer b.lock()()
	}
	future := b.m.cfg.Catalog.Current().Clone().Index()
	err := change(future)
	if err == nil {
		err = b.overtaken()
	}
	if err != nil {
		return errors.Join(err, b.discard())
	}
	future.Index()
	var fresh []*Group
	for _, x := range b.built {
		if x.made == nil {
			continue
		}
		if future.Groups[x.group] == x.made.Schema {
			fresh = append(fresh, x.made)
		} else { // another group of the batch has taken its place, or its feature was dropped
			err = errors.Join(err, b.m.dropGroup(x.made.Schema))
		}
	}
	b.built = nil
	if err == nil {
		err = b.m.publish(ctx, fresh, rows, change, b.duals...)
	}
	if err == nil {
		b.loaded = b.duals
	}
	b.endLoads()
	if err == nil && b.locks {
		b.m.poke()
	}
	if err != nil {
		for _, g := range fresh {
			err = errors.Join(err, b.m.dropGroup(g.Schema))
		}
	}
	return err
}

// overtaken reports whether others changed what the batch's groups were built over: a source's files, or the groups in
// their place.
func (b *Batch) overtaken() error {
	cat := b.m.cfg.Catalog.Current()
	own := map[uint32]bool{}
	for _, x := range b.built {
		if x.made == nil {
			if !own[x.group] && cat.Groups[x.group] == nil {
				return ErrOvertaken
			}
			continue
		}
		own[x.group] = true
		if g := cat.GroupOf(x.req.Feature.Relation, x.req.Keys, x.req.From); g != nil && g.ID != x.old && !own[x.old] {
			return ErrOvertaken
		}
		for _, b := range x.basis {
			if now := cat.Relations[b.ID]; now != nil && now.File != nil && !slices.Equal(now.File.Files, b.File.Files) {
				return ErrOvertaken
			}
		}
	}
	return nil
}

// Discard ends a batch: what it built is removed, and what reading the relations that it made has left.
func (b *Batch) Discard(made []*schema.Relation) error {
	defer b.end()
	return errors.Join(b.discard(), b.m.drop(dropped{relations: made}))
}

func (b *Batch) endLoads() {
	for _, l := range b.duals {
		l.close()
	}
	b.duals = nil
}

func (b *Batch) discard() error {
	b.endLoads()
	var errs []error
	for _, x := range b.built {
		if x.made != nil {
			errs = append(errs, b.m.dropGroup(x.made.Schema))
		}
	}
	b.built = nil
	return errors.Join(errs...)
}

// dropped is what a change took out of the catalog.
type dropped struct {
	groups    []*schema.Group
	relations []*schema.Relation
}

func droppedBy(old, next *schema.Catalog) dropped {
	var d dropped
	for id, g := range old.Groups {
		if next.Groups[id] == nil {
			d.groups = append(d.groups, g)
		}
	}
	for id, r := range old.Relations {
		if next.Relations[id] == nil {
			d.relations = append(d.relations, r)
		}
	}
	return d
}

// publish makes built groups live together with rows and what change does to the catalog. Before the commit the tiles catch up with
// what was committed since they were built, and the committer keeps them from then on. The build lock is held where there are
// groups, rows or loads of dual sources.
func (m *Manager) publish(ctx context.Context, fresh []*Group, rows []reclog.Change, change func(c *schema.Catalog) error, loads ...*dualLoad) error {
	future := m.cfg.Catalog.Current().Clone().Index()
	if err := change(future); err != nil {
		return err
	}
	future.Index()
	for _, g := range fresh {
		if _, err := baseOf(future, g.Schema.Relation); err != nil {
			return err
		}
		if g.Tiles != nil && len(g.Schema.Joins) == 0 {
			if err := m.catchUp(ctx, future, g); err != nil { // most of it, while others commit
				return err
			}
		}
		g.Schema.Ready = true
	}
	join := func() error {
		m.apply.Lock()
		defer m.apply.Unlock()
		for _, g := range fresh {
			if err := m.overtakenSince(ctx, future, g); err != nil {
				return err
			}
			if g.Tiles == nil || m.overtaken.since(g.Schema.ID) != 0 {
				continue
			}
			if err := m.catchUp(ctx, future, g); err != nil {
				return err
			}
		}
		m.setLive(func(l map[uint32]*Group) {
			for _, g := range fresh {
				g.joining = future
				l[g.Schema.ID] = g
			}
		})
		return nil
	}
	leave := func() {
		m.apply.Lock()
		defer m.apply.Unlock()
		m.setLive(func(l map[uint32]*Group) {
			for _, g := range fresh {
				delete(l, g.Schema.ID)
			}
		})
	}
	if err := join(); err != nil {
		return err
	}
	var gone dropped
	var next *schema.Catalog
	noted := func(c *schema.Catalog) error {
		err := change(c)
		gone, next = droppedBy(m.cfg.Catalog.Current(), c), c
		return err
	}
	var err error
	if len(rows)+len(loads) == 0 {
		err = m.cfg.Catalog.Update(ctx, noted)
	} else {
		release := func() {}
		err = m.cfg.Catalog.UpdateWith(ctx, noted, func(write func(b *pebble.Batch) error) (err error) {
			release, err = m.commitLoads(ctx, next, rows, loads, write)
			return err
		})
		release() // once the new catalog is the current one
	}
	if err != nil {
		leave()
		return err
	}
	m.apply.Lock()
	m.setLive(func(l map[uint32]*Group) {
		for _, g := range fresh {
			live := *g
			live.joining, live.lateness = nil, 0 // the catalog has its features
			l[g.Schema.ID] = &live
		}
		for _, g := range gone.groups {
			delete(l, g.ID)
		}
	})
	m.apply.Unlock()
	if err := m.drop(gone); err != nil { // it is committed: what is left over goes at the next start
		m.cfg.Logger.Error("removing the data of dropped objects", "error", err)
	}
	return nil
}

// drop removes the data of objects that no catalog names any more.
func (m *Manager) drop(d dropped) error {
	ctx := context.Background()
	var errs []error
	for _, g := range d.groups {
		errs = append(errs, m.dropGroup(g))
	}
	for _, r := range d.relations {
		if r.Logged() {
			m.graves.drop(reclog.SourceID(r.ID))
			errs = append(errs, m.eval.drop(ctx, r.ID), m.proj.drop(ctx, r.ID), m.cfg.Log.DropSource(reclog.SourceID(r.ID)))
		}
	}
	return errors.Join(append(errs, m.expireKept())...)
}
