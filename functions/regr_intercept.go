package functions

import (
	"math"
	"math/big"

	"github.com/tilehouse/tilehouse/functions/exact"
	"github.com/tilehouse/tilehouse/functions/vector"
)

var regrInterceptDef = &Definition{
	Name:         "regr_intercept",
	Family:       TwoColumns,
	Calls:        []string{"regr_intercept(y, x)"},
	Example:      "regr_intercept(amount, purchase_id)",
	Help:         "intercept of the line y = slope * x + intercept of least squares",
	Arguments:    "y, x: smallint, integer, bigint, numeric(p,s), real or double precision, taken as double precision",
	Result:       "double precision",
	NullRule:     "skips rows where y or x is NULL; NULL where no row is left or all values of x are equal; NaN where a value is NaN or infinite",
	Inverse:      true,
	ErrorBound:   "the exact value rounded once, to nearest",
	StateVersion: comomentsVersion,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindComoments("regr_intercept", args, 1, finishIntercept)
		if err != nil {
			return nil, err
		}
		return &regrIntercept{a}, nil
	},
}

type regrIntercept struct{ *comoments }

var _ Aggregate = (*regrIntercept)(nil)

func (a *regrIntercept) Definition() *Definition { return regrInterceptDef }

// finishIntercept is (Σy·sxx − Σx·sxy)/(n·sxx).
func finishIntercept(m *pairSums) (x float64, null, ok bool) {
	switch {
	case flat(m.sxx):
		return 0, true, true
	case m.sxy == nil:
		return math.NaN(), false, true
	}
	num := new(big.Int).Mul(m.y, m.sxx)
	num.Sub(num, new(big.Int).Mul(m.x, m.sxy))
	x, ok = exact.Quotient(num, new(big.Int).Mul(big.NewInt(m.n), m.sxx), m.ey)
	return x, false, ok
}
