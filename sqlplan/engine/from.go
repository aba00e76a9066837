package engine

import (
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// fromPlanner goes through a statement's tree, inner SELECTs before outer ones, and replaces in FROM what DuckDB cannot read:
//
//	entity                     → its keys' values, looked up            (entityRead)
//	chain of ASOF joins        → the left side with the values merged   (asofPlan)
//	  to features
//	ASOF join to a relation    → DuckDB's, over a right side without ties
//	TABLESAMPLE stratified     → a SELECT of the rows that are drawn    (sampleRead)
//	table FOR SYSTEM_TIME      → its rows then, from the log            (thenRead)
//
// What a replacement shows of its own (row numbers) never reaches a *: such SELECTs get their columns written out.
type fromPlanner struct {
	s        *Session
	b        *binder
	st       *parse.SQL
	q        *queryPlan
	shown    map[*pg_query.Node][]shownColumn // of replaced items: what * shows of them
	entities int                              // so far
}

// scope is the WITH queries that a place in a statement sees, outermost level first.
type scope []*pg_query.WithClause

// shownColumn is a column that * shows.
type shownColumn struct {
	name string
	expr *pg_query.Node
}

// selectState is what is known of the SELECT whose FROM is being planned.
type selectState struct {
	sel   *pg_query.SelectStmt
	scope scope
	// merged are columns that USING made one of two, where the joins that said so were replaced: the unqualified name means expr.
	merged []shownColumn
	// pending are entities in FROM for which what binds their keys was not looked for yet.
	pending []*entityRead
	// replaced is set where * has to be written out.
	replaced bool
}

// walk plans every SELECT at or below m.
func (p *fromPlanner) walk(m proto.Message, sc scope) error {
	switch n := m.(type) {
	case *pg_query.SelectStmt:
		return p.selectStmt(n, sc)
	case *pg_query.InsertStmt:
		return p.with(n, n.WithClause, sc)
	case *pg_query.UpdateStmt:
		return p.with(n, n.WithClause, sc)
	case *pg_query.DeleteStmt:
		return p.with(n, n.WithClause, sc)
	}
	return p.children(m, sc, nil)
}

// with plans a statement's WITH queries and then the rest of it.
func (p *fromPlanner) with(m proto.Message, w *pg_query.WithClause, sc scope) error {
	sc, err := p.queries(w, sc)
	if err != nil {
		return err
	}
	return p.children(m, sc, []proto.Message{w})
}

// queries plans WITH queries, each of which sees those before it, and is the scope of what follows them.
func (p *fromPlanner) queries(w *pg_query.WithClause, sc scope) (scope, error) {
	if w == nil {
		return sc, nil
	}
	for i, q := range w.Ctes {
		seen := &pg_query.WithClause{Ctes: w.Ctes[:i], Recursive: w.Recursive}
		if w.Recursive {
			seen.Ctes = w.Ctes
		}
		if err := p.walk(q.GetCommonTableExpr().GetCtequery(), append(slices.Clone(sc), seen)); err != nil {
			return nil, err
		}
	}
	return append(slices.Clone(sc), w), nil
}

// children goes on below m, leaving out the given messages.
func (p *fromPlanner) children(m proto.Message, sc scope, skip []proto.Message) (err error) {
	visit := func(x proto.Message) {
		if err == nil && !slices.Contains(skip, x) {
			err = p.walk(x, sc)
		}
	}
	m.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Kind() != protoreflect.MessageKind:
		case fd.IsList():
			for i := range v.List().Len() {
				visit(v.List().Get(i).Message().Interface())
			}
		default:
			visit(v.Message().Interface())
		}
		return err == nil
	})
	return err
}

func (p *fromPlanner) selectStmt(sel *pg_query.SelectStmt, sc scope) error {
	sc, err := p.queries(sel.WithClause, sc)
	if err != nil {
		return err
	}
	skip := []proto.Message{sel.WithClause}
	for _, f := range sel.FromClause {
		skip = append(skip, f)
	}
	if err := p.children(sel, sc, skip); err != nil {
		return err
	}
	at := &selectState{sel: sel, scope: sc}
	for i := range sel.FromClause {
		n, err := p.item(at, sel.FromClause[i])
		if err != nil {
			return err
		}
		sel.FromClause[i] = n
	}
	if err := p.bindEntities(at); err != nil {
		return err
	}
	if at.replaced {
		if err := p.writeOut(at); err != nil {
			return err
		}
	}
	qualify(at)
	return nil
}

