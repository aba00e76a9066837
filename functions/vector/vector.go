package vector

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// Int128 is a signed 128-bit integer in two's complement, laid out as (low, high): Arrow's and DuckDB's layout.
type Int128 = decimal128.Num

// Vector is a column of n values of one type. Which buffers are in use follows from Type.Buffer(). A Vector is not safe
// for concurrent change; readers may share one that no longer changes. Slices of Data handed out stay valid until the
// next append or Reset.
type Vector struct {
	Type  Type
	N     int      // values
	Valid []uint64 // bit i%64 of word i/64 set: value i is not NULL; nil: no NULLs. At least (N+63)/64 words when present
	I64   []int64
	F64   []float64
	I128  []Int128
	Off   []uint32 // N+1 offsets into Data (bytes) or Child (values); Off[0] may be more than 0 in a slice
	Data  []byte
	Child []*Vector
}

// New is an empty vector of type t with room for n values.
func New(t Type, n int) *Vector {
	v := &Vector{Type: t}
	switch t.Buffer() {
	case BufI64:
		v.I64 = make([]int64, 0, n)
	case BufF64:
		v.F64 = make([]float64, 0, n)
	case BufI128:
		v.I128 = make([]Int128, 0, n)
	case BufBytes:
		v.Off = append(make([]uint32, 0, n+1), 0)
	case BufNested:
		v.Off = append(make([]uint32, 0, n+1), 0)
		for _, e := range t.Elem {
			v.Child = append(v.Child, New(e, n))
		}
	case BufNone:
	}
	return v
}

// Reset empties v and keeps its buffers.
func (v *Vector) Reset() {
	v.N, v.Valid = 0, nil
	v.I64, v.F64, v.I128, v.Data = v.I64[:0], v.F64[:0], v.I128[:0], v.Data[:0]
	if v.Off != nil {
		v.Off = append(v.Off[:0], 0)
	}
	for _, c := range v.Child {
		c.Reset()
	}
}

// IsNull reports whether value i is NULL.
func (v *Vector) IsNull(i int) bool {
	if v.Valid == nil {
		return v.Type.Kind == Null
	}
	return v.Valid[i>>6]>>(uint(i)&63)&1 == 0
}

// HasNulls reports whether any value may be NULL.
func (v *Vector) HasNulls() bool { return v.Valid != nil || v.Type.Kind == Null }

// Bool is value i of a Bool vector; NULL is false.
func (v *Vector) Bool(i int) bool { return v.I64[i] != 0 && !v.IsNull(i) }

// Bytes is value i of a vector held in Data, not copied.
func (v *Vector) Bytes(i int) []byte { return v.Data[v.Off[i]:v.Off[i+1]] }

// setValid records that value N (about to be counted) is present or NULL.
func (v *Vector) setValid(ok bool) {
	i := v.N
	if ok {
		if v.Valid == nil {
			return
		}
	} else if v.Valid == nil {
		v.Valid = make([]uint64, (i>>6)+1, max((i>>6)+1, 32))
		for w := range v.Valid {
			v.Valid[w] = ^uint64(0)
		}
	}
	for i>>6 >= len(v.Valid) {
		v.Valid = append(v.Valid, ^uint64(0))
	}
	if ok {
		v.Valid[i>>6] |= 1 << (uint(i) & 63)
	} else {
		v.Valid[i>>6] &^= 1 << (uint(i) & 63)
	}
}

// Truncate takes away the values from number n on.
func (v *Vector) Truncate(n int) {
	if v.N < n {
		return
	}
	v.N = n
	switch v.Type.Buffer() {
	case BufI64:
		v.I64 = v.I64[:n]
	case BufF64:
		v.F64 = v.F64[:n]
	case BufI128:
		v.I128 = v.I128[:n]
	case BufBytes:
		v.Off = v.Off[:n+1]
		v.Data = v.Data[:v.Off[n]]
	case BufNested:
		v.Off = v.Off[:n+1]
		for _, c := range v.Child {
			c.Truncate(int(v.Off[n]))
		}
	case BufNone:
	}
}

