package engine

import (
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pointintime"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// rowNumberColumn numbers the rows of the left side, from 0; it joins the features' values to them.
const rowNumberColumn = "__rn"

// asofPlan is one SELECT whose FROM is a chain of ASOF joins to features:
//
//	FROM left l ASOF JOIN f1 ON … ASOF JOIN f2 ON …
//
// Execution drains left into a temporary table with numbered rows, computes each join's values by the point-in-time merge
// into a temporary table of (row number, values), and runs the statement with both in place of the chain.
type asofPlan struct {
	sel       *pg_query.SelectStmt // the SELECT, its FROM already rewritten to join the placeholders
	left      *pg_query.Node       // what stands left of the chain
	leftAlias string
	columns   []schema.Column // of the left side
	marks     []proto.Message // joins, SELECTs and relations whose clauses the plan takes
	joins     []asofFeatures
}

// asofFeatures is one join of the chain.
type asofFeatures struct {
	alias     string
	keys      []*pg_query.Node // expressions over the left side, by key of the entity
	keyTypes  []vector.Type
	keyNames  []string
	view      *schema.FeatureView // its bound columns are the keys; nil: an entity or an ad hoc window
	time      *pg_query.Node      // expression over the left side; nil: its event time
	inclusive bool
	asOf      *pg_query.Node
	outputs   []asofOutput
	adHoc     *boundAggregates // a window that no feature declares; nil: outputs of features
	read      *readPlan        // of the features' outputs that the statement names
	bare      bool             // the statement names neither its keys nor its time, but in the join's own condition
	quals     *pg_query.Node   // the join's condition; nil: USING
	position  int              // bytes, for errors
}

type asofOutput struct {
	name    string
	typ     vector.Type
	want    *wantedOutput      // of a feature
	partial int                // of adHoc
	window  pointintime.Window // of adHoc
}

// planAsof finds the SELECT with a chain of ASOF joins to features in st and rewrites it; nil where there is none.
func (s *Session) planAsof(b *binder, st *parse.SQL) (*asofPlan, error) {
	var plan *asofPlan
	var err error
	parse.Walk(st.Node, func(m proto.Message) bool {
		sel, ok := m.(*pg_query.SelectStmt)
		if !ok || err != nil {
			return err == nil
		}
		for i, f := range sel.FromClause {
			p, e := s.planChain(b, st, sel, f)
			if e != nil {
				err = e
				return false
			}
			if p == nil {
				continue
			}
			if plan != nil {
				err = hint(fail(codeUnsupported, "a statement can hold one chain of ASOF joins to features"), "Join further features in the same FROM, or use a temporary table.")
				return false
			}
			plan = p
			sel.FromClause[i] = p.from()
		}
		return true
	})
	return plan, err
}

// planChain makes a plan of a FROM item that is a left-deep chain of ASOF joins to features; nil where it is none.
func (s *Session) planChain(b *binder, st *parse.SQL, sel *pg_query.SelectStmt, from *pg_query.Node) (*asofPlan, error) {
	p := &asofPlan{sel: sel, left: from}
	for {
		j := p.left.GetJoinExpr()
		if j == nil {
			break
		}
		mark := st.Clauses.AsofOf(j)
		if mark == nil {
			break
		}
		f, err := s.asofRight(b, st, j.Rarg)
		if err != nil {
			return nil, err
		}
		if f == nil {
			break
		}
		f.position, f.quals = mark.Position, j.Quals
		if mark.HasTolerance {
			return nil, at(hint(fail(codeUnsupported, "TOLERANCE is for ASOF joins of ordinary relations; a feature has its window"), "Leave it out."), st.Text, mark.Position)
		}
		if err := f.condition(st, j, mark); err != nil {
			return nil, err
		}
		p.joins = append(p.joins, *f)
		p.marks = append(p.marks, j, j.Rarg.GetRangeVar(), j.Rarg.GetRangeSubselect().GetSubquery().GetSelectStmt())
		p.left = j.Larg
	}
	if len(p.joins) == 0 {
		return nil, nil
	}
	slices.Reverse(p.joins)
	switch {
	case p.left.GetRangeVar() != nil:
		rv := p.left.GetRangeVar()
		if p.leftAlias = rv.Relname; rv.Alias != nil {
			p.leftAlias = rv.Alias.Aliasname
		}
	case p.left.GetRangeSubselect().GetAlias() != nil:
		p.leftAlias = p.left.GetRangeSubselect().Alias.Aliasname
	case p.left.GetRangeFunction().GetAlias() != nil:
		p.leftAlias = p.left.GetRangeFunction().Alias.Aliasname
	default:
		return nil, at(hint(fail(codeUnsupported, "the left side of ASOF JOIN must be one relation"), "Put it into a subquery with an alias: FROM (SELECT … FROM a JOIN b …) l ASOF JOIN …"), st.Text, p.joins[0].position)
	}
	for i := range p.joins {
		if err := p.joins[i].choose(b, st, p); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// asofRight is the right side of an ASOF join if it is an entity, a feature or a SELECT with a window; nil otherwise.
func (s *Session) asofRight(b *binder, st *parse.SQL, n *pg_query.Node) (*asofFeatures, error) {
	if rv := n.GetRangeVar(); rv != nil && rv.Schemaname == "" {
		ref := refOf(b.cat, rv.Relname)
		if ref == nil {
			return nil, nil
		}
		ent := ref.entity
		f := &asofFeatures{alias: rv.Relname, keyNames: make([]string, len(ent.Keys)), view: ref.view}
		if rv.Alias != nil {
			f.alias = rv.Alias.Aliasname
		}
		for i, k := range ent.Keys {
			f.keyNames[i] = k.Name
			f.keyTypes = append(f.keyTypes, k.Type)
		}
		for i, n := range rv.Alias.GetColnames() {
			if i >= len(f.keyNames) {
				return nil, at(hint(fail(codeUnsupported, "an alias of %q renames its keys only", rv.Relname), "ASOF JOIN %s AS %s(%s)", rv.Relname, f.alias, columnNames(ent.Keys)), st.Text, int(rv.Location))
			}
			f.keyNames[i] = n.GetString_().GetSval()
		}
		if t := st.Clauses.SystemTimeOf(rv); t != nil {
			f.asOf = t.Expr
		}
		for _, o := range ref.outputs(b.cat) {
			f.outputs = append(f.outputs, asofOutput{name: o.output.Name, typ: o.output.Type, want: &o})
		}
		return f, nil
	}
	sub := n.GetRangeSubselect()
	if sub == nil {
		return nil, nil
	}
	w := st.Clauses.WindowOf(sub.Subquery.GetSelectStmt())
	if w == nil {
		return nil, nil
	}
	body, err := parse.BodyOf(st, sub.Subquery.GetSelectStmt())
	if err != nil {
		return nil, asError(err)
	}
	bound, err := s.bindAggregates(b.ctx, b.cat, st.Text, body, functions.Options{})
	if err != nil {
		return nil, err
	}
	f := &asofFeatures{adHoc: bound, keyNames: bound.keyNames, alias: sub.Alias.GetAliasname()}
	for _, k := range bound.keys {
		f.keyTypes = append(f.keyTypes, k.Type)
	}
	for _, o := range bound.outputs {
		for _, win := range w.Windows {
			name := o.name
			if len(w.Windows) > 1 {
				name += "_" + win.Spelling
			}
			f.outputs = append(f.outputs, asofOutput{name: name, typ: o.typ, partial: o.partial,
				window: pointintime.Window{Length: win.Micros, Lifetime: win.Lifetime, Following: win.Following, Start: event.Forever}})
		}
	}
	return f, nil
}

// condition reads ON, USING or MATCH_CONDITION of a join.
func (f *asofFeatures) condition(st *parse.SQL, j *pg_query.JoinExpr, mark *parse.AsofJoin) error {
	f.keys = make([]*pg_query.Node, len(f.keyNames))
	if len(j.UsingClause) > 0 {
		f.inclusive = true
		for _, u := range j.UsingClause {
			name := u.GetString_().GetSval()
			col := pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(name)}, 0)
			if k := slices.Index(f.keyNames, name); k >= 0 {
				f.keys[k] = col
			} else {
				f.time = col
			}
		}
	}
	terms := conjuncts(j.Quals)
	if mark.Match != nil {
		terms = append(terms, mark.Match)
	}
	for _, t := range terms {
		if c := t.GetAConst(); c.GetBoolval().GetBoolval() {
			continue
		}
		e := t.GetAExpr()
		if e == nil {
			return f.badTerm(st, t)
		}
		left, right, op := e.Lexpr, e.Rexpr, operator(e)
		if name, ok := f.own(left); ok && !f.is(right) {
			left, right = right, left
			op = map[string]string{"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]
			_ = name
		}
		name, ok := f.own(right)
		if !ok {
			return f.badTerm(st, t)
		}
		k := slices.Index(f.keyNames, name)
		switch {
		case op == "=" && k >= 0:
			f.keys[k] = left
		case name == eventTimeName && (op == ">" || op == ">="):
			f.time, f.inclusive = left, op == ">="
		default:
			return f.badTerm(st, t)
		}
	}
	for i, k := range f.keys {
		if k == nil {
			what := "key"
			if f.view != nil && i >= len(f.view.Keys) {
				what = "request column"
			}
			return at(hint(fail(codeDefinition, "ASOF JOIN lacks an equality for %s %q of %s", what, f.keyNames[i], f.alias), "ON %s.%s = l.%s AND l.ts > %s.ts", f.alias, f.keyNames[i], f.keyNames[i], f.alias), st.Text, mark.Position)
		}
	}
	return nil
}

// own is the name of a column of f that n is.
func (f *asofFeatures) own(n *pg_query.Node) (string, bool) {
	ref := n.GetColumnRef()
	if ref == nil || len(ref.Fields) != 2 || ref.Fields[0].GetString_().GetSval() != f.alias {
		return "", false
	}
	return ref.Fields[1].GetString_().GetSval(), true
}

func (f *asofFeatures) is(n *pg_query.Node) bool { _, ok := f.own(n); return ok }

func (f *asofFeatures) badTerm(st *parse.SQL, n *pg_query.Node) error {
	return at(hint(fail(codeUnsupported, "an ASOF JOIN to features takes equalities with their keys and one comparison with their time"),
		"ON %s.%s = l.%s AND l.ts > %s.ts", f.alias, f.keyNames[0], f.keyNames[0], f.alias), st.Text, nodeLocation(n))
}

// choose keeps the outputs that the statement names, and checks that all of them exist.
func (f *asofFeatures) choose(b *binder, st *parse.SQL, p *asofPlan) error {
	named := map[string]bool{}
	all := false
	var err error
	own := map[*pg_query.ColumnRef]bool{} // in the condition, which the plan takes: its keys and its time are read from the left side
	if f.quals != nil {
		parse.Walk(f.quals, func(m proto.Message) bool {
			if ref, ok := m.(*pg_query.ColumnRef); ok {
				own[ref] = true
			}
			return true
		})
	}
	parse.Walk(st.Node, func(m proto.Message) bool {
		ref, ok := m.(*pg_query.ColumnRef)
		if !ok || err != nil {
			return true
		}
		switch fields := ref.Fields; {
		case len(fields) == 2 && fields[0].GetString_().GetSval() == f.alias:
			if fields[1].GetAStar() != nil {
				all = true
				return true
			}
			name := fields[1].GetString_().GetSval()
			named[name] = named[name] || !own[ref]
			if name != eventTimeName && !slices.Contains(f.keyNames, name) && !slices.ContainsFunc(f.outputs, func(o asofOutput) bool { return o.name == name }) {
				err = at(hint(fail(codeUndefinedColumn, "column %s.%s does not exist", f.alias, name), "Columns of %s: %s.", f.alias, strings.Join(f.columnNames(), ", ")), st.Text, int(ref.Location))
			}
		case len(fields) == 1 && fields[0].GetAStar() != nil:
			all = true
		case len(fields) == 1:
			name := fields[0].GetString_().GetSval()
			named[name] = named[name] || !own[ref]
		}
		return true
	})
	if err != nil {
		return err
	}
	f.bare = f.view == nil && !all && !named[f.alias] && !named[eventTimeName] && !slices.ContainsFunc(f.keyNames, func(k string) bool { return named[k] })
	if !all {
		f.outputs = slices.DeleteFunc(f.outputs, func(o asofOutput) bool { return !named[o.name] })
	}
	if f.adHoc == nil {
		var want []wantedOutput
		for _, o := range f.outputs {
			want = append(want, *o.want)
		}
		f.read = newReadPlan(b.cat, want)
		return f.read.check(b.cat)
	}
	return nil
}

// computed are what the merge computes: the outputs, or the base values that a view's outputs are derived from.
func (f *asofFeatures) computed() []asofOutput {
	if f.read == nil || f.read.view == nil {
		return f.outputs
	}
	var out []asofOutput
	for _, p := range f.read.view.parts {
		for _, b := range p.base {
			out = append(out, asofOutput{name: schema.ViewValue(b), typ: f.view.Base[b].Type})
		}
	}
	return out
}

func (f *asofFeatures) columnNames() []string {
	out := slices.Clone(f.keyNames)
	for _, o := range f.outputs {
		out = append(out, o.name)
	}
	return out
}

// columns are what the placeholder has beside the row number.
func (f *asofFeatures) columns() []schema.Column {
	var out []schema.Column
	for i, k := range f.keyNames {
		out = append(out, schema.Column{Name: k, Type: f.keyTypes[i]})
	}
	out = append(out, schema.Column{Name: eventTimeName, Type: vector.T(vector.TimestampTZ)})
	for _, o := range f.outputs {
		out = append(out, schema.Column{Name: o.name, Type: o.typ})
	}
	return out
}

// from is the FROM item that stands for the chain: the placeholders joined by row number.
func (p *asofPlan) from() *pg_query.Node {
	n := placeholder(leftPlaceholder, p.leftAlias)
	for i := range p.joins {
		f := &p.joins[i]
		column := func(alias string) *pg_query.Node {
			return pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(alias), pg_query.MakeStrNode(rowNumberColumn)}, 0)
		}
		n = &pg_query.Node{Node: &pg_query.Node_JoinExpr{JoinExpr: &pg_query.JoinExpr{
			Jointype: pg_query.JoinType_JOIN_INNER, Larg: n, Rarg: placeholder(joinPlaceholder(i), f.alias),
			Quals: pg_query.MakeAExprNode(pg_query.A_Expr_Kind_AEXPR_OP, []*pg_query.Node{pg_query.MakeStrNode("=")}, column(p.leftAlias), column(f.alias), 0),
		}}}
	}
	return n
}

