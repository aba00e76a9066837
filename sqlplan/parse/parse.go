package parse

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// Parse reads exactly one statement; a trailing semicolon is allowed. It returns nil for a text without a statement.
// Errors are *Error: 42601 for syntax, 0A000, 22023, 42P17, … as LANGUAGE says, with the position of the culprit.
func Parse(sql string) (s Statement, err error) {
	defer guard(&err)
	if err := checkText(sql); err != nil {
		return nil, err
	}
	s, err = parseText(sql)
	if err != nil {
		return nil, convert(sql, err)
	}
	return s, nil
}

func parseText(sql string) (Statement, error) {
	if !hasOurWords(sql) {
		n, err := parseOne(sql)
		if err != nil || n == nil {
			return nil, err
		}
		if !needsTokens(n) {
			return &SQL{Text: sql, Plain: sql, Node: n}, nil
		}
	}
	toks, err := scan(sql)
	if err != nil {
		return nil, err
	}
	return parseTokens(sql, toks, 0)
}

// maxExplain is how many EXPLAIN may stand before one another.
const maxExplain = 8

// parseTokens parses toks, which are all of the text that is not blank.
func parseTokens(text string, toks []token, depth int) (Statement, error) {
	for len(toks) > 0 && toks[len(toks)-1].is(";") {
		toks = toks[:len(toks)-1]
	}
	for len(toks) > 0 && toks[0].is(";") {
		toks = toks[1:]
	}
	if len(toks) == 0 {
		return nil, nil
	}
	if depth > maxExplain {
		return nil, faultAt(toks[0].start, codeTooComplex, "", "EXPLAIN stands before EXPLAIN more than %d times", maxExplain)
	}
	r := &reader{src: text, toks: toks}
	if read := ours(r); read != nil {
		s, err := read(r, depth)
		if r.err != nil {
			return nil, r.err
		}
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := parseSQL(text, toks)
	if err != nil || s == nil {
		return nil, err
	}
	return classify(s, toks)
}

// classify recognises the statements that PostgreSQL's grammar reads and that are ours by their options.
func classify(s *SQL, toks []token) (Statement, error) {
	switch {
	case s.Node.GetCreateStmt() != nil:
		if defElem(s.Node.GetCreateStmt().Options, "event_time") != nil {
			return eventTable(s, toks)
		}
	case s.Node.GetViewStmt() != nil:
		if defElem(s.Node.GetViewStmt().Options, "event_time") != nil {
			return eventView(s, toks)
		}
	case s.Node.GetCreateTableAsStmt() != nil:
		if d := defElem(s.Node.GetCreateTableAsStmt().GetInto().GetOptions(), "event_time"); d != nil {
			return nil, faultAt(int(d.Location), codeUnsupported, "create the table with its columns, then INSERT INTO … SELECT",
				"CREATE TABLE AS cannot make an event table")
		}
	}
	return s, nil
}

// needsTokens reports whether a statement without any of our words is ours nevertheless, or has a clause to list.
func needsTokens(n *pg_query.Node) bool {
	return defElem(n.GetCreateStmt().GetOptions(), "event_time") != nil
}

func defElem(opts []*pg_query.Node, name string) *pg_query.DefElem {
	for _, o := range opts {
		if d := o.GetDefElem(); d != nil && d.Defnamespace == "" && d.Defname == name {
			return d
		}
	}
	return nil
}

// ourWords are the words that a statement or clause of ours has at least one of. What they find in strings and comments
// only costs a scan.
var ourWords = map[string]bool{
	"asof": true, "window": true, "system_time": true, "tablesample": true, "event_time": true,
	"feature": true, "features": true, "source": true, "sources": true, "entity": true, "entities": true,
	"jobs": true, "watermarks": true, "lineage": true, "dead_letters": true, "letters": true, "feature_log": true, "feature_columns": true, "feature_views": true,
	"materializations": true, "partials": true, "connection": true, "secret": true, "explain": true, "watermark": true,
}

const longestWord = len("materializations")

// hasOurWords looks for one of ourWords, in one pass and without allocation.
func hasOurWords(sql string) bool {
	for i := 0; i < len(sql); {
		if !letter(sql[i]) {
			i++
			continue
		}
		from := i
		for i < len(sql) && letter(sql[i]) {
			i++
		}
		if n := i - from; n < 4 || n > longestWord || !mayBegin[sql[from]|0x20] {
			continue
		}
		var low [longestWord]byte
		w := low[:copy(low[:], sql[from:i])]
		for k, c := range w {
			if 'A' <= c && c <= 'Z' {
				w[k] = c + 'a' - 'A'
			}
		}
		if ourWords[string(w)] {
			return true
		}
	}
	return false
}

// mayBegin is the first letters of ourWords.
var mayBegin = func() (t [256]bool) {
	for w := range ourWords {
		t[w[0]] = true
	}
	return t
}()

func letter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' }
