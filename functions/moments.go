package functions

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strings"

	"github.com/tilehouse/tilehouse/functions/exact"
	"github.com/tilehouse/tilehouse/functions/vector"
)

// momentsVersion is the version of the states of variances, deviations, skewness and kurtosis.
const momentsVersion = 1

// maxOrder is the greatest power that is summed.
const maxOrder = 4

// moments is what they share: exact sums of x, x², … x^order, from which the value is worked out in integers and rounded once.
type moments struct {
	name   string
	args   []vector.Type
	order  int
	least  int64 // fewer rows have no value
	finish func(m *powerSums) (x float64, null, ok bool)
}

func bindMoments(name string, args []vector.Type, order int, least int64, finish func(m *powerSums) (x float64, null, ok bool)) (*moments, error) {
	if err := summable(name, args); err != nil {
		return nil, err
	}
	return &moments{name, args, order, least, finish}, nil
}

// bindVariance binds Σ(x − mean)² over the number of rows less fewer, or its square root.
func bindVariance(name string, args []vector.Type, fewer int64, root bool) (*moments, error) {
	return bindMoments(name, args, 2, fewer+1, func(m *powerSums) (float64, bool, bool) {
		x, ok := m.variance(m.n-fewer, root)
		return x, false, ok
	})
}

func (a *moments) ArgTypes() []vector.Type { return a.args }
func (a *moments) ResultType() vector.Type { return vector.T(vector.Float64) }
func (a *moments) New() State              { return &momentsState{agg: a} }

// powerSums are the exact sums of the powers of n numbers in units of which all are multiples: s[k] of the k-th powers in units
// of (2^e·10^−digits)^k.
type powerSums struct {
	n      int64
	e      int
	digits int
	s      [maxOrder + 1]*big.Int
}

// about is s[2] about the mean, times n: nΣx² − (Σx)². It is not negative, but where a state's bytes are not those of any rows.
func (m *powerSums) about() *big.Int {
	return new(big.Int).Sub(m.times(m.s[2], m.n), new(big.Int).Mul(m.s[1], m.s[1]))
}

func (m *powerSums) times(x *big.Int, factors ...int64) *big.Int {
	x = new(big.Int).Set(x)
	for _, f := range factors {
		x.Mul(x, big.NewInt(f))
	}
	return x
}

// variance is nΣx² − (Σx)² divided by n·divisor, or its square root.
func (m *powerSums) variance(divisor int64, root bool) (x float64, ok bool) {
	num, den := m.about(), m.times(big.NewInt(m.n), divisor)
	den.Mul(den, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(2*m.digits)), nil))
	if num.Sign() < 0 {
		return 0, true
	}
	if root {
		return exact.Root(num, den, 2*m.e)
	}
	return exact.Quotient(num, den, 2*m.e)
}

// power is the magnitude of a number to some power, little end first.
type power [maxOrder * 2]uint64

// momentsState is the sums of the powers of finite values, and how many others there are.
type momentsState struct {
	agg     *moments
	n       int64 // all rows
	special int64 // NaN and infinities, beside which every moment is NaN
	sums    [maxOrder]exact.Fixed
}

var _ Inverter = (*momentsState)(nil)

func (s *momentsState) Update(in *Input, row int)  { s.add(in.Args[0], row, 1) }
func (s *momentsState) Retract(in *Input, row int) { s.add(in.Args[0], row, -1) }

func (s *momentsState) add(v *vector.Vector, row int, sign int64) {
	if v.IsNull(row) {
		return
	}
	s.n += sign
	neg, m, e, finite := magnitude(v, row)
	if !finite {
		s.special += sign
		return
	}
	width := 1
	if m[1] != 0 {
		width = 2
	}
	var p power
	p[0], p[1] = m[0], m[1]
	for k := 1; k <= s.agg.order; k++ {
		if k > 1 {
			p.multiply(&m, width)
		}
		s.sums[k-1].Add((neg && k&1 == 1) != (sign < 0), p[:k*width], k*e)
	}
}

