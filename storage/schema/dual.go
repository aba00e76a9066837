package schema

import (
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Dual is a source of two sides: history of a batch side, files, and fresh rows of a stream side, of which the boundary, an event time,
// says where the one ends and the other begins. Its rows are
//
//   - those of the batch side before the boundary, the last one of each key by event time and then by its columns,
//   - those of the stream side from the boundary on, and
//   - those of the stream side before it that came after the load that set the boundary,
//
// the stream's without those whose key a row of the batch side has that counts. Without a key the last kind is left out.
//
// They are kept in the log of record under the dual source's own id, with where they come from: loads of the batch side bring and take
// them, and whatever a transaction does to the stream side does to them what follows.
type Dual struct {
	Batch  uint32   `json:"batch"`           // a file source
	Stream uint32   `json:"stream"`          // a Kafka source or an event table
	Places []int    `json:"places"`          // by column: its place among those that are stored of the stream side
	Key    []string `json:"key,omitempty"`   // columns that are unique over both; none: rows are not compared
	Auto   bool     `json:"auto,omitempty"`  // the boundary is the last midnight, UTC, that the batch side is complete through
	Fixed  *int64   `json:"fixed,omitempty"` // otherwise: the boundary, microseconds UTC
	// What the last load made it. Boundary is microseconds UTC, nil before the batch side is complete through any midnight: then all rows
	// are the stream's.
	Boundary *int64 `json:"boundary,omitempty"`
	Since    uint64 `json:"since,omitempty"`    // rows of the stream side from this id on came after the load that set Boundary
	SetAt    uint64 `json:"set_at,omitempty"`   // the position of that load
	Loaded   uint64 `json:"loaded,omitempty"`   // the position as of which the batch side's files were taken last; 0: they are all to be taken
	Through  int64  `json:"through,omitempty"`  // what the batch side's option complete_through was then
	Rejected int64  `json:"rejected,omitempty"` // rows of the batch side without an event time or a key
}

// DualSource has rows in the log of record, too: those that its two sides give it.
const DualSource RelationKind = "dual source"

// DualOrigin is the hidden column of a dual source: the id of the stream side's row, or the file id << FileRowBits | row number of the batch side's.
const DualOrigin = "__origin"

// FileRowBits is how many low bits of a file row's id are its number in the file. Ids of rows in the log of record are below 1 << FileRowBits.
const FileRowBits = 40

var dualColumns = []Column{{Name: DualOrigin, Type: vector.T(vector.Int64), NotNull: true}}

// Before reports whether an event time lies before the boundary.
func (d *Dual) Before(t int64) bool { return d.Boundary != nil && t < *d.Boundary }

// OfStream reports whether a row of a dual source is the stream side's.
func (d *Dual) OfStream(origin int64) bool { return origin < 1<<FileRowBits }

// Stale reports whether the batch side, or what the boundary is to be, changed since the last load.
func (d *Dual) Stale(batch *Relation) bool {
	if d.Loaded == 0 || d.Through != batch.File.CompleteThrough || d.Fixed != nil && (d.Boundary == nil || *d.Boundary != *d.Fixed) {
		return true
	}
	return slices.ContainsFunc(batch.File.Files, func(f FileVersion) bool { return f.Added > d.Loaded || f.Removed > d.Loaded })
}

// DualsOf are the dual sources that have a relation as a side.
func (c *Catalog) DualsOf(relation uint32) []*Relation {
	var out []*Relation
	for _, r := range c.Relations {
		if r.Dual != nil && (r.Dual.Batch == relation || r.Dual.Stream == relation) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *Relation) int { return int(a.ID) - int(b.ID) })
	return out
}

// KeyPlaces are the places, among a relation's stored columns, of the columns that are keys of a group which reads it, or a dual source of whose
// stream side it is; none of other groups.
func (c *Catalog) KeyPlaces(g *Group, r *Relation) []int {
	var places []int // by column of what the group reads; nil: the relation itself
	if g.Relation != r.ID {
		d := c.Relations[g.Relation]
		if d == nil || d.Dual == nil || d.Dual.Stream != r.ID {
			return nil
		}
		places = d.Dual.Places
	}
	var out []int
	for _, k := range g.Keys {
		switch {
		case k.Column < 0:
		case places == nil:
			out = append(out, k.Column)
		case k.Column < len(places):
			out = append(out, places[k.Column])
		}
	}
	return out
}
