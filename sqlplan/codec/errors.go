package codec

import (
	"fmt"
	"unicode/utf8"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Error is a value that cannot be read or written, as PostgreSQL reports it.
type Error struct {
	Code    string // SQLSTATE: 22P02, 22P03, 22003, 22007, 22008, 22015, 22021, …
	Message string
	Detail  string
	Hint    string
}

func (e *Error) Error() string { return e.Message + " (" + e.Code + ")" }

// maxErrorValue is how many bytes of a bad value an error message repeats; PostgreSQL repeats all.
const maxErrorValue = 64 << 10

func quoted(b []byte) string {
	if len(b) > maxErrorValue {
		cut := maxErrorValue
		for cut > 0 && !utf8.RuneStart(b[cut]) {
			cut--
		}
		return `"` + string(b[:cut]) + `…"`
	}
	return `"` + string(b) + `"`
}

// typeName is the name of t in PostgreSQL's messages, without parameters.
func typeName(t vector.Type) string {
	switch t.Kind {
	case vector.Decimal:
		return "numeric"
	case vector.TimestampTZ:
		return "timestamp with time zone"
	}
	return t.String()
}

func badSyntax(t vector.Type, b []byte) *Error {
	code := "22P02"
	switch t.Kind {
	case vector.Date, vector.Time, vector.Timestamp, vector.TimestampTZ, vector.Interval:
		code = "22007"
	}
	return &Error{Code: code, Message: fmt.Sprintf("invalid input syntax for type %s: %s", typeName(t), quoted(b))}
}

func outOfRange(t vector.Type, b []byte) *Error {
	return &Error{Code: "22003", Message: fmt.Sprintf("value %s is out of range for type %s", quoted(b), typeName(t))}
}

func badBinary(t vector.Type) *Error {
	return &Error{Code: "22P03", Message: "incorrect binary data format for type " + typeName(t)}
}
