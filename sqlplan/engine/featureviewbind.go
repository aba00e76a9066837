package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// rowColumns are the columns of a view's row of base values.
func rowColumns(v *schema.FeatureView) []schema.Column {
	var out []schema.Column
	for i, k := range v.Keys {
		out = append(out, schema.Column{Name: schema.ViewKey(i), Type: k.Type})
	}
	for i, r := range v.Request {
		out = append(out, schema.Column{Name: schema.ViewRequest(i), Type: r.Type})
	}
	for i, b := range v.Base {
		out = append(out, schema.Column{Name: schema.ViewValue(i), Type: b.Type})
	}
	return out
}

// bind types the outputs and writes their SQL.
func (b *viewBinder) bind(ctx context.Context, s *Session, exprs []viewExpr) error {
	columns := rowColumns(b.view)
	from := fmt.Sprintf("(SELECT %s) AS __row", nullColumns(columns))
	beside := columns[0].Name // beside a column, DuckDB's own aggregates are no expressions
	items := make([]string, len(exprs))
	for i, e := range exprs {
		sql, err := s.defined(ctx, b.sql, e.node, columns, "__row", from, s.location)
		if err != nil {
			return at(asError(err), b.sql, e.offset)
		}
		items[i] = sql
	}
	types, err := s.types(ctx, append([]string{beside}, items...), from)
	if err != nil {
		for i, e := range exprs { // which one is it?
			if _, one := s.types(ctx, items[i:i+1], from); one != nil {
				place := e.offset
				if p := mention(e.node, asError(one)); p > 0 {
					place = p
				}
				return at(asError(one), b.sql, place)
			}
			if _, one := s.types(ctx, []string{beside, items[i]}, from); one != nil {
				return at(hint(fail(codeUnsupported, "a feature view cannot have an aggregate (%s)", e.text), "Aggregates over events are features: CREATE FEATURE … AS SELECT … GROUP BY … WINDOW 7 DAYS; the view reads their columns."), b.sql, e.offset)
			}
		}
		return asError(err)
	}
	for i, e := range exprs {
		t := types[i+1]
		if t.Kind == vector.Null {
			t = vector.T(vector.Text)
		}
		if t.Kind == vector.Invalid {
			return at(fail(codeTypeMismatch, "column %q of feature view %q has no type", e.name, b.view.Name), b.sql, e.offset)
		}
		text, err := parse.Deparse(e.node)
		if err != nil {
			return asError(err)
		}
		b.view.Outputs = append(b.view.Outputs, schema.ViewOutput{Name: e.name, Type: t, Text: e.text, Expr: text,
			SQL: fmt.Sprintf("CAST(%s AS %s)", items[i], t.DuckDB()), Reads: columnsIn(e.node)})
	}
	return nil
}

// columnsIn are the names of the columns in an expression over the row of base values.
func columnsIn(n *pg_query.Node) []string {
	var out []string
	parse.Walk(n, func(m proto.Message) bool {
		if ref, ok := m.(*pg_query.ColumnRef); ok {
			if name := ref.Fields[0].GetString_().GetSval(); !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
		return true
	})
	slices.SortFunc(out, func(a, b string) int { // b2 before b10
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return out
}
