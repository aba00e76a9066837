package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var covarSampDef = &Definition{
	Name:         "covar_samp",
	Family:       TwoColumns,
	Calls:        []string{"covar_samp(y, x)"},
	Example:      "covar_samp(amount, purchase_id)",
	Help:         "sample covariance: the sum of the products of the distances of y and x to their means, divided by the number of rows less one",
	Arguments:    "y, x: smallint, integer, bigint, numeric(p,s), real or double precision, taken as double precision",
	Result:       "double precision",
	NullRule:     "skips rows where y or x is NULL; NULL where fewer than two rows are left; NaN where a value is NaN or infinite",
	Inverse:      true,
	ErrorBound:   "the exact value rounded once, to nearest",
	StateVersion: comomentsVersion,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindComoments("covar_samp", args, 2, func(m *pairSums) (float64, bool, bool) { return m.covariance(m.n - 1) })
		if err != nil {
			return nil, err
		}
		return &covarSamp{a}, nil
	},
}

type covarSamp struct{ *comoments }

var _ Aggregate = (*covarSamp)(nil)

func (a *covarSamp) Definition() *Definition { return covarSampDef }
