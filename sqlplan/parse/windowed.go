package parse

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// BodyOf takes apart a SELECT with WINDOW that stands in a statement, as the body of a feature is. st is the statement, sel
// the SELECT inside it. Errors are those of a feature's body.
func BodyOf(st *SQL, sel *pg_query.SelectStmt) (b *Body, err error) {
	defer guard(&err)
	node := &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel}}
	start := max(firstLocation(node), 0)
	b = &Body{Text: st.Text, Start: start, Select: sel, Clauses: st.Clauses, From: sel.FromClause, Where: sel.WhereClause}
	if err := b.takeApart(node, start); err != nil {
		return nil, convert(st.Text, err)
	}
	if b.Latest {
		return nil, ErrorAt(st.Text, start, codeDefinition, "a SELECT with WINDOW aggregates", "")
	}
	return b, nil
}

// ColumnExpr is a reference to a column, as an expression at a place of a statement, in bytes.
func ColumnExpr(name string, position int) (Expr, error) {
	e, err := exprOf(pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(name)}, int32(position)))
	return e, convertNil("", err)
}

func convertNil(sql string, err error) error {
	if err == nil {
		return nil
	}
	return convert(sql, err)
}
