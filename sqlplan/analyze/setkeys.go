package analyze

import pg_query "github.com/pganalyze/pg_query_go/v6"

// byKeys is UNION, INTERSECT or EXCEPT of rows whose equals can differ in their text: one row of each set of equal rows.
func (b *body) byKeys(sel *pg_query.SelectStmt) *pg_query.SelectStmt {
	rows := &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel}}
	if sel.Op == pg_query.SetOperation_SETOP_UNION {
		sel.All = true
	} else {
		rows = &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel.Larg}}
	}
	out := &pg_query.SelectStmt{LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}
	alias := &pg_query.Alias{}
	var same []*pg_query.Node
	for i, c := range b.outputs {
		name := "__c" + itoa(i+1)
		alias.Colnames = append(alias.Colnames, pg_query.MakeStrNode(name))
		v := columnNode("__g", name)
		k := key(c.value(copyOf(v)))
		out.GroupClause = append(out.GroupClause, k)
		same = append(same, &pg_query.Node{Node: &pg_query.Node_AExpr{AExpr: &pg_query.A_Expr{Kind: pg_query.A_Expr_Kind_AEXPR_NOT_DISTINCT,
			Name: []*pg_query.Node{pg_query.MakeStrNode("=")}, Lexpr: copyOf(k), Rexpr: key(c.value(columnNode("__r", name)))}}})
		if k.GetColumnRef() == nil {
			v = call("any_value", v)
		}
		out.TargetList = append(out.TargetList, pg_query.MakeResTargetNodeWithVal(v, 0))
	}
	from := func(n *pg_query.Node, name string) []*pg_query.Node {
		a := &pg_query.Alias{Aliasname: name, Colnames: alias.Colnames}
		return []*pg_query.Node{{Node: &pg_query.Node_RangeSubselect{RangeSubselect: &pg_query.RangeSubselect{Subquery: n, Alias: a}}}}
	}
	out.FromClause = from(rows, "__g")
	if sel.Op == pg_query.SetOperation_SETOP_UNION {
		return out
	}
	right := &pg_query.SelectStmt{LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE,
		TargetList:  []*pg_query.Node{pg_query.MakeResTargetNodeWithVal(integer(1), 0)},
		FromClause:  from(&pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel.Rarg}}, "__r"),
		WhereClause: same[0]}
	if len(same) > 1 {
		right.WhereClause = logic(pg_query.BoolExprType_AND_EXPR, same...)
	}
	out.WhereClause = &pg_query.Node{Node: &pg_query.Node_SubLink{SubLink: &pg_query.SubLink{SubLinkType: pg_query.SubLinkType_EXISTS_SUBLINK,
		Subselect: &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: right}}}}}
	if sel.Op == pg_query.SetOperation_SETOP_EXCEPT {
		out.WhereClause = not(out.WhereClause)
	}
	return out
}
