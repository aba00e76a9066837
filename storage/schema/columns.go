package schema

import (
	"fmt"
	"slices"
	"strings"
)

// A column of an event table keeps its place among the stored ones, and a name that nothing else ever has inside, from when it comes for
// good: rows of before have it, and so has whatever is made of them. What users call it, and whether they see it, is all that renaming
// and dropping change. So expressions that the catalog holds name columns by their inside names, and stay as they are.
//
//	declared   id   k   amount → fee   (dropped)   fee2
//	place      0    1   2              3           4
//	inside     id   k   amount         note        __column4

// DroppedColumn is a column that users do not see any more.
type DroppedColumn struct {
	Place int `json:"place"` // among Stored
	Column
}

// Inside is the column's name in rows and in expressions that the catalog holds.
func (c *Column) Inside() string {
	if c.Kept != "" {
		return c.Kept
	}
	return c.Name
}

// InsideNew is the inside name of a column to be added: its own where no other column ever had it.
func (r *Relation) InsideNew(name string) string {
	stored := r.Stored()
	if len(r.Dropped) == 0 && !slices.ContainsFunc(stored, func(c Column) bool { return strings.EqualFold(c.Name, name) }) {
		return name
	}
	return fmt.Sprintf("__column%d", len(stored)) // no user's column begins like that
}

// Inside is the inside name of the column that users call name; name itself where there is none.
func (r *Relation) Inside(name string) string {
	if i := r.ColumnIndex(name); i >= 0 {
		return r.Columns[i].Inside()
	}
	return name
}

// Place is where column i is among the stored ones.
func (r *Relation) Place(i int) int {
	for k := range r.Dropped { // ascending
		if r.Dropped[k].Place <= i {
			i++
		}
	}
	return i
}

// PlaceOf is where the column that users call name is among the stored ones, or -1.
func (r *Relation) PlaceOf(name string) int {
	if i := r.ColumnIndex(name); i >= 0 {
		return r.Place(i)
	}
	return -1
}

// AtPlace is the column that is stored at a place, -1 where it was dropped, is hidden, or is not there yet.
func (r *Relation) AtPlace(place int) int {
	i := place
	for k := range r.Dropped {
		switch at := r.Dropped[k].Place; {
		case at == place:
			return -1
		case at < place:
			i--
		}
	}
	if i >= len(r.Columns) {
		return -1
	}
	return i
}

// Stored are the columns of the relation's rows in the log of record, and in everything that is made of whole rows, by their inside names:
// dropped and hidden ones, too.
func (r *Relation) Stored() []Column {
	if len(r.Dropped) == 0 && !slices.ContainsFunc(r.Columns, func(c Column) bool { return c.Kept != "" }) {
		return append(slices.Clip(r.Columns), r.Hidden()...)
	}
	out := make([]Column, len(r.Columns)+len(r.Dropped), len(r.Columns)+len(r.Dropped)+len(r.Hidden()))
	for k := range r.Dropped {
		out[r.Dropped[k].Place] = r.Dropped[k].Column
	}
	for i := range r.Columns {
		out[r.Place(i)] = r.Columns[i]
	}
	for i := range out {
		out[i].Name = out[i].Inside()
	}
	return append(out, r.Hidden()...)
}
