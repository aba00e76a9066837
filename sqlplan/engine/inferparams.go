package engine

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// A parameter without a type takes it from where it stands: in PostgreSQL an operand's is that of the other operand, and a
// parameter that stands in several places has the type of the first. DuckDB knows the types of parameters that are compared, once
// each; the others are found here and written into the statement as casts. As with arrays (typeArrays), DuckDB is asked for the
// type of the other operand by CASE WHEN true THEN $n ELSE operand END, which gives $n that type.

// paramUse is a place of a parameter in a statement.
type paramUse struct {
	node     *pg_query.Node // the ParamRef
	number   int
	location int
	other    *pg_query.Node // whose type it takes; nil: not known
	operator string
	left     bool        // of the operator
	typ      vector.Type // known without asking
	// whole is the operation, in whose place the question is put: x + $1 may be one of two types that have no +.
	whole  *pg_query.Node
	output *pg_query.ResTarget // that the parameter is, whose name a cast would change
}

// argumentTypes are those of functions whose parameters have one type only; "" for others.
var argumentTypes = map[string][]string{
	"substr": {"text", "int4", "int4"}, "substring": {"text", "int4", "int4"}, "left": {"text", "int4"}, "right": {"text", "int4"}, "lpad": {"text", "int4", "text"}, "rpad": {"text", "int4", "text"},
	"repeat": {"text", "int4"}, "split_part": {"text", "text", "int4"}, "replace": {"text", "text", "text"}, "translate": {"text", "text", "text"}, "strpos": {"text", "text"}, "starts_with": {"text", "text"},
	"upper": {"text"}, "lower": {"text"}, "initcap": {"text"}, "length": {"text"}, "char_length": {"text"}, "reverse": {"text"}, "ascii": {"text"}, "md5": {"text"}, "btrim": {"text", "text"}, "ltrim": {"text", "text"}, "rtrim": {"text", "text"},
	"chr": {"int4"}, "string_agg": {"", "text"}, "to_char": {"", "text"}, "to_date": {"text", "text"}, "to_number": {"text", "text"}, "regexp_replace": {"text", "text", "text", "text"}, "regexp_match": {"text", "text", "text"},
	"abs": {"float8"}, "sqrt": {"float8"}, "exp": {"float8"}, "ln": {"float8"}, "power": {"float8", "float8"}, "pow": {"float8", "float8"}, "floor": {"float8"}, "ceil": {"float8"}, "ceiling": {"float8"}, "sign": {"float8"}, "sin": {"float8"}, "cos": {"float8"},
	"make_date": {"int4", "int4", "int4"}, "date_trunc": {"text"}, "date_part": {"text"}, "pg_sleep": {"float8"}, "setseed": {"float8"}, "quote_ident": {"text"}, "quote_literal": {"text"},
}

// maxInferences bounds how often a statement is asked about: (a + $1) * $2 says the type of $2 once that of $1 is known.
const maxInferences = 8

// inferParams writes casts around parameters whose type DuckDB would not find, or find another one. given are the types that the
// client named. n is changed in place; a second time changes nothing. Where DuckDB cannot plan the question the statement stays.
func (s *Session) inferParams(b *binder, n *pg_query.Node, given []vector.Type) error {
	for range maxInferences {
		if wrote, err := s.inferOnce(b, n, given); err != nil || !wrote {
			return err
		}
	}
	return nil
}

func (s *Session) inferOnce(b *binder, n *pg_query.Node, given []vector.Type) (wrote bool, err error) {
	uses, casts, most := paramUses(n)
	times := map[int]int{}
	wanted := false
	for i := range uses {
		u := &uses[i]
		times[u.number]++
		if u.number <= len(given) && given[u.number-1].Kind != vector.Invalid {
			u.typ, u.other = given[u.number-1], nil
		} else if t, ok := casts[u.number]; ok {
			u.typ, u.other = t, nil
		}
		wanted = wanted || u.typ.Kind != vector.Invalid || u.other != nil && (arithmetic(u.operator) || u.operator == "select" || u.operator == "row")
	}
	for _, k := range times {
		wanted = wanted || k > 1
	}
	if !wanted {
		return false, nil
	}
	if err := s.askTypes(b, n, uses, most); err != nil {
		return false, err
	}
	slices.SortStableFunc(uses, func(a, b paramUse) int { return a.location - b.location })
	types := map[int]vector.Type{}
	for _, u := range uses {
		if _, known := types[u.number]; !known && u.typ.Kind != vector.Invalid && u.typ.Kind != vector.Null {
			types[u.number] = u.typ
		}
	}
	for _, u := range uses {
		t, ok := types[u.number]
		if !ok || u.node.GetParamRef() == nil {
			continue
		}
		name := t.String()
		if t.Kind == vector.Decimal {
			name = "numeric"
		}
		c, err := selectText("SELECT NULL::"+name, nil)
		if err != nil {
			continue // a type that SQL cannot name stays DuckDB's to find
		}
		cast := c.GetSelectStmt().TargetList[0].GetResTarget().Val
		cast.GetTypeCast().Arg = &pg_query.Node{Node: u.node.Node}
		u.node.Node = cast.Node
		if u.output != nil && u.output.Name == "" {
			u.output.Name = "?column?"
		}
		wrote = true
	}
	return wrote, nil
}

