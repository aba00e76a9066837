package schema

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/catalog"
)

// Registry is the current catalog and the one way to change it.
type Registry struct {
	db      *pebble.DB
	store   *catalog.Store
	mu      sync.Mutex // one change at a time
	current atomic.Pointer[Catalog]
	changed atomic.Pointer[chan struct{}]
}

// OpenRegistry loads the catalog of a database.
func OpenRegistry(db *pebble.DB) (*Registry, error) {
	r := &Registry{db: db, store: catalog.New(db)}
	version, docs, err := r.store.Load()
	if err != nil {
		return nil, err
	}
	c := Empty()
	c.Version = version
	for _, d := range docs {
		if err := c.Add(d.Kind, d.JSON); err != nil {
			return nil, err
		}
	}
	r.current.Store(c.Index())
	changed := make(chan struct{})
	r.changed.Store(&changed)
	return r, nil
}

// Changed is closed when a catalog becomes current that is newer than the one which is when it is called.
func (r *Registry) Changed() <-chan struct{} { return *r.changed.Load() }

// Current is the newest catalog.
func (r *Registry) Current() *Catalog { return r.current.Load() }

// Update changes the catalog: change gets a copy, whose objects it replaces and does not change in place. What differs is
// written in one synced batch, and then becomes current. An error, of change or of CheckViews, leaves no trace.
func (r *Registry) Update(ctx context.Context, change func(c *Catalog) error) error {
	return r.UpdateWith(ctx, change, func(write func(b *pebble.Batch) error) error {
		b := r.db.NewBatch()
		defer b.Close()
		if err := write(b); err != nil || b.Empty() {
			return err
		}
		return b.Commit(pebble.Sync)
	})
}

// UpdateWith is Update in a batch of somebody else's: commit calls write, perhaps more than once with different batches, and
// makes durable the last one that it was called with. What commit returns decides whether the change becomes current.
func (r *Registry) UpdateWith(ctx context.Context, change func(c *Catalog) error, commit func(write func(b *pebble.Batch) error) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	old := r.Current()
	next := old.Clone()
	next.Version++
	next.Index()
	if err := change(next); err != nil {
		return err
	}
	if err := next.CheckViews(); err != nil {
		return err
	}
	n := 0
	err := commit(func(b *pebble.Batch) (err error) {
		n, err = r.diff(b, old, next)
		return err
	})
	if err == nil && n > 0 {
		r.current.Store(next.Index())
		changed := make(chan struct{})
		close(*r.changed.Swap(&changed))
	}
	return err
}

// diff writes the documents that differ and counts them.
func (r *Registry) diff(b *pebble.Batch, old, next *Catalog) (int, error) {
	n := 0
	for _, d := range []func() (int, error){
		func() (int, error) {
			return diff(r.store, b, next.Version, KindRelation, old.Relations, next.Relations)
		},
		func() (int, error) { return diff(r.store, b, next.Version, KindEntity, old.Entities, next.Entities) },
		func() (int, error) { return diff(r.store, b, next.Version, KindFeature, old.Features, next.Features) },
		func() (int, error) {
			return diff(r.store, b, next.Version, KindFeatureView, old.FeatureViews, next.FeatureViews)
		},
		func() (int, error) { return diff(r.store, b, next.Version, KindGroup, old.Groups, next.Groups) },
		func() (int, error) {
			return diff(r.store, b, next.Version, KindFunction, old.Functions, next.Functions)
		},
		func() (int, error) {
			return diff(r.store, b, next.Version, KindConnection, old.Connections, next.Connections)
		},
		func() (int, error) { return diff(r.store, b, next.Version, KindSecret, old.Secrets, next.Secrets) },
		func() (int, error) { return diff(r.store, b, next.Version, KindRole, old.Roles, next.Roles) },
		func() (int, error) {
			return diff(r.store, b, next.Version, KindMembership, old.Memberships, next.Memberships)
		},
		func() (int, error) {
			return diff(r.store, b, next.Version, KindPrivileges, old.Privileges, next.Privileges)
		},
		func() (int, error) { return diff(r.store, b, next.Version, KindDefaults, old.Defaults, next.Defaults) },
	} {
		k, err := d()
		if err != nil {
			return 0, err
		}
		n += k
	}
	return n, nil
}

func diff[T any](s *catalog.Store, b *pebble.Batch, version uint64, kind string, old, next map[uint32]*T) (int, error) {
	n := 0
	for id, o := range next {
		if old[id] == o {
			continue
		}
		body, err := json.Marshal(o)
		if err != nil {
			return 0, err
		}
		n++
		if err := s.Put(b, version, catalog.Doc{Kind: kind, ID: fmt.Sprint(id), JSON: body}); err != nil {
			return 0, err
		}
	}
	for id := range old {
		if next[id] == nil {
			n++
			if err := s.Delete(b, version, kind, fmt.Sprint(id)); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}
