package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var varianceDef = &Definition{
	Name:         "variance",
	Family:       Spread,
	Calls:        []string{"variance(x)"},
	Example:      "variance(amount)",
	Help:         "sample variance: another name of var_samp",
	Arguments:    "x: smallint, integer, bigint, numeric(p,s), real or double precision",
	Result:       "double precision",
	NullRule:     "skips NULL; NULL where fewer than two rows are left; NaN where a value is NaN or infinite",
	Inverse:      true,
	ErrorBound:   "the exact value rounded once, to nearest",
	StateVersion: momentsVersion,
	StateOf:      "var_pop",
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindVariance("variance", args, 1, false)
		if err != nil {
			return nil, err
		}
		return &variance{a}, nil
	},
}

type variance struct{ *moments }

var _ Aggregate = (*variance)(nil)

func (a *variance) Definition() *Definition { return varianceDef }
