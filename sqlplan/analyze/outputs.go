package analyze

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"google.golang.org/protobuf/proto"
)

// found is an output that an item of GROUP BY, DISTINCT ON or ORDER BY means, −1 where it is an expression of its own.
func (a *analyzer) outputOf(n *pg_query.Node, sc *scope, clause string, inputFirst bool) (int, error) {
	q := sc.query
	if c := n.GetAConst(); c != nil && !c.Isnull {
		i, ok := c.Val.(*pg_query.A_Const_Ival)
		if !ok {
			return -1, fail("42601", c.Location, "non-integer constant in %s", clause)
		}
		at := int(i.Ival.GetIval()) - 1
		if at < 0 || at >= len(q.targets) {
			return -1, fail("42P10", c.Location, "%s position %d is not in select list", clause, at+1)
		}
		return at, nil
	}
	f := n.GetColumnRef().GetFields()
	if len(f) != 1 {
		return -1, nil
	}
	name := f[0].GetString_().GetSval()
	if inputFirst {
		_, found, unsure, err := a.inScope(n, name, sc, n.GetColumnRef().Location)
		if err != nil {
			return -1, err
		}
		if found || unsure {
			return -1, nil
		}
	}
	at := -1
	for i, t := range q.targets {
		if t.name != name {
			continue
		}
		if at >= 0 && !proto.Equal(q.targets[at].v.n, t.v.n) {
			return -1, fail("42702", n.GetColumnRef().Location, "%s %q is ambiguous", clause, name)
		}
		if at < 0 {
			at = i
		}
	}
	return at, nil
}

func (a *analyzer) groupItem(n *pg_query.Node, sc *scope, known bool) (*pg_query.Node, error) {
	if gs := n.GetGroupingSet(); gs != nil {
		for i, c := range gs.Content {
			v, err := a.groupItem(c, sc, known)
			if err != nil {
				return nil, err
			}
			gs.Content[i] = v
		}
		return n, nil
	}
	if r := n.GetRowExpr(); r != nil && r.RowFormat == pg_query.CoercionForm_COERCE_IMPLICIT_CAST {
		for i, c := range r.Args {
			v, err := a.groupItem(c, sc, known)
			if err != nil {
				return nil, err
			}
			r.Args[i] = v
		}
		return n, nil
	}
	if !known {
		if _, ok := n.GetAConst().GetVal().(*pg_query.A_Const_Ival); ok || len(n.GetColumnRef().GetFields()) == 1 {
			return n, nil
		}
	}
	at, err := a.outputOf(n, sc, "GROUP BY", true)
	if err != nil {
		return nil, err
	}
	if at >= 0 {
		t := sc.query.targets[at].v
		if keyed(t) && sc.query.plainGroups {
			return a.groupByKey(t, sc), nil
		}
		if a.aggregates[t.n] {
			return nil, fail("42803", t.at, "aggregate functions are not allowed in GROUP BY")
		}
		if err := a.groupable(t); err != nil {
			return nil, err
		}
		if t.unknown() {
			t, err = a.settled(t)
		}
		return copyOf(t.n), err
	}
	old := a.clause
	a.clause = "GROUP BY"
	v, err := a.expr(n, sc)
	a.clause = old
	if err != nil {
		return nil, err
	}
	if keyed(v) && sc.query.plainGroups {
		return a.groupByKey(v, sc), nil
	}
	return v.n, a.groupable(v)
}

// groupByKey groups by what is equal for equal values, whatever their texts; outputs that are the value show one of the group.
func (a *analyzer) groupByKey(v value, sc *scope) *pg_query.Node {
	expr := copyOf(v.n)
	for i := range sc.query.targets {
		t := &sc.query.targets[i]
		if same3(t.v.n, expr) {
			t.v.n = call("any_value", copyOf(expr))
			t.res.Val = t.v.n
			t.groupKey = key(value{n: copyOf(expr), t: v.t, dec: v.dec})
		}
	}
	return key(value{n: expr, t: v.t, dec: v.dec})
}

func (a *analyzer) groupable(v value) error {
	if err := unordered(v.t, "equality", v.at); err != nil {
		return err
	}
	if keyed(v) {
		e := fail("0A000", v.at, "grouping by %s without a fixed scale is not supported", typeName(v.t))
		e.Hint = "Cast it to numeric(p,s) first."
		return e
	}
	return nil
}

