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

// asofPlan is a chain of ASOF joins to features in a FROM:
//
//	FROM left l ASOF JOIN f1 ON … ASOF JOIN f2 ON …
//
// Execution drains left into a temporary table with numbered rows, computes each join's values by the point-in-time merge
// into a temporary table of (row number, values), and the statement runs with both in place of the chain.
//
// A left side that is one relation is drained as it is. Any other (joins, WITH queries, parameters in a key) is drained as
// one sub-SELECT of all its relations' columns, keys and times, and its relations are cut out of that again.
type asofPlan struct {
	number    int            // among the statement's chains
	left      *pg_query.Node // what stands left of the chain
	leftAlias string
	parts     []asofPart      // the relations of a left side that is more than one
	columns   []schema.Column // of the left side
	typed     *typedQuery     // the left side's; nil: it has DuckDB's meaning
	joins     []asofFeatures
}

// asofPart is a relation of the left side: its columns, by their names in the sub-SELECT.
type asofPart struct {
	alias   string
	columns []schema.Column
	staged  []string
}

// asofFeatures is one join of the chain.
type asofFeatures struct {
	alias     string
	keys      []*pg_query.Node // expressions over the left side, by key of the entity
	keyTypes  []vector.Type
	keyNames  []string
	view      *schema.FeatureView // its bound columns are the keys; nil: an entity or an ad hoc window
	time      *pg_query.Node      // expression over the left side; nil: its event time
	keySQL    []string            // keys, and time, for DuckDB
	timeSQL   string
	inclusive bool
	asOf      *pg_query.Node // FOR SYSTEM_TIME AS OF; nil: the newest position
	each      bool           // it is an expression over the left side: a position a row
	asOfSQL   string         // it then, for DuckDB
	outputs   []asofOutput
	adHoc     *boundAggregates // a window that no feature declares; nil: outputs of features
	read      *readPlan        // of the features' outputs that the statement names
	bare      bool             // the statement names neither its keys nor its time
	tolerance int64            // microseconds; 0: none
	shown     map[string]bool  // which columns the statement names with its alias
	using     []string         // columns of USING
	within    []parse.Join     // in the body of adHoc
	position  int              // bytes, for errors
}

type asofOutput struct {
	name    string
	typ     vector.Type
	want    *wantedOutput      // of a feature
	partial int                // of adHoc
	window  pointintime.Window // of adHoc
}

