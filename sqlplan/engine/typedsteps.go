package engine

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// A statement that reads features is analyzed as every other is: a plan's placeholders are relations whose columns are known, and what
// is computed before the statement runs (the left side of an ASOF join, its keys and times, the keys of an entity) are queries of their
// own, each of which is analyzed by itself.

// analyzable reports whether an analysis may see a statement as the plan left it. ASOF joins of ordinary relations and samples stand
// in it in DuckDB's words.
func (q *queryPlan) analyzable() bool {
	if q == nil {
		return true
	}
	if len(q.ordinary) > 0 {
		return false
	}
	for _, s := range q.steps {
		if s.skew != nil || s.sample != nil {
			return false
		}
	}
	return true
}

// analyzedColumns are columns as analyses read them.
func analyzedColumns(cols []schema.Column) []analyze.Column {
	out := make([]analyze.Column, len(cols))
	for i, c := range cols {
		out[i] = analyze.Column{Name: c.Name, Type: c.Type, Raw: c.Type.Kind == vector.JSON}
	}
	return out
}

// piece analyzes a query that is computed before the statement; nil where it has DuckDB's meaning: parameters get their types from the
// whole statement.
func (b *binder) piece(n *pg_query.Node) (*typedQuery, error) {
	if hasParam(n) || !b.plan.analyzable() {
		return nil, nil
	}
	checked, typed := b.checked, b.typed
	defer func() { b.checked, b.typed = checked, typed }()
	t, err := b.assigned(clone(n), nil, nil, nil, assignment{})
	if err != nil || t == nil || !t.Whole || t.Outputs == nil {
		return nil, err
	}
	return t, nil
}

// typedPiece is the SQL for DuckDB of such a query.
func (b *binder) typedPiece(t *typedQuery) (string, error) {
	checked, typed := b.checked, b.typed
	defer func() { b.checked, b.typed = checked, typed }()
	return b.typedSQL(t)
}

// pieceExpr is the SQL of an expression over a placeholder; "" where it has DuckDB's meaning. A numeric without a precision, which
// is held as text, becomes one of type to, or one that DuckDB computes with.
func (b *binder) pieceExpr(e, from *pg_query.Node, to vector.Type) (string, error) {
	t, err := b.piece(selectNode([]*pg_query.Node{pg_query.MakeResTargetNodeWithVal(e, 0)}, from))
	if err != nil || t == nil {
		return "", err
	}
	if held := t.Outputs[0].Type; held.Kind == vector.Text && held.Shown == codec.OIDNumeric {
		if to.Kind != vector.Decimal && to.Kind != vector.Float32 && to.Kind != vector.Float64 {
			to = vector.DecimalOf(parse.BareNumericPrecision, parse.BareNumericScale)
		}
		cast, err := expressionText("CAST(NULL AS " + to.String() + ")")
		if err != nil {
			return "", asError(err)
		}
		cast.GetTypeCast().Arg = e
		return b.pieceExpr(cast, from, to)
	}
	sql, err := rewrite.Expr(t.node.GetSelectStmt().TargetList[0].GetResTarget().Val, rewrite.Options{Function: b.function, Off: typedRules, Checked: true,
		Role: roleName(b.s, b.s.role), SessionRole: roleName(b.s, b.s.sessionRole), Database: b.s.info.Database})
	if err != nil {
		return "", b.placed(err)
	}
	if shown := t.Outputs[0].Type.Shown; to.Kind == vector.JSON && (shown == codec.OIDJSON || shown == codec.OIDJSONB) { // of a function of ours, which DuckDB does not know to be JSON
		sql = "CAST(" + sql + " AS JSON)"
	}
	return sql, nil
}
