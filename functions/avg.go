package functions

import "github.com/tilehouse/tilehouse/functions/vector"

// avgScale is the least scale of an average of integers and decimals.
const avgScale = 16

var avgDef = &Definition{
	Name:         "avg",
	Family:       CountsAndSums,
	Calls:        []string{"avg(x)"},
	Example:      "avg(amount)",
	Help:         "the average",
	Arguments:    "x: smallint, integer, bigint, numeric(p,s), real or double precision",
	Result:       "numeric(38, max(s, 16)) of integers, where s is 0, and of numeric(p,s); double precision of real and double precision",
	NullRule:     "skips NULL; NULL where no row is left",
	Inverse:      true,
	ErrorBound:   "the exact quotient rounded once: decimals half away from zero, doubles to nearest",
	StateVersion: 1,
	StateOf:      "sum",
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		if err := summable("avg", args); err != nil {
			return nil, err
		}
		return &avg{args: args, widen: widening(args[0])}, nil
	},
}

// widening is 10^(scale of the average of t − scale of t).
func widening(t vector.Type) uint64 {
	w := uint64(1)
	for range max(0, avgScale-int(t.Scale)) {
		w *= 10
	}
	return w
}

type avg struct {
	args  []vector.Type
	widen uint64 // 10^(scale of the result − scale of the argument), at most 10¹⁶
}

var _ Aggregate = (*avg)(nil)

func (a *avg) Definition() *Definition { return avgDef }
func (a *avg) ArgTypes() []vector.Type { return a.args }

func (a *avg) ResultType() vector.Type {
	if a.args[0].Buffer() == vector.BufF64 {
		return vector.T(vector.Float64)
	}
	return vector.DecimalOf(38, max(a.args[0].Scale, avgScale))
}

func (a *avg) New() State {
	if a.args[0].Buffer() == vector.BufF64 {
		return &floatState{name: "avg", version: avgDef.StateVersion, finish: finishFloatAvg}
	}
	return &intState{name: "avg", version: avgDef.StateVersion, finish: func(s *intAcc, out *vector.Vector) error { return a.finishInt("avg", s, out) }}
}

func finishFloatAvg(a *floatAcc, out *vector.Vector) error { return a.quotient("avg", a.n, out) }

func (a *avg) finishInt(name string, s *intAcc, out *vector.Vector) error {
	hi, lo, ok := s.sum.QuoDecimal(a.widen, s.n)
	if !ok {
		return outOfRange(name, out.Type.String())
	}
	out.AppendInt128(vector.Int128FromParts(hi, lo))
	return nil
}

func (a *avg) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	return exactPartial("avg", d, a.args[0], in)
}