// chain plans the chain of ASOF joins to features that ends with the join n; nil where n is none.
func (p *fromPlanner) chain(at *selectState, n *pg_query.Node) (*pg_query.Node, error) {
	plan := &asofPlan{left: n}
	for j := n.GetJoinExpr(); j != nil; j = plan.left.GetJoinExpr() {
		mark := p.st.Clauses.AsofOf(j)
		if mark == nil {
			break
		}
		f, err := p.s.asofRight(p.b, p.st, at.scope, j.Rarg)
		if err != nil {
			return nil, err
		}
		if f == nil {
			break
		}
		f.position = mark.Position
		f.each = !oneTime(f.asOf)
		p.b.foundTime(f.asOf)
		if err := f.condition(p.st, j, mark); err != nil {
			return nil, err
		}
		if err := f.tolerate(p.st, mark); err != nil {
			return nil, err
		}
		p.q.take(j, j.Rarg.GetRangeVar(), j.Rarg.GetRangeSubselect().GetSubquery().GetSelectStmt())
		for _, w := range f.within {
			p.q.take(w.Node)
		}
		j.Quals = nil // what it names is no reading of f's columns
		plan.joins = append(plan.joins, *f)
		plan.left = j.Larg
	}
	if len(plan.joins) == 0 {
		return nil, nil
	}
	slices.Reverse(plan.joins)
	for i := range plan.joins {
		if err := plan.joins[i].choose(p.b, p.st, at.sel); err != nil {
			return nil, err
		}
	}
	var err error
	if plan.left, err = p.item(at, plan.left); err != nil {
		return nil, err
	}
	if err := p.bindEntities(at); err != nil {
		return nil, err
	}
	plan.number = len(p.q.steps)
	from := []*pg_query.Node{plan.left}
	if plan.single(at.scope) {
		plan.leftAlias = leaves(plan.left)[0].alias
		if err := plan.describe(p.b); err != nil {
			return nil, err
		}
	}
	merged, err := p.mergedIn(at, from, plan.left)
	if err != nil {
		return nil, err
	}
	var shown []shownColumn
	if plan.leftAlias != "" {
		for _, c := range plan.columns {
			shown = append(shown, shownColumn{c.Name, columnRef(plan.leftAlias, c.Name, 0)})
		}
	} else if shown, err = p.shows(at, from, plan.left); err != nil {
		return nil, err
	}
	at.merged = append(at.merged, merged...)
	for i := range plan.joins {
		for _, name := range plan.joins[i].using {
			if k := slices.IndexFunc(shown, func(c shownColumn) bool { return c.name == name }); k >= 0 {
				at.merged = append(at.merged, shown[k])
			}
		}
	}
	if plan.leftAlias == "" {
		if err := p.wrapLeft(at, plan, shown); err != nil {
			return nil, err
		}
		if err := plan.describe(p.b); err != nil {
			return nil, err
		}
	}
	for i := range plan.joins {
		for _, o := range plan.joins[i].outputs {
			shown = append(shown, shownColumn{o.name, columnRef(plan.joins[i].alias, o.name, 0)})
		}
	}
	p.q.steps = append(p.q.steps, planStep{asof: plan})
	out := plan.from()
	p.shown[out] = shown
	for i, l := range leaves(out) { // alias.* shows keys and outputs, without the time
		if i -= max(1, len(plan.parts)); i >= 0 {
			f := &plan.joins[i]
			for _, c := range f.columns() {
				if c.Name != eventTimeName {
					p.shown[l.node] = append(p.shown[l.node], shownColumn{c.Name, columnRef(f.alias, c.Name, 0)})
				}
			}
		}
	}
	at.replaced = true
	return out, nil
}

// single reports whether the left side is one relation that can be drained as it is.
func (p *asofPlan) single(sc scope) bool {
	if p.left.GetJoinExpr() != nil || p.left.GetRangeTableSample() != nil || leaves(p.left)[0].alias == "" || sc.reads(p.left) {
		return false
	}
	for i := range p.joins {
		f := &p.joins[i]
		for _, e := range append([]*pg_query.Node{f.time}, f.keys...) {
			if hasParam(e) || f.each && hasParam(f.asOf) {
				return false
			}
		}
	}
	return true
}

func hasParam(n *pg_query.Node) bool {
	found := false
	parse.Walk(n, func(m proto.Message) bool {
		_, is := m.(*pg_query.ParamRef)
		found = found || is
		return !found
	})
	return found
}

