package materialize

import (
	"context"
	"sync"
	"time"

	"github.com/tilehouse/tilehouse/storage/schema"
)

const (
	// maxBackoff bounds how long the refreshes of a source wait for each other after errors, unless its interval is longer.
	maxBackoff = 15 * time.Minute
	// scheduleEvery is how often the schedule looks at the catalog, where nothing is due before.
	scheduleEvery = 10 * time.Second
)

// RefreshState is what is known of the refreshes of a file source since the server started, on its interval and by statement.
type RefreshState struct {
	Last  time.Time // of the last refresh that was done; zero: none was yet
	Next  time.Time // zero: none is planned
	Error string    // of the last refresh; "" where it was done
	// failures counts the refreshes that failed since the last one that was done.
	failures int
}

// schedule is the refreshes of file sources.
type schedule struct {
	mu   sync.Mutex
	by   map[uint32]RefreshState
	wake chan struct{}
}

func newSchedule() *schedule {
	return &schedule{by: map[uint32]RefreshState{}, wake: make(chan struct{}, 1)}
}

// backoff is how long after a refresh the next one follows.
func backoff(every time.Duration, failures int) time.Duration {
	limit := max(every, maxBackoff)
	for ; failures > 0 && every < limit; failures-- {
		every = min(2*every, limit)
	}
	return every
}

// ended notes the end of a refresh.
func (s *schedule) ended(r *schema.Relation, now time.Time, err error) {
	s.mu.Lock()
	st := s.by[r.ID]
	if err == nil {
		st = RefreshState{Last: now}
	} else {
		st.Error = err.Error()
		st.failures++
	}
	st.Next = time.Time{}
	if every := interval(r); every > 0 {
		st.Next = now.Add(backoff(every, st.failures))
	}
	s.by[r.ID] = st
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// interval is how often a source is to be refreshed; 0: by statement only.
func interval(r *schema.Relation) time.Duration {
	if r.File == nil {
		return 0
	}
	return time.Duration(r.File.RefreshEvery) * time.Microsecond
}

// due are the sources that are to be refreshed at a time, and when the next one is; a source of which nothing is known yet,
// because the server has just started, is due.
func (s *schedule) due(cat *schema.Catalog, now time.Time) (due []uint32, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.by {
		if cat.Relations[id] == nil {
			delete(s.by, id)
		}
	}
	next = now.Add(scheduleEvery)
	for id, r := range cat.Relations {
		every := interval(r)
		if every <= 0 {
			continue
		}
		st, known := s.by[id]
		if at := st.Next; known && at.IsZero() || at.Sub(now) > backoff(every, st.failures) { // the interval was changed
			st.Next = now.Add(every)
			s.by[id] = st
		}
		switch {
		case !st.Next.After(now):
			due = append(due, id)
		case st.Next.Before(next):
			next = st.Next
		}
	}
	return due, next
}

// keepRefreshing refreshes file sources on their intervals until ctx ends.
func (m *Manager) keepRefreshing(ctx context.Context) {
	for {
		changed := m.cfg.Catalog.Changed() // before the catalog is read
		next := m.refreshDue(ctx)
		m.loadStale(ctx)
		select {
		case <-ctx.Done():
			return
		case <-m.schedule.wake:
		case <-changed:
		case <-time.After(next.Sub(m.cfg.Clock())):
		}
	}
}

// refreshDue refreshes the sources that are due, one after the other, and says when to look again.
func (m *Manager) refreshDue(ctx context.Context) (next time.Time) {
	due, next := m.schedule.due(m.cfg.Catalog.Current(), m.cfg.Clock())
	for _, id := range due {
		if ctx.Err() != nil {
			return next
		}
		r := m.cfg.Catalog.Current().Relations[id]
		if r == nil {
			continue
		}
		rep, err := m.RefreshSource(ctx, id)
		switch {
		case ctx.Err() != nil: // the server ends
		case err != nil:
			m.cfg.Logger.Warn("refreshing a source", "source", r.Name, "error", err, "next", m.Refreshes(id).Next)
		case rep.Added+rep.Removed > 0:
			m.cfg.Logger.Info("refreshed a source", "source", r.Name, "added", rep.Added, "removed", rep.Removed)
		}
	}
	if len(due) > 0 {
		_, next = m.schedule.due(m.cfg.Catalog.Current(), m.cfg.Clock())
	}
	return next
}

// loadStale loads the dual sources whose batch side changed otherwise than by a refresh, or whose load failed or was cut short.
func (m *Manager) loadStale(ctx context.Context) {
	if len(staleDuals(m.cfg.Catalog.Current(), 0)) == 0 {
		return
	}
	if _, err := m.LoadDuals(ctx, 0); err != nil && ctx.Err() == nil {
		m.cfg.Logger.Warn("loading a dual source", "error", err)
	}
}

// Refreshes is what is known of the refreshes of a file source.
func (m *Manager) Refreshes(source uint32) RefreshState {
	m.schedule.mu.Lock()
	defer m.schedule.mu.Unlock()
	return m.schedule.by[source]
}
