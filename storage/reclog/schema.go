package reclog

import (
	"fmt"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Schema is the columns that rows are read with: the source's at some time. Columns are only ever added to a source, at the end, so
// rows of before lack some, and rows of after have more, which whoever reads by this schema does not know of.
type Schema struct {
	Types []vector.Type
	// Missing is, by column, the one value that rows have which were written before the column was added. Where it is shorter, or nil:
	// NULL.
	Missing []*vector.Vector
}

// Fit is rows with the columns of the schema; what it adds or leaves out does not change c, whose columns it shares. Errors:
// ErrCorrupt where a column is of another type.
func (s Schema) Fit(c *vector.Chunk) (*vector.Chunk, error) {
	for i, v := range c.Cols {
		if i < len(s.Types) && !v.Type.Equal(s.Types[i]) {
			return nil, fmt.Errorf("%w: column %d is %s, the schema says %s", ErrCorrupt, i, v.Type, s.Types[i])
		}
	}
	if len(c.Cols) == len(s.Types) {
		return c, nil
	}
	out := &vector.Chunk{N: c.N, Cols: make([]*vector.Vector, len(s.Types))}
	for i := copy(out.Cols, c.Cols); i < len(s.Types); i++ {
		out.Cols[i] = vector.New(s.Types[i], c.N)
		for range c.N {
			s.appendMissing(out.Cols[i], i)
		}
	}
	return out, nil
}

func (s Schema) appendMissing(v *vector.Vector, column int) {
	if column < len(s.Missing) && s.Missing[column] != nil {
		v.AppendFrom(s.Missing[column], 0)
		return
	}
	v.AppendNull()
}
