package engine

import (
	"context"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/storage/tables"
)

// isTemporary reports whether a name means a temporary table of the session.
func (s *Session) isTemporary(ctx context.Context, rv *pg_query.RangeVar) bool {
	if rv.Schemaname == tables.TempSchema {
		return true
	}
	if rv.Schemaname != "" {
		return false
	}
	o, err := s.object(ctx, "", rv.Relname)
	return err == nil && o != nil && o.Temp
}

// dropTemporary is DISCARD TEMP.
func (s *Session) dropTemporary(ctx context.Context) error {
	cat, err := s.ordinary(ctx)
	if err != nil {
		return err
	}
	gone := cat.Sorted(func(o *tables.Object) bool { return o.Temp })
	if len(gone) == 0 {
		return nil
	}
	return s.inTransaction(ctx, func(ctx context.Context) error {
		for i := len(gone) - 1; i >= 0; i-- { // what reads goes before what it reads
			if err := s.removeOrdinary(ctx, gone[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// tableEnds empties and drops temporary tables, in the transaction that commits.
func (s *Session) tableEnds(ctx context.Context) error {
	if s.tabs == nil {
		return nil
	}
	for _, o := range s.tabs.Sorted(func(o *tables.Object) bool { return o.OnCommit != "" }) {
		if err := s.beginDuck(ctx); err != nil {
			return err
		}
		if o.OnCommit == "delete" {
			if _, err := s.conn.Exec(ctx, "DELETE FROM "+duckName(o)); err != nil {
				return err
			}
			continue
		}
		for _, x := range append([]*tables.Object{o}, s.partsOf(o)...) {
			if err := s.removeOrdinary(ctx, x); err != nil {
				return err
			}
		}
	}
	return nil
}
