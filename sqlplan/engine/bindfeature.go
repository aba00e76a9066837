package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"slices"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// boundAggregates is what the SELECT of a feature, or of a window that no feature declares, asks of a relation: the keys and
// partial states, and how the outputs come from them.
type boundAggregates struct {
	relation *schema.Relation
	keys     []schema.Expr
	keyNames []string // of the GROUP BY expressions: the output's name, or the column's
	columns  []schema.Expr
	from     schema.From
	partials []schema.Partial
	outputs  []boundOutput
	limit    functions.Options
	fits     func(c *schema.Catalog) error // the columns of what is read are as they were; of features only
	tied     bool                          // the rows have a declared primary key: the relation's, or that of a view's base
}

type boundOutput struct {
	name    string
	partial int
	typ     vector.Type
	offset  int // bytes in the statement
}

// bindAggregates binds body, a SELECT over one relation that groups by keys. sql is the statement's text, for positions; zone is as
// Session.defined has it.
func (s *Session) bindAggregates(ctx context.Context, cat *schema.Catalog, sql string, body *parse.Body, opt functions.Options, zone *time.Location) (*boundAggregates, error) {
	b := &boundAggregates{limit: opt}
	src := body.Source
	if src == nil {
		return nil, at(hint(fail(codeDefinition, "a feature reads from a relation with an event time"), "Add FROM and the name of an event table, a source or an event view."), sql, body.Start)
	}
	b.relation = cat.Relation(src.Relname)
	if b.relation == nil {
		return nil, at(s.noEventRelation(ctx, cat, src.Relname), sql, int(src.Location))
	}
	b.tied = len(b.relation.PrimaryKey) > 0
	if v := b.relation.View; v != nil {
		b.tied = len(cat.Relations[v.Base].PrimaryKey) > 0
	}
	if b.relation.EventTime == "" {
		return nil, at(noEventTime(cat, src.Relname), sql, int(src.Location))
	}
	if body.Joined {
		return nil, at(hint(fail(codeUnsupported, "a feature reads from one relation, and joins others as of the event only"), "Attributes: FROM %s x ASOF JOIN attributes a ON a.key = x.key AND x.%s >= a.ts. Lists: FROM %[1]s, unnest(list) AS element.", src.Relname, b.relation.EventTime), sql, int(src.Location))
	}
	if body.Latest && len(body.Unnest) > 0 {
		return nil, at(hint(fail(codeUnsupported, "the latest value of an unnested list is not supported"), "Aggregate the elements: GROUP BY … WINDOW …."), sql, body.Unnest[0].List.Position)
	}
	if body.Latest && len(body.Joins) > 0 {
		return nil, at(hint(fail(codeUnsupported, "the latest value of joined rows is not supported"), "Join the attributes in the statement that reads the feature."), sql, body.Joins[0].Mark.Position)
	}
	alias := src.Relname
	if src.Alias != nil {
		alias = src.Alias.Aliasname
	}
	exprs := &exprBinder{s: s, sql: sql, rel: b.relation.WithHidden(), alias: alias, zone: zone}
	for _, u := range body.Unnest {
		if err := exprs.addUnnest(ctx, u); err != nil {
			return nil, err
		}
	}
	for _, u := range exprs.unnest {
		b.from.Unnest = append(b.from.Unnest, u.Unnest)
	}
	for _, j := range body.Joins {
		if err := exprs.addJoin(ctx, cat, j); err != nil {
			return nil, err
		}
	}
	for _, j := range exprs.joins {
		b.from.Joins = append(b.from.Joins, j.Join)
	}
	for _, g := range body.GroupBy {
		exprs.add(g)
	}
	for _, t := range body.Targets {
		if t.Call == nil {
			if t.Key < 0 {
				return nil, at(hint(fail("42803", "output %q of a feature is neither a GROUP BY key nor an aggregate", t.Name), "Add it to GROUP BY, or wrap it in an aggregate such as last(…)."), sql, t.Position)
			}
			continue
		}
		for _, a := range t.Call.Args {
			if !isArrayConstant(a.Node) {
				exprs.add(a)
			}
		}
		if cond := condition(body, t.Call); cond != nil {
			exprs.add(*cond)
		}
	}
	if err := exprs.bind(ctx); err != nil {
		return nil, err
	}
	for _, g := range body.GroupBy {
		e := exprs.of(g.Text)
		if err := keyType(e.Type); err != nil {
			return nil, at(err, sql, g.Position)
		}
		name := g.Text
		for _, t := range body.Targets {
			if t.Key >= 0 && body.GroupBy[t.Key].Text == g.Text {
				name = t.Name
			}
		}
		if e.Column >= 0 && name == g.Text {
			name = exprs.rel.Columns[exprs.rel.AtPlace(e.Column)].Name
		}
		b.keys, b.keyNames = append(b.keys, e), append(b.keyNames, name)
	}
	for _, t := range body.Targets {
		if t.Call == nil {
			continue
		}
		p, typ, err := b.bindCall(exprs, body, t.Call, opt)
		if err != nil {
			return nil, at(asError(err), sql, t.Call.Position)
		}
		i := slices.IndexFunc(b.partials, func(q schema.Partial) bool { return q.SQL == p.SQL })
		if i < 0 {
			b.partials = append(b.partials, p)
			i = len(b.partials) - 1
		}
		b.outputs = append(b.outputs, boundOutput{name: t.Name, partial: i, typ: typ, offset: t.Position})
	}
	if len(b.outputs) == 0 {
		return nil, at(hint(fail(codeDefinition, "the SELECT has no aggregate"), "A windowed feature aggregates: count(*), sum(x), avg(x), min(x), max(x), last(x), …"), sql, body.Start)
	}
	return b, nil
}

