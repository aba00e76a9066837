package functions

import (
	"fmt"
	"math"
	"math/big"
	"sort"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// maxBounds is the most bounds of a histogram.
const maxBounds = 1000

var histogramDef = &Definition{
	Name:         "histogram",
	Family:       OrderOfValues,
	Calls:        []string{"histogram(x, bounds)"},
	Example:      "histogram(amount, ARRAY[10, 20, 100])",
	Help:         "how many rows lie before, between and after bounds b1 < b2 < …: x < b1, b1 <= x < b2, …, bn <= x; NaN is greater than all numbers",
	Arguments:    "x: smallint, integer, bigint, numeric(p,s), real or double precision",
	Result:       "bigint[], one element more than there are bounds",
	NullRule:     "skips NULL; NULL where no row is left",
	Inverse:      true,
	ErrorBound:   "exact; bounds of real and double precision are the doubles nearest to what is written",
	StateVersion: tallyVersion,
	Parameters: []Parameter{{Name: "bounds", Help: fmt.Sprintf("a constant array of 1 to %d numbers, each greater than the one before", maxBounds),
		Samples: []string{"{0}", "{-1e6,-1,0.25,3,70000,1e300}"}}},
	Bind: bindHistogram,
}

type histogram struct{ *tally }

var _ Aggregate = (*histogram)(nil)

func (a *histogram) Definition() *Definition { return histogramDef }
func (a *histogram) ResultType() vector.Type { return vector.ListOf(vector.T(vector.Int64)) }

func bindHistogram(args []vector.Type, constants []string, _ Options) (Aggregate, error) {
	if len(args) != 2 {
		return nil, noSuchFunction("histogram", args, "histogram takes a value and bounds: histogram(x, ARRAY[0, 10, 100]).")
	}
	if err := summable("histogram", args[:1]); err != nil {
		return nil, err
	}
	t := args[0]
	bounds, array, ok := numbers(constant(constants, 1))
	ok = ok && array && len(bounds) > 0 && len(bounds) <= maxBounds
	var at boundsOf
	for i := 0; ok && i < len(bounds); i++ {
		ok = at.add(t, bounds[i]) && (i == 0 || bounds[i-1].Cmp(bounds[i]) < 0)
	}
	if !ok {
		return nil, &BindError{codeParameter, fmt.Sprintf("bounds of histogram must be a constant array of 1 to %d numbers, each greater than the one before", maxBounds),
			"Write histogram(x, ARRAY[0, 10, 100])."}
	}
	n := len(bounds)
	return &histogram{&tally{name: "histogram", args: args[:1], least: 0, most: int32(n),
		bucket: func(v *vector.Vector, row int) int32 { return at.bucket(v, row) },
		sql: func(d Dialect, relation, names string) (string, string) {
			var b strings.Builder
			b.WriteString("CASE")
			for i, text := range at.literals(d, t) {
				fmt.Fprintf(&b, " WHEN a0 < %s THEN %d", text, i)
			}
			fmt.Fprintf(&b, " ELSE %d END", at.len())
			return b.String(), relation
		},
		finish: func(s *tallyState, out *vector.Vector) error {
			next := int32(0)
			for _, f := range s.at {
				for ; next < f.bucket; next++ {
					out.Child[0].AppendInt(0)
				}
				out.Child[0].AppendInt(f.n)
				next++
			}
			for ; next <= int32(n); next++ {
				out.Child[0].AppendInt(0)
			}
			out.CloseNested()
			return nil
		}}}, nil
}

// boundsOf are the bounds of a histogram as values of its argument's type, as far as that has values beyond them: an integer is
// not below 0.5 where it is not below 1. Bounds below all values of the type are its least one.
type boundsOf struct {
	floats []float64
	ints   []*big.Int // unscaled
	i64    []int64
	i128   []vector.Int128
}

func (b *boundsOf) len() int { return len(b.floats) + len(b.ints) }

// add adds the next bound; it reports false where that is, as a double, not greater than the one before or infinite.
func (b *boundsOf) add(t vector.Type, x *big.Rat) bool {
	if t.Buffer() == vector.BufF64 {
		f, _ := x.Float64()
		if math.IsInf(f, 0) || len(b.floats) > 0 && f <= b.floats[len(b.floats)-1] {
			return false
		}
		b.floats = append(b.floats, f+0)
		return true
	}
	least, most := big.NewInt(math.MinInt64), big.NewInt(math.MaxInt64)
	if t.Kind == vector.Decimal {
		most.Exp(big.NewInt(10), big.NewInt(int64(t.Precision)), nil)
		most.Sub(most, big.NewInt(1))
		least.Neg(most)
	}
	scaled := new(big.Rat).Mul(x, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Scale)), nil)))
	// The least integer that is not below the bound: Div rounds down.
	ceiling := new(big.Int).Div(new(big.Int).Neg(scaled.Num()), scaled.Denom())
	ceiling.Neg(ceiling)
	if ceiling.Cmp(most) > 0 {
		return true // as all that follow
	}
	if ceiling.Cmp(least) < 0 {
		ceiling = least
	}
	b.ints = append(b.ints, ceiling)
	if t.Kind == vector.Decimal {
		low := new(big.Int).And(ceiling, new(big.Int).SetUint64(math.MaxUint64)).Uint64()
		b.i128 = append(b.i128, vector.Int128FromParts(new(big.Int).Rsh(ceiling, 64).Int64(), low))
	} else {
		b.i64 = append(b.i64, ceiling.Int64())
	}
	return true
}

// bucket is the number of bounds that are not above the value, which is not NULL.
func (b *boundsOf) bucket(v *vector.Vector, row int) int32 {
	switch v.Type.Buffer() {
	case vector.BufF64:
		x := v.F64[row]
		return int32(sort.Search(len(b.floats), func(i int) bool { return x < b.floats[i] }))
	case vector.BufI128:
		x := v.I128[row]
		return int32(sort.Search(len(b.i128), func(i int) bool { return x.Cmp(b.i128[i]) < 0 }))
	default:
		x := v.I64[row]
		return int32(sort.Search(len(b.i64), func(i int) bool { return x < b.i64[i] }))
	}
}

// literals are the bounds as SQL.
func (b *boundsOf) literals(d Dialect, t vector.Type) (out []string) {
	for _, f := range b.floats {
		out = append(out, d.double(f))
	}
	for _, x := range b.ints {
		text := x.String()
		if t.Kind == vector.Decimal {
			text = new(big.Rat).SetFrac(x, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Scale)), nil)).FloatString(int(t.Scale))
		}
		if t.Buffer() == vector.BufI64 {
			out = append(out, d.bigint("'"+text+"'"))
		} else {
			out = append(out, d.cast("'"+text+"'", t))
		}
	}
	return out
}
