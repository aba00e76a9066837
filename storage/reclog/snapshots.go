package reclog

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// endings closes snapshots for readers that do not wait for it. Pebble's Close may wait for whoever writes the manifest: for a sync, and on
// a full disk until there is space. There are as many snapshots waiting as readers left behind meanwhile, some hundred bytes each.
type endings struct {
	mu      sync.Mutex
	waiting []*pebble.Snapshot
	running sync.WaitGroup // of one goroutine at most, while some wait
	busy    bool
}

// Release closes a snapshot of the database, in the background, before Close closes that.
func (l *Log) Release(snap *pebble.Snapshot) { l.endings.add(snap) }

func (e *endings) add(snap *pebble.Snapshot) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting = append(e.waiting, snap)
	if !e.busy {
		e.busy = true
		e.running.Go(e.run)
	}
}

func (e *endings) run() {
	for {
		e.mu.Lock()
		some := e.waiting
		e.waiting, e.busy = nil, len(some) > 0
		e.mu.Unlock()
		for _, s := range some {
			_ = s.Close() // it gives no error
		}
		if len(some) == 0 {
			return
		}
	}
}