// condition is the rows that count for a call: the body's WHERE and the call's FILTER; nil: all.
func condition(body *parse.Body, c *parse.AggregateCall) *parse.Expr {
	where := parse.Expr{Node: body.Where, Text: body.WhereText, Position: nodeLocation(body.Where)}
	filter := parse.Expr{Node: c.Filter, Text: c.FilterText, Position: c.Position}
	switch {
	case body.Where != nil && c.Filter != nil:
		both := &pg_query.Node{Node: &pg_query.Node_BoolExpr{BoolExpr: &pg_query.BoolExpr{Boolop: pg_query.BoolExprType_AND_EXPR, Args: []*pg_query.Node{body.Where, c.Filter}}}}
		return &parse.Expr{Node: both, Text: "(" + where.Text + ") AND (" + filter.Text + ")", Position: c.Position}
	case body.Where != nil:
		return &where
	case c.Filter != nil:
		return &filter
	}
	return nil
}

// bindCall makes the partial state of a call; its columns are added to b.
func (b *boundAggregates) bindCall(exprs *exprBinder, body *parse.Body, c *parse.AggregateCall, opt functions.Options) (schema.Partial, vector.Type, error) {
	name := c.Name
	if c.Distinct {
		if name != "count" {
			return schema.Partial{}, vector.Type{}, fail(codeUnsupported, "%s(DISTINCT …) has no partial state", name)
		}
		name = "count_distinct"
	}
	def, ok := functions.Lookup(name)
	if ok && def.Implicit && !body.Latest {
		return schema.Partial{}, vector.Type{}, hint(fail("42883", "%s cannot be called", name), "Write last(x) for the newest value that is not NULL; for the version in force, NULL included, leave GROUP BY and WINDOW out.")
	}
	if !ok {
		return schema.Partial{}, vector.Type{}, hint(fail("42883", "aggregate function %s has no partial state", c.Name), "Supported: %s.", strings.Join(functions.Names(), ", "))
	}
	if !def.Implicit && name != "count" { // count does not depend on how exact its argument is
		if err := b.refuseBare(exprs, c); err != nil {
			return schema.Partial{}, vector.Type{}, err
		}
	}
	p := schema.Partial{Function: name, Filter: -1, MaxState: opt.MaxState}
	types := make([]vector.Type, len(c.Args))
	constants := make([]string, len(c.Args))
	args := make([]schema.Expr, len(c.Args))
	var texts []string
	for i, a := range c.Args {
		if constants[i] = constantOf(a.Node); isArrayConstant(a.Node) {
			args[i] = schema.Expr{SQL: "'" + constants[i] + "'", Type: vector.ListOf(vector.T(vector.Float64)), Column: -1}
		} else {
			args[i] = exprs.of(a.Text)
		}
		types[i] = args[i].Type
		texts = append(texts, args[i].SQL)
	}
	p.Types = types
	agg, err := def.Bind(types, constants, opt)
	if err != nil {
		return p, vector.Type{}, err
	}
	want := agg.ArgTypes()
	for i := range args {
		if i >= len(want) { // a constant argument such as k of last_k is part of the aggregate, not of its rows
			continue
		}
		p.Args = append(p.Args, b.column(args[i], want[i]))
	}
	p.Constants = make([]string, len(c.Args))
	copy(p.Constants[min(len(want), len(c.Args)):], constants[min(len(want), len(c.Args)):])
	if cond := condition(body, c); cond != nil {
		e := exprs.of(cond.Text)
		if e.Type.Kind != vector.Bool {
			return p, vector.Type{}, fail(codeTypeMismatch, "a condition must be of type boolean, not %s", e.Type)
		}
		p.Filter = b.column(e, e.Type)
		texts = append(texts, "filter "+e.SQL)
	}
	p.SQL = fmt.Sprintf("%s(%s)", name, strings.Join(texts, ", "))
	p.Fingerprint = b.fingerprint(p.SQL, opt)
	return p, agg.ResultType(), nil
}

