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
	if len(whole)+len(fraction) == 0 || strings.Trim(whole, "0123456789") != "" || strings.Trim(fraction, "0123456789") != "" {
		return n, false
	}
	whole = strings.TrimLeft(whole, "0")
	scale := len(fraction) - exp
	if whole == "" && strings.Trim(fraction, "0") == "" {
		whole, fraction, exp = "0", "", 0
		scale = max(scale, 0)
	}
	// What no numeric is is not computed.
	if len(whole)+exp > maxNumericWhole || scale > maxNumericFraction {
		return num{special: '!'}, true
	}
	v, _ := new(big.Int).SetString(whole+fraction, 10)
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
	// The digits before the point may be fewer than none.
	digits := digitsOf(n.v)
	whole := digits - n.scale
	weight = int(math.Floor(float64(whole-1) / 4))
	lead := whole - weight*4 // digits of the first base-10000 digit, 1…4
	d := new(big.Int).Abs(n.v)
	if digits > lead {
		d.Quo(d, pow10(digits-lead))
	} else {
		d.Mul(d, pow10(lead-digits))
	}
	return weight, d.Int64()
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
	if n.special == 0 && digitsOf(n.v)-n.scale > maxNumericWhole {
		return n, errOverflow()
	}
	if n.special == 0 && n.scale > maxNumericFraction {
		return n.at(maxNumericFraction), nil
	}
	return n, nil
}

// digitsOf is how many decimal digits v has; 0 has one.
func digitsOf(v *big.Int) int {
	const log2 = 0.30102999566398119521
	bits := v.BitLen()
	low, high := int(float64(bits-1)*log2)+1, int(float64(bits)*log2)+1
	if bits == 0 || low == high {
		return max(low, 1)
	}
	if v.CmpAbs(pow10(low)) < 0 {
		return low
	}
	return high
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
