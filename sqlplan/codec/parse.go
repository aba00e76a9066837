package codec

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// ParseText is the one-value vector of type t that text s means, as t's input function reads it. s is never NULL: the text NULL
// is a string.
func ParseText(t vector.Type, s string, set *Settings) (*vector.Vector, error) {
	v := vector.New(t, 1)
	if err := AppendParsed(v, []byte(s), set); err != nil {
		return nil, err
	}
	return v, nil
}

// DecodeParam is the one-value vector of type t of a parameter: nil is NULL, else format 0 (text) or 1 (binary). That of an array which
// is no list is of kind Text, shown as the array's type.
func DecodeParam(t vector.Type, format int16, b []byte, s *Settings) (*vector.Vector, error) {
	v := vector.New(t, 1)
	switch {
	case b == nil:
		v.AppendNull()
		return v, nil
	case t.Kind == vector.List:
		if d, ok, err := dimensional(t, format == 0, b); ok || err != nil {
			return d, err
		}
	}
	switch {
	case format == 0:
		return v, AppendParsed(v, b, s)
	case format == 1:
		return v, AppendDecoded(v, b, s)
	}
	return nil, &Error{Code: "22023", Message: fmt.Sprintf("unsupported format code: %d", format)}
}

// AppendParsed appends the value that text b means to v. v is unchanged on error.
func AppendParsed(v *vector.Vector, b []byte, s *Settings) error {
	switch v.Type.Kind {
	case vector.Bool:
		x, ok := parseBool(b)
		if !ok {
			return badSyntax(v.Type, b)
		}
		v.AppendBool(x)
	case vector.Int16:
		return appendInt(v, b, math.MinInt16, math.MaxInt16)
	case vector.Int32:
		return appendInt(v, b, math.MinInt32, math.MaxInt32)
	case vector.Int64:
		return appendInt(v, b, math.MinInt64, math.MaxInt64)
	case vector.Float32:
		return appendParsedFloat(v, b, 32)
	case vector.Float64:
		return appendParsedFloat(v, b, 64)
	case vector.Decimal:
		x, err := parseDecimal(v.Type, b)
		if err != nil {
			return err
		}
		v.AppendInt128(x)
	case vector.Text:
		if err := CheckText(b); err != nil {
			return err
		}
		return appendShownText(v, b, s)
	case vector.JSON:
		if err := CheckText(b); err != nil {
			return err
		}
		if !json.Valid(b) {
			return badJSON(b)
		}
		v.AppendBytes(b)
	case vector.Bytes:
		x, err := parseBytea(b)
		if err != nil {
			return err
		}
		v.AppendBytes(x)
	case vector.UUID:
		var u [16]byte
		if !parseUUID(&u, b) {
			return badSyntax(v.Type, b)
		}
		v.AppendBytes(u[:])
	case vector.Date, vector.Time, vector.Timestamp, vector.TimestampTZ:
		x, err := parseMoment(v.Type, b, s)
		if err != nil {
			return err
		}
		v.AppendInt(x)
	case vector.Interval:
		m, d, us, err := parseInterval(v.Type, b)
		if err != nil {
			return err
		}
		var buf [16]byte
		v.AppendBytes(AppendIntervalParts(buf[:0], m, d, us))
	case vector.List:
		n := v.N
		if t := trimSpace(b); !isArray(v.Type) && len(t) > 0 && t[0] != '{' {
			return parseJSON(v, b, s)
		}
		r := arrayReader{b: b, s: s}
		if err := r.list(v); err != nil {
			v.Truncate(n)
			return err
		}
	case vector.Map:
		return parseJSON(v, b, s)
	case vector.Null, vector.Invalid:
		return &Error{Code: "42P18", Message: "could not determine the data type of a value"}
	default:
		panic(fmt.Sprintf("codec: %s cannot be read", v.Type))
	}
	return nil
}

// CheckText refuses what no text value of a UTF-8 database can hold. Errors: 22021.
func CheckText(b []byte) error {
	if i := vector.BadText(b); i >= 0 {
		return InvalidText(b[i:])
	}
	return nil
}

// InvalidText is the refusal of the bytes that b begins with.
func InvalidText(b []byte) *Error {
	return &Error{Code: "22021", Message: vector.BadTextMessage(b)}
}

func badJSON(b []byte) *Error {
	return &Error{Code: "22P02", Message: "invalid input syntax for type json", Detail: "The value is " + quoted(b) + "."}
}

// parseBool takes PostgreSQL's words and their unambiguous beginnings, in any case.
func parseBool(b []byte) (value, ok bool) {
	b = trimSpace(b)
	if len(b) == 0 || len(b) > 5 {
		return false, false
	}
	prefix := func(word string) bool { return len(b) <= len(word) && isWord(b, word[:len(b)]) }
	switch {
	case prefix("true"), prefix("yes"), isWord(b, "on"), isWord(b, "1"):
		return true, true
	case prefix("false"), prefix("no"), len(b) > 1 && prefix("off"), isWord(b, "0"):
		return false, true
	}
	return false, false
}