// column is the index of e cast to t among the group's columns, added if it is new.
func (b *boundAggregates) column(e schema.Expr, t vector.Type) int {
	if !e.Type.Equal(t) {
		e = schema.Expr{SQL: fmt.Sprintf("CAST(%s AS %s)", e.SQL, t.DuckDB()), Type: t, Column: -1}
	}
	for i, c := range b.columns {
		if c.SQL == e.SQL && c.Type.Equal(e.Type) {
			return i
		}
	}
	b.columns = append(b.columns, e)
	return len(b.columns) - 1
}

// fingerprint identifies a partial: source, filter, keys, aggregate and arguments.
func (b *boundAggregates) fingerprint(call string, opt functions.Options) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d|%d|", b.relation.ID, opt.MaxState)
	for _, u := range b.from.Unnest {
		fmt.Fprintf(h, "%+v|", u)
	}
	for _, j := range b.from.Joins {
		fmt.Fprintf(h, "%+v|", j)
	}
	for _, k := range b.keys {
		fmt.Fprintf(h, "%s:%s|", k.SQL, k.Type)
	}
	fmt.Fprint(h, call)
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// group is a new, unpublished group with b's partials and those of old (nil: none), of which readers remain.
func (b *boundAggregates) group(id uint32, old *schema.Group) *schema.Group {
	g := &schema.Group{ID: id, Relation: b.relation.ID, Keys: b.keys, From: b.from}
	add := func(columns []schema.Expr, partials []schema.Partial) {
		u := boundAggregates{columns: g.Columns}
		for _, p := range partials {
			if g.Partial(p.Fingerprint) >= 0 {
				continue
			}
			p.Args = slices.Clone(p.Args)
			for i, a := range p.Args {
				p.Args[i] = u.column(columns[a], columns[a].Type)
			}
			if p.Filter >= 0 {
				p.Filter = u.column(columns[p.Filter], columns[p.Filter].Type)
			}
			g.Partials = append(g.Partials, p)
		}
		g.Columns = u.columns
	}
	if old != nil {
		g.Online, g.Retain, g.Lifetime, g.Eras = old.Online, old.Retain, old.Lifetime, old.Eras
		add(old.Columns, old.Partials)
	}
	add(b.columns, b.partials)
	g.Layout = event.Layout{Tie: ordered(g.Partials) && b.tied}
	for _, k := range g.Keys {
		g.Layout.Keys = append(g.Layout.Keys, k.Type)
	}
	for _, c := range g.Columns {
		g.Layout.Columns = append(g.Layout.Columns, c.Type)
	}
	return g
}

func ordered(ps []schema.Partial) bool {
	return slices.ContainsFunc(ps, func(p schema.Partial) bool {
		def, ok := functions.Lookup(p.Function)
		return ok && def.Ordered
	})
}

func noEventTime(cat *schema.Catalog, name string) *session.Error {
	if r, ok := cat.Lookup(name).(*schema.Relation); ok && (r.Kind == schema.FileSource || r.Kind == schema.PostgresSource) {
		column := "ts"
		if i := slices.IndexFunc(r.Columns, isTime); i >= 0 {
			column = r.Columns[i].Name
		}
		return hint(fail(codeDefinition, "source %q has no event time", name), "DROP SOURCE %s, and CREATE it WITH (…, event_time = '%s').", name, column)
	}
	return hint(fail(codeDefinition, "relation %q has no event time", name), "CREATE TABLE … WITH (event_time = 'ts'), or an event view: CREATE VIEW … WITH (event_time = 'ts') AS SELECT ….")
}

