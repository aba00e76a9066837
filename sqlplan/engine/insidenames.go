package engine

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// The SQL of definitions that the catalog holds names columns by their inside names (schema.Relation.Stored): renaming a column changes
// neither what is materialized nor its fingerprints. Expressions are bound by the names that users know, whose errors they see, and
// where a relation has columns with others, once more by those.

// insideColumns are the binder's columns by their inside names; changed: some have another one.
func (x *exprBinder) insideColumns() (columns []schema.Column, changed bool) {
	for _, c := range x.rel.Columns {
		changed = changed || c.Inside() != c.Name
		c.Name = c.Inside()
		columns = append(columns, c)
	}
	return columns, changed
}

// inside is a copy of a resolved expression with the columns' inside names.
func (x *exprBinder) inside(n *pg_query.Node) *pg_query.Node {
	c := clone(n)
	parse.Walk(c, func(m proto.Message) bool {
		if ref, ok := m.(*pg_query.ColumnRef); ok {
			if last := ref.Fields[len(ref.Fields)-1].GetString_(); last != nil {
				last.Sval = x.rel.Inside(last.Sval)
			}
		}
		return true
	})
	return c
}

// plain is a resolved expression as SQL for DuckDB, as it is written, and the FROM clause of a row that it is over.
func (x *exprBinder) plain(ctx context.Context, n *pg_query.Node) (sql []string, from string, err error) {
	from = fmt.Sprintf("(SELECT %s) AS %s", nullColumns(x.rel.Columns), duck.QuoteIdent(x.alias))
	sql, err = x.s.expressions(ctx, []*pg_query.Node{unqualified(n, x.alias)}, from)
	columns, changed := x.insideColumns()
	if err != nil || !changed {
		return sql, from, err
	}
	if _, err = x.s.types(ctx, sql, from); err != nil {
		return nil, from, err
	}
	from = fmt.Sprintf("(SELECT %s) AS %s", nullColumns(columns), duck.QuoteIdent(x.alias))
	sql, err = x.s.expressions(ctx, []*pg_query.Node{x.inside(unqualified(n, x.alias))}, from)
	return sql, from, err
}

// insideWords are the texts and names in SQL for DuckDB.
var insideWords = regexp.MustCompile(`'(?:[^']|'')*'|"(?:[^"]|"")*"|[A-Za-z_][A-Za-z0-9_$]*\(?`)

// shownSQL is SQL that the catalog holds over rows of a relation, with the names that users know.
func shownSQL(cat *schema.Catalog, relation uint32, joins []schema.Join, sql string) string {
	names := map[string]string{}
	add := func(r *schema.Relation, name func(string) string) {
		if r == nil {
			return
		}
		for _, c := range r.Columns {
			if c.Inside() != c.Name {
				names[name(c.Inside())] = name(c.Name)
			}
		}
	}
	add(cat.Relations[relation], func(n string) string { return n })
	for i, j := range joins {
		add(cat.Relations[j.Relation], func(n string) string { return schema.JoinColumn(i, n) })
	}
	if len(names) == 0 {
		return sql
	}
	var shown func(w string) string
	shown = func(w string) string {
		switch {
		case w[0] == '\'' || strings.HasSuffix(w, "("):
			return w
		case w[0] == '"':
			name := strings.ReplaceAll(w[1:len(w)-1], `""`, `"`)
			if to, ok := names[name]; ok {
				return duck.QuoteIdent(to)
			}
			if list, ok := strings.CutPrefix(name, "unnest("); ok { // an element is called by its list
				return duck.QuoteIdent("unnest(" + insideWords.ReplaceAllStringFunc(list, shown))
			}
			return w
		}
		if to, ok := names[w]; ok {
			return parse.QuoteName(to)
		}
		return w
	}
	return insideWords.ReplaceAllStringFunc(sql, shown)
}

// alteredSince is a check, for steps that are taken later, that the columns of relations are as they are in cat.
func alteredSince(cat *schema.Catalog, relations []uint32) func(c *schema.Catalog) error {
	was := map[uint32]uint32{}
	for _, id := range relations {
		for r := cat.Relations[id]; r != nil; r = cat.Relations[r.View.Base] {
			if was[r.ID] = r.Altered; r.View == nil {
				break
			}
		}
	}
	return func(c *schema.Catalog) error {
		for id, n := range was {
			if r := c.Relations[id]; r != nil && r.Altered != n {
				return hint(fail(codeConflict, "columns of %s %q were changed meanwhile", r.Kind, r.Name), "Run the statement again.")
			}
		}
		return nil
	}
}

// featureReads are the relations that a feature reads.
func featureReads(f *schema.Feature) []uint32 { return append(slices.Clone(f.Attributes), f.Relation) }
