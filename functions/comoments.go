package functions

import (
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strings"

	"github.com/tilehouse/tilehouse/functions/exact"
	"github.com/tilehouse/tilehouse/functions/vector"
)

// comomentsVersion is the version of the states of covariances, correlation and regression.
const comomentsVersion = 1

// The sums that they share, over the rows where neither argument is NULL. Arguments stand as in SQL: (y, x).
const (
	sumY = iota
	sumX
	sumYY
	sumXX
	sumXY
	sumsOfPairs
)

// comoments is an aggregate of pairs of doubles.
type comoments struct {
	name   string
	args   []vector.Type
	least  int64 // fewer rows have no value
	finish func(m *pairSums) (x float64, null, ok bool)
}

func bindComoments(name string, args []vector.Type, least int64, finish func(m *pairSums) (x float64, null, ok bool)) (*comoments, error) {
	if err := checkArgs(name, args, 2); err != nil {
		return nil, err
	}
	for _, t := range args {
		if _, ok := sumResult(t); !ok {
			return nil, noSuchFunction(name, args, "Cast the arguments to numbers: "+name+"(y::double precision, x::double precision).")
		}
	}
	double := vector.T(vector.Float64)
	return &comoments{name, []vector.Type{double, double}, least, finish}, nil
}

func (a *comoments) ArgTypes() []vector.Type { return a.args }
func (a *comoments) ResultType() vector.Type { return vector.T(vector.Float64) }
func (a *comoments) New() State              { return &comomentsState{agg: a} }

// pairSums are what values are worked out from, integers in units of (2^ey)^i·(2^ex)^j for products of i ys and j xs: with
// syy = nΣy² − (Σy)², sxx likewise and sxy = nΣxy − ΣxΣy. Those that infinities or NaN enter are nil.
type pairSums struct {
	n             int64
	y, x          *big.Int
	ey, ex        int
	syy, sxx, sxy *big.Int
}

// flat reports whether all of a side's values are known to be equal.
func flat(s *big.Int) bool { return s != nil && s.Sign() <= 0 }

// covariance is sxy/(n·divisor).
func (m *pairSums) covariance(divisor int64) (x float64, null, ok bool) {
	if m.sxy == nil {
		return math.NaN(), false, true
	}
	x, ok = exact.Quotient(m.sxy, new(big.Int).Mul(big.NewInt(m.n), big.NewInt(divisor)), m.ey+m.ex)
	return x, false, ok
}

// comomentsState is the sums of a multiset of pairs. A value that is not finite is counted, and enters no sum.
type comomentsState struct {
	agg     *comoments
	n       int64
	special [2]int64 // of y and of x
	sums    [sumsOfPairs]exact.Fixed
}

var _ Inverter = (*comomentsState)(nil)

func (s *comomentsState) Update(in *Input, row int)  { s.add(in, row, 1) }
func (s *comomentsState) Retract(in *Input, row int) { s.add(in, row, -1) }

func (s *comomentsState) add(in *Input, row int, sign int64) {
	if in.Args[0].IsNull(row) || in.Args[1].IsNull(row) {
		return
	}
	s.n += sign
	var neg [2]bool
	var m [2]uint64
	var e [2]int
	finite := true
	for i, v := range in.Args {
		n, words, exp, ok := magnitude(v, row)
		if !ok {
			s.special[i] += sign
			finite = false
			continue
		}
		neg[i], m[i], e[i] = n, words[0], exp
		s.sums[sumY+i].Add(n != (sign < 0), words[:1], exp)
		hi, lo := bits.Mul64(m[i], m[i])
		s.sums[sumYY+i].Add(sign < 0, []uint64{lo, hi}, 2*exp)
	}
	if finite {
		hi, lo := bits.Mul64(m[0], m[1])
		s.sums[sumXY].Add((neg[0] != neg[1]) != (sign < 0), []uint64{lo, hi}, e[0]+e[1])
	}
}

func (s *comomentsState) Merge(o State) {
	from := o.(*comomentsState)
	s.n, s.special[0], s.special[1] = s.n+from.n, s.special[0]+from.special[0], s.special[1]+from.special[1]
	for i := range s.sums {
		s.sums[i].Merge(&from.sums[i])
	}
}

func (s *comomentsState) Unmerge(o State) {
	from := o.(*comomentsState)
	s.n, s.special[0], s.special[1] = s.n-from.n, s.special[0]-from.special[0], s.special[1]-from.special[1]
	for i := range s.sums {
		s.sums[i].Unmerge(&from.sums[i])
	}
}

