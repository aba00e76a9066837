package exact

import (
	"encoding/binary"
	"math/big"
	"math/bits"
)

// Bounds of a Fixed, in bytes from the binary point: fourth powers of doubles lie between 2^−4296 and 2^4096, fourth powers of
// 38 digits below 2^508, and 2⁶³ of them fit beyond.
const (
	fixedLow  = -537
	fixedHigh = 537
)

// Fixed is an exact sum of integers times powers of two: a fixed-point number in two's complement, of the words in use only.
// The zero value is 0. It is not safe for concurrent use; once its words cover its values, nothing allocates.
type Fixed struct {
	w    []uint64 // the last word is nothing but sign: 0 or all ones
	base int      // bit 0 of w[0] is 2^(64·base)
}

// Add adds m·2^e, or takes it away where neg; m is little end first.
func (f *Fixed) Add(neg bool, m []uint64, e int) {
	at, s := e>>6, uint(e)&63
	f.cover(at, at+len(m)+1)
	w := f.w[at-f.base:]
	var carry, spill uint64
	i := 0
	for ; i <= len(m); i++ {
		x := spill
		if i < len(m) {
			x |= m[i] << s
			spill = m[i] >> (64 - s) // 0 where s is 0: Go shifts all bits out
		}
		if neg {
			w[i], carry = bits.Sub64(w[i], x, carry)
		} else {
			w[i], carry = bits.Add64(w[i], x, carry)
		}
	}
	f.ripple(w[i:], neg, carry)
}

// ripple carries into the words w, the last ones, and keeps the last word a sign.
func (f *Fixed) ripple(w []uint64, neg bool, carry uint64) {
	for i := 0; carry != 0 && i < len(w); i++ {
		if neg {
			w[i], carry = bits.Sub64(w[i], 0, carry)
		} else {
			w[i], carry = bits.Add64(w[i], 0, carry)
		}
	}
	if top := f.w[len(f.w)-1]; top != 0 && top != ^uint64(0) {
		f.w = append(f.w, uint64(int64(top)>>63))
	}
}

// cover makes words from ≤ i < to, counted from the binary point, and a sign word beyond them.
func (f *Fixed) cover(from, to int) {
	if len(f.w) == 0 {
		f.base = from
	}
	if n := f.base - from; n > 0 {
		old := len(f.w)
		for range n {
			f.w = append(f.w, 0)
		}
		copy(f.w[n:], f.w[:old])
		clear(f.w[:n])
		f.base = from
	}
	sign := uint64(0)
	if n := len(f.w); n > 0 {
		sign = f.w[n-1]
	}
	for len(f.w) <= to-f.base {
		f.w = append(f.w, sign)
	}
}

// Merge adds o.
func (f *Fixed) Merge(o *Fixed) { f.combine(o, false) }

// Unmerge takes o away.
func (f *Fixed) Unmerge(o *Fixed) { f.combine(o, true) }

func (f *Fixed) combine(o *Fixed, neg bool) {
	n := len(o.w)
	if n == 0 {
		return
	}
	f.cover(o.base, o.base+n)
	w := f.w[o.base-f.base:]
	var carry uint64
	for i := range w {
		x := o.w[min(i, n-1)] // the last word is the sign, which goes on for ever
		if neg {
			w[i], carry = bits.Sub64(w[i], x, carry)
		} else {
			w[i], carry = bits.Add64(w[i], x, carry)
		}
	}
	f.ripple(nil, neg, 0)
}

// AddBig adds x·2^e.
func (f *Fixed) AddBig(x *big.Int, e int) {
	if x.Sign() == 0 {
		return
	}
	m := make([]uint64, 0, len(x.Bits())+1)
	f.Add(x.Sign() < 0, appendWords(m, x), e)
}

