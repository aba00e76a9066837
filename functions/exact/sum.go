package exact

import (
	"math"
	"math/bits"
)

// The chunks that are counts: of +Inf, −Inf and NaN.
const (
	PosInf = 65 + iota
	NegInf
	NaN
	chunks
)

// Sum is an exact sum of doubles. The zero value is the sum of nothing. It is not safe for concurrent use; after the chunks of
// its values have been seen once, nothing allocates.
type Sum struct {
	at []chunk // ascending by c; a chunk may have come back to zero
}

type chunk struct {
	lo uint64
	hi int64
	c  uint8
}

// Split is the chunk that x belongs to and its integer there: 1 for infinities and NaN, 0 in chunk 0 for zeros.
func Split(x float64) (c int, hi int64, lo uint64) {
	b := math.Float64bits(x)
	ef, m := int(b>>52)&2047, b&(1<<52-1)
	switch {
	case ef == 2047:
		switch {
		case m != 0:
			return NaN, 0, 1
		case b>>63 != 0:
			return NegInf, 0, 1
		}
		return PosInf, 0, 1
	case ef == 0:
		ef = 1
	default:
		m |= 1 << 52
	}
	s := uint(ef+13) & 31
	h, lo := m>>(64-s), m<<s
	if b>>63 != 0 {
		h, lo = negate128(h, lo)
	}
	return (ef + 13) >> 5, int64(h), lo
}

// Add adds x.
func (s *Sum) Add(x float64) {
	c, hi, lo := Split(x)
	s.add(uint8(c), uint64(hi), lo)
}

// Sub takes away x.
func (s *Sum) Sub(x float64) {
	c, hi, lo := Split(x)
	h, l := negate128(uint64(hi), lo)
	s.add(uint8(c), h, l)
}

// AddChunk adds hi·2⁶⁴ + lo units of chunk c, 0 ≤ c ≤ NaN; it reports false, and adds nothing, where there is no such chunk.
func (s *Sum) AddChunk(c, hi int64, lo uint64) bool {
	if c < 0 || c >= chunks {
		return false
	}
	s.add(uint8(c), uint64(hi), lo)
	return true
}

func (s *Sum) add(c uint8, hi, lo uint64) {
	i := 0
	for ; i < len(s.at); i++ {
		k := &s.at[i]
		if k.c >= c {
			if k.c > c {
				break
			}
			var carry uint64
			k.lo, carry = bits.Add64(k.lo, lo, 0)
			h, _ := bits.Add64(uint64(k.hi), hi, carry)
			k.hi = int64(h)
			return
		}
	}
	if hi|lo == 0 {
		return
	}
	s.at = append(s.at, chunk{})
	copy(s.at[i+1:], s.at[i:])
	s.at[i] = chunk{lo, int64(hi), c}
}

// Merge adds the values of o.
func (s *Sum) Merge(o *Sum) {
	for _, k := range o.at {
		s.add(k.c, uint64(k.hi), k.lo)
	}
}

// Unmerge takes away the values of o.
func (s *Sum) Unmerge(o *Sum) {
	for _, k := range o.at {
		h, l := negate128(uint64(k.hi), k.lo)
		s.add(k.c, h, l)
	}
}

// Reset makes s the sum of nothing and keeps its memory.
func (s *Sum) Reset() { s.at = s.at[:0] }

// Append appends the encoding.
func (s *Sum) Append(dst []byte) []byte {
	for _, k := range s.at {
		if uint64(k.hi)|k.lo == 0 {
			continue
		}
		hi, lo := uint64(k.hi), k.lo
		z := uint(bits.TrailingZeros64(lo)) / 8
		if lo == 0 {
			z = 8 + uint(bits.TrailingZeros64(hi))/8
			lo, hi = uint64(k.hi>>(8*(z-8))), uint64(k.hi>>63)
		} else if z > 0 {
			lo, hi = lo>>(8*z)|hi<<(64-8*z), uint64(k.hi>>(8*z))
		}
		dst = append(dst, k.c, 0)
		head := len(dst) - 1
		dst = AppendMinimal128(dst, int64(hi), lo)
		dst[head] = byte(z<<4) | byte(len(dst)-head-2)
	}
	return dst
}

// MergeEncoded adds the values of the sum that b encodes. The error wraps ErrEncoding; s is then undefined.
func (s *Sum) MergeEncoded(b []byte) error {
	last := -1
	for len(b) > 0 {
		if len(b) < 3 {
			return ErrEncoding
		}
		c, z, n := int(b[0]), uint(b[1]>>4), int(b[1]&15)+1
		if c <= last || c >= chunks || len(b) < 2+n || b[2] == 0 || int(z)+n > 16 {
			return ErrEncoding
		}
		w, err := loadMinimal(b[2:2+n], 16)
		if err != nil {
			return err
		}
		lo, hi := w[0], w[1]
		switch {
		case z >= 8:
			lo, hi = 0, lo<<(8*(z-8))
		case z > 0:
			lo, hi = lo<<(8*z), hi<<(8*z)|lo>>(64-8*z)
		}
		s.add(uint8(c), hi, lo)
		last, b = c, b[2+n:]
	}
	return nil
}

