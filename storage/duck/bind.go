package duck

import (
	"encoding/binary"
	"fmt"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// valueOf is value i of v as DuckDB's value of type logicalType(v.Type), to be destroyed by the caller. Errors: 22003, 22021.
func valueOf(v *vector.Vector, i int) (m.Value, error) {
	if v.IsNull(i) {
		return m.CreateNullValue(), nil
	}
	switch v.Type.Buffer() {
	case vector.BufI64:
		if !checkInt(v.Type.Kind, v.I64[i]) {
			return m.Value{}, errRange(v.Type)
		}
	case vector.BufI128:
		p, s := decimalWidth(v.Type)
		x := v.I128[i]
		if above := power10(p); x.Cmp(above) >= 0 || x.Cmp(above.Negate()) <= 0 {
			return m.Value{}, errRange(v.Type)
		}
		return m.CreateDecimal(m.NewDecimal(p, s, m.NewHugeInt(x.LowBits(), x.HighBits()))), nil
	case vector.BufNested:
		return nestedValue(v, i)
	}
	switch v.Type.Kind {
	case vector.Bool:
		return m.CreateBool(v.I64[i] != 0), nil
	case vector.Int16:
		return m.CreateInt16(int16(v.I64[i])), nil
	case vector.Int32:
		return m.CreateInt32(int32(v.I64[i])), nil
	case vector.Int64:
		return m.CreateInt64(v.I64[i]), nil
	case vector.Float32:
		return m.CreateFloat(float32(v.F64[i])), nil
	case vector.Float64:
		return m.CreateDouble(v.F64[i]), nil
	case vector.Text, vector.JSON:
		if err := checkText(v, i, 1); err != nil {
			return m.Value{}, err
		}
		b := v.Bytes(i)
		return m.CreateVarcharLength(string(b), m.IdxT(len(b))), nil
	case vector.Bytes:
		return m.CreateBlob(v.Bytes(i)), nil
	case vector.UUID:
		b := v.Bytes(i)
		if len(b) != 16 {
			return m.Value{}, errRange(v.Type)
		}
		return m.CreateUUID(m.NewUHugeInt(binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b))), nil
	case vector.Date:
		return m.CreateDate(m.NewDate(days(v.I64[i]))), nil
	case vector.Time:
		return m.CreateTime(m.NewTime(v.I64[i])), nil
	case vector.Timestamp:
		return m.CreateTimestamp(m.NewTimestamp(v.I64[i])), nil
	case vector.TimestampTZ:
		return m.CreateTimestampTZ(m.NewTimestamp(v.I64[i])), nil
	case vector.Interval:
		b := v.Bytes(i)
		if len(b) != 16 {
			return m.Value{}, errRange(v.Type)
		}
		months, days, micros := intervalParts(b)
		return m.CreateInterval(m.NewInterval(months, days, micros)), nil
	}
	return m.Value{}, &Error{SQLState: "XX000", Message: fmt.Sprintf("a value of type %s cannot be passed to the engine", v.Type)}
}

// intervalParts reads the 16 bytes of vector.Interval.
func intervalParts(b []byte) (months, days int32, micros int64) {
	return int32(binary.LittleEndian.Uint32(b)), int32(binary.LittleEndian.Uint32(b[4:])), int64(binary.LittleEndian.Uint64(b[8:]))
}

func nestedValue(v *vector.Vector, i int) (m.Value, error) {
	var parts [2][]m.Value
	defer func() {
		for _, p := range parts {
			for k := range p {
				m.DestroyValue(&p[k])
			}
		}
	}()
	for c, child := range v.Child {
		for j := v.Off[i]; j < v.Off[i+1]; j++ {
			e, err := valueOf(child, int(j))
			if err != nil {
				return e, err
			}
			parts[c] = append(parts[c], e)
		}
	}
	t := v.Type
	if t.Kind == vector.List {
		t = t.Elem[0] // DuckDB asks for the element's type of a list, but for the whole type of a map.
	}
	l, err := logicalType(t)
	if err != nil {
		return m.Value{}, err
	}
	defer m.DestroyLogicalType(&l)
	var out m.Value
	if v.Type.Kind == vector.List {
		out = m.CreateListValue(l, parts[0])
	} else {
		out = m.CreateMapValue(l, parts[0], parts[1])
	}
	if out.Ptr == nil {
		return out, &Error{SQLState: "22023", Message: fmt.Sprintf("the engine takes no value of type %s as a parameter", v.Type)}
	}
	return out, nil
}
