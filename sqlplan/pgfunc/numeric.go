package pgfunc

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// num is a numeric: v·10^−scale, or one of the special values. scale is the digits that it shows after the point.
type num struct {
	special byte // 0, 'N' (NaN), '+', '-' (infinities)
	v       *big.Int
	scale   int
}

// Bounds of PostgreSQL's numeric.
const (
	maxNumericWhole    = 131072
	maxNumericFraction = 16383
	minSignificant     = 16   // digits that a quotient, root or logarithm has at least
	maxDisplayScale    = 1000 // and at most after the point
)

var (
	numNaN = num{special: 'N'}
	bigTen = big.NewInt(10)
)

func pow10(n int) *big.Int { return new(big.Int).Exp(bigTen, big.NewInt(int64(n)), nil) }

func intNum(n int64) num { return num{v: big.NewInt(n)} }

// parseNum reads a numeric's text; ok is false where it is none.
func parseNum(s string) (n num, ok bool) {
	t := strings.TrimSpace(s)
	switch strings.ToLower(t) {
	case "nan":
		return numNaN, true
	case "infinity", "inf", "+infinity", "+inf":
		return num{special: '+'}, true
	case "-infinity", "-inf":
		return num{special: '-'}, true
	}
	mantissa, exp := t, 0
	if i := strings.IndexAny(t, "eE"); i >= 0 {
		e, err := strconv.Atoi(t[i+1:])
		if err != nil {
			return n, false
		}
		mantissa, exp = t[:i], e
	}
	sign := ""
	if mantissa != "" && (mantissa[0] == '-' || mantissa[0] == '+') {
		sign, mantissa = mantissa[:1], mantissa[1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return n, false
	}
	if exp > maxNumericWhole+100 || exp < -maxNumericFraction-100 {
		if strings.Trim(digits, "0") != "" {
			return num{special: '!'}, true
		}
		exp = 0
	}
	v, _ := new(big.Int).SetString(digits, 10)
	scale := len(fraction) - exp
	if scale < 0 {
		v.Mul(v, pow10(-scale))
		scale = 0
	}
	if sign == "-" {
		v.Neg(v)
	}
	return num{v: v, scale: scale}, true
}

func mustNum(s string) num {
	n, _ := parseNum(s)
	if n.v == nil && n.special == 0 {
		n.v = new(big.Int)
	}
	return n
}

func (n num) String() string {
	switch n.special {
	case 'N':
		return "NaN"
	case '+':
		return "Infinity"
	case '-':
		return "-Infinity"
	}
	s := new(big.Int).Abs(n.v).String()
	if n.scale > 0 {
		if len(s) <= n.scale {
			s = strings.Repeat("0", n.scale-len(s)+1) + s
		}
		s = s[:len(s)-n.scale] + "." + s[len(s)-n.scale:]
	}
	if n.v.Sign() < 0 {
		s = "-" + s
	}
	return s
}

func (n num) sign() int {
	switch n.special {
	case '+':
		return 1
	case '-':
		return -1
	case 'N':
		return 0
	}
	return n.v.Sign()
}

// at is n with another scale, rounded half away from zero.
func (n num) at(scale int) num {
	if n.special != 0 || scale == n.scale {
		return n
	}
	if scale > n.scale {
		return num{v: new(big.Int).Mul(n.v, pow10(scale-n.scale)), scale: scale}
	}
	d := pow10(n.scale - scale)
	q, r := new(big.Int).QuoRem(n.v, d, new(big.Int))
	r.Abs(r).Lsh(r, 1)
	if r.Cmp(d) >= 0 {
		q.Add(q, big.NewInt(int64(n.v.Sign())))
	}
	if scale < 0 {
		return num{v: q.Mul(q, pow10(-scale))}
	}
	return num{v: q, scale: scale}
}

// trunc is n cut to a scale.
func (n num) trunc(scale int) num {
	if n.special != 0 || scale >= n.scale {
		return n.at(max(scale, 0))
	}
	q := new(big.Int).Quo(n.v, pow10(n.scale-scale))
	if scale < 0 {
		return num{v: q.Mul(q, pow10(-scale))}
	}
	return num{v: q, scale: scale}
}

// weight is the exponent of n's first digit in base 10000, and that digit.
func (n num) weight() (weight int, first int64) {
	if n.v.Sign() == 0 {
		return 0, 0
	}
	s := new(big.Int).Abs(n.v).String()
	// The digits before the point are len(s) − scale, which may be negative.
	whole := len(s) - n.scale
	weight = int(math.Floor(float64(whole-1) / 4))
	lead := whole - weight*4 // digits of the first base-10000 digit, 1…4
	for len(s) < lead {
		s += "0"
	}
	first, _ = strconv.ParseInt(s[:lead], 10, 64)
	return weight, first
}

func cmpNum(a, b num) int {
	rank := func(n num) int { return map[byte]int{'-': 0, 0: 1, '+': 2, 'N': 3}[n.special] }
	if a.special != 0 || b.special != 0 {
		return rank(a) - rank(b)
	}
	s := max(a.scale, b.scale)
	return a.at(s).v.Cmp(b.at(s).v)
}

func errOverflow() error { return bad("22003", "value overflows numeric format") }
func errZero() error     { return bad("22012", "division by zero") }

func checkNum(n num) (num, error) {
	if n.special == 0 && len(new(big.Int).Abs(n.v).String())-n.scale > maxNumericWhole {
		return n, errOverflow()
	}
	if n.special == 0 && n.scale > maxNumericFraction {
		return n.at(maxNumericFraction), nil
	}
	return n, nil
}

func addNum(a, b num, sign int) num {
	if a.special != 0 || b.special != 0 {
		bs := b.special
		if sign < 0 {
			bs = map[byte]byte{'+': '-', '-': '+', 'N': 'N', 0: 0}[bs]
		}
		switch {
		case a.special == 'N' || bs == 'N', a.special != 0 && bs != 0 && a.special != bs:
			return numNaN
		case a.special != 0:
			return a
		}
		return num{special: bs}
	}
	s := max(a.scale, b.scale)
	x, y := a.at(s), b.at(s)
	if sign < 0 {
		return num{v: new(big.Int).Sub(x.v, y.v), scale: s}
	}
	return num{v: new(big.Int).Add(x.v, y.v), scale: s}
}

func mulNum(a, b num) num {
	if a.special != 0 || b.special != 0 {
		switch s := a.sign() * b.sign(); {
		case a.special == 'N' || b.special == 'N' || s == 0:
			return numNaN
		case s > 0:
			return num{special: '+'}
		}
		return num{special: '-'}
	}
	return num{v: new(big.Int).Mul(a.v, b.v), scale: a.scale + b.scale}
}

// divScale is select_div_scale.
func divScale(a, b num) int {
	wa, fa := a.weight()
	wb, fb := b.weight()
	q := wa - wb
	if fa <= fb {
		q--
	}
	s := minSignificant - q*4
	return min(max(s, a.scale, b.scale, 0), maxDisplayScale)
}

func divNum(a, b num) (num, error) {
	if a.special != 0 || b.special != 0 {
		switch {
		case a.special == 'N' || b.special == 'N', a.special != 0 && b.special != 0:
			return numNaN, nil
		case a.special != 0:
			if b.sign() == 0 {
				return numNaN, errZero()
			}
			if a.sign()*b.sign() > 0 {
				return num{special: '+'}, nil
			}
			return num{special: '-'}, nil
		}
		return num{v: new(big.Int)}, nil
	}
	if b.v.Sign() == 0 {
		return num{}, errZero()
	}
	return quoNum(a, b, divScale(a, b)), nil
}

// quoNum is a/b at a scale, rounded half away from zero.
func quoNum(a, b num, scale int) num {
	n := new(big.Int).Mul(a.v, pow10(max(scale+b.scale-a.scale, 0)))
	d := new(big.Int).Mul(b.v, pow10(max(a.scale-scale-b.scale, 0)))
	q, r := new(big.Int).QuoRem(n, d, new(big.Int))
	if r.Abs(r).Lsh(r, 1).CmpAbs(d) >= 0 {
		if (n.Sign() < 0) != (d.Sign() < 0) {
			q.Sub(q, big.NewInt(1))
		} else {
			q.Add(q, big.NewInt(1))
		}
	}
	return num{v: q, scale: scale}
}

func modNum(a, b num) (num, error) {
	if a.special != 0 || b.special != 0 {
		switch {
		case a.special == 'N' || b.special == 'N':
			return numNaN, nil
		case a.special != 0:
			if b.sign() == 0 {
				return numNaN, errZero()
			}
			return numNaN, nil
		}
		return a, nil
	}
	if b.v.Sign() == 0 {
		return num{}, errZero()
	}
	s := max(a.scale, b.scale)
	return num{v: new(big.Int).Rem(a.at(s).v, b.at(s).v), scale: s}, nil
}

// divTrunc is div(a, b).
func divTrunc(a, b num) (num, error) {
	if a.special != 0 || b.special != 0 {
		return divNum(a, b)
	}
	if b.v.Sign() == 0 {
		return num{}, errZero()
	}
	s := max(a.scale, b.scale)
	return num{v: new(big.Int).Quo(a.at(s).v, b.at(s).v)}, nil
}

// Real functions are computed with big.Float and rounded to the scale that PostgreSQL gives them.

const realBits = 2048

func (n num) real(bits uint) *big.Float {
	f := new(big.Float).SetPrec(bits).SetInt(n.v)
	return f.Quo(f, new(big.Float).SetPrec(bits).SetInt(pow10(n.scale)))
}

// ofReal is f at a scale.
func ofReal(f *big.Float, scale int) num {
	x := new(big.Float).SetPrec(f.Prec()).Mul(f, new(big.Float).SetPrec(f.Prec()).SetInt(pow10(max(scale, 0))))
	half := big.NewFloat(0.5)
	if x.Sign() < 0 {
		half.Neg(half)
	}
	x.Add(x, half)
	v, _ := x.Int(nil)
	return num{v: v, scale: max(scale, 0)}
}

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
	if a.v.Sign() == 0 {
		w = 0
	}
	s := minSignificant - ((w+1)*4/2 - 1)
	s = min(max(s, a.scale, 0), maxDisplayScale)
	// Two guard digits, and then rounded.
	n := new(big.Int).Mul(a.at(a.scale).v, pow10(2*(s+2)-a.scale+max(0, a.scale-2*(s+2))))
	root := new(big.Int).Sqrt(n)
	if over := a.scale - 2*(s+2); over > 0 {
		f := a.real(realBits)
		return ofReal(f.Sqrt(f), s), nil
	}
	return num{v: root, scale: s + 2}.at(s), nil
}

