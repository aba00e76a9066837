package engine

import (
	"context"

	"github.com/tilehouse/tilehouse/storage/duck"
)

// How many prepared statements of DuckDB's a session keeps: projections of feature views and parts of changes of few rows; and of those that
// read its snapshot of PostgreSQL's catalogs the last one, for its execution after its description. A dozen of them took 4 MB.
const (
	maxKept        = 64
	maxKeptCatalog = 1
)

// keptStatements are prepared statements of a session by their SQL. They must not read a table: DuckDB takes conditions out of a plan that
// the rows of the moment make true or false, and keeps the plan when they change.
type keptStatements struct {
	most int // 0: maxKept
	by   map[string]*duck.Stmt
}

// get is a prepared statement, made at its first use. It is good until the next call.
func (k *keptStatements) get(ctx context.Context, conn *duck.Conn, sql string) (*duck.Stmt, error) {
	if st := k.by[sql]; st != nil {
		return st, nil
	}
	st, err := conn.Prepare(ctx, sql)
	if err != nil {
		return nil, err
	}
	if most := k.most; len(k.by) >= most && most > 0 || len(k.by) >= maxKept {
		k.drop()
	}
	if k.by == nil {
		k.by = map[string]*duck.Stmt{}
	}
	k.by[sql] = st
	return st, nil
}

func (k *keptStatements) drop() {
	for _, st := range k.by {
		st.Close()
	}
	clear(k.by)
}

// statement is a prepared statement of the session that reads no relation.
func (s *Session) statement(ctx context.Context, sql string) (*duck.Stmt, error) {
	return s.keptPlans.get(ctx, s.conn, sql)
}

// run executes a statement that the session keeps prepared.
func (s *Session) run(ctx context.Context, sql string) (int64, error) {
	st, err := s.statement(ctx, sql)
	if err != nil {
		return 0, err
	}
	return st.Exec(ctx)
}
