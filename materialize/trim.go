package materialize

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// What retention deleted is trimmed from the log once nothing needs it:
//
//	expire ──► plan: tails into runs, projection and ──► all who read by then ──► reclog.Trim, in steps, without
//	           builds up to the position                 have ended                any lock of the manager's
//
// A group's runs and tiles, and a projection, are then past the position of every delete that goes. What is older by a crash sees so
// by reclog.Trimmed: a projection is made anew, the checkpoint of a build is given up. Reads at older positions go on to have the
// rows of event times that are kept, and are refused where they need others, as they were before.

const (
	// trimParts is in how many parts a retention is trimmed, one after the other, of a day at least: what the log holds beyond the
	// retention is at most one of them, and each trim reads what is kept once.
	trimParts = 8
	// trimRest is how long a trim rests after a step, in times of what that took.
	trimRest = 3
	// trimWait is how long a trim that waits for readers waits before it looks again, and trimRetry how long one that failed is left alone;
	// each is doubled up to trimLast.
	trimWait  = 250 * time.Millisecond
	trimRetry = time.Second
	trimLast  = 5 * time.Minute
)

// trimming is the trims that are planned, by table, and how those that were tried went.
type trimming struct {
	one   sync.Mutex // held by the trim that runs
	mu    sync.Mutex // guards the rest
	plans map[uint32]*trimPlan
	wake  chan struct{}
}

// trimPlan is a trim that nothing but readers may stand in the way of.
type trimPlan struct {
	table   *schema.Relation
	request reclog.TrimRequest
	moment  uint64 // readers that had begun before it are waited for
	running bool
	after   time.Time // it is not tried before
	wait    time.Duration
	err     error // of the last try
}

// planTrims makes trims ready that are due. The build lock is held, and so no group is built but in transactions, which are readers.
func (m *Manager) planTrims(ctx context.Context) error {
	cat := m.cfg.Catalog.Current()
	var errs []error
	planned := false
	for _, r := range cat.Relations {
		e, ok := m.expiredOf(r.ID)
		if !ok || r.Retention == 0 && r.KeptFrom == nil || m.planOf(r.ID) != nil {
			continue
		}
		done, err := m.cfg.Log.Trimmed(reclog.SourceID(r.ID))
		if err == nil && trimDue(done.Before, e.before, r.Retention) {
			var p *trimPlan
			if p, err = m.planTrim(ctx, cat, r, e); p != nil {
				m.trimming.mu.Lock()
				if m.trimming.plans == nil {
					m.trimming.plans = map[uint32]*trimPlan{}
				}
				m.trimming.plans[r.ID] = p
				m.trimming.mu.Unlock()
				planned = true
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("trimming the log of %q: %w", r.Name, err))
		}
	}
	if planned {
		select {
		case m.trimming.wake <- struct{}{}:
		default:
		}
	}
	return errors.Join(errs...)
}

// trimDue reports whether so much was deleted since the last trim that the next one is worth it.
func trimDue(trimmed, before, retention int64) bool {
	return trimmed == event.Forever && before != event.Forever || trimmed < before && before-trimmed >= max(event.Day, retention/trimParts/event.Day*event.Day)
}

// planTrim brings what is derived of a table past the deletes that are to go. nil: something stays behind, and is asked for again later.
func (m *Manager) planTrim(ctx context.Context, cat *schema.Catalog, r *schema.Relation, e expired) (*trimPlan, error) {
	position := m.cfg.Log.Position()
	if err := m.proj.bring(ctx, r, position); err != nil {
		return nil, err
	}
	for _, g := range *m.live.Load() {
		b, err := baseOf(cat, g.Schema.Relation)
		if err != nil || b.ID != r.ID || g.Manifest == nil { // without runs it is built anew, by the projection
			continue
		}
		if err := m.flushTail(ctx, g, true); err != nil {
			return nil, err
		}
	}
	for _, g := range *m.live.Load() {
		b, err := baseOf(m.cfg.Catalog.Current(), g.Schema.Relation)
		if err != nil || b.ID != r.ID || g.Manifest == nil {
			continue
		}
		if n, err := m.changesAfter(ctx, b, g.Manifest.Position, position); n > 0 || err != nil {
			return nil, err
		}
	}
	// Deletes that come after their positions are all that builds which go on from these would be told of.
	if err := m.checkpoints.drop(func(c *checkpoint) bool { return c.Base == r.ID && c.From < position }); err != nil {
		return nil, err
	}
	return &trimPlan{table: r, moment: m.readers.mark(), request: reclog.TrimRequest{
		Source: reclog.SourceID(r.ID), Time: r.PlaceOf(r.EventTime), Before: e.before, Inserted: min(e.inserted, position), Position: position}}, nil
}

