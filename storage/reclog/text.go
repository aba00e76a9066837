package reclog

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// UniqueError says that a primary key is there already: 23505.
type UniqueError struct {
	Source  SourceID
	Columns []int    // of the source
	Values  []string // their text, as PostgreSQL prints it in UTC
}

func (e *UniqueError) Error() string {
	return fmt.Sprintf("reclog: source %d has a row with primary key (%s) already", e.Source, strings.Join(e.Values, ", "))
}

func uniqueError(s SourceID, key []int, c *vector.Chunk, row int) *UniqueError {
	e := &UniqueError{Source: s, Columns: key}
	for _, k := range key {
		e.Values = append(e.Values, valueText(c.Cols[k], row))
	}
	return e
}

func valueText(v *vector.Vector, i int) string {
	if v.IsNull(i) {
		return "null"
	}
	const micros = "2006-01-02 15:04:05.999999"
	switch v.Type.Kind {
	case vector.Bool:
		return strconv.FormatBool(v.I64[i] != 0)[:1]
	case vector.Date:
		if x := v.I64[i]; x > -100_000_000 && x < 100_000_000 {
			return time.Unix(x*86_400, 0).UTC().Format("2006-01-02")
		}
	case vector.Time:
		return time.UnixMicro(v.I64[i]).UTC().Format("15:04:05.999999")
	case vector.Timestamp, vector.TimestampTZ:
		switch x := v.I64[i]; {
		case x == vector.PosInfinity:
			return "infinity"
		case x == vector.NegInfinity:
			return "-infinity"
		case v.Type.Kind == vector.TimestampTZ:
			return time.UnixMicro(x).UTC().Format(micros) + "+00"
		default:
			return time.UnixMicro(x).UTC().Format(micros)
		}
	case vector.Float32:
		return strconv.FormatFloat(v.F64[i], 'g', -1, 32)
	case vector.UUID:
		if b := v.Bytes(i); len(b) == 16 {
			s := hex.EncodeToString(b)
			return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
		}
	case vector.Bytes, vector.Interval:
		return `\x` + hex.EncodeToString(v.Bytes(i))
	}
	switch v.Type.Buffer() {
	case vector.BufI64:
		return strconv.FormatInt(v.I64[i], 10)
	case vector.BufF64:
		return strconv.FormatFloat(v.F64[i], 'g', -1, 64)
	case vector.BufI128:
		return v.I128[i].ToString(int32(v.Type.Scale))
	case vector.BufBytes:
		return string(v.Bytes(i))
	case vector.BufNested, vector.BufNone:
	}
	return v.Type.String()
}