// item plans an item of FROM and is what stands in its place.
func (p *fromPlanner) item(at *selectState, n *pg_query.Node) (*pg_query.Node, error) {
	if j := n.GetJoinExpr(); j != nil {
		return p.join(at, n, j)
	}
	if sub := n.GetRangeSubselect(); sub != nil {
		return n, p.walk(sub.Subquery, at.scope)
	}
	if t := n.GetRangeTableSample(); t != nil {
		return p.sample(at, n, t)
	}
	if rv := n.GetRangeVar(); rv != nil && at.scope.has(rv) {
		return n, nil
	}
	if then, err := p.then(n); then != nil || err != nil {
		return then, err
	}
	ref, err := p.s.entityIn(p.b.cat, p.st, n)
	if err != nil {
		return nil, err
	}
	if ref == nil {
		return n, p.children(n, at.scope, nil)
	}
	return p.entity(at, ref)
}

func (p *fromPlanner) join(at *selectState, n *pg_query.Node, j *pg_query.JoinExpr) (_ *pg_query.Node, err error) {
	mark := p.st.Clauses.AsofOf(j)
	if mark != nil {
		if chain, err := p.chain(at, n); chain != nil || err != nil {
			return chain, err
		}
	}
	if j.Larg, err = p.item(at, j.Larg); err != nil {
		return nil, err
	}
	if j.Rarg, err = p.item(at, j.Rarg); err != nil {
		return nil, err
	}
	if err := p.walk(j.Quals, at.scope); err != nil {
		return nil, err
	}
	if mark != nil {
		return p.ordinaryAsof(at, n, j, mark)
	}
	return n, nil
}

// has reports whether an unqualified relation is a WITH query.
func (sc scope) has(rv *pg_query.RangeVar) bool {
	return rv.Schemaname == "" && slices.ContainsFunc(sc, func(w *pg_query.WithClause) bool {
		return slices.ContainsFunc(w.Ctes, func(q *pg_query.Node) bool { return q.GetCommonTableExpr().GetCtename() == rv.Relname })
	})
}

// wrap is a SELECT with the WITH queries of the scope around it.
func (sc scope) wrap(sel *pg_query.SelectStmt) *pg_query.Node {
	n := &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel}}
	for i := len(sc) - 1; i >= 0; i-- {
		if len(sc[i].Ctes) == 0 {
			continue
		}
		n = selectNode([]*pg_query.Node{starTarget()}, subselect(n, "__scoped"))
		n.GetSelectStmt().WithClause = sc[i]
	}
	return n
}

// reads reports whether the tree below m reads a WITH query of the scope.
func (sc scope) reads(m proto.Message) bool {
	found := false
	parse.Walk(m, func(m proto.Message) bool {
		if rv, ok := m.(*pg_query.RangeVar); ok {
			found = found || sc.has(rv)
		}
		return !found
	})
	return found
}

// leaf is a relation of a FROM item, with the name that qualifies its columns.
type leaf struct {
	node  *pg_query.Node
	alias string
}

// leaves are the relations of a FROM item, from left to right.
func leaves(n *pg_query.Node) []leaf {
	one := func(a *pg_query.Alias, name string) []leaf {
		if a != nil {
			name = parse.NameOfAlias(a.Aliasname)
		}
		return []leaf{{n, name}}
	}
	switch {
	case n.GetJoinExpr() != nil:
		j := n.GetJoinExpr()
		if j.Alias != nil {
			return one(j.Alias, "")
		}
		return append(leaves(j.Larg), leaves(j.Rarg)...)
	case n.GetRangeVar() != nil:
		return one(n.GetRangeVar().Alias, n.GetRangeVar().Relname)
	case n.GetRangeSubselect() != nil:
		return one(n.GetRangeSubselect().Alias, "")
	case n.GetRangeFunction() != nil:
		return one(n.GetRangeFunction().Alias, functionOf(n.GetRangeFunction()))
	case n.GetRangeTableSample() != nil:
		l := leaves(n.GetRangeTableSample().Relation)
		return []leaf{{n, l[0].alias}}
	}
	return one(nil, "")
}

