package engine

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// typeWord is a type's name in PostgreSQL's messages, without modifiers.
func typeWord(t vector.Type) string {
	if t.Shown != 0 {
		return pgcatalog.FormatType(t.Shown, -1)
	}
	switch t.Kind {
	case vector.Decimal:
		return "numeric"
	case vector.TimestampTZ:
		return "timestamp with time zone"
	case vector.Timestamp:
		return "timestamp without time zone"
	case vector.Time:
		return "time without time zone"
	case vector.List:
		return typeWord(t.Elem[0]) + "[]"
	case vector.Null:
		return "text"
	}
	return t.String()
}

// columnWord is a column's type in PostgreSQL's messages.
func columnWord(c *tables.Column) string {
	switch c.Base {
	case "varchar":
		return "character varying"
	case "bpchar":
		return "character"
	case "jsonb":
		return "jsonb"
	}
	return typeWord(c.Type)
}

// tableAssignable reports whether PostgreSQL casts from to to by itself when a value is assigned to a column.
func tableAssignable(from, to vector.Type) bool {
	number := func(k vector.Kind) bool {
		return k == vector.Int16 || k == vector.Int32 || k == vector.Int64 || k == vector.Decimal || k == vector.Float32 || k == vector.Float64
	}
	switch {
	case from.Kind == vector.Null || from.Kind == vector.Invalid:
		return true
	case to.Kind == vector.Text && keptAsText(to):
		return number(from.Kind) || keptAsText(from)
	case from.Kind == vector.Text && keptAsText(from):
		return number(to.Kind) || to.Kind == vector.Text
	case from.Equal(to):
		return true
	case to.Kind == vector.Text:
		return true
	case number(from.Kind) && number(to.Kind):
		return true
	case from.Kind == vector.List && to.Kind == vector.List:
		return tableAssignable(from.Elem[0], to.Elem[0])
	}
	switch to.Kind {
	case vector.Date:
		return from.Kind == vector.Timestamp || from.Kind == vector.TimestampTZ
	case vector.Timestamp, vector.TimestampTZ:
		return from.Kind == vector.Date || from.Kind == vector.Timestamp || from.Kind == vector.TimestampTZ
	case vector.Time:
		return from.Kind == vector.Timestamp || from.Kind == vector.TimestampTZ || from.Kind == vector.Interval
	case vector.Interval:
		return from.Kind == vector.Time
	case vector.JSON:
		return from.Kind == vector.JSON || from.Kind == vector.Map
	}
	return false
}

// isUnknown reports whether an expression is a string literal that has no type yet.
func isUnknown(n *pg_query.Node) bool { return n.GetAConst().GetSval() != nil }

// coerced gives an expression that has no type of its own, a string, a NULL or a parameter, the type of the column that it is for.
func (s *Session) coerced(n *pg_query.Node, c *tables.Column) *pg_query.Node {
	if isUnknown(n) && c.Type.Kind == vector.List {
		if a := s.arrayOf(n.GetAConst().GetSval().Sval, c); a != nil {
			return castTo(a, c)
		}
	}
	if isUnknown(n) {
		return castTo(s.spelled(n, c), c)
	}
	if n.GetAConst().GetIsnull() || n.GetParamRef() != nil {
		return castTo(n, c)
	}
	return n
}

// spelled is a literal of a time as DuckDB reads it, which knows fewer notations than PostgreSQL.
func (s *Session) spelled(n *pgNode, c *tables.Column) *pgNode {
	switch c.Type.Kind {
	case vector.Date, vector.Time, vector.Timestamp, vector.TimestampTZ:
	default:
		return n
	}
	v, err := s.parseText(c.Type, n.GetAConst().GetSval().Sval)
	if err != nil || v.IsNull(0) {
		return n
	}
	text := string(codec.AppendText(nil, v, 0, codec.Defaults))
	if strings.HasSuffix(text, "BC") {
		return n
	}
	return pg_query.MakeAConstStrNode(text, n.GetAConst().Location)
}

// arrayOf is an array literal as ARRAY[…]: DuckDB's notation of lists escapes otherwise. nil: it is none.
func (s *Session) arrayOf(text string, c *tables.Column) *pgNode {
	v, err := s.parseText(c.Type, text)
	if err != nil || v.IsNull(0) {
		return nil
	}
	child := v.Child[0]
	items := make([]string, child.N)
	for i := range items {
		items[i] = "NULL"
		if !child.IsNull(i) {
			items[i] = duck.QuoteLiteral(string(codec.AppendText(nil, child, i, s.codecSettings())))
			if child.Type.Kind == vector.Bytes {
				items[i] += "::bytea"
			}
		}
	}
	n, err := expressionText("ARRAY[" + strings.Join(items, ", ") + "]")
	if err != nil {
		return nil
	}
	return n
}

// fits refuses a string literal that is no value of the column that it is for, at its place.
func (s *Session) fits(sql string, n *pgNode, c *tables.Column) error {
	if !isUnknown(n) || c.Type.Kind == vector.Text {
		return nil
	}
	if _, err := s.parseText(c.Type, n.GetAConst().GetSval().Sval); err != nil {
		e := asError(err)
		if at := int(n.GetAConst().Location); at > 0 {
			e.Position = parse.Position(sql, at)
		}
		return e
	}
	return nil
}

// castTo casts an expression to a column's type.
func castTo(n *pg_query.Node, c *tables.Column) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_TypeCast{TypeCast: &pg_query.TypeCast{Arg: n, TypeName: typeNode(c)}}}
}