func keyType(t vector.Type) *session.Error {
	switch t.Buffer() {
	case vector.BufNested, vector.BufNone:
		return fail(codeTypeMismatch, "a key cannot be of type %s", t)
	}
	return nil
}

// exprBinder types expressions over one relation's row in one round trip to DuckDB.
type exprBinder struct {
	s     *Session
	sql   string
	rel   *schema.Relation
	alias string
	zone  *time.Location // as Session.defined has it
	texts []string
	exprs []parse.Expr // by text
	bound []schema.Expr

	unnest []boundUnnest // whose elements are columns of rel
	joins  []boundJoin   // whose columns are columns of rel
	err    error         // of the first expression that could not be resolved
}

func (x *exprBinder) add(e parse.Expr) {
	if !slices.Contains(x.texts, e.Text) {
		var err error
		if e.Node, err = x.resolve(e.Node); err == nil {
			err = x.spelt(e.Node)
		}
		if err != nil && x.err == nil {
			x.err = err
		}
		x.texts, x.exprs = append(x.texts, e.Text), append(x.exprs, e)
	}
}

// spelt refuses a column that is another one in all but the case of its letters, which DuckDB takes for it.
func (x *exprBinder) spelt(n *pg_query.Node) error {
	var err error
	parse.Walk(n, func(m proto.Message) bool {
		ref, ok := m.(*pg_query.ColumnRef)
		if !ok || err != nil {
			return err == nil
		}
		name := ref.Fields[len(ref.Fields)-1].GetString_().GetSval()
		if name == "" || x.rel.ColumnIndex(name) >= 0 {
			return false
		}
		if slices.ContainsFunc(x.rel.Columns, func(c schema.Column) bool { return strings.EqualFold(c.Name, name) }) {
			err = at(hint(fail(codeUndefinedColumn, "column %q does not exist", name), "Columns of %s: %s.", x.rel.Name, columnNames(x.rel.Columns)), x.sql, int(ref.Location))
		}
		return false
	})
	return err
}

func (x *exprBinder) of(text string) schema.Expr { return x.bound[slices.Index(x.texts, text)] }

func (x *exprBinder) bind(ctx context.Context) error {
	if x.err != nil {
		return x.err
	}
	if len(x.texts) == 0 {
		return nil
	}
	from := fmt.Sprintf("(SELECT %s) AS %s", nullColumns(x.rel.Columns), duck.QuoteIdent(x.alias))
	items := make([]string, len(x.texts))
	for i, e := range x.exprs {
		if f := setReturning(e.Node); f != nil {
			return at(hint(fail(codeUnsupported, "set-returning functions are not allowed in a feature's expressions"), "An expression has one value for a row."), x.sql, int(f.Location))
		}
		sql, err := x.s.defined(ctx, x.sql, unqualified(e.Node, x.alias), x.rel.Columns, x.alias, from, x.zone)
		if err != nil {
			if e := asError(err); e.Position != 0 {
				return x.explain(e)
			}
			return at(asError(err), x.sql, e.Position)
		}
		items[i] = sql
	}
	if columns, changed := x.insideColumns(); changed {
		from = fmt.Sprintf("(SELECT %s) AS %s", nullColumns(columns), duck.QuoteIdent(x.alias))
		for i, e := range x.exprs {
			var err error
			if items[i], err = x.s.defined(ctx, x.sql, x.inside(unqualified(e.Node, x.alias)), columns, x.alias, from, x.zone); err != nil {
				return at(asError(err), x.sql, e.Position)
			}
		}
	}
	column := duck.QuoteIdent(x.rel.Columns[0].Inside()) // beside a column, DuckDB's own aggregates are no expressions
	types, err := x.s.types(ctx, append([]string{column}, items...), from)
	if err != nil {
		for i := range items { // which one is it?
			if _, one := x.s.types(ctx, items[i:i+1], from); one != nil {
				return at(x.explain(asError(one)), x.sql, placeIn(x.exprs[i], asError(one)))
			}
			if _, one := x.s.types(ctx, []string{column, items[i]}, from); one != nil {
				return at(hint(fail("42803", "%s is an aggregate without a partial state, and no expression of a row", x.texts[i]), "Supported: %s.", strings.Join(functions.Names(), ", ")), x.sql, x.exprs[i].Position)
			}
		}
		return asError(err)
	}
	types = types[1:]
	if len(x.s.catalog().Functions) > 0 { // what they refuse, they refuse of a row
		for i := range items {
			if err := x.s.evaluateNulls(ctx, items[i], from); err != nil {
				return at(asError(err), x.sql, x.exprs[i].Position)
			}
		}
	}
	for i, sql := range items {
		if types[i].Kind == vector.Null {
			types[i] = vector.T(vector.Text)
		}
		e := schema.Expr{SQL: sql, Type: types[i], Column: -1}
		if c := x.plainColumn(x.exprs[i].Node); c >= 0 {
			e.Column, e.SQL = x.rel.Place(c), duck.QuoteIdent(x.rel.Columns[c].Inside())
		}
		x.bound = append(x.bound, e)
	}
	return nil
}

