package rewrite

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// regex: in DuckDB ~ matches the whole text, and ~* is missing. regexp_matches searches, as PostgreSQL does.
func regex(_ *context, m proto.Message) error {
	n, ok := m.(*pg_query.Node)
	if !ok || n.GetAExpr() == nil || n.GetAExpr().Kind != pg_query.A_Expr_Kind_AEXPR_OP || len(n.GetAExpr().Name) != 1 {
		return nil
	}
	e := n.GetAExpr()
	if e.Lexpr == nil {
		return nil
	}
	op := e.Name[0].GetString_().GetSval()
	if op != "~" && op != "~*" && op != "!~" && op != "!~*" {
		return nil
	}
	f := call("regexp_matches", e.Lexpr, e.Rexpr)
	if strings.HasSuffix(op, "*") {
		f.GetFuncCall().Args = append(f.GetFuncCall().Args, text("i"))
	}
	if op[0] == '!' {
		f = &pg_query.Node{Node: &pg_query.Node_BoolExpr{BoolExpr: &pg_query.BoolExpr{
			Boolop: pg_query.BoolExprType_NOT_EXPR, Args: []*pg_query.Node{f}}}}
	}
	n.Node = f.Node
	return nil
}

// likeEscape: PostgreSQL's LIKE escapes with a backslash unless told otherwise, DuckDB's with nothing. Both forms become DuckDB's
// functions of three arguments. A constant pattern without a backslash means the same in both and stays, so that DuckDB can use
// its prefix.
func likeEscape(_ *context, m proto.Message) error {
	n, ok := m.(*pg_query.Node)
	e := n.GetAExpr()
	if !ok || e == nil || e.Kind != pg_query.A_Expr_Kind_AEXPR_LIKE && e.Kind != pg_query.A_Expr_Kind_AEXPR_ILIKE {
		return nil
	}
	if s, ok := stringConst(e.Rexpr); ok && !strings.Contains(s, `\`) {
		return nil
	}
	name := map[string]string{"~~": "like_escape", "!~~": "not_like_escape", "~~*": "ilike_escape", "!~~*": "not_ilike_escape"}[e.Name[0].GetString_().GetSval()]
	if name == "" {
		return nil
	}
	pattern, escape := e.Rexpr, text(`\`)
	if f := e.Rexpr.GetFuncCall(); f != nil && len(f.Args) == 2 && f.Funcname[len(f.Funcname)-1].GetString_().GetSval() == "like_escape" {
		pattern, escape = f.Args[0], f.Args[1]
	}
	n.Node = call(name, e.Lexpr, pattern, escape).Node
	return nil
}

// publicSchema is the schema of objects that are named without one.
const publicSchema = "public"

// syntaxCalls turns the calls that PostgreSQL's grammar makes of EXTRACT, POSITION, TRIM, SUBSTRING, AT TIME ZONE into calls
// of DuckDB's functions. PostgreSQL's btrim is called so when written out, too.
//
// CURRENT_DATE and CURRENT_TIMESTAMP become calls: DuckDB reads the words as columns, and would find the output that
// column_names gives that name. CURRENT_USER and its kin become the role's name, the database its own, and the schema public: what
// DuckDB says of these is about itself.
func syntaxCalls(c *context, m proto.Message) error {
	if n, ok := m.(*pg_query.Node); ok && n.GetSqlvalueFunction() != nil {
		switch n.GetSqlvalueFunction().Op {
		case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_DATE:
			n.Node = call("today").Node
		case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP:
			n.Node = call("now").Node
		case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_USER, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_ROLE, pg_query.SQLValueFunctionOp_SVFOP_USER:
			n.Node = text(c.opt.Role).Node
		case pg_query.SQLValueFunctionOp_SVFOP_SESSION_USER:
			n.Node = text(c.opt.SessionRole).Node
		case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA:
			n.Node = text(publicSchema).Node
		case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG:
			n.Node = text(c.opt.Database).Node
		}
		return nil
	}
	if n, ok := m.(*pg_query.Node); ok && n.GetFuncCall() != nil {
		if f := n.GetFuncCall(); len(f.Funcname) == 1 && len(f.Args) == 0 {
			switch f.Funcname[0].GetString_().GetSval() {
			case "current_schema":
				n.Node = text(publicSchema).Node
			case "current_database":
				n.Node = text(c.opt.Database).Node
			}
		}
		return nil
	}
	f, ok := m.(*pg_query.FuncCall)
	if !ok || len(f.Funcname) == 0 {
		return nil
	}
	name := f.Funcname[len(f.Funcname)-1].GetString_().GetSval()
	bySyntax := f.Funcformat == pg_query.CoercionForm_COERCE_SQL_SYNTAX
	if !bySyntax && (len(f.Funcname) > 1 || name != "btrim") {
		return nil
	}
	switch name {
	case "extract":
		name = "date_part"
	case "position":
		name = "strpos" // The grammar has already put the text first.
	case "btrim":
		name = "trim"
	case "ltrim", "rtrim", "substring", "timezone":
	default:
		return nil
	}
	f.Funcname = []*pg_query.Node{pg_query.MakeStrNode(name)}
	f.Funcformat = pg_query.CoercionForm_COERCE_EXPLICIT_CALL
	return nil
}
