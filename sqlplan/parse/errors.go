package parse

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/pganalyze/pg_query_go/v6/parser"
)

// SQLSTATEs of this package.
const (
	codeSyntax        = "42601"
	codeUnsupported   = "0A000"
	codeParameter     = "22023"
	codeDefinition    = "42P17"
	codeDuplicate     = "42701"
	codeDuplicateObj  = "42710"
	codeUndefinedType = "42704"
	codeGrouping      = "42803"
	codeBadTime       = "22007"
	codeTooComplex    = "54001"
	codeTooLong       = "54000"
	codeEncoding      = "22021"
	codeInternal      = "XX000"
	codeNoParameter   = "42P02"
	codeReserved      = "42939"
)

// Error is a refusal of a statement.
type Error struct {
	Code     string // SQLSTATE
	Message  string
	Hint     string
	Position int // 1-based character of the text given to Split or Parse; 0: none
}

func (e *Error) Error() string { return e.Message + " (" + e.Code + ")" }

// ErrorAt is an Error at the byte offset of sql; offset < 0 gives no position.
func ErrorAt(sql string, offset int, code, message, hint string) *Error {
	return &Error{Code: code, Message: message, Hint: hint, Position: Position(sql, offset)}
}

// Position is the 1-based character of byte offset in sql, as PostgreSQL sends positions; 0 when offset < 0.
func Position(sql string, offset int) int {
	if offset < 0 {
		return 0
	}
	return utf8.RuneCountInString(sql[:min(offset, len(sql))]) + 1
}

// fault is an Error under construction: its place is still a byte offset, because only the outermost caller has the text.
type fault struct {
	code, message, hint string
	offset              int
}

func (f *fault) Error() string { return f.message }

func faultAt(offset int, code, hint, format string, args ...any) error {
	return &fault{code: code, hint: hint, message: fmt.Sprintf(format, args...), offset: offset}
}

// sentence is a hint as clients see it: with a capital and a full stop.
func sentence(hint string) string {
	if hint == "" {
		return ""
	}
	hint = strings.ToUpper(hint[:1]) + hint[1:]
	if !strings.HasSuffix(hint, ".") && !strings.HasSuffix(hint, "…") {
		hint += "."
	}
	return hint
}

// convert makes an *Error of any error met while parsing sql.
func convert(sql string, err error) error {
	var done *Error
	if errors.As(err, &done) {
		return done
	}
	var f *fault
	if errors.As(err, &f) {
		return ErrorAt(sql, f.offset, f.code, f.message, sentence(f.hint))
	}
	var pe *parser.Error
	if errors.As(err, &pe) {
		e := &Error{Code: codeSyntax, Message: pe.Message, Position: max(pe.Cursorpos, 0)}
		switch {
		case strings.HasPrefix(pe.Message, "invalid byte sequence for encoding"):
			e.Code, e.Position = codeEncoding, 0
		case strings.HasPrefix(pe.Message, "role name ") && strings.HasSuffix(pe.Message, " is reserved"):
			e.Code = codeReserved
		case strings.Contains(pe.Message, "stack depth") || strings.Contains(pe.Message, "memory exhausted"):
			e.Code = codeTooComplex
		case strings.Contains(pe.Message, "not supported") || strings.Contains(pe.Message, "not yet implemented") ||
			strings.Contains(pe.Message, "not implemented"):
			e.Code = codeUnsupported
		}
		return e
	}
	if strings.Contains(err.Error(), "maximum recursion depth") { // of the tree's encoding
		return &Error{Code: codeTooComplex, Message: "stack depth limit exceeded", Hint: "The statement is nested too deep."}
	}
	return &Error{Code: codeInternal, Message: err.Error()}
}
