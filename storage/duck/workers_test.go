package duck

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// The threads help what takes long, and long results, and nothing else; they end with the database.
func TestWorkers(t *testing.T) {
	db, err := Open("", Options{Threads: 3})
	if err != nil {
		t.Fatal(err)
	}
	c, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	helped := func() int {
		db.workers.mu.Lock()
		defer db.workers.mu.Unlock()
		return db.workers.wanted
	}
	ctx := context.Background()
	if _, err := c.Exec(ctx, "CREATE TABLE t AS SELECT i FROM range(3000000) r(i)"); err != nil {
		t.Fatal(err)
	}
	if n := helped(); n != 0 {
		t.Errorf("%d statements are helped after the last has ended", n)
	}
	// Two threads at least take part in a long statement.
	var mu sync.Mutex
	takers, most := 0, 0
	for deadline := time.Now().Add(20 * time.Second); most < 2 && time.Now().Before(deadline); {
		if err := c.Each(ctx, "SELECT i FROM t WHERE hash(i) % 3 <> 1", func() func(*vector.Chunk) error {
			mu.Lock()
			defer mu.Unlock()
			takers++
			most = max(most, takers)
			return func(*vector.Chunk) error { time.Sleep(20 * time.Microsecond); return nil }
		}); err != nil {
			t.Fatal(err)
		}
		takers = 0
	}
	if most < 2 {
		t.Error("a long statement runs on one thread")
	}
	rows, err := c.Query(ctx, "SELECT i FROM t")
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= helpedChunks; n++ {
		if _, err := rows.Next(); err != nil {
			t.Fatal(err)
		}
		if got, want := helped(), n/helpedChunks; got < want {
			t.Errorf("%d statements are helped after %d chunks, not %d", got, n, want)
		}
	}
	rows.Close()
	if n := helped(); n != 0 {
		t.Errorf("%d statements are helped after the result is closed", n)
	}
	c.Close()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	db.workers.running.Wait()
}

// However stretches of work follow one another, the threads end with the database.
func TestWorkersEnd(t *testing.T) {
	for round := range 40 {
		db, err := Open("", Options{Threads: 6})
		if err != nil {
			t.Fatal(err)
		}
		var sessions sync.WaitGroup
		for range 3 {
			sessions.Go(func() {
				c, err := db.Connect()
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				for range 6 {
					if _, err := c.Exec(context.Background(), "SELECT sum(hash(i)) FROM range(300000) r(i)"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		sessions.Wait()
		closed := make(chan error, 1)
		go func() { closed <- db.Close() }()
		select {
		case err := <-closed:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("threads are still there after round %d", round)
		}
	}
}
