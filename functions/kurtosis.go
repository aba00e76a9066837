package functions

import (
	"math/big"

	"github.com/tilehouse/tilehouse/functions/exact"
	"github.com/tilehouse/tilehouse/functions/vector"
)

var kurtosisDef = &Definition{
	Name:         "kurtosis",
	Family:       Spread,
	Calls:        []string{"kurtosis(x)"},
	Example:      "kurtosis(amount)",
	Help:         "excess kurtosis of the sample: (n-1)/((n-2)(n-3)) times ((n+1) times the fourth standardized moment less 3(n-1))",
	Arguments:    "x: smallint, integer, bigint, numeric(p,s), real or double precision",
	Result:       "double precision",
	NullRule:     "skips NULL; NULL where fewer than four rows are left or all values are equal; NaN where a value is NaN or infinite",
	Inverse:      true,
	ErrorBound:   "the exact value rounded once, to nearest",
	StateVersion: momentsVersion,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindMoments("kurtosis", args, 4, 4, finishKurtosis)
		if err != nil {
			return nil, err
		}
		return &kurtosis{a}, nil
	},
}

type kurtosis struct{ *moments }

var _ Aggregate = (*kurtosis)(nil)

func (a *kurtosis) Definition() *Definition { return kurtosisDef }

// finishKurtosis is (n−1)((n+1)·M4 − 3(n−1)·M2²)/((n−2)(n−3)·M2²) in the integers of finishSkewness, with
// M4 = n³Σx⁴ − 4n²Σx³Σx + 6nΣx²(Σx)² − 3(Σx)⁴.
func finishKurtosis(m *powerSums) (x float64, null, ok bool) {
	m2 := m.about()
	if m2.Sign() <= 0 {
		return 0, true, true
	}
	mul := func(a, b *big.Int) *big.Int { return new(big.Int).Mul(a, b) }
	n, square, mean2 := m.n, mul(m2, m2), mul(m.s[1], m.s[1])
	num := m.times(m.s[4], n, n, n)
	num.Sub(num, m.times(mul(m.s[3], m.s[1]), 4, n, n))
	num.Add(num, m.times(mul(m.s[2], mean2), 6, n))
	num.Sub(num, m.times(mul(mean2, mean2), 3))
	num = m.times(num, n+1)
	num.Sub(num, m.times(square, 3, n-1))
	x, ok = exact.Quotient(m.times(num, n-1), m.times(square, n-2, n-3), 0)
	return x, false, ok
}