// magnitude is the number that value row of v is: (−1)^neg·m·2^e, unscaled where it is a decimal; it is not NULL.
func magnitude(v *vector.Vector, row int) (neg bool, m [2]uint64, e int, finite bool) {
	switch v.Type.Buffer() {
	case vector.BufF64:
		b := math.Float64bits(v.F64[row])
		e, m[0] = int(b>>52)&2047, b&(1<<52-1)
		if e == 2047 {
			return false, m, 0, false
		}
		if e == 0 {
			e = 1
		} else {
			m[0] |= 1 << 52
		}
		// Without zeros at its end a number such as 12 or 0.5 takes few words of a sum.
		if z := bits.TrailingZeros64(m[0] | 1<<53); z > 0 {
			m[0], e = m[0]>>z, e+z
		}
		return b>>63 != 0, m, e - 1075, true
	case vector.BufI128:
		x := v.I128[row]
		if neg = x.Sign() < 0; neg {
			x = x.Negate()
		}
		return neg, [2]uint64{x.LowBits(), uint64(x.HighBits())}, 0, true
	default:
		x := v.I64[row]
		if neg = x < 0; neg {
			x = -x
		}
		return neg, [2]uint64{uint64(x)}, 0, true
	}
}

// multiply makes p·m of p; m has width words.
func (p *power) multiply(m *[2]uint64, width int) {
	a := *p
	*p = power{}
	for i, x := range a[:len(a)-width] {
		if x == 0 {
			continue
		}
		var carry uint64
		for j := range width {
			hi, lo := bits.Mul64(x, m[j])
			var c uint64
			lo, c = bits.Add64(lo, carry, 0)
			hi += c
			p[i+j], c = bits.Add64(p[i+j], lo, 0)
			carry = hi + c
		}
		for j := i + width; carry != 0 && j < len(p); j++ {
			p[j], carry = bits.Add64(p[j], carry, 0)
		}
	}
}

func (s *momentsState) Merge(o State) {
	from := o.(*momentsState)
	s.n, s.special = s.n+from.n, s.special+from.special
	for k := range s.agg.order {
		s.sums[k].Merge(&from.sums[k])
	}
}

func (s *momentsState) Unmerge(o State) {
	from := o.(*momentsState)
	s.n, s.special = s.n-from.n, s.special-from.special
	for k := range s.agg.order {
		s.sums[k].Unmerge(&from.sums[k])
	}
}

func (s *momentsState) Reset() {
	s.n, s.special = 0, 0
	for k := range s.sums {
		s.sums[k].Reset()
	}
}

func (s *momentsState) MergeEncoded(b []byte) error {
	special := []int64{s.special}
	n, err := mergeSums(s.agg.name, momentsVersion, b, special, s.sums[:s.agg.order])
	s.n, s.special = s.n+n, special[0]
	return err
}

// mergeSums adds encoded sums to what special and sums have, and gives the number of rows. The bytes are the version, and as uvarints the
// number of rows and of values that are not finite, of each argument, then the sums; none for no rows.
func mergeSums(name string, version byte, b []byte, special []int64, sums []exact.Fixed) (n int64, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	if b, err = open(b, version, name); err != nil {
		return 0, err
	}
	n, b, ok := rowCount(b)
	if !ok {
		return 0, badState(name, "no number of rows")
	}
	for i := range special {
		var x uint64
		if x, b, ok = uvarint(b); !ok || x > uint64(n) {
			return 0, badState(name, "no number of infinities")
		}
		special[i] += int64(x)
	}
	for i := range sums {
		if b, err = sums[i].MergeEncoded(b); err != nil {
			return 0, wrapExact(name, err)
		}
	}
	if len(b) > 0 {
		return 0, badState(name, "too long")
	}
	return n, nil
}

// appendSums encodes what mergeSums reads.
func appendSums(dst []byte, version byte, n int64, special []int64, sums []exact.Fixed) []byte {
	if n == 0 {
		return dst
	}
	dst = binary.AppendUvarint(append(dst, version), uint64(n))
	for _, x := range special {
		dst = binary.AppendUvarint(dst, uint64(x))
	}
	for i := range sums {
		dst = sums[i].Append(dst)
	}
	return dst
}

func (s *momentsState) Append(dst []byte) []byte {
	return appendSums(dst, momentsVersion, s.n, []int64{s.special}, s.sums[:s.agg.order])
}

