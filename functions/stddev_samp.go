package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var stddevSampDef = &Definition{
	Name:         "stddev_samp",
	Family:       Spread,
	Calls:        []string{"stddev_samp(x)"},
	Example:      "stddev_samp(amount)",
	Help:         "sample standard deviation: the square root of var_samp",
	Arguments:    "x: smallint, integer, bigint, numeric(p,s), real or double precision",
	Result:       "double precision",
	NullRule:     "skips NULL; NULL where fewer than two rows are left; NaN where a value is NaN or infinite",
	Inverse:      true,
	ErrorBound:   "the exact value rounded once, to nearest",
	StateVersion: momentsVersion,
	StateOf:      "var_pop",
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindVariance("stddev_samp", args, 1, true)
		if err != nil {
			return nil, err
		}
		return &stddevSamp{a}, nil
	},
}

type stddevSamp struct{ *moments }

var _ Aggregate = (*stddevSamp)(nil)

func (a *stddevSamp) Definition() *Definition { return stddevSampDef }
