package pgcatalog

import (
	"slices"
	"strings"
	"sync"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// Analysis is what is known of a statement that was made ready for DuckDB.
type Analysis struct {
	Outputs []uint32 // PostgreSQL's types of the outputs, 0 where one is not known
}

// scope is what names mean at a place in a statement.
type scope struct {
	outer *scope
	rels  []scoped
	ctes  map[string][]Column
	// system says that the SELECT names system columns (tableoid, ctid, …), so that its tables have them.
	system bool
	// part says that what is analyzed in it is a part of UNION and its kin, whose types come from all parts.
	part bool
}

// scoped is a relation in FROM.
type scoped struct {
	alias   string
	columns []Column
	open    bool // it has columns that are not known
	merged  bool // it is joined by USING: * shows some of its columns once
}

type analyzer struct {
	relation func(rv *pg_query.RangeVar) []Column // of a relation that is not PostgreSQL's; nil: not known
	depth    int
}

// maxViews bounds the views that stand in each other.
const maxViews = 64

// Mentions reports whether a statement reads the catalogs or has types of theirs, and so is to be analyzed.
func Mentions(n *pg_query.Node) bool {
	found := false
	parse.Walk(n, func(m proto.Message) bool {
		switch n := m.(type) {
		case *pg_query.RangeVar:
			found = found || System(n) != nil
		case *pg_query.TypeName:
			if t := castType(n); t != nil {
				found = found || catalogType(t.OID) || t.Schema != SchemaCatalog
			}
		case *pg_query.RangeFunction:
			if f := onlyCall(n); f != nil {
				_, name := functionName(f)
				found = found || tableFunctionNamed(name) != nil || Lookup("functions", name) != nil
			}
		case *pg_query.SQLValueFunction:
			found = found || n.Op >= pg_query.SQLValueFunctionOp_SVFOP_CURRENT_ROLE
		case *pg_query.FuncCall:
			_, name := functionName(n)
			found = found || name == "current_database" || FunctionNamed(name, len(n.Args), false) != nil || FunctionNamed(name, len(n.Args), true) != nil
		}
		return !found
	})
	return found
}

// catalogType reports whether a type is one that only catalogs have, which DuckDB does not know.
func catalogType(oid uint32) bool {
	switch oid {
	case oidName, oidChar, oidOID, oidXID, oidCID, oidXID8, oidInt2Vector, oidOIDVector, oidNodeTree, oidACLItem, oidCString, oidTID, oidAnyArray:
		return true
	}
	if e := arrayElements[oid]; e != 0 {
		return catalogType(e)
	}
	return registered(oid)
}

// System is the relation of pg_catalog or information_schema that a name means where no WITH query has it, nil where it means
// another. PostgreSQL looks unqualified names up in pg_catalog first.
func System(rv *pg_query.RangeVar) *Relation {
	switch rv.Schemaname {
	case "":
		return Lookup("pg_catalog", rv.Relname)
	case "pg_catalog", "information_schema":
		return Lookup(rv.Schemaname, rv.Relname)
	}
	return nil
}

// Analyze makes a statement ready for DuckDB, in place: system views are written out, functions that are rows become relations,
// casts to regclass and its kin calls of functions, and types that only catalogs have those that hold their values.
func Analyze(n *pg_query.Node, relation func(rv *pg_query.RangeVar) []Column) Analysis {
	a := &analyzer{relation: relation}
	nameOutputs(n)
	var columns []Column
	if sel := n.GetSelectStmt(); sel != nil {
		columns = a.selectStmt(sel, nil)
	} else {
		a.other(n, &scope{})
	}
	var out Analysis
	for _, c := range columns {
		out.Outputs = append(out.Outputs, c.Type)
	}
	return out
}

// nameOutputs gives outputs without a name the one that PostgreSQL gives them: what is made of their expressions would have another.
func nameOutputs(n *pg_query.Node) {
	top := n.GetSelectStmt()
	for top.GetLarg() != nil {
		top = top.Larg
	}
	parse.Walk(n, func(m proto.Message) bool {
		s, ok := m.(*pg_query.SelectStmt)
		if !ok {
			return true
		}
		for _, t := range s.TargetList {
			r := t.GetResTarget()
			if r == nil || r.Name != "" || r.Val.GetColumnRef() != nil || r.Val.GetAIndirection() != nil {
				continue
			}
			// Inside, nothing can refer to a column called ?column?, and two of them would clash in DuckDB.
			if name := parse.FigureColumnName(r.Val); name != "?column?" || s == top {
				r.Name = name
			}
		}
		return true
	})
}

// namesSystemColumns reports whether a system column is named in m.
func namesSystemColumns(m proto.Message) bool {
	found := false
	parse.Walk(m, func(m proto.Message) bool {
		if c, ok := m.(*pg_query.ColumnRef); ok && len(c.Fields) > 0 {
			found = found || isSystemColumn(c.Fields[len(c.Fields)-1].GetString_().GetSval())
		}
		return !found
	})
	return found
}

func isSystemColumn(name string) bool {
	return name == "ctid" || slices.ContainsFunc(systemColumns, func(c struct {
		name  string
		typ   uint32
		align string
	}) bool {
		return c.name == name
	})
}

// other analyzes a statement that is no SELECT: what it has of them, and expressions.
func (a *analyzer) other(m proto.Message, sc *scope) {
	parse.Walk(m, func(m proto.Message) bool {
		switch n := m.(type) {
		case *pg_query.SelectStmt:
			a.selectStmt(n, sc)
			return false
		case *pg_query.Node:
			if n.GetTypeCast() != nil {
				a.expr(n, sc)
				return false
			}
		}
		return true
	})
}

func (a *analyzer) with(w *pg_query.WithClause, sc *scope) {
	for _, q := range w.GetCtes() {
		cte := q.GetCommonTableExpr()
		named := func(columns []Column) []Column { return renamed(columns, cte.Aliascolnames) }
		sel := cte.Ctequery.GetSelectStmt()
		if sel == nil {
			a.other(cte.Ctequery, sc)
			sc.ctes[cte.Ctename] = []Column{}
			continue
		}
		if w.Recursive && sel.Larg != nil {
			// The part that does not read itself says the types.
			sc.ctes[cte.Ctename] = named(a.selectStmt(proto.Clone(sel.Larg).(*pg_query.SelectStmt), sc))
		}
		sc.ctes[cte.Ctename] = named(a.selectStmt(sel, sc))
	}
}

func renamed(columns []Column, names []*pg_query.Node) []Column {
	columns = slices.Clone(columns)
	for i, n := range names {
		if i < len(columns) {
			columns[i].Name = n.GetString_().GetSval()
		}
	}
	return columns
}

// selectStmt analyzes a SELECT and is its outputs.
func (a *analyzer) selectStmt(sel *pg_query.SelectStmt, outer *scope) []Column {
	sc := &scope{outer: outer, ctes: map[string][]Column{}, system: namesSystemColumns(sel)}
	a.with(sel.WithClause, sc)
	if sel.Op != pg_query.SetOperation_SETOP_NONE && sel.Larg != nil {
		part := &scope{outer: sc, part: true}
		l, r := a.selectStmt(sel.Larg, part), a.selectStmt(sel.Rarg, part)
		for i := range l {
			if (l[i].Type == 0 || l[i].Type == oidUnknown) && i < len(r) {
				l[i].Type = r[i].Type
			}
		}
		return l
	}
	if len(sel.ValuesLists) > 0 {
		var out []Column
		for _, list := range sel.ValuesLists {
			for i, n := range list.GetList().GetItems() {
				t := a.expr(n, sc)
				if i >= len(out) {
					out = append(out, Column{Name: "column" + string(rune('1'+i))})
				}
				if out[i].Type == 0 || out[i].Type == oidUnknown {
					out[i].Type = t
				}
			}
		}
		return out
	}
	for i := range sel.FromClause {
		sel.FromClause[i] = a.from(sel.FromClause[i], sc)
	}
	var out []Column
	var targets []*pg_query.Node
	for _, t := range sel.TargetList {
		r := t.GetResTarget()
		if columns, star := a.star(r, sc); star {
			out = append(out, columns...)
			if sc.system && !slices.ContainsFunc(columns, func(c Column) bool { return c.Name == "" }) && len(columns) > 0 {
				targets = append(targets, a.writtenOut(r, sc)...)
				continue
			}
			targets = append(targets, t)
			continue
		}
		if more := a.fields(r); more != nil { // (f(x)).*
			for _, m := range more {
				targets = append(targets, m)
				out = append(out, Column{Name: m.GetResTarget().Name, Type: a.expr(m.GetResTarget().Val, sc)})
			}
			continue
		}
		name := r.GetName()
		if f := r.GetVal().GetColumnRef().GetFields(); name == "" && len(f) > 0 {
			name = f[len(f)-1].GetString_().GetSval()
		}
		if name == "" {
			name = parse.FigureColumnName(r.GetVal())
		}
		typ := a.expr(r.GetVal(), sc)
		if typ == oidUnknown && r.Val.GetAConst().GetIsnull() && (outer == nil || !outer.part) {
			// The word NULL is text in PostgreSQL, and an integer in DuckDB.
			r.Val = &pg_query.Node{Node: &pg_query.Node_TypeCast{TypeCast: &pg_query.TypeCast{Arg: r.Val, TypeName: typeNode("text")}}}
			typ = oidText
		}
		out = append(out, Column{Name: name, Type: typ})
		targets = append(targets, t)
	}
	sel.TargetList = targets
	for _, n := range sel.GroupClause {
		groupByOutput(n, sel.TargetList, sc)
	}
	aliases := &scope{outer: sc, rels: []scoped{{columns: out}}} // names of outputs, in ORDER BY and GROUP BY
	for _, n := range []*pg_query.Node{sel.WhereClause, sel.HavingClause, sel.LimitCount, sel.LimitOffset} {
		a.expr(n, sc)
	}
	for _, l := range [][]*pg_query.Node{sel.GroupClause, sel.SortClause, sel.DistinctClause, sel.WindowClause} {
		for _, n := range l {
			a.expr(n, aliases)
		}
	}
	return out
}

// groupByOutput puts an output's expression where GROUP BY names it: DuckDB would take the name for that of a relation.
func groupByOutput(n *pg_query.Node, targets []*pg_query.Node, sc *scope) {
	f := n.GetColumnRef().GetFields()
	if len(f) != 1 {
		return
	}
	name := f[0].GetString_().GetSval()
	for _, r := range sc.rels {
		if r.open || slices.ContainsFunc(r.columns, func(c Column) bool { return c.Name == name }) {
			return
		}
	}
	for _, t := range targets {
		if r := t.GetResTarget(); r.GetName() == name && r.Val != nil {
			n.Node = proto.Clone(r.Val).(*pg_query.Node).Node
			return
		}
	}
}

// fields are the outputs that (f(x)).* stands for, where f is a function whose rows are known; nil for any other output.
func (a *analyzer) fields(r *pg_query.ResTarget) []*pg_query.Node {
	x := r.GetVal().GetAIndirection()
	if x == nil || len(x.Indirection) != 1 || x.Indirection[0].GetAStar() == nil {
		return nil
	}
	_, name := functionName(x.Arg.GetFuncCall())
	var out []*pg_query.Node
	for _, c := range systemTable[name] {
		field := proto.Clone(x).(*pg_query.A_Indirection)
		field.Indirection = []*pg_query.Node{pg_query.MakeStrNode(c.Name)}
		n := pg_query.MakeResTargetNodeWithVal(&pg_query.Node{Node: &pg_query.Node_AIndirection{AIndirection: field}}, 0)
		n.GetResTarget().Name = c.Name
		out = append(out, n)
	}
	return out
}

// star are the columns of an output that is * or alias.*; an unknown column among them has no name.
func (a *analyzer) star(r *pg_query.ResTarget, sc *scope) ([]Column, bool) {
	f := r.GetVal().GetColumnRef().GetFields()
	if len(f) == 0 || f[len(f)-1].GetAStar() == nil {
		return nil, false
	}
	var out []Column
	for _, rel := range sc.rels {
		if len(f) == 1 || rel.alias == f[len(f)-2].GetString_().GetSval() {
			if rel.open || rel.merged {
				return []Column{{}}, true
			}
			out = append(out, visibleColumns(rel)...)
		}
	}
	return out, true
}

func visibleColumns(rel scoped) []Column {
	var out []Column
	for _, c := range rel.columns {
		if !c.hidden {
			out = append(out, c)
		}
	}
	return out
}

// writtenOut are the outputs that a * stands for, by name.
func (a *analyzer) writtenOut(r *pg_query.ResTarget, sc *scope) []*pg_query.Node {
	f := r.GetVal().GetColumnRef().GetFields()
	var out []*pg_query.Node
	for _, rel := range sc.rels {
		if len(f) == 1 || rel.alias == f[len(f)-2].GetString_().GetSval() {
			for _, c := range visibleColumns(rel) {
				out = append(out, pg_query.MakeResTargetNodeWithVal(pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(rel.alias), pg_query.MakeStrNode(c.Name)}, 0), 0))
			}
		}
	}
	return out
}

