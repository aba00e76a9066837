package parse

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions"
)

// createFeature reads a feature: what stands between its name and AS, in any order, each
// at most once, then the body, and options that follow it.
func createFeature(r *reader, replace bool) (Statement, error) {
	c := &CreateFeature{OrReplace: replace, IfNotExists: r.ifNotExists(), Name: r.name(), Text: r.src}
	twice := func(at int, what string) { r.fail(faultAt(at, codeSyntax, "", "%s is given twice", what)) }
	for r.err == nil && !r.peek(0).is("as") {
		at := r.at()
		switch {
		case r.accept("on"):
			if c.Entity != nil {
				twice(at, "ON")
			}
			n := r.name()
			c.Entity = &n
		case r.accept("window"):
			if c.Windows != nil {
				twice(at, "WINDOW")
			}
			if !r.header(&c.Windows) {
				r.unexpected("write WINDOW 7 DAYS or WINDOW LIFETIME")
			}
		case r.accept("with", "no", "data"):
			c.NoData = true
		case r.accept("with"):
			if c.Options != nil {
				twice(at, "WITH")
			}
			c.Options = r.options()
		default:
			r.unexpected("")
		}
	}
	r.expect("as")
	if r.err != nil {
		return nil, r.err
	}
	body := r.toks[r.i:]
	for {
		if n := len(body); n >= 3 && body[n-3].is("with") && body[n-2].is("no") && body[n-1].is("data") {
			body, c.NoData = body[:n-3], true
			continue
		}
		at := trailingOptions(body)
		if at < 0 {
			break
		}
		if c.Options != nil {
			twice(body[at].start, "WITH")
		}
		tail := &reader{src: r.src, toks: body, i: at + 1}
		if c.Options = tail.options(); tail.err != nil {
			return nil, tail.err
		}
		body = body[:at]
	}
	if r.err != nil {
		return nil, r.err
	}
	s, err := bodySQL(r, body)
	if err != nil {
		return nil, err
	}
	return c, c.setBody(s, body)
}

// header reads the windows of a header; PostgreSQL's WINDOW lifetime AS (…) cannot stand here.
func (r *reader) header(out *[]Window) bool {
	if !r.peek(0).isNumber() && !r.peek(0).is("lifetime", "-", "+") {
		return false
	}
	ws, end, err := readWindows(r.src, r.toks, r.i)
	if err != nil {
		r.fail(err)
		return true
	}
	*out, r.i = ws, end
	return true
}

// trailingOptions is the index of WITH in a body that ends in WITH (…), or -1.
func trailingOptions(body []token) int {
	depth := 0
	for i := len(body) - 1; i > 0; i-- {
		switch {
		case body[i].is(")"):
			depth++
		case body[i].is("("):
			if depth--; depth == 0 {
				if body[i-1].is("with") && i-1 > 0 {
					return i - 1
				}
				return -1
			}
		case depth == 0:
			return -1
		}
	}
	return -1
}

// bodySQL parses the tokens of a body, with everything around them blanked.
func bodySQL(r *reader, body []token) (*SQL, error) {
	if len(body) == 0 {
		return nil, syntaxAt(r.src, r.toks, r.i, "a SELECT is expected")
	}
	e := edit{src: r.src}
	e.blank(0, body[0].start)
	e.blank(body[len(body)-1].end, len(r.src))
	s, err := parseSQL(e.text(), body)
	if err != nil {
		return nil, err
	}
	if s == nil || s.Node.GetSelectStmt() == nil {
		return nil, faultAt(body[0].start, codeSyntax, "", "a SELECT is expected after AS")
	}
	return s, nil
}

