package runs

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// ErrCorrupt is wrapped by errors of files that do not hold what their manifest says.
var ErrCorrupt = errors.New("runs: corrupt file")

// arrowType is the Arrow type that holds values of t. Kinds that share a buffer share it: the layout says what they mean.
func arrowType(t vector.Type) arrow.DataType {
	switch t.Buffer() {
	case vector.BufI64:
		return arrow.PrimitiveTypes.Int64
	case vector.BufF64:
		return arrow.PrimitiveTypes.Float64
	case vector.BufI128:
		return &arrow.Decimal128Type{Precision: 38, Scale: int32(t.Scale)}
	case vector.BufBytes:
		return arrow.BinaryTypes.Binary
	case vector.BufNested:
		if len(t.Elem) == 1 {
			return arrow.ListOf(arrowType(t.Elem[0]))
		}
		return arrow.ListOf(pairType(t))
	case vector.BufNone:
		return arrow.Null
	}
	panic(fmt.Sprintf("runs: no Arrow type for %s", t))
}

func pairType(t vector.Type) *arrow.StructType {
	return arrow.StructOf(arrow.Field{Name: "key", Type: arrowType(t.Elem[0]), Nullable: true},
		arrow.Field{Name: "value", Type: arrowType(t.Elem[1]), Nullable: true})
}

// schemaOf is the schema of a file whose columns have the types.
func schemaOf(types []vector.Type) *arrow.Schema {
	fields := make([]arrow.Field, len(types))
	for i, t := range types {
		fields[i] = arrow.Field{Name: "c" + strconv.Itoa(i), Type: arrowType(t), Nullable: true}
	}
	return arrow.NewSchema(fields, nil)
}

// castSlice views the memory of s as elements of another plain type.
func castSlice[To, From any](s []From) []To {
	if len(s) == 0 {
		return nil
	}
	var t To
	var f From
	return unsafe.Slice((*To)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(f))/int(unsafe.Sizeof(t)))
}

func buffer[T any](s []T) *memory.Buffer { return memory.NewBufferBytes(castSlice[byte](s)) }

// arrowData views the values from ≤ i < to of v as Arrow data, without copying them.
func arrowData(v *vector.Vector, from, to int) arrow.ArrayData {
	var valid *memory.Buffer
	nulls := 0
	if v.Valid != nil {
		valid, nulls = buffer(v.Valid), array.UnknownNullCount
	}
	dt := arrowType(v.Type)
	data := func(bufs ...*memory.Buffer) arrow.ArrayData {
		return array.NewData(dt, to-from, append([]*memory.Buffer{valid}, bufs...), nil, nulls, from)
	}
	switch v.Type.Buffer() {
	case vector.BufI64:
		return data(buffer(v.I64))
	case vector.BufF64:
		return data(buffer(v.F64))
	case vector.BufI128:
		return data(buffer(v.I128))
	case vector.BufBytes:
		return data(buffer(v.Off), memory.NewBufferBytes(v.Data))
	case vector.BufNested:
		child := arrowData(v.Child[0], 0, v.Child[0].N)
		if len(v.Child) == 2 {
			child = array.NewData(pairType(v.Type), v.Child[0].N, []*memory.Buffer{nil},
				[]arrow.ArrayData{child, arrowData(v.Child[1], 0, v.Child[1].N)}, 0, 0)
		}
		return array.NewData(dt, to-from, []*memory.Buffer{valid, buffer(v.Off)}, []arrow.ArrayData{child}, nulls, from)
	case vector.BufNone:
	}
	return array.NewData(arrow.Null, to-from, []*memory.Buffer{nil}, nil, to-from, 0)
}

// recordOf views rows from ≤ i < to of columns as a record batch, without copying them.
func recordOf(schema *arrow.Schema, cols []*vector.Vector, from, to int) arrow.RecordBatch {
	arrays := make([]arrow.Array, len(cols))
	for i, v := range cols {
		arrays[i] = array.MakeFromData(arrowData(v, from, to))
	}
	return array.NewRecordBatch(schema, arrays, int64(to-from))
}

