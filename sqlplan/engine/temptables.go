package engine

import (
	"context"
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// tempSchema is PostgreSQL's name of a session's temporary schema.
const tempSchema = "pg_temp"

// nameTemporary writes pg_temp.name as DuckDB does. n is changed in place.
func nameTemporary(n *pg_query.Node) {
	parse.Walk(n, func(m proto.Message) bool {
		if rv, ok := m.(*pg_query.RangeVar); ok && rv.Schemaname == tempSchema {
			rv.Catalogname, rv.Schemaname = "temp", "main"
		}
		return true
	})
}

// isTemporary reports whether a name means a temporary table of the session.
func (s *Session) isTemporary(ctx context.Context, rv *pg_query.RangeVar) bool {
	if rv.Catalogname == "temp" || rv.Schemaname == tempSchema {
		return true
	}
	if rv.Schemaname != "" {
		return false
	}
	found := false
	_ = s.eachTemporary(ctx, func(name, _ string) { found = found || name == rv.Relname })
	return found
}

// eachTemporary calls f with the session's temporary tables and views, and their kind.
func (s *Session) eachTemporary(ctx context.Context, f func(name, kind string)) error {
	rows, err := s.conn.Query(ctx, "SELECT table_name, 'TABLE' FROM duckdb_tables() WHERE temporary UNION ALL SELECT view_name, 'VIEW' FROM duckdb_views() WHERE temporary AND NOT internal")
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		ch, err := rows.Next()
		if err != nil || ch == nil {
			return err
		}
		for i := range ch.N {
			if name := string(ch.Cols[0].Bytes(i)); !strings.HasPrefix(name, "__") { // those are of running statements
				f(name, string(ch.Cols[1].Bytes(i)))
			}
		}
	}
}

// dropTemporary is DISCARD TEMP.
func (s *Session) dropTemporary(ctx context.Context) error {
	var drop []string
	if err := s.eachTemporary(ctx, func(name, kind string) {
		drop = append(drop, fmt.Sprintf("DROP %s IF EXISTS temp.main.%s CASCADE", kind, duck.QuoteIdent(name)))
	}); err != nil {
		return err
	}
	for _, sql := range drop {
		if _, err := s.conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	clear(s.endOf)
	return nil
}

// takeOnCommit takes ON COMMIT off CREATE TEMP TABLE, which DuckDB does not know, and notes what is to happen.
func (s *Session) takeOnCommit(n *pg_query.Node) func(context.Context) error {
	var name string
	var what *pg_query.OnCommitAction
	switch t := n.Node.(type) {
	case *pg_query.Node_CreateStmt:
		name, what = t.CreateStmt.Relation.GetRelname(), &t.CreateStmt.Oncommit
	case *pg_query.Node_CreateTableAsStmt:
		name, what = t.CreateTableAsStmt.GetInto().GetRel().GetRelname(), &t.CreateTableAsStmt.Into.OnCommit
	default:
		return func(context.Context) error { return nil }
	}
	action := *what
	*what = pg_query.OnCommitAction_ONCOMMIT_NOOP
	return func(ctx context.Context) error {
		switch action {
		case pg_query.OnCommitAction_ONCOMMIT_DELETE_ROWS:
			s.endOf[name] = 'd'
		case pg_query.OnCommitAction_ONCOMMIT_DROP:
			s.endOf[name] = 't'
		default:
			return nil
		}
		if s.tx == nil { // the statement is the transaction
			return s.tableEnds(ctx)
		}
		return nil
	}
}

// tableEnds empties and drops temporary tables, in the transaction that commits.
func (s *Session) tableEnds(ctx context.Context) error {
	if len(s.endOf) == 0 {
		return nil
	}
	for name, what := range s.endOf {
		sql := "DELETE FROM temp.main." + duck.QuoteIdent(name)
		if what == 't' {
			sql = "DROP TABLE IF EXISTS temp.main." + duck.QuoteIdent(name)
		}
		if !s.isTemporary(ctx, &pg_query.RangeVar{Relname: name}) { // its transaction was rolled back, or it was dropped
			delete(s.endOf, name)
			continue
		}
		if err := s.beginDuck(ctx); err != nil {
			return err
		}
		if _, err := s.conn.Exec(ctx, sql); err != nil {
			return err
		}
		if what == 't' {
			delete(s.endOf, name)
		}
	}
	return nil
}
