package archive

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// ErrCorrupt is wrapped by errors of files that do not hold what an archive's files hold.
var ErrCorrupt = errors.New("archive: corrupt file")

// Column is a column of an archive's files.
type Column struct {
	Name string
	Type vector.Type
}

// Storable reports whether columns of a type can be in an archive.
func Storable(t vector.Type) bool { return arrowType(t) != nil }

var arrowTypes = map[vector.Kind]arrow.DataType{
	vector.Bool: arrow.FixedWidthTypes.Boolean, vector.Int16: arrow.PrimitiveTypes.Int16, vector.Int32: arrow.PrimitiveTypes.Int32, vector.Int64: arrow.PrimitiveTypes.Int64,
	vector.Float32: arrow.PrimitiveTypes.Float32, vector.Float64: arrow.PrimitiveTypes.Float64,
	vector.Text: arrow.BinaryTypes.String, vector.JSON: arrow.BinaryTypes.String, vector.Bytes: arrow.BinaryTypes.Binary, vector.Interval: arrow.BinaryTypes.Binary,
	vector.UUID: extensions.NewUUIDType(), vector.Date: arrow.FixedWidthTypes.Date32, vector.Time: arrow.FixedWidthTypes.Time64us,
	vector.Timestamp: &arrow.TimestampType{Unit: arrow.Microsecond}, vector.TimestampTZ: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"},
}

// arrowType is the Arrow type of a column, nil where there is none. Parquet's own type of intervals counts milliseconds: here one is its
// 16 bytes in memory.
func arrowType(t vector.Type) arrow.DataType {
	switch t.Kind {
	case vector.Decimal:
		return &arrow.Decimal128Type{Precision: int32(t.Precision), Scale: int32(t.Scale)}
	case vector.List:
		if elem := arrowType(t.Elem[0]); elem != nil {
			return arrow.ListOf(elem)
		}
		return nil
	}
	return arrowTypes[t.Kind] // nil of a kind that is not there
}

func arrowSchema(columns []Column) *arrow.Schema {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = arrow.Field{Name: c.Name, Type: arrowType(c.Type), Nullable: true}
	}
	return arrow.NewSchema(fields, nil)
}

// record copies a chunk's rows.
func record(schema *arrow.Schema, c *vector.Chunk) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	b.Reserve(c.N)
	for i, v := range c.Cols {
		to := b.Field(i)
		for row := range c.N {
			appendTo(to, v, row)
		}
	}
	return b.NewRecordBatch()
}

// appendTo appends a value of a vector to a builder of its type's Arrow type.
func appendTo(b array.Builder, v *vector.Vector, i int) {
	if v.IsNull(i) {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(v.I64[i] != 0)
	case *array.Int16Builder:
		b.Append(int16(v.I64[i]))
	case *array.Int32Builder:
		b.Append(int32(v.I64[i]))
	case *array.Int64Builder:
		b.Append(v.I64[i])
	case *array.Date32Builder:
		b.Append(date32(v.I64[i]))
	case *array.Time64Builder:
		b.Append(arrow.Time64(v.I64[i]))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.I64[i]))
	case *array.Float32Builder:
		b.Append(float32(v.F64[i]))
	case *array.Float64Builder:
		b.Append(v.F64[i])
	case *array.Decimal128Builder:
		b.Append(v.I128[i])
	case *array.StringBuilder:
		b.BinaryBuilder.Append(v.Bytes(i))
	case *array.BinaryBuilder:
		b.Append(v.Bytes(i))
	case *extensions.UUIDBuilder:
		b.AppendBytes([16]byte(v.Bytes(i)))
	case *array.ListBuilder:
		b.Append(true)
		for j := v.Off[i]; j < v.Off[i+1]; j++ {
			appendTo(b.ValueBuilder(), v.Child[0], int(j))
		}
	default:
		panic(fmt.Sprintf("archive: no builder of %s", v.Type))
	}
}

