package parse

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// Inner is a statement that PREPARE or DECLARE CURSOR holds, which may have clauses of ours.
type Inner struct {
	Outer  *pg_query.Node // the PrepareStmt or DeclareCursorStmt, with a SELECT in place of the statement
	SQL    string         // the statement's text
	Offset int            // bytes: of SQL in the text
}

// Nested cuts PREPARE … AS and DECLARE … CURSOR FOR in two; ok is false for any other text, and for one that PostgreSQL's
// grammar does not read.
func Nested(sql string) (inner *Inner, ok bool) {
	if !mayNest(sql) || checkText(sql) != nil {
		return nil, false
	}
	toks, err := scan(sql)
	if err != nil || len(toks) < 4 {
		return nil, false
	}
	before := "as"
	switch {
	case toks[0].is("prepare") && !toks[1].is("transaction"):
	case toks[0].is("declare"):
		before = "for"
	default:
		return nil, false
	}
	depth := 0
	for i := range toks {
		switch {
		case toks[i].is("("):
			depth++
		case toks[i].is(")"):
			depth--
		case depth == 0 && i > 1 && toks[i].is(before) && i+1 < len(toks):
			from, to := toks[i+1].start, toks[len(toks)-1].end
			if toks[len(toks)-1].is(";") {
				to = toks[len(toks)-1].start
			}
			outer, err := parseOne(sql[:toks[i].end] + " SELECT")
			if err != nil || outer == nil || from >= to {
				return nil, false
			}
			return &Inner{Outer: outer, SQL: strings.TrimSpace(sql[from:to]), Offset: from}, true
		}
	}
	return nil, false
}

// mayNest reports whether a text can begin with PREPARE or DECLARE, without a scan where it begins with another word.
func mayNest(sql string) bool {
	t := strings.TrimLeft(sql, " \t\r\n\f\v;")
	if t == "" {
		return false
	}
	switch t[0] | 0x20 {
	case 'p', 'd':
		return len(t) > 7 && (strings.EqualFold(t[:7], "prepare") || strings.EqualFold(t[:7], "declare"))
	}
	return t[0] == '-' || t[0] == '/'
}