// from analyzes an item of FROM, adds its relations to the scope, and is what stands in its place.
func (a *analyzer) from(n *pg_query.Node, sc *scope) *pg_query.Node {
	switch {
	case n.GetRangeVar() != nil:
		return a.rangeVar(n, n.GetRangeVar(), sc)
	case n.GetRangeSubselect() != nil:
		s := n.GetRangeSubselect()
		columns := a.selectStmt(s.Subquery.GetSelectStmt(), sc)
		sc.rels = append(sc.rels, scoped{alias: s.Alias.GetAliasname(), columns: renamed(columns, s.Alias.GetColnames()), open: slices.ContainsFunc(columns, func(c Column) bool { return c.Name == "" })})
	case n.GetJoinExpr() != nil:
		j := n.GetJoinExpr()
		from := len(sc.rels)
		j.Larg, j.Rarg = a.from(j.Larg, sc), a.from(j.Rarg, sc)
		a.expr(j.Quals, sc)
		if len(j.UsingClause) > 0 || j.IsNatural {
			for i := from; i < len(sc.rels); i++ {
				sc.rels[i].merged = true
			}
		}
		if j.Alias != nil {
			all := scoped{alias: j.Alias.Aliasname}
			for _, r := range sc.rels[from:] {
				all.columns, all.open = append(all.columns, r.columns...), all.open || r.open
			}
			sc.rels = append(sc.rels[:from], all)
		}
	case n.GetRangeFunction() != nil:
		return a.rangeFunction(n, n.GetRangeFunction(), sc)
	case n.GetRangeTableSample() != nil:
		t := n.GetRangeTableSample()
		t.Relation = a.from(t.Relation, sc)
	}
	return n
}

