package materialize

import (
	"sync"
	"sync/atomic"
)

// Readers are those who read what is materialized, and the log, over more than one call: sessions. What is taken out of the log must not be
// missed by one that had begun before nobody could ask for it any more; so a trim waits until all that had begun by then have ended.
// The zero value is ready.
type Readers struct {
	moment atomic.Uint64 // counts the moments that somebody waits for
	mu     sync.Mutex
	all    map[*Reader]struct{}
}

// Reader is one of them. It is for one goroutine.
type Reader struct {
	of    *Readers
	since atomic.Uint64 // 1 + the moment at which it began to read; 0: it does not read
}

// NewReader adds a reader, which does not read yet.
func (m *Manager) NewReader() *Reader {
	rs := &m.readers
	r := &Reader{of: rs}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.all == nil {
		rs.all = map[*Reader]struct{}{}
	}
	rs.all[r] = struct{}{}
	return r
}

// Begin says that the reader takes a catalog, or a position, and goes on to read by it until End. Calls after the first do nothing.
func (r *Reader) Begin() {
	if r.since.Load() == 0 {
		r.since.Store(1 + r.of.moment.Load())
	}
}

// End says that the reader keeps nothing of what it took.
func (r *Reader) End() { r.since.Store(0) }

// Close removes the reader.
func (r *Reader) Close() {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	delete(r.of.all, r)
}

// mark is a new moment.
func (rs *Readers) mark() uint64 { return rs.moment.Add(1) }

// passed reports whether all who had begun to read before a moment have ended.
func (rs *Readers) passed(moment uint64) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for r := range rs.all {
		if since := r.since.Load(); since != 0 && since <= moment {
			return false
		}
	}
	return true
}
