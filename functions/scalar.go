package functions

import (
	"bytes"
	"encoding/binary"

	"github.com/tilehouse/tilehouse/functions/exact"
	"github.com/tilehouse/tilehouse/functions/vector"
)

// scalar is one value of a type, not NULL, held outside a vector: what min, max, last, last_k and latest keep. Which field holds it
// follows from the type's buffer.
type scalar struct {
	i uint64        // integers: the value; floats: vector.OrderedFloat of it, which has one NaN and no −0
	d vector.Int128 // decimals
	b []byte        // text and bytes; load lets it alias the vector, keep copies it
}

// load sets s to value row of v; bytes are not copied.
func (s *scalar) load(v *vector.Vector, row int) {
	switch v.Type.Buffer() {
	case vector.BufI64:
		s.i = uint64(v.I64[row])
	case vector.BufF64:
		s.i = vector.OrderedFloat(v.F64[row])
	case vector.BufI128:
		s.d = v.I128[row]
	case vector.BufBytes:
		s.b = v.Bytes(row)
	case vector.BufNested, vector.BufNone:
		panic("functions: no scalar of " + v.Type.String())
	}
}

// keep sets s to a copy of o and reuses s's memory.
func (s *scalar) keep(o *scalar) { s.i, s.d, s.b = o.i, o.d, append(s.b[:0], o.b...) }

// compare orders a and b of type t as vector.Compare orders values.
func compare(t vector.Type, a, b *scalar) int {
	switch t.Buffer() {
	case vector.BufI64:
		return order(int64(a.i), int64(b.i))
	case vector.BufF64:
		return order(a.i, b.i)
	case vector.BufI128:
		return a.d.Cmp(b.d)
	case vector.BufBytes:
		return bytes.Compare(a.b, b.b)
	case vector.BufNested, vector.BufNone:
	}
	panic("functions: no order of " + t.String())
}

func order[T int64 | uint64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// append appends s without a length: integers as zigzag varints, floats as 8 big-endian bytes of vector.OrderedFloat, decimals
// as minimal integers (package exact), bytes as they are.
func (s *scalar) append(t vector.Type, dst []byte) []byte {
	switch t.Buffer() {
	case vector.BufI64:
		return binary.AppendUvarint(dst, zigzag(int64(s.i)))
	case vector.BufF64:
		return binary.BigEndian.AppendUint64(dst, s.i)
	case vector.BufI128:
		return exact.AppendMinimal128(dst, s.d.HighBits(), s.d.LowBits())
	case vector.BufBytes:
		return append(dst, s.b...)
	case vector.BufNested, vector.BufNone:
	}
	panic("functions: no encoding of " + t.String())
}

// decode sets s to the value that b is the whole encoding of; bytes alias b. It reports false where b is none.
func (s *scalar) decode(t vector.Type, b []byte) bool {
	switch t.Buffer() {
	case vector.BufI64:
		u, rest, ok := uvarint(b)
		if !ok || len(rest) > 0 {
			return false
		}
		x := unzigzag(u)
		s.i = uint64(x)
		switch t.Kind {
		case vector.Bool:
			return x == 0 || x == 1
		case vector.Int16:
			return x == int64(int16(x))
		case vector.Int32:
			return x == int64(int32(x))
		}
		return true
	case vector.BufF64:
		if len(b) != 8 {
			return false
		}
		s.i = binary.BigEndian.Uint64(b)
		// Bit patterns of other NaNs and of −0 are no images of OrderedFloat.
		x := vector.FloatOfOrdered(s.i)
		return vector.OrderedFloat(x) == s.i && (t.Kind != vector.Float32 || x != x || float64(float32(x)) == x)
	case vector.BufI128:
		hi, lo, err := exact.Int128OfMinimal(b)
		s.d = vector.Int128FromParts(hi, lo)
		return err == nil && s.d.FitsInPrecision(int32(t.Precision))
	case vector.BufBytes:
		s.b = b
		return t.Kind != vector.UUID && t.Kind != vector.Interval || len(b) == 16
	case vector.BufNested, vector.BufNone:
	}
	return false
}

// appendTo appends s to a vector of its type.
func (s *scalar) appendTo(out *vector.Vector) {
	switch out.Type.Buffer() {
	case vector.BufI64:
		out.AppendInt(int64(s.i))
	case vector.BufF64:
		out.AppendFloat(vector.FloatOfOrdered(s.i))
	case vector.BufI128:
		out.AppendInt128(s.d)
	case vector.BufBytes:
		out.AppendBytes(s.b)
	case vector.BufNested, vector.BufNone:
		panic("functions: no scalar of " + out.Type.String())
	}
}