func (sc *scope) cte(name string) ([]Column, bool) {
	for ; sc != nil; sc = sc.outer {
		if c, ok := sc.ctes[name]; ok {
			return c, true
		}
	}
	return nil, false
}

func (a *analyzer) rangeVar(n *pg_query.Node, rv *pg_query.RangeVar, sc *scope) *pg_query.Node {
	rel := scoped{alias: rv.Relname}
	if rv.Alias != nil {
		rel.alias = rv.Alias.Aliasname
	}
	if rv.Schemaname == "" {
		if columns, ok := sc.cte(rv.Relname); ok {
			rel.columns, rel.open = columns, len(columns) == 0
			sc.rels = append(sc.rels, rel)
			return n
		}
	}
	r := System(rv)
	if r == nil {
		rel.columns = a.relation(rv)
		rel.open = rel.columns == nil
		rel.columns = renamed(rel.columns, rv.Alias.GetColnames())
		sc.rels = append(sc.rels, rel)
		return n
	}
	rel.columns = r.Columns
	if r.View != "" && a.depth < maxViews {
		query := viewQuery(r)
		a.depth++
		outputs := a.selectStmt(query.GetSelectStmt(), nil)
		a.depth--
		rel.columns = slices.Clone(r.Columns)
		for i := range rel.columns { // regproc and its kin of a view are the object ids that its query gives
			if i < len(outputs) && registered(rel.columns[i].Type) && !registered(outputs[i].Type) {
				rel.columns[i].Type = outputs[i].Type
			}
			rel.columns[i].Type = withModifier(rel.columns[i].Type)
		}
		alias := &pg_query.Alias{Aliasname: rel.alias}
		given := rv.Alias.GetColnames()
		for i, c := range r.Columns {
			if i < len(given) {
				alias.Colnames = append(alias.Colnames, given[i])
			} else {
				alias.Colnames = append(alias.Colnames, pg_query.MakeStrNode(c.Name))
			}
		}
		rel.columns = renamed(rel.columns, given)
		sc.rels = append(sc.rels, rel)
		return &pg_query.Node{Node: &pg_query.Node_RangeSubselect{RangeSubselect: &pg_query.RangeSubselect{Subquery: query, Alias: alias}}}
	}
	rel.columns = slices.Clone(r.Columns)
	for i := range rel.columns {
		rel.columns[i].Type = withModifier(rel.columns[i].Type)
	}
	rel.columns = renamed(rel.columns, rv.Alias.GetColnames())
	if sc.system {
		for _, c := range systemColumns {
			rel.columns = append(rel.columns, Column{Name: c.name, Type: c.typ, hidden: true})
		}
		if rv.Alias == nil {
			rv.Alias = &pg_query.Alias{Aliasname: rv.Relname}
		}
		rv.Schemaname, rv.Relname = FunctionSchema, r.Schema+"."+r.Name
	}
	sc.rels = append(sc.rels, rel)
	return n
}

