package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// A change of few rows takes a shorter way than staging them in a temporary table: one prepared statement of DuckDB's computes the
// rows, they are checked here (fewcheck.go), and others write them. Changes of one table that are transactions of their own are
// written together, by one transaction of DuckDB's (writegroup.go). What this way does not know goes the long one, which is its
// oracle.

// maxFewRows bounds the rows of a change that goes the short way.
const maxFewRows = 64

// fewPlan is how a bound change of few rows runs.
type fewPlan struct {
	tabs    *tables.Catalog // that it is for
	rules   *tableRules
	sql     string // DuckDB's: the row id but of an INSERT, the table's columns as they will be, and what rule is broken
	numbers []int  // of the parameters that it names
	set     []int  // the columns that an UPDATE writes
	write   string // UPDATE and DELETE: DuckDB's statement for one row
	now     bool   // it names one more parameter, the time that now() is
	returns []int  // the columns of RETURNING; nil: there is none
	quick   bool   // UPDATE and DELETE: a whole key is given
	batch   string // the same for several executions at once; "": not known, see manyTogether
}

// errNotFew sends a change the long way.
var errNotFew = errors.New("the change is not one of few rows")

// maybeFew reports whether a statement can be a change of few rows: of literal rows, or without another relation and anything
// volatile.
func maybeFew(n *pgNode) bool {
	switch {
	case n.GetInsertStmt() != nil:
		i := n.GetInsertStmt()
		rows := i.SelectStmt.GetSelectStmt().GetValuesLists()
		if i.WithClause != nil || i.OnConflictClause != nil || i.SelectStmt != nil && (len(rows) == 0 || len(rows) > maxFewRows) {
			return false
		}
	case n.GetUpdateStmt() != nil:
		if u := n.GetUpdateStmt(); u.WithClause != nil || len(u.FromClause) > 0 || volatileNode(n) {
			return false
		}
	default:
		if d := n.GetDeleteStmt(); d == nil || d.WithClause != nil || len(d.UsingClause) > 0 || volatileNode(n) {
			return false
		}
	}
	subquery := false
	parse.Walk(n, func(m proto.Message) bool {
		_, is := m.(*pg_query.SubLink)
		subquery = subquery || is
		return !subquery
	})
	return !subquery
}

func volatileNode(n *pgNode) bool { return volatileIn(&parse.SQL{Node: n}) != "" }

// few is the plan of the short way, nil where the change does not go it.
func (w *rowWrite) few(ctx context.Context) (*fewPlan, error) {
	s := w.s
	if !w.maybeFew || w.event != nil || w.table.Temp || w.conflict != nil || w.joined || len(w.ctes) > 0 || len(s.parts) > 0 ||
		len(w.part.plan.steps)+len(w.part.plan.ordinary)+len(w.part.plan.times) > 0 || s.isolation() == serializable { // whose reads are noted
		return nil, nil
	}
	if _, err := s.ordinary(ctx); err != nil {
		return nil, err
	}
	if w.shortAt == s.tabs {
		return w.short, nil
	}
	p, err := w.planFew(ctx)
	if err != nil {
		return nil, err
	}
	w.short, w.shortAt = p, s.tabs
	return p, nil
}

func (w *rowWrite) planFew(ctx context.Context) (*fewPlan, error) {
	s := w.s
	if !s.asBound(w.table) {
		return nil, nil // the long way says what is wrong
	}
	rules, err := s.rulesOf(ctx, s.tabs.ByID[w.table.ID])
	if err != nil || rules == nil {
		return nil, err
	}
	p := &fewPlan{tabs: s.tabs, rules: rules}
	for i := range w.table.Columns {
		if c := &w.table.Columns[i]; slices.Contains(w.set, c.Name) || w.kind == 'u' && c.Generated != "" {
			p.set = append(p.set, i)
		}
	}
	switch {
	case w.kind == 'u' && (rules.touches(p.set) || rules.nested(p.set)), w.kind == 'd' && rules.referred != nil:
		return nil, nil
	}
	if w.returning != nil {
		p.returns = []int{}
		sel := w.returning.node.GetSelectStmt()
		if len(w.returning.plan.steps) > 0 || len(sel.FromClause) != 1 || sel.FromClause[0].GetRangeVar() == nil { // columns are shown otherwise than held
			return nil, nil
		}
		for _, t := range sel.TargetList {
			ref := t.GetResTarget().Val.GetColumnRef()
			if ref == nil {
				return nil, nil
			}
			names := nodeNames(ref.Fields)
			i := w.table.ColumnIndex(names[len(names)-1])
			if i < 0 {
				return nil, nil
			}
			p.returns = append(p.returns, i)
		}
	}
	sql, err := w.fewSQL(ctx, func(n *pgNode) bool { p.now = nowIsParameter(n, len(w.params)+1); return true }, nil)
	if err != nil || sql == "" {
		return nil, err
	}
	sql = w.checkedSQL(sql, rules, "")
	if p.sql, p.numbers, err = dense(sql); err != nil {
		return nil, err
	}
	switch w.kind {
	case 'u':
		sets := make([]string, len(p.set))
		for k, i := range p.set {
			sets[k] = fmt.Sprintf("%s = $%d", duck.QuoteIdent(w.table.Columns[i].Name), k+1)
		}
		p.write = fmt.Sprintf("UPDATE %s SET %s WHERE rowid = $%d", duckName(w.table), strings.Join(sets, ", "), len(p.set)+1)
	case 'd':
		p.write = fmt.Sprintf("DELETE FROM %s WHERE rowid = $1", duckName(w.table))
	}
	if p.quick = w.kind != 'i' && rules.keyGiven(w.keyed); p.quick {
		p.batch, err = w.batchSQL(ctx, p)
	}
	return p, err
}

