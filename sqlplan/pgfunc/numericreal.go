package pgfunc

import (
	"math"
	"math/big"

	"github.com/tilehouse/tilehouse/storage/duck"
)

// Roots, logarithms and powers of numerics are computed with more bits than the digits that they show, and rounded to the scale that
// PostgreSQL gives them.

const (
	// guardBits are computed beyond those of the digits that are shown.
	guardBits = 256
	// maxExponent bounds the natural logarithm of a power: PostgreSQL's exp refuses more.
	maxExponent = 6000
	// maxExactDigits bounds the digits behind the point of powers that are computed exactly.
	maxExactDigits = 200_000
	ln10           = 2.302585092994046
	log10e         = 0.434294481903252
)

// bitsOf are the bits that so many decimal digits take.
func bitsOf(digits int) uint { return uint(float64(max(digits, 0))*3.3219280948873626) + guardBits }

func (n num) real(bits uint) *big.Float {
	f := new(big.Float).SetPrec(bits).SetInt(n.v)
	return f.Quo(f, new(big.Float).SetPrec(bits).SetInt(pow10(n.scale)))
}

// log10Of is about the decimal logarithm of |n| > 0.
func (n num) log10Of() float64 {
	digits := digitsOf(n.v)
	lead := new(big.Int).Abs(n.v)
	if digits > 17 {
		lead.Quo(lead, pow10(digits-17))
		digits -= 17
	} else {
		digits = 0
	}
	f, _ := new(big.Float).SetInt(lead).Float64()
	return math.Log10(f) + float64(digits-n.scale)
}

// ofReal is f at a scale ≥ 0.
func ofReal(f *big.Float, scale int) num {
	if f.MantExp(nil) < -int(bitsOf(scale)) { // and less than what is shown
		return num{v: new(big.Int), scale: scale}
	}
	bits := f.Prec() + 64
	x := new(big.Float).SetPrec(bits).Mul(f, new(big.Float).SetPrec(bits).SetInt(pow10(scale)))
	half := big.NewFloat(0.5)
	if x.Sign() < 0 {
		half.Neg(half)
	}
	x.Add(x, half)
	v, _ := x.Int(nil)
	return num{v: v, scale: scale}
}

// workOf is the work of multiplying numbers of so many bits.
func workOf(bits uint) int { return int(bits/64*bits/64)/8 + 16 }

func sqrtNum(a num) (num, error) {
	switch {
	case a.special == 'N':
		return a, nil
	case a.sign() < 0:
		return a, bad("2201F", "cannot take square root of a negative number")
	case a.special != 0:
		return a, nil
	}
	w, _ := a.weight()
	s := minSignificant - ((w+1)*4/2 - 1)
	s = min(max(s, a.scale, 0), maxDisplayScale)
	// Two guard digits, and then rounded: what is cut off is less than half of what is shown.
	return num{v: new(big.Int).Sqrt(a.trunc(2 * (s + 2)).v), scale: s + 2}.at(s), nil
}

// lnReal is the natural logarithm of f > 0.
func lnReal(c *duck.Call, f *big.Float, bits uint) *big.Float {
	bits += 64
	real := func() *big.Float { return new(big.Float).SetPrec(bits) }
	one := real().SetInt64(1)
	// f = m·2^e; ln f = ln m + e·ln 2, and m is brought near 1 by roots.
	m := real()
	e := real().Set(f).MantExp(m)
	if m.Cmp(big.NewFloat(0.75)) < 0 { // so that a number near 1 has no e
		m.Add(m, m)
		e--
	}
	roots := 8 + int(math.Sqrt(float64(bits)))/4
	scale := real().SetInt(new(big.Int).Lsh(big.NewInt(1), uint(roots)+1))
	near := func(m *big.Float) *big.Float { // 2·atanh((m−1)/(m+1)) = ln m, of the roots
		m = real().Set(m)
		for range roots {
			c.Work(8 * workOf(bits))
			m.Sqrt(m)
		}
		y := real().Quo(real().Sub(m, one), real().Add(m, one))
		y2 := real().Mul(y, y)
		sum, term := real().Set(y), real().Set(y)
		for i := int64(3); ; i += 2 {
			c.Work(2 * workOf(bits))
			term.Mul(term, y2)
			d := real().Quo(term, real().SetInt64(i))
			if d.Sign() == 0 || d.MantExp(nil) < sum.MantExp(nil)-int(bits) {
				break
			}
			sum.Add(sum, d)
		}
		return sum.Mul(sum, scale)
	}
	bits += uint(roots) // each root loses one
	out := real()
	if m.Cmp(one) != 0 {
		out = near(m)
	}
	if e != 0 {
		out.Add(out, real().Mul(near(real().SetInt64(2)), real().SetInt64(int64(e))))
	}
	return out
}

