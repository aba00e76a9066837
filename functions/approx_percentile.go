package functions

import (
	"fmt"
	"math"
	"math/big"
	"strings"

	"github.com/tilehouse/tilehouse/functions/exact"
	"github.com/tilehouse/tilehouse/functions/vector"
)

// The buckets: 64 of equal width between one power of two and the next, mirrored for negative numbers. Bucket 0 is that of zero
// and of what is nearer to it than 2⁻¹⁰³⁶; infinities have one each, and NaN the last.
const (
	percentileSubs  = 64
	percentileLeast = -1036 // exponent of the least power of two
	percentileInf   = 1 + (1024-percentileLeast)*percentileSubs
	percentileNaN   = percentileInf + 1
)

// maxPercentiles is the most ps of one call.
const maxPercentiles = 100

var approxPercentileDef = &Definition{
	Name:         "approx_percentile",
	Family:       OrderOfValues,
	Calls:        []string{"approx_percentile(x, p)", "approx_percentile(x, p[])"},
	Example:      "approx_percentile(amount, ARRAY[0.5, 0.95])",
	Help:         "the value that a share p of the rows does not pass, estimated: percentile_disc(p) by counts in log-linear buckets; NaN is greater than all numbers",
	Arguments:    "x: smallint, integer, bigint, numeric(p,s), real or double precision, taken as double precision",
	Result:       "double precision, or an array of it where p is an array",
	NullRule:     "skips NULL; NULL where no row is left",
	Inverse:      true,
	ErrorBound:   "within 0.78 % (1/129) of the exact percentile_disc(p); of magnitudes below 2^-1036 the result is 0; the same rows give the same estimate",
	StateVersion: tallyVersion,
	Parameters: []Parameter{{Name: "p", Help: fmt.Sprintf("a constant number from 0 to 1, or a constant array of 1 to %d of them", maxPercentiles),
		Samples: []string{"0.5", "{0,0.05,0.999,1}"}}},
	Bind: func(args []vector.Type, constants []string, _ Options) (Aggregate, error) {
		if len(args) != 2 {
			return nil, noSuchFunction("approx_percentile", args, "approx_percentile takes a value and a share: approx_percentile(x, 0.95).")
		}
		if err := summable("approx_percentile", args[:1]); err != nil {
			return nil, err
		}
		ps, array, ok := numbers(constant(constants, 1))
		for _, p := range ps {
			ok = ok && p.Sign() >= 0 && p.Cmp(big.NewRat(1, 1)) <= 0
		}
		if !ok || len(ps) == 0 || len(ps) > maxPercentiles {
			return nil, &BindError{codeParameter, fmt.Sprintf("p of approx_percentile must be a constant number from 0 to 1, or an array of 1 to %d of them", maxPercentiles),
				"Write approx_percentile(x, 0.95) or approx_percentile(x, ARRAY[0.5, 0.95])."}
		}
		a := &approxPercentile{array: array}
		a.tally = &tally{name: "approx_percentile", args: []vector.Type{vector.T(vector.Float64)}, least: -percentileInf, most: percentileNaN,
			bucket: func(v *vector.Vector, row int) int32 { return percentileBucket(v.F64[row]) }, sql: percentileSQL}
		a.finish = func(s *tallyState, out *vector.Vector) error {
			if !a.array {
				out.AppendFloat(s.percentile(ps[0]))
				return nil
			}
			for _, p := range ps {
				out.Child[0].AppendFloat(s.percentile(p))
			}
			out.CloseNested()
			return nil
		}
		return a, nil
	},
}

type approxPercentile struct {
	*tally
	array bool
}

var _ Aggregate = (*approxPercentile)(nil)

func (a *approxPercentile) Definition() *Definition { return approxPercentileDef }

func (a *approxPercentile) ResultType() vector.Type {
	if a.array {
		return vector.ListOf(vector.T(vector.Float64))
	}
	return vector.T(vector.Float64)
}

// percentileBucket is the bucket of x: its exponent and the six bits that follow its first.
func percentileBucket(x float64) int32 {
	b := math.Float64bits(x)
	sign, e, sub := int32(1), int32(b>>52&2047)-1023, int32(b>>46&63)
	if b>>63 != 0 {
		sign = -1
	}
	switch {
	case x != x:
		return percentileNaN
	case e == 1024:
		return sign * percentileInf
	case math.Abs(x) < 0x1p-1036:
		return 0
	case e < -1022: // a number below the least normal one: its exponent is where its first bit is
		x *= 0x1p64
		b = math.Float64bits(x)
		e, sub = int32(b>>52&2047)-1023-64, int32(b>>46&63)
	}
	return sign * (1 + (e-percentileLeast)*percentileSubs + sub)
}

// percentileValue is the harmonic mean of a bucket's ends, no further than 1/129 of any value in it from that value.
func percentileValue(bucket int32) float64 {
	k, sign := bucket, 1.0
	if k < 0 {
		k, sign = -k, -1
	}
	switch k {
	case 0:
		return 0
	case percentileInf:
		return math.Inf(int(sign))
	case percentileNaN:
		return math.NaN()
	}
	e, sub := int(k-1)/percentileSubs+percentileLeast, int64(k-1)%percentileSubs+percentileSubs
	x, _ := exact.Quotient(big.NewInt(2*sub*(sub+1)), big.NewInt(2*sub+1), e-6)
	return sign * x
}

// percentile is the value of the row of rank ceil(p·rows), at least 1, in the order of values.
func (s *tallyState) percentile(p *big.Rat) float64 {
	rank := new(big.Int).Mul(p.Num(), big.NewInt(s.rows()))
	rank.Sub(rank.Add(rank, p.Denom()), big.NewInt(1))
	left := max(rank.Quo(rank, p.Denom()).Int64(), 1)
	for _, f := range s.at {
		if left -= f.n; left <= 0 {
			return percentileValue(f.bucket)
		}
	}
	return percentileValue(s.at[len(s.at)-1].bucket)
}

// percentileSQL finds the binary order of a number scaled to its chunk by comparisons, as engines' logarithms differ, and then its
// six bits.
func percentileSQL(d Dialect, relation, names string) (bucket, from string) {
	from = fmt.Sprintf("(SELECT %sc, z, %s(z) AS m FROM %s%s) AS q3", names, d.fn("abs"), scale(d, relation, names, "a0", "c", "z"), d.fence())
	var b strings.Builder
	fmt.Fprintf(&b, "CASE c WHEN 67 THEN %d WHEN 66 THEN -%d WHEN 65 THEN %d ELSE CASE WHEN z < 0 THEN -1 ELSE 1 END * CASE", percentileNaN, percentileInf, percentileInf)
	for e := 31; e >= 0; e-- {
		// Bucket 1 + (32c + e)·64 + floor(m·2^(6−e)) − 64 of a number m·2^(32c−1036), 2^e ≤ m < 2^(e+1).
		fmt.Fprintf(&b, " WHEN m >= %s THEN 64 * (32 * c + %d) - 63 + %s", d.pow2(e), e, d.bigint(fmt.Sprintf("%s(m * %s)", d.fn("floor"), d.pow2(6-e))))
	}
	b.WriteString(" ELSE 0 END END")
	return b.String(), from
}
