package duck

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// appendJSONs writes structs, unions and maps of nested keys [from, from+n) of src, which have no vector type, as JSON: a
// struct is an object, a union the value it holds, a map an array of [key, value].
func (c *column) appendJSONs(off []uint32, data []byte, src m.Vector, from, n int, nulls bool) ([]uint32, []byte, error) {
	for _, f := range c.fields {
		f.Reset()
	}
	var entries []uint32
	var err error
	switch c.id {
	case m.TypeMap:
		entries, err = c.gather(c.fields, append(entries, 0), src, from, n, nulls)
	case m.TypeStruct, m.TypeUnion:
		first := m.IdxT(0)
		if c.id == m.TypeUnion { // Its first child is the tag.
			tags := column{typ: vector.T(vector.Int16), id: m.TypeUTinyInt}
			c.tags.Reset()
			if err := tags.appendTo(c.tags, m.StructVectorGetChild(src, 0), from, n); err != nil {
				return off, data, err
			}
			first = 1
		}
		for i, f := range c.child {
			if err = f.appendTo(c.fields[i], m.StructVectorGetChild(src, first+m.IdxT(i)), from, n); err != nil {
				break
			}
		}
	}
	if err != nil {
		return off, data, err
	}
	for i := range n {
		if !nulls || !c.null(i) {
			switch c.id {
			case m.TypeUnion:
				data = appendJSON(data, c.fields[c.tags.I64[i]], i)
			case m.TypeMap:
				data = append(data, '[')
				for j := entries[i]; j < entries[i+1]; j++ {
					data = append(comma(data), '[')
					data = append(appendJSON(data, c.fields[0], int(j)), ',')
					data = append(appendJSON(data, c.fields[1], int(j)), ']')
				}
				data = append(data, ']')
			default:
				data = append(data, '{')
				for k, name := range c.names {
					data = append(appendJSONString(comma(data), name), ':')
					data = appendJSON(data, c.fields[k], i)
				}
				data = append(data, '}')
			}
		}
		off = append(off, uint32(len(data)))
	}
	return off, data, nil
}

// comma appends a comma unless a bracket was just opened.
func comma(b []byte) []byte {
	if last := b[len(b)-1]; last == '{' || last == '[' {
		return b
	}
	return append(b, ',')
}

func appendJSONString(dst []byte, s string) []byte {
	b, err := json.Marshal(s) // Marshal of a string cannot fail: it replaces bad UTF-8.
	if err != nil {
		panic(err)
	}
	return append(dst, b...)
}

// appendJSON appends value i of v as PostgreSQL's to_json writes it; a map is an object of its keys' texts.
func appendJSON(dst []byte, v *vector.Vector, i int) []byte {
	if v.IsNull(i) {
		return append(dst, "null"...)
	}
	switch v.Type.Kind {
	case vector.Bool:
		return strconv.AppendBool(dst, v.I64[i] != 0)
	case vector.Int16, vector.Int32, vector.Int64, vector.Decimal, vector.JSON:
		return appendText(dst, v, i)
	case vector.Float32, vector.Float64:
		if x := v.F64[i]; math.IsNaN(x) || math.IsInf(x, 0) {
			break // JSON has no such number, so that it is a string.
		}
		return appendText(dst, v, i)
	case vector.List:
		dst = append(dst, '[')
		for j := v.Off[i]; j < v.Off[i+1]; j++ {
			dst = appendJSON(comma(dst), v.Child[0], int(j))
		}
		return append(dst, ']')
	case vector.Map:
		dst = append(dst, '{')
		for j := v.Off[i]; j < v.Off[i+1]; j++ {
			dst = appendJSONString(comma(dst), string(appendText(nil, v.Child[0], int(j))))
			dst = appendJSON(append(dst, ':'), v.Child[1], int(j))
		}
		return append(dst, '}')
	}
	return appendJSONString(dst, string(appendText(nil, v, i)))
}