// lnReal is the natural logarithm of f > 0.
func lnReal(f *big.Float, bits uint) *big.Float {
	one := new(big.Float).SetPrec(bits).SetInt64(1)
	x := new(big.Float).SetPrec(bits).Set(f)
	// x = m·2^e; ln x = ln m + e·ln 2, and m is brought near 1 by roots.
	m := new(big.Float).SetPrec(bits)
	e := x.MantExp(m)
	k := 0
	for k < 24 {
		m.Sqrt(m)
		k++
	}
	atanh := func(m *big.Float) *big.Float { // 2·atanh((m−1)/(m+1)) = ln m
		y := new(big.Float).SetPrec(bits).Quo(new(big.Float).SetPrec(bits).Sub(m, one), new(big.Float).SetPrec(bits).Add(m, one))
		y2 := new(big.Float).SetPrec(bits).Mul(y, y)
		sum, term := new(big.Float).SetPrec(bits).Set(y), new(big.Float).SetPrec(bits).Set(y)
		for i := int64(3); ; i += 2 {
			term.Mul(term, y2)
			d := new(big.Float).SetPrec(bits).Quo(term, new(big.Float).SetInt64(i))
			if d.Sign() == 0 || d.MantExp(nil) < sum.MantExp(nil)-int(bits) {
				break
			}
			sum.Add(sum, d)
		}
		return sum.Mul(sum, new(big.Float).SetInt64(2))
	}
	out := atanh(m)
	out.Mul(out, new(big.Float).SetPrec(bits).SetInt(new(big.Int).Lsh(big.NewInt(1), uint(k))))
	if e != 0 {
		two := new(big.Float).SetPrec(bits).SetInt64(2)
		for range k {
			two.Sqrt(two)
		}
		ln2 := atanh(two)
		ln2.Mul(ln2, new(big.Float).SetPrec(bits).SetInt(new(big.Int).Lsh(big.NewInt(1), uint(k))))
		out.Add(out, ln2.Mul(ln2, new(big.Float).SetPrec(bits).SetInt64(int64(e))))
	}
	return out
}

