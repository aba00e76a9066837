package functions

import (
	"math/big"

	"github.com/tilehouse/tilehouse/functions/exact"
	"github.com/tilehouse/tilehouse/functions/vector"
)

var skewnessDef = &Definition{
	Name:         "skewness",
	Family:       Spread,
	Calls:        []string{"skewness(x)"},
	Example:      "skewness(amount)",
	Help:         "skewness of the sample, the adjusted Fisher-Pearson coefficient: sqrt(n(n-1))/(n-2) times the third standardized moment",
	Arguments:    "x: smallint, integer, bigint, numeric(p,s), real or double precision",
	Result:       "double precision",
	NullRule:     "skips NULL; NULL where fewer than three rows are left or all values are equal; NaN where a value is NaN or infinite",
	Inverse:      true,
	ErrorBound:   "the exact value rounded once, to nearest",
	StateVersion: momentsVersion,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindMoments("skewness", args, 3, 3, finishSkewness)
		if err != nil {
			return nil, err
		}
		return &skewness{a}, nil
	},
}

type skewness struct{ *moments }

var _ Aggregate = (*skewness)(nil)

func (a *skewness) Definition() *Definition { return skewnessDef }

// finishSkewness is the root of n(n−1)/(n−2)²·M3²/M2³ with the sign of M3, where Mk = n^k·mk are integers for the central
// moments mk: M2 = nΣx² − (Σx)², M3 = n²Σx³ − 3nΣx²Σx + 2(Σx)³.
func finishSkewness(m *powerSums) (x float64, null, ok bool) {
	m2 := m.about()
	if m2.Sign() <= 0 {
		return 0, true, true
	}
	mul := func(a, b *big.Int) *big.Int { return new(big.Int).Mul(a, b) }
	m3 := m.times(m.s[3], m.n, m.n)
	m3.Sub(m3, m.times(mul(m.s[2], m.s[1]), 3, m.n))
	m3.Add(m3, m.times(mul(mul(m.s[1], m.s[1]), m.s[1]), 2))
	x, ok = exact.Root(m.times(mul(m3, m3), m.n, m.n-1), m.times(mul(mul(m2, m2), m2), m.n-2, m.n-2), 0)
	if m3.Sign() < 0 {
		x = 0 - x
	}
	return x, false, ok
}
