package codec

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// AppendBinary appends value i of v, which is not NULL, as PostgreSQL's send function writes it. Errors: 22008 for a date or
// time that PostgreSQL's binary form cannot hold; dst is then to be thrown away.
func AppendBinary(dst []byte, v *vector.Vector, i int, s *Settings) ([]byte, error) {
	if v.Type.Shown != 0 {
		return appendShownBinary(dst, v, i, s)
	}
	switch v.Type.Kind {
	case vector.Bool:
		return append(dst, byte(v.I64[i]&1)), nil
	case vector.Int16:
		return binary.BigEndian.AppendUint16(dst, uint16(v.I64[i])), nil
	case vector.Int32:
		return binary.BigEndian.AppendUint32(dst, uint32(v.I64[i])), nil
	case vector.Int64, vector.Time:
		return binary.BigEndian.AppendUint64(dst, uint64(v.I64[i])), nil
	case vector.Float32:
		return binary.BigEndian.AppendUint32(dst, math.Float32bits(float32(v.F64[i]))), nil
	case vector.Float64:
		if math.IsNaN(v.F64[i]) { // of any bits
			return binary.BigEndian.AppendUint64(dst, 0x7ff8000000000000), nil
		}
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(v.F64[i])), nil
	case vector.Decimal:
		return appendDecimalBinary(dst, v.I128[i], int(v.Type.Scale)), nil
	case vector.Text, vector.JSON, vector.Bytes, vector.UUID:
		return append(dst, v.Bytes(i)...), nil
	case vector.Date:
		x := v.I64[i]
		switch x {
		case vector.PosInfinity:
			x = math.MaxInt32
		case vector.NegInfinity:
			x = math.MinInt32
		default:
			if x < minDay || x > maxDay {
				return dst, &Error{Code: "22008", Message: "date out of range"}
			}
			x -= pgEpochDays
		}
		return binary.BigEndian.AppendUint32(dst, uint32(int32(x))), nil
	case vector.Timestamp, vector.TimestampTZ:
		x := v.I64[i]
		switch x {
		case vector.PosInfinity:
			x = math.MaxInt64
		case vector.NegInfinity:
			x = math.MinInt64
		default:
			if x < minMicros || x > maxMicros {
				return dst, &Error{Code: "22008", Message: "timestamp out of range"}
			}
			x -= pgEpochMicros
		}
		return binary.BigEndian.AppendUint64(dst, uint64(x)), nil
	case vector.Interval:
		m, d, us := IntervalParts(v.Bytes(i))
		dst = binary.BigEndian.AppendUint64(dst, uint64(us))
		dst = binary.BigEndian.AppendUint32(dst, uint32(d))
		return binary.BigEndian.AppendUint32(dst, uint32(m)), nil
	case vector.List:
		if isArray(v.Type) {
			return appendArrayBinary(dst, v, i, s)
		}
		return appendJSON(dst, v, i, s), nil
	case vector.Map:
		return appendJSON(dst, v, i, s), nil
	case vector.Null, vector.Invalid:
	}
	panic(fmt.Sprintf("codec: %s has no binary form", v.Type))
}

