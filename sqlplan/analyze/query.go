package analyze

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// queryState is what is known of a SELECT while it is analyzed.
type queryState struct {
	shown   [][]shown
	targets []target
	windows map[string]bool
	// plainGroups: GROUP BY has no GROUPING SETS. distinctKeys: DISTINCT is by keys of the outputs.
	plainGroups, distinctKeys bool
}

// target is an output of a SELECT.
type target struct {
	v    value
	name string
	res  *pg_query.ResTarget
	// groupKey is what GROUP BY groups the output by, where that is not the output.
	groupKey *pg_query.Node
	origin   Origin
}

// query analyzes a SELECT, VALUES or set operation; its outputs are nil where they are not known. inner: nobody but an outer
// query sees the outputs.
func (a *analyzer) query(n *pg_query.Node, outer *scope, inner bool) ([]column, error) {
	sel := n.GetSelectStmt()
	if sel == nil {
		a.untyped = true
		return nil, nil
	}
	return a.selectStmt(sel, outer, inner)
}

func (a *analyzer) selectStmt(sel *pg_query.SelectStmt, outer *scope, inner bool) ([]column, error) {
	if a.depth++; a.depth > maxDepth {
		return nil, fail("54001", -1, "stack depth limit exceeded")
	}
	clause := a.clause
	a.clause = ""
	agg := a.inAggregate
	a.inAggregate = false
	defer func() { a.depth--; a.clause = clause; a.inAggregate = agg }()
	q, err := a.selectBody(sel, outer)
	if err != nil {
		return nil, err
	}
	if q == nil {
		return nil, nil
	}
	if sel == a.env.Source {
		if err := a.assignedSource(q); err != nil {
			return nil, err
		}
	}
	for i := range q.outputs {
		if err := q.settle(a, i); err != nil {
			return nil, err
		}
	}
	return q.outputs, nil
}

// body is an analyzed query whose outputs may still be given types.
type body struct {
	outputs []column
	// leaves are the lists of outputs by part of a set operation, which are coerced together.
	set func(i int, t OID, form value) error // makes output i of every part of type t and the form's kind of numeric
	// grouped: a set operation of rows whose equals can differ in their text, so that it is grouped by keys.
	grouped bool
	// assign assigns output i to a column; nil: the outputs are those of several parts.
	assign func(i int, t *Target) error
}

// settle gives an output that is an untyped literal the type text.
func (b *body) settle(a *analyzer, i int) error {
	if !b.outputs[i].unknown {
		return nil
	}
	b.outputs[i].t, b.outputs[i].unknown = oidText, false
	return b.set(i, oidText, value{t: oidText})
}

func (a *analyzer) selectBody(sel *pg_query.SelectStmt, outer *scope) (*body, error) {
	sc := &scope{outer: outer, query: &queryState{windows: map[string]bool{}}}
	if sel.WithClause != nil {
		if err := a.with(sel.WithClause, sc); err != nil {
			return nil, err
		}
	}
	sel.LockingClause = nil // DuckDB has no row locks
	var b *body
	var err error
	switch {
	case sel.Op != pg_query.SetOperation_SETOP_NONE && sel.Larg != nil:
		b, err = a.setOperation(sel, sc)
	case len(sel.ValuesLists) > 0 && a.env.Source == sel && len(sel.SortClause) == 0 && sel.LimitCount == nil && sel.LimitOffset == nil:
		b, err = a.assignedValues(sel, sc)
	case len(sel.ValuesLists) > 0:
		b, err = a.values(sel, sc)
	default:
		b, err = a.plainSelect(sel, sc)
	}
	if err != nil {
		return nil, err
	}
	if sel.LimitOption == pg_query.LimitOption_LIMIT_OPTION_WITH_TIES {
		if err := a.withTies(sel, b); err != nil {
			return nil, err
		}
	}
	for i, l := range []**pg_query.Node{&sel.LimitOffset, &sel.LimitCount} {
		if *l == nil {
			continue
		}
		if err := a.limit(l, sc, []string{"OFFSET", "LIMIT"}[i]); err != nil {
			return nil, err
		}
	}
	return b, err
}

