package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// insertPlan is INSERT INTO an event table.
type insertPlan struct {
	rel *schema.Relation
	// targets are the relation's columns that the statement gives, in its order.
	targets []int
	// rows are VALUES of literals and parameters, row by row: written without DuckDB. nil: the source is a query.
	rows [][]insertValue
}

// insertValue is a parameter ($n, from 1), the transaction's time, or a constant value of the target's type (nil: the default).
type insertValue struct {
	now      bool
	param    int
	constant *vector.Vector
}

func (s *Session) bindInsert(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.InsertStmt, r *schema.Relation, given []vector.Type) (bound, error) {
	if r.Kind != schema.EventTable {
		return bound{}, at(hint(fail(codeWrongObject, "cannot insert into %s %q", r.Kind, r.Name), "Its rows come from elsewhere."), st.Text, int(n.Relation.Location))
	}
	if n.WithClause != nil {
		return bound{}, fail(codeUnsupported, "a WITH query that writes cannot stand before INSERT into an event table")
	}
	p := &insertPlan{rel: r}
	for _, c := range n.Cols {
		t := c.GetResTarget()
		i := r.ColumnIndex(t.Name)
		if i < 0 {
			return bound{}, at(hint(fail(codeUndefinedColumn, "column %q of relation %q does not exist", t.Name, r.Name), "Columns: %s.", columnNames(r.Columns)), st.Text, int(t.Location))
		}
		if slices.Contains(p.targets, i) {
			return bound{}, at(fail(codeDuplicateColumn, "column %q specified more than once", t.Name), st.Text, int(t.Location))
		}
		p.targets = append(p.targets, i)
	}
	sel := n.SelectStmt.GetSelectStmt()
	if len(n.Cols) == 0 {
		width := len(r.Columns)
		if sel != nil && len(sel.ValuesLists) > 0 {
			width = min(width, len(sel.ValuesLists[0].GetList().Items))
		}
		for i := range width {
			p.targets = append(p.targets, i)
		}
	}
	if sel != nil && len(sel.ValuesLists) > 0 && sel.WithClause == nil {
		ok, params, err := s.bindValues(st, p, sel)
		if err != nil {
			return bound{}, err
		}
		if ok {
			return bound{params: params, run: func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
				return s.runValues(ctx, p, args)
			}}, nil
		}
	}
	return s.bindInsertQuery(ctx, cat, st, n, p, given)
}

// bindValues binds VALUES of literals and parameters; ok is false where there is anything else.
func (s *Session) bindValues(st *parse.SQL, p *insertPlan, sel *pg_query.SelectStmt) (ok bool, params []vector.Type, err error) {
	for _, l := range sel.ValuesLists {
		items := l.GetList().Items
		if len(items) != len(p.targets) {
			what := "INSERT has more expressions than target columns"
			if len(items) < len(p.targets) {
				what = "INSERT has more target columns than expressions"
			}
			return false, nil, at(fail("42601", "%s", what), st.Text, nodeLocation(items[0]))
		}
		row := make([]insertValue, len(items))
		for i, it := range items {
			t := p.rel.Columns[p.targets[i]].Type
			switch {
			case it.GetSetToDefault() != nil:
				continue
			case it.GetParamRef() != nil:
				n := int(it.GetParamRef().Number)
				for n > len(params) {
					params = append(params, vector.Type{})
				}
				if have := params[n-1]; have.Kind != vector.Invalid && !have.Equal(t) {
					return false, nil, nil // one parameter for two types: PostgreSQL decides by the first; DuckDB's path casts
				}
				params[n-1] = t
				row[i].param = n
			case t.Kind == vector.TimestampTZ && isNow(it):
				row[i].now = true
			default:
				v := vector.New(t, 1)
				if it.GetTypeCast() != nil {
					return false, nil, nil
				}
				if integer := t.Kind == vector.Int16 || t.Kind == vector.Int32 || t.Kind == vector.Int64; integer && strings.ContainsAny(it.GetAConst().GetFval().GetFval(), ".eE") {
					return false, nil, nil // 1.5 for an integer is rounded, as an assignment rounds
				}
				literal, err := s.appendConstant(v, listLiteral(v.Type, it))
				if err != nil {
					return false, nil, at(ofColumn(asError(err), p.rel, p.targets[i]), st.Text, nodeLocation(it))
				}
				if !literal {
					return false, nil, nil
				}
				row[i].constant = v
			}
		}
		p.rows = append(p.rows, row)
	}
	return true, params, nil
}

