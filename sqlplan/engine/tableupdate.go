package engine

import (
	"context"
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// planUpdate plans UPDATE of an ordinary table. The staging SELECT gives the row ids, every column as it will be, and what
// RETURNING reads of FROM:
//
//	SELECT t.__rowid, <new a> AS a, t.b AS b, …, f.x AS __from_1 FROM <target> AS t, <from> WHERE …
func (s *Session) planUpdate(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.UpdateStmt, given []vector.Type) (*rowWrite, error) {
	o, view, err := s.writable(ctx, n.Relation, st.Text, "update")
	if err != nil {
		return nil, err
	}
	w := s.modifying(cat, o, view, n.Relation, 'u', n.FromClause)
	s.unqualifyTarget(w.named(), n.Relation, n)
	if view != nil {
		if err := view.rename(n.TargetList, st.Text, "update"); err != nil {
			return nil, err
		}
	}
	sets, err := s.assignments(st.Text, o, n.TargetList)
	if err != nil {
		return nil, err
	}
	items := []*pg_query.Node{namedTarget(stagedRowID, columnRef(w.alias, stagedRowID, 0))}
	targets := make([]analyze.Target, 1, len(o.Columns)+1)
	for i := range o.Columns {
		c := &o.Columns[i]
		v, ok := sets[c.Name]
		target := analyze.Target{}
		if ok {
			w.set = append(w.set, c.Name)
			target = targetOf(c)
		} else {
			v = w.own(i)
		}
		items, targets = append(items, namedTarget(c.Name, v)), append(targets, target)
	}
	return w, w.planModify(ctx, st, n.WithClause, items, n.FromClause, n.WhereClause, n.ReturningList, targets, given)
}

// planDelete plans DELETE from an ordinary table: as UPDATE, with every column as it is.
func (s *Session) planDelete(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.DeleteStmt, given []vector.Type) (*rowWrite, error) {
	o, view, err := s.writable(ctx, n.Relation, st.Text, "delete from")
	if err != nil {
		return nil, err
	}
	w := s.modifying(cat, o, view, n.Relation, 'd', n.UsingClause)
	s.unqualifyTarget(w.named(), n.Relation, n)
	items := []*pg_query.Node{namedTarget(stagedRowID, columnRef(w.alias, stagedRowID, 0))}
	for i := range o.Columns {
		items = append(items, namedTarget(o.Columns[i].Name, w.own(i)))
	}
	return w, w.planModify(ctx, st, n.WithClause, items, n.UsingClause, n.WhereClause, n.ReturningList, nil, given)
}

// unqualifyTarget takes schema and database off references to the target's columns, as in schema.table.column: in the staging
// SELECT the target has its alias only.
func (s *Session) unqualifyTarget(o *tables.Object, rv *pg_query.RangeVar, statement proto.Message) {
	if rv.Alias != nil {
		return
	}
	parse.Walk(statement, func(m proto.Message) bool {
		r, ok := m.(*pg_query.ColumnRef)
		if !ok || len(r.Fields) < 3 {
			return true
		}
		relation := r.Fields[:len(r.Fields)-1]
		names := nodeNames(relation)
		if len(names) == 3 && names[0] == s.info.Database {
			names = names[1:]
		}
		if len(names) == 2 && names[0] == o.Schema && names[1] == o.Name {
			r.Fields = r.Fields[len(relation)-1:]
		}
		return true
	})
}

func (s *Session) modifying(cat *schema.Catalog, o *tables.Object, view *viewTarget, rv *pg_query.RangeVar, kind byte, from []*pg_query.Node) *rowWrite {
	w := &rowWrite{s: s, cat: cat, table: o, view: view, kind: kind, joined: len(from) > 0, event: eventTableOf(cat, rv)}
	w.alias = w.named().Name
	if rv.Alias != nil {
		w.alias = rv.Alias.Aliasname
	}
	return w
}

// stageSelect is the SELECT that stages.
func (w *rowWrite) stageSelect(with *pg_query.WithClause, items, from []*pg_query.Node, where *pg_query.Node) *pg_query.Node {
	n := selectNode(items, append([]*pg_query.Node{w.target()}, from...)...)
	n.GetSelectStmt().WhereClause, n.GetSelectStmt().WithClause = where, with
	return n
}

// planModify plans the staging SELECT and RETURNING of an UPDATE or DELETE. targets are the columns that the items are assigned to.
func (w *rowWrite) planModify(ctx context.Context, st *parse.SQL, with *pg_query.WithClause, items, from []*pg_query.Node, where *pg_query.Node, returning []*pg_query.Node, targets []analyze.Target, given []vector.Type) error {
	if where.GetCurrentOfExpr() != nil {
		return fail(codeUnsupported, "WHERE CURRENT OF is not supported")
	}
	if len(returning) > 0 {
		more, err := w.keepFrom(ctx, st, with, from, given)
		if err != nil {
			return err
		}
		items = append(items, more...)
	}
	clause := "UPDATE"
	if w.kind == 'd' {
		clause = ""
	}
	if targets == nil {
		targets = []analyze.Target{}
	}
	done, err := w.stageTyped(ctx, st, w.stageSelect(with, items, from, where), given, assignment{targets: targets, clause: clause})
	if err != nil {
		return err
	}
	if !done {
		if w.view != nil {
			return fail(codeUnsupported, "a change through view %q by what features or their joins compute is not supported", w.view.view.Name)
		}
		if err := w.stageUntyped(ctx, st, with, items, from, where, targets, given); err != nil {
			return err
		}
	}
	return w.bindReturning(ctx, st.Text, returning, given)
}

// stageUntyped plans a staging SELECT that is not analyzed: its values are cast to their columns.
func (w *rowWrite) stageUntyped(ctx context.Context, st *parse.SQL, with *pg_query.WithClause, items, from []*pg_query.Node, where *pg_query.Node, targets []analyze.Target, given []vector.Type) error {
	s, o := w.s, w.table
	nodes := make([]*pg_query.Node, len(items))
	cols := make([]*tables.Column, len(targets))
	for i := range targets {
		if c := o.Column(targets[i].Name); c != nil {
			t := items[i].GetResTarget()
			if err := s.fits(st.Text, t.Val, c); err != nil {
				return err
			}
			t.Val = s.coerced(t.Val, c)
			cols[i], nodes[i] = c, t.Val
		}
	}
	if err := w.plainTypes(ctx, st, with, items, where, from, nodes, cols, given); err != nil {
		return err
	}
	for i, c := range cols {
		if c != nil {
			items[i].GetResTarget().Val = castTo(items[i].GetResTarget().Val, c)
		}
	}
	stage := w.stageSelect(with, items, from, where)
	if w.kind == 'u' {
		var err error
		if stage, err = s.finished(o, stage); err != nil {
			return err
		}
	}
	_, err := w.describeStage(ctx, st, stage, given)
	return err
}

// plainTypes checks the types of values before they are cast to those of their columns.
func (w *rowWrite) plainTypes(ctx context.Context, st *parse.SQL, with *pg_query.WithClause, items []*pg_query.Node, where *pg_query.Node, from, nodes []*pg_query.Node, cols []*tables.Column, given []vector.Type) error {
	if !st.Clauses.Empty() {
		return nil
	}
	if where != nil {
		items = append(slices.Clone(items), pg_query.MakeResTargetNodeWithVal(where, 0))
	}
	stage := clone(w.stageSelect(with, items, from, nil))
	b := w.s.binderAt(ctx, w.cat, st.Text, true)
	if err := w.describeTarget(b, false); err != nil {
		return err
	}
	if _, err := w.s.planQuery(b, &parse.SQL{Text: st.Text, Plain: st.Plain, Node: stage}); err != nil {
		return err
	}
	_, columns, err := w.s.describeNode(ctx, b, stage, given)
	if err != nil {
		return withoutCandidates(err)
	}
	if len(columns) < len(cols) || columns[0].Type.Kind == vector.Invalid {
		return nil
	}
	if t := columns[len(columns)-1].Type; where != nil && t.Kind != vector.Bool && t.Kind != vector.Null && !isUnknown(where) && where.GetParamRef() == nil {
		return at(fail(codeTypeMismatch, "argument of WHERE must be type boolean, not type %s", typeWord(t)), st.Text, nodeLocation(where))
	}
	return w.checkTypes(st.Text, cols, columns, nodes)
}

// keepFrom are the items of a staging SELECT that keep what RETURNING may read of FROM or USING.
func (w *rowWrite) keepFrom(ctx context.Context, st *parse.SQL, with *pg_query.WithClause, from []*pg_query.Node, given []vector.Type) ([]*pg_query.Node, error) {
	s := w.s
	var items []*pg_query.Node
	for _, f := range from {
		for _, l := range leaves(f) {
			star := &pg_query.Node{Node: &pg_query.Node_AStar{AStar: &pg_query.A_Star{}}}
			probe := selectNode([]*pg_query.Node{pg_query.MakeResTargetNodeWithVal(pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(l.alias), star}, 0), 0)}, w.target())
			probe.GetSelectStmt().FromClause = append(probe.GetSelectStmt().FromClause, from...)
			probe.GetSelectStmt().WithClause = with
			b := s.binderAt(ctx, w.cat, st.Text, true)
			if err := w.describeTarget(b, true); err != nil {
				return nil, err
			}
			p, err := s.typedPart(b, st, probe, given, assignment{}, false)
			if err != nil {
				return nil, err
			}
			var columns []session.Column
			if p != nil {
				columns = p.columns
			} else {
				b = s.binderAt(ctx, w.cat, st.Text, true)
				if err := w.describeTarget(b, false); err != nil {
					return nil, err
				}
				inner := st.Part(probe)
				if _, err := s.planQuery(b, inner); err != nil {
					return nil, err
				}
				if _, columns, err = s.describeNode(ctx, b, inner.Node, given); err != nil {
					return nil, withoutCandidates(err)
				}
			}
			for _, c := range columns {
				k := fromColumn{qualifier: l.alias, name: c.Name, staged: fmt.Sprintf("__from_%d", len(w.from)+1), typ: c.Type}
				w.from = append(w.from, k)
				items = append(items, namedTarget(k.staged, columnRef(k.qualifier, k.name, 0)))
			}
		}
	}
	return items, nil
}