// SetNull makes value i NULL. i < N.
func (v *Vector) SetNull(i int) {
	if v.Valid == nil {
		v.Valid = make([]uint64, (v.N+63)/64)
		for w := range v.Valid {
			v.Valid[w] = ^uint64(0)
		}
	}
	v.Valid[i>>6] &^= 1 << (uint(i) & 63)
}

// AppendNull appends a NULL.
func (v *Vector) AppendNull() {
	v.setValid(false)
	switch v.Type.Buffer() {
	case BufI64:
		v.I64 = append(v.I64, 0)
	case BufF64:
		v.F64 = append(v.F64, 0)
	case BufI128:
		v.I128 = append(v.I128, Int128{})
	case BufBytes:
		v.Off = append(v.Off, uint32(len(v.Data)))
	case BufNested:
		v.Off = append(v.Off, uint32(v.Child[0].N))
	case BufNone:
	}
	v.N++
}

// AppendInt appends x to a vector held in I64.
func (v *Vector) AppendInt(x int64) { v.setValid(true); v.I64 = append(v.I64, x); v.N++ }

// AppendBool appends b to a Bool vector.
func (v *Vector) AppendBool(b bool) {
	if b {
		v.AppendInt(1)
	} else {
		v.AppendInt(0)
	}
}

// AppendFloat appends x to a vector held in F64.
func (v *Vector) AppendFloat(x float64) { v.setValid(true); v.F64 = append(v.F64, x); v.N++ }

// AppendInt128 appends x to a Decimal vector, unscaled.
func (v *Vector) AppendInt128(x Int128) { v.setValid(true); v.I128 = append(v.I128, x); v.N++ }

// AppendBytes appends a copy of b to a vector held in Data. Data holds at most 4 GiB.
func (v *Vector) AppendBytes(b []byte) {
	v.setValid(true)
	v.Data = append(v.Data, b...)
	v.Off = append(v.Off, uint32(len(v.Data)))
	v.N++
}

// AppendString is AppendBytes of a string.
func (v *Vector) AppendString(s string) {
	v.setValid(true)
	v.Data = append(v.Data, s...)
	v.Off = append(v.Off, uint32(len(v.Data)))
	v.N++
}

// CloseNested ends a List or Map value whose elements were appended to the children since the last value.
func (v *Vector) CloseNested() {
	v.setValid(true)
	v.Off = append(v.Off, uint32(v.Child[0].N))
	v.N++
}

// AppendFrom appends value i of src, which has the same type.
func (v *Vector) AppendFrom(src *Vector, i int) {
	if src.IsNull(i) {
		v.AppendNull()
		return
	}
	switch v.Type.Buffer() {
	case BufI64:
		v.AppendInt(src.I64[i])
	case BufF64:
		v.AppendFloat(src.F64[i])
	case BufI128:
		v.AppendInt128(src.I128[i])
	case BufBytes:
		v.AppendBytes(src.Bytes(i))
	case BufNested:
		for c := range v.Child {
			for j := src.Off[i]; j < src.Off[i+1]; j++ {
				v.Child[c].AppendFrom(src.Child[c], int(j))
			}
		}
		v.CloseNested()
	case BufNone:
		v.AppendNull()
	}
}

// AppendRange appends the values from ≤ i < to of src, which has the same type; whole buffers are copied where no value is
// NULL. An empty range may have any ends.
func (v *Vector) AppendRange(src *Vector, from, to int) {
	if from >= to {
		return
	}
	if !v.HasNulls() && !src.HasNulls() {
		switch v.Type.Buffer() {
		case BufI64:
			v.I64 = append(v.I64, src.I64[from:to]...)
			v.N += to - from
			return
		case BufF64:
			v.F64 = append(v.F64, src.F64[from:to]...)
			v.N += to - from
			return
		case BufI128:
			v.I128 = append(v.I128, src.I128[from:to]...)
			v.N += to - from
			return
		case BufBytes:
			base := uint32(len(v.Data)) - src.Off[from]
			v.Data = append(v.Data, src.Data[src.Off[from]:src.Off[to]]...)
			for _, o := range src.Off[from+1 : to+1] {
				v.Off = append(v.Off, o+base)
			}
			v.N += to - from
			return
		case BufNested, BufNone:
		}
	}
	for i := from; i < to; i++ {
		v.AppendFrom(src, i)
	}
}

