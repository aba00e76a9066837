package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// A view that shows rows of one ordinary table, or of another such view, is written through: what changes its rows changes the table's. The
// staging SELECT reads the view's rows with the table's columns beside them, under names that nobody gives, and RETURNING reads the view's
// columns of the written rows. The rest of a change is that of the table.

// viewTarget is such a view.
type viewTarget struct {
	view  *tables.Object
	query *pg_query.SelectStmt // of the view; not changed
	base  *tables.Object       // the table
	under *viewTarget          // the view that it reads; nil: it reads base
	at    []int                // base's column of each of the view's, -1 where it is computed
}

// throughColumn is the name of a column of the table beside those of a view.
func throughColumn(i int) string { return fmt.Sprintf("__base_%d", i) }

// maxViewsThrough bounds the views that one is written through.
const maxViewsThrough = 32

// noThrough is why a view is not written through, in PostgreSQL's words.
type noThrough struct {
	view   *tables.Object // it, or one that it reads
	reason string
}

// through is what a view is written through, or why it is not.
func (s *Session) through(cat *tables.Catalog, v *tables.Object, depth int) (*viewTarget, *noThrough, error) {
	n, err := viewSelect(v)
	if err != nil {
		return nil, nil, err
	}
	return s.throughQuery(cat, v, n.GetSelectStmt(), depth)
}

// throughQuery is through for a view whose SELECT is sel.
func (s *Session) throughQuery(cat *tables.Catalog, v *tables.Object, sel *pg_query.SelectStmt, depth int) (*viewTarget, *noThrough, error) {
	if reason := notThrough(v, sel, depth); reason != "" {
		return nil, &noThrough{v, reason}, nil
	}
	t := &viewTarget{view: v, query: sel}
	if sub := renamed(sel.FromClause[0]); sub != nil {
		o := &tables.Object{Kind: tables.View, Name: v.Name}
		for _, out := range sub.TargetList {
			r := out.GetResTarget()
			name := r.Name
			if fields := nodeNames(r.Val.GetColumnRef().Fields); name == "" {
				name = fields[len(fields)-1]
			}
			o.Columns = append(o.Columns, tables.Column{Name: name})
		}
		under, no, err := s.throughQuery(cat, o, sub, depth+1)
		if under == nil || err != nil {
			return nil, no, err
		}
		t.under, t.base = under, under.base
		t.find(o)
		return t, nil, nil
	}
	rv := sel.FromClause[0].GetRangeVar()
	o := s.find(cat, rv.Schemaname, rv.Relname)
	switch {
	case eventTableOf(s.catalog(), rv) != nil || o == nil || o.Kind != tables.View && o.Kind != tables.Table:
		return nil, &noThrough{v, ofOther}, nil
	case o.Kind == tables.View:
		under, no, err := s.through(cat, o, depth+1)
		if under == nil || err != nil {
			return nil, no, err
		}
		t.under, t.base = under, under.base
	default:
		t.base = o
	}
	t.find(o)
	return t, nil, nil
}

// find finds the table's columns of the view's; o is what the view reads.
func (t *viewTarget) find(o *tables.Object) {
	for i := range t.view.Columns {
		at := -1
		if i < len(t.query.TargetList) {
			at = t.columnOf(o, t.query.TargetList[i].GetResTarget().GetVal())
		}
		t.at = append(t.at, at)
	}
}

// renamed is the SELECT that a relation of a view's became when its columns got other names; nil for another item of FROM.
func renamed(item *pg_query.Node) *pg_query.SelectStmt {
	sel := item.GetRangeSubselect().GetSubquery().GetSelectStmt()
	if sel == nil || sel.WhereClause != nil || len(sel.SortClause) > 0 || len(sel.FromClause) != 1 || sel.FromClause[0].GetRangeVar() == nil || len(item.GetRangeSubselect().Alias.GetColnames()) > 0 {
		return nil
	}
	for _, t := range sel.TargetList {
		if f := t.GetResTarget().GetVal().GetColumnRef().GetFields(); len(f) == 0 || f[len(f)-1].GetString_() == nil {
			return nil
		}
	}
	return sel
}

// assigns reports whether the view has a column that is assigned to.
func (t *viewTarget) assigns() bool {
	return slices.ContainsFunc(t.at, func(i int) bool { return i >= 0 })
}

const ofOther = "Views that do not select from a single table or view are not automatically updatable."