// assignments are the values of SET, by column.
func (s *Session) assignments(sql string, o *tables.Object, list []*pg_query.Node) (map[string]*pg_query.Node, error) {
	out := map[string]*pg_query.Node{}
	for _, item := range list {
		t := item.GetResTarget()
		c := o.Column(t.Name)
		if c == nil {
			return nil, at(fail(codeUndefinedColumn, "column %q of relation %q does not exist", t.Name, o.Name), sql, int(t.Location))
		}
		if len(t.Indirection) > 0 {
			return nil, at(fail(codeUnsupported, "assignment to an element of column %q is not supported", t.Name), sql, int(t.Location))
		}
		if out[c.Name] != nil {
			return nil, fail("42601", "multiple assignments to same column %q", c.Name)
		}
		v := t.Val
		if m := v.GetMultiAssignRef(); m != nil {
			var err error
			if v, err = multiAssigned(sql, m); err != nil {
				return nil, err
			}
		}
		isDefault := v.GetSetToDefault() != nil
		switch {
		case c.Generated != "" && !isDefault:
			e := fail("428C9", "column %q can only be updated to DEFAULT", c.Name)
			e.Detail, e.Position = fmt.Sprintf("Column %q is a generated column.", c.Name), noPlace
			return nil, e
		case c.Identity == "a" && !isDefault:
			e := fail("428C9", "column %q can only be updated to DEFAULT", c.Name)
			e.Detail, e.Position = fmt.Sprintf("Column %q is an identity column defined as GENERATED ALWAYS.", c.Name), noPlace
			return nil, e
		case isDefault:
			var err error
			if v, err = s.defaultExpr(c); err != nil {
				return nil, err
			}
		}
		out[c.Name] = v
	}
	return out, nil
}