// appendText appends scalar value i of v as PostgreSQL prints it inside to_json: times in ISO 8601.
func appendText(dst []byte, v *vector.Vector, i int) []byte {
	switch v.Type.Kind {
	case vector.Bool:
		return strconv.AppendBool(dst, v.I64[i] != 0)
	case vector.Int16, vector.Int32, vector.Int64:
		return strconv.AppendInt(dst, v.I64[i], 10)
	case vector.Float32, vector.Float64:
		return appendFloat(dst, v.F64[i], v.Type.Kind == vector.Float32)
	case vector.Decimal:
		return append(dst, v.I128[i].ToString(int32(v.Type.Scale))...)
	case vector.Text, vector.JSON:
		return append(dst, v.Bytes(i)...)
	case vector.Bytes:
		return hex.AppendEncode(append(dst, `\x`...), v.Bytes(i))
	case vector.UUID:
		b := v.Bytes(i)
		return fmt.Appendf(dst, "%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	case vector.Time:
		return appendTime(dst, v.I64[i])
	case vector.Date, vector.Timestamp, vector.TimestampTZ:
		return appendInstant(dst, v.I64[i], v.Type.Kind)
	case vector.Interval:
		return appendInterval(dst, v.Bytes(i))
	}
	panic(fmt.Sprintf("duck: %s has no text", v.Type))
}

func appendFloat(dst []byte, x float64, single bool) []byte {
	size := 64
	if single {
		size = 32
	}
	switch {
	case math.IsNaN(x):
		return append(dst, "NaN"...)
	case math.IsInf(x, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(x, -1):
		return append(dst, "-Infinity"...)
	}
	if a := math.Abs(x); a != 0 && (a < 1e-4 || a >= 1e15) {
		return strconv.AppendFloat(dst, x, 'e', -1, size)
	}
	return strconv.AppendFloat(dst, x, 'f', -1, size)
}

// appendTime appends microseconds since midnight as 04:05:06.789.
func appendTime(dst []byte, us int64) []byte {
	s := us / 1_000_000
	dst = fmt.Appendf(dst, "%02d:%02d:%02d", s/3600, s/60%60, s%60)
	return appendMicros(dst, us%1_000_000)
}

// appendMicros appends a fraction of a second without its trailing zeros.
func appendMicros(dst []byte, us int64) []byte {
	if us == 0 {
		return dst
	}
	dst = fmt.Appendf(dst, ".%06d", us)
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// appendInstant appends a date (days) or a timestamp (microseconds) in ISO 8601.
func appendInstant(dst []byte, x int64, k vector.Kind) []byte {
	switch x {
	case vector.PosInfinity:
		return append(dst, "infinity"...)
	case vector.NegInfinity:
		return append(dst, "-infinity"...)
	}
	var t time.Time
	if k == vector.Date {
		t = time.Unix(x*86400, 0).UTC()
	} else {
		t = time.UnixMicro(x).UTC()
	}
	year, era := t.Year(), ""
	if year <= 0 {
		year, era = 1-year, " BC"
	}
	dst = fmt.Appendf(dst, "%04d-%02d-%02d", year, t.Month(), t.Day())
	if k != vector.Date {
		dst = fmt.Appendf(dst, "T%02d:%02d:%02d", t.Hour(), t.Minute(), t.Second())
		dst = appendMicros(dst, int64(t.Nanosecond()/1000))
	}
	if k == vector.TimestampTZ {
		dst = append(dst, "+00:00"...)
	}
	return append(dst, era...)
}

// appendInterval appends an interval in PostgreSQL's own style: 1 year 2 mons 3 days 04:05:06.7.
func appendInterval(dst []byte, b []byte) []byte {
	months, days, micros := intervalParts(b)
	start := len(dst)
	unit := func(n int32, name string) {
		if n == 0 {
			return
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = fmt.Appendf(dst, "%d %s", n, name)
		if n != 1 {
			dst = append(dst, 's')
		}
	}
	unit(months/12, "year")
	unit(months%12, "mon")
	unit(days, "day")
	if micros == 0 && len(dst) > start {
		return dst
	}
	if len(dst) > start {
		dst = append(dst, ' ')
	}
	abs := uint64(micros)
	if micros < 0 {
		dst, abs = append(dst, '-'), -abs
	}
	s := abs / 1_000_000
	dst = fmt.Appendf(dst, "%02d:%02d:%02d", s/3600, s/60%60, s%60)
	return appendMicros(dst, int64(abs%1_000_000))
}