// viewQueries are the parsed definitions of system views.
var viewQueries sync.Map

func viewQuery(r *Relation) *pg_query.Node {
	key := r.Schema + "." + r.Name
	parsed, ok := viewQueries.Load(key)
	if !ok {
		p, err := pg_query.Parse(r.View)
		if err != nil {
			panic("pgcatalog: " + key + ": " + err.Error()) // a test reads all of them
		}
		// Deparse gives joins within joins parentheses only where an alias says so; the text of PostgreSQL's has them.
		parsed, _ = viewQueries.LoadOrStore(key, p.Stmts[0].Stmt)
	}
	return proto.Clone(parsed.(*pg_query.Node)).(*pg_query.Node)
}

// baseType is what a domain is over, and any other type itself.
func baseType(oid uint32) uint32 {
	if t := builtinTypes()[oid]; t != nil && t.Kind == "d" {
		return t.Base
	}
	return oid
}

// withModifier is what a domain is over unless that has a modifier, which only the domain says.
func withModifier(oid uint32) uint32 {
	if base, mod := BaseType(oid); mod < 0 {
		return base
	}
	return oid
}

// BaseType is what a domain is over and its modifier there, −1 for none; any other type is itself.
func BaseType(oid uint32) (base uint32, mod int32) {
	if t := builtinTypes()[oid]; t != nil && t.Kind == "d" {
		return t.Base, t.BaseMod
	}
	return oid, -1
}

