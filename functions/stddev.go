package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var stddevDef = &Definition{
	Name:         "stddev",
	Family:       Spread,
	Calls:        []string{"stddev(x)"},
	Example:      "stddev(amount)",
	Help:         "sample standard deviation: another name of stddev_samp",
	Arguments:    "x: smallint, integer, bigint, numeric(p,s), real or double precision",
	Result:       "double precision",
	NullRule:     "skips NULL; NULL where fewer than two rows are left; NaN where a value is NaN or infinite",
	Inverse:      true,
	ErrorBound:   "the exact value rounded once, to nearest",
	StateVersion: momentsVersion,
	StateOf:      "var_pop",
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindVariance("stddev", args, 1, true)
		if err != nil {
			return nil, err
		}
		return &stddev{a}, nil
	},
}

type stddev struct{ *moments }

var _ Aggregate = (*stddev)(nil)

func (a *stddev) Definition() *Definition { return stddevDef }
