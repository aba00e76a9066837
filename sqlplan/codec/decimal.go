package codec

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// maxDigits is the most decimal digits that 127 bits can need.
const maxDigits = 39

// pow10 are 10⁰…10³⁸ as 128-bit integers (high, low).
var pow10 = func() (p [maxDigits][2]uint64) {
	p[0] = [2]uint64{0, 1}
	for i := 1; i < maxDigits; i++ {
		hi, lo := bits.Mul64(p[i-1][1], 10)
		p[i] = [2]uint64{hi + p[i-1][0]*10, lo}
	}
	return p
}()

// magnitude is |x| as an unsigned 128-bit integer.
func magnitude(x vector.Int128) (hi, lo uint64, negative bool) {
	hi, lo = uint64(x.HighBits()), x.LowBits()
	if negative = x.HighBits() < 0; negative {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	return hi, lo, negative
}

// appendDigits writes hi·2⁶⁴+lo ≤ 2¹²⁷ in decimal.
func appendDigits(dst []byte, hi, lo uint64) []byte {
	if hi == 0 {
		return strconv.AppendUint(dst, lo, 10)
	}
	const e19 = 10_000_000_000_000_000_000
	q, r := bits.Div64(hi, lo, e19)
	dst = strconv.AppendUint(dst, q, 10)
	at := len(dst)
	dst = append(dst, "0000000000000000000"...)
	for i := len(dst) - 1; i >= at; i-- {
		dst[i] = '0' + byte(r%10)
		r /= 10
	}
	return dst
}

// appendDecimal writes the unscaled x with scale digits after the point.
func appendDecimal(dst []byte, x vector.Int128, scale int) []byte {
	hi, lo, negative := magnitude(x)
	if negative {
		dst = append(dst, '-')
	}
	var buf [maxDigits + 1]byte
	d := appendDigits(buf[:0], hi, lo)
	whole := len(d) - scale
	if whole > 0 {
		dst = append(dst, d[:whole]...)
	} else {
		dst = append(dst, '0')
	}
	if scale == 0 {
		return dst
	}
	dst = append(dst, '.')
	for ; whole < 0; whole++ {
		dst = append(dst, '0')
	}
	return append(dst, d[whole:]...)
}

func overflow(t vector.Type, detail string) *Error {
	return &Error{Code: "22003", Message: "numeric field overflow", Detail: detail}
}

func tooLarge(t vector.Type) *Error {
	what := fmt.Sprintf("10^%d", int(t.Precision)-int(t.Scale))
	if t.Precision == t.Scale {
		what = "1"
	}
	return overflow(t, fmt.Sprintf("A field with precision %d, scale %d must round to an absolute value less than %s.",
		t.Precision, t.Scale, what))
}

// maxExponent bounds |exponent| of numeric input as PostgreSQL does.
const maxExponent = 1<<30 - 1

// parseDecimal reads numeric_in's spellings and rounds half away from zero to the type's scale.
func parseDecimal(t vector.Type, in []byte) (vector.Int128, error) {
	b := trimSpace(in)
	negative := false
	rest := b
	if len(rest) > 0 && (rest[0] == '+' || rest[0] == '-') {
		negative = rest[0] == '-'
		rest = rest[1:]
	}
	if isWord(rest, "inf") || isWord(rest, "infinity") {
		return vector.Int128{}, overflow(t, fmt.Sprintf("A field with precision %d, scale %d cannot hold an infinite value.",
			t.Precision, t.Scale))
	}
	if isWord(b, "nan") {
		return vector.Int128{}, overflow(t, "A numeric cannot hold NaN here.")
	}
	d := decimalReader{scale: int(t.Scale)}
	digits, seen, i := rest, 0, 0
	for ; i < len(digits) && isDigit(digits[i]); i++ {
		seen++
	}
	whole := digits[:i]
	var frac []byte
	if i < len(digits) && digits[i] == '.' {
		j := i + 1
		for i = j; i < len(digits) && isDigit(digits[i]); i++ {
			seen++
		}
		frac = digits[j:i]
	}
	if seen == 0 {
		return vector.Int128{}, badSyntax(t, in)
	}
	exp := 0
	if i < len(digits) && (digits[i] == 'e' || digits[i] == 'E') {
		n, k := digits[i+1:], 0
		neg := false
		if len(n) > 0 && (n[0] == '+' || n[0] == '-') {
			neg = n[0] == '-'
			n = n[1:]
		}
		for ; k < len(n) && isDigit(n[k]); k++ {
			if exp = exp*10 + int(n[k]-'0'); exp > maxExponent {
				return vector.Int128{}, &Error{Code: "22003", Message: "value overflows numeric format"}
			}
		}
		if k == 0 || k < len(n) {
			return vector.Int128{}, badSyntax(t, in)
		}
		if neg {
			exp = -exp
		}
		i = len(digits)
	}
	if i < len(digits) {
		return vector.Int128{}, badSyntax(t, in)
	}
	d.point = len(whole) + exp
	d.feed(whole)
	d.feed(frac)
	return d.finish(t, negative)
}

// decimalReader accumulates decimal digits, most significant first, into the unscaled integer of a scale.
type decimalReader struct {
	scale, point int // the decimal point stands before digit number point
	pos          int
	hi, lo       uint64
	huge, up     bool
}

func (d *decimalReader) push(digit uint64) {
	if d.hi >= 1<<59 {
		d.huge = true
		return
	}
	h, l := bits.Mul64(d.lo, 10)
	var carry uint64
	d.lo, carry = bits.Add64(l, digit, 0)
	d.hi = d.hi*10 + h + carry
}

func (d *decimalReader) feed(b []byte) {
	for _, c := range b {
		at := d.pos - d.point
		d.pos++
		switch {
		case at < d.scale:
			d.push(uint64(c - '0'))
		case at == d.scale:
			d.up = c >= '5'
		}
	}
}

func (d *decimalReader) finish(t vector.Type, negative bool) (vector.Int128, error) {
	for ; d.pos-d.point < d.scale && (d.hi|d.lo) != 0 && !d.huge; d.pos++ {
		d.push(0)
	}
	if d.up {
		var carry uint64
		d.lo, carry = bits.Add64(d.lo, 1, 0)
		d.hi += carry
	}
	limit := pow10[min(int(t.Precision), 38)]
	if d.huge || d.hi > limit[0] || d.hi == limit[0] && d.lo >= limit[1] {
		return vector.Int128{}, tooLarge(t)
	}
	if negative {
		var borrow uint64
		d.lo, borrow = bits.Sub64(0, d.lo, 0)
		d.hi, _ = bits.Sub64(0, d.hi, borrow)
	}
	return vector.Int128FromParts(int64(d.hi), d.lo), nil
}

// Signs of a binary numeric.
const (
	signNegative = 0x4000
	signNaN      = 0xC000
	signInf      = 0xD000
	signNegInf   = 0xF000
)

// appendDecimalBinary writes numeric_send's form.
func appendDecimalBinary(dst []byte, x vector.Int128, scale int) []byte {
	hi, lo, negative := magnitude(x)
	// The digits are laid out so that the decimal point falls on a multiple of four.
	var buf [4 + 40 + maxDigits + 8]byte
	d := buf[:0]
	var raw [maxDigits + 1]byte
	digits := appendDigits(raw[:0], hi, lo)
	for n := len(digits); n < scale+1; n++ {
		d = append(d, '0')
	}
	whole := len(d) + len(digits) - scale
	pad := (4 - whole%4) % 4
	if pad > 0 {
		copy(buf[pad:cap(buf)], d)
		d = buf[:len(d)+pad]
		copy(d[:pad], "000")
	}
	d = append(d, digits...)
	for len(d)%4 != 0 {
		d = append(d, '0')
	}
	weight := (whole+pad)/4 - 1
	first, last := 0, len(d)/4
	group := func(i int) uint16 {
		g := d[i*4 : i*4+4]
		return uint16(g[0]-'0')*1000 + uint16(g[1]-'0')*100 + uint16(g[2]-'0')*10 + uint16(g[3]-'0')
	}
	for first < last && group(first) == 0 {
		first++
		weight--
	}
	for last > first && group(last-1) == 0 {
		last--
	}
	if first == last {
		weight = 0
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(last-first))
	dst = binary.BigEndian.AppendUint16(dst, uint16(int16(weight)))
	sign := uint16(0)
	if negative {
		sign = signNegative
	}
	dst = binary.BigEndian.AppendUint16(dst, sign)
	dst = binary.BigEndian.AppendUint16(dst, uint16(scale))
	for i := first; i < last; i++ {
		dst = binary.BigEndian.AppendUint16(dst, group(i))
	}
	return dst
}

// decodeDecimalBinary reads numeric_recv's form and rounds half away from zero to the type's scale.
func decodeDecimalBinary(t vector.Type, b []byte) (vector.Int128, error) {
	if len(b) < 8 {
		return vector.Int128{}, badBinary(t)
	}
	n := int(binary.BigEndian.Uint16(b))
	weight := int(int16(binary.BigEndian.Uint16(b[2:])))
	sign := binary.BigEndian.Uint16(b[4:])
	if len(b) != 8+2*n {
		return vector.Int128{}, badBinary(t)
	}
	switch sign {
	case 0, signNegative:
	case signNaN:
		return parseDecimal(t, []byte("NaN"))
	case signInf, signNegInf:
		return parseDecimal(t, []byte("inf"))
	default:
		return vector.Int128{}, &Error{Code: "22P03", Message: `invalid sign in external "numeric" value`}
	}
	d := decimalReader{scale: int(t.Scale), point: (weight + 1) * 4}
	for i := range n {
		g := binary.BigEndian.Uint16(b[8+2*i:])
		if g > 9999 {
			return vector.Int128{}, &Error{Code: "22P03", Message: `invalid digit in external "numeric" value`}
		}
		d.feed([]byte{'0' + byte(g/1000), '0' + byte(g/100%10), '0' + byte(g/10%10), '0' + byte(g%10)})
	}
	return d.finish(t, sign == signNegative)
}
