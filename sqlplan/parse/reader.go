package parse

import (
	"strings"
	"unicode/utf8"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// maxName is the length of an identifier in bytes; PostgreSQL cuts longer ones.
const maxName = 63

// reader reads a statement of ours from its tokens, by descent. The first error sticks, and every later read is empty.
type reader struct {
	src  string
	toks []token
	i    int
	err  error
}

func (r *reader) peek(n int) *token {
	if i := r.i + n; i < len(r.toks) {
		return &r.toks[i]
	}
	return &token{start: len(r.src), end: len(r.src)}
}

func (r *reader) done() bool { return r.err != nil || r.i >= len(r.toks) }

// at is the offset of the next token.
func (r *reader) at() int { return r.peek(0).start }

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// unexpected is PostgreSQL's syntax error at the next token.
func (r *reader) unexpected(hint string) { r.fail(syntaxAt(r.src, r.toks, r.i, hint)) }

// accept takes the given words when they are next.
func (r *reader) accept(words ...string) bool {
	if r.err != nil {
		return false
	}
	for n, w := range words {
		if !r.peek(n).is(w) {
			return false
		}
	}
	r.i += len(words)
	return true
}

func (r *reader) expect(words ...string) {
	for _, w := range words {
		if !r.accept(w) {
			r.unexpected("")
			return
		}
	}
}

// end fails unless everything was read.
func (r *reader) end() {
	if !r.done() {
		r.unexpected("")
	}
}

// ident takes an identifier.
func (r *reader) ident() string {
	if r.err != nil || !r.peek(0).isName() {
		r.unexpected("")
		return ""
	}
	return r.identValue()
}

// identValue takes the next token as an identifier, whatever keyword it is.
func (r *reader) identValue() string {
	s, err := identValue(r.src, r.peek(0))
	if err != nil {
		r.fail(err)
	}
	r.i++
	return s
}

// name takes an object's name.
func (r *reader) name() Name {
	n := Name{Position: r.at()}
	n.Name = r.ident()
	if r.accept(".") {
		if n.Schema = n.Name; !r.peek(0).isLabel() {
			r.unexpected("")
			return n
		}
		n.Name = r.identValue()
	}
	if r.err == nil && r.peek(0).is(".") {
		r.fail(faultAt(n.Position, codeUnsupported, "", "names have at most two parts"))
	}
	return n
}

func (r *reader) ifNotExists() bool { return r.accept("if", "not", "exists") }
func (r *reader) ifExists() bool    { return r.accept("if", "exists") }

// text takes a string literal.
func (r *reader) text() string {
	if r.err != nil || !r.peek(0).isString() {
		r.unexpected("")
		return ""
	}
	s, err := stringValue(r.src, r.peek(0))
	if err != nil {
		r.fail(err)
	}
	r.i++
	return s
}

// options takes (name = value, …).
func (r *reader) options() Options {
	r.expect("(")
	out := Options{}
	for r.err == nil {
		r.option(out)
		if !r.accept(",") {
			break
		}
	}
	r.expect(")")
	return out
}

func (r *reader) option(out Options) {
	o := Option{Position: r.at(), ValuePosition: r.at(), Kind: OptBool, Value: "true"}
	if !r.peek(0).isLabel() {
		r.unexpected("")
		return
	}
	name := r.identValue()
	for r.err == nil && r.accept(".") {
		if !r.peek(0).isLabel() {
			r.unexpected("")
			return
		}
		name += "." + r.identValue()
	}
	if r.accept("=") {
		o.ValuePosition = r.at()
		o.Kind, o.Value = r.optionValue()
	}
	if r.err != nil {
		return
	}
	if _, twice := out[name]; twice {
		r.fail(faultAt(o.Position, codeSyntax, "", `option "%s" is given twice`, name))
		return
	}
	out[name] = o
}

func (r *reader) optionValue() (OptionKind, string) {
	t := r.peek(0)
	switch {
	case t.isString():
		return OptString, r.text()
	case t.isNumber():
		r.i++
		return OptNumber, r.src[t.start:t.end]
	case t.is("-", "+") && r.peek(1).isNumber():
		n := r.peek(1)
		r.i += 2
		return OptNumber, strings.TrimPrefix(t.word, "+") + r.src[n.start:n.end]
	case t.is("true", "on"):
		r.i++
		return OptBool, "true"
	case t.is("false", "off"):
		r.i++
		return OptBool, "false"
	case t.is("secret") && r.peek(1).isName():
		r.i++
		return OptSecret, r.ident()
	case t.isLabel():
		return OptIdentifier, r.identValue()
	}
	r.unexpected("an option's value is a string, a number, true, false or a word")
	return OptString, ""
}

// expr takes the tokens up to (not including) one of the given words outside parentheses, or to the end, as an expression.
func (r *reader) expr(until ...string) (*pg_query.Node, string) {
	from := r.i
	for depth := 0; r.err == nil && r.i < len(r.toks); r.i++ {
		t := r.peek(0)
		if depth == 0 && t.is(until...) {
			break
		}
		if t.is("(", "[") {
			depth++
		} else if t.is(")", "]") {
			depth--
		}
	}
	if r.err != nil || r.i == from {
		r.unexpected("")
		return nil, ""
	}
	a, b := r.toks[from].start, r.toks[r.i-1].end
	n, err := parseExpr(r.src, a, b)
	if err != nil {
		r.fail(err)
		return nil, ""
	}
	return n, r.src[a:b]
}

// identValue is the folded name that an identifier or keyword token spells.
func identValue(src string, t *token) (string, error) {
	s := src[t.start:t.end]
	switch {
	case t.word != "":
		s = t.word
	case s[0] == '"':
		s = strings.ReplaceAll(s[1:len(s)-1], `""`, `"`)
	default: // U&"…"
		n, err := parseExpr(src, t.start, t.end)
		if err != nil {
			return "", err
		}
		f := n.GetColumnRef().GetFields()
		if len(f) != 1 {
			return "", faultAt(t.start, codeSyntax, "", "a name is expected")
		}
		s = f[0].GetString_().GetSval()
	}
	for len(s) > maxName {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s, nil
}

// stringValue is the value of a string literal.
func stringValue(src string, t *token) (string, error) {
	s := src[t.start:t.end]
	if s[0] == '\'' && s[len(s)-1] == '\'' && len(s) >= 2 && !strings.ContainsAny(s[1:len(s)-1], "'\\\n") {
		return s[1 : len(s)-1], nil
	}
	n, err := parseExpr(src, t.start, t.end)
	if err != nil {
		return "", err
	}
	c := n.GetAConst()
	if c == nil || c.GetIsnull() || !isStringConst(c) {
		return "", faultAt(t.start, codeSyntax, "", "a string is expected")
	}
	return c.GetSval().GetSval(), nil
}

func isStringConst(c *pg_query.A_Const) bool {
	_, ok := c.GetVal().(*pg_query.A_Const_Sval)
	return ok
}

func upper(s string) string { return strings.ToUpper(s) }