// Float64 is the sum rounded once, to nearest, ties to even; a zero is +0. Infinities and NaN count as in IEEE
// addition. ok is false where the sum of finite values is beyond the largest double.
func (s *Sum) Float64() (x float64, ok bool) { return s.Quo(1) }

// Quo is the sum divided by n > 0, rounded once; otherwise as Float64.
func (s *Sum) Quo(n int64) (x float64, ok bool) {
	lo, hi := -1, -1 // the first and last chunk of finite values in use
	var special [3]bool
	for _, k := range s.at {
		switch {
		case uint64(k.hi)|k.lo == 0:
		case k.c >= PosInf:
			special[k.c-PosInf] = true
		default:
			if hi = int(k.c); lo < 0 {
				lo = hi
			}
		}
	}
	switch {
	case special[NaN-PosInf], special[0] && special[NegInf-PosInf]:
		return math.NaN(), true
	case special[0]:
		return math.Inf(1), true
	case special[NegInf-PosInf]:
		return math.Inf(-1), true
	case hi < 0:
		return 0, true
	}
	// Words of a fixed-point number whose bit 0 is unit 2^(64·base − 1088 − 128): two words below the lowest chunk keep at
	// least 65 bits of any quotient, three above it the carries of 128-bit chunks.
	const below, above = 2, 3
	var buf [below + chunks/2 + above + 1]uint64
	base := lo / 2
	w := buf[:below+hi/2-base+above+1]
	for _, k := range s.at {
		if k.c >= PosInf {
			break
		}
		sign := uint64(k.hi >> 63)
		p := [3]uint64{k.lo, uint64(k.hi), sign}
		if k.c&1 != 0 {
			p = [3]uint64{k.lo << 32, uint64(k.hi)<<32 | k.lo>>32, uint64(k.hi >> 32)}
		}
		i := below + int(k.c)/2 - base
		if i < below { // a chunk below the first in use is zero
			continue
		}
		var c uint64
		for j := i; j < len(w); j++ {
			d := sign
			if j-i < len(p) {
				d = p[j-i]
			}
			w[j], c = bits.Add64(w[j], d, c)
		}
	}
	neg := int64(w[len(w)-1]) < 0
	if neg {
		c := uint64(1)
		for i := range w {
			w[i], c = bits.Add64(^w[i], 0, c)
		}
	}
	var rem uint64
	if n > 1 {
		for i := len(w) - 1; i >= 0; i-- {
			w[i], rem = bits.Div64(rem, w[i], uint64(n))
		}
	}
	x = round(w, 64*base-1088-64*below, rem != 0)
	if neg {
		x = 0 - x // a negative quotient below every double is +0, as an exact zero is
	}
	return x, !math.IsInf(x, 0)
}

// round is w·2^e, plus a little where more, rounded to the nearest double, ties to even; +Inf where that is too large.
func round(w []uint64, e int, more bool) float64 {
	top := len(w) - 1
	for top >= 0 && w[top] == 0 {
		top--
	}
	if top < 0 {
		return 0
	}
	length := 64*top + bits.Len64(w[top])
	last := max(e+length-53, -1074) // exponent of the last bit that the double keeps
	drop := last - e                // > 0, because the spare words below leave any w at least 65 bits
	i, sh := drop/64, uint(drop%64)
	var m uint64
	if i <= top {
		m = w[i] >> sh
		if sh > 0 && i < top {
			m |= w[i+1] << (64 - sh)
		}
	}
	h := drop - 1
	if h < 64*len(w) && w[h/64]>>(h%64)&1 != 0 {
		sticky := more || w[h/64]&(1<<(h%64)-1) != 0
		for j := 0; j < h/64 && !sticky; j++ {
			sticky = w[j] != 0
		}
		if sticky || m&1 != 0 {
			m++
		}
	}
	return math.Ldexp(float64(m), last)
}

// Digits are the three integers by which SQL names a double exactly: its chunk and, with m = |x| scaled to units of
// 2^(32c−1036), floor(m) and the 52 bits of the fraction. Zeros of either sign are (0, 0, 0), infinities and NaN (c, 0, 1).
func Digits(x float64) (c int, whole, fraction int64) {
	c, hi, lo := Split(x)
	return c, hi<<12 | int64(lo>>52), int64(lo & (1<<52 - 1))
}