// expReal is e^f.
func expReal(f *big.Float, bits uint) *big.Float {
	x := new(big.Float).SetPrec(bits).Set(f)
	k := max(x.MantExp(nil)+16, 0)
	x.SetMantExp(x, -k)
	sum, term := new(big.Float).SetPrec(bits).SetInt64(1), new(big.Float).SetPrec(bits).SetInt64(1)
	for i := int64(1); ; i++ {
		term.Mul(term, x)
		term.Quo(term, new(big.Float).SetInt64(i))
		if term.Sign() == 0 || term.MantExp(nil) < -int(bits) {
			break
		}
		sum.Add(sum, term)
	}
	for range k {
		sum.Mul(sum, sum)
	}
	return sum
}

func lnNum(a num) (num, error) {
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
	l := lnReal(a.real(realBits), realBits)
	approx, _ := l.Float64()
	// The weight of the result, in decimal digits, by its logarithm.
	w := 0
	if approx != 0 {
		w = int(math.Log10(math.Abs(approx)))
	}
	s := min(max(minSignificant-w, a.scale, 0), maxDisplayScale)
	return ofReal(l, s), nil
}

func logNum(base, a num) (num, error) {
	for _, n := range []num{base, a} {
		switch {
		case n.special == 'N':
			return numNaN, nil
		case n.sign() < 0:
			return a, bad("2201E", "cannot take logarithm of a negative number")
		case n.sign() == 0:
			return a, bad("2201E", "cannot take logarithm of zero")
		case n.special != 0:
			return num{special: '+'}, nil
		}
	}
	lb, la := lnReal(base.real(realBits), realBits), lnReal(a.real(realBits), realBits)
	if lb.Sign() == 0 {
		return a, errZero()
	}
	fa, _ := la.Float64()
	fb, _ := lb.Float64()
	w := 0
	if fa != 0 {
		// PostgreSQL takes the weights of both logarithms.
		w = lnWeight(a, fa) - lnWeight(base, fb)
	}
	s := min(max(minSignificant-w, base.scale, a.scale, 0), maxDisplayScale)
	return ofReal(la.Quo(la, lb), s), nil
}