var pointNine, onePointOne = num{v: big.NewInt(9), scale: 1}, num{v: big.NewInt(11), scale: 1}

// lnWeight is the decimal weight of the logarithm of n > 0, as PostgreSQL's estimate_ln_dweight has it.
func lnWeight(n num) int {
	if cmpNum(n, pointNine) >= 0 && cmpNum(n, onePointOne) <= 0 { // ln n is about n − 1
		x := addNum(n, intNum(1), -1)
		if x.v.Sign() == 0 {
			return 0
		}
		w, first := x.weight()
		return w*4 + int(math.Log10(float64(first)))
	}
	return int(math.Log10(math.Abs(n.log10Of() * ln10)))
}

// lnAt is the natural logarithm of n > 0 at a scale.
func lnAt(c *duck.Call, n num, scale int) num {
	// A number near 1 has its digits far behind the point.
	bits := bitsOf(scale + 8)
	return ofReal(lnReal(c, n.real(bits+64), bits), max(scale, 0))
}

func lnNum(c *duck.Call, a num) (num, error) {
	switch {
	case a.special == 'N':
		return a, nil
	case a.sign() < 0:
		return a, bad("2201E", "cannot take logarithm of a negative number")
	case a.sign() == 0:
		return a, bad("2201E", "cannot take logarithm of zero")
	case a.special != 0:
		return a, nil
	}
	return lnAt(c, a, min(max(minSignificant-lnWeight(a), a.scale, 0), maxDisplayScale)), nil
}

func logNum(c *duck.Call, base, a num) (num, error) {
	for _, n := range []num{base, a} {
		switch {
		case n.special == 'N':
			return numNaN, nil
		case n.sign() < 0:
			return a, bad("2201E", "cannot take logarithm of a negative number")
		case n.sign() == 0:
			return a, bad("2201E", "cannot take logarithm of zero")
		}
	}
	switch {
	case base.special != 0 && a.special != 0:
		return numNaN, nil
	case base.special != 0:
		return intNum(0), nil
	case a.special != 0:
		return a, nil
	}
	// The logarithms are rounded as PostgreSQL's log_var rounds them, with eight digits more than the result has.
	wb, wa := lnWeight(base), lnWeight(a)
	w := wa - wb
	s := min(max(minSignificant-w, base.scale, a.scale, 0), maxDisplayScale)
	lb := lnAt(c, base, max(s+w-wb+8, 0))
	if lb.v.Sign() == 0 {
		return a, errZero()
	}
	return quoNum(lnAt(c, a, max(s+w-wa+8, 0)), lb, s), nil
}

func expNum(c *duck.Call, a num) (num, error) {
	switch a.special {
	case 'N', '+':
		return a, nil
	case '-':
		return num{v: new(big.Int)}, nil
	}
	val := min(max(a.about()*log10e, -2000), 2000)
	return expAt(c, a, min(max(minSignificant-int(val), a.scale, 0), maxDisplayScale))
}

// about is a float near n, with its sign, at most ±1e300.
func (n num) about() float64 {
	if n.v.Sign() == 0 {
		return 0
	}
	f := math.Pow(10, min(n.log10Of(), 300))
	if n.v.Sign() < 0 {
		f = -f
	}
	return f
}

// expAt is e to the power of x at a scale, with the digits that PostgreSQL's exp_var computes, so that what lies between two of that scale
// is rounded alike: x is halved until the series is short, and the sum squared as often.
func expAt(c *duck.Call, x num, scale int) (num, error) {
	f := x.about()
	switch {
	case f >= maxExponent:
		return num{}, errOverflow()
	case f <= -maxExponent:
		return num{v: new(big.Int), scale: scale}, nil
	}
	weight, halves := int(f*log10e), 0
	for ; math.Abs(f) > 0.01; f /= 2 {
		halves++
	}
	if halves > 0 {
		x = quoNum(x, intNum(1<<halves), x.scale+halves)
	}
	digits := max(1+weight+scale+int(float64(halves)*0.301029995663981), 0) + 8
	s := digits - 1
	sum := addNum(intNum(1), x, 1)
	term := quoNum(mulNum(x, x).at(s), intNum(2), s)
	for i := int64(3); term.v.Sign() != 0; i++ {
		c.Work(workOf(bitsOf(digits + x.scale)))
		sum = addNum(sum, term, 1)
		term = quoNum(mulNum(term, x).at(s), intNum(i), s)
	}
	for range halves {
		c.Work(workOf(bitsOf(digits + x.scale)))
		w, _ := sum.weight()
		sum = mulNum(sum, sum).at(max(digits-w*8, 0))
	}
	return sum.at(scale), nil
}