// withTies writes FETCH FIRST … WITH TIES, which DuckDB lacks, as a condition on the rank.
func (a *analyzer) withTies(sel *pg_query.SelectStmt, b *body) error {
	if len(sel.SortClause) == 0 {
		return fail("42601", -1, "WITH TIES cannot be specified without ORDER BY clause")
	}
	if b == nil || sel.Op != pg_query.SetOperation_SETOP_NONE || len(sel.DistinctClause) > 0 || sel.LimitOffset != nil || len(sel.ValuesLists) > 0 {
		return fail("0A000", -1, "WITH TIES is not supported in this query")
	}
	var order []*pg_query.Node
	for _, s := range sel.SortClause {
		o := copyOf(s)
		if n, ok := o.GetSortBy().Node.GetAConst().GetVal().(*pg_query.A_Const_Ival); ok {
			o.GetSortBy().Node = copyOf(sel.TargetList[n.Ival.GetIval()-1].GetResTarget().Val)
		}
		order = append(order, o)
	}
	rank := call("rank")
	rank.GetFuncCall().Over = &pg_query.WindowDef{OrderClause: order, FrameOptions: 1058} // the default frame
	inner := &pg_query.SelectStmt{TargetList: sel.TargetList, FromClause: sel.FromClause, WhereClause: sel.WhereClause, GroupClause: sel.GroupClause, GroupDistinct: sel.GroupDistinct,
		HavingClause: sel.HavingClause, WindowClause: sel.WindowClause, LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}
	alias := &pg_query.Alias{Aliasname: "__s"}
	var outer []*pg_query.Node
	for i, c := range b.outputs {
		name := "__c" + itoa(i+1)
		alias.Colnames = append(alias.Colnames, pg_query.MakeStrNode(name))
		t := pg_query.MakeResTargetNodeWithVal(columnNode("__s", name), 0)
		t.GetResTarget().Name = c.name
		outer = append(outer, t)
	}
	alias.Colnames = append(alias.Colnames, pg_query.MakeStrNode("__rank"))
	ranked := pg_query.MakeResTargetNodeWithVal(rank, 0)
	ranked.GetResTarget().Name = "__rank"
	inner.TargetList = append(inner.TargetList, ranked)
	count := sel.LimitCount
	if count == nil {
		count = integer(1)
	}
	sel.TargetList, sel.GroupClause, sel.HavingClause, sel.WindowClause = outer, nil, nil, nil
	sel.FromClause = []*pg_query.Node{{Node: &pg_query.Node_RangeSubselect{RangeSubselect: &pg_query.RangeSubselect{
		Subquery: &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: inner}}, Alias: alias}}}}
	sel.WhereClause = op("<=", columnNode("__s", "__rank"), castTo(count, "int8"))
	sel.SortClause = []*pg_query.Node{{Node: &pg_query.Node_SortBy{SortBy: &pg_query.SortBy{Node: columnNode("__s", "__rank"),
		SortbyDir: pg_query.SortByDir_SORTBY_DEFAULT, SortbyNulls: pg_query.SortByNulls_SORTBY_NULLS_DEFAULT}}}}
	sel.LimitCount, sel.LimitOption = nil, pg_query.LimitOption_LIMIT_OPTION_DEFAULT
	return nil
}

func (a *analyzer) limit(l **pg_query.Node, sc *scope, word string) error {
	if (*l).GetAConst().GetIsnull() {
		return nil
	}
	at := location(*l)
	old := a.clause
	a.clause = word
	v, err := a.expr(*l, &scope{outer: sc.outer})
	a.clause = old
	if err != nil || v.t == 0 {
		if err != nil {
			var e *Error
			if asErr(err, &e) && e.Code == "42703" {
				return fail("42P10", at, "argument of %s must not contain variables", word)
			}
			return err
		}
		*l = v.n
		return nil
	}
	if !v.unknown() && !canCoerce(v.t, oidInt8, assignment) {
		return fail("42804", v.at, "argument of %s must be type bigint, not type %s", word, typeName(v.t))
	}
	if v, err = a.coerce(v, oidInt8, -1, assignment); err != nil {
		return err
	}
	*l = v.n
	if n, ok := intConst(v.n); ok && n < 0 {
		return fail(map[string]string{"LIMIT": "2201W", "OFFSET": "2201X"}[word], -1, "%s must not be negative", word)
	}
	if s := v.n.GetTypeCast().GetArg(); s != nil {
		for s.GetTypeCast() != nil {
			s = s.GetTypeCast().Arg
		}
		if c, ok := s.GetAConst().GetVal().(*pg_query.A_Const_Sval); ok && len(c.Sval.GetSval()) > 0 && c.Sval.GetSval()[0] == '-' {
			code := map[string]string{"LIMIT": "2201W", "OFFSET": "2201X"}[word]
			return fail(code, -1, "%s must not be negative", word)
		}
		if s.GetAConst().GetIsnull() {
			*l = null()
			if word == "OFFSET" {
				*l = nil
			}
			return nil
		}
	}
	return nil
}

