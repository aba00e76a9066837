package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Catalog is an immutable snapshot of all objects.
type Catalog struct {
	Version      uint64
	Relations    map[uint32]*Relation
	Entities     map[uint32]*Entity
	Features     map[uint32]*Feature
	FeatureViews map[uint32]*FeatureView
	Groups       map[uint32]*Group
	Functions    map[uint32]*Function
	Connections  map[uint32]*Connection
	Secrets      map[uint32]*Secret
	Roles        map[uint32]*Role
	Memberships  map[uint32]*Membership
	Privileges   map[uint32]*Privileges        // of the objects that do not have the default
	Defaults     map[uint32]*DefaultPrivileges // of the objects to come

	byName map[string]any
	byRef  map[Ref]*Privileges
}

// The document kinds of the objects.
const (
	KindRelation    = "relation"
	KindEntity      = "entity"
	KindFeature     = "feature"
	KindFeatureView = "feature view"
	KindGroup       = "group"
	KindFunction    = "function"
	KindConnection  = "connection"
	KindSecret      = "secret"
	KindRole        = "role"
	KindMembership  = "membership"
	KindPrivileges  = "privileges"
	KindDefaults    = "default privileges"
)

// Empty is a catalog without objects.
func Empty() *Catalog {
	return &Catalog{Relations: map[uint32]*Relation{}, Entities: map[uint32]*Entity{}, Features: map[uint32]*Feature{}, FeatureViews: map[uint32]*FeatureView{}, Groups: map[uint32]*Group{}, Functions: map[uint32]*Function{}, Roles: builtinRoles(),
		Connections: map[uint32]*Connection{}, Secrets: map[uint32]*Secret{},
		Memberships: builtinMemberships(), Privileges: map[uint32]*Privileges{}, Defaults: map[uint32]*DefaultPrivileges{}, byName: map[string]any{}}
}

// Clone is a copy that may be changed: maps are new, objects shared. Replace objects, do not change them.
func (c *Catalog) Clone() *Catalog {
	return &Catalog{Version: c.Version, Relations: maps.Clone(c.Relations), Entities: maps.Clone(c.Entities),
		Features: maps.Clone(c.Features), FeatureViews: maps.Clone(c.FeatureViews), Groups: maps.Clone(c.Groups), Functions: maps.Clone(c.Functions), Roles: maps.Clone(c.Roles),
		Connections: maps.Clone(c.Connections), Secrets: maps.Clone(c.Secrets),
		Memberships: maps.Clone(c.Memberships), Privileges: maps.Clone(c.Privileges), Defaults: maps.Clone(c.Defaults)}
}

// Index makes the lookups by name; call it once a changed catalog is complete.
func (c *Catalog) Index() *Catalog {
	c.byName = map[string]any{}
	for _, r := range c.Relations {
		c.byName[r.Name] = r
	}
	for _, e := range c.Entities {
		c.byName[e.Name] = e
	}
	for _, f := range c.Features {
		c.byName[f.Name] = f
	}
	for _, v := range c.FeatureViews {
		c.byName[v.Name] = v
	}
	c.byRef = map[Ref]*Privileges{}
	for _, p := range c.Privileges {
		c.byRef[p.Ref] = p
	}
	return c
}

// Lookup is the object of a name: *Relation, *Entity, *Feature, *FeatureView or nil.
func (c *Catalog) Lookup(name string) any { return c.byName[name] }

// Relation is the relation of a name, nil if there is none.
func (c *Catalog) Relation(name string) *Relation { r, _ := c.byName[name].(*Relation); return r }

// Entity is the entity of a name, nil if there is none.
func (c *Catalog) Entity(name string) *Entity { e, _ := c.byName[name].(*Entity); return e }

// Feature is the feature of a name, nil if there is none.
func (c *Catalog) Feature(name string) *Feature { f, _ := c.byName[name].(*Feature); return f }

// FeaturesOf are the features of an entity, by name.
func (c *Catalog) FeaturesOf(entity uint32) []*Feature {
	var out []*Feature
	for _, f := range c.Features {
		if f.Entity == entity {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b *Feature) int { return int(a.ID) - int(b.ID) })
	return out
}

// GroupOf is the group of a relation, what its rows are widened by, and a key, nil if there is none.
func (c *Catalog) GroupOf(relation uint32, keys []Expr, from From) *Group {
	for _, g := range c.Groups {
		if g.Relation == relation && SameKeys(g.Keys, keys) && g.From.Equal(from) {
			return g
		}
	}
	return nil
}