func createFeatureView(r *reader, replace bool) (Statement, error) {
	c := &CreateFeatureView{OrReplace: replace, IfNotExists: r.ifNotExists(), Name: r.name(), Text: r.src}
	if r.accept("with") {
		c.Options = r.options()
	}
	r.expect("as")
	if r.err != nil {
		return nil, r.err
	}
	body := r.toks[r.i:]
	s, err := bodySQL(r, body)
	if err != nil {
		return nil, err
	}
	if err := deterministic(s.Node); err != nil {
		return nil, err
	}
	if err := noParameters(s.Node); err != nil {
		return nil, err
	}
	c.Body, c.BodyStart = s, body[0].start
	c.BodyText = r.src[body[0].start:body[len(body)-1].end]
	return c, nil
}

// takeFrom notes an item of FROM beside the source: lists that are unnested, or that something is joined. first is the item that
// begins with the source.
func (b *Body) takeFrom(n *pg_query.Node, first bool) error {
	if j := n.GetJoinExpr(); j != nil {
		if err := b.takeFrom(j.Larg, first); err != nil {
			return err
		}
		if mark := b.Clauses.AsofOf(j); mark != nil {
			return b.takeJoin(j, mark)
		}
		f := j.Rarg.GetRangeFunction()
		onTrue := j.Quals == nil || j.Quals.GetAConst().GetBoolval().GetBoolval()
		if f == nil || j.IsNatural || j.Alias != nil || len(j.UsingClause) > 0 || !onTrue || j.Jointype != pg_query.JoinType_JOIN_INNER && j.Jointype != pg_query.JoinType_JOIN_LEFT {
			b.Joined = true
			return nil
		}
		return b.takeUnnest(f, j.Jointype == pg_query.JoinType_JOIN_LEFT)
	}
	if f := n.GetRangeFunction(); f != nil {
		return b.takeUnnest(f, false)
	}
	b.Joined = b.Joined || !first || n.GetRangeVar() == nil
	return nil
}

// takeJoin notes an ASOF join to a relation of attributes.
func (b *Body) takeJoin(j *pg_query.JoinExpr, mark *AsofJoin) error {
	rv := j.Rarg.GetRangeVar()
	switch {
	case rv == nil:
		return refuse(mark.Position, "an ASOF JOIN to anything but a relation", "define an event view, and join that")
	case j.IsNatural || j.Alias != nil || len(rv.GetAlias().GetColnames()) > 0:
		return refuse(mark.Position, "NATURAL, an alias of a join, or an alias list", "ASOF JOIN attributes a ON a.key = x.key AND x.ts >= a.ts")
	case mark.HasTolerance:
		return refuse(mark.Position, "TOLERANCE", "compare the times in an expression: CASE WHEN x.ts - a.ts <= INTERVAL '1 day' THEN a.column END")
	case b.named(relationName(rv)):
		return faultAt(int(rv.Location), "42712", "give each relation an alias of its own", `table name "%s" specified more than once`, relationName(rv))
	}
	b.Joins = append(b.Joins, Join{Relation: rv, Node: j, Mark: mark})
	return nil
}

// named reports whether something in FROM has a name already.
func (b *Body) named(name string) bool {
	return relationName(b.Source) == name || slices.ContainsFunc(b.Unnest, func(u Unnest) bool { return u.Alias == name }) ||
		slices.ContainsFunc(b.Joins, func(j Join) bool { return relationName(j.Relation) == name })
}

