package materialize

import (
	"fmt"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/runs"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tiles"
)

// Group is a schema.Group ready to be read and written: its aggregates bound, its stores known. It is immutable once published.
type Group struct {
	Schema   *schema.Group
	Partials []event.Partial
	Tiles    *tiles.Group // nil where the group is not online
	Manifest *runs.Manifest

	floor uint64            // least position that the runs serve
	dead  map[uint64]uint64 // row versions in the runs that went: row id → position
	// tilesEra counts the times that the tiles were changed outside the committer, during which nobody reads them.
	tilesEra int
	tilesAt  uint64      // position of the tiles while the group is built
	marks    *watermarks // of all its rows
	// joining is the catalog in which the group exists, from when the committer keeps its tiles until it is published; then nil.
	joining *schema.Catalog
	// joinedAt is the position as of which a build reads the attributes that events are joined to.
	joinedAt uint64
	lateness int64 // of the feature for which it is built

	// Of a group that is built: the identity of its rows, under which a checkpoint is kept, and the segments written for it.
	rows        string
	unpublished []runs.Segment
}

// Compile binds the aggregates of a group. Errors: an aggregate that this version does not know, a bad manifest.
func Compile(g *schema.Group) (*Group, error) {
	out := &Group{Schema: g, marks: newWatermarks()}
	for _, p := range g.Partials {
		agg, err := bindPartial(&p)
		if err != nil {
			return nil, fmt.Errorf("group %d, partial %s: %w", g.ID, p.SQL, err)
		}
		out.Partials = append(out.Partials, event.Partial{Agg: agg, Args: p.Args, Filter: p.Filter})
	}
	if len(g.Manifest) > 0 {
		var err error
		if out.Manifest, out.floor, out.dead, err = decodeDocument(g.Manifest); err != nil {
			return nil, fmt.Errorf("group %d: manifest: %w", g.ID, err)
		}
		out.marks.raise(newestTime(out.Manifest))
	}
	if g.Online {
		out.Tiles = &tiles.Group{Prefix: g.ID, Layout: g.Layout, Partials: out.Partials, Retain: g.Retain, Lifetime: g.Lifetime, Eras: g.Eras}
	}
	return out, nil
}

func bindPartial(p *schema.Partial) (functions.Aggregate, error) {
	def, ok := functions.Lookup(p.Function)
	if !ok {
		return nil, fmt.Errorf("unknown aggregate %q", p.Function)
	}
	return def.Bind(p.Types, p.Constants, functions.Options{MaxState: p.MaxState})
}

// Newest is the newest event time that was seen of the group, in microseconds; event.Forever where it has no events. It may be that of
// an event which is gone.
func (g *Group) Newest() int64 { return g.marks.newest.Load() }
