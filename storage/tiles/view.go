package tiles

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/event"
)

// View is the store at one commit. It is safe for concurrent use; its Readers are not, and end with it. It must be closed.
type View struct {
	s  *Store
	at *instant

	mu      sync.Mutex
	readers []*Reader
}

// instant is a snapshot, which Views that see the same share: to open and close one takes Pebble's own lock, and closing makes it
// look for compactions.
type instant struct {
	snap     *pebble.Snapshot
	version  uint64 // of the store; read before the snapshot was taken
	position uint64 // given by the View that it was taken for
	// fresh are the rows that the snapshot may lack: all of its commits' are in them, or in its tiles.
	fresh   map[uint32]generations
	holders int // guarded by Store.instants
}

// View is the store as of now: every commit whose done was called is in it, and the snapshot sees any other whole or not at all.
// position is what the caller knows to be committed to the database, of which other writers than the store's may have written: the
// view holds what the database held when position was first given to View.
func (s *Store) View(position uint64) *View {
	s.instants.Lock()
	defer s.instants.Unlock()
	version := s.version.Load() // before the snapshot: the snapshot then holds all of it
	if n := s.newest; n == nil || n.version != version || n.position != position {
		s.forgetInstant()
		s.newest = &instant{snap: s.db.NewSnapshot(), version: version, position: position, fresh: s.fresh, holders: 1}
	}
	s.newest.holders++
	return &View{s: s, at: s.newest}
}

// forgetInstant lets the newest instant go once its Views are closed, so that no idle snapshot holds back compactions. The
// caller holds s.instants.
func (s *Store) forgetInstant() {
	if s.newest != nil {
		s.release(s.newest)
		s.newest = nil
	}
}

// release takes one holder of an instant away. The caller holds s.instants, for which every lookup waits.
func (s *Store) release(i *instant) {
	if i.holders--; i.holders == 0 {
		s.o.Release(i.snap)
	}
}

// Close ends the store, of which no View may be open. The database stays open.
func (s *Store) Close() {
	s.instants.Lock()
	defer s.instants.Unlock()
	s.forgetInstant()
}

// Close releases the snapshot and the Readers.
func (v *View) Close() {
	for _, r := range v.readers {
		r.release()
	}
	v.readers = nil
	v.s.instants.Lock()
	defer v.s.instants.Unlock()
	v.s.release(v.at)
}

// Snapshot is the Pebble snapshot under the view, which is the view's.
func (v *View) Snapshot() *pebble.Snapshot { return v.at.snap }

// Reader reads a group at the view, with the cache, until the view is closed. stats may be nil.
func (v *View) Reader(g *Group, stats *event.ReadStats) *Reader {
	r := v.s.Reader(v.at.snap, g, stats)
	r.cached, r.version, r.fresh.gens = true, v.at.version, v.at.fresh[g.Prefix]
	v.mu.Lock()
	v.readers = append(v.readers, r)
	v.mu.Unlock()
	return r
}
