package reclog

import (
	"errors"
	"fmt"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Schema is the columns that rows are read with: the source's at some time. Columns are only ever added to a source, at the end, and their
// types widened, so rows of before lack some, or have narrower values, and rows of after have more, which whoever reads by this schema does
// not know of.
type Schema struct {
	Types []vector.Type
	// Missing is, by column, the one value that rows have which were written before the column was added. Where it is shorter, or nil:
	// NULL.
	Missing []*vector.Vector
}

// Fit is rows with the columns of the schema; what it adds, widens or leaves out does not change c, whose columns it shares. Errors:
// ErrNarrower, and ErrCorrupt where a column is of another type.
func (s Schema) Fit(c *vector.Chunk) (*vector.Chunk, error) {
	same := len(c.Cols) == len(s.Types)
	for i, v := range c.Cols {
		if i < len(s.Types) && !v.Type.Equal(s.Types[i]) {
			if err := s.wider(i, v.Type); err != nil {
				return nil, err
			}
			same = false
		}
	}
	if same {
		return c, nil
	}
	out := &vector.Chunk{N: c.N, Cols: make([]*vector.Vector, len(s.Types))}
	for i, t := range s.Types {
		switch {
		case i >= len(c.Cols):
			out.Cols[i] = vector.New(t, c.N)
			for range c.N {
				s.appendMissing(out.Cols[i], i)
			}
		case c.Cols[i].Type.Equal(t):
			out.Cols[i] = c.Cols[i]
		default:
			out.Cols[i] = Widen(c.Cols[i], t)
		}
	}
	return out, nil
}

// ErrNarrower is wrapped by errors of reading rows by a schema of before a column's type was widened: the reader binds anew.
var ErrNarrower = errors.New("reclog: a column was given another type meanwhile") // 40001

// wider is an error where column i of a type cannot be read by the schema.
func (s Schema) wider(i int, t vector.Type) error {
	switch {
	case Widens(t, s.Types[i]):
		return nil
	case Widens(s.Types[i], t):
		return fmt.Errorf("%w: column %d is %s by now", ErrNarrower, i, t)
	}
	return fmt.Errorf("%w: column %d is %s, the schema says %s", ErrCorrupt, i, t, s.Types[i])
}

func (s Schema) appendMissing(v *vector.Vector, column int) {
	if column < len(s.Missing) && s.Missing[column] != nil {
		v.AppendFrom(s.Missing[column], 0)
		return
	}
	v.AppendNull()
}
