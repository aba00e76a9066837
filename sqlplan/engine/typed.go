package engine

import (
	"context"
	"errors"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// typedQuery is a SELECT to which package analyze gave PostgreSQL's meaning.
type typedQuery struct {
	node *pg_query.Node // not changed from here on
	*analyze.Result
}

// typedRules are the rules of package rewrite that a query leaves out that was analyzed as a whole.
var typedRules = map[string]bool{"literals": true, "parameters": true, "regex": true, "like_escape": true, "syntax_calls": true, "division": true,
	"result_types": true, "series_alias": true, "values_names": true, "unknown_outputs": true, "column_names": true}

// analyzed gives a SELECT PostgreSQL's meaning; nil for one that is left to DuckDB.
func (b *binder) analyzed(n *pg_query.Node, given []vector.Type, oids []uint32) (*typedQuery, error) {
	return b.assigned(n, given, oids, assignment{})
}

// assignment is what a query's rows are for: columns that they are assigned to.
type assignment struct {
	targets []analyze.Target // of its outputs; nil: none
	source  *pg_query.SelectStmt
	sources []analyze.Target // see analyze.Env
	clause  string
	keys    bool // its outputs are only compared
	// settings are those that it is analyzed with; nil: the session's.
	settings *codec.Settings
}

// assigned is analyzed for a query whose outputs are assigned to columns.
func (b *binder) assigned(n *pg_query.Node, given []vector.Type, oids []uint32, to assignment) (*typedQuery, error) {
	if n.GetSelectStmt() == nil || readsCatalog(n) {
		return nil, nil
	}
	for name := range b.refs {
		if b.refColumns[name] == nil {
			return nil, nil
		}
	}
	oids = typedParams(typedParams(oids, given), b.found)
	b.hidden.note(n)
	env := b.analysis(oids, b.columnsOf)
	env.Clause = to.clause
	if to.settings != nil {
		env.Settings = to.settings
	}
	t := &typedQuery{node: clone(n)}
	calls := unboundedCalls(t.node)
	if to.source != nil { // that of the copy
		env.SourceTargets = to.sources
		env.Source = t.node.GetSelectStmt().FromClause[0].GetRangeSubselect().GetSubquery().GetSelectStmt()
	}
	var err error
	switch {
	case to.keys:
		t.Result, err = analyze.Keys(t.node, env)
	case to.targets == nil:
		t.Result, err = analyze.Query(t.node, env)
	default:
		t.node, t.Result, err = analyze.Assign(t.node, env, to.targets)
	}
	if err != nil {
		return nil, b.analysisError(err)
	}
	if err := rewrite.CheckCalls(n, knownCalls(calls, t.Result), b.function); err != nil {
		return nil, b.placed(err)
	}
	b.checked, b.typed = true, true
	return t, nil
}

// typedParams are the types of parameters by oids, and of those that have none there by types.
func typedParams(oids []uint32, types []vector.Type) []uint32 {
	for i, t := range types {
		for i >= len(oids) {
			oids = append(oids, 0)
		}
		if oids[i] != 0 {
			continue
		}
		if t.Kind != vector.Invalid {
			oids[i] = codec.OID(t)
		}
		if t.Kind == vector.Text && codec.IsArray(t.Shown) {
			oids[i] = analyze.Dimensional(t.Shown)
		}
	}
	return oids
}

// analysis is what an analysis of the statement needs to know; relation says what its relations' columns are.
func (b *binder) analysis(oids []uint32, relation func(rv *pg_query.RangeVar) ([]analyze.Column, bool, error)) *analyze.Env {
	return &analyze.Env{Relation: relation, Params: oids, Settings: b.s.codecSettings(), SQL: b.sql, Role: roleName(b.s, b.s.role), SessionRole: roleName(b.s, b.s.sessionRole), Database: b.s.info.Database, Encoding: b.s.encoding, Random: b.s.random.name(),
		Expands: func(name string, args []*pg_query.Node) bool {
			f, err := b.function("", name, args, false)
			return f != nil || err != nil
		},
		Returns: pgcatalog.HeldResult,
		Foreign: b.s.e.knowsFunction,
		Own:     func(name string) bool { return b.cat.Function(name) != nil }}
}

// analysisError is an error of an analysis as clients see it.
func (b *binder) analysisError(err error) error {
	var e *analyze.Error
	if !errors.As(err, &e) {
		return asError(err)
	}
	out := &session.Error{Code: e.Code, Message: e.Message, Detail: e.Detail, Hint: e.Hint}
	if e.Offset > 0 { // 0 is of what a definition says
		return at(out, b.sql, e.Offset)
	}
	if e.Offset == 0 {
		out.Position = noPlace
	}
	return out
}

// readsCatalog reports whether a query is one of PostgreSQL's catalogs, which package pgcatalog types: it reads a relation of theirs,
// or has types or functions that only they have.
func readsCatalog(n *pg_query.Node) bool {
	found := false
	parse.Walk(n, func(m proto.Message) bool {
		last := func(l []*pg_query.Node) string {
			if len(l) == 0 {
				return ""
			}
			return l[len(l)-1].GetString_().GetSval()
		}
		switch n := m.(type) {
		case *pg_query.RangeVar:
			found = found || pgcatalog.System(n) != nil
		case *pg_query.TypeName:
			found = found || strings.HasPrefix(last(n.Names), "reg")
		case *pg_query.FuncCall:
			name := last(n.Funcname)
			if _, sequence := sequenceFunctions[name]; sequence && (len(n.Args) == 0 || isUnknown(uncast(n.Args[0]))) {
				return false
			}
			found = found || !pgfunc.Named(name) && (pgcatalog.FunctionNamed(name, len(n.Args), false) != nil || pgcatalog.FunctionNamed(name, len(n.Args), true) != nil)
		}
		return !found
	})
	return found
}

// columnsOf are the columns of a relation, where their types are what the engine says.
func (b *binder) columnsOf(rv *pg_query.RangeVar) ([]analyze.Column, bool, error) {
	if cols := b.refColumns[rv.Relname]; cols != nil {
		return cols, true, nil
	}
	if cols := b.s.partColumns[rv.Relname]; cols != nil && rv.Schemaname == "" {
		return cols, true, nil
	}
	if rv.Schemaname == "tilehouse" && largeViews[rv.Relname] != nil {
		var out []analyze.Column
		for _, c := range catalogViews[rv.Relname].columns {
			out = append(out, analyze.Column{Name: c.Name, Type: c.Type})
		}
		return out, true, nil
	}
	if rv.Schemaname == "tilehouse" || b.refs[rv.Relname] != "" || b.s.parts[rv.Relname] != "" {
		return nil, false, nil
	}
	if pgcatalog.System(rv) != nil {
		return nil, false, nil
	}
	if rv.Schemaname == "" || rv.Schemaname == "public" {
		switch o := b.cat.Lookup(rv.Relname).(type) {
		case *schema.Relation:
			var out []analyze.Column
			columns, err := b.hidden.of(o)
			if err != nil {
				return nil, false, err
			}
			for i, c := range columns {
				col := analyze.Column{Name: c.Name, Type: c.Type}
				if i < len(o.Columns) { // the hidden ones have no number
					col.Origin = analyze.Origin{Table: objectOID(relationOIDs, o.ID), Number: int16(o.Place(i) + 1)}
				}
				out = append(out, col)
			}
			return out, true, nil
		case nil:
		default:
			return nil, false, nil
		}
	}
	tabs, err := b.s.ordinary(b.ctx)
	if err != nil {
		return nil, false, err
	}
	relation := b.s.find(tabs, rv.Schemaname, rv.Relname)
	if relation == nil {
		return nil, false, nil
	}
	if relation.Kind == tables.Table || relation.Kind == tables.MaterializedView {
		return declaredColumns(relation), true, nil
	}
	_, columns, err := b.s.described(b.ctx, "SELECT * FROM "+duckName(relation))
	if err != nil {
		return nil, false, nil // DuckDB says what is wrong where the whole statement is planned
	}
	var out []analyze.Column
	for i, c := range columns {
		out = append(out, analyze.Column{Name: c.Name, Type: c.Type, Origin: analyze.Origin{Table: ordinaryOID(relation.ID), Number: int16(i + 1)}})
	}
	return out, true, nil
}

// sql is the query's SQL for DuckDB.
func (b *binder) typedSQL(t *typedQuery) (string, error) {
	b.checked, b.typed = true, true // by analyzed, of another binder perhaps
	if !t.Whole {
		return b.duckSQL(clone(t.node))
	}
	off := b.off
	b.off = typedRules
	defer func() { b.off = off }()
	return b.duckSQL(clone(t.node))
}

// described are the columns and parameters of an analyzed query: those that DuckDB says, as PostgreSQL shows them.
func (s *Session) describeTyped(b *binder, t *typedQuery, given []vector.Type) ([]vector.Type, []session.Column, error) {
	sql, err := b.typedSQL(t)
	if err != nil {
		return nil, nil, err
	}
	b.notePlan(sql)
	params, columns, err := s.describe(b.ctx, b.sql, sql, given)
	if err != nil {
		return nil, nil, err
	}
	for i, t := range b.known {
		for i >= len(params) {
			params = append(params, vector.Type{})
		}
		if params[i].Kind == vector.Invalid {
			params[i] = t
		}
	}
	for _, list := range [][]vector.Type{b.found, t.Params} {
		for i, p := range list {
			for i >= len(params) {
				params = append(params, vector.Type{})
			}
			if p.Kind != vector.Invalid {
				params[i] = plainType(p)
			}
		}
	}
	types := make([]vector.Type, len(columns))
	for i, c := range columns {
		types[i] = c.Type
	}
	if types = t.shown(types); types != nil {
		columns = make([]session.Column, len(types))
		for i, c := range t.Outputs {
			columns[i] = session.Column{Name: c.Name, Type: types[i], Table: c.Table, Number: c.Number}
		}
	}
	return params, columns, nil
}

// shown are the types of the query's outputs as PostgreSQL shows those that DuckDB says; nil where they are not known. DuckDB says one
// column of no type where one depends on a parameter that it cannot type.
func (t *typedQuery) shown(have []vector.Type) []vector.Type {
	unknown := len(have) == 1 && have[0].Kind == vector.Invalid
	if t == nil || len(have) != len(t.Outputs) && !unknown {
		return nil
	}
	out := make([]vector.Type, len(t.Outputs))
	for i, c := range t.Outputs {
		if unknown {
			out[i] = plainType(c.Type)
		} else {
			out[i] = shownType(have[i], c.Type)
		}
	}
	return out
}

func typesOf(columns []duck.Column) []vector.Type {
	out := make([]vector.Type, len(columns))
	for i, c := range columns {
		out[i] = c.Type
	}
	return out
}

// plainType is t without what clients see where that is its kind's own.
func plainType(t vector.Type) vector.Type {
	bare := t
	bare.Shown, bare.Mod = 0, 0
	if codec.OID(bare) == t.Shown && t.Mod == 0 && t.Kind != vector.Decimal {
		return bare
	}
	return t
}

// shownType is the type of a column of DuckDB's as PostgreSQL shows it.
func shownType(have, want vector.Type) vector.Type {
	if have.Kind == vector.Text && want.Kind == vector.JSON { // of a function of ours, which DuckDB does not know to be JSON
		have.Shown = codec.OIDJSON
		return have
	}
	if have.Kind != want.Kind {
		return have
	}
	out := have
	if p := plainType(want); p.Shown != 0 {
		out.Shown, out.Mod = p.Shown, p.Mod
	}
	if len(have.Elem) == 1 && len(want.Elem) == 1 {
		out.Elem = []vector.Type{shownType(have.Elem[0], want.Elem[0])}
	}
	return out
}

// showAs gives vectors of a result the types that clients see.
func showAs(c *vector.Chunk, columns []session.Column) {
	for i, v := range c.Cols {
		if i < len(columns) {
			showVector(v, columns[i].Type)
		}
	}
}

func showVector(v *vector.Vector, t vector.Type) {
	if v.Type.Kind != t.Kind || v.Type.Shown == t.Shown && len(t.Elem) == 0 {
		return
	}
	v.Type.Shown, v.Type.Mod = t.Shown, t.Mod
	if t.Kind == vector.List && len(v.Child) == 1 {
		v.Type.Elem = t.Elem
		showVector(v.Child[0], t.Elem[0])
	}
}

// functionsOfOurs are those that the engine's DuckDB gets.
func functionsOfOurs() []duck.Scalar { return pgfunc.Scalars() }

// knowsFunction reports whether DuckDB has a function of a name.
func (e *Engine) knowsFunction(name string) bool {
	e.functions.Do(func() {
		c, err := e.db.Connect()
		if err != nil {
			return
		}
		defer c.Close()
		rows, err := c.Query(context.Background(), "SELECT DISTINCT lower(function_name) FROM duckdb_functions()")
		if err != nil {
			return
		}
		defer rows.Close()
		known := map[string]bool{}
		for {
			ch, err := rows.Next()
			if err != nil {
				return
			}
			if ch == nil {
				break
			}
			for i := range ch.N {
				known[string(ch.Cols[0].Bytes(i))] = true
			}
		}
		e.duckFunctions = known
	})
	return e.duckFunctions == nil || e.duckFunctions[strings.ToLower(name)]
}
