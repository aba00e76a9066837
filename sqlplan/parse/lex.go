package parse

import (
	"strings"
	"unicode/utf8"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// MaxText is the longest text that Split and Parse take, in bytes.
const MaxText = 64 << 20

// token is a token that is no comment. Its text stays in the source.
type token struct {
	kind       pg_query.Token
	keyword    pg_query.KeywordKind
	start, end int
	word       string // unquoted identifiers and keywords: lower case; one-byte tokens: that byte; else ""
}

// is reports whether the token is one of the given unquoted words or punctuation marks.
func (t *token) is(words ...string) bool {
	if t.word == "" {
		return false
	}
	for _, w := range words {
		if t.word == w {
			return true
		}
	}
	return false
}

// isName reports whether the token can be the name of an object: an identifier or a word that is not reserved.
func (t *token) isName() bool {
	switch t.kind {
	case pg_query.Token_IDENT, pg_query.Token_UIDENT:
		return true
	}
	return t.keyword == pg_query.KeywordKind_UNRESERVED_KEYWORD || t.keyword == pg_query.KeywordKind_COL_NAME_KEYWORD
}

// isLabel reports whether the token can be a name where any keyword may stand: after a dot, an option's name.
func (t *token) isLabel() bool {
	return t.isName() || t.keyword != pg_query.KeywordKind_NO_KEYWORD
}

func (t *token) isString() bool {
	return t.kind == pg_query.Token_SCONST || t.kind == pg_query.Token_USCONST
}

func (t *token) isNumber() bool {
	return t.kind == pg_query.Token_ICONST || t.kind == pg_query.Token_FCONST
}

// checkText refuses what PostgreSQL's parser, a C library, cannot be given.
func checkText(sql string) error {
	if len(sql) > MaxText {
		return &Error{Code: codeTooLong, Message: "statement is longer than 64 MiB"}
	}
	if i := strings.IndexByte(sql, 0); i >= 0 {
		return ErrorAt(sql, i, codeEncoding, vector.BadTextMessage([]byte{0}), "")
	}
	if i := invalidUTF8(sql); i >= 0 {
		return ErrorAt(sql, i, codeEncoding, vector.BadTextMessage([]byte(sql[i:min(len(sql), i+utf8.UTFMax)])), "")
	}
	return nil
}

// scan gives the tokens of sql without comments.
func scan(sql string) ([]token, error) {
	r, err := pg_query.Scan(sql)
	if err != nil {
		return nil, err
	}
	out := make([]token, 0, len(r.Tokens))
	for _, t := range r.Tokens {
		if t.Token == pg_query.Token_SQL_COMMENT || t.Token == pg_query.Token_C_COMMENT {
			continue
		}
		k := token{kind: t.Token, keyword: t.KeywordKind, start: int(t.Start), end: int(t.End)}
		if k.start < 0 || k.end > len(sql) || k.start >= k.end {
			continue // an empty token carries nothing
		}
		s := sql[k.start:k.end]
		switch {
		case k.keyword != pg_query.KeywordKind_NO_KEYWORD, k.kind == pg_query.Token_IDENT && s[0] != '"':
			k.word = lowerASCII(s)
		case len(s) == 1:
			k.word = s
		}
		out = append(out, k)
	}
	return out, nil
}

// lowerASCII folds as PostgreSQL folds identifiers of a UTF-8 database: A–Z only.
func lowerASCII(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if 'A' <= b[j] && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// closing is the index after the parenthesis that closes the one at i, or -1.
func closing(toks []token, i int) int {
	depth := 0
	for ; i < len(toks); i++ {
		switch {
		case toks[i].is("(", "["):
			depth++
		case toks[i].is(")", "]"):
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// edit is a text being blanked. Its length never changes.
type edit struct {
	src string
	b   []byte // nil until the first change
}

func (e *edit) own() {
	if e.b == nil {
		e.b = []byte(e.src)
	}
}

// blank puts spaces over [from, to), keeping line ends so that line numbers in messages stay.
func (e *edit) blank(from, to int) {
	e.own()
	for i := from; i < to; i++ {
		if e.b[i] != '\n' {
			e.b[i] = ' '
		}
	}
}

// put writes s over [from, to), which must be at least as long, and blanks the rest.
func (e *edit) put(from, to int, s string) {
	e.blank(from, to)
	copy(e.b[from:to], s)
}

func (e *edit) text() string {
	if e.b == nil {
		return e.src
	}
	return string(e.b)
}
