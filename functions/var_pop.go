package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var varPopDef = &Definition{
	Name:         "var_pop",
	Family:       Spread,
	Calls:        []string{"var_pop(x)"},
	Example:      "var_pop(amount)",
	Help:         "population variance: the mean square of the distance to the mean",
	Arguments:    "x: smallint, integer, bigint, numeric(p,s), real or double precision",
	Result:       "double precision",
	NullRule:     "skips NULL; NULL where no row is left; NaN where a value is NaN or infinite",
	Inverse:      true,
	ErrorBound:   "the exact value rounded once, to nearest",
	StateVersion: momentsVersion,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindVariance("var_pop", args, 0, false)
		if err != nil {
			return nil, err
		}
		return &varPop{a}, nil
	},
}

type varPop struct{ *moments }

var _ Aggregate = (*varPop)(nil)

func (a *varPop) Definition() *Definition { return varPopDef }
