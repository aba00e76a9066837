package duck

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"unicode/utf8"
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// power10 is 10ⁿ, n ≤ 38.
func power10(n uint8) vector.Int128 {
	x, ten := vector.Int128FromInt64(1), vector.Int128FromInt64(10)
	for range n {
		x = x.Mul(ten)
	}
	return x
}

// checkInt says whether x fits DuckDB's type of kind k.
func checkInt(k vector.Kind, x int64) bool {
	switch k {
	case vector.Bool:
		return x == 0 || x == 1
	case vector.Int16:
		return x == int64(int16(x))
	case vector.Int32:
		return x == int64(int32(x))
	case vector.Date:
		// The outermost 32-bit days are DuckDB's infinities.
		return x > -math.MaxInt32 && x < math.MaxInt32 || x == vector.PosInfinity || x == vector.NegInfinity
	case vector.Time:
		return x >= 0 && x <= 86_400_000_000
	}
	return true
}

func errRange(t vector.Type) error {
	return &Error{SQLState: "22003", Message: fmt.Sprintf("value out of range for type %s", t)}
}

// days is a date in DuckDB's 32 bits.
func days(x int64) int32 {
	switch x {
	case vector.PosInfinity:
		return math.MaxInt32
	case vector.NegInfinity:
		return -math.MaxInt32
	}
	return int32(x)
}

// checkText says whether values [from, from+n) of v are UTF-8 each. DuckDB's texts may have zero bytes.
func checkText(v *vector.Vector, from, n int) error {
	ok := utf8.Valid(v.Data[v.Off[from]:v.Off[from+n]])
	for i := from; ok && i < from+n; i++ {
		// All of it being UTF-8, a value is too unless it is cut inside a character.
		ok = v.Off[i] == v.Off[i+1] || utf8.RuneStart(v.Data[v.Off[i]])
	}
	if ok {
		return nil
	}
	for i := from; i < from+n; i++ {
		for b := v.Bytes(i); len(b) > 0; {
			r, size := utf8.DecodeRune(b)
			if r == utf8.RuneError && size == 1 {
				return &Error{SQLState: "22021", Message: vector.BadTextMessage(b)}
			}
			b = b[size:]
		}
	}
	return nil
}

// writer copies vectors into DuckDB's. The strings it writes point into the vectors' Data, pinned until release.
type writer struct {
	pins runtime.Pinner
	call *Call // that writes, if any
}

func (w *writer) release() { w.pins.Unpin() }

// slots is the data of dst, for values up to n.
func slots[T any](dst m.Vector, n int) []T {
	return unsafe.Slice((*T)(m.VectorGetData(dst)), n)
}

// write puts values [from, from+n) of v into dst, of type logicalType(v.Type), from its slot 0 on. dst has room. Errors:
// 22003, 22021.
func (w *writer) write(dst m.Vector, v *vector.Vector, from, n int) error {
	if n == 0 {
		return nil
	}
	if v.HasNulls() {
		w.writeMask(dst, v, from, n)
	}
	switch v.Type.Buffer() {
	case vector.BufI64:
		return w.writeInts(dst, v, from, n)
	case vector.BufF64:
		src := v.F64[from : from+n]
		if v.Type.Kind == vector.Float64 {
			copy(slots[float64](dst, n), src)
			return nil
		}
		out := slots[float32](dst, n)
		for i, x := range src {
			out[i] = float32(x)
		}
	case vector.BufI128:
		return w.writeDecimals(dst, v, from, n)
	case vector.BufBytes:
		return w.writeBytes(dst, v, from, n)
	case vector.BufNested:
		return w.writeNested(dst, v, from, n)
	case vector.BufNone:
	}
	return nil
}

func (w *writer) writeMask(dst m.Vector, v *vector.Vector, from, n int) {
	m.VectorEnsureValidityWritable(dst)
	out := unsafe.Slice((*uint64)(m.VectorGetValidity(dst)), (n+63)/64)
	for i := range out {
		out[i] = ^uint64(0)
	}
	for i := range n {
		if v.IsNull(from + i) {
			out[i>>6] &^= 1 << (uint(i) & 63)
		}
	}
}

