package parse

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// ColumnRename is a column that is called by another name, for the definitions that read it.
type ColumnRename struct {
	To string
	// Is reports whether a reference, of the old name, is to the column.
	Is func(ref *pg_query.ColumnRef) bool
	// Star are the outputs that a star in a SELECT list stands for, as they are to be written; nil: it stays.
	Star func(ref *pg_query.ColumnRef) []string
}

// RenamedColumn is the text of a definition in which a column is called by another name. sel is its SELECT, as it was parsed, and more are
// expressions beside it, both with places in sql. Outputs keep their names: one that had the column's gets it as an alias.
func RenamedColumn(sql string, sel *pg_query.SelectStmt, more []*pg_query.Node, c ColumnRename) (_ string, err error) {
	defer guard(&err)
	toks, err := scan(sql)
	if err != nil {
		return "", convert(sql, err)
	}
	type put struct {
		start, end int
		text       string
	}
	var puts []put
	token := func(location int) (int, error) {
		i := slices.IndexFunc(toks, func(t token) bool { return t.start == location })
		if i < 0 {
			return 0, ErrorAt(sql, location, codeInternal, "the column is not where the definition was parsed", "")
		}
		return i, nil
	}
	rename := func(m proto.Message) bool {
		ref, ok := m.(*pg_query.ColumnRef)
		if !ok || err != nil || !c.Is(ref) {
			return err == nil
		}
		var i int
		if i, err = token(int(ref.Location)); err == nil {
			i += 2 * (len(ref.Fields) - 1) // names with dots between them
			puts = append(puts, put{toks[i].start, toks[i].end, quoteName(c.To)})
		}
		return false
	}
	Walk(sel, rename)
	for _, n := range more {
		Walk(n, rename)
	}
	if err != nil {
		return "", err
	}
	for _, t := range sel.TargetList {
		rt := t.GetResTarget()
		if rt.Name != "" {
			continue
		}
		i, err := token(int(rt.Location))
		if err != nil {
			return "", err
		}
		end := targetEnd(toks, i)
		if ref := rt.Val.GetColumnRef(); ref != nil && ref.Fields[len(ref.Fields)-1].GetAStar() != nil {
			if outputs := c.Star(ref); outputs != nil {
				puts = append(puts, put{toks[i].start, toks[end-1].end, strings.Join(outputs, ", ")})
			}
			continue
		}
		old := FigureColumnName(rt.Val)
		now := proto.Clone(rt.Val).(*pg_query.Node)
		Walk(now, func(m proto.Message) bool {
			if ref, ok := m.(*pg_query.ColumnRef); ok && c.Is(ref) {
				ref.Fields[len(ref.Fields)-1].GetString_().Sval = c.To
			}
			return true
		})
		if FigureColumnName(now) != old {
			puts = append(puts, put{toks[end-1].end, toks[end-1].end, " AS " + quoteName(old)})
		}
	}
	slices.SortFunc(puts, func(a, b put) int { return b.start - a.start }) // the last one first: places before it stay
	for _, p := range puts {
		sql = sql[:p.start] + p.text + sql[p.end:]
	}
	return sql, nil
}

// targetEnd is the token after an output of a SELECT list.
func targetEnd(toks []token, i int) int {
	depth := 0
	for ; i < len(toks); i++ {
		switch t := &toks[i]; {
		case t.is("(", "["):
			depth++
		case t.is(")", "]"):
			if depth--; depth < 0 {
				return i
			}
		case depth == 0 && (t.is(",", "where", "group", "window", ";") || t.is("from") && !toks[i-1].is("distinct")):
			return i
		}
	}
	return i
}
