package functions

import (
	"math"
	"math/big"

	"github.com/tilehouse/tilehouse/functions/exact"
	"github.com/tilehouse/tilehouse/functions/vector"
)

var corrDef = &Definition{
	Name:         "corr",
	Family:       TwoColumns,
	Calls:        []string{"corr(y, x)"},
	Example:      "corr(amount, purchase_id)",
	Help:         "Pearson's coefficient of correlation, from -1 to 1",
	Arguments:    "y, x: smallint, integer, bigint, numeric(p,s), real or double precision, taken as double precision",
	Result:       "double precision",
	NullRule:     "skips rows where y or x is NULL; NULL where no row is left or all values of y, or all of x, are equal; NaN where a value is NaN or infinite",
	Inverse:      true,
	ErrorBound:   "the exact value rounded once, to nearest",
	StateVersion: comomentsVersion,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindComoments("corr", args, 1, finishCorr)
		if err != nil {
			return nil, err
		}
		return &corr{a}, nil
	},
}

type corr struct{ *comoments }

var _ Aggregate = (*corr)(nil)

func (a *corr) Definition() *Definition { return corrDef }

// finishCorr is the root of sxy²/(sxx·syy) with the sign of sxy.
func finishCorr(m *pairSums) (x float64, null, ok bool) {
	switch {
	case flat(m.sxx), flat(m.syy):
		return 0, true, true
	case m.sxy == nil:
		return math.NaN(), false, true
	}
	x, ok = exact.Root(new(big.Int).Mul(m.sxy, m.sxy), new(big.Int).Mul(m.sxx, m.syy), 0)
	if m.sxy.Sign() < 0 {
		x = 0 - x
	}
	return x, false, ok
}
