package message

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strconv"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
)

// appendText appends what a text is to a type: a text, or a value that PostgreSQL reads so, whenever it is read.
func appendText(v *vector.Vector, text []byte) error {
	switch v.Type.Kind {
	case vector.Date, vector.Time, vector.Timestamp, vector.TimestampTZ:
		if relative(text) {
			return rejected(codeSyntax, "\"%s\" for a column of type %s: only a time that does not depend on the clock is read", clip(text), v.Type)
		}
	}
	return parsed(codec.AppendParsed(v, text, codec.Defaults))
}

// appendInt appends an integer that is no time, or a time in unit.
func appendInt(v *vector.Vector, x int64, unit string) error {
	switch v.Type.Kind {
	case vector.Int64:
		v.AppendInt(x)
		return nil
	case vector.Int16, vector.Int32, vector.Decimal:
		return parsed(codec.AppendParsed(v, strconv.AppendInt(nil, x, 10), codec.Defaults))
	case vector.Float32, vector.Float64:
		whole := int64(1 << 53)
		if v.Type.Kind == vector.Float32 {
			whole = 1 << 24
		}
		if x < -whole || x > whole {
			return rejected(codeRange, "%d has digits that type %s lacks", x, v.Type)
		}
		v.AppendFloat(float64(x))
		return nil
	case vector.Timestamp, vector.TimestampTZ:
		t, err := moment(strconv.AppendInt(nil, x, 10), unit)
		if err == nil {
			v.AppendInt(t)
		}
		return err
	}
	return rejected(codeType, "an integer for a column of type %s", v.Type)
}

// appendUint is appendInt of what may exceed it.
func appendUint(v *vector.Vector, x uint64, unit string) error {
	switch {
	case x <= math.MaxInt64:
		return appendInt(v, int64(x), unit)
	case v.Type.Kind == vector.Decimal:
		return parsed(codec.AppendParsed(v, strconv.AppendUint(nil, x, 10), codec.Defaults))
	}
	return rejected(codeRange, "%d for a column of type %s", x, v.Type)
}

// appendFloat appends a floating-point number of so many bits.
func appendFloat(v *vector.Vector, x float64, bits int) error {
	if v.Type.Kind == vector.Float64 || v.Type.Kind == vector.Float32 && bits == 32 {
		v.AppendFloat(x)
		return nil
	}
	return rejected(codeType, "a floating-point number of %d bits for a column of type %s", bits, v.Type)
}

// appendOctets appends bytes.
func appendOctets(v *vector.Vector, b []byte) error {
	switch {
	case v.Type.Kind == vector.Bytes:
		v.AppendBytes(b)
		return nil
	case v.Type.Kind == vector.UUID && len(b) == 16:
		return parsed(codec.AppendParsed(v, hex.AppendEncode(nil, b), codec.Defaults))
	}
	return rejected(codeType, "%d bytes for a column of type %s", len(b), v.Type)
}

// appendMicros appends an instant to a column of times.
func appendMicros(v *vector.Vector, t int64) error {
	switch v.Type.Kind {
	case vector.Timestamp, vector.TimestampTZ:
		if t < leastDay*microsOfDay || t >= (mostDay+1)*microsOfDay {
			return rejected(codeTime, "%d microseconds since 1970 lie outside of the years 1 to 9999", t)
		}
		v.AppendInt(t)
		return nil
	}
	return rejected(codeType, "a timestamp for a column of type %s", v.Type)
}

// appendMillis is appendMicros of milliseconds.
func appendMillis(v *vector.Vector, t int64) error {
	if t < math.MinInt64/1000 || t > math.MaxInt64/1000 {
		return rejected(codeTime, "%d milliseconds since 1970 lie outside of the years 1 to 9999", t)
	}
	return appendMicros(v, t*1000)
}

// appendDays appends a date, in days since 1970.
func appendDays(v *vector.Vector, days int64) error {
	switch {
	case v.Type.Kind != vector.Date:
		return rejected(codeType, "a date for a column of type %s", v.Type)
	case days < leastDay || days > mostDay:
		return rejected(codeTime, "%d days since 1970 lie outside of the years 1 to 9999", days)
	}
	v.AppendInt(days)
	return nil
}

// appendClock appends a time of day, in microseconds.
func appendClock(v *vector.Vector, t int64) error {
	switch {
	case v.Type.Kind != vector.Time:
		return rejected(codeType, "a time of day for a column of type %s", v.Type)
	case t < 0 || t > microsOfDay:
		return rejected(codeTime, "%d microseconds are no time of day", t)
	}
	v.AppendInt(t)
	return nil
}

const microsOfDay = 86_400_000_000

// relative reports whether a time is a word such as now, which means another time whenever it is read.
func relative(b []byte) bool {
	b = bytes.ToLower(bytes.TrimSpace(b))
	for _, word := range []string{"now", "today", "tomorrow", "yesterday"} {
		if bytes.Contains(b, []byte(word)) {
			return true
		}
	}
	return false
}

// moment is a time that is a number, in microseconds.
func moment(raw []byte, unit string) (int64, error) {
	low, up := 1e8, 1e11 // of seconds: 1973-03-03, 5138-11-16
	at := 0
	for Units[at] != unit {
		low, up, at = low*1e3, up*1e3, at+1
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(string(raw), 64)
		if err != nil || f != math.Trunc(f) && unit != "s" && unit != "ms" {
			return 0, rejected(codeSyntax, "%s is no whole number of %s since 1970", clip(raw), unit)
		}
		if math.Abs(f) >= low && math.Abs(f) < up && f > 0 && (unit == "s" || unit == "ms") {
			scale := 1e6
			if unit == "ms" {
				scale = 1e3
			}
			return int64(math.Round(f * scale)), nil
		}
		return 0, wrongUnit(raw, f, unit)
	}
	if x := float64(n); x < low || x >= up {
		return 0, wrongUnit(raw, x, unit)
	}
	switch unit {
	case "s":
		return n * 1_000_000, nil
	case "ms":
		return n * 1000, nil
	case "us":
		return n, nil
	}
	return n / 1000, nil
}

func wrongUnit(raw []byte, x float64, unit string) error {
	low := 1e8
	for _, u := range Units {
		if x >= low && x < low*1e3 {
			return rejected(codeTime, "%s is a time in %s, and the source's numbers are %s", clip(raw), u, unit)
		}
		low *= 1e3
	}
	return rejected(codeTime, "%s is no time between 1973 and 5138 in %s since 1970", clip(raw), unit)
}

// parsed makes a Rejected of a codec's error.
func parsed(err error) error {
	if err == nil {
		return nil
	}
	var e *codec.Error
	if errors.As(err, &e) {
		return &ingest.Rejected{Code: e.Code, Reason: e.Message}
	}
	return &ingest.Rejected{Code: codeSyntax, Reason: err.Error()}
}

// clip shortens a value for a message.
func clip(raw []byte) string {
	const most = 80
	if len(raw) > most {
		return string(bytes.ToValidUTF8(raw[:most], nil)) + "…"
	}
	return string(raw)
}
