package materialize

import (
	"context"
	"errors"
	"fmt"

	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// An event table with a retention keeps whole days: those from the day on in which its newest event less the retention lies. The bound
// follows from the log alone, and rises with the commit that brings the newest event; reads that need more than it are refused from
// then on, at whatever position, and what is older is deleted soon after, as by DELETE: in commits of the log, of which each is there
// as a whole or not at all. A crash leaves rows that the next start deletes. What was deleted is then trimmed from the log (trim.go).

const (
	// expireBatch is how many rows a commit of retention deletes.
	expireBatch = 8_192
	// maxExpired is how many rows are looked for at once.
	maxExpired = 1 << 20
)

// KeptFrom is the event time from which the table under a relation keeps events, and that table; event.Forever where it keeps all.
func (m *Manager) KeptFrom(cat *schema.Catalog, relation uint32) (int64, *schema.Relation, error) {
	b, err := baseOf(cat, relation)
	if err != nil {
		return event.Forever, b, err
	}
	kept := int64(event.Forever)
	if b.KeptFrom != nil {
		kept = *b.KeptFrom
	}
	if b.Retention == 0 {
		return kept, b, nil
	}
	newest, ok, err := m.cfg.Log.Newest(reclog.SourceID(b.ID), m.cfg.Log.Position())
	if err != nil || !ok {
		return kept, b, err
	}
	return max(kept, KeptBefore(newest, b.Retention)), b, nil
}

// KeptBefore is the event time from which a retention keeps events where the newest is at a time: the start of a day, UTC, because what
// is kept is part of what a read says and does not depend on what daily states are of.
func KeptBefore(newest, retention int64) int64 {
	if newest < event.Forever+retention {
		return event.Forever
	}
	var utc event.Days
	return utc.Start(utc.Of(newest - retention))
}

// expired is what retention has deleted of a table: every row before an event time that had come by a position.
type expired struct {
	before   int64
	inserted uint64
}

// Dropped reports whether everything before what a table keeps is deleted.
func (m *Manager) Dropped(table uint32, kept int64) bool {
	e, ok := m.expiredOf(table)
	return ok && e.before >= kept
}

func (m *Manager) expiredOf(table uint32) (expired, bool) {
	m.expiredMu.Lock()
	defer m.expiredMu.Unlock()
	e, ok := m.expired[table]
	return e, ok
}

// expire deletes the rows that tables with a retention do not keep. The build lock is held.
func (m *Manager) expire(ctx context.Context) error {
	cat := m.cfg.Catalog.Current()
	var errs []error
	for _, r := range cat.Relations {
		if r.Retention == 0 && r.KeptFrom == nil {
			continue
		}
		kept, _, err := m.KeptFrom(cat, r.ID)
		if err == nil && kept != event.Forever && !m.Dropped(r.ID, kept) {
			err = m.expireRelation(ctx, r, kept)
		}
		if err != nil && !errors.Is(err, reclog.ErrConflict) { // a row that somebody else deleted: the next turn does without it
			errs = append(errs, fmt.Errorf("retention of %q: %w", r.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (m *Manager) expireRelation(ctx context.Context, r *schema.Relation, kept int64) error {
	var inserted uint64
	for {
		inserted = m.cfg.Log.Position()
		ids, err := m.rowsBefore(ctx, r, kept, inserted)
		if err != nil {
			return err
		}
		for left := ids; len(left) > 0; {
			n := min(len(left), expireBatch)
			if _, err := m.cfg.Log.Commit(ctx, &reclog.Txn{Changes: []reclog.Change{{Source: reclog.SourceID(r.ID), Deletes: left[:n]}}}); err != nil {
				return err
			}
			left = left[n:]
		}
		if len(ids) < maxExpired {
			break
		}
	}
	m.expiredMu.Lock()
	defer m.expiredMu.Unlock()
	m.expired[r.ID] = expired{kept, inserted}
	return nil
}

// rowsBefore are the ids of a table's live rows before a time, at most maxExpired of them, at a position or a later one.
func (m *Manager) rowsBefore(ctx context.Context, r *schema.Relation, before int64, position uint64) ([]uint64, error) {
	if err := m.proj.bring(ctx, r, position); err != nil {
		return nil, err
	}
	conn, err := m.cfg.DB.Connect()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	res, err := conn.Query(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE %s < make_timestamptz(%d) ORDER BY 1 LIMIT %d", rowIDColumn, ProjectionTable(r.ID), duck.QuoteIdent(r.Inside(r.EventTime)), before, maxExpired))
	if err != nil {
		return nil, err
	}
	defer res.Close()
	var ids []uint64
	for {
		ch, err := res.Next()
		if err != nil || ch == nil {
			return ids, err
		}
		for _, id := range ch.Cols[0].I64[:ch.N] {
			ids = append(ids, uint64(id))
		}
	}
}
