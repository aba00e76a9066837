package analyze

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// values analyzes VALUES.
func (a *analyzer) values(sel *pg_query.SelectStmt, sc *scope) (*body, error) {
	var rows [][]value
	for _, l := range sel.ValuesLists {
		items := l.GetList().GetItems()
		old := a.clause
		a.clause = "VALUES"
		vs, err := a.exprs(items, sc)
		a.clause = old
		if err != nil {
			return nil, err
		}
		if len(rows) > 0 && len(vs) != len(rows[0]) {
			at := int32(-1)
			if len(items) > 0 {
				at = vs[0].at
			}
			return nil, fail("42601", at, "VALUES lists must all be the same length")
		}
		rows = append(rows, vs)
	}
	b := &body{}
	for i := range rows[0] {
		col := make([]value, len(rows))
		for r := range rows {
			col[r] = rows[r][i]
		}
		out := column{name: "column" + itoa(i+1), mod: -1}
		allUnknown := !slices.ContainsFunc(col, func(v value) bool { return !v.unknown() })
		if allUnknown {
			out.t, out.unknown = oidUnknown, true
			if slices.ContainsFunc(col, func(v value) bool { return v.param > 0 }) {
				out.unknown = true
			}
		} else {
			same, form, err := a.unify(col, "VALUES")
			if err != nil {
				return nil, err
			}
			out.t, out.mod, out.dec, out.prec, out.scale = form.t, form.mod, form.dec, form.prec, form.scale
			for r := range rows {
				rows[r][i] = same[r]
			}
			if form.t == 0 {
				for r, v := range col {
					rows[r][i] = v
				}
			}
		}
		b.outputs = append(b.outputs, out)
	}
	put := func() {
		for r, l := range sel.ValuesLists {
			for i := range rows[r] {
				if rows[r][i].row == nil {
					l.GetList().Items[i] = rows[r][i].n
				}
			}
		}
	}
	b.set = func(i int, t OID, form value) error {
		for r := range rows {
			v, err := a.formed(rows[r][i], t, form)
			if err != nil {
				return err
			}
			rows[r][i] = v
		}
		put()
		return nil
	}
	put()
	var keys []int
	for _, s := range sel.SortClause {
		if err := a.sortUsing(s.GetSortBy()); err != nil {
			return nil, err
		}
		f := s.GetSortBy().Node.GetColumnRef().GetFields()
		at := -1
		if len(f) == 1 {
			at = slices.IndexFunc(b.outputs, func(c column) bool { return c.name == f[0].GetString_().GetSval() })
		} else if c, ok := s.GetSortBy().Node.GetAConst().GetVal().(*pg_query.A_Const_Ival); ok {
			at = int(c.Ival.GetIval()) - 1
		}
		if at < 0 || at >= len(b.outputs) {
			return nil, fail("0A000", location(s.GetSortBy().Node), "VALUES is ordered by its columns")
		}
		if err := b.settle(a, at); err != nil {
			return nil, err
		}
		keys = append(keys, at)
	}
	b.order(sel, keys)
	return b, nil
}

// formed is v of type t, and if that is numeric, kept as form is.
func (a *analyzer) formed(v value, t OID, form value) (value, error) {
	if v.t == 0 {
		return v, nil
	}
	out, err := a.coerce(v, t, -1, implicit)
	if err != nil {
		return out, err
	}
	if t == oidNumeric {
		if !form.dec {
			return textual(out), nil
		}
		if out.prec != form.prec || out.scale != form.scale || !out.dec {
			return decimalValue(castTo(out.n, "numeric", form.prec, form.scale), form.prec, form.scale, out.at), nil
		}
	}
	return out, nil
}

