package disperse

import (
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/reclog"
)

const (
	// sweepAfter is how long after definitions were replaced the values are deleted that only the ones before read.
	sweepAfter = time.Minute
	// sweepKeys is how many partitions a step of a sweep looks at.
	sweepKeys = 1000
)

// sweepKey is there while partitions may be left that no definitions read: 'j', 'g'.
var sweepKey = []byte{reclog.KeyJournal, 'g'}

// sweep deletes the partitions of groups that are gone: of this epoch those of no group, of others all.
type sweep struct {
	due  time.Time // zero: there is nothing to sweep
	from []byte    // where the next step begins; nil: at the beginning
}

// plan has a sweep begin, anew if one runs, some time from now.
func (s *sender) planSweep() error {
	s.sweep = sweep{due: s.d.cfg.Clock().Add(sweepAfter)}
	return s.d.cfg.DB.Set(sweepKey, nil, pebble.NoSync)
}

// resumeSweep takes up a sweep that the end of a process cut short.
func (s *sender) resumeSweep() error {
	_, closer, err := s.d.cfg.DB.Get(sweepKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = closer.Close()
	}
	s.sweep = sweep{due: s.d.cfg.Clock().Add(sweepAfter)}
	return err
}

// sweepSome takes a step of a sweep that is due: what gateways read by is known then.
func (s *sender) sweepSome(ctx context.Context) error {
	if s.sweep.due.IsZero() || len(s.published) == 0 || s.d.cfg.Clock().Before(s.sweep.due) {
		return nil
	}
	kept := map[int64]bool{}
	for prefix := range s.d.cfg.Groups() {
		kept[s.claimed.Group(prefix)] = true
	}
	for prefix := range s.d.cfg.Catalog.Current().Groups { // not served at the moment
		kept[s.claimed.Group(prefix)] = true
	}
	for _, g := range s.reading {
		kept[g] = true
	}
	stamp, err := s.stamp(ctx)
	if err != nil {
		return err
	}
	deleted, next, err := s.store.Sweep(ctx, stamp, s.sweep.from, sweepKeys, func(group int64) bool {
		return !kept[group] && group>>32 <= s.claimed.Epoch // a later epoch is another server's
	})
	if err != nil {
		return err
	}
	s.d.update(func(st *Status) { st.Deleted += deleted })
	if err := s.pace.wait(ctx, deleted, 0); err != nil {
		return err
	}
	if s.sweep.from = next; next == nil {
		s.sweep = sweep{}
		return s.d.cfg.DB.Delete(sweepKey, pebble.NoSync)
	}
	return nil
}
