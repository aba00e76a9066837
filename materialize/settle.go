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

// sweepEvery is how often retired run files are looked for, apart from commits.
const sweepEvery = retireAfter

// watermarks are the newest event time seen of a group, in microseconds; event.Forever before the first row.
type watermarks struct{ newest atomic.Int64 }

func newWatermarks() *watermarks {
	w := &watermarks{}
	w.newest.Store(event.Forever)
	return w
}

func (w *watermarks) see(r *event.Rows) {
	for _, t := range r.TS {
		w.raise(t)
	}
}

func (w *watermarks) raise(t int64) {
	for old := w.newest.Load(); t > old; old = w.newest.Load() {
		if w.newest.CompareAndSwap(old, t) {
			return
		}
	}
}

// keepSettling settles days as they end, until ctx ends.
func (m *Manager) keepSettling(ctx context.Context) {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			if err := errors.Join(m.segments.sweep(false), m.expireKept()); err != nil {
				m.cfg.Logger.Error("removing old run files", "error", err)
			}
			continue
		case <-m.wake:
		}
		if m.cfg.NoSettle {
			continue
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

// Settle publishes the days that ended: those before the newest event time less the lateness. Their states enter the online
// store; and the tail enters the runs, with an entry for each of its days, of a group whose day ended or whose tail has grown
// past maxTailRows. It may be interrupted and run again.
func (m *Manager) Settle(ctx context.Context) error {
	m.build.Lock()
	defer m.build.Unlock()
	var errs []error
	for _, g := range *m.live.Load() {
		if err := m.settle(ctx, g); err != nil && !errors.Is(err, errGroupGone) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, m.segments.sweep(false))...)
}

func (m *Manager) settle(ctx context.Context, g *Group) error {
	day := m.settledBy(g, g.marks.newest.Load())
	ended := false
	if g.Tiles != nil {
		settled, err := m.cfg.Tiles.SettledThrough(g.Tiles)
		if err != nil {
			return err
		}
		if day > settled {
			ended = true
			if err := m.cfg.Tiles.Settle(ctx, g.Tiles, day, nil); err != nil {
				return err
			}
		}
		if err := m.cfg.Tiles.Prune(ctx, g.Tiles); err != nil { // also what an interrupted one left
			return err
		}
	} else {
		ended = day > m.settledBy(g, newestOr(g))
	}
	if g.Manifest == nil {
		return nil
	}
	return m.flushTail(ctx, g, ended)
}

// newestOr is the newest event time of a group's runs.
func newestOr(g *Group) int64 {
	if g.Manifest == nil {
		return event.Forever
	}
	return newestTime(g.Manifest)
}