// GroupFor is the group of a relation and key that holds all the partials, nil if there is none.
func (c *Catalog) GroupFor(relation uint32, keys []Expr, from From, fingerprints []string) *Group {
	if g := c.GroupOf(relation, keys, from); g != nil && g.HasAll(fingerprints) {
		return g
	}
	return nil
}

// DropUnread takes out the groups that no feature reads.
func (c *Catalog) DropUnread() {
	read := map[uint32]bool{}
	for _, f := range c.Features {
		read[f.Group] = true
	}
	maps.DeleteFunc(c.Groups, func(id uint32, _ *Group) bool { return !read[id] })
}

// PartialsRead are the fingerprints of a group's partials that a feature other than one (0: none) reads.
func (c *Catalog) PartialsRead(group, except uint32) map[string]bool {
	read := map[string]bool{}
	for _, f := range c.Features {
		if f.Group == group && f.ID != except {
			for _, o := range f.Outputs {
				read[o.Partial] = true
			}
		}
	}
	return read
}

// SameKeys reports whether two key lists are the same expressions.
func SameKeys(a, b []Expr) bool {
	return slices.EqualFunc(a, b, func(x, y Expr) bool { return x.SQL == y.SQL && x.Type.Equal(y.Type) })
}

// HasAll reports whether g holds partials of all the fingerprints.
func (g *Group) HasAll(fingerprints []string) bool {
	for _, f := range fingerprints {
		if g.Partial(f) < 0 {
			return false
		}
	}
	return true
}

// Partial is the index of the partial with a fingerprint, or -1.
func (g *Group) Partial(fingerprint string) int {
	return slices.IndexFunc(g.Partials, func(p Partial) bool { return p.Fingerprint == fingerprint })
}

// ColumnIndex is the position of a column, or -1.
func (r *Relation) ColumnIndex(name string) int {
	return slices.IndexFunc(r.Columns, func(c Column) bool { return c.Name == name })
}

// Add puts a document into the catalog. Errors: an unknown kind, bad JSON.
func (c *Catalog) Add(kind string, body []byte) error {
	var err error
	switch kind {
	case KindRelation:
		o := &Relation{}
		err = json.Unmarshal(body, o)
		c.Relations[o.ID] = o
	case KindEntity:
		o := &Entity{}
		err = json.Unmarshal(body, o)
		c.Entities[o.ID] = o
	case KindFeature:
		o := &Feature{}
		err = json.Unmarshal(body, o)
		c.Features[o.ID] = o
	case KindFeatureView:
		o := &FeatureView{}
		err = json.Unmarshal(body, o)
		c.FeatureViews[o.ID] = o
	case KindGroup:
		o := &Group{}
		err = json.Unmarshal(body, o)
		c.Groups[o.ID] = o
	case KindFunction:
		o := &Function{}
		err = json.Unmarshal(body, o)
		c.Functions[o.ID] = o
	case KindConnection:
		o := &Connection{}
		err = json.Unmarshal(body, o)
		c.Connections[o.ID] = o
	case KindSecret:
		o := &Secret{}
		err = json.Unmarshal(body, o)
		c.Secrets[o.ID] = o
	case KindRole:
		o := &Role{}
		err = json.Unmarshal(body, o)
		if o.Name == BootstrapRole {
			o = bootstrap(o)
		}
		c.Roles[o.ID] = o
	case KindMembership:
		o := &Membership{}
		err = json.Unmarshal(body, o)
		c.Memberships[o.ID] = o
	case KindPrivileges:
		o := &Privileges{}
		err = json.Unmarshal(body, o)
		c.Privileges[o.ID] = o
	case KindDefaults:
		o := &DefaultPrivileges{}
		err = json.Unmarshal(body, o)
		c.Defaults[o.ID] = o
	default:
		return fmt.Errorf("catalog: unknown kind of document %q", kind)
	}
	if err != nil {
		return fmt.Errorf("catalog: document of kind %s: %w", kind, err)
	}
	return nil
}

// Function is the function of a name, nil if there is none. Functions have names of their own.
func (c *Catalog) Function(name string) *Function {
	for _, f := range c.Functions {
		if f.Name == name {
			return f
		}
	}
	return nil
}