// wrapLeft makes the left side one sub-SELECT: every column of its relations, and the keys and times of the joins.
func (p *fromPlanner) wrapLeft(in *selectState, plan *asofPlan, shown []shownColumn) error {
	plan.leftAlias = fmt.Sprintf("__left_%d", plan.number)
	var targets []*pg_query.Node
	add := func(name string, e *pg_query.Node) {
		t := pg_query.MakeResTargetNodeWithVal(e, 0)
		t.GetResTarget().Name = name
		targets = append(targets, t)
	}
	from := []*pg_query.Node{plan.left}
	for i, l := range leaves(plan.left) {
		if strings.HasPrefix(l.alias, filterAlias) {
			continue
		}
		if l.alias == "" {
			return hint(fail("42601", "a sub-SELECT in FROM must have an alias"), "FROM (SELECT …) AS l")
		}
		cols, err := p.columnsOf(in.scope, from, l.alias)
		if err != nil {
			return err
		}
		part := asofPart{alias: l.alias, columns: cols}
		for j, c := range cols {
			part.staged = append(part.staged, fmt.Sprintf("c%d_%d", i, j))
			add(part.staged[j], columnRef(l.alias, c.Name, 0))
		}
		plan.parts = append(plan.parts, part)
	}
	for i := range plan.joins {
		f := &plan.joins[i]
		if f.time == nil {
			times := slices.DeleteFunc(slices.Clone(shown), func(c shownColumn) bool { return c.name != eventTimeName })
			if len(times) != 1 {
				return at(hint(fail(codeDefinition, "ASOF JOIN says no time, and the left side has %d columns %s", len(times), eventTimeName), "AND l.<time> > %s.ts", f.alias), p.st.Text, f.position)
			}
			f.time = times[0].expr
		}
		move := func(name string, e *pg_query.Node, t vector.Type) (*pg_query.Node, error) {
			place := max(0, nodeLocation(e))
			e, err := likeKey(e, t)
			add(name, e)
			return columnRef(plan.leftAlias, name, place), err
		}
		var err error
		for k := range f.keys {
			if f.keys[k], err = move(fmt.Sprintf("k%d_%d", i, k), f.keys[k], f.keyTypes[k]); err != nil {
				return err
			}
		}
		if f.time, err = move(fmt.Sprintf("t%d", i), f.time, vector.T(vector.TimestampTZ)); err != nil {
			return err
		}
		if f.each {
			if f.asOf, err = move(fmt.Sprintf("p%d", i), f.asOf, vector.T(vector.TimestampTZ)); err != nil {
				return err
			}
		}
	}
	plan.left = subselect(in.scope.wrap(selectNode(targets, plan.left).GetSelectStmt()), plan.leftAlias)
	return nil
}

