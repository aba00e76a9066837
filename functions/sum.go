package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var sumDef = &Definition{
	Name:         "sum",
	Family:       CountsAndSums,
	Calls:        []string{"sum(x)"},
	Example:      "sum(amount)",
	Help:         "the sum",
	Arguments:    "x: smallint, integer, bigint, numeric(p,s), real or double precision",
	Result:       "bigint of smallint and integer; numeric(38,0) of bigint; numeric(38,s) of numeric(p,s); double precision of real and double precision",
	NullRule:     "skips NULL; NULL where no row is left",
	Inverse:      true,
	ErrorBound:   "exact; of doubles the exact sum rounded once, to nearest",
	StateVersion: 1,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		if err := summable("sum", args); err != nil {
			return nil, err
		}
		return &sum{args: args}, nil
	},
}

type sum struct{ args []vector.Type }

var _ Aggregate = (*sum)(nil)

func (a *sum) Definition() *Definition { return sumDef }
func (a *sum) ArgTypes() []vector.Type { return a.args }

func (a *sum) ResultType() vector.Type {
	r, _ := sumResult(a.args[0])
	return r
}

func (a *sum) New() State {
	if a.args[0].Buffer() == vector.BufF64 {
		return &floatState{name: "sum", version: sumDef.StateVersion, finish: finishFloatSum}
	}
	return &intState{name: "sum", version: sumDef.StateVersion, finish: finishIntSum}
}

func finishIntSum(a *intAcc, out *vector.Vector) error     { return a.total("sum", out) }
func finishFloatSum(a *floatAcc, out *vector.Vector) error { return a.quotient("sum", 1, out) }

func (a *sum) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	return exactPartial("sum", d, a.args[0], in)
}
