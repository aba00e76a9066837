package engine

import (
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// An ASOF join to an ordinary relation is DuckDB's, which finds a right row for each left row by sorting both sides. Where
// several right rows have the time that was found, DuckDB takes any. So that one row is the answer whatever the threads, the
// right side loses its ties first: of the rows with equal keys and time, the last one stays, by
//
//	event time (of an event table, source or event view), primary key, then the columns of the row from first to last
//
// where NULL is before every value, and values that compare as equal and are not the same (−0.0 and 0.0; intervals) are told
// apart by their text. A join that looks forward (<, <=) takes the first row at or after the left time, and of ties the first.
//
// A right row older than TOLERANCE is no match. For that, a right row gets a second one that says at which time it is too old,
// unless a newer one is there by then: the newest of both kinds is what DuckDB finds, and finding one of the second kind is
// finding none. (A condition on the
// age would be simpler, but DuckDB loses the columns that only such a condition names.) A row at an infinite time has no age
// and is no match.

// ordinaryJoin is one such join while it is planned.
type ordinaryJoin struct {
	alias    string
	columns  []schema.Column
	lefts    []*pg_query.Node // of the equalities, by key
	keys     []*pg_query.Node // over the right side
	left     *pg_query.Node   // the time compared, of either side
	right    *pg_query.Node
	operator string // of left and right: >, >=, <, <=
	// For EXPLAIN: the conditions, what orders rows of equal times, and the tolerance in microseconds, -1 for none.
	on        []string
	ties      string
	tolerance int64
}

// ordinaryAsof rewrites an ASOF join whose right side is no feature, and is what stands in its place.
func (p *fromPlanner) ordinaryAsof(in *selectState, n *pg_query.Node, j *pg_query.JoinExpr, mark *parse.AsofJoin) (*pg_query.Node, error) {
	right := leaves(j.Rarg)
	if len(right) != 1 || right[0].alias == "" {
		return nil, at(hint(fail(codeUnsupported, "the right side of ASOF JOIN must be one relation"), "Put it into a sub-SELECT with an alias: ASOF JOIN (SELECT … FROM a JOIN b …) r"), p.st.Text, mark.Position)
	}
	o := &ordinaryJoin{alias: right[0].alias, tolerance: -1}
	var err error
	if o.columns, err = p.columnsOf(in.scope, []*pg_query.Node{j.Rarg}, o.alias); err != nil {
		return nil, err
	}
	if err := p.conditions(in, o, n, j, mark); err != nil {
		return nil, err
	}
	if err := p.likeRight(in, o, j.Rarg); err != nil {
		return nil, err
	}
	o.refuseNullTimes()
	j.Quals = o.quals(o.keys, o.right)
	j.Jointype = pg_query.JoinType_JOIN_INNER
	if mark.Kind == parse.AsofLeft {
		j.Jointype = pg_query.JoinType_JOIN_LEFT
	}
	p.q.take(j)
	p.q.ordinary = append(p.q.ordinary, o)
	if mark.HasTolerance {
		o.tolerance = mark.Tolerance
		return p.tolerance(in, o, n, j, mark)
	}
	if j.Rarg, err = p.withoutTies(in, o, j.Rarg); err != nil {
		return nil, err
	}
	j.Rarg = subselect(j.Rarg, parse.AsofAlias(o.alias))
	return n, nil
}

// likeRight gives parameters and literals without a type the type of what they are compared with.
func (p *fromPlanner) likeRight(in *selectState, o *ordinaryJoin, right *pg_query.Node) error {
	lefts, targets := append(slices.Clone(o.lefts), o.left), []*pg_query.Node{}
	for _, e := range append(slices.Clone(o.keys), o.right) {
		targets = append(targets, pg_query.MakeResTargetNodeWithVal(e, 0))
	}
	// An error of the right side is one of what was written.
	if _, err := p.b.piece(in.scope.wrap(selectNode(targets, right).GetSelectStmt())); err != nil {
		return err
	}
	if !slices.ContainsFunc(lefts, func(n *pg_query.Node) bool { return n.GetParamRef() != nil || isUnknown(n) }) {
		return nil
	}
	columns, err := p.described(in.scope, targets, []*pg_query.Node{right})
	if err != nil {
		return err
	}
	for i := range o.lefts {
		if o.lefts[i], err = likeKey(o.lefts[i], columns[i].Type); err != nil {
			return err
		}
	}
	o.left, err = likeKey(o.left, columns[len(o.lefts)].Type)
	return err
}

// refuseNullTimes makes a left row without a time match nothing. DuckDB sorts NULL last, as PostgreSQL does, and its ASOF join
// then takes NULL for a time after all others; but a key that is NULL matches nothing. The time compared is an expression and
// not the column, as of a column DuckDB would conclude from the comparison that it is not NULL, and drop the test on it.
func (o *ordinaryJoin) refuseNullTimes() {
	guard := func(value *pg_query.Node) *pg_query.Node {
		return &pg_query.Node{Node: &pg_query.Node_CaseExpr{CaseExpr: &pg_query.CaseExpr{Args: []*pg_query.Node{
			{Node: &pg_query.Node_CaseWhen{CaseWhen: &pg_query.CaseWhen{Expr: notNull(clone(o.left)), Result: value}}}}}}}
	}
	guarded := &pg_query.Node{Node: &pg_query.Node_AConst{AConst: &pg_query.A_Const{Val: &pg_query.A_Const_Boolval{Boolval: &pg_query.Boolean{Boolval: true}}}}}
	if len(o.keys) > 0 {
		guarded = o.lefts[0]
	}
	guarded, o.left = guard(guarded), guard(clone(o.left))
	if len(o.keys) > 0 {
		o.lefts[0] = guarded
		return
	}
	o.lefts = append(o.lefts, guarded)
	o.keys = append(o.keys, notNull(o.right))
}

func notNull(n *pg_query.Node) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_NullTest{NullTest: &pg_query.NullTest{Arg: n, Nulltesttype: pg_query.NullTestType_IS_NOT_NULL}}}
}

