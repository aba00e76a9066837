package rewrite

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// Expr gives DuckDB's text of a scalar expression. Errors are those of Rewrite.
func Expr(n *pg_query.Node, opt Options) (string, error) {
	const prefix = "SELECT "
	off := map[string]bool{"column_names": true}
	for name := range opt.Off {
		off[name] = true
	}
	opt.Off = off
	sel := &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: &pg_query.SelectStmt{
		TargetList:  []*pg_query.Node{pg_query.MakeResTargetNodeWithVal(n, 0)},
		LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}}}
	text, err := Rewrite(sel, opt)
	return strings.TrimPrefix(text, prefix), err
}
