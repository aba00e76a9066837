package engine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// bindSelect binds a SELECT: a lookup, one with an ASOF join to features, or one that DuckDB runs.
func (s *Session) bindSelect(ctx context.Context, cat *schema.Catalog, st *parse.SQL, given []vector.Type) (bound, error) {
	sel := st.Node.GetSelectStmt()
	lookup, err := s.planLookup(cat, st, sel, given)
	if err != nil {
		return bound{}, err
	}
	if lookup != nil {
		return s.bindLookup(cat, st, lookup)
	}
	return s.bindQuery(ctx, cat, st, given)
}

// bindQuery binds a SELECT that DuckDB finishes.
func (s *Session) bindQuery(ctx context.Context, cat *schema.Catalog, st *parse.SQL, given []vector.Type) (bound, error) {
	b := &binder{ctx: ctx, s: s, cat: cat, describe: true, sql: st.Text, refs: map[string]string{}, given: given}
	plan, err := s.planQuery(b, st)
	if err != nil {
		return bound{}, err
	}
	typed, err := b.analyzed(st.Node, given, nil)
	if err != nil {
		return bound{}, err
	}
	var params []vector.Type
	var columns []session.Column
	if typed != nil && (typed.Whole || typed.Outputs != nil) {
		params, columns, err = s.describeTyped(b, typed, given)
	} else if typed != nil {
		params, columns, err = s.describeNode(ctx, b, typed.node, given)
		for i := range columns {
			if len(typed.Known) == len(columns) && typed.Known[i].Type.Shown != 0 {
				columns[i].Type = shownType(columns[i].Type, typed.Known[i].Type)
			}
		}
	} else {
		params, columns, err = s.describeNode(ctx, b, st.Node, given)
	}
	if err != nil {
		return bound{}, qualifyGrouping(b, st.Node.GetSelectStmt(), err)
	}
	if typed != nil && typed.Whole && len(plan.steps) == 0 { // what stands for features says types, too
		for i := range params {
			if (i >= len(given) || given[i].Kind == vector.Invalid) && (i >= len(typed.Params) || typed.Params[i].Kind == vector.Invalid) {
				return bound{}, fail("42P18", "could not determine data type of parameter $%d", i+1)
			}
		}
	}
	return bound{params: params, columns: columns, lasting: b.lasting, run: func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		if t := b.lasting; t != nil && (!t.catalogs || s.system != nil && s.system.number == t.number) {
			again := &binder{ctx: ctx, s: s, cat: cat, sql: st.Text}
			if !t.catalogs {
				return again.runLasting(t.lastingUse, func(int64) string { return t.sql }, columns, args)
			}
			if err := s.beginDuck(ctx); err != nil {
				return nil, asError(err)
			}
			if c, err := again.systemCatalog(); err != nil {
				return nil, asError(err)
			} else if c.number == t.number {
				return again.runLasting(t.lastingUse, func(int64) string { return t.sql }, columns, args)
			}
		}
		r, err := s.runQuery(ctx, cat, st, plan, typed, columns, args, nil)
		if err != nil || b.outputs == nil {
			return r, err
		}
		return s.shown(r, columns), nil
	}}, nil
}

// refuseLeftOver refuses clauses that no plan took: silence would be a wrong answer.
func (s *Session) refuseLeftOver(b *binder, st *parse.SQL, q *queryPlan) error {
	for _, a := range st.Clauses.Asof {
		if !q.took(a.Join) {
			return at(fail(codeUnsupported, "ASOF JOIN cannot stand here"), st.Text, a.Position)
		}
	}
	for _, w := range st.Clauses.Windows {
		if !q.took(w.Select) {
			return at(hint(fail(codeUnsupported, "a SELECT with WINDOW stands on the right side of ASOF JOIN"), "FROM labels l ASOF JOIN (SELECT … WINDOW 51 HOURS) x ON … AND l.ts > x.ts"), st.Text, w.Position)
		}
	}
	for _, t := range st.Clauses.SystemTime {
		if !slices.Contains(q.times, t.Expr) && !q.took(t.Relation) {
			return at(notThen(), st.Text, t.Position)
		}
	}
	for _, t := range st.Clauses.Samples {
		if t.Method == stratified && !q.took(t.Node) {
			return at(fail(codeUnsupported, "TABLESAMPLE stratified cannot stand here"), st.Text, t.Position)
		}
	}
	return nil
}

// describeNode describes a statement. DuckDB describes none of the columns when one depends on a parameter that it cannot
// type; then the parameters are cast to the types that the client gave, or to text, as PostgreSQL takes unknown ones.
func (s *Session) describeNode(ctx context.Context, b *binder, n *pg_query.Node, given []vector.Type) ([]vector.Type, []session.Column, error) {
	if err := s.typeArrays(b, n); err != nil {
		return nil, nil, err
	}
	if err := s.inferParams(b, n, given); err != nil {
		return nil, nil, err
	}
	sql, err := b.duckSQL(clone(n))
	if err != nil {
		return nil, nil, err
	}
	var columns []session.Column
	var kept *systemCatalog
	if b.outputs != nil {
		if b.notePlan(sql); b.lasting != nil && !b.live {
			kept = b.system
		}
	}
	params, described, err := s.describedKept(ctx, sql, kept)
	if err == nil {
		params, columns = asColumns(params, described, given)
	}
	for i, t := range b.known {
		for i >= len(params) {
			params = append(params, vector.Type{})
		}
		if params[i].Kind == vector.Invalid {
			params[i] = t
		}
	}
	showTyped(columns, b.outputs, b.typedOutputs)
	parse.Walk(n, func(m proto.Message) bool { // $1::bigint says its type
		if c, ok := m.(*pg_query.TypeCast); ok {
			i := int(c.Arg.GetParamRef().GetNumber()) - 1
			if t, err := parse.TypeOf(c.TypeName); err == nil && i >= 0 && i < len(params) && params[i].Kind == vector.Invalid {
				params[i] = t
			}
		}
		return true
	})
	if err != nil || len(columns) != 1 || columns[0].Type.Kind != vector.Invalid || len(params) == 0 {
		return params, columns, err
	}
	for i := range params {
		if params[i].Kind == vector.Invalid {
			params[i] = vector.T(vector.Text)
		}
	}
	b.params = params
	if sql, err = b.duckSQL(clone(n)); err != nil {
		return nil, nil, err
	}
	_, columns, err = s.describe(ctx, b.sql, sql, given)
	if err == nil && len(columns) == 1 && columns[0].Type.Kind == vector.Invalid {
		b.nulls = true
		defer func() { b.nulls = false }()
		if sql, err = b.duckSQL(clone(n)); err == nil {
			_, columns, err = s.describe(ctx, b.sql, sql, given)
		}
	}
	showTyped(columns, b.outputs, b.typedOutputs)
	return params, columns, err
}

