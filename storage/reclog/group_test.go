package reclog

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Many transactions in one group, half of them failing after some of their changes were entered: what fails leaves nothing
// that a later one of the group, or the indexes, could see.
func TestFailuresWithinGroup(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	l := mustOpen(t, vfs.NewMem())
	defer l.Close()
	rows := map[SourceID]map[uint64]int64{1: {}, 2: {}}
	for range 20 {
		hold, entered := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := l.Commit(context.Background(), &Txn{Extra: func(*pebble.Batch, uint64) error { close(entered); <-hold; return nil }})
			if err != nil {
				t.Error(err)
			}
		})
		<-entered
		ids := map[SourceID][]uint64{}
		for s, m := range rows {
			ids[s] = slices.Sorted(maps.Keys(m))
		}
		for range 30 {
			txn := &Txn{}
			for range 1 + r.IntN(4) {
				s := SourceID(1 + r.IntN(2))
				c := insert(s, int64(r.IntN(300)))
				if r.IntN(8) == 0 {
					c = insert(s, sequential(1000+300*r.IntN(3), 2500)...)
				}
				if n := len(ids[s]); n > 0 && r.IntN(2) == 0 {
					c.Deletes = []uint64{ids[s][r.IntN(n)]}
				}
				txn.Changes = append(txn.Changes, c)
			}
			if r.IntN(10) == 0 {
				txn.Extra = func(*pebble.Batch, uint64) error { return errGuilty }
			}
			wg.Go(func() {
				var u *UniqueError
				if _, err := l.Commit(context.Background(), txn); err != nil && !errors.As(err, &u) && !errors.Is(err, ErrConflict) && err != errGuilty {
					t.Error(err)
				}
			})
		}
		for deadline := time.Now().Add(5 * time.Second); len(l.queue) < 30 && time.Now().Before(deadline); {
			time.Sleep(100 * time.Microsecond)
		}
		close(hold)
		wg.Wait()
		verify(t, l, 1, 2)
		for s := range rows {
			if rows[s] = contents(t, l, s); len(rows[s]) == 0 {
				t.Fatal("nothing was committed")
			}
			keys := map[int64]bool{}
			for _, k := range rows[s] {
				if keys[k] {
					t.Fatalf("source %d has primary key %d twice", s, k)
				}
				keys[k] = true
			}
		}
	}
}

var errGuilty = errors.New("guilty")
