package reclog

import (
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Widens reports whether every value of a type is one of another: rows that were written by the one are read by the other.
func Widens(from, to vector.Type) bool {
	if from.Equal(to) {
		return true
	}
	wider := func(kinds ...vector.Kind) bool {
		a, b := slices.Index(kinds, from.Kind), slices.Index(kinds, to.Kind)
		return a >= 0 && a < b
	}
	if from.Kind == vector.Decimal && to.Kind == vector.Decimal {
		return to.Scale >= from.Scale && to.Precision-to.Scale >= from.Precision-from.Scale
	}
	return wider(vector.Int16, vector.Int32, vector.Int64) || wider(vector.Float32, vector.Float64)
}

// Widen is v as a type that its own widens to. It shares v's memory where the values are laid out alike.
func Widen(v *vector.Vector, to vector.Type) *vector.Vector {
	out := *v
	out.Type = to
	if from := v.Type; to.Kind == vector.Decimal && to.Scale > from.Scale {
		by := to.Scale - from.Scale
		out.I128 = make([]vector.Int128, len(v.I128))
		for i, x := range v.I128 {
			if !v.IsNull(i) {
				out.I128[i] = x.IncreaseScaleBy(int32(by))
			}
		}
	}
	return &out
}
