package engine

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// A statement that reads features is analyzed as every other is: a plan's placeholders are relations whose columns are known, and what
// is computed before the statement runs (the left side of an ASOF join, its keys and times, the keys of an entity) are queries of their
// own, each of which is analyzed by itself.

// analyzedColumns are columns as analyses read them.
func analyzedColumns(cols []schema.Column) []analyze.Column {
	out := make([]analyze.Column, len(cols))
	for i, c := range cols {
		out[i] = analyze.Column{Name: c.Name, Type: c.Type, Raw: c.Type.Kind == vector.JSON}
	}
	return out
}

// piece analyzes a query that is computed before the statement; nil where it has DuckDB's meaning. Its parameters have the types that the
// client gave them, or pieces before it, and those that it gives them stay.
func (b *binder) piece(n *pg_query.Node) (*typedQuery, error) {
	checked, typed := b.checked, b.typed
	defer func() { b.checked, b.typed = checked, typed }()
	t, err := b.assigned(clone(n), b.given, nil, assignment{})
	if err != nil || t == nil || !t.Whole || t.Outputs == nil {
		return nil, err
	}
	b.foundParams(t.Params)
	return t, nil
}

// foundParams keeps the types of parameters that an analysis found.
func (b *binder) foundParams(types []vector.Type) {
	for i, t := range types {
		b.foundParam(i+1, t)
	}
}

// foundParam keeps the type of parameter $n, unless one was found before.
func (b *binder) foundParam(n int, t vector.Type) {
	for n > len(b.found) {
		b.found = append(b.found, vector.Type{})
	}
	if b.found[n-1].Kind == vector.Invalid {
		b.found[n-1] = t
	}
}

// foundKey gives parameter $n, which is looked up as a key, the key's type where the client gave none: another one is cast.
func (b *binder) foundKey(n int, t vector.Type) {
	if n > len(b.given) || b.given[n-1].Kind == vector.Invalid {
		b.foundParam(n, t)
	}
}

// foundTime keeps the type of a parameter that says a time.
func (b *binder) foundTime(n *pg_query.Node) {
	if n == nil {
		return
	}
	if k := uncast(n).GetParamRef().GetNumber(); k > 0 {
		b.foundKey(int(k), vector.T(vector.TimestampTZ))
	}
}

// likeKey gives a parameter or a literal without a type, which a key or a time is compared with, the type of that.
func likeKey(n *pg_query.Node, t vector.Type) (*pg_query.Node, error) {
	if n.GetParamRef() == nil && !isUnknown(n) {
		return n, nil
	}
	name := t.String()
	if t.Kind == vector.Decimal { // what does not fit the key is not rounded to it
		name = "numeric"
	}
	return castNode(n, name)
}

// typedPiece is the SQL for DuckDB of such a query.
func (b *binder) typedPiece(t *typedQuery) (string, error) {
	checked, typed := b.checked, b.typed
	defer func() { b.checked, b.typed = checked, typed }()
	return b.typedSQL(t)
}

// pieceExpr is the SQL of an expression over a placeholder that is compared with a key, a request column or a time of type to; "" where it
// has DuckDB's meaning.
func (b *binder) pieceExpr(e, from *pg_query.Node, to vector.Type) (string, error) {
	t, err := b.piece(selectNode([]*pg_query.Node{pg_query.MakeResTargetNodeWithVal(e, 0)}, from))
	if err != nil || t == nil {
		return "", err
	}
	held := t.Outputs[0].Type
	as := func(name string) (string, error) {
		cast, err := castNode(e, name)
		if err != nil {
			return "", err
		}
		return b.pieceExpr(cast, from, to)
	}
	number := held.Kind == vector.Text && held.Shown == codec.OIDNumeric // one without a precision, which is held as text
	switch {
	case number && (to.Kind == vector.Float32 || to.Kind == vector.Float64):
		return as(to.String())
	case held.Kind == vector.Text && held.Shown == codec.OIDBPChar && to.Kind == vector.Text: // without the blanks at its end
		return as("text")
	case (held.Kind == vector.Date || held.Kind == vector.Timestamp) && to.Kind == vector.TimestampTZ && b.s.location.String() != "UTC":
		return as("timestamptz")
	case held.Kind == vector.Text && to.Kind == vector.Text && !slices.Contains([]uint32{0, codec.OIDText, codec.OIDVarchar, codec.OIDName, codec.OIDUnknown}, held.Shown):
		name := pgcatalog.FormatType(held.Shown, -1)
		return "", at(hint(fail(codeTypeMismatch, "a column of type text is compared with an expression of type %s", name), "Cast it: CAST(… AS text)"), b.sql, nodeLocation(e))
	}
	sql, err := rewrite.Expr(t.node.GetSelectStmt().TargetList[0].GetResTarget().Val, rewrite.Options{Function: b.function, Off: typedRules, Checked: true,
		Role: roleName(b.s, b.s.role), SessionRole: roleName(b.s, b.s.sessionRole), Database: b.s.info.Database})
	if err != nil {
		return "", b.placed(err)
	}
	switch {
	case number: // what has more digits than the key is equal to none
		if to.Kind != vector.Decimal {
			to = vector.DecimalOf(parse.BareNumericPrecision, parse.BareNumericScale)
		}
		sql = fmt.Sprintf("CAST(__numeric_fixed(%s, %d, %d) AS %s)", sql, to.Precision, to.Scale, to.DuckDB())
	case held.Kind == vector.Decimal && to.Kind == vector.Decimal && held.Scale > to.Scale:
		sql = exactSQL(sql, held, to)
	case to.Kind == vector.JSON && (held.Shown == codec.OIDJSON || held.Shown == codec.OIDJSONB): // of a function of ours, which DuckDB does not know to be JSON
		sql = "CAST(" + sql + " AS JSON)"
	}
	return sql, nil
}
