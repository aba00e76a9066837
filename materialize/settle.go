package materialize

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// ErrTooManyRows is the error of a read of old rows that do not fit the memory limit.
var ErrTooManyRows = errors.New("too many rows") // 53200

// settleEvery is how long the settling of days waits after a commit, so that a burst is settled once.
const settleEvery = 200 * time.Millisecond

const (
	// settleRest is how many times as long as the settling took it rests afterwards: under a load of rows that never ends it has its share of the
	// machine, and folds more of them at once.
	settleRest = 3
	// settleRests is how long it rests at most: keys that lose rows of their lifetime states wait as long to be made anew, and what is sent
	// elsewhere of them with them.
	settleRests = 10 * time.Second
	// settleRows is how many rows come and go at most before it ends its rest.
	settleRows = 512 << 10
)

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
	rest := settleEvery
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
		for rested := time.Duration(0); rested < rest && m.came.Load() < settleRows; rested += settleEvery {
			select {
			case <-ctx.Done():
				return
			case <-time.After(settleEvery):
			}
		}
		m.came.Store(0)
		began := time.Now()
		if err := m.Settle(ctx); err != nil && ctx.Err() == nil {
			m.cfg.Logger.Error("settling days", "error", err)
		}
		rest = min(max(settleEvery, settleRest*time.Since(began)), settleRests)
	}
}

// Settle deletes rows that tables do not retain, and publishes the days that ended: those before the newest event time less the
// lateness. Their states enter the online store; and the tail enters the runs, with entries for the days that ended, of a group whose day ended or whose tail has grown
// past maxTailRows. Then broken lifetime states are made anew, and trims of the log that are due are made ready. It may be interrupted and
// run again.
func (m *Manager) Settle(ctx context.Context) error {
	m.build.Lock()
	defer m.build.Unlock()
	errs := []error{m.expire(ctx)}
	for _, g := range *m.live.Load() {
		if err := m.settle(ctx, g); err != nil && !errors.Is(err, errGroupGone) {
			errs = append(errs, err)
		}
	}
	for _, g := range *m.live.Load() {
		if err := m.mend(ctx, g); err != nil && !errors.Is(err, errGroupGone) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, m.rejoin(ctx), m.planTrims(ctx), m.segments.sweep(false))...)
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

// mendBatch is how many keys are looked for at once that wait to be rebuilt.
const mendBatch = 64

// mend rebuilds the tiles of keys whose lifetime state lost a row that it could not give back, each once: those that lose another one meanwhile
// wait for the next time, as it would not end under a load of deletes. Until it gets to a key, reads of the state are answered from the runs,
// and nothing of the key is sent elsewhere.
func (m *Manager) mend(ctx context.Context, g *Group) error {
	cat := m.cfg.Catalog.Current()
	if g.Tiles == nil || !g.Tiles.Lifetime || !m.RunsServe(cat, g, m.cfg.Log.Position()) {
		return nil // without runs the group is being built anew
	}
	for after := []byte(nil); ; {
		keys, err := m.cfg.Tiles.Broken(g.Tiles, after, mendBatch)
		if err != nil || len(keys) == 0 {
			return err
		}
		if _, err := m.Snapshot(ctx, cat, g, m.cfg.Log.Position()); err != nil { // reads most of the tail, while others commit
			return err
		}
		for _, key := range keys {
			if err := errors.Join(ctx.Err(), m.mendKey(ctx, cat, g, key)); err != nil {
				return err
			}
			after = key
		}
	}
}

// mendKey rebuilds the tiles of a key. Nobody commits meanwhile, so that the tiles, and the runs with their tail, are at one
// position; between keys others may.
func (m *Manager) mendKey(ctx context.Context, cat *schema.Catalog, g *Group, key []byte) error {
	m.apply.Lock()
	defer m.apply.Unlock()
	if (*m.live.Load())[g.Schema.ID] != g {
		return errGroupGone
	}
	if err := m.cfg.Tiles.FoldAll(ctx, g.Tiles); err != nil { // the tiles are then at the log's position
		return err
	}
	snap, err := m.Snapshot(ctx, cat, g, m.cfg.Log.Position())
	if err != nil {
		return err
	}
	r, err := snap.Reader(nil)
	if err != nil {
		return err
	}
	if err := r.Seek(key); err != nil {
		return err
	}
	rows, from, to, err := r.Rows(event.Interval{Lo: event.Forever, Hi: maxTime})
	if err != nil {
		return err
	}
	return m.cfg.Tiles.Rebuild(g.Tiles, key, rows, from, to)
}