func (m *Manager) planOf(table uint32) *trimPlan {
	m.trimming.mu.Lock()
	defer m.trimming.mu.Unlock()
	return m.trimming.plans[table]
}

// Trim runs the trims that are planned and that no reader stands in the way of, without rests. Errors: ctx's, and what stopped a trim.
func (m *Manager) Trim(ctx context.Context) error {
	_, err := m.trim(ctx, nil, true)
	return err
}

// trim tries the plans, those that failed or wait too only where it is hurried, and says how long to wait for the next one; 0: there is none.
func (m *Manager) trim(ctx context.Context, rest func(time.Duration), hurried bool) (wait time.Duration, err error) {
	t := &m.trimming
	t.one.Lock()
	defer t.one.Unlock()
	t.mu.Lock()
	plans := slices.Collect(maps.Values(t.plans))
	t.mu.Unlock()
	var errs []error
	for _, p := range plans {
		left := time.Until(p.after)
		if left <= 0 || hurried {
			var err error
			if left, err = m.tryTrim(ctx, p, rest); err != nil {
				errs = append(errs, fmt.Errorf("trimming the log of %q: %w", p.table.Name, err))
			}
		}
		if left > 0 && (wait == 0 || left < wait) {
			wait = left
		}
	}
	return wait, errors.Join(errs...)
}

// tryTrim runs a plan, or says how long to wait before it is tried again; 0: it is done, or was given up.
func (m *Manager) tryTrim(ctx context.Context, p *trimPlan, rest func(time.Duration)) (time.Duration, error) {
	t := &m.trimming
	again := func(first time.Duration, err error) (time.Duration, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		p.running, p.err = false, err
		p.wait = min(max(2*p.wait, first), trimLast)
		p.after = time.Now().Add(p.wait)
		return p.wait, err
	}
	done := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.plans, p.table.ID)
	}
	if m.cfg.Catalog.Current().Relations[p.table.ID] == nil {
		done() // it was dropped
		return 0, nil
	}
	if !m.readers.passed(p.moment) {
		return again(trimWait, nil)
	}
	t.mu.Lock()
	p.running = true
	t.mu.Unlock()
	had, err := m.cfg.Log.Trimmed(p.request.Source)
	var got reclog.Trimmed
	began := time.Now()
	if err == nil {
		got, err = m.cfg.Log.Trim(ctx, p.request, rest)
	}
	switch {
	case err != nil && m.cfg.Catalog.Current().Relations[p.table.ID] == nil:
		err = nil
	case err != nil && ctx.Err() == nil:
		m.cfg.Logger.Warn("trimming the log", "table", p.table.Name, "error", err)
		return again(trimRetry, err)
	case err != nil:
		return 0, err
	default:
		m.cfg.Logger.Info("trimmed the log", "table", p.table.Name, "before", time.UnixMicro(p.request.Before).UTC().Format(time.RFC3339), "rows", got.Rows-had.Rows,
			"bytes", got.Bytes-had.Bytes, "took", time.Since(began).Round(time.Millisecond))
	}
	done()
	m.poke() // more may be due
	return 0, err
}

// keepTrimming runs trims as they are planned, until ctx ends.
func (m *Manager) keepTrimming(ctx context.Context) {
	rest := func(worked time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(trimRest * worked):
		}
	}
	wait := trimLast
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.trimming.wake:
		case <-time.After(wait):
		}
		wait, _ = m.trim(ctx, rest, false) // an error was logged, and is tried again
		if wait == 0 {
			wait = trimLast
		}
	}
}

// TrimState says how far the trim of a table is, for people; "": none is due.
func (m *Manager) TrimState(table uint32) string {
	p := m.planOf(table)
	if p == nil {
		return ""
	}
	m.trimming.mu.Lock()
	defer m.trimming.mu.Unlock()
	switch {
	case p.running:
		return "being trimmed"
	case p.err != nil:
		return "is tried again: " + p.err.Error()
	}
	return "waits for sessions that read"
}

// dropTrimmed gives up the checkpoint of a build of a table's rows that is so old that deletes after it were trimmed.
func (m *Manager) dropTrimmed(b *schema.Relation, identity string) error {
	if !b.Logged() {
		return nil
	}
	trimmed, err := m.cfg.Log.Trimmed(reclog.SourceID(b.ID))
	if err != nil {
		return err
	}
	return m.checkpoints.drop(func(c *checkpoint) bool { return c.Rows == identity && c.From < trimmed.Position })
}