// Place is where a value is: the number of a vector of a list, and of a value in it.
type Place struct{ Of, At int32 }

// Gather appends the values at places of srcs, which are of the type of v.
func (v *Vector) Gather(srcs []*Vector, places []Place) {
	nulls := v.HasNulls()
	for _, src := range srcs {
		nulls = nulls || src.HasNulls()
	}
	buf := v.Type.Buffer()
	if nulls || buf == BufNested || buf == BufNone {
		for _, p := range places {
			v.AppendFrom(srcs[p.Of], int(p.At))
		}
		return
	}
	switch buf {
	case BufI64:
		v.I64 = slices.Grow(v.I64, len(places))
		for _, p := range places {
			v.I64 = append(v.I64, srcs[p.Of].I64[p.At])
		}
	case BufF64:
		v.F64 = slices.Grow(v.F64, len(places))
		for _, p := range places {
			v.F64 = append(v.F64, srcs[p.Of].F64[p.At])
		}
	case BufI128:
		v.I128 = slices.Grow(v.I128, len(places))
		for _, p := range places {
			v.I128 = append(v.I128, srcs[p.Of].I128[p.At])
		}
	case BufBytes:
		v.Off = slices.Grow(v.Off, len(places))
		for _, p := range places {
			v.Data = append(v.Data, srcs[p.Of].Bytes(int(p.At))...)
			v.Off = append(v.Off, uint32(len(v.Data)))
		}
	}
	v.N += len(places)
}

// Chunk is columns of equal length N.
type Chunk struct {
	N    int
	Cols []*Vector
}

// NewChunk is an empty chunk with columns of the types.
func NewChunk(types []Type, n int) *Chunk {
	c := &Chunk{Cols: make([]*Vector, len(types))}
	for i, t := range types {
		c.Cols[i] = New(t, n)
	}
	return c
}

// Reset empties the columns and keeps their buffers.
func (c *Chunk) Reset() {
	c.N = 0
	for _, v := range c.Cols {
		v.Reset()
	}
}

// Types are the types of the columns, in their order.
func (c *Chunk) Types() []Type {
	types := make([]Type, len(c.Cols))
	for i, v := range c.Cols {
		types[i] = v.Type
	}
	return types
}

// AppendRow appends row i of src, whose columns have the same types.
func (c *Chunk) AppendRow(src *Chunk, i int) {
	for j, v := range c.Cols {
		v.AppendFrom(src.Cols[j], i)
	}
	c.N++
}

// AppendRange appends rows from ≤ i < to of src, whose columns have the same types.
func (c *Chunk) AppendRange(src *Chunk, from, to int) {
	for j, v := range c.Cols {
		v.AppendRange(src.Cols[j], from, to)
	}
	c.N += max(0, to-from)
}

// Check panics unless the columns hold N values each: a guard for tests and for code that fills buffers directly.
func (c *Chunk) Check() {
	for i, v := range c.Cols {
		if v.N != c.N {
			panic(fmt.Sprintf("vector: column %d has %d values, the chunk %d", i, v.N, c.N))
		}
	}
}

// MemBytes estimates the memory held by the buffers in use, in bytes.
func (v *Vector) MemBytes() int {
	n := len(v.Valid)*8 + len(v.I64)*8 + len(v.F64)*8 + len(v.I128)*16 + len(v.Off)*4 + len(v.Data)
	for _, c := range v.Child {
		n += c.MemBytes()
	}
	return n
}
