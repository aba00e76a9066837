package materialize

import (
	"fmt"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Columns are added to event tables at the end. A row that was written before has the added column's missing value: NULL, or what the
// column's default was when it came. Whoever reads rows says by which columns, so statements with an older catalog go on to see theirs.

// RowSchema is a relation's columns as the log gives rows.
func RowSchema(r *schema.Relation) reclog.Schema {
	s := reclog.Schema{Types: columnTypes(r)}
	for i, c := range r.Columns {
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

func missingValue(r *schema.Relation, c schema.Column) *vector.Vector {
	ch, err := reclog.DecodeChunk(c.Missing)
	if err != nil || ch.N != 1 || len(ch.Cols) != 1 || !ch.Cols[0].Type.Equal(c.Type) {
		panic(fmt.Sprintf("the catalog's missing value of column %q of %q: %v", c.Name, r.Name, err)) // MissingValue made it
	}
	return ch.Cols[0]
}

// fit is rows of an event table with the columns of r.
func fit(r *schema.Relation, ch *vector.Chunk) (*vector.Chunk, error) {
	if ch == nil || len(ch.Cols) == len(r.Stored()) {
		return ch, nil
	}
	return RowSchema(r).Fit(ch)
}

// Schema implements reclog.Applier.
func (m *Manager) Schema(source reclog.SourceID) reclog.Schema {
	if r := m.cfg.Catalog.Current().Relations[uint32(source)]; r != nil {
		return RowSchema(r)
	}
	return reclog.Schema{}
}