func appendArrayBinary(dst []byte, v *vector.Vector, i int, s *Settings) ([]byte, error) {
	c, lo, hi := v.Child[0], int(v.Off[i]), int(v.Off[i+1])
	nulls := uint32(0)
	for j := lo; j < hi && nulls == 0; j++ {
		if c.IsNull(j) {
			nulls = 1
		}
	}
	dims := uint32(1)
	if lo == hi {
		dims = 0
	}
	dst = binary.BigEndian.AppendUint32(dst, dims)
	dst = binary.BigEndian.AppendUint32(dst, nulls)
	dst = binary.BigEndian.AppendUint32(dst, OID(c.Type))
	if dims == 0 {
		return dst, nil
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(hi-lo))
	dst = binary.BigEndian.AppendUint32(dst, lowerBound(v.Type))
	for j := lo; j < hi; j++ {
		if c.IsNull(j) {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		at := len(dst)
		var err error
		if dst, err = AppendBinary(append(dst, 0, 0, 0, 0), c, j, s); err != nil {
			return dst, err
		}
		binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst, nil
}

// AppendDecoded appends the value whose binary form is b to v. v is unchanged on error.
func AppendDecoded(v *vector.Vector, b []byte, s *Settings) error {
	size := int(TypeLen(v.Type))
	if v.Type.Shown == OIDName || v.Type.Shown == oidMacaddr8 { // sent as text; taken of 6 bytes, too
		size = -1
	}
	switch {
	case size >= 0 && len(b) < size:
		return &Error{Code: "08P01", Message: "insufficient data left in message"}
	case size >= 0 && len(b) > size:
		return badBinary(v.Type)
	}
	switch v.Type.Kind {
	case vector.Bool:
		v.AppendBool(b[0] != 0)
	case vector.Int16:
		v.AppendInt(int64(int16(binary.BigEndian.Uint16(b))))
	case vector.Int32:
		v.AppendInt(int64(int32(binary.BigEndian.Uint32(b))))
	case vector.Int64:
		if len(b) == 4 { // an object id
			v.AppendInt(int64(binary.BigEndian.Uint32(b)))
			break
		}
		v.AppendInt(int64(binary.BigEndian.Uint64(b)))
	case vector.Float32:
		v.AppendFloat(float64(math.Float32frombits(binary.BigEndian.Uint32(b))))
	case vector.Float64:
		v.AppendFloat(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case vector.Decimal:
		x, err := decodeDecimalBinary(v.Type, b)
		if err != nil {
			return err
		}
		v.AppendInt128(x)
	case vector.Text:
		if v.Type.Shown != 0 {
			text, ok, err := textualOf(b, v.Type.Shown)
			if err != nil {
				return err
			}
			if ok {
				v.AppendString(text)
				return nil
			}
		}
		if err := CheckText(b); err != nil {
			return err
		}
		v.AppendBytes(b)
	case vector.JSON:
		// jsonb's binary form is a version byte before the text; no JSON text begins with it.
		if len(b) > 0 && b[0] == 1 {
			b = b[1:]
		}
		if err := CheckText(b); err != nil {
			return err
		}
		if !json.Valid(b) {
			return badJSON(b)
		}
		v.AppendBytes(b)
	case vector.Bytes, vector.UUID:
		v.AppendBytes(b)
	case vector.Date:
		switch x := int64(int32(binary.BigEndian.Uint32(b))); x {
		case math.MaxInt32:
			v.AppendInt(vector.PosInfinity)
		case math.MinInt32:
			v.AppendInt(vector.NegInfinity)
		default:
			if x += pgEpochDays; x < minDay || x > maxDay {
				return &Error{Code: "22008", Message: "date out of range"}
			}
			v.AppendInt(x)
		}
	case vector.Time:
		x := int64(binary.BigEndian.Uint64(b))
		if x < 0 || x > microsPerDay {
			return &Error{Code: "22008", Message: "time out of range"}
		}
		v.AppendInt(x)
	case vector.Timestamp, vector.TimestampTZ:
		switch x := int64(binary.BigEndian.Uint64(b)); x {
		case math.MaxInt64:
			v.AppendInt(vector.PosInfinity)
		case math.MinInt64:
			v.AppendInt(vector.NegInfinity)
		default:
			if x < minMicros-pgEpochMicros || x > maxMicros-pgEpochMicros {
				return &Error{Code: "22008", Message: "timestamp out of range"}
			}
			v.AppendInt(x + pgEpochMicros)
		}
	case vector.Interval:
		us := int64(binary.BigEndian.Uint64(b))
		d := int32(binary.BigEndian.Uint32(b[8:]))
		m := int32(binary.BigEndian.Uint32(b[12:]))
		var buf [16]byte
		v.AppendBytes(AppendIntervalParts(buf[:0], m, d, us))
	case vector.List:
		if !isArray(v.Type) {
			return AppendParsed(v, b, s)
		}
		n := v.N
		if err := decodeArray(v, b, s); err != nil {
			v.Truncate(n)
			return err
		}
	case vector.Map:
		return AppendParsed(v, b, s)
	case vector.Null, vector.Invalid:
		return &Error{Code: "42P18", Message: "could not determine the data type of a value"}
	default:
		panic(fmt.Sprintf("codec: %s cannot be read", v.Type))
	}
	return nil
}

func decodeArray(v *vector.Vector, b []byte, s *Settings) error {
	bad := badBinary(v.Type)
	if len(b) < 12 {
		return bad
	}
	dims, elem := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[8:])
	c := v.Child[0]
	if et, ok := TypeOf(elem); (!ok || et.Kind != c.Type.Kind) && elem != OID(c.Type) {
		return &Error{Code: "42804", Message: fmt.Sprintf("binary data has array element type %d instead of expected %d", elem, OID(c.Type))}
	}
	b = b[12:]
	switch dims {
	case 0:
		if len(b) != 0 {
			return bad
		}
		v.CloseNested()
		return nil
	case 1:
	default:
		return &Error{Code: "0A000", Message: "multidimensional arrays are not supported for " + v.Type.String()}
	}
	if len(b) < 8 {
		return bad
	}
	n := binary.BigEndian.Uint32(b)
	b = b[8:]
	// Every element takes at least its length word, so a wrong count cannot make the loop long.
	if uint64(n)*4 > uint64(len(b)) {
		return bad
	}
	for range n {
		if len(b) < 4 {
			return bad
		}
		size := int64(int32(binary.BigEndian.Uint32(b)))
		b = b[4:]
		if size == -1 {
			c.AppendNull()
			continue
		}
		if size < 0 || size > int64(len(b)) {
			return bad
		}
		if err := AppendDecoded(c, b[:size], s); err != nil {
			return err
		}
		b = b[size:]
	}
	if len(b) != 0 {
		return bad
	}
	v.CloseNested()
	return nil
}