func (s *comomentsState) Reset() {
	s.n, s.special = 0, [2]int64{}
	for i := range s.sums {
		s.sums[i].Reset()
	}
}

func (s *comomentsState) MergeEncoded(b []byte) error {
	n, err := mergeSums(s.agg.name, comomentsVersion, b, s.special[:], s.sums[:])
	s.n += n
	return err
}

func (s *comomentsState) Append(dst []byte) []byte {
	return appendSums(dst, comomentsVersion, s.n, s.special[:], s.sums[:])
}

func (s *comomentsState) Finalize(out *vector.Vector) error {
	if s.n == 0 || s.n < s.agg.least {
		out.AppendNull()
		return nil
	}
	m := &pairSums{n: s.n}
	var y, x [2]*big.Int
	m.ey = inUnits([]exact.Fixed{s.sums[sumY], s.sums[sumYY]}, []int{1, 2}, y[:])
	m.ex = inUnits([]exact.Fixed{s.sums[sumX], s.sums[sumXX]}, []int{1, 2}, x[:])
	n := big.NewInt(s.n)
	about := func(s [2]*big.Int) *big.Int {
		t := new(big.Int).Mul(n, s[1])
		return t.Sub(t, new(big.Int).Mul(s[0], s[0]))
	}
	m.y, m.x = y[0], x[0]
	if s.special[0] == 0 {
		m.syy = about(y)
	}
	if s.special[1] == 0 {
		m.sxx = about(x)
	}
	if s.special[0]+s.special[1] == 0 {
		xy, e := s.sums[sumXY].Big()
		if e -= m.ey + m.ex; e >= 0 {
			xy.Lsh(xy, uint(e))
		} else { // only zeros are shifted out, unless the bytes were those of no rows
			xy.Rsh(xy, uint(-e))
		}
		m.sxy = xy.Sub(xy.Mul(xy, n), new(big.Int).Mul(m.x, m.y))
	}
	v, null, ok := s.agg.finish(m)
	switch {
	case !ok:
		return outOfRange(s.agg.name, "double precision")
	case null:
		out.AppendNull()
	default:
		out.AppendFloat(v)
	}
	return nil
}

// PartialSQL sums the coefficients of moments, for each chunk of y and each of x.
func (a *comoments) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	keys := keyNames(in)
	from := base(d, in, []string{d.cast(in.Args[0], a.args[0]) + " AS a0", d.cast(in.Args[1], a.args[1]) + " AS a1"}, in.Args...)
	y := cutUp(d, a.args[0], from, keys+"a1, ", "a0", "y")
	names := keys + y.chunk + ", " + strings.Join(y.limbs, ", ") + ", "
	x := cutUp(d, a.args[1], y.from, names, "a1", "x")
	columns := []string{d.bigint(d.fn("count")+"(*)") + " AS n"}
	sums := [sumsOfPairs][]string{y.limbs, x.limbs, polynomial(d, y.limbs, y.limbs, false), polynomial(d, x.limbs, x.limbs, false),
		polynomial(d, y.limbs, x.limbs, false)}
	for _, p := range sums {
		for _, c := range p {
			columns = append(columns, fmt.Sprintf("%s AS s%d", d.total(c), len(columns)))
		}
	}
	sql := "SELECT " + keys + y.chunk + ", " + x.chunk + ", " + strings.Join(columns, ", ") + " FROM " + x.from + groupBy(in, y.chunk, x.chunk)
	return PartialQuery{SQL: sql, Columns: 2 + len(columns), Fold: func(s State, cols []*vector.Vector, i int) error {
		if err := stateColumns(a.name, cols, vector.BufI64, vector.BufI64, vector.BufI64); err != nil {
			return err
		}
		m, n := s.(*comomentsState), cols[2].I64[i]
		var e [2]int
		var special [2]bool
		for j := range e {
			var err error
			if e[j], special[j], err = chunkUnit(a.name, cols[j].I64[i]); err != nil {
				return err
			}
			if special[j] {
				m.special[j] += n
			}
		}
		m.n += n
		cols = cols[3:]
		for k, p := range sums {
			v, err := y.value(a.name, cols[:min(len(p), len(cols))], len(p), i)
			if err != nil {
				return err
			}
			cols = cols[len(p):]
			switch exponents := [...]int{e[0], e[1], 2 * e[0], 2 * e[1], e[0] + e[1]}; {
			case k == sumXY && (special[0] || special[1]), k != sumXY && special[(k-sumY)%2]:
			default:
				m.sums[k].AddBig(v, exponents[k])
			}
		}
		return nil
	}}
}
