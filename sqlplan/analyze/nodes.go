package analyze

import (
	"fmt"
	"strconv"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// Constructors of nodes of DuckDB's SQL.

func call(name string, args ...*pg_query.Node) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_FuncCall{FuncCall: &pg_query.FuncCall{
		Funcname: []*pg_query.Node{pg_query.MakeStrNode(name)}, Args: args, Funcformat: pg_query.CoercionForm_COERCE_EXPLICIT_CALL}}}
}

func str(s string) *pg_query.Node { return pg_query.MakeAConstStrNode(s, 0) }

func integer(n int64) *pg_query.Node {
	if n >= 0 && n <= 1<<31-1 {
		return pg_query.MakeAConstIntNode(n, 0)
	}
	return castTo(str(strconv.FormatInt(n, 10)), "int8")
}

func null() *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_AConst{AConst: &pg_query.A_Const{Isnull: true}}}
}

func copyOf(n *pg_query.Node) *pg_query.Node { return proto.Clone(n).(*pg_query.Node) }

func op(name string, l, r *pg_query.Node) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_AExpr{AExpr: &pg_query.A_Expr{Kind: pg_query.A_Expr_Kind_AEXPR_OP,
		Name: []*pg_query.Node{pg_query.MakeStrNode(name)}, Lexpr: l, Rexpr: r}}}
}

func logic(kind pg_query.BoolExprType, args ...*pg_query.Node) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_BoolExpr{BoolExpr: &pg_query.BoolExpr{Boolop: kind, Args: args}}}
}

func not(n *pg_query.Node) *pg_query.Node { return logic(pg_query.BoolExprType_NOT_EXPR, n) }

func isNull(n *pg_query.Node) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_NullTest{NullTest: &pg_query.NullTest{Arg: n, Nulltesttype: pg_query.NullTestType_IS_NULL}}}
}

func when(cond, then, otherwise *pg_query.Node) *pg_query.Node {
	w := &pg_query.Node{Node: &pg_query.Node_CaseWhen{CaseWhen: &pg_query.CaseWhen{Expr: cond, Result: then}}}
	return &pg_query.Node{Node: &pg_query.Node_CaseExpr{CaseExpr: &pg_query.CaseExpr{Args: []*pg_query.Node{w}, Defresult: otherwise}}}
}

func columnNode(fields ...string) *pg_query.Node {
	l := make([]*pg_query.Node, len(fields))
	for i, f := range fields {
		l[i] = pg_query.MakeStrNode(f)
	}
	return pg_query.MakeColumnRefNode(l, 0)
}

// castTo is a cast to a type of DuckDB by its PostgreSQL name.
func castTo(n *pg_query.Node, name string, mods ...int) *pg_query.Node {
	return castNode(n, duckTypeName(name, mods...))
}

func castNode(n *pg_query.Node, t *pg_query.TypeName) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_TypeCast{TypeCast: &pg_query.TypeCast{Arg: n, TypeName: t}}}
}

func duckTypeName(name string, mods ...int) *pg_query.TypeName {
	t := &pg_query.TypeName{Typemod: -1}
	switch name {
	case "bool", "int2", "int4", "int8", "float4", "float8", "numeric", "interval", "time", "timestamp", "timestamptz":
		t.Names = []*pg_query.Node{pg_query.MakeStrNode("pg_catalog"), pg_query.MakeStrNode(name)}
	default:
		t.Names = []*pg_query.Node{pg_query.MakeStrNode(name)}
	}
	for _, m := range mods {
		t.Typmods = append(t.Typmods, pg_query.MakeAConstIntNode(int64(m), 0))
	}
	return t
}

// physical is DuckDB's type that holds values of a type: numerics of no fixed scale, and all types that DuckDB lacks, are text.
func physical(t OID) *pg_query.TypeName {
	if hasDimensions(t) {
		return duckTypeName("text")
	}
	if e := elemOf(t); e != 0 {
		n := physical(e)
		n.ArrayBounds = append(n.ArrayBounds, pg_query.MakeIntNode(-1))
		return n
	}
	switch t {
	case oidBool, oidInt2, oidInt4, oidInt8, oidFloat4, oidFloat8, oidInterval, oidTime, oidTimestamp, oidTimestampTZ, oidDate, oidUUID, oidBytea, oidJSON:
		return duckTypeName(shortName(t))
	case oidOid:
		return duckTypeName("int8")
	}
	return duckTypeName("text")
}

// Error is a refusal, with its place.
type Error struct {
	Code, Message, Detail, Hint string
	Offset                      int // bytes in the statement, −1: none
}

func (e *Error) Error() string { return e.Message + " (" + e.Code + ")" }

func fail(code string, at int32, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Offset: int(at)}
}

// location is where PostgreSQL says that an expression is, −1 where it does not.
func location(n *pg_query.Node) int32 {
	if n == nil {
		return -1
	}
	least := func(a, b int32) int32 {
		if a < 0 || b >= 0 && b < a {
			return b
		}
		return a
	}
	switch x := n.Node.(type) {
	case *pg_query.Node_AConst:
		return x.AConst.Location
	case *pg_query.Node_ColumnRef:
		return x.ColumnRef.Location
	case *pg_query.Node_ParamRef:
		return x.ParamRef.Location
	case *pg_query.Node_FuncCall:
		return x.FuncCall.Location
	case *pg_query.Node_AExpr:
		return least(x.AExpr.Location, location(x.AExpr.Lexpr))
	case *pg_query.Node_TypeCast:
		return least(x.TypeCast.Location, location(x.TypeCast.Arg))
	case *pg_query.Node_BoolExpr:
		return x.BoolExpr.Location
	case *pg_query.Node_CaseExpr:
		return x.CaseExpr.Location
	case *pg_query.Node_SubLink:
		return least(location(x.SubLink.Testexpr), x.SubLink.Location)
	case *pg_query.Node_CoalesceExpr:
		return x.CoalesceExpr.Location
	case *pg_query.Node_MinMaxExpr:
		return x.MinMaxExpr.Location
	case *pg_query.Node_AArrayExpr:
		return x.AArrayExpr.Location
	case *pg_query.Node_RowExpr:
		return x.RowExpr.Location
	case *pg_query.Node_NullTest:
		return least(x.NullTest.Location, location(x.NullTest.Arg))
	case *pg_query.Node_BooleanTest:
		return least(x.BooleanTest.Location, location(x.BooleanTest.Arg))
	case *pg_query.Node_CollateClause:
		return least(x.CollateClause.Location, location(x.CollateClause.Arg))
	case *pg_query.Node_AIndirection:
		return location(x.AIndirection.Arg)
	case *pg_query.Node_ResTarget:
		return x.ResTarget.Location
	case *pg_query.Node_SqlvalueFunction:
		return x.SqlvalueFunction.Location
	case *pg_query.Node_GroupingFunc:
		return x.GroupingFunc.Location
	case *pg_query.Node_NamedArgExpr:
		return x.NamedArgExpr.Location
	}
	return -1
}
