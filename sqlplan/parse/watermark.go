package parse

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// A watermark stands among the columns of a source or an event table, where PostgreSQL's grammar has no place for it: it is read
// on tokens, and the rest goes to PostgreSQL's parser.

// marked reports whether the tokens after CREATE are those of a table with a watermark among its columns.
func marked(r *reader) bool {
	for i := r.i; i+2 < len(r.toks); i++ {
		if r.toks[i].is("(", ",") && r.toks[i+1].is("watermark") && r.toks[i+2].is("for") {
			return true
		}
	}
	return false
}

// createMarkedTable reads CREATE TABLE … (…, WATERMARK FOR col AS expr) WITH (event_time = …).
func createMarkedTable(r *reader, _ int) (Statement, error) {
	open := r.i
	for open < len(r.toks) && !r.toks[open].is("(") {
		open++
	}
	end := closing(r.toks, open)
	if end < 0 {
		return nil, syntaxAt(r.src, r.toks, len(r.toks), "")
	}
	w, blanked, err := readWatermark(r, open, end)
	if err != nil {
		return nil, err
	}
	if w == nil {
		return nil, syntaxAt(r.src, r.toks, open, "a watermark stands among the table's columns")
	}
	e := edit{src: r.src}
	for _, b := range blanked {
		e.blank(b[0], b[1])
	}
	plain := e.text()
	n, err := parseOne(plain)
	if err != nil {
		return nil, err
	}
	if defElem(n.GetCreateStmt().GetOptions(), "event_time") == nil {
		return nil, faultAt(w.Position, codeDefinition, "say which column it is: CREATE TABLE … WITH (event_time = 'ts')", "a watermark is of an event table, whose event time it says")
	}
	st, err := eventTable(&SQL{Text: r.src, Plain: plain, Node: n}, r.toks)
	if err != nil {
		return nil, err
	}
	t := st.(*CreateTable)
	t.Watermark = w
	return t, w.among(t.Columns)
}

// among checks that the watermark's column, if there is a watermark, is one of them.
func (w *Watermark) among(cols []Column) error {
	if w == nil {
		return nil
	}
	for _, c := range cols {
		if c.Name == w.Column {
			return nil
		}
	}
	return faultAt(w.Position, "42703", "", `column "%s" of the watermark does not exist`, w.Column)
}

// readWatermark finds the item WATERMARK FOR col AS expr between the parentheses, nil where there is none, and what to blank: the
// item with one of the commas beside it.
func readWatermark(r *reader, open, end int) (found *Watermark, _ [][2]int, _ error) {
	var blanked [][2]int
	depth := 0
	for i := open; i < end; i++ {
		t := &r.toks[i]
		switch {
		case t.is("(", "["):
			depth++
		case t.is(")", "]"):
			depth--
		case depth == 1 && t.is("watermark") && r.toks[i-1].is("(", ",") && i+1 < end && r.toks[i+1].is("for"):
			if found != nil {
				return nil, nil, faultAt(t.start, codeSyntax, "", "WATERMARK is given twice")
			}
			sub := &reader{src: r.src, toks: r.toks[:end], i: i + 2}
			w := &Watermark{Position: t.start, Column: sub.ident()}
			sub.expect("as")
			if w.Expr, w.Text = sub.expr(",", ")"); sub.err != nil {
				return nil, nil, sub.err
			}
			w.Delay, w.HasDelay = watermarkDelay(w)
			found = w
			from, to := t.start, r.toks[sub.i-1].end
			if r.toks[i-1].is(",") {
				from = r.toks[i-1].start
			} else if r.toks[sub.i].is(",") {
				to = r.toks[sub.i].end
			}
			blanked = append(blanked, [2]int{from, to})
			i = sub.i - 1
		}
	}
	return found, blanked, nil
}

// watermarkDelay is the delay of col - INTERVAL '…', and 0 of col alone.
func watermarkDelay(w *Watermark) (int64, bool) {
	isColumn := func(n *pg_query.Node) bool {
		f := n.GetColumnRef().GetFields()
		return len(f) == 1 && f[0].GetString_().GetSval() == w.Column
	}
	if isColumn(w.Expr) {
		return 0, true
	}
	e := w.Expr.GetAExpr()
	if e == nil || len(e.Name) != 1 || e.Name[0].GetString_().GetSval() != "-" || !isColumn(e.Lexpr) {
		return 0, false
	}
	c := e.Rexpr.GetTypeCast()
	if names := c.GetTypeName().GetNames(); len(names) == 0 || names[len(names)-1].GetString_().GetSval() != "interval" ||
		len(c.TypeName.Typmods) > 0 || !isStringConst(c.Arg.GetAConst()) {
		return 0, false
	}
	d, err := ParseDuration(c.Arg.GetAConst().GetSval().GetSval())
	return d, err == nil && d >= 0
}
