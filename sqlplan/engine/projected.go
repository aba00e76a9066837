package engine

import (
	"context"

	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// projectedRows is what a transaction of DuckDB's sees of event tables. DuckDB takes its snapshot of all projections at once, and each
// is brought up to a position when it is read: one that is read later than the first would be older than the snapshot, or missing in it.
type projectedRows struct {
	position uint64          // of the log, that the transaction reads event tables at
	holds    map[uint32]bool // tables whose projection is of that position in DuckDB's snapshot; the others are replayed from the log
}

// projected is what DuckDB's open transaction sees of event tables. The first call brings all projections to the position that the
// transaction reads at, and has DuckDB take its snapshot.
func (s *Session) projected(ctx context.Context, cat *schema.Catalog) (*projectedRows, error) {
	if s.tx.projected != nil {
		return s.tx.projected, nil
	}
	p := &projectedRows{position: s.position(), holds: map[uint32]bool{}}
	for _, r := range cat.Relations {
		if !r.Logged() || s.unborn(r) {
			continue
		}
		if _, err := s.e.mat.RelationSQL(ctx, cat, r, p.position); err != nil && asError(err).Code != codeDiskFull {
			return nil, err
		}
	}
	positions, err := materialize.Projected(ctx, s.conn)
	if err != nil {
		return nil, err
	}
	for id, at := range positions {
		changed := s.e.log.LastChange(reclog.SourceID(id))
		p.holds[id] = at >= changed && changed <= p.position
	}
	s.tx.projected = p
	return p, nil
}