func (s *Session) runValues(ctx context.Context, p *insertPlan, args []*vector.Vector) (session.Result, error) {
	ch := vector.NewChunk(relationTypes(p.rel), len(p.rows))
	defaults, err := s.defaults(ctx, p.rel, p.targets)
	if err != nil {
		return nil, err
	}
	for _, row := range p.rows {
		for i, d := range defaults {
			at := slices.Index(p.targets, i)
			switch {
			case at >= 0 && row[at].now:
				ch.Cols[i].AppendInt(s.assignedTime())
			case at < 0 || row[at].param == 0 && row[at].constant == nil:
				appendDefault(ch.Cols[i], d)
			case row[at].param > 0:
				ch.Cols[i].AppendFrom(args[row[at].param-1], 0)
			default:
				ch.Cols[i].AppendFrom(row[at].constant, 0)
			}
		}
		ch.N++
	}
	if err := s.checkRows(p.rel, ch); err != nil {
		return nil, err
	}
	if err := s.write(ctx, p.rel, nil, ch); err != nil {
		return nil, err
	}
	return noRows{fmt.Sprintf("INSERT 0 %d", ch.N)}, nil
}

// isNow reports whether an expression is now() or CURRENT_TIMESTAMP: the time at which the transaction began.
func isNow(n *pg_query.Node) bool {
	if v := n.GetSqlvalueFunction(); v != nil {
		return v.Op == pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP
	}
	f := n.GetFuncCall()
	return f != nil && len(f.Args) == 0 && len(f.Funcname) == 1 && f.Funcname[0].GetString_().GetSval() == "now"
}

// assignedTime is the transaction's time, in microseconds, as a value that the server gives to a row. Online reads are made
// past the newest such value.
func (s *Session) assignedTime() int64 {
	t := s.e.now()
	if s.tx != nil {
		if s.tx.began == 0 {
			s.tx.began = t
		}
		t = s.tx.began
	}
	s.e.noteAssigned(t)
	return t
}

func appendDefault(v *vector.Vector, d *vector.Vector) {
	if d == nil {
		v.AppendNull()
	} else {
		v.AppendFrom(d, 0)
	}
}