// describe asks DuckDB for parameters and columns of a statement.
func (s *Session) describe(ctx context.Context, text, sql string, given []vector.Type) ([]vector.Type, []session.Column, error) {
	params, described, err := s.described(ctx, sql)
	if err != nil {
		return nil, nil, err
	}
	params, columns := asColumns(params, described, given)
	return params, columns, nil
}

// asColumns is what DuckDB says of a statement, with the types of parameters that a client gave.
func asColumns(params []vector.Type, described []duck.Column, given []vector.Type) ([]vector.Type, []session.Column) {
	for i := range params {
		if i < len(given) && given[i].Kind != vector.Invalid {
			params[i] = given[i]
		}
	}
	var columns []session.Column
	for _, c := range described {
		columns = append(columns, session.Column{Name: c.Name, Type: c.Type})
	}
	if columns == nil {
		columns = []session.Column{}
	}
	return params, columns
}

// runQuery executes a SELECT at the newest position; copy is set for COPY … TO STDOUT.
func (s *Session) runQuery(ctx context.Context, cat *schema.Catalog, st *parse.SQL, plan *queryPlan, typed *typedQuery, columns []session.Column, args []*vector.Vector, copy *session.CopyFormat) (session.Result, error) {
	b := &binder{ctx: ctx, s: s, cat: cat, position: s.position(), sql: st.Text, refs: map[string]string{}, args: args}
	done := s.dropTemps
	rows, err := func() (*duck.Rows, error) {
		if err := s.beginDuck(ctx); err != nil {
			return nil, err
		}
		if err := plan.execute(b, st, args); err != nil {
			return nil, err
		}
		write := func() (string, error) { return b.duckSQL(clone(st.Node)) }
		if typed != nil {
			write = func() (string, error) { return b.typedSQL(typed) }
		}
		sql, err := write()
		if err != nil {
			return nil, err
		}
		return s.query(ctx, sql, args)
	}()
	if err != nil {
		done()
		if errors.Is(err, errStalePlan) { // which is no error that a client sees
			return nil, err
		}
		return nil, asError(err)
	}
	tag := "SELECT"
	if copy != nil {
		tag = "COPY"
	}
	return &duckRows{noRows: noRows{tag}, s: s, rows: rows, done: done, copy: copy, columns: columns}, nil
}

// temp makes the name of a new temporary table, which dropTemps drops.
func (s *Session) temp(kind string) string {
	s.temps++
	name := fmt.Sprintf("__%s_%d", kind, s.temps)
	s.tempNames = append(s.tempNames, name)
	return name
}

// dropTemps drops the temporary tables of the statement that ended.
func (s *Session) dropTemps() {
	for _, name := range s.tempNames {
		_, _ = s.conn.Exec(context.Background(), "DROP TABLE IF EXISTS temp.main."+name) // a failed block has dropped it
	}
	s.tempNames = s.tempNames[:0]
}

// countedRows runs a statement whose result is the number of its rows.
func (s *Session) countedRows(ctx context.Context, sql string, args []*vector.Vector) (n int64, err error) {
	rows, err := s.query(ctx, sql, args)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for {
		ch, err := rows.Next()
		if err != nil || ch == nil {
			return n, err
		}
		n += ch.Cols[0].I64[0]
	}
}

// qualifyGrouping names the column of an error of grouping with its relation, as PostgreSQL does, where only one can be meant.
func qualifyGrouping(b *binder, sel *pg_query.SelectStmt, err error) error {
	e := locate(asError(err), b.sql) // by the name as it is written
	m := ungrouped.FindStringSubmatch(e.Message)
	if m == nil {
		return err
	}
	selects, of := 0, ""
	parse.Walk(sel, func(n proto.Message) bool {
		if _, ok := n.(*pg_query.SelectStmt); ok {
			selects++
		}
		return true
	})
	for _, f := range sel.GetFromClause() {
		for _, l := range leaves(f) {
			rv := l.node.GetRangeVar()
			if rv == nil {
				return err
			}
			columns, known, _ := b.columnsOf(rv)
			if !known {
				return err
			}
			if slices.ContainsFunc(columns, func(c analyze.Column) bool { return c.Name == m[1] }) {
				if of != "" {
					return err
				}
				of = l.alias
			}
		}
	}
	if selects == 1 && of != "" {
		e.Message = ungrouped.ReplaceAllString(e.Message, `column "`+strings.ReplaceAll(of, "$", "$$")+`.$1" must appear`)
	}
	return e
}

var ungrouped = regexp.MustCompile(`^column "([^".]+)" must appear`)