func (w *writer) writeInts(dst m.Vector, v *vector.Vector, from, n int) error {
	src := v.I64[from : from+n]
	k := v.Type.Kind
	for i, x := range src {
		if !checkInt(k, x) && !v.IsNull(from+i) {
			return errRange(v.Type)
		}
	}
	switch k {
	case vector.Bool:
		out := slots[uint8](dst, n)
		for i, x := range src {
			out[i] = uint8(x)
		}
	case vector.Int16:
		out := slots[int16](dst, n)
		for i, x := range src {
			out[i] = int16(x)
		}
	case vector.Int32:
		out := slots[int32](dst, n)
		for i, x := range src {
			out[i] = int32(x)
		}
	case vector.Date:
		out := slots[int32](dst, n)
		for i, x := range src {
			out[i] = days(x)
		}
	default:
		copy(slots[int64](dst, n), src)
	}
	return nil
}

func (w *writer) writeDecimals(dst m.Vector, v *vector.Vector, from, n int) error {
	src := v.I128[from : from+n]
	precision, _ := decimalWidth(v.Type)
	above := power10(precision)
	below := above.Negate()
	for i, x := range src {
		if (x.Cmp(above) >= 0 || x.Cmp(below) <= 0) && !v.IsNull(from+i) {
			return errRange(v.Type)
		}
	}
	switch { // DuckDB's physical widths
	case precision <= 4:
		out := slots[int16](dst, n)
		for i, x := range src {
			out[i] = int16(x.LowBits())
		}
	case precision <= 9:
		out := slots[int32](dst, n)
		for i, x := range src {
			out[i] = int32(x.LowBits())
		}
	case precision <= 18:
		out := slots[int64](dst, n)
		for i, x := range src {
			out[i] = int64(x.LowBits())
		}
	default:
		copy(slots[vector.Int128](dst, n), src)
	}
	return nil
}

func (w *writer) writeBytes(dst m.Vector, v *vector.Vector, from, n int) error {
	switch v.Type.Kind {
	case vector.UUID:
		out := slots[[2]uint64](dst, n)
		for i := range out {
			if b := v.Bytes(from + i); len(b) == 16 {
				out[i] = [2]uint64{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b) ^ 1<<63}
			} else if !v.IsNull(from + i) {
				return errRange(v.Type)
			}
		}
		return nil
	case vector.Interval:
		out := slots[[16]byte](dst, n)
		for i := range out {
			if b := v.Bytes(from + i); len(b) == 16 {
				out[i] = [16]byte(b)
			} else if !v.IsNull(from + i) {
				return errRange(v.Type)
			}
		}
		return nil
	case vector.Text, vector.JSON:
		if err := checkText(v, from, n); err != nil {
			return err
		}
	}
	out := slots[stringT](dst, n)
	pinned := false
	for i := range out {
		b := v.Bytes(from + i)
		out[i] = stringT{}
		binary.LittleEndian.PutUint32(out[i][:], uint32(len(b)))
		if copy(out[i][4:], b[:min(len(b), inlineBytes)]); len(b) <= inlineBytes {
			continue
		}
		if !pinned {
			w.pins.Pin(unsafe.SliceData(v.Data))
			pinned = true
		}
		*(*uintptr)(unsafe.Pointer(&out[i][8])) = uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	}
	return nil
}

func (w *writer) writeNested(dst m.Vector, v *vector.Vector, from, n int) error {
	start, end := v.Off[from], v.Off[from+n]
	count := int(end - start)
	if m.ListVectorReserve(dst, m.IdxT(count)) == m.StateError || m.ListVectorSetSize(dst, m.IdxT(count)) == m.StateError {
		return &Error{SQLState: "53200", Message: fmt.Sprintf("out of memory for a list of %d elements", count)}
	}
	out := slots[listEntry](dst, n)
	for i := range out {
		out[i] = listEntry{offset: uint64(v.Off[from+i] - start), length: uint64(v.Off[from+i+1] - v.Off[from+i])}
	}
	child := m.ListVectorGetChild(dst)
	if v.Type.Kind == vector.List {
		return w.write(child, v.Child[0], int(start), count)
	}
	for i, c := range v.Child {
		if err := w.write(m.StructVectorGetChild(child, m.IdxT(i)), c, int(start), count); err != nil {
			return err
		}
	}
	return nil
}
