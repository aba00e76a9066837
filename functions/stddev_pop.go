package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var stddevPopDef = &Definition{
	Name:         "stddev_pop",
	Family:       Spread,
	Calls:        []string{"stddev_pop(x)"},
	Example:      "stddev_pop(amount)",
	Help:         "population standard deviation: the square root of var_pop",
	Arguments:    "x: smallint, integer, bigint, numeric(p,s), real or double precision",
	Result:       "double precision",
	NullRule:     "skips NULL; NULL where no row is left; NaN where a value is NaN or infinite",
	Inverse:      true,
	ErrorBound:   "the exact value rounded once, to nearest",
	StateVersion: momentsVersion,
	StateOf:      "var_pop",
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindVariance("stddev_pop", args, 0, true)
		if err != nil {
			return nil, err
		}
		return &stddevPop{a}, nil
	},
}

type stddevPop struct{ *moments }

var _ Aggregate = (*stddevPop)(nil)

func (a *stddevPop) Definition() *Definition { return stddevPopDef }