func (a *analyzer) with(w *pg_query.WithClause, sc *scope) error {
	sc.ctes = map[string]*cte{}
	for _, n := range w.Ctes {
		q := n.GetCommonTableExpr()
		if _, twice := sc.ctes[q.Ctename]; twice {
			return fail("42712", q.Location, "WITH query name %q specified more than once", q.Ctename)
		}
		if q.SearchClause != nil || q.CycleClause != nil {
			return fail("0A000", q.Location, "SEARCH and CYCLE are not supported")
		}
		sel := q.Ctequery.GetSelectStmt()
		if sel == nil {
			a.untyped = true
			sc.ctes[q.Ctename] = &cte{opaque: true}
			continue
		}
		var cols []column
		var err error
		if w.Recursive && sel.Op == pg_query.SetOperation_SETOP_UNION && mentions(sel.Rarg, q.Ctename) {
			cols, err = a.recursive(q, sel, sc)
		} else {
			cols, err = a.selectStmt(sel, &scope{outer: sc}, true)
		}
		if err != nil {
			return err
		}
		if cols == nil {
			a.untyped = true
			sc.ctes[q.Ctename] = &cte{opaque: true}
			continue
		}
		cols, err = a.nameCTE(q, cols)
		if err != nil {
			return err
		}
		sc.ctes[q.Ctename] = &cte{cols: cols}
	}
	return nil
}

// nameCTE names the columns of a WITH query, each once.
func (a *analyzer) nameCTE(q *pg_query.CommonTableExpr, cols []column) ([]column, error) {
	if len(q.Aliascolnames) > len(cols) {
		return nil, fail("42P10", q.Location, "WITH query %q has %d columns available but %d columns specified", q.Ctename, len(cols), len(q.Aliascolnames))
	}
	out := slices.Clone(cols)
	for i, c := range q.Aliascolnames {
		out[i].name = c.GetString_().GetSval()
	}
	seen := map[string]bool{}
	q.Aliascolnames = nil
	for i := range out {
		out[i].sql = unique(out[i].name, seen)
		q.Aliascolnames = append(q.Aliascolnames, pg_query.MakeStrNode(out[i].sql))
	}
	return out, nil
}

func mentions(m proto.Message, name string) bool {
	found := false
	walk(m, func(m proto.Message) bool {
		if rv, ok := m.(*pg_query.RangeVar); ok && rv.Relname == name && rv.Schemaname == "" {
			found = true
		}
		return !found
	})
	return found
}

func (a *analyzer) recursive(q *pg_query.CommonTableExpr, sel *pg_query.SelectStmt, sc *scope) ([]column, error) {
	if len(sel.SortClause) > 0 {
		return nil, fail("0A000", location(sel.SortClause[0]), "ORDER BY in a recursive query is not implemented")
	}
	if sel.LimitCount != nil || sel.LimitOffset != nil {
		return nil, fail("0A000", -1, "LIMIT in a recursive query is not implemented")
	}
	inner := &scope{outer: sc}
	if sel.WithClause != nil {
		if err := a.with(sel.WithClause, inner); err != nil {
			return nil, err
		}
	}
	left, err := a.selectStmt(sel.Larg, &scope{outer: inner}, true)
	if err != nil || left == nil {
		if err == nil { // analyze the rest as far as that goes
			sc.ctes[q.Ctename] = &cte{opaque: true}
			_, err = a.selectBody(sel.Rarg, &scope{outer: inner})
		}
		return nil, err
	}
	// A numeric of changing scale is kept as text from the start.
	for i := range left {
		left[i].unknown = false
		if left[i].t == oidNumeric {
			v := textual(left[i].value(columnNode("__s", "__c"+itoa(i+1))))
			left[i].out, left[i].dec = v.n, false
		}
	}
	if slices.ContainsFunc(left, func(c column) bool { return c.out != nil && c.out.GetColumnRef() == nil }) {
		sel.Larg = wrapQuery(&pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel.Larg}}, left).GetSelectStmt()
	}
	for i := range left {
		left[i].out = nil
	}
	named, err := a.nameCTE(q, left)
	if err != nil {
		return nil, err
	}
	sc.ctes[q.Ctename] = &cte{cols: named}
	right, err := a.selectBody(sel.Rarg, &scope{outer: inner})
	if err != nil {
		return nil, err
	}
	if right == nil {
		return nil, nil
	}
	if len(right.outputs) != len(left) {
		return nil, fail("42601", -1, "each UNION query must have the same number of columns")
	}
	for i, c := range right.outputs {
		t, with, ok := commonType([]OID{left[i].t, c.t})
		if !ok {
			return nil, fail("42804", -1, "UNION types %s and %s cannot be matched", typeName(left[i].t), typeName(with))
		}
		if t != left[i].t {
			e := fail("42804", -1, "recursive query %q column %d has type %s in non-recursive term but type %s overall", q.Ctename, i+1, typeWithMod(left[i].t, left[i].mod), typeName(t))
			e.Hint = "Cast the output of the non-recursive term to the correct type."
			return nil, e
		}
		if err := right.set(i, t, value{t: t}); err != nil {
			return nil, err
		}
	}
	if !sel.All {
		for _, c := range left {
			if keyed(c.value(nil)) {
				return nil, fail("0A000", -1, "UNION of %s without a fixed scale is not supported in a recursive query", typeName(c.t))
			}
		}
	}
	return named, nil
}