// functionOf is the name of the only function of a FROM item, "" where it has several.
func functionOf(rf *pg_query.RangeFunction) string {
	if len(rf.Functions) != 1 {
		return ""
	}
	if items := rf.Functions[0].GetList().GetItems(); len(items) > 0 {
		if name := items[0].GetFuncCall().GetFuncname(); len(name) > 0 {
			return name[len(name)-1].GetString_().GetSval()
		}
	}
	return ""
}

// columnsOf are the columns of the relation known as alias among FROM items; the row numbers of replacements are none.
func (p *fromPlanner) columnsOf(sc scope, from []*pg_query.Node, alias string) ([]schema.Column, error) {
	target := starTarget()
	if alias != "" {
		ref := target.GetResTarget().Val.GetColumnRef()
		ref.Fields = append([]*pg_query.Node{pg_query.MakeStrNode(alias)}, ref.Fields...)
	}
	columns, err := p.described(sc, []*pg_query.Node{target}, from)
	if err != nil {
		return nil, err
	}
	var out []schema.Column
	for _, c := range columns {
		if !strings.HasPrefix(c.Name, rowNumberColumn) {
			out = append(out, schema.Column{Name: c.Name, Type: c.Type})
		}
	}
	return out, nil
}

// described are the columns of a SELECT of targets over FROM items.
func (p *fromPlanner) described(sc scope, targets, from []*pg_query.Node) ([]duck.Column, error) {
	n := sc.wrap(selectNode(targets, from...).GetSelectStmt())
	typed, err := p.b.piece(n)
	if err != nil {
		return nil, err
	}
	var sql string
	if typed != nil {
		sql, err = p.b.typedPiece(typed)
	} else {
		sql, err = p.b.duckSQL(n)
	}
	if err != nil {
		return nil, err
	}
	params, columns, err := p.s.described(p.b.ctx, sql)
	if err != nil {
		return nil, err
	}
	p.b.noteParams(params)
	if types := typed.shown(typesOf(columns)); types != nil {
		columns = make([]duck.Column, len(types))
		for i, t := range types {
			columns[i] = duck.Column{Name: typed.Outputs[i].Name, Type: t}
		}
	}
	return columns, nil
}

// shows are the columns that * shows of a FROM item: those that USING makes one first, as in PostgreSQL.
func (p *fromPlanner) shows(at *selectState, from []*pg_query.Node, n *pg_query.Node) ([]shownColumn, error) {
	if s, ok := p.shown[n]; ok {
		return s, nil
	}
	j := n.GetJoinExpr()
	if j == nil || j.Alias != nil {
		l := leaves(n)[0]
		cols, err := p.columnsOf(at.scope, from, l.alias)
		if err != nil {
			return nil, err
		}
		out := make([]shownColumn, len(cols))
		for i, c := range cols {
			out[i] = shownColumn{c.Name, columnRef(l.alias, c.Name, 0)}
		}
		return out, nil
	}
	left, err := p.shows(at, from, j.Larg)
	if err != nil {
		return nil, err
	}
	right, err := p.shows(at, from, j.Rarg)
	if err != nil {
		return nil, err
	}
	var using []string
	for _, u := range j.UsingClause {
		using = append(using, u.GetString_().GetSval())
	}
	if j.IsNatural {
		for _, l := range left {
			if slices.ContainsFunc(right, func(r shownColumn) bool { return r.name == l.name }) {
				using = append(using, l.name)
			}
		}
	}
	return merge(j.Jointype, using, left, right), nil
}