// fewSQL is the SELECT that stages, changed, with further placeholders; "" where change says no, or it is not the same for every
// execution.
func (w *rowWrite) fewSQL(ctx context.Context, change func(n *pgNode) bool, refs map[string]string) (string, error) {
	b := w.s.binderAt(ctx, w.cat, w.st.Text, false)
	rows, err := w.targetRows(b, w.part.typed != nil)
	if err != nil {
		return "", err
	}
	if rows != "" {
		b.refs[targetRef] = rows
	}
	maps.Copy(b.refs, refs)
	own, p := *w, *w.part
	own.part, p.fixed = &p, ""
	p.node = clone(p.node)
	if p.typed != nil {
		t := *p.typed
		t.node, p.typed = p.node, &t
	}
	if !change(p.node) {
		return "", nil
	}
	sql, err := own.stageSQL(b, nil)
	if err != nil || b.varies {
		return "", err
	}
	return sql, nil
}

// checkedSQL is a SELECT of the rows as they will be, with what check each breaks. first are columns that stand before them.
func (w *rowWrite) checkedSQL(sql string, rules *tableRules, first string) string {
	if rules.broken == "" || w.kind == 'd' {
		return sql
	}
	if w.kind == 'u' {
		first += stagedRowID + ", "
	}
	cols := make([]string, len(w.table.Columns))
	for i := range cols {
		c := &w.table.Columns[i]
		cols[i] = fmt.Sprintf("CAST(%[1]s AS %[2]s) AS %[1]s", duck.QuoteIdent(c.Name), duckColumnType(c)) // a NULL has no type
	}
	return fmt.Sprintf("SELECT *, %s AS __broken FROM (SELECT %s%s FROM (%s) AS __rows) AS %s", rules.broken, first, strings.Join(cols, ", "), sql, duck.QuoteIdent(w.table.Name))
}

// nowIsParameter puts a parameter where a statement says now(): DuckDB plans one anew that calls it. It reports whether one did.
func nowIsParameter(n *pgNode, number int) (found bool) {
	is := func(n *pgNode) bool {
		if f := n.GetSqlvalueFunction(); f != nil {
			return f.Op == pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP
		}
		f := n.GetFuncCall()
		return f != nil && len(f.Args) == 0 && (len(f.Funcname) == 1 || f.Funcname[0].GetString_().GetSval() == "pg_catalog") && f.Over == nil &&
			slices.Contains([]string{"now", "transaction_timestamp"}, f.Funcname[len(f.Funcname)-1].GetString_().GetSval())
	}
	parse.Walk(n, func(m proto.Message) bool {
		if node, ok := m.(*pgNode); ok && is(node) {
			found = true
			node.Node = castTo(&pgNode{Node: &pg_query.Node_ParamRef{ParamRef: &pg_query.ParamRef{Number: int32(number)}}}, nowColumn).Node
			return false
		}
		return true
	})
	return found
}

// nowColumn has the type of now().
var nowColumn = func() *tables.Column { c := columnOfType("now", vector.T(vector.TimestampTZ)); return &c }()

// now is the time that now() is in the open transaction, or in the statement that is one.
func (s *Session) now(ctx context.Context) (*vector.Vector, error) {
	v := vector.New(vector.T(vector.TimestampTZ), 1)
	if s.tx == nil {
		v.AppendInt(s.e.now())
		return v, nil
	}
	if s.tx.now == 0 { // as queries in it say
		if err := s.beginDuck(ctx); err != nil {
			return nil, err
		}
		ch, err := s.one(ctx, "SELECT now()")
		if err != nil {
			return nil, err
		}
		s.tx.now = ch.Cols[0].I64[0]
	}
	v.AppendInt(s.tx.now)
	return v, nil
}