// setReturning is a call in n that makes rows of a row, or nil.
func setReturning(n *pg_query.Node) *pg_query.FuncCall {
	var found *pg_query.FuncCall
	parse.Walk(n, func(m proto.Message) bool {
		if f, ok := m.(*pg_query.FuncCall); ok && found == nil && len(f.Funcname) > 0 {
			switch f.Funcname[len(f.Funcname)-1].GetString_().GetSval() {
			case "unnest", "generate_subscripts", "regexp_split_to_table", "string_to_table", "json_array_elements", "json_array_elements_text":
				found = f
			}
		}
		return found == nil
	})
	return found
}

// unqualified is a copy of an expression over one relation without its name before columns: features that know the relation
// by different aliases share what they share.
func unqualified(n *pg_query.Node, alias string) *pg_query.Node {
	c := clone(n)
	parse.Walk(c, func(m proto.Message) bool {
		if ref, ok := m.(*pg_query.ColumnRef); ok && len(ref.Fields) == 2 && ref.Fields[0].GetString_().GetSval() == alias {
			ref.Fields = ref.Fields[1:]
		}
		return true
	})
	return c
}

// plainColumn is the relation's column that an expression is, or -1.
func (x *exprBinder) plainColumn(n *pg_query.Node) int {
	ref := n.GetColumnRef()
	if ref == nil {
		return -1
	}
	own := len(x.rel.Columns) - len(x.unnest) // the others are elements of lists, and columns of joins
	for i := range x.joins {
		own -= len(x.joins[i].right.Columns)
	}
	name, star, ok := columnOf(ref, x.alias)
	if i := x.rel.ColumnIndex(name); ok && !star && i < own {
		return i
	}
	return -1
}

func (x *exprBinder) explain(err *session.Error) *session.Error {
	if err.Code == codeUndefinedColumn {
		names := make([]string, len(x.rel.Columns))
		for i, c := range x.rel.Columns {
			names[i] = c.Name
		}
		err.Hint = fmt.Sprintf("Columns of %s: %s.", x.rel.Name, strings.Join(names, ", "))
	}
	return err
}

func nullColumns(cols []schema.Column) string {
	items := make([]string, len(cols))
	for i, c := range cols {
		items[i] = fmt.Sprintf("NULL::%s AS %s", c.Type.DuckDB(), duck.QuoteIdent(c.Name))
	}
	return strings.Join(items, ", ")
}

// evaluateNulls computes an expression of a row of NULLs.
func (s *Session) evaluateNulls(ctx context.Context, item, from string) error {
	rows, err := s.conn.Query(ctx, "SELECT "+item+" FROM "+from)
	if err != nil {
		return err
	}
	defer rows.Close()
	_, err = rows.Next()
	return err
}

// types are the types of expressions over a FROM clause; nothing is executed.
func (s *Session) types(ctx context.Context, items []string, from string) ([]vector.Type, error) {
	sql := "SELECT " + strings.Join(items, ", ")
	if from != "" {
		sql += " FROM " + from
	}
	st, err := s.conn.Prepare(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	cols := st.Columns()
	out := make([]vector.Type, len(cols))
	for i, c := range cols {
		out[i] = c.Type
	}
	return out, nil
}
