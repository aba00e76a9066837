package parse

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
)

const unnamed = "?column?"

// FigureColumnName is the name that PostgreSQL gives an output without an alias: a column's, a function's, an inner name of a
// cast, case, coalesce, …, and ?column? where there is none. (PostgreSQL's FigureColname.)
func FigureColumnName(n *pg_query.Node) string {
	if name, _ := figure(n); name != "" {
		return name
	}
	return unnamed
}

// figure gives a name and its strength: 2 for a good name, 1 for one that a better name from inside replaces, 0 for none.
func figure(n *pg_query.Node) (string, int) {
	last := func(l []*pg_query.Node) string {
		for i := len(l) - 1; i >= 0; i-- {
			if s := l[i].GetString_(); s != nil {
				return s.Sval
			}
		}
		return ""
	}
	switch {
	case n == nil:
	case n.GetColumnRef() != nil:
		if s := last(n.GetColumnRef().Fields); s != "" {
			return s, 2
		}
	case n.GetAIndirection() != nil:
		if s := last(n.GetAIndirection().Indirection); s != "" {
			return s, 2
		}
		return figure(n.GetAIndirection().Arg)
	case n.GetFuncCall() != nil:
		return last(n.GetFuncCall().Funcname), 2
	case n.GetAExpr() != nil:
		if n.GetAExpr().Kind == pg_query.A_Expr_Kind_AEXPR_NULLIF {
			return "nullif", 2
		}
	case n.GetTypeCast() != nil:
		if s, k := figure(n.GetTypeCast().Arg); k > 1 {
			return s, k
		}
		return last(n.GetTypeCast().TypeName.GetNames()), 1
	case n.GetCollateClause() != nil:
		return figure(n.GetCollateClause().Arg)
	case n.GetGroupingFunc() != nil:
		return "grouping", 2
	case n.GetSubLink() != nil:
		switch s := n.GetSubLink(); s.SubLinkType {
		case pg_query.SubLinkType_EXISTS_SUBLINK:
			return "exists", 2
		case pg_query.SubLinkType_ARRAY_SUBLINK:
			return "array", 2
		case pg_query.SubLinkType_EXPR_SUBLINK:
			sub := s.Subselect.GetSelectStmt()
			for sub.GetLarg() != nil {
				sub = sub.Larg
			}
			if len(sub.GetTargetList()) > 0 {
				r := sub.TargetList[0].GetResTarget()
				if r.GetName() != "" {
					return r.Name, 2
				}
				return FigureColumnName(r.GetVal()), 2
			}
		}
	case n.GetCaseExpr() != nil:
		if s, k := figure(n.GetCaseExpr().Defresult); k > 1 {
			return s, k
		}
		return "case", 1
	case n.GetAArrayExpr() != nil:
		return "array", 2
	case n.GetRowExpr() != nil:
		return "row", 2
	case n.GetCoalesceExpr() != nil:
		return "coalesce", 2
	case n.GetMinMaxExpr() != nil:
		if n.GetMinMaxExpr().Op == pg_query.MinMaxOp_IS_GREATEST {
			return "greatest", 2
		}
		return "least", 2
	case n.GetSqlvalueFunction() != nil:
		return lowerASCII(sqlValueName(n.GetSqlvalueFunction().Op)), 2
	}
	return "", 0
}
