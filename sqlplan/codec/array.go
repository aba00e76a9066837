package codec

import "github.com/tilehouse/tilehouse/functions/vector"

// arrayReader reads array_in's text: {a,"b \"c\"",NULL}, nested braces for lists of lists.
type arrayReader struct {
	b   []byte
	i   int
	s   *Settings
	buf []byte // an element without its escapes
}

func (r *arrayReader) bad(detail string) *Error {
	return &Error{Code: "22P02", Message: "malformed array literal: " + quoted(r.b), Detail: detail}
}

func (r *arrayReader) space() {
	for r.i < len(r.b) && isSpace(r.b[r.i]) {
		r.i++
	}
}

func (r *arrayReader) peek() byte {
	if r.i < len(r.b) {
		return r.b[r.i]
	}
	return 0
}

// list reads all of the text as one value of v.
func (r *arrayReader) list(v *vector.Vector) error {
	r.space()
	if r.peek() == '[' {
		if err := r.bounds(); err != nil {
			return err
		}
	}
	if err := r.value(v); err != nil {
		return err
	}
	if r.space(); r.i < len(r.b) {
		return r.bad("Junk after closing right brace.")
	}
	return nil
}

// bounds skips "[1:3]=": lists start at 1, whatever the text says. Errors: more than one dimension.
func (r *arrayReader) bounds() error {
	for r.i < len(r.b) && r.b[r.i] != '=' {
		if c := r.b[r.i]; !isDigit(c) && c != '[' && c != ']' && c != ':' && c != '-' && c != '+' {
			return r.bad("\"[\" must introduce explicitly-specified array dimensions.")
		}
		r.i++
	}
	if r.i >= len(r.b) {
		return r.bad("Missing \"=\" after array dimensions.")
	}
	r.i++
	r.space()
	return nil
}

func (r *arrayReader) value(v *vector.Vector) error {
	if r.peek() != '{' {
		return r.bad("Array value must start with \"{\" or dimension information.")
	}
	r.i++
	child := v.Child[0]
	nested := child.Type.Kind == vector.List
	for n := 0; ; n++ {
		r.space()
		switch {
		case r.i >= len(r.b):
			return r.bad("Unexpected end of input.")
		case r.b[r.i] == '}' && n == 0:
			r.i++
			v.CloseNested()
			return nil
		case r.b[r.i] == '{':
			if !nested {
				return &Error{Code: "0A000", Message: "multidimensional arrays are not supported for " + v.Type.String()}
			}
			if err := r.value(child); err != nil {
				return err
			}
		default:
			if err := r.element(child, nested); err != nil {
				return err
			}
		}
		r.space()
		switch r.peek() {
		case ',':
			r.i++
		case '}':
			r.i++
			v.CloseNested()
			return nil
		default:
			if r.i >= len(r.b) {
				return r.bad("Unexpected end of input.")
			}
			return r.bad("Unexpected array element.")
		}
	}
}

// element reads one element up to its comma or brace.
func (r *arrayReader) element(v *vector.Vector, nested bool) error {
	r.buf = r.buf[:0]
	if r.b[r.i] == '"' {
		for r.i++; ; r.i++ {
			if r.i >= len(r.b) {
				return r.bad("Unexpected end of input.")
			}
			c := r.b[r.i]
			if c == '"' {
				r.i++
				break
			}
			if c == '\\' {
				if r.i++; r.i >= len(r.b) {
					return r.bad("Unexpected end of input.")
				}
				c = r.b[r.i]
			}
			r.buf = append(r.buf, c)
		}
		if nested {
			return r.bad("Unexpected array element.")
		}
		return AppendParsed(v, r.buf, r.s)
	}
	escaped, keep := false, 0
	for ; r.i < len(r.b); r.i++ {
		c := r.b[r.i]
		if c == ',' || c == '}' {
			break
		}
		if c == '{' || c == '"' {
			return r.bad("Unexpected \"" + string(c) + "\" character.")
		}
		esc := c == '\\'
		if esc {
			if r.i++; r.i >= len(r.b) {
				return r.bad("Unexpected end of input.")
			}
			c, escaped = r.b[r.i], true
		}
		r.buf = append(r.buf, c)
		if esc || !isSpace(c) {
			keep = len(r.buf)
		}
	}
	// White space after an element is no part of it, unless escaped.
	r.buf = r.buf[:keep]
	if len(r.buf) == 0 {
		return r.bad("Unexpected \",\" or \"}\" character.")
	}
	if !escaped && isWord(r.buf, "null") {
		v.AppendNull()
		return nil
	}
	if nested {
		return r.bad("Unexpected array element.")
	}
	return AppendParsed(v, r.buf, r.s)
}
