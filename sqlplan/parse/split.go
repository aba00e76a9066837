package parse

import (
	"strings"
	"unicode/utf8"
)

// Fragment is one statement of a text.
type Fragment struct {
	SQL    string // without the semicolon, and without blanks and comments around it
	Offset int    // bytes: of SQL in the text
}

// Split cuts a text into statements at its semicolons; empty ones are left out. Semicolons in strings, quoted identifiers,
// dollar quotes, comments, parentheses and BEGIN ATOMIC … END bodies do not cut. Errors are *Error: 42601 where the text
// cannot be cut into tokens, 22021 for bytes that are no UTF-8.
func Split(sql string) (out []Fragment, err error) {
	defer guard(&err)
	if err := checkText(sql); err != nil {
		return nil, err
	}
	if f, ok := splitPlain(sql); ok {
		return f, nil
	}
	toks, err := scan(sql)
	if err != nil {
		return nil, convert(sql, err)
	}
	first, depth, body := 0, 0, 0
	cut := func(end int) {
		if first < end {
			a, b := toks[first].start, toks[end-1].end
			out = append(out, Fragment{SQL: sql[a:b], Offset: a})
		}
	}
	for i := range toks {
		t := &toks[i]
		switch {
		case t.is("("):
			depth++
		case t.is(")"):
			depth = max(depth-1, 0)
		case body > 0 && t.is("case"):
			body++
		case body > 0 && t.is("end"):
			body--
		case t.is("atomic") && i > first && toks[i-1].is("begin") && toks[first].is("create"):
			body++
		case t.is(";") && depth == 0 && body == 0:
			cut(i)
			first = i + 1
		}
	}
	cut(len(toks))
	return out, nil
}

// splitPlain answers for the usual text, one statement in which nothing can hide a semicolon, without a scan.
func splitPlain(sql string) ([]Fragment, bool) {
	s := strings.TrimRight(sql, " \t\r\n\f\v")
	if strings.HasSuffix(s, ";") {
		s = strings.TrimRight(s[:len(s)-1], " \t\r\n\f\v")
		// The last semicolon may stand in a comment or, where the text is broken, in a string.
		if strings.ContainsAny(s, `'"$-/`) {
			return nil, false
		}
	}
	if strings.IndexByte(s, ';') >= 0 || strings.Contains(s, "--") || strings.Contains(s, "/*") {
		return nil, false
	}
	t := strings.TrimLeft(s, " \t\r\n\f\v")
	if t == "" {
		return nil, true
	}
	return []Fragment{{SQL: t, Offset: len(s) - len(t)}}, true
}

// invalidUTF8 is the offset of the first byte that is no UTF-8, or -1.
func invalidUTF8(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return -1
}