func typeWithMod(t OID, mod int32) string {
	if t == oidNumeric && mod >= 0 {
		p, s := numericOfMod(mod)
		return "numeric(" + itoa(p) + "," + itoa(s) + ")"
	}
	return typeName(t)
}

// setOperation analyzes UNION, INTERSECT and EXCEPT.
func (a *analyzer) setOperation(sel *pg_query.SelectStmt, sc *scope) (*body, error) {
	l, err := a.selectBody(sel.Larg, sc)
	if err != nil {
		return nil, err
	}
	r, err := a.selectBody(sel.Rarg, sc)
	if err != nil {
		return nil, err
	}
	name := map[pg_query.SetOperation]string{pg_query.SetOperation_SETOP_UNION: "UNION", pg_query.SetOperation_SETOP_INTERSECT: "INTERSECT", pg_query.SetOperation_SETOP_EXCEPT: "EXCEPT"}[sel.Op]
	if l == nil || r == nil {
		a.untyped = true
		if err := a.sortUnknown(sel, sc); err != nil {
			return nil, err
		}
		return nil, nil
	}
	if len(l.outputs) != len(r.outputs) {
		return nil, fail("42601", firstOutput(sel.Rarg), "each %s query must have the same number of columns", name)
	}
	b := &body{}
	for i := range l.outputs {
		x, y := l.outputs[i], r.outputs[i]
		out := x
		out.sql, out.origin = x.name, Origin{}
		if x.t == 0 || y.t == 0 {
			out.t = 0
			b.outputs = append(b.outputs, out)
			continue
		}
		xt, yt := x.t, y.t
		if x.unknown {
			xt = oidUnknown
		}
		if y.unknown {
			yt = oidUnknown
		}
		t, with, ok := commonType([]OID{xt, yt})
		if !ok {
			return nil, fail("42804", outputAt(sel.Rarg, i), "%s types %s and %s cannot be matched", name, typeName(t), typeName(with))
		}
		out.unknown = xt == oidUnknown && yt == oidUnknown
		form := value{t: t}
		if t == oidNumeric {
			lv, rv := l.outputs[i].value(nil), r.outputs[i].value(nil)
			if lv.dec && rv.dec && lv.t == oidNumeric && rv.t == oidNumeric && lv.scale == rv.scale && xt != oidUnknown && yt != oidUnknown {
				form.dec, form.prec, form.scale = true, max(lv.prec, rv.prec), lv.scale
			}
		}
		if !out.unknown {
			if err := l.set(i, t, form); err != nil {
				return nil, err
			}
			if err := r.set(i, t, form); err != nil {
				return nil, err
			}
		}
		if x.mod != y.mod || x.t != y.t {
			out.mod = -1
		}
		out.t, out.dec, out.prec, out.scale = t, form.dec, form.prec, form.scale
		if out.unknown {
			out.t = oidUnknown
		}
		if !(sel.Op == pg_query.SetOperation_SETOP_UNION && sel.All) && !out.unknown {
			if keyed(out.value(nil)) {
				if sel.All {
					return nil, fail("0A000", -1, "%s ALL of %s is not supported", name, typeName(t))
				}
				b.grouped = true
			}
			if err := unordered(t, "equality", -1); err != nil {
				return nil, err
			}
		}
		b.outputs = append(b.outputs, out)
	}
	b.set = func(i int, t OID, form value) error {
		if err := l.set(i, t, form); err != nil {
			return err
		}
		if err := r.set(i, t, form); err != nil {
			return err
		}
		b.outputs[i].t, b.outputs[i].dec, b.outputs[i].prec, b.outputs[i].scale = t, form.dec, form.prec, form.scale
		return nil
	}
	if len(sel.SortClause) > 0 {
		for i := range b.outputs {
			if err := b.settle(a, i); err != nil {
				return nil, err
			}
		}
	}
	var keys []int
	for _, s := range sel.SortClause {
		sort := s.GetSortBy()
		if err := a.sortUsing(sort); err != nil {
			return nil, err
		}
		at := -1
		if c, ok := sort.Node.GetAConst().GetVal().(*pg_query.A_Const_Ival); ok {
			at = int(c.Ival.GetIval()) - 1
			if at < 0 || at >= len(b.outputs) {
				return nil, fail("42P10", location(sort.Node), "ORDER BY position %d is not in select list", at+1)
			}
		} else if f := sort.Node.GetColumnRef().GetFields(); len(f) == 1 {
			name := f[0].GetString_().GetSval()
			at = slices.IndexFunc(b.outputs, func(c column) bool { return c.name == name })
			if at < 0 {
				return nil, fail("42703", location(sort.Node), "column %q does not exist", name)
			}
		} else {
			e := fail("0A000", location(sort.Node), "invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
			e.Detail = "Only result column names can be used, not expressions or functions."
			e.Hint = "Add the expression/function to every SELECT, or move the UNION into a FROM clause."
			return nil, e
		}
		if err := unordered(b.outputs[at].t, "ordering", location(sort.Node)); err != nil {
			return nil, err
		}
		keys = append(keys, at)
	}
	b.order(sel, keys)
	return b, nil
}

// order orders a set operation or VALUES by outputs: by their numbers, or in a query around it by what sorts as they do.
func (b *body) order(sel *pg_query.SelectStmt, keys []int) {
	wrap := b.grouped
	for _, at := range keys {
		wrap = wrap || key(b.outputs[at].value(columnNode("x"))).GetColumnRef() == nil
	}
	if !wrap {
		for i, at := range keys {
			sel.SortClause[i].GetSortBy().Node = pg_query.MakeAConstIntNode(int64(at+1), 0)
		}
		return
	}
	inner := &pg_query.SelectStmt{Op: sel.Op, All: sel.All, Larg: sel.Larg, Rarg: sel.Rarg, ValuesLists: sel.ValuesLists, LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT}
	alias := &pg_query.Alias{Aliasname: "__s"}
	sel.Op, sel.All, sel.Larg, sel.Rarg, sel.ValuesLists = pg_query.SetOperation_SETOP_NONE, false, nil, nil, nil
	for i, c := range b.outputs {
		name := "__c" + itoa(i+1)
		alias.Colnames = append(alias.Colnames, pg_query.MakeStrNode(name))
		t := pg_query.MakeResTargetNodeWithVal(columnNode("__s", name), 0)
		t.GetResTarget().Name = c.name
		sel.TargetList = append(sel.TargetList, t)
	}
	if b.grouped {
		inner = b.byKeys(inner)
	}
	sel.FromClause = []*pg_query.Node{{Node: &pg_query.Node_RangeSubselect{RangeSubselect: &pg_query.RangeSubselect{
		Subquery: &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: inner}}, Alias: alias}}}}
	for i, at := range keys {
		sel.SortClause[i].GetSortBy().Node = key(b.outputs[at].value(columnNode("__s", "__c"+itoa(at+1))))
	}
}

func firstOutput(sel *pg_query.SelectStmt) int32 { return outputAt(sel, 0) }

func outputAt(sel *pg_query.SelectStmt, i int) int32 {
	for sel.GetLarg() != nil {
		sel = sel.Larg
	}
	if i < len(sel.GetTargetList()) {
		return sel.TargetList[i].GetResTarget().GetLocation()
	}
	return -1
}