// askTypes asks DuckDB for the types of the operands beside parameters.
func (s *Session) askTypes(b *binder, n *pg_query.Node, uses []paramUse, most int) error {
	type asked struct {
		use     *paramUse
		number  int
		restore func()
	}
	var questions []asked
	for i := range uses {
		u := &uses[i]
		if u.other == nil || u.node.GetParamRef() == nil {
			continue
		}
		place := u.node
		if u.whole != nil {
			place = u.whole
		}
		most++
		was := place.Node
		questions = append(questions, asked{u, most, func() { place.Node = was }})
		place.Node = caseLike(&pg_query.Node{Node: &pg_query.Node_ParamRef{ParamRef: &pg_query.ParamRef{Number: int32(most)}}}, u.other).Node
	}
	if len(questions) == 0 {
		return nil
	}
	sql, err := b.duckSQL(clone(n))
	for i := len(questions) - 1; i >= 0; i-- {
		questions[i].restore()
	}
	if err != nil {
		return nil // the statement itself will say why
	}
	types, _, err := s.described(b.ctx, sql)
	if err != nil {
		return nil
	}
	for _, q := range questions {
		if q.number > len(types) {
			continue
		}
		t := types[q.number-1]
		switch op := q.use.operator; {
		case t.Kind == vector.Interval && (op == "*" || op == "/"):
			t = vector.T(vector.Float64)
		case t.Kind == vector.Date && op == "+":
			return at(fail("42725", "operator is not unique: %s", map[bool]string{true: "unknown + date", false: "date + unknown"}[q.use.left]), b.sql, q.use.location)
		case (t.Kind == vector.Timestamp || t.Kind == vector.TimestampTZ) && op == "+":
			t = vector.T(vector.Interval)
		}
		q.use.typ = t
	}
	return nil
}

// caseLike is CASE WHEN true THEN value ELSE other END, which has the type of other.
func caseLike(value, other *pg_query.Node) *pg_query.Node {
	c := caseOf(value, nil)
	c.GetCaseExpr().Defresult = clone(other)
	return c
}

func arithmetic(op string) bool {
	switch op {
	case "+", "-", "*", "/", "%", "^":
		return true
	}
	return false
}

// paramUses are the places of a statement's parameters without a cast, the types of those that have one, and the greatest number.
func paramUses(n *pg_query.Node) (uses []paramUse, casts map[int]vector.Type, most int) {
	casts = map[int]vector.Type{}
	seen := map[*pg_query.ParamRef]bool{}
	var whole *pg_query.Node
	outputs := map[*pg_query.Node]*pg_query.ResTarget{}
	use := func(node, other *pg_query.Node, operator string, left bool) {
		p := node.GetParamRef()
		if p == nil || seen[p] {
			return
		}
		if other.GetParamRef() != nil {
			other = nil
		}
		if c := other.GetAConst(); c.GetSval() != nil || c.GetIsnull() {
			other = nil // it has no type either
		}
		seen[p] = true
		uses = append(uses, paramUse{node: node, number: int(p.Number), location: int(p.Location), other: other, operator: operator, left: left, output: outputs[node]})
		if arithmetic(operator) {
			uses[len(uses)-1].whole = whole
		}
	}
	fixed := func(node *pg_query.Node, t vector.Type) {
		if p := node.GetParamRef(); p != nil && !seen[p] {
			seen[p] = true
			uses = append(uses, paramUse{node: node, number: int(p.Number), location: int(p.Location), typ: t})
		}
	}
	parse.Walk(n, func(m proto.Message) bool {
		switch x := m.(type) {
		case *pg_query.Node:
			if x.GetAExpr() != nil {
				whole = x
			}
		case *pg_query.ResTarget:
			outputs[x.Val] = x
		case *pg_query.TypeCast:
			if p := x.Arg.GetParamRef(); p != nil {
				seen[p] = true
				if t, err := parse.TypeOf(x.TypeName); err == nil {
					casts[int(p.Number)] = t
				}
			}
		case *pg_query.A_Expr:
			operatorUses(x, use)
		case *pg_query.FuncCall:
			if k := len(x.Funcname); k > 0 {
				functionUses(x, x.Funcname[k-1].GetString_().GetSval(), use, fixed)
			}
		case *pg_query.InsertStmt:
			insertUses(x, use)
		case *pg_query.SelectStmt:
			if x.Op != pg_query.SetOperation_SETOP_NONE {
				unionUses(x.Larg, x.Rarg, use)
				unionUses(x.Rarg, x.Larg, use)
			}
		case *pg_query.ParamRef:
			most = max(most, int(x.Number))
		}
		return true
	})
	// The rest take the type that one of these has.
	parse.Walk(n, func(m proto.Message) bool {
		if x, ok := m.(*pg_query.Node); ok {
			use(x, nil, "", false)
		}
		return true
	})
	return uses, casts, most
}