func (s *momentsState) Finalize(out *vector.Vector) error {
	if s.n == 0 {
		out.AppendNull()
		return nil
	}
	switch {
	case s.n < s.agg.least:
		out.AppendNull()
		return nil
	case s.special > 0:
		out.AppendFloat(math.NaN())
		return nil
	}
	m := &powerSums{n: s.n}
	if t := s.agg.args[0]; t.Kind == vector.Decimal {
		m.digits = int(t.Scale)
	}
	orders := []int{1, 2, 3, 4}[:s.agg.order]
	m.e = inUnits(s.sums[:s.agg.order], orders, m.s[1:])
	x, null, ok := s.agg.finish(m)
	switch {
	case !ok:
		return outOfRange(s.agg.name, "double precision")
	case null:
		out.AppendNull()
	default:
		out.AppendFloat(x)
	}
	return nil
}

// inUnits sets out[i] to sums[i], a sum of products of orders[i] numbers, in units of (2^e)^orders[i] for one e.
func inUnits(sums []exact.Fixed, orders []int, out []*big.Int) (e int) {
	exponents := make([]int, len(sums))
	for i := range sums {
		out[i], exponents[i] = sums[i].Big()
		if least := floorDiv(exponents[i], orders[i]); out[i].Sign() != 0 && least < e {
			e = least
		}
	}
	for i, x := range out[:len(sums)] {
		if x.Sign() != 0 {
			x.Lsh(x, uint(exponents[i]-e*orders[i]))
		}
	}
	return e
}

func floorDiv(a, b int) int {
	if a < 0 {
		return -((-a + b - 1) / b)
	}
	return a / b
}

// PartialSQL cuts numbers into limbs, so small that sums of products of order of them have fewer than 38 digits, and sums the
// coefficients of the powers: a power of Σ limb·radix^i is a polynomial in the radix. Doubles are summed for each chunk.
func (a *moments) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	t, names := a.args[0], keyNames(in)
	cut := cutUp(d, t, base(d, in, []string{a.column(d, in.Args[0]) + " AS a0"}, in.Args[0]), names, "a0", "x")
	var more []string
	if cut.chunk != "" {
		more = []string{cut.chunk}
		names += cut.chunk + ", "
	}
	limbs := cut.limbs
	squares := polynomial(d, limbs, limbs, false)
	var list []string
	for i, q := range squares {
		list = append(list, fmt.Sprintf("%s AS q%d", q, i))
		squares[i] = fmt.Sprintf("q%d", i)
	}
	from := "(SELECT " + names + strings.Join(limbs, ", ") + ", " + strings.Join(list, ", ") + " FROM " + cut.from + d.fence() + ") AS q8"
	powers := [][]string{limbs, squares}
	if a.order == maxOrder || a.order == 3 {
		powers = append(powers, polynomial(d, squares, limbs, true))
	}
	if a.order == maxOrder {
		powers = append(powers, polynomial(d, squares, squares, true))
	}
	columns := []string{d.bigint(d.fn("count")+"(*)") + " AS n"}
	for _, p := range powers {
		for _, c := range p {
			columns = append(columns, fmt.Sprintf("%s AS s%d", d.total(c), len(columns)))
		}
	}
	q := PartialQuery{SQL: "SELECT " + names + strings.Join(columns, ", ") + " FROM " + from + groupBy(in, more...), Columns: len(more) + len(columns)}
	q.Fold = func(s State, cols []*vector.Vector, i int) error {
		e, special, err := cut.unit(a.name, cols, i)
		if err != nil {
			return err
		}
		cols = cols[len(more):]
		if err := stateColumns(a.name, cols, vector.BufI64); err != nil {
			return err
		}
		m := s.(*momentsState)
		n := cols[0].I64[i]
		m.n, cols = m.n+n, cols[1:]
		if special {
			m.special += n
			return nil
		}
		if n == 0 {
			return nil
		}
		for k, p := range powers {
			x, err := cut.value(a.name, cols[:min(len(p), len(cols))], len(p), i)
			if err != nil {
				return err
			}
			m.sums[k].AddBig(x, (k+1)*e)
			cols = cols[len(p):]
		}
		return nil
	}
	return q
}

// column is the argument as it is cut up.
func (a *moments) column(d Dialect, x string) string {
	if a.args[0].Kind == vector.Decimal {
		return x
	}
	if a.args[0].Buffer() == vector.BufF64 {
		return d.cast(x, vector.T(vector.Float64))
	}
	return d.bigint(x)
}
