package exact

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// ErrEncoding is wrapped by every error about encoded bytes.
var ErrEncoding = errors.New("exact: bad encoding")

// Int192 is a signed integer of 192 bits in two's complement, little end first. The zero value is 0. Arithmetic wraps, which
// sums of fewer than 2⁶³ integers of 128 bits cannot reach.
type Int192 struct{ w0, w1, w2 uint64 }

// AddInt64 adds x.
func (a *Int192) AddInt64(x int64) {
	s := uint64(x >> 63)
	var c uint64
	a.w0, c = bits.Add64(a.w0, uint64(x), 0)
	a.w1, c = bits.Add64(a.w1, s, c)
	a.w2 += s + c
}

// SubInt64 subtracts x.
func (a *Int192) SubInt64(x int64) {
	s := uint64(x >> 63)
	var c uint64
	a.w0, c = bits.Sub64(a.w0, uint64(x), 0)
	a.w1, c = bits.Sub64(a.w1, s, c)
	a.w2 -= s + c
}

// AddInt128 adds hi·2⁶⁴ + lo.
func (a *Int192) AddInt128(hi int64, lo uint64) { a.Add(Int192{lo, uint64(hi), uint64(hi >> 63)}) }

// SubInt128 subtracts hi·2⁶⁴ + lo.
func (a *Int192) SubInt128(hi int64, lo uint64) { a.Sub(Int192{lo, uint64(hi), uint64(hi >> 63)}) }

// Add adds b.
func (a *Int192) Add(b Int192) {
	var c uint64
	a.w0, c = bits.Add64(a.w0, b.w0, 0)
	a.w1, c = bits.Add64(a.w1, b.w1, c)
	a.w2 += b.w2 + c
}

// Sub subtracts b.
func (a *Int192) Sub(b Int192) {
	var c uint64
	a.w0, c = bits.Sub64(a.w0, b.w0, 0)
	a.w1, c = bits.Sub64(a.w1, b.w1, c)
	a.w2 -= b.w2 + c
}

// AddMul adds (hi·2⁶⁴ + lo)·m.
func (a *Int192) AddMul(hi int64, lo uint64, m uint64) {
	neg := hi < 0
	h, l := uint64(hi), lo
	if neg {
		h, l = negate128(h, l)
	}
	c1, p0 := bits.Mul64(l, m)
	c2, p1 := bits.Mul64(h, m)
	p1, c := bits.Add64(p1, c1, 0)
	if p := (Int192{p0, p1, c2 + c}); neg {
		a.Sub(p)
	} else {
		a.Add(p)
	}
}

// IsZero reports whether a is 0.
func (a Int192) IsZero() bool { return a.w0|a.w1|a.w2 == 0 }

// Int64 is a as an int64; ok is false where it does not fit.
func (a Int192) Int64() (x int64, ok bool) {
	s := uint64(int64(a.w0) >> 63)
	return int64(a.w0), a.w1 == s && a.w2 == s
}

// Decimal is a as the unscaled value hi·2⁶⁴ + lo of a numeric of 38 digits; ok is false where |a| ≥ 10³⁸.
func (a Int192) Decimal() (hi int64, lo uint64, ok bool) {
	neg, m := a.magnitude()
	return decimal(neg, m)
}

// QuoDecimal is a·scale/n rounded half away from zero, as the unscaled value hi·2⁶⁴ + lo of a numeric of 38 digits; ok is
// false where it has more digits. scale ≤ 2⁶³ and n > 0.
func (a Int192) QuoDecimal(scale uint64, n int64) (hi int64, lo uint64, ok bool) {
	neg, m := a.magnitude()
	var carry uint64
	for i, w := range m {
		h, l := bits.Mul64(w, scale)
		l, c := bits.Add64(l, carry, 0)
		m[i], carry = l, h+c
	}
	var rem uint64
	for i := len(m) - 1; i >= 0; i-- {
		m[i], rem = bits.Div64(rem, m[i], uint64(n))
	}
	if rem >= uint64(n)-rem {
		for i := range m {
			if m[i]++; m[i] != 0 {
				break
			}
		}
	}
	return decimal(neg, m)
}

