package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tilehouse/tilehouse/storage/duck"
)

const (
	// lendEvery is how often it is looked what DuckDB uses. Its allocator hands out some hundred megabytes meanwhile, at most.
	lendEvery = 100 * time.Millisecond
	// lendStep is by how many bytes what is lent changes at least: each change stops the program for a moment.
	lendStep = 16 << 20
)

// lender lends Go's heap what DuckDB leaves of its share of the memory. A server that reads streams has little for DuckDB to do, and the garbage
// collector much; one that joins has it the other way. What is lent is taken back as DuckDB's use grows, before it reaches its share.
type lender struct {
	bytes atomic.Int64
	quit  chan struct{}
	done  sync.WaitGroup
}

// lend begins to lend, where set is not nil and DuckDB's allocator can be asked.
func lend(m Memory, set func(heap int64)) *lender {
	l := &lender{quit: make(chan struct{})}
	if _, known := duck.Resident(); set == nil || !known {
		return l
	}
	l.done.Go(func() {
		every := time.NewTicker(lendEvery)
		defer every.Stop()
		for {
			used, _ := duck.Resident()
			if now, before := lendable(m.duck, used), l.bytes.Load(); now-before >= lendStep || before-now >= lendStep || now == 0 && before > 0 {
				l.bytes.Store(now)
				set(m.Heap + now)
			}
			select {
			case <-l.quit:
				return
			case <-every.C:
			}
		}
	})
	return l
}

// lendable is how many bytes of DuckDB's share are lent while it uses some: three quarters of what it would leave if it used twice as much.
func lendable(share, used int64) int64 { return max(share-2*used, 0) / 4 * 3 }

// lent is how many bytes are lent now.
func (l *lender) lent() int64 { return l.bytes.Load() }

func (l *lender) stop() {
	if l != nil {
		close(l.quit)
		l.done.Wait()
	}
}
