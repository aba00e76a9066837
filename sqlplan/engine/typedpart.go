package engine

import (
	"context"
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// A statement that writes is put together from queries: what stages its rows, what computes generated columns over them, what
// ON CONFLICT makes of them, what RETURNING shows. Each is analyzed as a SELECT is, with the columns that its outputs are assigned to. Where
// a plan replaces relations of one (entities, ASOF joins, PostgreSQL's catalogs) it has DuckDB's meaning, and casts to its columns.

// part is such a query.
type part struct {
	node    *pgNode // not changed from here on
	plan    *queryPlan
	typed   *typedQuery // nil: it has DuckDB's meaning
	params  []vector.Type
	columns []session.Column
	// fixed is its SQL for DuckDB where that is the same for every execution; "": it is not, or not written yet.
	fixed string
}

// typedPart analyzes a part of a statement, which it does not change; nil where it cannot be. describe asks DuckDB for the columns.
func (s *Session) typedPart(b *binder, st *parse.SQL, n *pgNode, given []vector.Type, to assignment, describe bool) (*part, error) {
	p := &part{}
	inner := st.Part(n)
	b.given = given
	var err error
	if p.plan, err = s.planQuery(b, inner); err != nil {
		return nil, err
	}
	if p.typed, err = b.assigned(inner.Node, given, nil, to); err != nil || p.typed == nil || !p.typed.Whole && p.typed.Outputs == nil {
		return nil, err
	}
	p.node = p.typed.node
	if p.typed.Whole && !describe {
		p.params = b.partParams(p.typed, given)
		for _, c := range p.typed.Outputs {
			p.columns = append(p.columns, session.Column{Name: c.Name, Type: c.Type})
		}
		return p, nil
	}
	p.params, p.columns, err = s.describeTyped(b, p.typed, given)
	if err != nil {
		return nil, withoutCandidates(err)
	}
	return p, nil
}

// partParams are the types of parameters that an analysis found.
func (b *binder) partParams(t *typedQuery, given []vector.Type) []vector.Type {
	params := make([]vector.Type, max(len(t.Params), len(b.found)))
	for i := range params {
		switch {
		case i < len(t.Params) && t.Params[i].Kind != vector.Invalid:
			params[i] = plainType(t.Params[i])
		case i < len(b.found) && b.found[i].Kind != vector.Invalid:
			params[i] = plainType(b.found[i])
		case i < len(given):
			params[i] = given[i]
		}
	}
	return params
}

// sql is the part's SQL for DuckDB.
func (p *part) sql(b *binder, st *parse.SQL, args []*vector.Vector) (string, error) {
	if err := p.plan.execute(b, st, args); err != nil {
		return "", err
	}
	if p.typed != nil {
		return b.typedSQL(p.typed)
	}
	return b.duckSQL(clone(p.node))
}

// targetsOf are a table's columns as analyses assign to them.
func targetsOf(o *tables.Object) []analyze.Target {
	out := make([]analyze.Target, len(o.Columns))
	for i := range o.Columns {
		out[i] = targetOf(&o.Columns[i])
	}
	return out
}

func targetOf(c *tables.Column) analyze.Target {
	t := ordinaryColumn(*c)
	out := analyze.Target{Name: c.Name, Type: t.Type, Mod: t.Mod, Held: c.Type}
	if ofDimensions(c) {
		out.Type = analyze.Dimensional(t.Type)
	}
	if c.Precision != nil {
		out.Mod = int32(*c.Precision)
	}
	if ofDimensions(c) {
		out.Type = analyze.Dimensional(t.Type)
	}
	return out
}

// shownColumns are a result's columns as analyses read them.
func shownColumns(cols []session.Column) []analyze.Column {
	out := make([]analyze.Column, len(cols))
	for i, c := range cols {
		out[i] = analyze.Column{Name: c.Name, Type: c.Type}
	}
	return out
}

func bigintColumns(names ...string) []analyze.Column {
	out := make([]analyze.Column, len(names))
	for i, n := range names {
		out[i] = analyze.Column{Name: n, Type: vector.T(vector.Int64)}
	}
	return out
}

// setRef gives a placeholder of the binder's its SQL and its columns.
func (b *binder) setRef(name, sql string, cols []analyze.Column) {
	if b.refColumns == nil {
		b.refColumns = map[string][]analyze.Column{}
	}
	b.refs[name], b.refColumns[name] = sql, cols
}

// finishedRef stands for the staged rows over which generated columns are computed.
const finishedRef = "__unfinished_rows"

// generating analyzes what computes a table's generated columns over staged rows of the columns staged; nil: there are none.
func (w *rowWrite) generating(ctx context.Context, st *parse.SQL, staged []session.Column) (*part, error) {
	s, o := w.s, w.table
	var items []*pgNode
	var targets []analyze.Target
	generated := false
	for _, c := range staged {
		v, target := columnRef(o.Name, c.Name, 0), analyze.Target{}
		if col := o.Column(c.Name); col != nil && col.Generated != "" {
			var err error
			if v, err = expressionText(col.Generated); err != nil {
				return nil, err
			}
			generated, target = true, targetOf(col)
		}
		items, targets = append(items, namedTarget(c.Name, v)), append(targets, target)
	}
	if !generated {
		return nil, nil
	}
	b := s.binderAt(ctx, w.cat, st.Text, true)
	b.setRef(finishedRef, emptyColumns(staged), stagedColumns(o, staged))
	n := selectNode(items, placeholder(finishedRef, o.Name))
	p, err := s.typedPart(b, &parse.SQL{Text: st.Text, Plain: st.Plain}, n, nil, assignment{targets: targets, clause: "column generation expressions"}, false)
	if err == nil && p == nil {
		err = fail(codeUnsupported, "a generated column of table %q calls what is not supported", o.Name)
	}
	return p, err
}

// stagedColumns are the columns of staged rows: those of the table as it has them.
func stagedColumns(o *tables.Object, staged []session.Column) []analyze.Column {
	out := shownColumns(staged)
	for i := range out {
		if c := o.Column(out[i].Name); c != nil {
			out[i].Type = c.Type
		}
	}
	return out
}

// stageSQL is the SELECT that stages, over the placeholders that b has.
func (w *rowWrite) stageSQL(b *binder, args []*vector.Vector) (string, error) {
	sql, err := w.part.sql(b, w.st, args)
	if err != nil || w.generated == nil {
		return sql, err
	}
	b.setRef(finishedRef, "("+sql+")", nil)
	return w.generated.sql(b, w.st, args)
}

// stageTyped analyzes the SELECT that stages; done is false where it cannot be.
func (w *rowWrite) stageTyped(ctx context.Context, st *parse.SQL, stage *pgNode, given []vector.Type, to assignment) (done bool, err error) {
	b := w.s.binderAt(ctx, w.cat, st.Text, true)
	if err := w.describeTarget(b, true); err != nil {
		return false, err
	}
	if n := st.Part(stage).Clauses.Len(); n < st.Clauses.Len() {
		return false, fail(codeUnsupported, "ASOF JOIN, WINDOW, TABLESAMPLE and FOR SYSTEM_TIME of a statement that writes can stand in what it reads its rows from, and not elsewhere")
	}
	p, err := w.s.typedPart(b, st, stage, given, to, false)
	if err != nil || p == nil {
		return false, err
	}
	w.st, w.part = st, p
	w.mergeParams(p.params)
	w.generated, err = w.generating(ctx, st, p.columns)
	return true, err
}

// describeTarget gives b the target's rows, and their columns.
func (w *rowWrite) describeTarget(b *binder, typed bool) error {
	sql, err := w.targetRows(b, typed)
	if err != nil || sql == "" {
		return err
	}
	if !typed {
		b.refs[targetRef] = sql
		return nil
	}
	cols := append(declaredColumns(w.table), bigintColumns(stagedRowID)...)
	if w.met {
		cols = append(cols, bigintColumns("__met")...)
	}
	b.setRef(targetRef, sql, cols)
	return nil
}

// tableRows are the rows of an ordinary table with their ids, as a relation of DuckDB's. What is not analyzed reads its numerics
// without a precision as decimals.
func tableRows(o *tables.Object, more string, typed bool) string {
	if typed || !hasKeptAsText(o) {
		return fmt.Sprintf("(SELECT *%s FROM %s)", more, duckName(o))
	}
	return fmt.Sprintf("(SELECT %s%s FROM %s)", decimalColumns(o), more, duckName(o))
}

// decimalColumns lists a table's columns as DuckDB computes with them.
func decimalColumns(o *tables.Object) string {
	items := make([]string, len(o.Columns))
	for i, c := range o.Columns {
		q := duck.QuoteIdent(c.Name)
		switch {
		case !keptAsText(c.Type):
			items[i] = q
		case c.Type.Kind == vector.List:
			items[i] = fmt.Sprintf("CAST(%s AS DECIMAL(%d,%d)[]) AS %s", q, parse.BareNumericPrecision, parse.BareNumericScale, q)
		default:
			items[i] = fmt.Sprintf("CAST(__numeric_fixed(%s, %d, %d) AS DECIMAL(%d,%d)) AS %s", q, parse.BareNumericPrecision, parse.BareNumericScale, parse.BareNumericPrecision, parse.BareNumericScale, q)
		}
	}
	return strings.Join(items, ", ")
}

func hasKeptAsText(o *tables.Object) bool {
	for _, c := range o.Columns {
		if keptAsText(c.Type) {
			return true
		}
	}
	return false
}

// keptAsText reports whether values of a type, or the elements of it, are numerics that are kept as texts.
func keptAsText(t vector.Type) bool {
	if t.Kind == vector.List {
		t = t.Elem[0]
	}
	return t.Kind == vector.Text && t.Shown == tables.NumericOID
}

// exprUse is what an expression of a definition is evaluated for.
type exprUse byte

const (
	asValue     exprUse = 'v'
	asKey       exprUse = 'k' // only to be compared
	asCondition exprUse = 'c' // of CHECK, or of a partial index
)

// compiledExpr names an expression of a definition that was compiled.
type compiledExpr struct {
	table *tables.Object // which is not changed in place
	text  string
	use   exprUse
	with  string // what it depends on of the session
}

// maxCompiled bounds the compiled expressions that a session keeps.
const maxCompiled = 512

// definedExpr is an expression of a table's definition as DuckDB's SQL over a relation called by the table's name.
func (s *Session) definedExpr(ctx context.Context, o *tables.Object, text string, use exprUse) (string, error) {
	k := compiledExpr{o, text, use, fmt.Sprint(pgfunc.SettingsText(s.codecSettings()), s.role, s.sessionRole)}
	if sql, ok := s.compiled[k]; ok {
		return sql, nil
	}
	n, err := expressionText(text)
	if err != nil {
		return "", err
	}
	to := assignment{keys: use == asKey}
	if use == asCondition {
		to.targets = []analyze.Target{{Name: "condition", Type: codec.OIDBool, Mod: -1, Held: vector.T(vector.Bool)}}
	}
	sql, _, err := s.compileExpr(ctx, o, n, to, "")
	if err != nil {
		return "", err
	}
	if s.compiled == nil || len(s.compiled) >= maxCompiled {
		s.compiled = map[compiledExpr]string{}
	}
	s.compiled[k] = sql
	return sql, nil
}

const rowRef = "__row_of_table"

// compileExpr analyzes an expression over a table's columns, or over none. sql is the statement's text that it stands in, "" for
// none. The type is its value's.
func (s *Session) compileExpr(ctx context.Context, o *tables.Object, n *pgNode, to assignment, sql string) (string, vector.Type, error) {
	b := s.binderAt(ctx, s.catalog(), sql, true)
	sel := selectNode([]*pgNode{pg_query.MakeResTargetNodeWithVal(clone(n), 0)})
	if o != nil {
		b.setRef(rowRef, emptyRows(o), declaredColumns(o))
		sel.GetSelectStmt().FromClause = []*pgNode{placeholder(rowRef, o.Name)}
	}
	t, err := b.assigned(sel, nil, nil, to)
	if err != nil {
		return "", vector.Type{}, err
	}
	if t == nil {
		return "", vector.Type{}, fail(codeUnsupported, "an expression of a definition reads what is not supported there")
	}
	opt := rewrite.Options{Function: b.function, Role: roleName(s, s.role), SessionRole: roleName(s, s.sessionRole), Database: s.info.Database, Checked: true}
	if t.Whole {
		opt.Off = typedRules
	}
	expr := t.node.GetSelectStmt().TargetList[0].GetResTarget().Val
	if o != nil {
		readColumns(expr, t.node.GetSelectStmt().FromClause[0].GetRangeSubselect().GetSubquery().GetSelectStmt())
	}
	out, err := rewrite.Expr(expr, opt)
	if err != nil {
		return "", vector.Type{}, b.placed(err)
	}
	typ := vector.Type{}
	if len(t.Outputs) == 1 {
		typ = t.Outputs[0].Type
	}
	return out, typ, nil
}

// assigned refuses an expression of a definition, over the columns of o or over none, that a column is not assigned.
func (d *tableDraft) assigned(ctx context.Context, expr *pgNode, o *tables.Object, target analyze.Target, clause string) error {
	_, _, err := d.s.compileExpr(ctx, o, expr, assignment{targets: []analyze.Target{target}, clause: clause}, d.sql)
	return err
}

// assignable refuses a value over the rows of the table as it is that a column is not assigned.
func (d *tableDraft) assignable(ctx context.Context, value *pgNode, target analyze.Target) error {
	return d.assigned(ctx, value, d.s.tabs.ByID[d.table.ID], target, "transform expressions")
}

// readColumns puts what an analysis reads a table's columns as into an expression over them: the SELECT that it put around the table,
// nil for none.
func readColumns(expr *pgNode, as *pg_query.SelectStmt) {
	read := map[string]*pgNode{}
	for _, t := range as.GetTargetList() {
		if v := t.GetResTarget().Val; v.GetColumnRef() == nil {
			read[t.GetResTarget().Name] = v
		}
	}
	if len(read) == 0 {
		return
	}
	parse.Walk(expr, func(m proto.Message) bool {
		n, ok := m.(*pgNode)
		if f := n.GetColumnRef().GetFields(); ok && len(f) > 0 {
			if v := read[f[len(f)-1].GetString_().GetSval()]; v != nil {
				n.Node = clone(v).Node
				return false
			}
		}
		return true
	})
}