func (a *analyzer) plainSelect(sel *pg_query.SelectStmt, sc *scope) (*body, error) {
	q := sc.query
	for i, f := range sel.FromClause {
		s, err := a.fromItem(f, sc)
		if err != nil {
			return nil, err
		}
		_ = i
		q.shown = append(q.shown, s)
	}
	if sel.WhereClause != nil {
		v, err := a.inClause(sel.WhereClause, sc, "WHERE")
		if err != nil {
			return nil, err
		}
		sel.WhereClause = v.n
	}
	for _, w := range sel.WindowClause {
		if err := a.windowDef(w.GetWindowDef(), sc); err != nil {
			return nil, err
		}
		q.windows[w.GetWindowDef().Name] = true
	}
	// The outputs; * is written out where it is known.
	var list []*pg_query.Node
	known := true
	for _, n := range sel.TargetList {
		r := n.GetResTarget()
		if f := r.Val.GetColumnRef().GetFields(); len(f) > 0 && f[len(f)-1].GetAStar() != nil {
			vs, names, ok, err := a.star(f, sc, r.Val.GetColumnRef().Location)
			if err != nil {
				return nil, err
			}
			if !ok {
				known, a.untyped = false, true
				list = append(list, n)
				continue
			}
			for i, v := range vs {
				res := pg_query.MakeResTargetNodeWithVal(v.n, r.Location)
				res.GetResTarget().Name = names[i]
				list = append(list, res)
				q.targets = append(q.targets, target{v: v, name: names[i], res: res.GetResTarget(), origin: v.shows()})
			}
			continue
		}
		name := r.Name
		if name == "" {
			name = figureName(r.Val)
		}
		old := a.clause
		if sc.outer == nil && a.env.Clause != "" {
			a.clause = a.env.Clause
		}
		v, err := a.output(r.Val, sc)
		a.clause = old
		if err != nil {
			return nil, err
		}
		if v.t == oidRecord {
			return nil, fail("0A000", v.at, "values of type record are not supported")
		}
		r.Val = v.n
		if r.Name == "" && !(v.t == 0 && r.Val.GetColumnRef() != nil) {
			r.Name = name
		}
		list = append(list, n)
		q.targets = append(q.targets, target{v: v, name: name, res: r, origin: v.shows()})
	}
	sel.TargetList = list
	q.plainGroups = !slices.ContainsFunc(sel.GroupClause, func(g *pg_query.Node) bool { return g.GetGroupingSet() != nil })
	for i, g := range sel.GroupClause {
		v, err := a.groupItem(g, sc, known)
		if err != nil {
			return nil, err
		}
		sel.GroupClause[i] = v
	}
	if sel.HavingClause != nil {
		v, err := a.boolean(sel.HavingClause, sc, "HAVING")
		if err != nil {
			return nil, err
		}
		sel.HavingClause = v.n
	}
	if err := a.distinct(sel, sc, known); err != nil {
		return nil, err
	}
	if known {
		if err := a.sort(sel, sc); err != nil {
			return nil, err
		}
	} else if err := a.sortUnknown(sel, sc); err != nil {
		return nil, err
	}
	if !known {
		return nil, nil
	}
	b := &body{}
	for _, t := range q.targets {
		b.outputs = append(b.outputs, column{name: t.name, t: t.v.t, mod: t.v.mod, dec: t.v.dec, prec: t.v.prec, scale: t.v.scale, sql: t.name, unknown: t.v.unknown(), at: t.v.at, origin: t.origin})
	}
	b.set = func(i int, t OID, form value) error {
		v, err := a.formed(q.targets[i].v, t, form)
		if err != nil {
			return err
		}
		if v.at < 0 {
			v.at = q.targets[i].v.at
		}
		q.targets[i].v, q.targets[i].res.Val = v, v.n
		return nil
	}
	b.assign = func(i int, t *Target) error {
		v, err := a.assign(q.targets[i].v, t)
		if err != nil {
			return err
		}
		q.targets[i].v, q.targets[i].res.Val = v, v.n
		b.outputs[i] = assignedColumn(b.outputs[i], v)
		return nil
	}
	return b, nil
}

// output analyzes an output, in which functions that return sets may stand.
func (a *analyzer) output(n *pg_query.Node, sc *scope) (value, error) {
	a.setsAllowed++
	defer func() { a.setsAllowed-- }()
	return a.expr(n, sc)
}

// sortUsing makes ASC or DESC of USING.
func (a *analyzer) sortUsing(s *pg_query.SortBy) error {
	if s.SortbyDir != pg_query.SortByDir_SORTBY_USING {
		return nil
	}
	switch name, _ := operatorName(s.UseOp); name {
	case "<":
		s.SortbyDir = pg_query.SortByDir_SORTBY_ASC
	case ">":
		s.SortbyDir = pg_query.SortByDir_SORTBY_DESC
	default:
		e := fail("42809", s.Location, "operator %s is not a valid ordering operator", name)
		e.Hint = `Ordering operators must be "<" or ">" members of btree operator families.`
		return e
	}
	s.UseOp = nil
	return nil
}

func (a *analyzer) sortUnknown(sel *pg_query.SelectStmt, sc *scope) error {
	for _, s := range sel.SortClause {
		sort := s.GetSortBy()
		if err := a.sortUsing(sort); err != nil {
			return err
		}
		if _, ok := sort.Node.GetAConst().GetVal().(*pg_query.A_Const_Ival); ok {
			continue
		}
		if f := sort.Node.GetColumnRef().GetFields(); len(f) == 1 {
			continue // an output's name, perhaps
		}
		v, err := a.expr(sort.Node, &scope{outer: sc.outer, ctes: sc.ctes, rels: append([]*relation{{opaque: true}}, sc.rels...), merged: sc.merged, query: sc.query})
		if err != nil {
			return err
		}
		sort.Node = v.n
	}
	return nil
}
