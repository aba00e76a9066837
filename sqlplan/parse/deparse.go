package parse

import (
	"slices"
	"strings"
	"sync"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// Deparse writes a node as PostgreSQL text: a statement, an expression, an output with its alias, a type cast, or an item of
// FROM. Clauses of ours are no part of an AST and so not of the text.
func Deparse(node *pg_query.Node) (text string, err error) {
	defer guard(&err)
	return deparse(node)
}

func deparse(node *pg_query.Node) (string, error) {
	if node == nil || node.Node == nil {
		return "", &Error{Code: codeInternal, Message: "nothing to deparse"}
	}
	prefix, stmt := "", node
	switch {
	case isStatement(node):
	case node.GetRangeVar() != nil, node.GetJoinExpr() != nil, node.GetRangeSubselect() != nil, node.GetRangeFunction() != nil,
		node.GetRangeTableSample() != nil:
		prefix = "SELECT * FROM "
		star := &pg_query.Node{Node: &pg_query.Node_ColumnRef{ColumnRef: &pg_query.ColumnRef{Fields: []*pg_query.Node{
			{Node: &pg_query.Node_AStar{AStar: &pg_query.A_Star{}}}}}}}
		stmt = selectOf([]*pg_query.Node{{Node: &pg_query.Node_ResTarget{ResTarget: &pg_query.ResTarget{Val: star}}}}, []*pg_query.Node{node})
	case node.GetResTarget() != nil:
		prefix = selectPrefix
		stmt = selectOf([]*pg_query.Node{node}, nil)
	default:
		prefix = selectPrefix
		stmt = selectOf([]*pg_query.Node{{Node: &pg_query.Node_ResTarget{ResTarget: &pg_query.ResTarget{Val: node}}}}, nil)
	}
	s, err := pg_query.Deparse(&pg_query.ParseResult{Version: grammarVersion(), Stmts: []*pg_query.RawStmt{{Stmt: stmt}}})
	if err != nil {
		return "", &Error{Code: codeInternal, Message: "deparse: " + err.Error()}
	}
	return strings.TrimPrefix(s, prefix), nil
}

// grammarVersion is the version that Deparse wants in a tree, which is Parse's.
var grammarVersion = sync.OnceValue(func() int32 {
	r, err := pg_query.Parse("SELECT 1")
	if err != nil {
		return 0
	}
	return r.Version
})

// isStatement reports whether the node is a whole statement: their names end in Stmt.
func isStatement(n *pg_query.Node) bool {
	m := n.ProtoReflect()
	fd := m.WhichOneof(m.Descriptor().Oneofs().Get(0))
	return fd != nil && strings.HasSuffix(string(fd.Message().Name()), "Stmt")
}

func selectOf(targets, from []*pg_query.Node) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: &pg_query.SelectStmt{
		TargetList: targets, FromClause: from, LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}}}
}

// Canonical is a text that is equal for expressions that differ only in blanks, comments, the case of keywords and unquoted
// names, redundant parentheses, spellings of one type (int, integer, int4) or operator (<>, !=), and in qualifying columns
// by one of the relations named. With no relation named, qualifiers stay: b.x is not c.x. It is stable for one version of
// the grammar, and what fingerprints are made of.
func Canonical(node *pg_query.Node, relations ...string) (text string, err error) {
	defer guard(&err)
	return canonical(node, relations)
}

func canonical(node *pg_query.Node, relations []string) (string, error) {
	if node == nil {
		return "", nil
	}
	c := proto.Clone(node).(*pg_query.Node)
	strip(c)
	Walk(c, func(m proto.Message) bool {
		switch n := m.(type) {
		case *pg_query.ColumnRef:
			if k := len(n.Fields); k > 1 && slices.Contains(relations, n.Fields[k-2].GetString_().GetSval()) {
				n.Fields = n.Fields[k-1:]
			}
		case *pg_query.TypeName:
			n.Names = canonicalType(n.Names)
		case *pg_query.FuncCall:
			if len(n.Funcname) == 2 && n.Funcname[0].GetString_().GetSval() == "pg_catalog" && n.Funcformat == pg_query.CoercionForm_COERCE_EXPLICIT_CALL {
				n.Funcname = n.Funcname[1:]
			}
		}
		return true
	})
	return deparse(c)
}

// canonicalType is the pg_catalog name for a built-in type's short name, so that int8 and bigint are one.
func canonicalType(names []*pg_query.Node) []*pg_query.Node {
	if len(names) != 1 {
		return names
	}
	switch names[0].GetString_().GetSval() {
	case "bool", "int2", "int4", "int8", "float4", "float8", "numeric", "varchar", "bpchar", "time", "timetz", "timestamp",
		"timestamptz", "interval":
		return []*pg_query.Node{pg_query.MakeStrNode("pg_catalog"), names[0]}
	}
	return names
}