// takeUnnest reads unnest(list) AS u(element).
func (b *Body) takeUnnest(f *pg_query.RangeFunction, outer bool) error {
	var call *pg_query.FuncCall
	if len(f.Functions) == 1 {
		if items := f.Functions[0].GetList().GetItems(); len(items) > 0 {
			call = items[0].GetFuncCall()
		}
	}
	const say = "write unnest(list) AS element"
	switch {
	case call == nil || len(call.Funcname) != 1 || call.Funcname[0].GetString_().GetSval() != "unnest":
		return refuse(firstLocation(f.Functions[0]), "a function in FROM but unnest", say)
	case len(call.Args) != 1 || f.IsRowsfrom:
		return refuse(int(call.Location), "unnest of several lists at once", "write unnest(a) AS x, unnest(b) AS y for all pairs")
	case f.Ordinality:
		return refuse(int(call.Location), "WITH ORDINALITY", say)
	case len(f.Coldeflist) > 0 || len(f.Alias.GetColnames()) > 1:
		return refuse(int(call.Location), "several columns of unnest", say)
	}
	list, err := exprOf(call.Args[0])
	if err != nil {
		return err
	}
	list.Position = max(list.Position, int(call.Location))
	u := Unnest{List: list, Alias: f.Alias.GetAliasname(), Outer: outer}
	if u.Alias == "" {
		u.Alias = "unnest"
	}
	if u.Column = u.Alias; len(f.Alias.GetColnames()) == 1 {
		u.Column = f.Alias.Colnames[0].GetString_().GetSval()
	}
	if b.named(u.Alias) {
		return faultAt(int(call.Location), "42712", "give each unnest an alias of its own", `table name "%s" specified more than once`, u.Alias)
	}
	b.Unnest = append(b.Unnest, u)
	return nil
}

func refuse(at int, what, hint string) error {
	return faultAt(at, codeUnsupported, hint, "the body of a feature cannot have %s", what)
}

// setBody takes a feature's SELECT apart.
func (c *CreateFeature) setBody(s *SQL, toks []token) error {
	sel := s.Node.GetSelectStmt()
	start := toks[0].start
	b := Body{Text: c.Text[start:toks[len(toks)-1].end], Start: start, Select: sel, Clauses: s.Clauses, From: sel.FromClause, Where: sel.WhereClause}
	for _, w := range s.Clauses.Windows {
		if w.Select != sel {
			return refuse(w.Position, "a WINDOW in a subquery", "")
		}
		if c.Windows != nil {
			return faultAt(w.Position, codeSyntax, "keep WINDOW in the header or in the body", "WINDOW is given twice")
		}
		c.Windows = w.Windows
	}
	if len(s.Clauses.SystemTime) > 0 {
		return refuse(s.Clauses.SystemTime[0].Position, "FOR SYSTEM_TIME", "name a position where the feature is read")
	}
	if len(s.Clauses.Samples) > 0 {
		return refuse(s.Clauses.Samples[0].Position, "TABLESAMPLE", "")
	}
	if err := b.takeApart(s.Node, start); err != nil {
		return err
	}
	if err := c.checkWindows(&b); err != nil {
		return err
	}
	c.Body = b
	return nil
}

// takeApart fills b from its SELECT.
func (b *Body) takeApart(node *pg_query.Node, start int) error {
	sel := b.Select
	if err := onlySimple(sel, start); err != nil {
		return err
	}
	if err := rowWise(node); err != nil {
		return err
	}
	if b.Source = leftmost(sel.FromClause[0]); b.Source == nil {
		return refuse(start, "a FROM that does not begin with a table, source or event view", "")
	}
	var err error
	for i, f := range sel.FromClause {
		if err := b.takeFrom(f, i == 0); err != nil {
			return err
		}
	}
	if b.Plain, err = deparse(node); err != nil {
		return err
	}
	var from []string
	for _, f := range sel.FromClause {
		t, err := deparse(f)
		if err != nil {
			return err
		}
		from = append(from, t)
	}
	b.FromText = strings.Join(from, ", ")
	if b.Where != nil {
		if b.WhereText, err = deparse(b.Where); err != nil {
			return err
		}
	}
	if err := b.setOutputs(sel); err != nil {
		return err
	}
	b.Latest = !slices.ContainsFunc(b.Targets, func(t Target) bool { return t.Call != nil })
	return nil
}

