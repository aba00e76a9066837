package reclog

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/tilehouse/tilehouse/functions/vector"
)

func sequential(from, n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = int64(from + i)
	}
	return out
}

// Bulks race each other and single rows for the same keys: of each key one insert wins, and losers leave nothing.
func TestBulkRaces(t *testing.T) {
	for round := range 6 {
		l := mustOpen(t, vfs.NewMem())
		var wg sync.WaitGroup
		var won, lost atomic.Int32
		commit := func(c Change) {
			_, err := l.Commit(context.Background(), &Txn{Changes: []Change{c}})
			var u *UniqueError
			switch {
			case err == nil:
				won.Add(int32(c.Inserts.N))
			case errors.As(err, &u):
				lost.Add(1)
			default:
				t.Error(err)
			}
		}
		bulk := insert(1, sequential(0, bulkKeys+5)...)
		other := insert(1, sequential(bulkKeys, bulkKeys+5)...) // five keys in common
		wg.Go(func() { commit(bulk) })
		if round%2 == 0 {
			wg.Go(func() { commit(other) })
		}
		for w := range 3 {
			wg.Go(func() {
				for i := range 60 {
					commit(insert(1, int64(w+(i*331)%(2*bulkKeys))))
				}
			})
		}
		wg.Wait()
		verify(t, l, 1)
		if n := len(contents(t, l, 1)); n != int(won.Load()) {
			t.Fatalf("%d rows, %d were acknowledged", n, won.Load())
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A bulk that updates rows: deletes all, and inserts the same keys again, while another transaction takes one of them away.
func TestBulkUpdate(t *testing.T) {
	l := mustOpen(t, vfs.NewMem())
	defer l.Close()
	keys := sequential(0, bulkKeys+5000)
	got, err := l.Commit(t.Context(), &Txn{Changes: []Change{insert(1, keys...)}})
	if err != nil {
		t.Fatal(err)
	}
	c := insert(1, keys...)
	for i := range keys {
		c.Deletes = append(c.Deletes, got.FirstRowID[0]+uint64(i))
	}
	if _, err := l.Commit(t.Context(), &Txn{Changes: []Change{c}}); err != nil {
		t.Fatal(err)
	}
	verify(t, l, 1)
	if _, err := l.Commit(t.Context(), &Txn{Changes: []Change{c}}); !errors.Is(err, ErrConflict) {
		t.Fatal(err)
	}
	c.Deletes = c.Deletes[:0]
	for i := range keys[1:] { // the row of keys[0] stays
		c.Deletes = append(c.Deletes, got.FirstRowID[0]+uint64(len(keys)+1+i))
	}
	var u *UniqueError
	if _, err := l.Commit(t.Context(), &Txn{Changes: []Change{c}}); !errors.As(err, &u) || u.Values[0] != "0" {
		t.Fatal(err)
	}
	verify(t, l, 1)
}

// What a bulk staged is removed by the next Open where the process died before its commit, and at once where it failed.
func TestBulkAbandoned(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l := mustOpen(t, fs)
	ctx, cancel := context.WithCancelCause(t.Context())
	p := &pending{txn: &Txn{Changes: []Change{insert(1, sequential(0, 200_000)...)}}}
	if err := l.prepare(ctx, p); err != nil {
		t.Fatal(err)
	}
	if !p.rows[0].staged {
		t.Fatal("nothing was staged")
	}
	if _, err := l.Commit(t.Context(), &Txn{Changes: []Change{insert(1, 7)}}); err != nil {
		t.Fatal(err)
	}
	crashed := mustOpen(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	verify(t, crashed, 1)
	if err := crashed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.submit(ctx, p); err == nil {
		t.Fatal("key 7 came between, and yet the bulk commits")
	} else {
		l.release(p, err)
	}
	verify(t, l, 1)
	cancel(errors.New("cancelled"))
	if _, err := l.Commit(ctx, p.txn); err == nil {
		t.Fatal("cancelled, and yet it commits")
	}
	verify(t, l, 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// A million rows: what Commit allocates beyond its input stays far below a gigabyte.
func TestBulkMemory(t *testing.T) {
	l, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const n = 1_000_000
	c := insert(1, sequential(0, n)...)
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	peak, stop, sampled := uint64(0), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sampled)
		for {
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	start := time.Now()
	if _, err := l.Commit(t.Context(), &Txn{Changes: []Change{c}}); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	close(stop)
	<-sampled
	more := int64(peak) - int64(before.HeapAlloc)
	t.Logf("%d rows in %v; heap %d MiB above the input's", n, took.Round(time.Millisecond), more>>20)
	if more > 500<<20 {
		t.Errorf("a million rows took %d MiB", more>>20)
	}
	rows := 0
	start = time.Now()
	err = l.Scan(t.Context(), 1, 0, 1, Schema{Types: testSchema}, func(_ uint64, _ []uint64, _ uint64, c *vector.Chunk) error { rows += c.N; return nil })
	if err != nil || rows != n {
		t.Fatalf("%d rows, %v", rows, err)
	}
	t.Logf("scanned in %v", time.Since(start).Round(time.Millisecond))
}

// Durable commits of single rows with a primary key, by 1 and 16 committers, on the file system of the temporary directory.
func BenchmarkCommit(b *testing.B) {
	for _, workers := range []int{1, 16, 64} {
		b.Run("committers="+string(rune('0'+workers/10))+string(rune('0'+workers%10)), func(b *testing.B) {
			l, err := Open(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range workers {
				wg.Go(func() {
					for {
						k := next.Add(1)
						if k > int64(b.N) {
							return
						}
						if _, err := l.Commit(context.Background(), &Txn{Changes: []Change{insert(1, k)}}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			bytes := 0
			each(b, l, []byte{KeyLog}, func(k, v []byte) { bytes += len(k) + len(v) })
			log := bytes
			for _, space := range []byte{KeyLive, KeyPrimary, KeyPosition} {
				each(b, l, []byte{space}, func(k, v []byte) { bytes += len(k) + len(v) })
			}
			b.ReportMetric(float64(bytes)/float64(b.N), "bytes/row")
			b.ReportMetric(float64(log)/float64(b.N), "logbytes/row")
			b.ReportMetric(float64(l.db.Metrics().WAL.BytesWritten)/float64(b.N), "walbytes/row")
		})
	}
}

// What an indexed batch in place of the maps would cost, for one insert with its checks.
func BenchmarkOverlay(b *testing.B) {
	l := mustOpen(b, vfs.NewMem())
	defer l.Close()
	key := func(i int) []byte { return liveKey(1, uint64(i)) }
	b.Run("maps", func(b *testing.B) {
		for n := 0; n < b.N; n += 64 {
			g := l.newGroup()
			for i := range 64 {
				if id, err := g.keyOwner(key(n + i)); err != nil || id != 0 {
					b.Fatal(id, err)
				}
				g.setKey(string(key(n+i)), 1)
			}
			if err := g.write(); err != nil {
				b.Fatal(err)
			}
			g.close()
		}
	})
	b.Run("indexed", func(b *testing.B) {
		for n := 0; n < b.N; n += 64 {
			batch := l.db.NewIndexedBatch()
			for i := range 64 {
				if _, _, err := batch.Get(key(n + i)); !errors.Is(err, pebble.ErrNotFound) {
					b.Fatal(err)
				}
				_ = batch.Set(key(n+i), []byte{1}, nil)
			}
			_ = batch.Close()
		}
	})
}