// defaults are the defaults of r's columns that may be needed, one value each; nil: NULL. They are evaluated once a
// statement, as now() is in PostgreSQL.
func (s *Session) defaults(ctx context.Context, r *schema.Relation, targets []int) ([]*vector.Vector, error) {
	out := make([]*vector.Vector, len(r.Columns))
	for i, c := range r.Columns {
		if c.Default == "" || slices.Contains(targets, i) && len(targets) == len(r.Columns) {
			continue
		}
		if d := strings.ToLower(c.Default); c.Type.Kind == vector.TimestampTZ && (d == "now()" || d == "current_timestamp") {
			out[i] = vector.New(c.Type, 1)
			out[i].AppendInt(s.assignedTime())
			continue
		}
		def, err := s.defaultSQL(ctx, c)
		if err != nil {
			return nil, err
		}
		rows, err := s.conn.Query(ctx, "SELECT "+def)
		if err != nil {
			return nil, err
		}
		ch, err := rows.Next()
		if err == nil && ch != nil {
			out[i] = vector.New(c.Type, 1)
			out[i].AppendFrom(ch.Cols[0], 0)
		}
		rows.Close()
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// bindInsertQuery binds INSERT … SELECT, and VALUES of expressions, which DuckDB evaluates.
func (s *Session) bindInsertQuery(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.InsertStmt, p *insertPlan, given []vector.Type) (bound, error) {
	if err := castParams(n.SelectStmt.GetSelectStmt(), p); err != nil {
		return bound{}, err
	}
	inner := &parse.SQL{Text: st.Text, Plain: st.Plain, Node: n.SelectStmt, Clauses: st.Clauses}
	for _, l := range n.SelectStmt.GetSelectStmt().GetValuesLists() {
		for i, it := range l.GetList().GetItems() {
			if i < len(p.targets) {
				given = typeParam(given, it, p.rel.Columns[p.targets[i]].Type)
			}
		}
	}
	q, err := s.bindQuery(ctx, cat, inner, given)
	if err != nil {
		return bound{}, err
	}
	if len(q.columns) != len(p.targets) {
		return bound{}, at(fail("42601", "INSERT has %d expressions for %d target columns", len(q.columns), len(p.targets)), st.Text, int(n.Relation.Location))
	}
	for i, c := range q.columns {
		if t := p.rel.Columns[p.targets[i]]; !assignable(c.Type, t.Type) {
			return bound{}, at(hint(fail(codeTypeMismatch, "column %q is of type %s but expression is of type %s", t.Name, t.Type, c.Type), "You will need to rewrite or cast the expression."), st.Text, int(n.Relation.Location))
		}
	}
	return bound{params: q.params, run: func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		var got *vector.Chunk
		err := s.inSerial(ctx, func(ctx context.Context) error {
			res, err := q.run(ctx, args)
			if err != nil {
				return err
			}
			got, err = s.collect(ctx, res, p)
			res.Close()
			if err != nil {
				return err
			}
			if err := s.checkRows(p.rel, got); err != nil {
				return err
			}
			return s.write(ctx, p.rel, nil, got)
		})
		if err != nil {
			return nil, err
		}
		return noRows{fmt.Sprintf("INSERT 0 %d", got.N)}, nil
	}}, nil
}

// castParams gives bare parameters of VALUES the types of the columns they are for, as PostgreSQL does; without a type DuckDB
// cannot describe the statement. The statement is changed in place, because clauses point into it; a second time changes nothing.
func castParams(sel *pg_query.SelectStmt, p *insertPlan) error {
	for _, l := range sel.GetValuesLists() {
		for i, it := range l.GetList().Items {
			if it.GetParamRef() == nil || i >= len(p.targets) {
				continue
			}
			typed, err := pg_query.Parse("SELECT NULL::" + p.rel.Columns[p.targets[i]].Type.String())
			if err != nil {
				return err
			}
			cast := typed.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().Val
			cast.GetTypeCast().Arg = it
			l.GetList().Items[i] = cast
		}
	}
	return nil
}

// typeParam adds to the given types of parameters that of n, where n is a parameter of no type that is assigned to t.
func typeParam(given []vector.Type, n *pg_query.Node, t vector.Type) []vector.Type {
	i := int(n.GetParamRef().GetNumber()) - 1
	if i < 0 || i < len(given) && given[i].Kind != vector.Invalid {
		return given
	}
	out := make([]vector.Type, max(len(given), i+1))
	copy(out, given)
	out[i] = t
	return out
}

// assignable reports whether PostgreSQL would cast from to to by itself on assignment, or the value has no type of its own.
func assignable(from, to vector.Type) bool {
	if from.Kind == vector.List && to.Kind == vector.List { // DuckDB says integer[] of a list of NULLs
		f, t := from.Elem[0], to.Elem[0]
		return (f.Kind != vector.Text || t.Kind == vector.Text) && assignable(f, t)
	}
	class := func(t vector.Type) string {
		switch t.Kind {
		case vector.Int16, vector.Int32, vector.Int64, vector.Decimal, vector.Float32, vector.Float64:
			return "number"
		case vector.Date, vector.Timestamp, vector.TimestampTZ:
			return "time"
		}
		return t.String()
	}
	return from.Kind == vector.Null || to.Kind == vector.Text || from.Kind == vector.Text || class(from) == class(to)
}

// collect reads a result into rows of the plan's relation: the values are cast to the columns' types, the rest is default.
func (s *Session) collect(ctx context.Context, res session.Result, p *insertPlan) (*vector.Chunk, error) {
	out := vector.NewChunk(relationTypes(p.rel), 0)
	var parts []*vector.Chunk
	for {
		ch, err := res.Next()
		if err != nil {
			return nil, err
		}
		if ch == nil {
			break
		}
		keep := &vector.Chunk{N: ch.N}
		for _, c := range ch.Cols {
			v := vector.New(c.Type, ch.N)
			for i := range ch.N {
				v.AppendFrom(c, i)
			}
			keep.Cols = append(keep.Cols, v)
		}
		parts = append(parts, keep)
	}
	res.Close()
	defaults, err := s.defaults(ctx, p.rel, p.targets)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		for i := range p.rel.Columns {
			at := slices.Index(p.targets, i)
			for row := range part.N {
				if at < 0 {
					appendDefault(out.Cols[i], defaults[i])
				} else if err := s.cast(out.Cols[i], part.Cols[at], row); err != nil {
					return nil, ofColumn(asError(err), p.rel, i)
				}
			}
		}
		out.N += part.N
	}
	return out, nil
}