// The infinite dates of vectors, in days, and those of files: DuckDB reads these as infinite, too.
const mostDays = 1<<31 - 1

func date32(days int64) arrow.Date32 {
	switch days {
	case vector.PosInfinity:
		return mostDays
	case vector.NegInfinity:
		return -mostDays
	}
	return arrow.Date32(days)
}

func days(d arrow.Date32) int64 {
	switch d {
	case mostDays:
		return vector.PosInfinity
	case -mostDays:
		return vector.NegInfinity
	}
	return int64(d)
}

// appendArray appends the values from ≤ i < to of an array to a vector. It checks what a file may have wrong.
func appendArray(v *vector.Vector, a arrow.Array, from, to int) error {
	if e, ok := a.(array.ExtensionArray); ok {
		a = e.Storage()
	}
	for i := from; i < to; i++ {
		if a.IsNull(i) {
			v.AppendNull()
			continue
		}
		switch a := a.(type) {
		case *array.Boolean:
			if v.Type.Kind != vector.Bool {
				return wrongType(v, a)
			}
			v.AppendBool(a.Value(i))
		case *array.Int16:
			if v.Type.Kind != vector.Int16 {
				return wrongType(v, a)
			}
			v.AppendInt(int64(a.Value(i)))
		case *array.Int32:
			if v.Type.Kind != vector.Int32 {
				return wrongType(v, a)
			}
			v.AppendInt(int64(a.Value(i)))
		case *array.Int64:
			if v.Type.Kind != vector.Int64 {
				return wrongType(v, a)
			}
			v.AppendInt(a.Value(i))
		case *array.Date32:
			if v.Type.Kind != vector.Date {
				return wrongType(v, a)
			}
			v.AppendInt(days(a.Value(i)))
		case *array.Time64:
			if v.Type.Kind != vector.Time {
				return wrongType(v, a)
			}
			v.AppendInt(int64(a.Value(i)))
		case *array.Timestamp:
			if v.Type.Kind != vector.Timestamp && v.Type.Kind != vector.TimestampTZ {
				return wrongType(v, a)
			}
			v.AppendInt(int64(a.Value(i)))
		case *array.Float32:
			if v.Type.Kind != vector.Float32 {
				return wrongType(v, a)
			}
			v.AppendFloat(float64(a.Value(i)))
		case *array.Float64:
			if v.Type.Kind != vector.Float64 {
				return wrongType(v, a)
			}
			v.AppendFloat(a.Value(i))
		case *array.Decimal128:
			if t, ok := a.DataType().(*arrow.Decimal128Type); !ok || v.Type.Kind != vector.Decimal || t.Scale != int32(v.Type.Scale) {
				return wrongType(v, a)
			}
			v.AppendInt128(a.Value(i))
		case *array.String:
			if v.Type.Kind != vector.Text && v.Type.Kind != vector.JSON {
				return wrongType(v, a)
			}
			v.AppendString(a.Value(i))
		case *array.Binary:
			if v.Type.Kind != vector.Bytes && (v.Type.Kind != vector.Interval || len(a.Value(i)) != 16) {
				return wrongType(v, a)
			}
			v.AppendBytes(a.Value(i))
		case *array.FixedSizeBinary:
			if v.Type.Kind != vector.UUID || len(a.Value(i)) != 16 {
				return wrongType(v, a)
			}
			v.AppendBytes(a.Value(i))
		case *array.List:
			if v.Type.Kind != vector.List {
				return wrongType(v, a)
			}
			start, end := a.ValueOffsets(i)
			if err := appendArray(v.Child[0], a.ListValues(), int(start), int(end)); err != nil {
				return err
			}
			v.CloseNested()
		default:
			return wrongType(v, a)
		}
	}
	return nil
}

func wrongType(v *vector.Vector, a arrow.Array) error {
	return fmt.Errorf("%w: a column is %s, not %s", ErrCorrupt, a.DataType(), v.Type)
}
