package schema

import (
	"encoding/json"
	"fmt"
)

// published is what gateways are told of a catalog.
type published struct {
	Version   uint64     `json:"version"`
	Documents []document `json:"documents"`
}

type document struct {
	Kind string          `json:"kind"`
	Body json.RawMessage `json:"body"`
}

// Published is what a server without the catalog's data has to know to answer by its definitions: all but connections, secrets, and the
// files that data is in.
func (c *Catalog) Published() ([]byte, error) {
	p := published{Version: c.Version}
	var failed error
	add := func(kind string, o any) {
		b, err := json.Marshal(o)
		if err != nil {
			failed = fmt.Errorf("catalog: document of kind %s: %w", kind, err)
		}
		p.Documents = append(p.Documents, document{kind, b})
	}
	for _, o := range c.Relations {
		r := *o
		if r.File != nil {
			f := *r.File
			f.Files, r.File = nil, &f
		}
		add(KindRelation, &r)
	}
	for _, o := range c.Groups {
		g := *o
		g.Manifest = nil
		add(KindGroup, &g)
	}
	addAll(add, KindEntity, c.Entities)
	addAll(add, KindFeature, c.Features)
	addAll(add, KindFeatureView, c.FeatureViews)
	addAll(add, KindFunction, c.Functions)
	addAll(add, KindRole, c.Roles)
	addAll(add, KindMembership, c.Memberships)
	addAll(add, KindPrivileges, c.Privileges)
	addAll(add, KindDefaults, c.Defaults)
	if failed != nil {
		return nil, failed
	}
	return json.Marshal(p)
}

func addAll[T any](add func(kind string, o any), kind string, all map[uint32]*T) {
	for _, o := range all {
		add(kind, o)
	}
}

// ParsePublished is the catalog of what Published made. Errors: bad JSON; a kind of document that this version does not know.
func ParsePublished(b []byte) (*Catalog, error) {
	var p published
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("catalog: published definitions: %w", err)
	}
	c := Empty()
	c.Version = p.Version
	for _, d := range p.Documents {
		if err := c.Add(d.Kind, d.Body); err != nil {
			return nil, err
		}
	}
	return c.Index(), nil
}

// Adopt makes a catalog current that somebody else keeps. It is written nowhere.
func (r *Registry) Adopt(c *Catalog) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current.Store(c)
	changed := make(chan struct{})
	close(*r.changed.Swap(&changed))
}