// equalColumns are the columns that a condition compares with something that reads no column, by =, all of them at once.
func equalColumns(where *pgNode) (names []string) {
	if b := where.GetBoolExpr(); b != nil && b.Boolop == pg_query.BoolExprType_AND_EXPR {
		for _, a := range b.Args {
			names = append(names, equalColumns(a)...)
		}
		return names
	}
	e := where.GetAExpr()
	if e == nil || e.Kind != pg_query.A_Expr_Kind_AEXPR_OP || operator(e) != "=" {
		return nil
	}
	column := func(n *pgNode) string {
		ref := n.GetColumnRef()
		if ref == nil {
			return ""
		}
		l := nodeNames(ref.Fields)
		return l[len(l)-1]
	}
	constant := func(n *pgNode) bool { n = uncast(n); return n.GetAConst() != nil || n.GetParamRef() != nil }
	switch {
	case column(e.Lexpr) != "" && constant(e.Rexpr):
		return []string{column(e.Lexpr)}
	case column(e.Rexpr) != "" && constant(e.Lexpr):
		return []string{column(e.Rexpr)}
	}
	return nil
}

// stage computes the rows of a change on a session's connection. Errors: errNotFew where they are more than a few.
func (j *fewJob) stage(ctx context.Context, s *Session) error {
	query := s.conn.Query
	if j.w.kind == 'i' {
		st, err := s.statement(ctx, j.p.sql)
		if err != nil {
			return err
		}
		query = func(ctx context.Context, _ string, args ...*vector.Vector) (*duck.Rows, error) {
			return st.Query(ctx, args...)
		}
	}
	rows, err := query(ctx, j.p.sql, j.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		ch, err := rows.Next()
		if err != nil || ch == nil {
			return err
		}
		if err := j.take(ch.Cols, 0, ch.N); err != nil {
			return err
		}
	}
}

// take adds computed rows: their ids but of an INSERT, the table's columns, and what check they break. Errors: errNotFew.
func (j *fewJob) take(cols []*vector.Vector, from, to int) error {
	n, want := to-from, len(j.w.table.Columns)
	if j.rows != nil && j.rows.N+n > maxFewRows || n > maxFewRows {
		return errNotFew
	}
	add := func(v **vector.Vector, c *vector.Vector) {
		if *v == nil {
			*v = vector.New(c.Type, n)
		}
		(*v).AppendRange(c, from, to)
	}
	if j.w.kind != 'i' {
		add(&j.ids, cols[0])
		cols = cols[1:]
	}
	if len(cols) > want {
		add(&j.broken, cols[want])
		cols = cols[:want]
	}
	if len(cols) != want {
		return fmt.Errorf("a change of table %q computes %d columns instead of %d", j.w.table.Name, len(cols), want)
	}
	if j.rows == nil {
		j.rows = &vector.Chunk{Cols: make([]*vector.Vector, want)}
	}
	for i, c := range cols {
		add(&j.rows.Cols[i], c)
	}
	j.rows.N += n
	return nil
}

// runFew runs a change the short way.
func (s *Session) runFew(ctx context.Context, w *rowWrite, p *fewPlan, args []*vector.Vector) (session.Result, error) {
	if p.now {
		if s.tx != nil { // before its time is asked for: others' changes are waited for first
			if err := s.lockFor(ctx, w); err != nil {
				return nil, err
			}
		}
		now, err := s.now(ctx)
		if err != nil {
			return nil, err
		}
		args = append(slices.Clip(slices.Clone(args)), now)
	}
	chosenArgs, err := chosen(args, p.numbers)
	if err != nil {
		return nil, err
	}
	j := &fewJob{s: s, w: w, p: p, args: chosenArgs, done: make(chan struct{})}
	switch {
	case s.tx != nil:
		err = s.writeTogether(ctx, j, nil)
	default:
		if err = s.refuseMixed(false); err != nil {
			return nil, err
		}
		if w.kind == 'i' { // which reads no table
			if err = j.stage(ctx, s); err != nil {
				return nil, err
			}
		}
		err = s.e.groups.write(ctx, j)
	}
	if err == nil {
		err = j.err
	}
	if err != nil {
		return nil, err
	}
	return j.result(), nil
}

// result is what the client gets of a change that was written.
func (j *fewJob) result() session.Result {
	n := 0
	if j.rows != nil {
		n = j.rows.N
	}
	tag := noRows{fmt.Sprintf("%s %d", map[byte]string{'i': "INSERT 0", 'u': "UPDATE", 'd': "DELETE"}[j.w.kind], n)}
	if j.p.returns == nil {
		return tag
	}
	out := &vector.Chunk{N: n}
	if n == 0 {
		return &chunkRows{noRows: tag}
	}
	for _, c := range j.p.returns {
		v := vector.New(j.rows.Cols[c].Type, n)
		v.AppendRange(j.rows.Cols[c], 0, n)
		out.Cols = append(out.Cols, v)
	}
	showAs(out, j.w.columns)
	return &chunkRows{noRows: tag, chunk: out}
}
