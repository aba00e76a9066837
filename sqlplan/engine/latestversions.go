package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Of a PostgreSQL source a latest value is what the SELECT says of the row as it was known: SELECT customer_id, x FROM customers WHERE c
// stands for
//
//	SELECT customer_id, latest(CASE WHEN NOT __deleted AND (c) THEN x END) AS x FROM customers_versions GROUP BY customer_id WINDOW LIFETIME
//
// so a row that ended, or that c refuses by now, has NULL: it does not fall back to what the row was before. That needs the key to be the
// source's primary key: of the rows of another key one may end while others go on.

// versionsRead is the PostgreSQL source that a latest-value feature reads, and its versions; nil where it reads something else.
func versionsRead(cat *schema.Catalog, st *parse.CreateFeature) (r, versions *schema.Relation) {
	rv := st.Body.Source
	if rv == nil || rv.Schemaname != "" && rv.Schemaname != "public" {
		return nil, nil
	}
	r = cat.Relation(rv.Relname)
	return r, cat.VersionsOf(r)
}

// sinceOf is since when the rows of the first reading of a table hold for a feature: "-infinity", a column, or "": since they became known.
func sinceOf(st *parse.CreateFeature) string {
	v, ok := st.Options["initial_valid_from"]
	switch word := strings.ToLower(v.Value); {
	case !ok, word == "snapshot":
		return ""
	case word == sinceInfinity:
		return word
	}
	return v.Value
}

const sinceInfinity = "-infinity"

// makeVersionsSince makes the view over versions that a feature reads whose first versions hold since another time than they became
// known, where it is not there.
func (s *Session) makeVersionsSince(ctx context.Context, st *parse.CreateFeature) error {
	if !st.Body.Latest {
		return nil
	}
	cat, since := s.catalog(), sinceOf(st)
	r, v := versionsRead(cat, st)
	if v == nil || since == "" || cat.VersionsSince(v, since) != nil {
		return nil
	}
	begin, name := sinceEver, v.Name+"_since_ever"
	if since != sinceInfinity {
		i := r.ColumnIndex(since)
		if place := st.Options["initial_valid_from"].ValuePosition; i < 0 {
			return at(hint(fail(codeUndefinedColumn, "option \"initial_valid_from\" is snapshot, -infinity or a column of source %q, not %q", r.Name, since), "Columns of %s: %s.", r.Name, columnNames(r.Columns)), st.Text, place)
		} else if r.Columns[i].Type.Kind != vector.TimestampTZ {
			return at(fail(codeTypeMismatch, "column %q of option \"initial_valid_from\" must be timestamptz, not %s", since, r.Columns[i].Type), st.Text, place)
		}
		begin, name = "least("+duck.QuoteIdent(since)+", "+schema.VersionKnown+")", v.Name+"_since_"+since // no version holds from after the next one
		begin = "CASE WHEN " + duck.QuoteIdent(since) + " IS NOT NULL THEN " + begin + " END"
	}
	parsed, err := parse.Parse(fmt.Sprintf("CREATE VIEW %s WITH (event_time = '%s') AS SELECT *, CASE WHEN %s THEN %s ELSE %s END AS %[2]s FROM %[6]s",
		duck.QuoteIdent(name), schema.VersionSince, schema.VersionInitial, begin, schema.VersionKnown, duck.QuoteIdent(v.Name)))
	if err != nil {
		return err
	}
	view, ok := parsed.(*parse.CreateEventView)
	if !ok {
		return fail(codeInternal, "the view of versions of source %q is no event view", r.Name)
	}
	if err := s.nameFree(ctx, cat, view.Name, st.Text); err != nil {
		return err
	}
	made, err := s.bindEventView(ctx, cat, view, time.UTC)
	if err != nil {
		return err
	}
	made.View.Since = since
	return s.putRelation(made, alteredSince(cat, []uint32{v.ID}))
}