// asofRight is the right side of an ASOF join if it is an entity, a feature or a SELECT with a window; nil otherwise.
func (s *Session) asofRight(b *binder, st *parse.SQL, sc scope, n *pg_query.Node) (*asofFeatures, error) {
	if rv := n.GetRangeVar(); rv != nil && (rv.Schemaname == "" || rv.Schemaname == publicSchema) && !sc.has(rv) {
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
	bound, err := s.bindAggregates(b.ctx, b.cat, st.Text, body, functions.Options{}, s.location)
	if err != nil {
		return nil, err
	}
	f := &asofFeatures{adHoc: bound, within: body.Joins, keyNames: bound.keyNames, alias: sub.Alias.GetAliasname()}
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
			f.using = append(f.using, name)
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

// tolerate applies TOLERANCE: a latest value must hold since no longer than that before the cut. It is then the latest one of a
// window of that length instead of all time.
func (f *asofFeatures) tolerate(st *parse.SQL, mark *parse.AsofJoin) error {
	if !mark.HasTolerance {
		return nil
	}
	f.tolerance = mark.Tolerance
	if f.inclusive { // a window leaves out its lower end then, and the tolerance takes it in
		f.tolerance++
	}
	if f.tolerance <= 0 {
		return noTolerance(st, mark)
	}
	return nil
}

// shorten makes the reads of latest values as short as the tolerance, and refuses it for aggregates that the statement names.
func (f *asofFeatures) shorten(st *parse.SQL) error {
	if f.tolerance == 0 {
		return nil
	}
	refuse := func(i int) error {
		return at(hint(fail(codeUnsupported, "TOLERANCE is for latest values and ordinary relations; %s.%s has its window", f.alias, f.outputs[i].name),
			"Leave it out, or write a window of that length: ASOF JOIN (SELECT … WINDOW 1 DAY) x."), st.Text, f.position)
	}
	if f.adHoc != nil || f.view != nil {
		if len(f.outputs) > 0 {
			return refuse(0)
		}
		return nil
	}
	for i := range f.read.groups {
		g := &f.read.groups[i]
		for j, o := range g.outputs {
			if g.group.Partials[o.partial].Function != latestFunction {
				return refuse(o.at)
			}
			w := &g.outputs[j].window
			w.Lifetime, w.Length = false, f.tolerance
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

// choose keeps the outputs that the SELECT names, and checks that all of them exist.
func (f *asofFeatures) choose(b *binder, st *parse.SQL, sel *pg_query.SelectStmt) error {
	named := map[string]bool{}
	f.shown = map[string]bool{}
	all := false
	var err error
	references(sel, f.alias, func(ref *pg_query.ColumnRef) {
		switch fields := ref.Fields; {
		case err != nil:
		case len(fields) == 2 && fields[0].GetString_().GetSval() == f.alias:
			if fields[1].GetAStar() != nil {
				all = true
				for _, k := range f.keyNames {
					f.shown[k] = true
				}
				return
			}
			name := fields[1].GetString_().GetSval()
			named[name], f.shown[name] = true, true
			if name != eventTimeName && !slices.Contains(f.keyNames, name) && !slices.ContainsFunc(f.outputs, func(o asofOutput) bool { return o.name == name }) {
				err = at(hint(fail(codeUndefinedColumn, "column %s.%s does not exist", f.alias, name), "Columns of %s: %s.", f.alias, strings.Join(f.columnNames(), ", ")), st.Text, int(ref.Location))
			}
		case len(fields) == 1 && fields[0].GetAStar() != nil:
			all = true
		case len(fields) == 1:
			named[fields[0].GetString_().GetSval()] = true
		}
	})
	if err != nil {
		return err
	}
	f.bare = f.view == nil && !f.shown[eventTimeName] && !slices.ContainsFunc(f.keyNames, func(k string) bool { return f.shown[k] })
	if !all {
		f.outputs = slices.DeleteFunc(f.outputs, func(o asofOutput) bool { return !named[o.name] })
	}
	if f.adHoc != nil {
		return f.shorten(st)
	}
	var want []wantedOutput
	for _, o := range f.outputs {
		want = append(want, *o.want)
	}
	f.read = newReadPlan(b.cat, want)
	if err := f.read.check(b.cat); err != nil {
		return err
	}
	return f.shorten(st)
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
	parts := p.parts
	if parts == nil {
		parts = []asofPart{{alias: p.leftAlias, columns: p.columns}}
	}
	var n *pg_query.Node
	first := ""
	join := func(alias, table string, columns []schema.Column, names []string) {
		targets := []*pg_query.Node{pg_query.MakeResTargetNodeWithVal(columnRef(table, rowNumberColumn, 0), 0)}
		for i, c := range columns {
			t := pg_query.MakeResTargetNodeWithVal(columnRef(table, c.Name, 0), 0)
			if names != nil {
				t = pg_query.MakeResTargetNodeWithVal(columnRef(table, names[i], 0), 0)
				t.GetResTarget().Name = c.Name
			}
			targets = append(targets, t)
		}
		item := subselect(selectNode(targets, placeholder(table, table)), alias)
		if n == nil {
			n, first = item, alias
			return
		}
		n = &pg_query.Node{Node: &pg_query.Node_JoinExpr{JoinExpr: &pg_query.JoinExpr{
			Jointype: pg_query.JoinType_JOIN_INNER, Larg: n, Rarg: item,
			Quals: pg_query.MakeAExprNode(pg_query.A_Expr_Kind_AEXPR_OP, []*pg_query.Node{pg_query.MakeStrNode("=")},
				columnRef(first, rowNumberColumn, 0), columnRef(alias, rowNumberColumn, 0), 0),
		}}}
	}
	for _, part := range parts {
		join(part.alias, p.leftName(), part.columns, part.staged)
	}
	for i := range p.joins {
		f := &p.joins[i]
		cols := slices.DeleteFunc(f.columns(), func(c schema.Column) bool {
			key := c.Name == eventTimeName || slices.Contains(f.keyNames, c.Name)
			return key && !f.shown[c.Name]
		})
		join(f.alias, p.joinName(i), cols, nil)
	}
	return n
}

// leftName stands for the left side, joinName for join i of the chain.
func (p *asofPlan) leftName() string { return fmt.Sprintf("__asof_%d_left", p.number) }

func (p *asofPlan) joinName(i int) string { return fmt.Sprintf("__asof_%d_%d", p.number, i) }