func operatorUses(x *pg_query.A_Expr, use func(node, other *pg_query.Node, operator string, left bool)) {
	switch x.Kind {
	case pg_query.A_Expr_Kind_AEXPR_OP:
		if x.Lexpr == nil {
			return
		}
		l, r := x.Lexpr.GetRowExpr(), x.Rexpr.GetRowExpr()
		if l != nil && r != nil && len(l.Args) == len(r.Args) {
			for i := range l.Args {
				use(l.Args[i], r.Args[i], "row", true)
				use(r.Args[i], l.Args[i], "row", false)
			}
			return
		}
		op := operator(x)
		if !arithmetic(op) && !slices.Contains([]string{"=", "<>", "<", ">", "<=", ">="}, op) {
			return
		}
		use(x.Lexpr, x.Rexpr, op, true)
		use(x.Rexpr, x.Lexpr, op, false)
	case pg_query.A_Expr_Kind_AEXPR_IN, pg_query.A_Expr_Kind_AEXPR_BETWEEN, pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN, pg_query.A_Expr_Kind_AEXPR_BETWEEN_SYM, pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		for _, item := range x.Rexpr.GetList().GetItems() {
			use(item, x.Lexpr, "=", false)
		}
	}
}

func functionUses(x *pg_query.FuncCall, name string, use func(node, other *pg_query.Node, operator string, left bool), fixed func(*pg_query.Node, vector.Type)) {
	types := argumentTypes[name]
	switch {
	case name == "generate_series":
		for i, a := range x.Args {
			if i != 0 && i < 2 {
				use(a, x.Args[0], "row", false)
			} else if i == 0 && len(x.Args) > 1 {
				use(a, x.Args[1], "row", true)
			}
		}
		return
	case name == "round" && len(x.Args) == 2:
		types = []string{"numeric", "int4"}
	}
	for i, a := range x.Args {
		if i < len(types) && types[i] != "" && a.GetParamRef() != nil {
			if c, err := selectText("SELECT NULL::"+types[i], nil); err == nil {
				if t, err := parse.TypeOf(c.GetSelectStmt().TargetList[0].GetResTarget().Val.GetTypeCast().TypeName); err == nil {
					fixed(a, t)
				}
			}
		}
	}
}

// insertUses: parameters of INSERT … SELECT have the types of the columns that they go to.
func insertUses(x *pg_query.InsertStmt, use func(node, other *pg_query.Node, operator string, left bool)) {
	sel := x.SelectStmt.GetSelectStmt()
	if sel == nil || len(sel.ValuesLists) > 0 || sel.Op != pg_query.SetOperation_SETOP_NONE {
		return
	}
	for i, t := range sel.TargetList {
		if t.GetResTarget().GetVal().GetParamRef() == nil {
			continue
		}
		column, from := "", &pg_query.RangeVar{Catalogname: x.Relation.Catalogname, Schemaname: x.Relation.Schemaname, Relname: x.Relation.Relname, Inh: true, Relpersistence: "p"}
		if len(x.Cols) > 0 {
			if i >= len(x.Cols) {
				return
			}
			column = x.Cols[i].GetResTarget().GetName()
		} else {
			from.Alias = aliasOf(i + 1)
			column = fmt.Sprintf("__c%d", i+1)
		}
		use(t.GetResTarget().Val, sublinkOf(column, &pg_query.Node{Node: &pg_query.Node_RangeVar{RangeVar: from}}), "select", false)
	}
}

// unionUses: parameters that are outputs of a part of UNION and its kin have the types of the other part's.
func unionUses(part, other *pg_query.SelectStmt, use func(node, other *pg_query.Node, operator string, left bool)) {
	for i, t := range part.GetTargetList() {
		if t.GetResTarget().GetVal().GetParamRef() == nil {
			continue
		}
		from := &pg_query.Node{Node: &pg_query.Node_RangeSubselect{RangeSubselect: &pg_query.RangeSubselect{Subquery: clone(&pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: other}}), Alias: aliasOf(i + 1)}}}
		use(t.GetResTarget().Val, sublinkOf(fmt.Sprintf("__c%d", i+1), from), "select", false)
	}
}

// aliasOf names the first n columns __c1, __c2, …
func aliasOf(n int) *pg_query.Alias {
	a := &pg_query.Alias{Aliasname: "__t"}
	for i := range n {
		a.Colnames = append(a.Colnames, pg_query.MakeStrNode(fmt.Sprintf("__c%d", i+1)))
	}
	return a
}

// sublinkOf is (SELECT column FROM from).
func sublinkOf(column string, from *pg_query.Node) *pg_query.Node {
	sel := &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: &pg_query.SelectStmt{
		TargetList: []*pg_query.Node{pg_query.MakeResTargetNodeWithVal(pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(column)}, 0), 0)},
		FromClause: []*pg_query.Node{from}, LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}}}
	return &pg_query.Node{Node: &pg_query.Node_SubLink{SubLink: &pg_query.SubLink{SubLinkType: pg_query.SubLinkType_EXPR_SUBLINK, Subselect: sel}}}
}
