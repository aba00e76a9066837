package engine

import (
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// exportScale is the scale of what is computed without a scale of its own, in a file whose columns have one: that of most of PostgreSQL's
// quotients. A column of numeric without a precision has parse.BareNumericScale.
const exportScale = 20

// exported analyzes a SELECT whose rows are written to a file: what is held as a text of an array becomes a list. nil: it has DuckDB's meaning.
func (b *binder) exported(n *pg_query.Node, t *exportTarget) (*typedQuery, error) {
	typed, err := b.analyzed(n, nil, nil)
	if err != nil || typed == nil || !typed.Whole || typed.Outputs == nil {
		return nil, err
	}
	targets, lists := make([]analyze.Target, len(typed.Outputs)), false
	for i, c := range typed.Outputs {
		if !codec.IsArray(codec.OID(c.Type)) {
			continue
		}
		held, ok := codec.TypeOf(codec.OID(c.Type))
		if !ok || held.Kind != vector.List || held.Elem[0].Kind == vector.Decimal && t.parquet() {
			return nil, hint(fail(codeUnsupported, "column %q, an array of this kind, is not written to a file", c.Name), "Cast it: CAST(… AS text), or to an array of double precision.")
		}
		if c.Type.Kind != vector.Text {
			continue
		}
		targets[i], lists = analyze.Target{Name: c.Name, Type: analyze.Dimensional(c.Type.Shown), Mod: -1, Held: held}, true
	}
	if !lists {
		return typed, nil
	}
	return b.assigned(n, nil, nil, assignment{targets: targets})
}

func (t *exportTarget) parquet() bool { return strings.HasPrefix(t.options, "FORMAT parquet") }

// fileSQL is the SQL for DuckDB of what is written to a file: numerics without a precision, which are texts with their digits in csv, are
// decimals in Parquet, and refused where they do not fit one exactly.
func (t *exportTarget) fileSQL(typed *typedQuery, sql string) string {
	if !t.parquet() {
		return sql
	}
	names, items, decimals := make([]string, len(typed.Outputs)), make([]string, len(typed.Outputs)), false
	for i, c := range typed.Outputs {
		names[i] = fmt.Sprint("__c", i)
		items[i] = names[i] + " AS " + duck.QuoteIdent(c.Name)
		if c.Type.Kind != vector.Text || c.Type.Shown != codec.OIDNumeric {
			continue
		}
		scale := exportScale
		if decimals = true; c.Table != 0 {
			scale = parse.BareNumericScale
		}
		items[i] = fmt.Sprintf("CAST(__numeric_fixed(%s, %d, %d) AS DECIMAL(%[2]d,%[3]d)) AS %[4]s", names[i], parse.BareNumericPrecision, scale, duck.QuoteIdent(c.Name))
	}
	if !decimals {
		return sql
	}
	return fmt.Sprintf("SELECT %s FROM (%s) AS __rows(%s)", strings.Join(items, ", "), sql, strings.Join(names, ", "))
}
