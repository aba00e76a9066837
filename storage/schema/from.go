package schema

import (
	"fmt"
	"slices"
)

// From is what a relation's rows are widened by before they are events: first by elements of lists, then by attributes.
type From struct {
	Unnest []Unnest `json:"unnest,omitempty"`
	Joins  []Join   `json:"joins,omitempty"`
}

// Equal reports whether two are the same.
func (f From) Equal(g From) bool {
	return slices.Equal(f.Unnest, g.Unnest) && slices.EqualFunc(f.Joins, g.Joins, func(a, b Join) bool {
		return a.Relation == b.Relation && a.Strict == b.Strict && a.Inner == b.Inner && slices.Equal(a.Columns, b.Columns) && SameKeys(a.Keys, b.Keys)
	})
}

// Join is an ASOF join of events to a relation of slowly changing attributes: each event has the columns of the row in force at
// its time, the last one by event time, primary key and then the row's columns. Later expressions name them by JoinColumn.
type Join struct {
	Relation uint32   `json:"relation"`
	Keys     []Expr   `json:"keys"`             // over the row so far
	Columns  []string `json:"columns"`          // of the relation, by their inside names: equal to Keys
	Strict   bool     `json:"strict,omitempty"` // a row is in force after its time only, not at it
	Inner    bool     `json:"inner,omitempty"`  // a row without attributes is no event
}

// JoinColumn is the name of a column of a From's i-th join, by its inside name, in the widened row, which no relation's column has.
func JoinColumn(i int, column string) string { return fmt.Sprintf("join %d.%s", i, column) }

// Joined reports whether a group's events are joined to a relation, or to a view over it.
func (c *Catalog) Joined(g *Group, relation uint32) bool {
	return slices.ContainsFunc(g.Joins, func(j Join) bool {
		r := c.Relations[j.Relation]
		return j.Relation == relation || r != nil && r.View != nil && r.View.Base == relation
	})
}