// notThrough is why a view whose SELECT is sel is not written through, "" where it is if what it reads is.
func notThrough(v *tables.Object, sel *pg_query.SelectStmt, depth int) string {
	switch {
	case v.Written != "" || depth > maxViewsThrough:
		return "Views with clauses of features are not automatically updatable."
	case len(sel.DistinctClause) > 0:
		return "Views containing DISTINCT are not automatically updatable."
	case len(sel.GroupClause) > 0:
		return "Views containing GROUP BY are not automatically updatable."
	case sel.HavingClause != nil:
		return "Views containing HAVING are not automatically updatable."
	case sel.Op != pg_query.SetOperation_SETOP_NONE:
		return "Views containing UNION, INTERSECT, or EXCEPT are not automatically updatable."
	case sel.WithClause != nil:
		return "Views containing WITH are not automatically updatable."
	case sel.LimitCount != nil || sel.LimitOffset != nil:
		return "Views containing LIMIT or OFFSET are not automatically updatable."
	}
	if reason := rowMaking(sel.TargetList); reason != "" {
		return reason
	}
	if len(sel.FromClause) == 1 && sel.FromClause[0].GetRangeTableSample() != nil {
		return "Views containing TABLESAMPLE are not automatically updatable."
	}
	if len(sel.FromClause) != 1 || sel.FromClause[0].GetRangeVar() == nil && renamed(sel.FromClause[0]) == nil {
		return ofOther
	}
	return ""
}

// rowMaking is why outputs that are no values of single rows cannot be written through.
func rowMaking(list []*pg_query.Node) string {
	var aggregate, window, set bool
	for _, t := range list {
		parse.Walk(t, func(m proto.Message) bool {
			switch n := m.(type) {
			case *pg_query.SubLink: // has its own
				return false
			case *pg_query.FuncCall:
				window = window || n.Over != nil
				a, w, s := pgcatalog.KindOf(calledName(n))
				aggregate, window, set = aggregate || a && n.Over == nil, window || w, set || s
			case *pg_query.GroupingFunc:
				aggregate = true
			}
			return true
		})
	}
	switch {
	case aggregate:
		return "Views that return aggregate functions are not automatically updatable."
	case window:
		return "Views that return window functions are not automatically updatable."
	case set:
		return "Views that return set-returning functions are not automatically updatable."
	}
	return ""
}

// columnOf is the table's column that an output of the view is, -1 where it is another expression. o is what the view reads.
func (t *viewTarget) columnOf(o *tables.Object, output *pg_query.Node) int {
	fields := output.GetColumnRef().GetFields()
	if len(fields) == 0 {
		return -1
	}
	i := o.ColumnIndex(fields[len(fields)-1].GetString_().GetSval())
	if i >= 0 && t.under != nil {
		return t.under.at[i]
	}
	return i
}

// writable finds the table that a statement writes, and the view that it is written through; nil: none.
func (s *Session) writable(ctx context.Context, rv *pg_query.RangeVar, sql, verb string) (*tables.Object, *viewTarget, error) {
	if eventTableOf(s.catalog(), rv) == nil {
		if v, err := s.target(ctx, rv, sql); err == nil && v.Kind == tables.View {
			cat, err := s.ordinary(ctx)
			if err != nil {
				return nil, nil, err
			}
			t, no, err := s.through(cat, v, 0)
			if err != nil {
				return nil, nil, err
			}
			if t != nil && !t.assigns() && verb != "delete from" {
				no = &noThrough{v, "Views that have no updatable columns are not automatically updatable."}
			}
			if no != nil {
				e := hint(fail("55000", "cannot %s view %q", verb, no.view.Name), "Change the tables that it reads: there are no rules and no INSTEAD OF triggers.")
				e.Detail, e.Position = no.reason, noPlace
				return nil, nil, e
			}
			return t.base, t, nil
		}
	}
	o, err := s.writeTarget(ctx, rv, sql, verb)
	return o, nil, err
}

// rename gives the columns that a statement assigns the names that the table has for them. verb is "insert into" or "update".
func (t *viewTarget) rename(list []*pg_query.Node, sql, verb string) error {
	for _, item := range list {
		r := item.GetResTarget()
		i := t.view.ColumnIndex(r.Name)
		if i < 0 {
			return at(fail(codeUndefinedColumn, "column %q of relation %q does not exist", r.Name, t.view.Name), sql, int(r.Location))
		}
		if t.at[i] < 0 {
			return t.computed(i, verb)
		}
		r.Name = t.base.Columns[t.at[i]].Name
		if r.Val.GetSetToDefault() != nil { // the view's, which has none
			r.Val = &pg_query.Node{Node: &pg_query.Node_AConst{AConst: &pg_query.A_Const{Isnull: true}}}
		}
	}
	return nil
}

// computed is the error of assigning to a column that is an expression.
func (t *viewTarget) computed(i int, verb string) error {
	e := fail(codeUnsupported, "cannot %s column %q of view %q", verb, t.view.Columns[i].Name, t.view.Name)
	e.Detail, e.Position = "View columns that are not columns of their base relation are not updatable.", noPlace
	return e
}

// targets are the table's columns that values without a list of columns are for; width is how many there are, -1 where that is not known.
func (t *viewTarget) targets(width int) ([]int, error) {
	out := slices.Clone(t.at)
	for i, at := range t.at {
		if at >= 0 {
			continue
		}
		if width < 0 || i < width {
			return nil, t.computed(i, "insert into")
		}
		return out[:i], nil
	}
	return out, nil
}