// merge are the columns of a join USING the given ones.
func merge(kind pg_query.JoinType, using []string, left, right []shownColumn) []shownColumn {
	var out []shownColumn
	isUsed := func(c shownColumn) bool { return slices.Contains(using, c.name) }
	for _, name := range using {
		l := slices.IndexFunc(left, func(c shownColumn) bool { return c.name == name })
		r := slices.IndexFunc(right, func(c shownColumn) bool { return c.name == name })
		switch {
		case l < 0 || r < 0: // DuckDB refuses the join
		case kind == pg_query.JoinType_JOIN_RIGHT:
			out = append(out, right[r])
		case kind == pg_query.JoinType_JOIN_FULL:
			both := &pg_query.Node{Node: &pg_query.Node_CoalesceExpr{CoalesceExpr: &pg_query.CoalesceExpr{Args: []*pg_query.Node{left[l].expr, right[r].expr}}}}
			out = append(out, shownColumn{name, both})
		default:
			out = append(out, left[l])
		}
	}
	for _, side := range [][]shownColumn{left, right} {
		out = append(out, slices.DeleteFunc(slices.Clone(side), isUsed)...)
	}
	return out
}

// mergedIn are the columns that USING and NATURAL joins inside n make one of two.
func (p *fromPlanner) mergedIn(at *selectState, from []*pg_query.Node, n *pg_query.Node) ([]shownColumn, error) {
	j := n.GetJoinExpr()
	if _, replaced := p.shown[n]; j == nil || j.Alias != nil || replaced {
		return nil, nil
	}
	var out []shownColumn
	if len(j.UsingClause) > 0 || j.IsNatural {
		all, err := p.shows(at, from, n)
		if err != nil {
			return nil, err
		}
		left, err := p.shows(at, from, j.Larg)
		if err != nil {
			return nil, err
		}
		right, err := p.shows(at, from, j.Rarg)
		if err != nil {
			return nil, err
		}
		out = append(out, all[:len(left)+len(right)-len(all)]...)
	}
	for _, side := range []*pg_query.Node{j.Larg, j.Rarg} {
		more, err := p.mergedIn(at, from, side)
		if err != nil {
			return nil, err
		}
		for _, m := range more {
			if !slices.ContainsFunc(out, func(c shownColumn) bool { return c.name == m.name }) {
				out = append(out, m)
			}
		}
	}
	return out, nil
}

// writeOut replaces * and alias.* of the SELECT's outputs by names.
func (p *fromPlanner) writeOut(at *selectState) error {
	var list []*pg_query.Node
	for _, t := range at.sel.TargetList {
		f := t.GetResTarget().GetVal().GetColumnRef().GetFields()
		if len(f) == 0 || len(f) > 2 || f[len(f)-1].GetAStar() == nil {
			list = append(list, t)
			continue
		}
		var cols []shownColumn
		for _, n := range at.sel.FromClause {
			if len(f) == 1 {
				s, err := p.shows(at, at.sel.FromClause, n)
				if err != nil {
					return err
				}
				cols = append(cols, s...)
				continue
			}
			for _, l := range leaves(n) {
				if l.alias != f[0].GetString_().GetSval() {
					continue
				}
				s, err := p.shows(at, at.sel.FromClause, l.node)
				if err != nil {
					return err
				}
				cols = append(cols, s...)
			}
		}
		if len(cols) == 0 {
			list = append(list, t)
		}
		for _, c := range cols {
			out := pg_query.MakeResTargetNodeWithVal(clone(c.expr), 0)
			if c.expr.GetColumnRef() == nil {
				out.GetResTarget().Name = c.name
			}
			list = append(list, out)
		}
	}
	at.sel.TargetList = list
	return nil
}

