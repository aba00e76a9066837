package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var varSampDef = &Definition{
	Name:         "var_samp",
	Family:       Spread,
	Calls:        []string{"var_samp(x)"},
	Example:      "var_samp(amount)",
	Help:         "sample variance: the sum of squares of the distance to the mean, divided by the number of rows less one",
	Arguments:    "x: smallint, integer, bigint, numeric(p,s), real or double precision",
	Result:       "double precision",
	NullRule:     "skips NULL; NULL where fewer than two rows are left; NaN where a value is NaN or infinite",
	Inverse:      true,
	ErrorBound:   "the exact value rounded once, to nearest",
	StateVersion: momentsVersion,
	StateOf:      "var_pop",
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindVariance("var_samp", args, 1, false)
		if err != nil {
			return nil, err
		}
		return &varSamp{a}, nil
	},
}

type varSamp struct{ *moments }

var _ Aggregate = (*varSamp)(nil)

func (a *varSamp) Definition() *Definition { return varSampDef }
