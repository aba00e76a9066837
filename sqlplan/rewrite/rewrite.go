package rewrite

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// Options are what a rewrite needs to know. The zero value is valid.
type Options struct {
	// Relation may replace a table that is read. replacement is a relation in DuckDB's SQL, a qualified name or a parenthesised
	// SELECT; the table's alias, or its own name, stays the name of the columns' qualifier. It is not called for the
	// names of WITH queries, nor for the table that an INSERT, UPDATE or DELETE writes. rv belongs to a copy of the AST, with
	// the locations of the original; it must not be changed.
	Relation func(rv *pg_query.RangeVar) (replacement string, ok bool, err error)
	// ParamTypes are the types of $1, $2, …; a parameter whose type is known is cast to it.
	ParamTypes []vector.Type
	// NullParams writes NULL of its type for a parameter of ParamTypes: where DuckDB wants a constant to describe a statement.
	NullParams bool
	// ColumnType is the type of a column reference, where it is known. It may be nil.
	ColumnType func(c *pg_query.ColumnRef) (vector.Type, bool)
	// Divisions says what divisions divide, where it is known. It may be nil.
	Divisions *Divisions
	// Role is what CURRENT_USER is, SessionRole what SESSION_USER is, Database what CURRENT_CATALOG and current_database() are.
	Role, SessionRole, Database string
	// Checked says that CheckCalls, or what gave the statement its meaning, has passed the functions that it calls.
	Checked bool
	// Function finds functions that DuckDB does not have. It may be nil. Calls are expanded before any rule runs.
	Function Lookup
	// Off names rules that are left out.
	Off map[string]bool
}

// DivisionByZero is in the message of the error that a guarded division raises.
const DivisionByZero = duck.DivisionByZero

// rule is a named change of one node. It runs after the children of the node were rewritten.
type rule struct {
	name  string
	apply func(c *context, m proto.Message) error
}

// rules run in this order on each node.
var rules = []rule{
	{"pg_catalog", stripCatalog},
	{"type_names", typeNames},
	{"literals", literals},
	{"parameters", parameters},
	{"regex", regex},
	{"like_escape", likeEscape},
	{"bounded", bounded},
	{"syntax_calls", syntaxCalls},
	{"division", divisions},
	{"result_types", resultTypes},
	{"series_alias", seriesAlias},
	{"values_names", valuesNames},
	{"unknown_outputs", unknownOutputs},
	{"locking", locking},
	{"column_names", columnNames},
}

// Rules lists the names of the rules, for Options.Off.
func Rules() []string {
	out := make([]string, len(rules))
	for i, r := range rules {
		out[i] = r.name
	}
	return append(out, reservedRule)
}

type context struct {
	opt      Options
	replaced []string // SQL by number of placeholder
	original map[proto.Message]string
	top      *pg_query.SelectStmt
	// setOperation: top is a part of UNION and its kin, whose types come from all parts.
	setOperation bool
	qualified    map[string]bool // "schema.table" of replaced relations
	divisions    map[*pg_query.A_Expr]int
}

// Rewrite gives DuckDB's text of a statement. Errors are *parse.Error, or those of Options.Relation.
func Rewrite(stmt *pg_query.Node, opt Options) (sql string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &parse.Error{Code: "XX000", Message: fmt.Sprintf("rewriting failed: %v", r)}
		}
	}()
	if stmt == nil || stmt.Node == nil {
		return "", &parse.Error{Code: "XX000", Message: "there is no statement to rewrite"}
	}
	n := proto.Clone(stmt).(*pg_query.Node)
	if s := n.GetSelectStmt(); s != nil && len(s.ValuesLists) > 0 && !opt.Off["values_names"] {
		n = selectOfValues(s)
	}
	c := &context{opt: opt, qualified: map[string]bool{}, top: topSelect(n), original: map[proto.Message]string{}}
	c.setOperation = c.top != nil && n.GetSelectStmt() != c.top
	c.names(n)
	if err := inline(n, opt.Function, opt.Checked); err != nil {
		return "", err
	}
	if err := c.numberDivisions(n); err != nil {
		return "", err
	}
	if err := c.relations(n, nil); err != nil {
		return "", err
	}
	if err := c.walk(n); err != nil {
		return "", err
	}
	text, err := parse.Deparse(n)
	if err != nil {
		return "", err
	}
	return c.finish(text)
}

// topSelect is the SELECT whose outputs the client sees, or nil.
func topSelect(n *pg_query.Node) *pg_query.SelectStmt {
	if e := n.GetExplainStmt(); e != nil {
		n = e.Query
	}
	s := n.GetSelectStmt()
	for s.GetLarg() != nil {
		s = s.Larg
	}
	return s
}

// walk applies the rules, children first: what a rule wraps around a node is not looked at again.
func (c *context) walk(m proto.Message) error {
	var err error
	parse.Children(m, func(child proto.Message) bool {
		err = c.walk(child)
		return err == nil
	})
	if err != nil {
		return err
	}
	for _, r := range rules {
		if c.opt.Off[r.name] {
			continue
		}
		if err := r.apply(c, m); err != nil {
			return err
		}
	}
	return nil
}

// Constructors of nodes.

func call(name string, args ...*pg_query.Node) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_FuncCall{FuncCall: &pg_query.FuncCall{
		Funcname: []*pg_query.Node{pg_query.MakeStrNode(name)}, Args: args, Funcformat: pg_query.CoercionForm_COERCE_EXPLICIT_CALL}}}
}

func text(s string) *pg_query.Node { return pg_query.MakeAConstStrNode(s, 0) }

func copyOf(n *pg_query.Node) *pg_query.Node { return proto.Clone(n).(*pg_query.Node) }

// cast wraps n's content in a cast.
func cast(n *pg_query.Node, t *pg_query.TypeName) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_TypeCast{TypeCast: &pg_query.TypeCast{Arg: &pg_query.Node{Node: n.Node}, TypeName: t}}}
}

func typeName(name string, mods ...int64) *pg_query.TypeName {
	t := &pg_query.TypeName{Names: typeWords(name), Typemod: -1}
	for _, m := range mods {
		t.Typmods = append(t.Typmods, pg_query.MakeAConstIntNode(m, 0))
	}
	return t
}

// typeWords is a type's name so that Deparse writes it as SQL does: the types that have keywords need the schema for that, and
// are written as quoted names without it.
func typeWords(name string) []*pg_query.Node {
	switch name {
	case "bool", "int2", "int4", "int8", "float4", "float8", "numeric", "interval", "time", "timestamp", "timestamptz":
		return []*pg_query.Node{pg_query.MakeStrNode("pg_catalog"), pg_query.MakeStrNode(name)}
	}
	return []*pg_query.Node{pg_query.MakeStrNode(name)}
}

// words are the parts of a qualified name.
func words(l []*pg_query.Node) []string {
	out := make([]string, len(l))
	for i, n := range l {
		out[i] = n.GetString_().GetSval()
	}
	return out
}

// stringConst is the value of a string literal.
func stringConst(n *pg_query.Node) (string, bool) {
	c, ok := n.GetAConst().GetVal().(*pg_query.A_Const_Sval)
	if !ok {
		return "", false
	}
	return c.Sval.GetSval(), true
}