// rows is the view over rows of the table, which are the relation called name, as an item of FROM. more are names of columns of that relation
// which it shows beside the view's own, and all says that it shows rows that do not meet the view's condition, too.
func (t *viewTarget) rows(s *Session, name, alias string, more []string, all bool) *pg_query.Node {
	sel := proto.Clone(t.query).(*pg_query.SelectStmt)
	rv := sel.FromClause[0].GetRangeVar()
	given := rv.GetAlias()
	if rv == nil {
		given = sel.FromClause[0].GetRangeSubselect().Alias
	}
	as := given.GetAliasname()
	if given == nil {
		as = rv.Relname
		s.unqualifyTarget(&tables.Object{Schema: rv.Schemaname, Name: rv.Relname}, rv, sel)
	}
	for i := range sel.TargetList {
		sel.TargetList[i].GetResTarget().Name = t.view.Columns[i].Name
	}
	for _, c := range more {
		from := c
		if i, ok := strings.CutPrefix(c, "__base_"); ok && t.under == nil {
			var n int
			_, _ = fmt.Sscan(i, &n) // throughColumn wrote it
			from = t.base.Columns[n].Name
		}
		sel.TargetList = append(sel.TargetList, namedTarget(c, columnRef(as, from, 0)))
	}
	if t.under != nil {
		sel.FromClause[0] = t.under.rows(s, name, as, more, all)
		if names := given.GetColnames(); len(names) > 0 {
			sel.FromClause[0].GetRangeSubselect().Alias.Colnames = names
		}
	} else {
		sel.FromClause[0] = placeholder(name, as)
		if names := given.GetColnames(); len(names) > 0 {
			sel.FromClause[0].GetRangeVar().Alias.Colnames = names
		}
	}
	sel.SortClause = nil
	if all {
		sel.WhereClause = nil
	}
	n := &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel}}
	clearLocations(n)
	return subselect(n, alias)
}

// target is the target as an item of FROM of a staging SELECT.
func (w *rowWrite) target() *pg_query.Node {
	if w.view == nil {
		return placeholder(targetRef, w.alias)
	}
	more := []string{stagedRowID}
	for i := range w.table.Columns {
		more = append(more, throughColumn(i))
	}
	return w.view.rows(w.s, targetRef, w.alias, more, false)
}

// own is a column of the table in a staging SELECT.
func (w *rowWrite) own(i int) *pg_query.Node {
	if w.view == nil {
		return columnRef(w.alias, w.table.Columns[i].Name, 0)
	}
	return columnRef(w.alias, throughColumn(i), 0)
}

// named is what the statement names: the table, or the view that it is written through.
func (w *rowWrite) named() *tables.Object {
	if w.view == nil {
		return w.table
	}
	return w.view.view
}

// shown are the columns that the statement knows of its target.
func (w *rowWrite) shown() []tables.Column { return w.named().Columns }

// sourceWidth is how many values VALUES or a list of outputs gives, -1 where that is not known.
func sourceWidth(source *pg_query.Node) int {
	sel := source.GetSelectStmt()
	switch {
	case source == nil:
		return 0
	case len(sel.GetValuesLists()) > 0:
		return len(sel.ValuesLists[0].GetList().GetItems())
	case sel.GetOp() != pg_query.SetOperation_SETOP_NONE:
		return -1
	}
	for _, t := range sel.GetTargetList() {
		if f := t.GetResTarget().GetVal().GetColumnRef().GetFields(); len(f) > 0 && f[len(f)-1].GetAStar() != nil {
			return -1
		}
	}
	return len(sel.GetTargetList())
}

// written are the written rows as an item of FROM of RETURNING.
func (w *rowWrite) written() *pg_query.Node {
	if w.view == nil {
		return placeholder(stagedRef, w.alias)
	}
	var more []string
	for _, f := range w.from {
		more = append(more, f.staged)
	}
	return w.view.rows(w.s, stagedRef, w.alias, more, true)
}

// writesThrough checks that the owner of a view has the rights on what it reads that a role uses which writes through it.
func (a *access) writesThrough(v *tables.Object, ref schema.Ref, rights schema.Rights) error {
	t, _, err := a.s.through(a.s.tabs, v, a.depth)
	if t == nil || err != nil {
		return nil // the statement itself says why
	}
	owner := a.cat.Owner(ref)
	if v.Temp {
		owner = a.role
	}
	if a.cat.Superuser(owner) {
		return nil
	}
	of := &access{a.ctx, a.s, a.cat, owner, a.depth + 1}
	for t.query.FromClause[0].GetRangeVar() == nil {
		t = t.under
	}
	return of.rangeVar(t.query.FromClause[0].GetRangeVar(), rights, nil)
}

// updatable says in a view's description which of its columns are written through it.
func (s *Session) updatable(cat *tables.Catalog, v *tables.Object, d *pgcatalog.Table) {
	t, _, err := s.through(cat, v, 0)
	if t == nil || err != nil {
		return
	}
	d.Events = pgcatalog.EventDelete
	if t.assigns() {
		d.Events = pgcatalog.Events
	}
	for i, at := range t.at {
		if at >= 0 && i < len(d.Columns) {
			d.Columns[i].Updatable = true
		}
	}
}
