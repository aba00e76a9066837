package engine

import (
	"context"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// comment is COMMENT ON an object of ours, or on a column of one where column is not empty; kind is "" where any kind will do.
// A nil text removes the comment.
func (s *Session) comment(sql, kind string, name parse.Name, column string, text *string) error {
	words := ""
	if text != nil {
		words = *text
	}
	return s.define(func(c *schema.Catalog) error {
		o := ofKind(c, kind, name.Name)
		if o == nil || kind != "" && objectKind(o) != kind {
			return at(notThatKind(o, "COMMENT ON", kind, name), sql, name.Position)
		}
		switch o := o.(type) {
		case *schema.Feature:
			next := *o
			next.Outputs = slices.Clone(o.Outputs)
			if column == "" {
				next.Comment = words
			} else if i := slices.IndexFunc(next.Outputs, func(out schema.Output) bool { return out.Name == column }); i >= 0 {
				next.Outputs[i].Comment = words
			} else {
				return noColumn(sql, name, column, outputNamesOf(o))
			}
			c.Features[o.ID] = &next
		case *schema.FeatureView:
			if column != "" {
				return at(hint(fail(codeUnsupported, "columns of feature view %q cannot have comments", o.Name), "COMMENT ON FEATURE VIEW %s IS '…'", o.Name), sql, name.Position)
			}
			next := *o
			next.Comment = words
			c.FeatureViews[o.ID] = &next
		case *schema.Entity:
			next := *o
			if column == "" {
				next.Comment = words
			} else if next.Keys = commented(o.Keys, column, words); next.Keys == nil {
				return s.commentOutput(c, sql, o, name, column, words)
			}
			c.Entities[o.ID] = &next
		case *schema.Connection:
			next := *o
			next.Comment = words
			c.Connections[o.ID] = &next
		case *schema.Secret:
			next := *o
			next.Comment = words
			c.Secrets[o.ID] = &next
		case *schema.Relation:
			next := *o
			if column == "" {
				next.Comment = words
			} else if next.Columns = commented(o.Columns, column, words); next.Columns == nil {
				return noColumn(sql, name, column, columnNames(o.Columns))
			}
			c.Relations[o.ID] = &next
		}
		return nil
	})
}

// commented is columns with the comment of one changed, nil where there is no such column.
func commented(cols []schema.Column, name, text string) []schema.Column {
	i := slices.IndexFunc(cols, func(c schema.Column) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	out := slices.Clone(cols)
	out[i].Comment = text
	return out
}

// commentOutput comments a column of an entity that is a feature's: it is the feature's comment.
func (s *Session) commentOutput(c *schema.Catalog, sql string, e *schema.Entity, name parse.Name, column, text string) error {
	outs := entityColumns(c, e)
	w, ok := outs.find(column)
	if !ok {
		return at(noEntityColumn(e, outs, column), sql, name.Position)
	}
	next := *w.feature
	next.Outputs = slices.Clone(next.Outputs)
	for i := range next.Outputs {
		if next.Outputs[i].Name == column {
			next.Outputs[i].Comment = text
		}
	}
	c.Features[next.ID] = &next
	return nil
}

func outputNamesOf(f *schema.Feature) string {
	names := make([]string, len(f.Outputs))
	for i, o := range f.Outputs {
		names[i] = o.Name
	}
	return strings.Join(names, ", ")
}

func noColumn(sql string, of parse.Name, column, columns string) error {
	return at(hint(fail(codeUndefinedColumn, "column %q of %q does not exist", column, of.Name), "Columns: %s.", columns), sql, of.Position)
}

// bindCommentStmt binds PostgreSQL's COMMENT ON TABLE, VIEW and COLUMN: of objects of ours, or of ordinary ones.
func (s *Session) bindCommentStmt(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.CommentStmt) (bound, error) {
	items := n.Object.GetList().GetItems()
	if len(items) == 0 {
		return s.bindCommentOrdinary(st, n)
	}
	names := make([]string, len(items))
	for i, it := range items {
		names[i] = it.GetString_().GetSval()
	}
	kind, column := "", ""
	switch n.Objtype {
	case pg_query.ObjectType_OBJECT_TABLE:
		kind = "TABLE"
	case pg_query.ObjectType_OBJECT_VIEW:
		kind = "VIEW"
	case pg_query.ObjectType_OBJECT_COLUMN:
		column, names = names[len(names)-1], names[:len(names)-1]
	default:
		return s.bindCommentOrdinary(st, n)
	}
	rv := &pg_query.RangeVar{Relname: names[len(names)-1], Location: int32(wordIn(st.Text, names[len(names)-1]))}
	if len(names) > 1 {
		rv.Schemaname = names[len(names)-2]
	}
	if (rv.Schemaname == "" || rv.Schemaname == "public") && cat.Lookup(rv.Relname) != nil {
		var text *string
		if n.Comment != "" {
			text = &n.Comment
		}
		name := parse.Name{Name: rv.Relname, Position: int(rv.Location)}
		return s.definition(func(context.Context) (string, error) { return "COMMENT", s.comment(st.Text, kind, name, column, text) }), nil
	}
	return s.bindCommentOrdinary(st, n)
}