// multiAssigned is one value of SET (a, b) = …: an element of a row, or a column of a subquery that gives at most one row.
func multiAssigned(sql string, m *pg_query.MultiAssignRef) (*pg_query.Node, error) {
	if r := m.Source.GetRowExpr(); r != nil {
		if len(r.Args) != int(m.Ncolumns) {
			return nil, at(fail("42601", "number of columns does not match number of values"), sql, nodeLocation(m.Source))
		}
		return r.Args[m.Colno-1], nil
	}
	link := m.Source.GetSubLink()
	if link == nil {
		return nil, at(fail(codeUnsupported, "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression"), sql, nodeLocation(m.Source))
	}
	sel := link.Subselect.GetSelectStmt()
	if sel.Op == pg_query.SetOperation_SETOP_NONE && len(sel.ValuesLists) == 0 {
		star := slices.ContainsFunc(sel.TargetList, func(t *pg_query.Node) bool {
			f := t.GetResTarget().GetVal().GetColumnRef().GetFields()
			return len(f) > 0 && f[len(f)-1].GetAStar() != nil
		})
		if !star && len(sel.TargetList) != int(m.Ncolumns) {
			return nil, at(fail("42601", "number of columns does not match number of values"), sql, nodeLocation(m.Source))
		}
	}
	sub := subselect(clone(link.Subselect), "__row")
	for k := range m.Ncolumns {
		sub.GetRangeSubselect().Alias.Colnames = append(sub.GetRangeSubselect().Alias.Colnames, pg_query.MakeStrNode(fmt.Sprintf("__v%d", k+1)))
	}
	one := selectNode([]*pg_query.Node{pg_query.MakeResTargetNodeWithVal(columnRef("__row", fmt.Sprintf("__v%d", m.Colno), 0), 0)}, sub)
	return &pg_query.Node{Node: &pg_query.Node_SubLink{SubLink: &pg_query.SubLink{SubLinkType: pg_query.SubLinkType_EXPR_SUBLINK, Subselect: one}}}, nil
}