// onlyCall is the call of a function in FROM, nil where that is more than one.
func onlyCall(f *pg_query.RangeFunction) *pg_query.FuncCall {
	if len(f.Functions) != 1 {
		return nil
	}
	l := f.Functions[0].GetList().GetItems()
	if len(l) == 0 {
		return nil
	}
	return l[0].GetFuncCall()
}

// functionName is the schema and name of a call.
func functionName(f *pg_query.FuncCall) (schema, name string) {
	w := f.GetFuncname()
	if len(w) == 0 {
		return "", ""
	}
	name = w[len(w)-1].GetString_().GetSval()
	if len(w) > 1 {
		schema = w[len(w)-2].GetString_().GetSval()
	}
	return schema, name
}

// systemTable is the columns of functions in FROM that are SQL.
var systemTable = map[string][]Column{
	"pg_options_to_table": {{Name: "option_name", Type: oidText}, {Name: "option_value", Type: oidText}},
	"aclexplode":          {{Name: "grantor", Type: oidOID}, {Name: "grantee", Type: oidOID}, {Name: "privilege_type", Type: oidText}, {Name: "is_grantable", Type: oidBool}},
	"_pg_expandarray":     {{Name: "x"}, {Name: "n", Type: oidInt4}},
}

func (a *analyzer) rangeFunction(n *pg_query.Node, f *pg_query.RangeFunction, sc *scope) *pg_query.Node {
	call := onlyCall(f)
	if call == nil {
		for _, l := range f.Functions {
			for _, x := range l.GetList().GetItems() {
				if x != nil {
					a.expr(x, sc)
				}
			}
		}
		sc.rels = append(sc.rels, scoped{alias: f.Alias.GetAliasname(), open: true})
		return n
	}
	schema, name := functionName(call)
	alias := name
	if f.Alias != nil {
		alias = f.Alias.Aliasname
	}
	var args []uint32
	for _, x := range call.Args {
		args = append(args, a.expr(x, sc))
	}
	first := uint32(0)
	if len(args) > 0 {
		first = args[0]
	}
	rel := scoped{alias: alias}
	relation := ""
	switch table := tableFunctionNamed(name); {
	case schema != "" && schema != "pg_catalog" && schema != "information_schema":
		rel.open = true
	case Lookup("functions", name) != nil:
		rel.columns, relation = Lookup("functions", name).Columns, "functions."+name
	case table != nil:
		rel.columns, relation = table.columns, functionPrefix+name
	case systemTable[name] != nil:
		rel.columns = systemTable[name]
		if name == "_pg_expandarray" {
			rel.columns = []Column{{Name: "x", Type: a.element(first)}, rel.columns[1]}
		}
	case name == "unnest":
		rel.columns = []Column{{Name: alias, Type: a.element(first)}}
	case name == "generate_subscripts" && (first == oidInt2Vector || first == oidOIDVector) && !f.Ordinality: // they count from 0
		column := alias
		if names := f.Alias.GetColnames(); len(names) > 0 {
			column = names[0].GetString_().GetSval()
		}
		rel.columns = []Column{{Name: column, Type: oidInt4}}
		sc.rels = append(sc.rels, rel)
		return asRow(alias, column, &pg_query.Node{Node: &pg_query.Node_AExpr{AExpr: &pg_query.A_Expr{Kind: pg_query.A_Expr_Kind_AEXPR_OP, Name: []*pg_query.Node{pg_query.MakeStrNode("-")},
			Lexpr: f.Functions[0].GetList().Items[0], Rexpr: pg_query.MakeAConstIntNode(1, 0)}}})
	case len(f.Coldeflist) > 0:
		for _, d := range f.Coldeflist {
			c := Column{Name: d.GetColumnDef().GetColname()}
			if t := castType(d.GetColumnDef().GetTypeName()); t != nil {
				c.Type = t.OID
			}
			rel.columns = append(rel.columns, c)
		}
	case isScalar(call) && !f.Ordinality && !f.IsRowsfrom && schema != "information_schema":
		// A function of one value is a relation of one row; DuckDB knows only those that are made for FROM.
		column := alias
		if names := f.Alias.GetColnames(); len(names) > 0 {
			column = names[0].GetString_().GetSval()
		}
		rel.columns = []Column{{Name: column, Type: a.callType(call, args)}}
		sc.rels = append(sc.rels, rel)
		return asRow(alias, column, f.Functions[0].GetList().Items[0])
	default:
		rel.columns = []Column{{Name: alias, Type: a.callType(call, args)}}
		for _, p := range procs()[name] {
			if len(p.OutTypes) > 0 {
				rel.columns, rel.open = nil, true
			}
		}
	}
	if f.Ordinality {
		rel.columns = append(slices.Clone(rel.columns), Column{Name: "ordinality", Type: oidInt8})
	}
	rel.columns = renamed(rel.columns, f.Alias.GetColnames())
	sc.rels = append(sc.rels, rel)
	if relation == "" {
		return n
	}
	out := f.Alias
	if out == nil {
		out = &pg_query.Alias{Aliasname: alias}
	}
	return &pg_query.Node{Node: &pg_query.Node_RangeVar{RangeVar: &pg_query.RangeVar{Schemaname: FunctionSchema, Relname: relation, Inh: true, Relpersistence: "p", Alias: out}}}
}

// asRow is a subquery of one output in place of a function in FROM.
func asRow(alias, column string, value *pg_query.Node) *pg_query.Node {
	target := pg_query.MakeResTargetNodeWithVal(value, 0)
	target.GetResTarget().Name = column
	sel := &pg_query.SelectStmt{TargetList: []*pg_query.Node{target}, LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}
	return &pg_query.Node{Node: &pg_query.Node_RangeSubselect{RangeSubselect: &pg_query.RangeSubselect{Lateral: true,
		Subquery: &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel}}, Alias: &pg_query.Alias{Aliasname: alias}}}}
}

// isScalar reports whether a call is of functions of PostgreSQL's that give one value.
func isScalar(f *pg_query.FuncCall) bool {
	_, name := functionName(f)
	found := procs()[name]
	for _, p := range found {
		if p.Set || len(p.OutTypes) > 0 {
			return false
		}
	}
	return len(found) > 0
}

// FunctionSchema is the schema of relations whose names are those of Snapshot.Rows: functions in FROM, and tables with their system
// columns. Nobody can name it: PostgreSQL cuts names at 63 bytes.
var FunctionSchema = "__functions_" + strings.Repeat("_", 60)