// lnWeight is the decimal weight of a logarithm, as PostgreSQL estimates it.
func lnWeight(n num, ln float64) int {
	if ln == 0 {
		return 0
	}
	return int(math.Log10(math.Abs(ln)))
}

func expNum(a num) (num, error) {
	switch a.special {
	case 'N', '+':
		return a, nil
	case '-':
		return num{v: new(big.Int)}, nil
	}
	f, _ := a.real(256).Float64()
	if f >= maxNumericWhole*2.302585092994046 {
		return a, errOverflow()
	}
	if f <= -maxNumericFraction*2.302585092994046 {
		return num{v: new(big.Int), scale: maxDisplayScale}, nil
	}
	val := f * 0.434294481903252
	s := min(max(minSignificant-int(val), a.scale, 0), maxDisplayScale)
	bits := uint(realBits)
	if val > 500 {
		bits += uint(val * 4)
	}
	return ofReal(expReal(a.real(bits), bits), s), nil
}

func powNum(a, b num) (num, error) {
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
	if integral {
		e := new(big.Int).Quo(b.v, pow10(b.scale))
		if e.IsInt64() && e.Int64() >= -1<<31 && e.Int64() <= 1<<31-1 {
			return powInt(a, e.Int64(), b.scale)
		}
	}
	if a.v.Sign() == 0 {
		return num{v: new(big.Int), scale: minSignificant}, nil
	}
	l := lnReal(new(big.Float).Abs(a.real(realBits)), realBits)
	p := l.Mul(l, b.real(realBits))
	f, _ := p.Float64()
	val := f * 0.434294481903252
	if val > maxNumericWhole {
		return a, errOverflow()
	}
	s := min(max(minSignificant-int(val), a.scale, b.scale, 0), maxDisplayScale)
	return ofReal(expReal(p, realBits), s), nil
}

func powInt(a num, e int64, expScale int) (num, error) {
	s := min(max(minSignificant, a.scale), maxDisplayScale)
	if e == 0 {
		return intNum(1).at(s), nil
	}
	if a.v.Sign() == 0 {
		return num{v: new(big.Int), scale: s}, nil
	}
	f, _ := new(big.Float).Abs(a.real(256)).Float64()
	ln := math.Log10(f)
	if f == 0 || math.IsInf(f, 0) {
		l, _ := lnReal(new(big.Float).Abs(a.real(realBits)), realBits).Float64()
		ln = l * 0.434294481903252
	}
	val := ln * float64(e)
	if val > 3*maxNumericWhole {
		return a, errOverflow()
	}
	abs := e
	if abs < 0 {
		abs = -abs
	}
	var out num
	if float64(a.scale)*float64(abs) < 200000 {
		p := num{v: new(big.Int).Exp(a.v, big.NewInt(abs), nil), scale: a.scale * int(abs)}
		if e < 0 {
			out = quoNum(num{v: big.NewInt(1)}, p, s)
		} else {
			out = p.at(s)
		}
	} else {
		l := lnReal(new(big.Float).Abs(a.real(realBits)), realBits)
		out = ofReal(expReal(l.Mul(l, new(big.Float).SetInt64(e)), realBits), s)
		if a.v.Sign() < 0 && e%2 != 0 {
			out.v.Neg(out.v)
		}
	}
	return checkNum(out)
}

// NumericIn is the numeric that a text means, with a modifier applied.
func NumericIn(s string, mod int32) (string, error) {
	n, ok := parseNum(s)
	if !ok {
		return "", bad("22P02", `invalid input syntax for type numeric: "%s"`, s)
	}
	if n.special == '!' {
		return "", errOverflow()
	}
	n, err := checkNum(n)
	if err != nil {
		return "", err
	}
	if mod >= 0 {
		p, sc := int((mod-4)>>16&0xffff), int((mod-4)&0x7ff)
		if n, err = limit(n, p, (sc^1024)-1024); err != nil {
			return "", err
		}
	}
	return n.String(), nil
}
