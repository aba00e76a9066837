package functions

import (
	"math"

	"github.com/tilehouse/tilehouse/functions/exact"
	"github.com/tilehouse/tilehouse/functions/vector"
)

var regrSlopeDef = &Definition{
	Name:         "regr_slope",
	Family:       TwoColumns,
	Calls:        []string{"regr_slope(y, x)"},
	Example:      "regr_slope(amount, purchase_id)",
	Help:         "slope of the line y = slope * x + intercept of least squares",
	Arguments:    "y, x: smallint, integer, bigint, numeric(p,s), real or double precision, taken as double precision",
	Result:       "double precision",
	NullRule:     "skips rows where y or x is NULL; NULL where no row is left or all values of x are equal; NaN where a value is NaN or infinite",
	Inverse:      true,
	ErrorBound:   "the exact value rounded once, to nearest",
	StateVersion: comomentsVersion,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindComoments("regr_slope", args, 1, finishSlope)
		if err != nil {
			return nil, err
		}
		return &regrSlope{a}, nil
	},
}

type regrSlope struct{ *comoments }

var _ Aggregate = (*regrSlope)(nil)

func (a *regrSlope) Definition() *Definition { return regrSlopeDef }

// finishSlope is sxy/sxx.
func finishSlope(m *pairSums) (x float64, null, ok bool) {
	switch {
	case flat(m.sxx):
		return 0, true, true
	case m.sxy == nil:
		return math.NaN(), false, true
	}
	x, ok = exact.Quotient(m.sxy, m.sxx, m.ey-m.ex)
	return x, false, ok
}
