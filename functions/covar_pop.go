package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var covarPopDef = &Definition{
	Name:         "covar_pop",
	Family:       TwoColumns,
	Calls:        []string{"covar_pop(y, x)"},
	Example:      "covar_pop(amount, purchase_id)",
	Help:         "population covariance: the mean product of the distances of y and x to their means",
	Arguments:    "y, x: smallint, integer, bigint, numeric(p,s), real or double precision, taken as double precision",
	Result:       "double precision",
	NullRule:     "skips rows where y or x is NULL; NULL where no row is left; NaN where a value is NaN or infinite",
	Inverse:      true,
	ErrorBound:   "the exact value rounded once, to nearest",
	StateVersion: comomentsVersion,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindComoments("covar_pop", args, 1, func(m *pairSums) (float64, bool, bool) { return m.covariance(m.n) })
		if err != nil {
			return nil, err
		}
		return &covarPop{a}, nil
	},
}

type covarPop struct{ *comoments }

var _ Aggregate = (*covarPop)(nil)

func (a *covarPop) Definition() *Definition { return covarPopDef }
