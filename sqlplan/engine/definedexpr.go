package engine

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Expressions of definitions are SQL for DuckDB that is stored: plain comparisons and arithmetic of theirs stand in it as they are written, and
// decimals are computed by the rules of features. What DuckDB computes otherwise than PostgreSQL, or not at all, is analyzed as in queries, with
// UTC and PostgreSQL's own settings; then functions of ours are called by names that stay, because catalogs have them.

// definitionSettings are those that expressions of definitions are analyzed with.
func definitionSettings(zone *time.Location) *codec.Settings {
	out := *codec.Defaults
	out.Zone = zone
	return &out
}

// defined is the SQL for DuckDB of an expression of a definition, and text the statement that it stands in. from is the FROM clause of the
// columns, known there as alias. zone is the session's, nil where the definition was made before.
func (s *Session) defined(ctx context.Context, text string, n *pg_query.Node, columns []schema.Column, alias, from string, zone *time.Location) (string, error) {
	plain := func() (string, error) {
		sql, err := s.expressions(ctx, []*pg_query.Node{n}, from)
		if err != nil {
			return "", err
		}
		return sql[0], nil
	}
	if !differs(n, columns) || s.callsOwn(n) {
		return plain()
	}
	d := &definedExpr{s: s, ctx: ctx, text: text, columns: columns, alias: alias}
	sql, t, err := d.sql(n, time.UTC)
	if err != nil {
		return "", err
	}
	if t == nil {
		return plain()
	}
	if zone != nil && zone != time.UTC && zone.String() != "UTC" {
		there, _, err := d.sql(n, zone)
		if err != nil {
			return "", err
		}
		if strings.ReplaceAll(there, pgfunc.SettingsText(definitionSettings(zone)), pgfunc.SettingsText(definitionSettings(time.UTC))) != sql {
			return "", hint(fail(codeDefinition, "a time without a zone in a definition is one in UTC, and the session's time zone is %s", zone), "Write its zone: '2024-06-01 12:00+00'; or SET TimeZone = 'UTC'.")
		}
	}
	held := t.Outputs[0].Type
	if held.Kind != vector.Text || held.Shown != codec.OIDNumeric && !codec.IsArray(held.Shown) {
		return sql, nil
	}
	// A numeric without a precision, or an array of any shape, which are held as text: a decimal is one of features, another number double.
	as := vector.T(vector.Float64)
	if old, err := plain(); err == nil {
		types, err := s.types(ctx, []string{old}, from)
		if err == nil && (types[0].Kind == vector.Decimal || held.Shown != codec.OIDNumeric) {
			return old, nil
		}
		if err == nil && types[0].Kind == vector.Int64 && !fractional(n) { // a part of a date
			as = types[0]
		}
	}
	if held.Shown != codec.OIDNumeric {
		return "", fail(codeUnsupported, "an array of this kind is not supported in a definition")
	}
	cast, err := expressionText("CAST(NULL AS " + as.String() + ")")
	if err != nil {
		return "", asError(err)
	}
	cast.GetTypeCast().Arg = n
	sql, _, err = d.sql(cast, time.UTC)
	return sql, err
}

type definedExpr struct {
	s       *Session
	ctx     context.Context
	text    string
	columns []schema.Column
	alias   string
}

// sql is the expression's SQL as an analysis makes it; no query where there is something that it leaves to DuckDB.
func (d *definedExpr) sql(n *pg_query.Node, zone *time.Location) (string, *typedQuery, error) {
	const name = "__defined"
	b := &binder{ctx: d.ctx, s: d.s, cat: d.s.catalog(), describe: true, sql: d.text, refs: map[string]string{}}
	b.setRef(name, nullRow(d.columns), analyzedColumns(d.columns))
	query := selectNode([]*pg_query.Node{pg_query.MakeResTargetNodeWithVal(n, 0)}, placeholder(name, d.alias))
	t, err := b.assigned(query, nil, nil, assignment{settings: definitionSettings(zone)})
	if err != nil || t == nil || !t.Whole || t.Outputs == nil {
		return "", nil, err
	}
	sql, err := rewrite.Expr(unqualified(t.node.GetSelectStmt().TargetList[0].GetResTarget().Val, d.alias), rewrite.Options{Off: typedRules, Checked: true})
	if err != nil {
		return "", nil, b.placed(err)
	}
	return sql, t, nil
}

// nullRow is a relation of one row of NULLs.
func nullRow(columns []schema.Column) string { return "(SELECT " + nullColumns(columns) + ")" }

// callsOwn reports whether an expression calls a function that users made, or one that PostgreSQL does not have.
func (s *Session) callsOwn(n *pg_query.Node) bool {
	return calls(n, func(name string) bool { return s.catalog().Function(name) != nil || !analyze.Knows(name) })
}

func calls(n *pg_query.Node, is func(name string) bool) bool {
	found := false
	parse.Walk(n, func(m proto.Message) bool {
		if f, ok := m.(*pg_query.FuncCall); ok && len(f.Funcname) > 0 {
			found = found || is(calledName(f))
		}
		return !found
	})
	return found
}

