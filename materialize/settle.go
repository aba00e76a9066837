package materialize

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/tilehouse/tilehouse/storage/event"
)

// ErrTooManyRows is the error of a read of old rows that do not fit the memory limit.
var ErrTooManyRows = errors.New("too many rows") // 53200

// settleEvery is how long the settling of days waits after a commit, so that a burst is settled once.
const settleEvery = 200 * time.Millisecond

// watermarks are the newest event times seen, by group, in microseconds.
type watermarks struct{ newest atomic.Int64 }

func (w *watermarks) see(r *event.Rows) {
	for _, t := range r.TS {
		for old := w.newest.Load(); t > old; old = w.newest.Load() {
			if w.newest.CompareAndSwap(old, t) {
				break
			}
		}
	}
}

// keepSettling settles days as they end, until ctx ends.
func (m *Manager) keepSettling(ctx context.Context) {
	if m.cfg.NoSettle {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settleEvery):
		}
		if err := m.Settle(ctx); err != nil && ctx.Err() == nil {
			m.cfg.Logger.Error("settling days", "error", err)
		}
	}
}

// Settle publishes the days that ended: of every online group, those before the newest event time less the lateness. It also
// folds the log's tail into the runs of groups whose tail has grown past maxTailRows.
func (m *Manager) Settle(ctx context.Context) error {
	m.build.Lock()
	defer m.build.Unlock()
	for _, g := range *m.live.Load() {
		if g.Tiles == nil {
			continue
		}
		newest := g.marks.newest.Load()
		if newest == 0 {
			continue
		}
		day := event.DayOf(newest-m.lateness(g)) - 1
		settled, err := m.cfg.Tiles.SettledThrough(g.Tiles)
		if err != nil {
			return err
		}
		if day <= settled {
			continue
		}
		if err := m.cfg.Tiles.Settle(ctx, g.Tiles, day, nil); err != nil {
			return err
		}
		if err := m.cfg.Tiles.Prune(ctx, g.Tiles); err != nil {
			return err
		}
	}
	return nil
}