// versionsBody is a latest-value feature over a PostgreSQL source, as latestBody left it, over the versions of the source; st itself where
// it reads something else.
func versionsBody(cat *schema.Catalog, st *parse.CreateFeature) (_ *parse.CreateFeature, versions bool, _ error) {
	r, v := versionsRead(cat, st)
	if v == nil {
		return st, false, nil
	}
	rv := st.Body.Source
	if since := sinceOf(st); since != "" {
		if v = cat.VersionsSince(v, since); v == nil {
			return nil, false, fail(codeConflict, "the view of versions of source %q was dropped meanwhile", r.Name)
		}
	}
	alias := rv.Relname
	if rv.Alias != nil {
		alias = rv.Alias.Aliasname
	}
	var keys []string
	for _, g := range st.Body.GroupBy {
		name, star, ok := "", false, false
		if ref := g.Node.GetColumnRef(); ref != nil {
			name, star, ok = columnOf(ref, alias)
		}
		if !ok || star || !slices.Contains(r.PrimaryKey, name) {
			return nil, false, at(hint(fail(codeUnsupported, "a latest value of source %q is one of its primary key (%s), not of %s", r.Name, strings.Join(r.PrimaryKey, ", "), g.Text),
				"Rows of another key end one by one. CREATE ENTITY … of the primary key; or WITH (event_time = '…') and last(x) … GROUP BY %s WINDOW LIFETIME over the rows that are there.", g.Text), st.Text, g.Position)
		}
		keys = append(keys, name)
	}
	for _, k := range r.PrimaryKey {
		if !slices.Contains(keys, k) {
			return nil, false, at(hint(fail(codeUnsupported, "a latest value of source %q is one of its whole primary key (%s): %s is missing", r.Name, strings.Join(r.PrimaryKey, ", "), k), "CREATE ENTITY … of these columns."), st.Text, st.Body.Start)
		}
	}
	out := *st
	out.Body.Source = clone(&pg_query.Node{Node: &pg_query.Node_RangeVar{RangeVar: rv}}).GetRangeVar()
	out.Body.Source.Relname, out.Body.Source.Alias = v.Name, &pg_query.Alias{Aliasname: alias}
	out.Body.Targets = slices.Clone(st.Body.Targets)
	condition := &pg_query.Node{Node: &pg_query.Node_BoolExpr{BoolExpr: &pg_query.BoolExpr{Boolop: pg_query.BoolExprType_NOT_EXPR, Args: []*pg_query.Node{columnRef(alias, schema.VersionDeleted, 0)}}}}
	if st.Body.Where != nil {
		condition = &pg_query.Node{Node: &pg_query.Node_BoolExpr{BoolExpr: &pg_query.BoolExpr{Boolop: pg_query.BoolExprType_AND_EXPR, Args: []*pg_query.Node{condition, clone(st.Body.Where)}}}}
		out.Body.Where, out.Body.WhereText = nil, ""
	}
	for i := range out.Body.Targets {
		t := &out.Body.Targets[i]
		if t.Call == nil {
			continue
		}
		arg := t.Call.Args[0]
		if ref := arg.Node.GetColumnRef(); ref != nil && st.Body.Where == nil {
			if name, star, ok := columnOf(ref, alias); ok && !star && !slices.Contains(r.PrimaryKey, name) {
				continue // it is NULL in the end of a row
			}
		}
		n := &pg_query.Node{Node: &pg_query.Node_CaseExpr{CaseExpr: &pg_query.CaseExpr{Args: []*pg_query.Node{{Node: &pg_query.Node_CaseWhen{CaseWhen: &pg_query.CaseWhen{Expr: condition, Result: clone(arg.Node)}}}}}}}
		text, err := parse.Deparse(n)
		if err != nil {
			return nil, false, fmt.Errorf("a value of feature %q: %w", st.Name.Name, err)
		}
		call := *t.Call
		call.Args = []parse.Expr{{Node: n, Text: text, Position: arg.Position}}
		t.Call = &call
	}
	return &out, true, nil
}

// wholeVersionKey refuses a join to versions of rows that is not by the primary key of the source: of the rows of another key one may end
// while others go on.
func wholeVersionKey(cat *schema.Catalog, b *boundJoin) *session.Error {
	base := b.right
	if base.View != nil {
		base = cat.Relations[base.View.Base]
	}
	r := cat.Relations[base.VersionsOf]
	if r == nil {
		return nil
	}
	have := slices.Clone(b.Columns)
	slices.Sort(have)
	want := slices.Clone(r.PrimaryKey)
	slices.Sort(want)
	if b.right.View != nil && b.right.View.Since == "" || slices.Equal(slices.Compact(have), want) {
		return nil
	}
	return fail(codeUnsupported, "source %q is joined by its primary key (%s) and nothing else: that a row has another value ends no version", r.Name, strings.Join(r.PrimaryKey, ", "))
}
