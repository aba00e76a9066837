package vector

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrBadKey is wrapped by every error of DecodeKey.
var ErrBadKey = errors.New("vector: bad key encoding")

// AppendKey appends value i of v in the order-preserving, self-delimiting encoding of keys: bytes.Compare on encodings is
// the order of the values (NULL first; NaN greatest; -0 is encoded as +0; text by its bytes), and encodings concatenate
// to composite keys. Encodings are written to disk.
//
//	NULL           00
//	integers,…     01, 8 bytes big-endian, sign bit flipped
//	floats         01, 8 bytes: the bits of the float64, all flipped if negative, else the sign bit flipped
//	numeric        01, 16 bytes big-endian of the unscaled value, sign bit flipped
//	bytes, text    01, the bytes with 00 written as 00 FF, then 00 01
//
// Lists and maps are no keys: AppendKey panics on them.
func AppendKey(dst []byte, v *Vector, i int) []byte {
	if v.IsNull(i) {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	switch v.Type.Buffer() {
	case BufI64:
		return binary.BigEndian.AppendUint64(dst, uint64(v.I64[i])^1<<63)
	case BufF64:
		return binary.BigEndian.AppendUint64(dst, OrderedFloat(v.F64[i]))
	case BufI128:
		dst = binary.BigEndian.AppendUint64(dst, uint64(v.I128[i].HighBits())^1<<63)
		return binary.BigEndian.AppendUint64(dst, v.I128[i].LowBits())
	case BufBytes:
		for _, b := range v.Bytes(i) {
			if dst = append(dst, b); b == 0 {
				dst = append(dst, 0xff)
			}
		}
		return append(dst, 0, 1)
	case BufNested, BufNone:
	}
	panic(fmt.Sprintf("vector: %s is no key type", v.Type))
}

// AppendKeys appends the keys of n rows to dst, a Bytes vector: the encodings of cols, one after the other; NULL where one of
// them is NULL. No columns give empty keys.
func AppendKeys(dst *Vector, cols []*Vector, n int) {
	if len(cols) == 1 && cols[0].Type.Buffer() == BufI64 && !cols[0].HasNulls() && dst.Valid == nil {
		appendIntKeys(dst, cols[0].I64[:n])
		return
	}
rows:
	for i := range n {
		at := len(dst.Data)
		for _, v := range cols {
			if v.IsNull(i) {
				dst.Data = dst.Data[:at]
				dst.AppendNull()
				continue rows
			}
			dst.Data = AppendKey(dst.Data, v, i)
		}
		dst.setValid(true)
		dst.Off = append(dst.Off, uint32(len(dst.Data)))
		dst.N++
	}
}

// appendIntKeys is AppendKeys of one column in I64 without NULLs: the usual key, at a third of the cost.
func appendIntKeys(dst *Vector, values []int64) {
	const size = 1 + 8
	at, n := len(dst.Data), len(values)
	dst.Data, dst.Off = slices.Grow(dst.Data, size*n)[:at+size*n], slices.Grow(dst.Off, n)
	for _, x := range values {
		k := dst.Data[at : at+size : at+size]
		k[0] = 1
		binary.BigEndian.PutUint64(k[1:], uint64(x)^1<<63)
		at += size
		dst.Off = append(dst.Off, uint32(at))
	}
	dst.N += n
}

// OrderedFloat maps x to an integer whose unsigned order is the order of floats, with -0 = +0 and every NaN equal and greatest.
func OrderedFloat(x float64) uint64 {
	if x != x {
		return math.MaxUint64
	}
	b := math.Float64bits(x + 0) // -0 + 0 is +0
	if b>>63 != 0 {
		return ^b
	}
	return b | 1<<63
}

// FloatOfOrdered is the inverse of OrderedFloat, with one NaN.
func FloatOfOrdered(b uint64) float64 {
	switch {
	case b == math.MaxUint64:
		return math.NaN()
	case b>>63 != 0:
		return math.Float64frombits(b &^ (1 << 63))
	}
	return math.Float64frombits(^b)
}

// DecodeKey appends the value of type v.Type encoded at the start of b to v and returns what follows it.
func DecodeKey(v *Vector, b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: empty", ErrBadKey)
	}
	tag, b := b[0], b[1:]
	if tag == 0 {
		v.AppendNull()
		return b, nil
	}
	if tag != 1 {
		return nil, fmt.Errorf("%w: tag %d", ErrBadKey, tag)
	}
	short := fmt.Errorf("%w: too short for %s", ErrBadKey, v.Type)
	switch v.Type.Buffer() {
	case BufI64:
		if len(b) < 8 {
			return nil, short
		}
		v.AppendInt(int64(binary.BigEndian.Uint64(b) ^ 1<<63))
		return b[8:], nil
	case BufF64:
		if len(b) < 8 {
			return nil, short
		}
		v.AppendFloat(FloatOfOrdered(binary.BigEndian.Uint64(b)))
		return b[8:], nil
	case BufI128:
		if len(b) < 16 {
			return nil, short
		}
		v.AppendInt128(Int128FromParts(int64(binary.BigEndian.Uint64(b)^1<<63), binary.BigEndian.Uint64(b[8:])))
		return b[16:], nil
	case BufBytes:
		var out []byte
		for {
			j := bytes.IndexByte(b, 0)
			if j < 0 || j+1 >= len(b) {
				return nil, short
			}
			out = append(out, b[:j]...)
			mark := b[j+1]
			b = b[j+2:]
			switch mark {
			case 1:
				v.AppendBytes(out)
				return b, nil
			case 0xff:
				out = append(out, 0)
			default:
				return nil, fmt.Errorf("%w: escape %d", ErrBadKey, mark)
			}
		}
	case BufNested, BufNone:
	}
	return nil, fmt.Errorf("%w: %s is no key type", ErrBadKey, v.Type)
}

// Compare orders value i of a and value j of b, of one key type, as their key encodings order.
func Compare(a *Vector, i int, b *Vector, j int) int {
	if an, bn := a.IsNull(i), b.IsNull(j); an || bn {
		switch {
		case an && bn:
			return 0
		case an:
			return -1
		}
		return 1
	}
	switch a.Type.Buffer() {
	case BufI64:
		return cmp(a.I64[i], b.I64[j])
	case BufF64:
		return cmp(OrderedFloat(a.F64[i]), OrderedFloat(b.F64[j]))
	case BufI128:
		return a.I128[i].Cmp(b.I128[j])
	case BufBytes:
		return bytes.Compare(a.Bytes(i), b.Bytes(j))
	case BufNested, BufNone:
	}
	panic(fmt.Sprintf("vector: %s has no order", a.Type))
}

func cmp[T int64 | uint64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
