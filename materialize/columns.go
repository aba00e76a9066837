package materialize

import (
	"fmt"
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Columns are added to event tables at the end. A row that was written before has the added column's missing value: NULL, or what the
// column's default was when it came. Whoever reads rows says by which columns, so statements with an older catalog go on to see theirs.
// A column that is dropped stays stored, and one that is renamed keeps its inside name (schema.Relation.Stored).

// RowSchema is a relation's columns as the log gives rows.
func RowSchema(r *schema.Relation) reclog.Schema {
	stored := r.Stored()
	s := reclog.Schema{Types: make([]vector.Type, len(stored), len(stored)+1)}
	for i, c := range stored {
		s.Types[i] = c.Type
		if c.Missing == nil {
			continue
		}
		if s.Missing == nil {
			s.Missing = make([]*vector.Vector, len(s.Types))
		}
		s.Missing[i] = missingValue(r, c)
	}
	return s
}

// MissingValue is a value, of one row, as a column keeps what rows have that were written before it was added; nil for NULL.
func MissingValue(v *vector.Vector) []byte {
	if v == nil || v.IsNull(0) {
		return nil
	}
	return reclog.AppendChunk(nil, &vector.Chunk{N: 1, Cols: []*vector.Vector{v}}, 0, 1)
}

// WidenedMissing is what MissingValue made as a type that the column is widened to. Errors: it is no such value.
func WidenedMissing(missing []byte, to vector.Type) ([]byte, error) {
	if missing == nil {
		return nil, nil
	}
	ch, err := reclog.DecodeChunk(missing)
	if err != nil {
		return nil, err
	}
	return MissingValue(reclog.Widen(ch.Cols[0], to)), nil
}

func missingValue(r *schema.Relation, c schema.Column) *vector.Vector {
	ch, err := reclog.DecodeChunk(c.Missing)
	if err != nil || ch.N != 1 || len(ch.Cols) != 1 || !ch.Cols[0].Type.Equal(c.Type) {
		panic(fmt.Sprintf("the catalog's missing value of column %q of %q: %v", c.Name, r.Name, err)) // MissingValue made it
	}
	return ch.Cols[0]
}

// fit is rows of an event table with the columns of r.
func fit(r *schema.Relation, ch *vector.Chunk) (*vector.Chunk, error) {
	if ch == nil || slices.EqualFunc(ch.Cols, r.Stored(), func(v *vector.Vector, c schema.Column) bool { return v.Type.Equal(c.Type) }) {
		return ch, nil
	}
	return RowSchema(r).Fit(ch)
}

// sameTypes reports whether columns have types.
func sameTypes(types []vector.Type, columns []schema.Column) bool {
	return slices.EqualFunc(types, columns, func(t vector.Type, c schema.Column) bool { return t.Equal(c.Type) })
}

// StoredRows are rows with the columns that users see, as the rows are stored: dropped columns are NULL. They share the columns of ch.
func StoredRows(r *schema.Relation, ch *vector.Chunk) *vector.Chunk {
	if ch == nil || len(r.Dropped) == 0 {
		return ch
	}
	stored := r.Stored()
	out := &vector.Chunk{N: ch.N, Cols: make([]*vector.Vector, len(stored))}
	for i, v := range ch.Cols {
		out.Cols[r.Place(i)] = v
	}
	for i, v := range out.Cols {
		if v == nil {
			out.Cols[i] = vector.New(stored[i].Type, ch.N)
			for range ch.N {
				out.Cols[i].AppendNull()
			}
		}
	}
	return out
}

// ShownRows is StoredRows the other way round, of rows that were stored by r or before.
func ShownRows(r *schema.Relation, ch *vector.Chunk) (*vector.Chunk, error) {
	ch, err := fit(r, ch)
	if err != nil || ch == nil || len(r.Dropped) == 0 {
		return ch, err
	}
	out := &vector.Chunk{N: ch.N}
	for i := range r.Columns {
		out.Cols = append(out.Cols, ch.Cols[r.Place(i)])
	}
	return out, nil
}

// Schema implements reclog.Applier.
func (m *Manager) Schema(source reclog.SourceID) reclog.Schema {
	if r := m.cfg.Catalog.Current().Relations[uint32(source)]; r != nil {
		return RowSchema(r)
	}
	return reclog.Schema{}
}