// appendWords appends |x| in words of 64 bits, little end first.
func appendWords(dst []uint64, x *big.Int) []uint64 {
	var word [8]byte
	b := x.Bytes()
	for len(b) > 0 {
		n := min(8, len(b))
		word = [8]byte{}
		copy(word[8-n:], b[len(b)-n:])
		dst, b = append(dst, binary.BigEndian.Uint64(word[:])), b[:len(b)-n]
	}
	return dst
}

// Reset makes f zero and keeps its memory.
func (f *Fixed) Reset() { f.w = f.w[:0] }

// IsZero reports whether f is 0.
func (f *Fixed) IsZero() bool {
	for _, w := range f.w {
		if w != 0 {
			return false
		}
	}
	return true
}

// Big is f as x·2^e; e is 0 where f is 0.
func (f *Fixed) Big() (x *big.Int, e int) {
	if f.IsZero() {
		return new(big.Int), 0
	}
	b := make([]byte, 8*len(f.w))
	neg := f.w[len(f.w)-1] != 0
	carry := uint64(0)
	for i, w := range f.w {
		if neg {
			if w = ^w; i == 0 {
				carry = 1
			}
			w, carry = bits.Add64(w, carry, 0)
		}
		binary.BigEndian.PutUint64(b[len(b)-8*(i+1):], w)
	}
	x = new(big.Int).SetBytes(b)
	if neg {
		x.Neg(x)
	}
	return x, 64 * f.base
}

// Append appends the encoding: the number of bytes as a varint and, unless that is 0, where the first of them stands, in
// bytes from the binary point, as a zigzag varint, and the bytes: a minimal integer whose first byte is not 0.
func (f *Fixed) Append(dst []byte) []byte {
	if f.IsZero() {
		return append(dst, 0)
	}
	low := 0
	for f.byteAt(low) == 0 {
		low++
	}
	high, sign := 8*len(f.w), f.byteAt(8*len(f.w)-1)
	for high > low+1 && f.byteAt(high-1) == sign && byte(int8(f.byteAt(high-2))>>7) == sign {
		high--
	}
	dst = binary.AppendUvarint(dst, uint64(high-low))
	dst = binary.AppendVarint(dst, int64(8*f.base+low))
	for i := low; i < high; i++ {
		dst = append(dst, f.byteAt(i))
	}
	return dst
}

func (f *Fixed) byteAt(i int) byte { return byte(f.w[i>>3] >> (8 * uint(i&7))) }

// MergeEncoded adds the sum that b begins with and returns what follows it. The error wraps ErrEncoding; f is then undefined.
func (f *Fixed) MergeEncoded(b []byte) (rest []byte, err error) {
	u, k := binary.Uvarint(b)
	if k != 1 && !(k == 2 && b[1] != 0) || u > uint64(fixedHigh-fixedLow) {
		return nil, ErrEncoding
	}
	b = b[k:]
	if u == 0 {
		return b, nil
	}
	low, k := binary.Varint(b)
	if k <= 0 || k > 1 && b[k-1] == 0 || low < fixedLow || low+int64(u) > fixedHigh {
		return nil, ErrEncoding
	}
	b = b[k:]
	n := int(u)
	if len(b) < n || b[0] == 0 || n > 1 && b[n-1] == byte(int8(b[n-2])>>7) {
		return nil, ErrEncoding
	}
	// The bytes as words that begin at a multiple of eight bytes, filled up with the sign.
	var buf [(fixedHigh-fixedLow)/8 + 4]uint64
	base, sign := int(low)>>3, uint64(int64(int8(b[n-1]))>>63)
	o := Fixed{base: base, w: buf[:(int(low)&7+n+7)/8+1]}
	for i := range 8 * len(o.w) {
		x := byte(sign)
		if j := i - int(low)&7; j < 0 {
			x = 0
		} else if j < n {
			x = b[j]
		}
		o.w[i>>3] |= uint64(x) << (8 * uint(i&7))
	}
	f.Merge(&o)
	return b[n:], nil
}
