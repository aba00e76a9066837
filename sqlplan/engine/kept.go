package engine

import (
	"context"

	"github.com/tilehouse/tilehouse/storage/duck"
)

// maxKept is how many prepared statements of DuckDB's a session keeps: projections of feature views, and parts of changes of few
// rows.
const maxKept = 64

// statement is a prepared statement of the session, made at its first use. It is good until the next call. It must not read a
// table: DuckDB takes conditions out of a plan that the rows of the moment make true or false, and keeps the plan when they change.
func (s *Session) statement(ctx context.Context, sql string) (*duck.Stmt, error) {
	if st := s.keptStatements[sql]; st != nil {
		return st, nil
	}
	st, err := s.conn.Prepare(ctx, sql)
	if err != nil {
		return nil, err
	}
	if len(s.keptStatements) >= maxKept {
		s.dropKept()
	}
	if s.keptStatements == nil {
		s.keptStatements = map[string]*duck.Stmt{}
	}
	s.keptStatements[sql] = st
	return st, nil
}

func (s *Session) dropKept() {
	for _, st := range s.keptStatements {
		st.Close()
	}
	clear(s.keptStatements)
}

// run executes a statement that the session keeps prepared.
func (s *Session) run(ctx context.Context, sql string) (int64, error) {
	st, err := s.statement(ctx, sql)
	if err != nil {
		return 0, err
	}
	return st.Exec(ctx)
}