// magnitude is the sign of a and |a| with a word to spare for a product.
func (a Int192) magnitude() (neg bool, m [4]uint64) {
	if neg = int64(a.w2) < 0; neg {
		var z Int192
		z.Sub(a)
		a = z
	}
	return neg, [4]uint64{a.w0, a.w1, a.w2, 0}
}

// 10³⁸, the first magnitude that a numeric does not hold.
const maxDecimalHi, maxDecimalLo = 0x4b3b4ca85a86c47a, 0x098a224000000000

func decimal(neg bool, m [4]uint64) (hi int64, lo uint64, ok bool) {
	if m[2]|m[3] != 0 || m[1] > maxDecimalHi || m[1] == maxDecimalHi && m[0] >= maxDecimalLo {
		return 0, 0, false
	}
	h, l := m[1], m[0]
	if neg {
		h, l = negate128(h, l)
	}
	return int64(h), l, true
}

func negate128(hi, lo uint64) (uint64, uint64) {
	l, c := bits.Sub64(0, lo, 0)
	h, _ := bits.Sub64(0, hi, c)
	return h, l
}

// AppendMinimal appends a as a minimal integer: no bytes for 0, at most 24.
func (a Int192) AppendMinimal(dst []byte) []byte {
	var b [24]byte
	binary.LittleEndian.PutUint64(b[:], a.w0)
	binary.LittleEndian.PutUint64(b[8:], a.w1)
	binary.LittleEndian.PutUint64(b[16:], a.w2)
	return append(dst, b[:minimalLen(b[:])]...)
}

// Int192OfMinimal is the minimal integer that b is. The error wraps ErrEncoding.
func Int192OfMinimal(b []byte) (Int192, error) {
	w, err := loadMinimal(b, 24)
	return Int192{w[0], w[1], w[2]}, err
}

// AppendMinimal128 appends hi·2⁶⁴ + lo as a minimal integer of at most 16 bytes.
func AppendMinimal128(dst []byte, hi int64, lo uint64) []byte {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], lo)
	binary.LittleEndian.PutUint64(b[8:], uint64(hi))
	return append(dst, b[:minimalLen(b[:])]...)
}

// Int128OfMinimal is the minimal integer that b is, as hi·2⁶⁴ + lo. The error wraps ErrEncoding.
func Int128OfMinimal(b []byte) (hi int64, lo uint64, err error) {
	w, err := loadMinimal(b, 16)
	return int64(w[1]), w[0], err
}

// minimalLen is the number of bytes of the little-endian integer b that are not redundant.
func minimalLen(b []byte) int {
	n := len(b)
	sign := byte(int8(b[n-1]) >> 7)
	for n > 1 && b[n-1] == sign && byte(int8(b[n-2])>>7) == sign {
		n--
	}
	if n == 1 && b[0] == 0 {
		return 0
	}
	return n
}

func loadMinimal(b []byte, limit int) (w [3]uint64, err error) {
	n := len(b)
	if n == 0 {
		return w, nil
	}
	if n > limit || n == 1 && b[0] == 0 || n > 1 && b[n-1] == byte(int8(b[n-2])>>7) {
		return w, ErrEncoding
	}
	// The sign fills what is not stored.
	fill := uint64(int64(int8(b[n-1])) >> 63)
	if n <= 8 {
		var u uint64
		for i := n - 1; i >= 0; i-- {
			u = u<<8 | uint64(b[i])
		}
		if n < 8 {
			u |= fill << (8 * n)
		}
		return [3]uint64{u, fill, fill}, nil
	}
	var all [24]byte
	if fill != 0 {
		for i := n; i < len(all); i++ {
			all[i] = 0xff
		}
	}
	copy(all[:], b)
	return [3]uint64{binary.LittleEndian.Uint64(all[:]), binary.LittleEndian.Uint64(all[8:]), binary.LittleEndian.Uint64(all[16:])}, nil
}