func powNum(c *duck.Call, a, b num) (num, error) {
	one := intNum(1)
	switch {
	case a.special == 'N':
		if b.special == 0 && b.v.Sign() == 0 {
			return one, nil
		}
		return a, nil
	case b.special == 'N':
		if a.special == 0 && cmpNum(a, one) == 0 {
			return one, nil
		}
		return b, nil
	case a.special != 0 || b.special != 0:
		return a, bad("0A000", "power of an infinite numeric is not supported")
	}
	integral := new(big.Int).Rem(b.v, pow10(b.scale)).Sign() == 0
	if a.v.Sign() == 0 && b.v.Sign() < 0 {
		return a, bad("2201F", "zero raised to a negative power is undefined")
	}
	if a.v.Sign() < 0 && !integral {
		return a, bad("2201F", "a negative number raised to a non-integer power yields a complex result")
	}
	negative := false
	if integral {
		e := new(big.Int).Quo(b.v, pow10(b.scale))
		if e.IsInt64() && e.Int64() >= -1<<31 && e.Int64() <= 1<<31-1 {
			return powInt(c, a, e.Int64())
		}
		negative = a.v.Sign() < 0 && e.Bit(0) == 1
	}
	if a.v.Sign() == 0 {
		return num{v: new(big.Int), scale: minSignificant}, nil
	}
	a = num{v: new(big.Int).Abs(a.v), scale: a.scale}
	w := lnWeight(a)
	f := mulNum(lnAt(c, a, max(8-w, 0)), b).about()
	if math.Abs(f) > maxExponent*1.00333 {
		if f > 0 {
			return a, errOverflow()
		}
		return num{v: new(big.Int), scale: maxDisplayScale}, nil
	}
	val := int(f * log10e)
	s := min(max(minSignificant-val, a.scale, b.scale, 0), maxDisplayScale)
	// The logarithm has as many digits as the result.
	digits := max(max(s+val, 0)-w+8, 0)
	out, err := expAt(c, mulNum(lnAt(c, a, digits), b).at(digits), s)
	if err == nil && negative {
		out.v.Neg(out.v)
	}
	return out, err
}

// powInt is a to the power of an integer of 32 bits.
func powInt(c *duck.Call, a num, e int64) (num, error) {
	s := min(max(minSignificant, a.scale), maxDisplayScale)
	if e == 0 {
		return intNum(1).at(s), nil
	}
	if a.v.Sign() == 0 {
		return num{v: new(big.Int), scale: s}, nil
	}
	val := a.log10Of() * float64(e)
	if val > maxNumericWhole+1 {
		return a, errOverflow()
	}
	if val < float64(-s-2) { // less than what is shown
		return num{v: new(big.Int), scale: s}, nil
	}
	a, n := a.trunc(minScale(a)), max(e, -e)
	if int64(a.scale)*n < maxExactDigits { // of which the half of what is shown may be one
		c.Work(workOf(bitsOf(maxExactDigits)))
		p := num{v: new(big.Int).Exp(a.v, big.NewInt(n), nil), scale: a.scale * int(n)}
		if e < 0 {
			return checkNum(quoNum(intNum(1), p, s))
		}
		return checkNum(p.at(s))
	}
	// By squares, with the digits that are shown and those that the multiplications lose.
	bits := bitsOf(s+int(max(val, 0))) + 64
	p, square := new(big.Float).SetPrec(bits).SetInt64(1), a.real(bits)
	for ; ; square.Mul(square, square) {
		c.Work(2 * workOf(bits))
		if n&1 == 1 {
			p.Mul(p, square)
		}
		if n >>= 1; n == 0 {
			break
		}
	}
	if e < 0 {
		p.Quo(new(big.Float).SetPrec(bits).SetInt64(1), p)
	}
	return checkNum(ofReal(p, s))
}