// sameCalls are functions of which DuckDB has PostgreSQL's results, for the arguments that features are made of.
var sameCalls = map[string]bool{"abs": true, "ceil": true, "ceiling": true, "floor": true, "sign": true, "trunc": true, "mod": true, "upper": true, "lower": true, "length": true,
	"char_length": true, "character_length": true, "substr": true, "left": true, "right": true, "strpos": true, "position": true, "btrim": true, "ltrim": true,
	"rtrim": true, "replace": true, "split_part": true, "repeat": true, "reverse": true, "lpad": true, "md5": true, "starts_with": true, "translate": true, "date_trunc": true,
	"extract": true, "date_part": true, "ascii": true, "chr": true, "pi": true}

// fractions are the fields of a time that have a fraction.
var fractions = map[string]bool{"second": true, "seconds": true, "millisecond": true, "milliseconds": true, "microsecond": true, "microseconds": true, "epoch": true, "julian": true}

// fractional reports whether an expression has a field of a time that has a fraction.
func fractional(n *pg_query.Node) bool {
	found := false
	parse.Walk(n, func(m proto.Message) bool {
		if f, ok := m.(*pg_query.FuncCall); ok && (calledName(f) == "extract" || calledName(f) == "date_part") {
			field, _, _ := constantText(f.Args[0])
			found = found || fractions[strings.ToLower(field)]
		}
		return !found
	})
	return found
}

// strangeOperators are those that DuckDB does not have, or computes otherwise.
var strangeOperators = map[string]bool{"^": true, "#": true, "<<": true, ">>": true, "@>": true, "<@": true, "&&": true, "?": true, "?|": true, "?&": true, "#>": true, "#>>": true,
	"|/": true, "||/": true, "@": true, "~": false}

// dated is a text that may be a date or a time.
var dated = regexp.MustCompile(`^\s*\d{1,6}-\d{1,2}-\d{1,2}`)

// differs reports whether DuckDB may compute an expression otherwise than PostgreSQL, or not know it.
func differs(n *pg_query.Node, columns []schema.Column) bool {
	differ, computes := false, false
	kinds := map[vector.Kind]bool{}
	parse.Walk(n, func(m proto.Message) bool {
		switch n := m.(type) {
		case *pg_query.ColumnRef:
			name := n.Fields[len(n.Fields)-1].GetString_().GetSval()
			if i := slices.IndexFunc(columns, func(c schema.Column) bool { return c.Name == name }); i >= 0 {
				kinds[columns[i].Type.Kind] = true
			}
		case *pg_query.A_Const:
			if s := n.GetSval(); s != nil && dated.MatchString(s.Sval) || n.GetFval() != nil && strings.ContainsAny(n.GetFval().Fval, "eE") {
				differ = true
			}
		case *pg_query.TypeCast:
			computes = true
			name := words(n.TypeName.GetNames())
			text := name == "text" || name == "varchar" || name == "bpchar"
			if text && n.Arg.GetAConst() == nil || len(n.TypeName.GetTypmods()) > 0 && text || name == "bytea" || name == "time" || name == "timetz" {
				differ = true
			}
		case *pg_query.A_Expr:
			computes = true
			switch n.Kind {
			case pg_query.A_Expr_Kind_AEXPR_SIMILAR, pg_query.A_Expr_Kind_AEXPR_BETWEEN_SYM, pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
				differ = true
			case pg_query.A_Expr_Kind_AEXPR_OP_ANY, pg_query.A_Expr_Kind_AEXPR_OP_ALL:
				differ = differ || n.Rexpr.GetAArrayExpr() == nil
			default:
				differ = differ || strangeOperators[operator(n)] || operator(n) == "~" && n.Lexpr == nil
			}
		case *pg_query.FuncCall:
			computes = true
			name := calledName(n)
			differ = differ || !sameCalls[name]
			if len(n.Args) > 1 && (name == "extract" || name == "date_part" || name == "date_trunc") {
				differ = differ || kindsIn(n.Args[1], columns)[vector.Date]
			}
		}
		return !differ
	})
	return differ || fractional(n) || computes && (kinds[vector.Float32] || kinds[vector.JSON] || kinds[vector.List] || kinds[vector.Bytes])
}

// kindsIn are the kinds of the columns in an expression.
func kindsIn(n *pg_query.Node, columns []schema.Column) map[vector.Kind]bool {
	out := map[vector.Kind]bool{}
	parse.Walk(n, func(m proto.Message) bool {
		if ref, ok := m.(*pg_query.ColumnRef); ok {
			name := ref.Fields[len(ref.Fields)-1].GetString_().GetSval()
			if i := slices.IndexFunc(columns, func(c schema.Column) bool { return c.Name == name }); i >= 0 {
				out[columns[i].Type.Kind] = true
			}
		}
		return true
	})
	return out
}
