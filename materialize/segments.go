package materialize

import (
	"errors"
	"io/fs"
	"runtime"
	"sync"
	"time"

	"github.com/tilehouse/tilehouse/storage/runs"
)

// retireAfter is how long the files of segments outlive the manifest that named them. A statement that took its catalog
// before a change pins its segments within that time, or is served from the log.
const retireAfter = 30 * time.Second

// segments knows which run files are in use. A snapshot pins its segments until it is collected; a segment that no manifest
// names any more is removed when nothing pins it.
type segments struct {
	store *runs.Store

	mu      sync.Mutex
	pins    map[string]int
	retired map[string]retired
	gone    map[string]bool // removed while the server runs, or lost before it: ids are never used again
}

type retired struct {
	seg runs.Segment
	at  time.Time
}

func newSegments(store *runs.Store) *segments {
	return &segments{store: store, pins: map[string]int{}, retired: map[string]retired{}, gone: map[string]bool{}}
}

// pin keeps the files of snap's segments until the garbage collector finds that nobody has snap any more: readers hold it as
// long as they read. False: some are removed already.
func (s *segments) pin(snap *runs.Snapshot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, 0, len(snap.Manifest.Segments))
	for i := range snap.Manifest.Segments {
		id := snap.Manifest.Segments[i].ID
		if s.gone[id] {
			return false
		}
		ids = append(ids, id)
	}
	for _, id := range ids {
		s.pins[id]++
	}
	runtime.AddCleanup(snap, s.unpin, ids)
	return true
}

func (s *segments) unpin(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if s.pins[id]--; s.pins[id] <= 0 {
			delete(s.pins, id)
		}
	}
}

// whole reports whether no file of a manifest was removed.
func (s *segments) whole(m *runs.Manifest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range m.Segments {
		if s.gone[m.Segments[i].ID] {
			return false
		}
	}
	return true
}

// lose notes that files of a manifest were not there when the server started. A statement whose catalog is of before the repair then finds
// that the manifest is not whole, as one does whose files were removed.
func (s *segments) lose(m *runs.Manifest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range m.Segments {
		s.gone[m.Segments[i].ID] = true
	}
}

// retire gives segments up that no manifest names any more; also lost ones, of which some file may be there.
func (s *segments) retire(segs []runs.Segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range segs {
		if _, have := s.retired[seg.ID]; !have {
			s.retired[seg.ID] = retired{seg, time.Now()}
		}
	}
}

// sweep removes the retired segments that nobody reads; all of them where nobody can be reading.
func (s *segments) sweep(all bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for id, r := range s.retired {
		if !all && (s.pins[id] > 0 || time.Since(r.at) < retireAfter) {
			continue
		}
		delete(s.retired, id)
		s.gone[id] = true
		errs = append(errs, s.remove(r.seg))
	}
	return errors.Join(errs...)
}

// discard removes segments that were never published.
func (s *segments) discard(segs ...runs.Segment) error {
	var errs []error
	for _, seg := range segs {
		errs = append(errs, s.remove(seg))
	}
	return errors.Join(errs...)
}

// remove deletes a segment's files; that one is missing already is no error.
func (s *segments) remove(seg runs.Segment) error {
	if err := s.store.Remove(seg); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
