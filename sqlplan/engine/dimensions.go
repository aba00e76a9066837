package engine

import (
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
)

// Parameters of array types are lists until a value of one has more than one dimension (codec.DecodeParam): then the statement is
// bound again, and takes the parameter as an array of any dimensions from there on.

// widen notes which parameters those are, and reports whether the statement must be bound again.
func (p *prepared) widen(args []*vector.Vector) bool {
	more := false
	for i, a := range args {
		if i >= len(p.params) || p.params[i].Kind != vector.List || a.Type.Kind != vector.Text || !codec.IsArray(a.Type.Shown) || i < len(p.dims) && p.dims[i] != 0 {
			continue
		}
		for i >= len(p.dims) {
			p.dims = append(p.dims, 0)
		}
		p.dims[i], more = a.Type.Shown, true
	}
	if more {
		p.cat = nil // it is bound again
	}
	return more
}

// dimensionsOf is a parameter's array, a list or a text, in the form of arrays of any dimensions.
func dimensionsOf(a *vector.Vector, oid uint32, s *codec.Settings) (*vector.Vector, error) {
	out := vector.New(vector.T(vector.Text), 1)
	if a.IsNull(0) {
		out.AppendNull()
		return out, nil
	}
	if a.Type.Kind == vector.List {
		s = codec.Defaults
	}
	text, err := pgfunc.ArrayText(oid, string(codec.AppendText(nil, plainOf(a), 0, codec.Defaults)), s)
	if err != nil {
		return nil, err
	}
	out.AppendString(text)
	return out, nil
}

// plainOf is a vector whose values are written as its kind has them.
func plainOf(v *vector.Vector) *vector.Vector {
	out := *v
	if v.Type.Kind == vector.Text {
		out.Type.Shown = 0
	}
	return &out
}