// quals is the join's condition, over the given keys and time of the right side.
func (o *ordinaryJoin) quals(keys []*pg_query.Node, time *pg_query.Node) *pg_query.Node {
	term := func(op string, l, r *pg_query.Node) *pg_query.Node {
		return pg_query.MakeAExprNode(pg_query.A_Expr_Kind_AEXPR_OP, []*pg_query.Node{pg_query.MakeStrNode(op)}, l, r, 0)
	}
	terms := []*pg_query.Node{term(o.operator, o.left, time)}
	for i, k := range keys {
		terms = append(terms, term("=", o.lefts[i], k))
	}
	return &pg_query.Node{Node: &pg_query.Node_BoolExpr{BoolExpr: &pg_query.BoolExpr{Boolop: pg_query.BoolExprType_AND_EXPR, Args: terms}}}
}

// line tells of the join in EXPLAIN.
func (o *ordinaryJoin) line() string {
	which := "the last row"
	if o.forward() {
		which = "the first row"
	}
	text := fmt.Sprintf("ASOF JOIN to relation %s on %s: %s, of equal times by %s", o.alias, strings.Join(o.on, " AND "), which, o.ties)
	if o.tolerance >= 0 {
		text += ", no older than " + formatMicros(o.tolerance)
	}
	return text
}

