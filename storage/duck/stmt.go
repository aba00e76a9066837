package duck

import (
	"context"
	"fmt"
	"strings"
	"time"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Stmt is a prepared statement of a Conn.
type Stmt struct {
	c   *Conn
	s   m.PreparedStatement
	sql string
}

// Column is a result column.
type Column struct {
	Name string
	Type vector.Type
}

// Params are the types of $1, $2, …, with Invalid where DuckDB cannot tell.
func (s *Stmt) Params() []vector.Type {
	types := make([]vector.Type, m.NParams(s.s))
	for i := range types {
		l := m.ParamLogicalType(s.s, m.IdxT(i+1))
		if l.Ptr == nil {
			continue
		}
		if col, err := columnOf(l); err == nil {
			types[i] = col.typ
		}
		m.DestroyLogicalType(&l)
	}
	return types
}

// statementMergeInto is how DuckDB's C interface reports MERGE INTO, for which it has no number.
const statementMergeInto = m.StatementTypeInvalid

// Columns are the result columns, nil where the statement returns no rows. A column's type is Invalid where it depends on
// parameters that DuckDB cannot type; DuckDB then reports a single column.
func (s *Stmt) Columns() []Column {
	switch m.PreparedStatementType(s.s) {
	case m.StatementTypeSelect, m.StatementTypeExplain, m.StatementTypePragma, m.StatementTypeCall, m.StatementTypeExecute,
		m.StatementTypeRelation:
	case m.StatementTypeInsert, m.StatementTypeUpdate, m.StatementTypeDelete, statementMergeInto:
		// DuckDB describes the count of changed rows as a column, and marks it in no way.
		if m.PreparedStatementColumnCount(s.s) == 1 && m.PreparedStatementColumnName(s.s, 0) == "Count" &&
			!strings.Contains(strings.ToLower(s.sql), "returning") {
			return nil
		}
	default:
		return nil
	}
	cols := make([]Column, m.PreparedStatementColumnCount(s.s))
	for i := range cols {
		l := m.PreparedStatementColumnLogicalType(s.s, m.IdxT(i))
		cols[i].Name = m.PreparedStatementColumnName(s.s, m.IdxT(i))
		if l.Ptr == nil {
			continue
		}
		if col, err := columnOf(l); err == nil {
			cols[i].Type = col.typ
		}
		m.DestroyLogicalType(&l)
	}
	return cols
}

func (s *Stmt) bind(args []*vector.Vector) error {
	if s.s.Ptr == nil {
		return &Error{SQLState: "26000", Message: "the prepared statement is closed"}
	}
	if n := int(m.NParams(s.s)); n != len(args) {
		return &Error{SQLState: "08P01", Message: fmt.Sprintf("the statement has %d parameters, but %d values were given", n, len(args))}
	}
	for i, a := range args {
		if a.N != 1 {
			return &Error{SQLState: "XX000", Message: fmt.Sprintf("parameter $%d is a vector of %d values instead of one", i+1, a.N)}
		}
		v, err := valueOf(a, 0)
		if err != nil {
			return err
		}
		state := m.BindValue(s.s, m.IdxT(i+1), v)
		m.DestroyValue(&v)
		if state == m.StateError {
			return parseError(m.PrepareError(s.s))
		}
	}
	return nil
}

// Exec is Conn.Exec of the statement.
func (s *Stmt) Exec(ctx context.Context, args ...*vector.Vector) (changed int64, err error) {
	if err := s.c.ready(ctx); err != nil {
		return 0, err
	}
	if err := s.bind(args); err != nil {
		return 0, err
	}
	var res m.Result
	defer s.c.db.reclaim.ended(time.Now())
	defer m.DestroyResult(&res)
	var state m.State
	s.c.watch(ctx, func() { state = compute(s.s, &res, false) })
	if state == m.StateError {
		return 0, failure(ctx, m.ResultError(&res))
	}
	return int64(m.RowsChanged(&res)), nil
}

// Query is Conn.Query of the statement, which may be closed before the Rows.
func (s *Stmt) Query(ctx context.Context, args ...*vector.Vector) (*Rows, error) {
	if err := s.c.ready(ctx); err != nil {
		return nil, err
	}
	if err := s.bind(args); err != nil {
		return nil, err
	}
	r := &Rows{c: s.c, ctx: ctx, began: time.Now(), step: chunkRows}
	var state m.State
	// Streaming is called deprecated in DuckDB's header and has no successor there.
	s.c.watch(ctx, func() { state = compute(s.s, &r.res, true) })
	if state == m.StateError {
		err := failure(ctx, m.ResultError(&r.res))
		m.DestroyResult(&r.res)
		s.c.db.reclaim.ended(r.began)
		return nil, err
	}
	s.c.rows = r
	if err := r.describe(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Close frees the statement.
func (s *Stmt) Close() { m.DestroyPrepare(&s.s) }