// leftPlaceholder stands for the left side, joinPlaceholder for join i of the chain.
const leftPlaceholder = "__asof_left"

func joinPlaceholder(i int) string { return fmt.Sprintf("__asof_%d", i) }

func placeholder(name, alias string) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_RangeVar{RangeVar: &pg_query.RangeVar{Relname: name, Inh: true, Relpersistence: "p", Alias: &pg_query.Alias{Aliasname: alias}}}}
}

// expandStars replaces l.*, f.* and * of the plan's own SELECT by names, so that the row numbers do not show.
func (p *asofPlan) expandStars(left []schema.Column) {
	cols := func(alias string, cs []schema.Column, skip ...string) []*pg_query.Node {
		var out []*pg_query.Node
		for _, c := range cs {
			if slices.Contains(skip, c.Name) {
				continue
			}
			ref := pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(alias), pg_query.MakeStrNode(c.Name)}, 0)
			out = append(out, pg_query.MakeResTargetNodeWithVal(ref, 0))
		}
		return out
	}
	var list []*pg_query.Node
	for _, t := range p.sel.TargetList {
		f := t.GetResTarget().GetVal().GetColumnRef().GetFields()
		switch {
		case len(f) == 0 || f[len(f)-1].GetAStar() == nil || len(f) > 2:
			list = append(list, t)
		case len(f) == 1:
			list = append(list, cols(p.leftAlias, left)...)
			for i := range p.joins {
				list = append(list, cols(p.joins[i].alias, p.joins[i].outputColumns())...)
			}
		case f[0].GetString_().GetSval() == p.leftAlias:
			list = append(list, cols(p.leftAlias, left)...)
		default:
			i := slices.IndexFunc(p.joins, func(j asofFeatures) bool { return j.alias == f[0].GetString_().GetSval() })
			if i < 0 {
				list = append(list, t)
				continue
			}
			list = append(list, cols(p.joins[i].alias, p.joins[i].columns(), eventTimeName)...)
		}
	}
	p.sel.TargetList = list
}

// outputColumns are the columns that a bare * shows of f: the keys and the time are the left side's already.
func (f *asofFeatures) outputColumns() []schema.Column {
	return f.columns()[len(f.keyNames)+1:]
}