func (c *CreateFeature) checkWindows(b *Body) error {
	aggregates := slices.ContainsFunc(b.Targets, func(t Target) bool { return t.Call != nil })
	switch {
	case aggregates && c.Windows == nil:
		return faultAt(c.Name.Position, codeDefinition, "add WINDOW 7 DAYS or WINDOW LIFETIME", `feature "%s" has no window`, c.Name.Name)
	case !aggregates && len(b.GroupBy) > 0:
		return faultAt(c.Name.Position, codeDefinition, "", `feature "%s" has GROUP BY but no aggregate`, c.Name.Name)
	case !aggregates && c.Windows != nil:
		return faultAt(c.Windows[0].Position, codeDefinition, "leave WINDOW out: the version in force counts",
			`feature "%s" has no aggregate, so it has no window`, c.Name.Name)
	}
	return nil
}

// onlySimple refuses the parts of a SELECT that a feature cannot have.
func onlySimple(s *pg_query.SelectStmt, start int) error {
	switch {
	case s.Op != pg_query.SetOperation_SETOP_NONE:
		return refuse(start, "UNION, INTERSECT or EXCEPT", "")
	case s.WithClause != nil:
		return refuse(int(s.WithClause.Location), "WITH queries", "use an event view: CREATE VIEW … WITH (event_time = …)")
	case len(s.ValuesLists) > 0:
		return refuse(start, "VALUES", "")
	case len(s.DistinctClause) > 0:
		return refuse(start, "DISTINCT", "use count(DISTINCT x)")
	case s.HavingClause != nil:
		return refuse(firstLocation(s.HavingClause), "HAVING", "filter rows with WHERE or FILTER (WHERE …)")
	case len(s.WindowClause) > 0:
		return refuse(firstLocation(s.WindowClause[0]), "named window functions", "write WINDOW 7 DAYS")
	case len(s.SortClause) > 0:
		return refuse(firstLocation(s.SortClause[0]), "ORDER BY", "first, last, first_k and last_k order by event time")
	case s.LimitCount != nil || s.LimitOffset != nil:
		return refuse(start, "LIMIT or OFFSET", "")
	case len(s.LockingClause) > 0:
		return refuse(start, "FOR UPDATE", "")
	case s.IntoClause != nil:
		return refuse(start, "INTO", "")
	case len(s.TargetList) == 0:
		return faultAt(start, codeDefinition, "", "a feature needs outputs")
	case len(s.FromClause) == 0:
		return faultAt(start, codeDefinition, "", "a feature needs FROM a table or source")
	}
	return nil
}