// takesNoNull reports whether a column of an event table must have a value.
func takesNoNull(r *schema.Relation, c *schema.Column) bool {
	return c.NotNull || c.Name == r.EventTime || slices.Contains(r.PrimaryKey, c.Name)
}

// checkRows refuses rows that an event table cannot hold.
func (s *Session) checkRows(r *schema.Relation, ch *vector.Chunk) error {
	_, err := s.badRow(r, ch)
	return err
}

// badRow is the first row that an event table cannot hold, and why; rows with a NULL come before others.
func (s *Session) badRow(r *schema.Relation, ch *vector.Chunk) (row int, err error) {
	first, column := ch.N, 0
	for i := range r.Columns {
		if v := ch.Cols[i]; takesNoNull(r, &r.Columns[i]) && v.HasNulls() {
			for row := range first {
				if v.IsNull(row) {
					first, column = row, i
					break
				}
			}
		}
	}
	if first < ch.N {
		e := fail(codeNotNull, "null value in column %q of relation %q violates not-null constraint", r.Columns[column].Name, r.Name)
		e.Table, e.Column = r.Name, r.Columns[column].Name
		return first, e
	}
	ts := ch.Cols[r.ColumnIndex(r.EventTime)]
	limit := s.e.now() + r.FutureBound
	for row := range ch.N {
		switch t := ts.I64[row]; {
		case t == vector.PosInfinity || t == vector.NegInfinity:
			return row, fail(codeBadTime, "event time %q of relation %q must be finite", r.EventTime, r.Name)
		case t > limit:
			return row, hint(fail(codeBadTime, "event time %s of relation %q lies beyond the future bound", formatTime(t), r.Name), "The bound is the clock plus %s; ALTER TABLE %s SET (future_bound = '…') changes it.", formatMicros(r.FutureBound), r.Name)
		}
	}
	return s.checkKeys(r, ch)
}

// checkKeys refuses rows whose key of a feature over r is NULL: they could never be counted.
func (s *Session) checkKeys(r *schema.Relation, ch *vector.Chunk) (row int, err error) {
	cat := s.catalog()
	for _, g := range cat.Groups {
		for _, place := range cat.KeyPlaces(g, r) {
			i := r.AtPlace(place)
			if i < 0 || !ch.Cols[i].HasNulls() {
				continue
			}
			for row := range ch.N {
				if ch.Cols[i].IsNull(row) {
					e := hint(fail(codeNotNull, "null value in column %q of relation %q: it is a key of features", r.Columns[i].Name, r.Name), "Features that read it: %s.", strings.Join(featuresOver(cat, g.ID), ", "))
					e.Table, e.Column = r.Name, r.Columns[i].Name
					return row, e
				}
			}
		}
	}
	return 0, nil
}

func featuresOver(cat *schema.Catalog, group uint32) []string {
	var out []string
	for _, f := range cat.Features {
		if f.Group == group {
			out = append(out, f.Name)
		}
	}
	slices.Sort(out)
	return out
}

// appendPending fills an overlay's table with a block's own rows.
func appendPending(conn *duck.Conn, table string, p *pendingRows) error {
	a, err := conn.Appender("temp", "main", table)
	if err != nil {
		return err
	}
	stored := p.rel.Stored()
	types := make([]vector.Type, len(stored), len(stored)+1)
	for i, c := range stored {
		types[i] = c.Type
	}
	types = append(types, vector.T(vector.Int64))
	part := vector.NewChunk(types, 16)
	rows := materialize.StoredRows(p.rel, p.inserts)
	for i := range p.inserts.N {
		if p.gone[i] {
			continue
		}
		for j, c := range rows.Cols {
			part.Cols[j].AppendFrom(c, i)
		}
		part.Cols[len(types)-1].AppendInt(int64(-1 - i))
		if part.N++; part.N == 2048 {
			if err := a.Append(part); err != nil {
				_ = a.Close()
				return err
			}
			part.Reset()
		}
	}
	if part.N > 0 {
		if err := a.Append(part); err != nil {
			_ = a.Close()
			return err
		}
	}
	return a.Close()
}