// conditions reads ON, USING and MATCH_CONDITION into o.
func (p *fromPlanner) conditions(in *selectState, o *ordinaryJoin, n *pg_query.Node, j *pg_query.JoinExpr, mark *parse.AsofJoin) error {
	usage := func(err error, n *pg_query.Node) error {
		offset := mark.Position
		if l := nodeLocation(n); l >= 0 {
			offset = l
		}
		return at(hint(asError(err), "ON %s.key = l.key AND l.ts >= %s.ts", o.alias, o.alias), p.st.Text, offset)
	}
	terms := conjuncts(j.Quals)
	if mark.Match != nil {
		terms = append(terms, mark.Match)
	}
	if len(j.UsingClause) > 0 {
		more, err := p.usingTerms(in, o, n, j, mark)
		if err != nil {
			return err
		}
		terms = append(terms, more...)
	}
	for _, t := range terms {
		if t.GetAConst().GetBoolval().GetBoolval() { // ON TRUE beside MATCH_CONDITION
			continue
		}
		if text, err := parse.Deparse(t); err == nil {
			o.on = append(o.on, text)
		}
		e := t.GetAExpr()
		if e == nil || e.Kind != pg_query.A_Expr_Kind_AEXPR_OP {
			return usage(fail(codeUnsupported, "an ASOF JOIN takes equalities and one comparison of times"), t)
		}
		left, right, op := e.Lexpr, e.Rexpr, operator(e)
		if o.owns(left) && !o.owns(right) {
			left, right = right, left
			op = map[string]string{"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]
		}
		switch {
		case !o.owns(right) || o.mentions(left):
			return usage(fail(codeUnsupported, "a condition of ASOF JOIN compares the left side with columns of %q", o.alias), t)
		case op == "=":
			o.lefts, o.keys = append(o.lefts, left), append(o.keys, right)
		case op != "<" && op != "<=" && op != ">" && op != ">=":
			return usage(fail(codeUnsupported, "an ASOF JOIN takes equalities and one comparison of times, not %s", operator(e)), t)
		case o.right != nil:
			return usage(fail(codeUnsupported, "an ASOF JOIN has one comparison of times, this one has two"), t)
		default:
			o.left, o.right, o.operator = left, right, op
		}
	}
	if o.left != nil {
		if own, other := o.count(o.left); own+other == 0 {
			e := at(fail(codeUnsupported, "the time of an ASOF JOIN to %q must be made of columns of the left side", o.alias), p.st.Text, mark.Position)
			return hint(e, "Make it a column: FROM (SELECT *, now() AS at FROM l) l ASOF JOIN …")
		}
	}
	if o.right == nil {
		return usage(fail(codeDefinition, "ASOF JOIN to %q says no comparison of times", o.alias), nil)
	}
	j.UsingClause = nil
	return nil
}

// usingTerms are the conditions that USING stands for: equalities, and of the last column l.ts >= r.ts, unless
// MATCH_CONDITION says the time. The columns become one, as USING makes them.
func (p *fromPlanner) usingTerms(in *selectState, o *ordinaryJoin, n *pg_query.Node, j *pg_query.JoinExpr, mark *parse.AsofJoin) ([]*pg_query.Node, error) {
	from := []*pg_query.Node{j.Larg}
	left, err := p.shows(in, from, j.Larg)
	if err != nil {
		return nil, err
	}
	inner, err := p.mergedIn(in, from, j.Larg)
	if err != nil {
		return nil, err
	}
	in.merged = append(in.merged, inner...)
	var names []string
	var terms []*pg_query.Node
	for i, u := range j.UsingClause {
		name := u.GetString_().GetSval()
		l := slices.DeleteFunc(slices.Clone(left), func(c shownColumn) bool { return c.name != name })
		switch {
		case !slices.ContainsFunc(o.columns, func(c schema.Column) bool { return c.Name == name }):
			return nil, at(fail(codeUndefinedColumn, "column %q specified in USING clause does not exist in right table", name), p.st.Text, mark.Position)
		case len(l) == 0:
			return nil, at(fail(codeUndefinedColumn, "column %q specified in USING clause does not exist in left table", name), p.st.Text, mark.Position)
		case len(l) > 1:
			return nil, at(fail("42702", "common column name %q appears more than once in left table", name), p.st.Text, mark.Position)
		}
		op := "="
		if i == len(j.UsingClause)-1 && mark.Match == nil {
			op = ">="
		}
		terms = append(terms, pg_query.MakeAExprNode(pg_query.A_Expr_Kind_AEXPR_OP, []*pg_query.Node{pg_query.MakeStrNode(op)}, clone(l[0].expr), columnRef(o.alias, name, 0), 0))
		names = append(names, name)
		in.merged = append(in.merged, l[0])
	}
	p.shown[n] = merge(pg_query.JoinType_JOIN_LEFT, names, left, o.shown())
	in.replaced = true
	return terms, nil
}

// owns reports whether an expression is made of the right side's columns only, and of at least one.
func (o *ordinaryJoin) owns(n *pg_query.Node) bool {
	own, other := o.count(n)
	return own > 0 && other == 0
}

// mentions reports whether an expression has a column of the right side.
func (o *ordinaryJoin) mentions(n *pg_query.Node) bool {
	own, _ := o.count(n)
	return own > 0
}

func (o *ordinaryJoin) count(n *pg_query.Node) (own, other int) {
	parse.Walk(n, func(m proto.Message) bool {
		ref, ok := m.(*pg_query.ColumnRef)
		if !ok {
			return true
		}
		name, star, ok := columnOf(ref, o.alias)
		switch {
		case !ok, star, len(ref.Fields) == 1 && !slices.ContainsFunc(o.columns, func(c schema.Column) bool { return c.Name == name }):
			other++
		default:
			own++
		}
		return true
	})
	return own, other
}

// forward reports whether the join looks for right rows after the left time.
func (o *ordinaryJoin) forward() bool { return o.operator[0] == '<' }

// shown are the columns of the right side.
func (o *ordinaryJoin) shown() []shownColumn {
	out := make([]shownColumn, len(o.columns))
	for i, c := range o.columns {
		out[i] = shownColumn{c.Name, columnRef(o.alias, c.Name, 0)}
	}
	return out
}

// Columns that the right side of a join with TOLERANCE has beside its own: its keys and time, and whether the row is one.
const (
	keyColumn  = "__key_%d"
	timeColumn = "__time"
	liveColumn = "__live"
)

// tolerance puts the rows that say when others are too old into the right side.
func (p *fromPlanner) tolerance(in *selectState, o *ordinaryJoin, n *pg_query.Node, j *pg_query.JoinExpr, mark *parse.AsofJoin) (*pg_query.Node, error) {
	if mark.Tolerance == 0 && len(o.operator) == 1 {
		return nil, noTolerance(p.st, mark)
	}
	kind, err := p.checkTimes(in, o, j, mark)
	if err != nil {
		return nil, err
	}
	left, err := p.shows(in, []*pg_query.Node{j.Larg}, j.Larg)
	if err != nil {
		return nil, err
	}
	distinct, err := p.withoutTies(in, o, j.Rarg)
	if err != nil {
		return nil, err
	}
	var own, none, keys []string
	named := make([]string, 0, len(o.keys))
	var refs []*pg_query.Node
	for _, c := range o.columns {
		own, none = append(own, duck.QuoteIdent(c.Name)), append(none, "__none."+duck.QuoteIdent(c.Name))
	}
	for i, k := range o.keys {
		text, err := parse.Deparse(k)
		if err != nil {
			return nil, asError(err)
		}
		keys = append(keys, fmt.Sprintf(keyColumn, i))
		named = append(named, "("+text+") AS "+keys[i])
		refs = append(refs, columnRef(o.alias, keys[i], 0))
	}
	j.Quals = o.quals(refs, columnRef(o.alias, timeColumn, 0))
	time, err := parse.Deparse(o.right)
	if err != nil {
		return nil, asError(err)
	}
	after := mark.Tolerance // how long after its time a row is too old, at the earliest instant that finds the second row
	if len(o.operator) == 2 {
		after++
	}
	list := func(items ...[]string) string { return strings.Join(slices.Concat(items...), ", ") }
	sign, direction, order, bound := "+", ">", "", fmt.Sprintf("__time < %s '%s'", kind, formatTime(maxTime-after))
	if o.forward() {
		sign, direction, order, bound = "-", "<", " DESC", fmt.Sprintf("__time > %s '%s'", kind, formatTime(minTime+after))
	}
	text := fmt.Sprintf(`WITH __rows AS (SELECT %[1]s FROM __distinct AS %[7]s WHERE isfinite(%[8]s)),
__timed AS (SELECT *, lead(__time) OVER (PARTITION BY %[4]s ORDER BY __time%[9]s) AS __next FROM __rows)
SELECT %[2]s, true AS __live FROM __timed UNION ALL
SELECT %[3]s, __time %[5]s interval '%[6]d microseconds', false FROM __timed LEFT JOIN (SELECT %[12]s FROM __rows WHERE false) AS __none ON true
WHERE CASE WHEN %[11]s THEN coalesce(__next %[10]s __time %[5]s interval '%[6]d microseconds', true) ELSE false END`,
		list(own, named, []string{time + " AS " + timeColumn}), list(own, keys, []string{timeColumn}), list(none, keys), list(keys),
		sign, after, duck.QuoteIdent(o.alias), time, order, direction, bound, list(own))
	right, err := selectText(text, map[string]*pg_query.Node{"__distinct": subselect(distinct, o.alias)})
	if err != nil {
		return nil, asError(err)
	}
	j.Rarg = subselect(right, parse.AsofAlias(o.alias))
	p.shown[j.Rarg] = o.shown()
	if _, using := p.shown[n]; !using {
		p.shown[n] = append(slices.Clone(left), o.shown()...)
	}
	in.replaced = true
	if j.Jointype == pg_query.JoinType_JOIN_LEFT {
		return n, nil
	}
	// What found a row of the second kind leaves, as it found none: an inner join can filter in the middle of a FROM.
	found := &pg_query.Node{Node: &pg_query.Node_JoinExpr{JoinExpr: &pg_query.JoinExpr{Jointype: pg_query.JoinType_JOIN_INNER, Larg: n,
		Rarg:  subselect(selectNode([]*pg_query.Node{pg_query.MakeResTargetNodeWithVal(pg_query.MakeAConstIntNode(1, 0), 0)}), fmt.Sprint(filterAlias, len(p.q.ordinary))),
		Quals: columnRef(o.alias, liveColumn, 0)}}}
	p.shown[found] = p.shown[n]
	return found, nil
}

// filterAlias begins the alias of the one row that an inner join is made with to filter.
const filterAlias = "__one_"

// noTolerance refuses a join that can match nothing.
func noTolerance(st *parse.SQL, mark *parse.AsofJoin) error {
	return at(hint(fail(codeInvalidParameter, "TOLERANCE must be longer than 0 where the comparison of times is strict"), "TOLERANCE '1 day'"), st.Text, mark.Position)
}

// minTime and maxTime are between which times a tolerance is added or taken away, in microseconds: those of texts of times.
const (
	minTime = -210866803200000000
	maxTime = 9223371244799999999
)

// checkTimes refuses TOLERANCE where the comparison is not of times. kind is the type of the right side's time with a tolerance added.
func (p *fromPlanner) checkTimes(in *selectState, o *ordinaryJoin, j *pg_query.JoinExpr, mark *parse.AsofJoin) (kind string, err error) {
	sides := []*pg_query.Node{pg_query.MakeResTargetNodeWithVal(o.left, 0), pg_query.MakeResTargetNodeWithVal(o.right, 0)}
	columns, err := p.described(in.scope, sides, []*pg_query.Node{j.Larg, j.Rarg})
	if err != nil {
		return "", err
	}
	for _, c := range columns {
		if k := c.Type.Kind; k != vector.TimestampTZ && k != vector.Timestamp && k != vector.Date {
			return "", at(hint(fail(codeTypeMismatch, "TOLERANCE is for times, and the ASOF JOIN to %q compares %s", o.alias, c.Type), "Cast it: CAST(… AS timestamptz)"), p.st.Text, mark.Position)
		}
		if kind = "timestamp"; c.Type.Kind == vector.TimestampTZ {
			kind = "timestamptz"
		}
	}
	return kind, nil
}

// withoutTies selects one row of each (keys, time) of the right side.
func (p *fromPlanner) withoutTies(in *selectState, o *ordinaryJoin, right *pg_query.Node) (*pg_query.Node, error) {
	partition := make([]string, 0, len(o.keys)+1)
	for _, e := range append(slices.Clone(o.keys), o.right) {
		text, err := parse.Deparse(e)
		if err != nil {
			return nil, asError(err)
		}
		partition = append(partition, "("+text+")")
	}
	declared, err := p.declaredKey(in, right)
	if err != nil {
		return nil, err
	}
	o.ties = declared.text()
	var list, order, where []string
	direction := " DESC NULLS LAST"
	if o.forward() {
		direction = " ASC NULLS FIRST"
	}
	a := duck.QuoteIdent(o.alias) + "."
	sortBy := func(by ...string) {
		for _, e := range by {
			order = append(order, e+direction)
		}
	}
	if declared.eventTime != "" {
		sortBy(a + duck.QuoteIdent(declared.eventTime))
	}
	for _, k := range declared.key {
		sortBy(a + duck.QuoteIdent(k))
	}
	for _, c := range o.columns {
		name := a + duck.QuoteIdent(c.Name)
		list = append(list, duck.QuoteIdent(c.Name))
		if declared.unique {
			continue
		}
		sortBy(sortKey(name, c.Type)...)
	}
	for _, e := range partition {
		where = append(where, e+" IS NOT NULL")
	}
	names := strings.Join(list, ", ")
	n, err := selectText(fmt.Sprintf("SELECT %s FROM (SELECT %s, row_number() OVER (PARTITION BY %s ORDER BY %s) AS %s FROM __right WHERE %s) AS __ranked WHERE %s = 1",
		names, a+strings.Join(list, ", "+a), strings.Join(partition, ", "), strings.Join(order, ", "), rankColumn, strings.Join(where, " AND "), rankColumn), map[string]*pg_query.Node{"__right": right})
	if err != nil {
		return nil, asError(err)
	}
	return n, nil
}

// rankColumn numbers the rows that a replacement chooses from.
const rankColumn = "__rank"

// sortKey are the expressions that tell apart all values of a type in their order, for a column of that type.
func sortKey(name string, t vector.Type) []string {
	// What DuckDB sorts by comes back as the sort key has it, in which −0.0 is 0.0: the column itself must not be sorted by.
	value := fmt.Sprintf("CASE WHEN %[1]s IS NOT NULL THEN %[1]s END", name)
	switch {
	case !analyze.Orders(codec.OID(t)):
		return []string{name + "::text"}
	case t.Kind == vector.Interval: // whose text follows a setting
		return []string{value, fmt.Sprintf("extract(year FROM %s)", name), fmt.Sprintf("extract(month FROM %s)", name), fmt.Sprintf("extract(day FROM %s)", name)}
	case looseEquality(t):
		return []string{value, name + "::text"}
	}
	return []string{name}
}

// looseEquality reports whether two values of a type can be equal without being the same.
func looseEquality(t vector.Type) bool {
	switch t.Kind {
	case vector.Float32, vector.Float64, vector.Interval, vector.List, vector.Map:
		return true
	case vector.Text: // that holds a value of another type, as numeric 1.0
		return !slices.Contains([]uint32{0, codec.OIDText, codec.OIDVarchar, codec.OIDName}, t.Shown)
	}
	return false
}

// declaredOrder is what a relation declares about the order of its rows.
type declaredOrder struct {
	eventTime string
	key       []string // the primary key
	unique    bool     // no two rows have the same primary key; a source of files only says so
}

func (d declaredOrder) text() string {
	var by []string
	if d.eventTime != "" {
		by = append(by, "event time "+d.eventTime)
	}
	if len(d.key) > 0 {
		by = append(by, "primary key ("+strings.Join(d.key, ", ")+")")
	}
	if !d.unique {
		by = append(by, "the columns of the row")
	}
	return strings.Join(by, ", then ")
}

// declaredKey is what a relation declares; nothing for what is no relation by name, or renames its columns.
func (p *fromPlanner) declaredKey(in *selectState, n *pg_query.Node) (d declaredOrder, err error) {
	rv := n.GetRangeVar()
	if rv == nil || in.scope.has(rv) || len(rv.GetAlias().GetColnames()) > 0 || rv.Schemaname != "" && rv.Schemaname != "public" {
		return d, nil
	}
	r := p.q.then[rv.Relname]
	if r == nil {
		r = p.b.cat.Relation(rv.Relname)
	}
	if r != nil {
		return declaredOrder{r.EventTime, r.PrimaryKey, len(r.PrimaryKey) > 0 && r.Logged()}, nil
	}
	o, err := p.s.object(p.b.ctx, rv.Schemaname, rv.Relname)
	if err != nil {
		return d, asError(err)
	}
	if o != nil && o.Primary() != nil {
		d.key, d.unique = o.Primary().Columns, true
	}
	return d, nil
}