func appendInt(v *vector.Vector, in []byte, lo, hi int64) error {
	b := trimSpace(in)
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 {
		return badSyntax(v.Type, in)
	}
	// The negative side reaches one further, so the value is built there.
	x, over := int64(0), false
	for i, c := range b {
		if !isDigit(c) {
			return badSyntax(v.Type, in)
		}
		d := int64(c - '0')
		if i >= 18 && x < (math.MinInt64+d)/10 {
			over = true
			continue
		}
		x = x*10 - d
	}
	if !negative {
		if x == math.MinInt64 {
			over = true
		}
		x = -x
	}
	if over || x < lo || x > hi {
		return outOfRange(v.Type, in)
	}
	v.AppendInt(x)
	return nil
}

func appendParsedFloat(v *vector.Vector, in []byte, bits int) error {
	b := trimSpace(in)
	if x, ok := shortDecimal(b); ok && bits == 64 {
		v.AppendFloat(x)
		return nil
	}
	rest, negative := b, false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		rest = b[1:]
	}
	switch {
	case isWord(rest, "nan"):
		v.AppendFloat(math.NaN())
		return nil
	case isWord(rest, "inf"), isWord(rest, "infinity"):
		if negative {
			v.AppendFloat(math.Inf(-1))
		} else {
			v.AppendFloat(math.Inf(1))
		}
		return nil
	}
	nonzero := false
	for _, c := range rest {
		if !isDigit(c) && c != '.' && c != 'e' && c != 'E' && c != '+' && c != '-' {
			return badSyntax(v.Type, in)
		}
	}
	for _, c := range rest {
		if c == 'e' || c == 'E' {
			break
		}
		nonzero = nonzero || c >= '1' && c <= '9'
	}
	x, err := strconv.ParseFloat(string(b), bits)
	if err != nil && !math.IsInf(x, 0) {
		return badSyntax(v.Type, in)
	}
	if math.IsInf(x, 0) || x == 0 && nonzero {
		return &Error{Code: "22003", Message: quoted(in) + " is out of range for type " + typeName(v.Type)}
	}
	v.AppendFloat(x)
	return nil
}

// exactPowers are the powers of ten of shortDecimal.
var exactPowers = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// shortDecimal reads a sign, digits and a point, of at most 15 digits. The number without its point and the power of ten are doubles
// exactly, so that their quotient, which is rounded once, is the nearest double.
func shortDecimal(b []byte) (x float64, ok bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative || len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	if len(b) > len(exactPowers) {
		return 0, false
	}
	digits, point, n := 0, -1, int64(0)
	for i, c := range b {
		switch {
		case isDigit(c):
			n = n*10 + int64(c-'0')
			digits++
		case c == '.' && point < 0:
			point = i
		default:
			return 0, false
		}
	}
	if digits == 0 || digits >= len(exactPowers) {
		return 0, false
	}
	if x = float64(n); point >= 0 {
		x /= exactPowers[len(b)-1-point]
	}
	if negative {
		x = -x
	}
	return x, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case isDigit(c):
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// parseBytea reads the hex form \x… (white space between bytes) and the escape form.
func parseBytea(b []byte) ([]byte, error) {
	t := vector.T(vector.Bytes)
	if len(b) >= 2 && b[0] == '\\' && b[1] == 'x' {
		out := make([]byte, 0, hex.DecodedLen(len(b)-2))
		for i := 2; i < len(b); {
			if isSpace(b[i]) {
				i++
				continue
			}
			hi, ok := hexDigit(b[i])
			if !ok {
				return nil, &Error{Code: "22023", Message: "invalid hexadecimal digit: " + quoted(b[i:i+1])}
			}
			if i+1 >= len(b) {
				return nil, &Error{Code: "22023", Message: "invalid hexadecimal data: odd number of digits"}
			}
			lo, ok := hexDigit(b[i+1])
			if !ok {
				return nil, &Error{Code: "22023", Message: "invalid hexadecimal digit: " + quoted(b[i+1:i+2])}
			}
			out = append(out, hi<<4|lo)
			i += 2
		}
		return out, nil
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		switch {
		case i+1 < len(b) && b[i+1] == '\\':
			out = append(out, '\\')
			i++
		case i+3 < len(b) && b[i+1] >= '0' && b[i+1] <= '3' && b[i+2] >= '0' && b[i+2] <= '7' && b[i+3] >= '0' && b[i+3] <= '7':
			out = append(out, (b[i+1]-'0')<<6|(b[i+2]-'0')<<3|(b[i+3]-'0'))
			i += 3
		default:
			return nil, &Error{Code: badSyntax(t, nil).Code, Message: "invalid input syntax for type bytea"}
		}
	}
	return out, nil
}

// parseUUID reads 32 hexadecimal digits with a hyphen allowed after every fourth, braces allowed around.
func parseUUID(u *[16]byte, b []byte) bool {
	if len(b) > 0 && b[0] == '{' {
		if b[len(b)-1] != '}' {
			return false
		}
		b = b[1 : len(b)-1]
	}
	for i := range u {
		if len(b) < 2 {
			return false
		}
		hi, ok1 := hexDigit(b[0])
		lo, ok2 := hexDigit(b[1])
		if !ok1 || !ok2 {
			return false
		}
		u[i] = hi<<4 | lo
		b = b[2:]
		if i%2 == 1 && i < 15 && len(b) > 0 && b[0] == '-' {
			b = b[1:]
		}
	}
	return len(b) == 0
}
