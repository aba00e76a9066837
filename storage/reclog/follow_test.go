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

// evens makes source 2 what source 1 has of even primary keys. It refuses key 666.
type evens struct{}

func (evens) Follows(s SourceID) bool { return s == 1 }

func (evens) Follow(r Reading, a *Applied, _ *int64) (Followed, error) {
	c := Change{Source: 2, Key: []int{0}}
	for i := range a.DeletedIDs {
		id, err := r.Owner(2, a.Deleted, i, []int{0})
		if err != nil {
			return Followed{}, err
		}
		if id == 0 {
			continue
		}
		rows, at, err := r.Row(2, id)
		if err != nil {
			return Followed{}, err
		}
		if rows.Cols[0].I64[at] != a.Deleted.Cols[0].I64[i] {
			return Followed{}, errors.New("the row is another one")
		}
		c.Deletes = append(c.Deletes, id)
	}
	if a.Inserted != nil {
		var keys []int64
		for _, k := range a.Inserted.Cols[0].I64[:a.Inserted.N] {
			if k == 666 {
				return Followed{}, errGuilty
			}
			if k%2 == 0 {
				keys = append(keys, k)
			}
		}
		if len(keys) > 0 {
			c.Inserts = rowsOf(keys...)
		}
	}
	position := a.Position
	return Followed{Changes: []Change{c}, Write: func(b *pebble.Batch) { _ = b.Set([]byte{KeyFree, byte(position)}, nil, nil) }}, nil
}

// seeing is an applier that wants deleted rows.
type seeing struct{}

func (seeing) Schema(SourceID) Schema { return Schema{Types: testSchema} }
func (seeing) Apply(*pebble.Batch, []Applied) (func(bool), error) {
	return nil, nil
}

func values(m map[uint64]int64) []int64 { return slices.Sorted(maps.Values(m)) }

// What follows from transactions of one group, some of which fail, is there with them and at their positions, and after a restart.
func TestFollow(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	fs := vfs.NewMem()
	l := mustOpen(t, fs)
	l.SetApplier(seeing{})
	l.SetFollower(evens{})
	refused := 0
	for range 15 {
		have := contents(t, l, 1)
		ids := slices.Sorted(maps.Keys(have))
		hold, entered := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = l.Commit(context.Background(), &Txn{Extra: func(*pebble.Batch, uint64) error { close(entered); <-hold; return nil }})
		})
		<-entered
		var mu sync.Mutex
		for range 20 {
			txn := &Txn{Changes: []Change{insert(1, int64(r.IntN(400)))}}
			switch r.IntN(8) {
			case 0:
				txn.Changes[0] = insert(1, 666)
			case 1:
				txn.Changes[0] = insert(1, sequential(1000+6000*r.IntN(4), 5000)...)
			}
			if len(ids) > 0 && r.IntN(2) == 0 {
				txn.Changes[0].Deletes = []uint64{ids[r.IntN(len(ids))]}
			}
			if r.IntN(10) == 0 {
				txn.Extra = func(*pebble.Batch, uint64) error { return errGuilty }
			}
			wg.Go(func() {
				var u *UniqueError
				c, err := l.Commit(context.Background(), txn)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && len(c.FirstRowID) != 1:
					t.Errorf("%d ids of 1 change", len(c.FirstRowID))
				case errors.Is(err, errGuilty):
					refused++
				case err != nil && !errors.As(err, &u) && !errors.Is(err, ErrConflict):
					t.Error(err)
				}
			})
		}
		close(hold)
		wg.Wait()
		var want []int64
		for _, k := range values(contents(t, l, 1)) {
			if k%2 == 0 {
				want = append(want, k)
			}
		}
		if got := values(contents(t, l, 2)); !slices.Equal(got, want) {
			t.Fatalf("%v follows, want %v", got, want)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
	rows := contents(t, l, 2)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, fs)
	defer l.Close()
	if got := contents(t, l, 2); !maps.Equal(got, rows) {
		t.Fatal("another content after a restart")
	}
	if s, err := l.Sources(); err != nil || !slices.Equal(s, []SourceID{1, 2}) {
		t.Fatalf("sources %v: %v", s, err)
	}
}

// Who holds a source keeps its transactions waiting, after those under way have ended, and nobody else's.
func TestHold(t *testing.T) {
	l := mustOpen(t, vfs.NewMem())
	defer l.Close()
	ctx := context.Background()
	inside, leave := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		txn := &Txn{Changes: []Change{insert(1, 1)}, Extra: func(*pebble.Batch, uint64) error { close(inside); <-leave; return nil }}
		_, err := l.Commit(ctx, txn)
		first <- err
	}()
	<-inside
	held := make(chan func(), 1)
	go func() {
		release, err := l.Hold(ctx, 1)
		if err != nil {
			t.Error(err)
		}
		held <- release
	}()
	select {
	case <-held:
		t.Fatal("held while a transaction is under way")
	case <-time.After(20 * time.Millisecond):
	}
	close(leave)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	release := <-held
	if n, err := l.NextRow(1); err != nil || n != 2 {
		t.Fatalf("the next row is %d: %v", n, err)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := l.Commit(short, &Txn{Changes: []Change{insert(3, 1), insert(1, 2)}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a transaction of a source that is held gives %v", err)
	}
	if _, err := l.Hold(short, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("held twice: %v", err)
	}
	if _, err := l.Commit(ctx, &Txn{Changes: []Change{insert(2, 1)}}); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := l.Commit(ctx, &Txn{Changes: []Change{insert(1, 2)}})
		waiting <- err
	}()
	select {
	case <-waiting:
		t.Fatal("committed while it is held")
	case <-time.After(20 * time.Millisecond):
	}
	release()
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	if len(l.gates) != 0 {
		t.Errorf("%d gates are left", len(l.gates))
	}
}