func (a *analyzer) distinct(sel *pg_query.SelectStmt, sc *scope, known bool) error {
	if len(sel.DistinctClause) == 0 {
		return nil
	}
	if len(sel.DistinctClause) == 1 && sel.DistinctClause[0].Node == nil || sel.DistinctClause[0] == nil {
		byKey := false
		for _, t := range sc.query.targets {
			if keyed(t.v) {
				byKey = true
				continue
			}
			if err := a.groupable(t.v); err != nil {
				return err
			}
		}
		if byKey && known { // one row of those whose keys are equal
			sel.DistinctClause = nil
			for _, t := range sc.query.targets {
				v, err := a.settled(t.v)
				if err != nil {
					return err
				}
				sel.DistinctClause = append(sel.DistinctClause, key(value{n: copyOf(v.n), t: v.t, dec: v.dec}))
			}
			sc.query.distinctKeys = true
		}
		return nil
	}
	places := make([]int32, len(sel.DistinctClause))
	for i, n := range sel.DistinctClause {
		places[i] = location(n)
		at, err := -1, error(nil)
		if known {
			if at, err = a.outputOf(n, sc, "DISTINCT ON", false); err != nil {
				return err
			}
		} else if len(n.GetColumnRef().GetFields()) == 1 {
			continue
		}
		if at >= 0 {
			v := sc.query.targets[at].v
			sel.DistinctClause[i] = key(value{n: copyOf(v.n), t: v.t, dec: v.dec})
			continue
		}
		v, err := a.expr(n, sc)
		if err != nil {
			return err
		}
		sel.DistinctClause[i] = key(v)
	}
	if !known {
		return nil
	}
	// The first items of ORDER BY are those of DISTINCT ON.
	want := len(sel.DistinctClause)
	for i, s := range sel.SortClause {
		if i >= want {
			break
		}
		v, err := a.sortKey(proto.Clone(s.GetSortBy().Node).(*pg_query.Node), sc)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(sel.DistinctClause, func(d *pg_query.Node) bool { return same3(d, v.n) }) {
			return fail("42P10", places[0], "SELECT DISTINCT ON expressions must match initial ORDER BY expressions")
		}
	}
	return nil
}

func same3(a, b *pg_query.Node) bool { return proto.Equal(a, b) }

// sortKey is what an item of ORDER BY orders by.
func (a *analyzer) sortKey(n *pg_query.Node, sc *scope) (value, error) {
	at, err := a.outputOf(n, sc, "ORDER BY", false)
	if err != nil {
		return value{}, err
	}
	var v value
	if at >= 0 {
		v = sc.query.targets[at].v
		v.n = copyOf(v.n)
		if k := sc.query.targets[at].groupKey; k != nil {
			v.n, v.cmp = copyOf(k), true
		}
	} else if v, err = a.output(n, sc); err != nil {
		return v, err
	}
	if err := unordered(v.t, "ordering", v.at); err != nil {
		return v, err
	}
	if v.t != 0 && !v.unknown() && !comparableType(v.t) && v.t != oidRecord {
		return v, fail("0A000", v.at, "ordering by %s is not supported", typeName(v.t))
	}
	v.n = key(v)
	return v, nil
}

func (a *analyzer) sort(sel *pg_query.SelectStmt, sc *scope) error {
	distinct := len(sel.DistinctClause) > 0
	for _, s := range sel.SortClause {
		sort := s.GetSortBy()
		if err := a.sortUsing(sort); err != nil {
			return err
		}
		at, err := a.outputOf(sort.Node, sc, "ORDER BY", false)
		if err != nil {
			return err
		}
		pos := location(sort.Node)
		v, err := a.sortKey(sort.Node, sc)
		if err != nil {
			return err
		}
		plain := len(sel.DistinctClause) == 1 && sel.DistinctClause[0].Node == nil || sc.query.distinctKeys
		switch {
		case v.row != nil:
			return fail("0A000", pos, "ordering by a row is not supported")
		case at >= 0 && same3(v.n, sc.query.targets[at].v.n):
			sort.Node = pg_query.MakeAConstIntNode(int64(at+1), 0)
		case distinct && plain:
			found := slices.IndexFunc(sc.query.targets, func(t target) bool { return same3(key(t.v), v.n) })
			if found >= 0 && sc.query.distinctKeys {
				sort.Node = v.n
				break
			}
			if found < 0 {
				return fail("42P10", pos, "for SELECT DISTINCT, ORDER BY expressions must appear in select list")
			}
			sort.Node = pg_query.MakeAConstIntNode(int64(found+1), 0)
		case v.unknown():
			sort.Node = castTo(null(), "text") // all rows are equal
		default:
			sort.Node = v.n
		}
	}
	return nil
}