// qualify gives the names of merged columns, where they stand unqualified in the SELECT's own expressions, their meaning.
func qualify(at *selectState) {
	if len(at.merged) == 0 {
		return
	}
	outputs := map[string]bool{}
	for _, t := range at.sel.TargetList {
		outputs[t.GetResTarget().GetName()] = true
	}
	visit := func(m proto.Message) bool {
		n, ok := m.(*pg_query.Node)
		if !ok {
			_, inner := m.(*pg_query.SelectStmt)
			return !inner
		}
		f := n.GetColumnRef().GetFields()
		if len(f) != 1 {
			return true
		}
		name := f[0].GetString_().GetSval()
		if i := slices.IndexFunc(at.merged, func(c shownColumn) bool { return c.name == name }); i >= 0 {
			n.Node = clone(at.merged[i].expr).Node
		}
		return false
	}
	for _, t := range at.sel.TargetList {
		r := t.GetResTarget()
		if f := r.GetVal().GetColumnRef().GetFields(); r.GetName() == "" && len(f) == 1 {
			r.Name = f[0].GetString_().GetSval()
		}
		parse.Walk(r.GetVal(), visit)
	}
	for _, n := range at.sel.SortClause { // a name here is an output's first
		if f := n.GetSortBy().GetNode().GetColumnRef().GetFields(); len(f) != 1 || !outputs[f[0].GetString_().GetSval()] {
			parse.Walk(n, visit)
		}
	}
	for _, l := range [][]*pg_query.Node{at.sel.GroupClause, at.sel.DistinctClause, at.sel.WindowClause, {at.sel.WhereClause, at.sel.HavingClause}} {
		for _, n := range l {
			if n != nil {
				parse.Walk(n, visit)
			}
		}
	}
	for _, n := range at.sel.FromClause {
		qualifyJoins(n, visit)
	}
}

// qualifyJoins visits the conditions of the joins of a FROM item.
func qualifyJoins(n *pg_query.Node, visit func(proto.Message) bool) {
	j := n.GetJoinExpr()
	if j == nil {
		return
	}
	qualifyJoins(j.Larg, visit)
	qualifyJoins(j.Rarg, visit)
	if j.Quals != nil {
		parse.Walk(j.Quals, visit)
	}
}

// references calls visit for the column references of a SELECT that may mean the relation known as alias: not for those in
// SELECTs inside that have a relation of that name themselves.
func references(sel *pg_query.SelectStmt, alias string, visit func(*pg_query.ColumnRef)) {
	parse.Walk(sel, func(m proto.Message) bool {
		switch n := m.(type) {
		case *pg_query.SelectStmt:
			return n == sel || !slices.ContainsFunc(n.FromClause, func(f *pg_query.Node) bool {
				return slices.ContainsFunc(leaves(f), func(l leaf) bool { return l.alias == alias })
			})
		case *pg_query.ColumnRef:
			visit(n)
		}
		return true
	})
}

// Constructors of nodes.

func columnRef(alias, name string, location int) *pg_query.Node {
	return pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(alias), pg_query.MakeStrNode(name)}, int32(location))
}

func starTarget() *pg_query.Node {
	return pg_query.MakeResTargetNodeWithVal(pg_query.MakeColumnRefNode([]*pg_query.Node{{Node: &pg_query.Node_AStar{AStar: &pg_query.A_Star{}}}}, 0), 0)
}

func selectNode(targets []*pg_query.Node, from ...*pg_query.Node) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: &pg_query.SelectStmt{TargetList: targets, FromClause: from,
		LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}}}
}

func subselect(query *pg_query.Node, alias string) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_RangeSubselect{RangeSubselect: &pg_query.RangeSubselect{Subquery: query, Alias: &pg_query.Alias{Aliasname: alias}}}}
}

// placeholder is a relation that stands for SQL in the binder's refs.
func placeholder(name, alias string) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_RangeVar{RangeVar: &pg_query.RangeVar{Relname: name, Inh: true, Relpersistence: "p", Alias: &pg_query.Alias{Aliasname: alias}}}}
}

// selectText is a SELECT written as text, in which relations of the given names stand for nodes.
func selectText(text string, nodes map[string]*pg_query.Node) (*pg_query.Node, error) {
	st, err := parse.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w (in %q)", err, text)
	}
	n := st.(*parse.SQL).Node
	clearLocations(n)
	parse.Walk(n, func(m proto.Message) bool {
		if sel, ok := m.(*pg_query.SelectStmt); ok {
			for i, f := range sel.FromClause {
				if with := nodes[f.GetRangeVar().GetRelname()]; with != nil {
					sel.FromClause[i] = with
				}
			}
		}
		return true
	})
	return n, nil
}
