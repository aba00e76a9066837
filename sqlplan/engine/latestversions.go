package engine

import (
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Of a PostgreSQL source a latest value is what the SELECT says of the row as it was known: SELECT customer_id, x FROM customers WHERE c
// stands for
//
//	SELECT customer_id, latest(CASE WHEN NOT __deleted AND (c) THEN x END) AS x FROM customers_versions GROUP BY customer_id WINDOW LIFETIME
//
// so a row that ended, or that c refuses by now, has NULL: it does not fall back to what the row was before. That needs the key to be the
// source's primary key: of the rows of another key one may end while others go on.

// versionsBody is a latest-value feature over a PostgreSQL source, as latestBody left it, over the versions of the source; st itself where
// it reads something else.
func versionsBody(cat *schema.Catalog, st *parse.CreateFeature) (*parse.CreateFeature, error) {
	rv := st.Body.Source
	if rv == nil || rv.Schemaname != "" && rv.Schemaname != "public" {
		return st, nil
	}
	r := cat.Relation(rv.Relname)
	v := cat.VersionsOf(r)
	if v == nil {
		return st, nil
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
			return nil, at(hint(fail(codeUnsupported, "a latest value of source %q is one of its primary key (%s), not of %s", r.Name, strings.Join(r.PrimaryKey, ", "), g.Text),
				"Rows of another key end one by one. CREATE ENTITY … of the primary key; or WITH (event_time = '…') and last(x) … GROUP BY %s WINDOW LIFETIME over the rows that are there.", g.Text), st.Text, g.Position)
		}
		keys = append(keys, name)
	}
	for _, k := range r.PrimaryKey {
		if !slices.Contains(keys, k) {
			return nil, at(hint(fail(codeUnsupported, "a latest value of source %q is one of its whole primary key (%s): %s is missing", r.Name, strings.Join(r.PrimaryKey, ", "), k), "CREATE ENTITY … of these columns."), st.Text, st.Body.Start)
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
			return nil, fmt.Errorf("a value of feature %q: %w", st.Name.Name, err)
		}
		call := *t.Call
		call.Args = []parse.Expr{{Node: n, Text: text, Position: arg.Position}}
		t.Call = &call
	}
	return &out, nil
}