// windowDef analyzes OVER (…) and WINDOW w AS (…).
func (a *analyzer) windowDef(w *pg_query.WindowDef, sc *scope) error {
	if w == nil {
		return nil
	}
	old := a.clause
	a.clause = "window definitions"
	defer func() { a.clause = old }()
	for i, n := range w.PartitionClause {
		v, err := a.expr(n, sc)
		if err != nil {
			return err
		}
		w.PartitionClause[i] = key(v)
	}
	var last value
	for _, s := range w.OrderClause {
		sort := s.GetSortBy()
		if err := a.sortUsing(sort); err != nil {
			return err
		}
		v, err := a.expr(sort.Node, sc)
		if err != nil {
			return err
		}
		last = v
		sort.Node = key(v)
	}
	const ranged = 0x2 // FRAMEOPTION_RANGE
	for _, off := range []**pg_query.Node{&w.StartOffset, &w.EndOffset} {
		if *off == nil {
			continue
		}
		v, err := a.expr(*off, sc)
		if err != nil {
			return err
		}
		if v.t == 0 || last.t == 0 && w.FrameOptions&ranged != 0 {
			*off = v.n
			continue
		}
		if w.FrameOptions&ranged == 0 {
			if v, err = a.coerce(v, oidInt8, -1, implicit); err != nil {
				return err
			}
			*off = v.n
			continue
		}
		switch {
		case isInt(last.t):
			v, err = a.coerce(v, last.t, -1, implicit)
		case isFloat(last.t):
			v, err = a.coerce(v, oidFloat8, -1, implicit)
		case isMoment(last.t), last.t == oidInterval, last.t == oidTime:
			v, err = a.coerce(v, oidInterval, -1, implicit)
		case last.t == oidNumeric && last.dec:
			if v, err = a.coerce(v, oidNumeric, -1, implicit); err == nil && !v.dec {
				err = fail("0A000", v.at, "RANGE with an offset of numeric without a fixed scale is not supported")
			}
		default:
			err = fail("0A000", v.at, "RANGE with offset PRECEDING/FOLLOWING is not supported for column type %s and offset type %s", typeName(last.t), typeName(v.t))
		}
		if err != nil {
			return err
		}
		*off = v.n
	}
	if w.FrameOptions&ranged != 0 && (w.StartOffset != nil || w.EndOffset != nil) && len(w.OrderClause) != 1 {
		return fail("42P20", w.Location, "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column")
	}
	return nil
}

// wrapQuery is a query whose outputs are changed: SELECT out, … FROM (query) AS __s(__c1, …).
func wrapQuery(n *pg_query.Node, cols []column) *pg_query.Node {
	alias := &pg_query.Alias{Aliasname: "__s"}
	outer := &pg_query.SelectStmt{LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}
	for i, c := range cols {
		name := "__c" + itoa(i+1)
		alias.Colnames = append(alias.Colnames, pg_query.MakeStrNode(name))
		out := c.out
		if out == nil {
			out = columnNode("__s", name)
		}
		t := pg_query.MakeResTargetNodeWithVal(out, 0)
		t.GetResTarget().Name = name
		outer.TargetList = append(outer.TargetList, t)
	}
	outer.FromClause = []*pg_query.Node{{Node: &pg_query.Node_RangeSubselect{RangeSubselect: &pg_query.RangeSubselect{Subquery: n, Alias: alias}}}}
	return &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: outer}}
}

// figureName is the name of an output without an alias.
func figureName(n *pg_query.Node) string { return parse.FigureColumnName(n) }