// vectorOf views Arrow data as a vector of type t. It checks what reading the vector relies on.
func vectorOf(t vector.Type, d arrow.ArrayData) (*vector.Vector, error) {
	n, bufs := d.Len(), d.Buffers()
	v := &vector.Vector{Type: t, N: n}
	if !arrow.TypeEqual(d.DataType(), arrowType(t)) || d.Offset() != 0 {
		return nil, fmt.Errorf("%w: a column is %s, not %s", ErrCorrupt, d.DataType(), arrowType(t))
	}
	bytes := func(i, need int) ([]byte, error) {
		if need == 0 {
			return nil, nil
		}
		if i >= len(bufs) || bufs[i] == nil || bufs[i].Len() < need {
			return nil, fmt.Errorf("%w: a buffer of a column is too short", ErrCorrupt)
		}
		return bufs[i].Bytes(), nil
	}
	if d.NullN() != 0 && t.Buffer() != vector.BufNone {
		b, err := bytes(0, (n+7)/8)
		if err != nil {
			return nil, err
		}
		v.Valid = make([]uint64, (n+63)/64)
		copy(castSlice[byte](v.Valid), b[:(n+7)/8])
	}
	offsets := func(limit int) error {
		if v.Off = []uint32{0}; n == 0 {
			return nil
		}
		b, err := bytes(1, 4*(n+1))
		if err != nil {
			return err
		}
		v.Off = castSlice[uint32](b[:4*(n+1)])
		for i := range n {
			if v.Off[i] > v.Off[i+1] {
				return fmt.Errorf("%w: offsets descend", ErrCorrupt)
			}
		}
		if int(v.Off[n]) > limit {
			return fmt.Errorf("%w: offsets beyond the data", ErrCorrupt)
		}
		return nil
	}
	switch t.Buffer() {
	case vector.BufI64:
		b, err := bytes(1, 8*n)
		v.I64 = castSlice[int64](b[:min(len(b), 8*n)])
		return v, err
	case vector.BufF64:
		b, err := bytes(1, 8*n)
		v.F64 = castSlice[float64](b[:min(len(b), 8*n)])
		return v, err
	case vector.BufI128:
		b, err := bytes(1, 16*n)
		v.I128 = castSlice[vector.Int128](b[:min(len(b), 16*n)])
		return v, err
	case vector.BufBytes:
		if len(bufs) > 2 && bufs[2] != nil {
			v.Data = bufs[2].Bytes()
		}
		return v, offsets(len(v.Data))
	case vector.BufNested:
		child := d.Children()[0]
		kids := []arrow.ArrayData{child}
		if len(t.Elem) == 2 {
			kids = child.Children()
		}
		for i, k := range kids {
			c, err := vectorOf(t.Elem[i], k)
			if err != nil {
				return nil, err
			}
			v.Child = append(v.Child, c)
		}
		return v, offsets(v.Child[0].N)
	case vector.BufNone:
	}
	return v, nil
}

// columnsOf views a record batch as vectors of the types.
func columnsOf(types []vector.Type, rec arrow.RecordBatch) ([]*vector.Vector, error) {
	if int(rec.NumCols()) != len(types) {
		return nil, fmt.Errorf("%w: %d columns, not %d", ErrCorrupt, rec.NumCols(), len(types))
	}
	out := make([]*vector.Vector, len(types))
	for i, t := range types {
		v, err := vectorOf(t, rec.Column(i).Data())
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// encodeStream writes columns as an Arrow stream of one batch.
func encodeStream(w io.Writer, cols []*vector.Vector) error {
	types := make([]vector.Type, len(cols))
	for i, c := range cols {
		types[i] = c.Type
	}
	schema := schemaOf(types)
	sw := ipc.NewWriter(w, ipc.WithSchema(schema))
	if err := sw.Write(recordOf(schema, cols, 0, cols[0].N)); err != nil {
		return err
	}
	return sw.Close()
}

// decodeStream reads what encodeStream wrote. The first column is a word or a key; the others have the types.
func decodeStream(r io.Reader, types []vector.Type) ([]*vector.Vector, error) {
	sr, err := ipc.NewReader(r)
	if err != nil {
		return nil, err
	}
	if !sr.Next() {
		return nil, fmt.Errorf("%w: a spilled block has no rows (%v)", ErrCorrupt, sr.Err())
	}
	rec := sr.RecordBatch()
	key := vector.T(vector.Bytes)
	if rec.NumCols() > 0 && rec.Column(0).DataType().ID() == arrow.INT64 {
		key = vector.T(vector.Int64)
	}
	// The reader is not released: with the Go allocator its last batch stays as long as the vectors refer to it.
	return columnsOf(append([]vector.Type{key}, types...), rec)
}