// rowWise refuses what cannot be evaluated on a row of the source alone.
func rowWise(body *pg_query.Node) error {
	var err error
	Walk(body, func(m proto.Message) bool {
		if err != nil {
			return false
		}
		switch n := m.(type) {
		case *pg_query.SubLink:
			err = refuse(int(n.Location), "subqueries", "join the table, or use an event view")
		case *pg_query.FuncCall:
			if n.Over != nil {
				err = refuse(int(n.Location), "window functions (OVER)", "")
			}
		case *pg_query.GroupingSet:
			err = refuse(int(n.Location), "GROUPING SETS, ROLLUP or CUBE", "")
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	if err := noParameters(body); err != nil {
		return err
	}
	return deterministic(body)
}

func noParameters(body *pg_query.Node) error {
	var err error
	Walk(body, func(m proto.Message) bool {
		if n, ok := m.(*pg_query.ParamRef); ok && err == nil {
			err = faultAt(int(n.Location), codeNoParameter, "a definition is stored and has no parameters", "there is no parameter $%d", n.Number)
		}
		return err == nil
	})
	return err
}

// leftmost is the relation that a FROM item begins with, or nil.
func leftmost(n *pg_query.Node) *pg_query.RangeVar {
	for n.GetJoinExpr() != nil {
		n = n.GetJoinExpr().Larg
	}
	return n.GetRangeVar()
}

// relationName is the name that qualifies the columns of a relation.
func relationName(rv *pg_query.RangeVar) string {
	if a := rv.GetAlias().GetAliasname(); a != "" {
		return a
	}
	return rv.GetRelname()
}

func exprOf(n *pg_query.Node) (Expr, error) {
	t, err := deparse(n)
	return Expr{Node: n, Text: t, Position: firstLocation(n)}, err
}

// setOutputs tells keys from aggregates: an output is a key when it is one of the GROUP BY expressions, written so, by
// ordinal, or by the output's name.
func (b *Body) setOutputs(sel *pg_query.SelectStmt) error {
	var relations []string
	if !b.Joined {
		relations = []string{relationName(b.Source)}
		for _, u := range b.Unnest {
			relations = append(relations, u.Alias)
		}
	}
	var keys []string
	for _, g := range sel.GroupClause {
		n, err := resolveGroup(g, sel.TargetList)
		if err != nil {
			return err
		}
		e, err := exprOf(n)
		if err != nil {
			return err
		}
		text, err := canonical(n, relations)
		if err != nil {
			return err
		}
		b.GroupBy, keys = append(b.GroupBy, e), append(keys, text)
	}
	for _, n := range sel.TargetList {
		r := n.GetResTarget()
		e, err := exprOf(r.Val)
		if err != nil {
			return err
		}
		t := Target{Name: r.Name, Alias: r.Name != "", Expr: e, Key: -1, Position: int(r.Location)}
		if !t.Alias {
			t.Name = FigureColumnName(r.Val)
		}
		if star(r.Val) {
			return refuse(t.Position, "*", "name the columns")
		}
		text, err := canonical(r.Val, relations)
		if err != nil {
			return err
		}
		if t.Key = slices.Index(keys, text); t.Key < 0 {
			if err := b.setCall(&t, r.Val); err != nil {
				return err
			}
		}
		b.Targets = append(b.Targets, t)
	}
	return nil
}

func star(n *pg_query.Node) bool {
	f := n.GetColumnRef().GetFields()
	return len(f) > 0 && f[len(f)-1].GetAStar() != nil
}

// setCall decides whether an output that is no key is an aggregate. With GROUP BY it must be; without, a body is a
// latest-value one unless an output is a call of a known aggregate or written as only aggregates are.
func (b *Body) setCall(t *Target, val *pg_query.Node) error {
	f := val.GetFuncCall()
	inner := aggregateBelow(val)
	grouped := len(b.GroupBy) > 0
	switch {
	case f != nil && isAggregate(f), f != nil && grouped && inner == nil:
		if !grouped && withoutState[calledName(f)] {
			return faultAt(int(f.Location), codeGrouping, "tilehouse help lists the aggregates there are", "%s is an aggregate without a partial state", calledName(f))
		}
		if !grouped {
			return faultAt(t.Position, codeGrouping, "add GROUP BY the keys of the entity", "a feature with aggregates needs GROUP BY")
		}
	case inner != nil:
		return faultAt(int(inner.Location), codeUnsupported, "make the aggregates outputs, and compute with them in a FEATURE VIEW",
			"an output of a feature is one aggregate, not an expression over aggregates")
	case grouped:
		return faultAt(max(t.Position, t.Expr.Position), codeGrouping, "", `"%s" must appear in the GROUP BY clause or be used in an aggregate function`, t.Expr.Text)
	default:
		return nil
	}
	call := &AggregateCall{Name: f.Funcname[len(f.Funcname)-1].GetString_().GetSval(), Distinct: f.AggDistinct, Star: f.AggStar,
		Filter: f.AggFilter, Position: int(f.Location)}
	switch {
	case f.AggWithinGroup:
		return refuse(call.Position, "WITHIN GROUP", "median(x) and approx_percentile(x, 0.95) are percentiles, top_k_by_count(x, 1) the mode")
	case len(f.AggOrder) > 0:
		return refuse(firstLocation(f.AggOrder[0]), "ORDER BY in an aggregate", "first, last, first_k and last_k order by event time")
	case f.FuncVariadic:
		return refuse(call.Position, "VARIADIC arguments", "")
	}
	for _, a := range append(slices.Clone(f.Args), f.AggFilter) {
		if a == nil {
			continue
		}
		if x := aggregateBelow(a); x != nil {
			return faultAt(int(x.Location), codeGrouping, "", "aggregate function calls cannot be nested")
		}
	}
	for _, a := range f.Args {
		e, err := exprOf(a)
		if err != nil {
			return err
		}
		call.Args = append(call.Args, e)
	}
	var err error
	if f.AggFilter != nil {
		if call.FilterText, err = deparse(f.AggFilter); err != nil {
			return err
		}
	}
	t.Call = call
	return nil
}

// aggregateBelow is a call of a known aggregate in n, or nil.
func aggregateBelow(n *pg_query.Node) *pg_query.FuncCall {
	var found *pg_query.FuncCall
	Walk(n, func(m proto.Message) bool {
		if f, ok := m.(*pg_query.FuncCall); ok && found == nil && isAggregate(f) {
			found = f
		}
		return found == nil
	})
	return found
}

// isAggregate knows the list of aggregates, those of PostgreSQL that have no partial state, and the forms that only aggregates
// have. It decides messages and whether a body without GROUP BY is a latest-value one; which may be called is the binder's.
func isAggregate(f *pg_query.FuncCall) bool {
	if f.AggStar || f.AggDistinct || f.AggFilter != nil || len(f.AggOrder) > 0 || f.AggWithinGroup {
		return true
	}
	name := calledName(f)
	def, ok := functions.Lookup(name)
	return ok && !def.Implicit || withoutState[name]
}

// calledName is the name of a function without its schema.
func calledName(f *pg_query.FuncCall) string {
	if len(f.Funcname) == 0 {
		return ""
	}
	return f.Funcname[len(f.Funcname)-1].GetString_().GetSval()
}

// withoutState are aggregates that PostgreSQL has and the list of package functions has not.
var withoutState = wordSet(`any_value array_agg bit_and bit_or bit_xor every json_agg json_object_agg jsonb_agg jsonb_object_agg mode
	percentile_cont percentile_disc range_agg regr_avgx regr_avgy regr_count regr_r2 regr_sxx regr_sxy regr_syy string_agg xmlagg`)

func wordSet(s string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(s) {
		out[w] = true
	}
	return out
}

// resolveGroup is the expression that a GROUP BY item stands for: ordinals and names of outputs are looked up. As in
// PostgreSQL a bare name is a column of the input first; without a catalog that is only known where an output of that name
// is the column itself, so an alias is taken only when no output's expression is that column.
func resolveGroup(g *pg_query.Node, targets []*pg_query.Node) (*pg_query.Node, error) {
	if c := g.GetAConst(); c != nil {
		if _, ok := c.Val.(*pg_query.A_Const_Ival); !ok {
			return nil, faultAt(int(c.Location), codeSyntax, "", "non-integer constant in GROUP BY")
		}
		k := int(c.GetIval().GetIval())
		if k < 1 || k > len(targets) {
			return nil, faultAt(int(c.Location), "42P10", "", "GROUP BY position %d is not in select list", k)
		}
		return targets[k-1].GetResTarget().Val, nil
	}
	f := g.GetColumnRef().GetFields()
	if len(f) != 1 {
		return g, nil
	}
	name := f[0].GetString_().GetSval()
	for _, t := range targets {
		v := t.GetResTarget().GetVal().GetColumnRef().GetFields()
		if len(v) > 0 && v[len(v)-1].GetString_().GetSval() == name {
			return g, nil
		}
	}
	for _, t := range targets {
		if r := t.GetResTarget(); r.GetName() == name && aggregateBelow(r.Val) == nil {
			return r.Val, nil
		}
	}
	return g, nil
}
