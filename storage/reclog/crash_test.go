package reclog

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/tilehouse/tilehouse/functions/vector"
)

var (
	crashSeeds = flag.Int("crash-seeds", 10, "seeds of TestCrash and TestFailedSync")
	crashSeed  = flag.Uint64("crash-seed", 0, "the first seed; 0: random")
)

func seeds(t *testing.T) []uint64 {
	first := *crashSeed
	if first == 0 {
		first = rand.Uint64()
	}
	var out []uint64
	for i := range *crashSeeds {
		out = append(out, first+uint64(i))
	}
	t.Logf("seeds %d to %d", out[0], out[len(out)-1])
	return out
}

// history is what the writers of a crash test know.
type history struct {
	mu       sync.Mutex
	done     map[uint64]map[int64]bool // acknowledged: position → keys of its inserts
	deleted  map[uint64][]uint64       // acknowledged: position → rows deleted
	sequence uint64                    // the highest value given
}

// writer commits transactions over two sources, with keys of its own, until something fails.
func (h *history) writer(l *Log, w int, r *rand.Rand, base int64, bulk bool) {
	var mine []uint64
	key := base + int64(w)*1_000_000
	for {
		n := []int{1, 1, 2, 50}[r.IntN(4)]
		if bulk && r.IntN(6) == 0 {
			n = 30_000
		}
		keys := make([]int64, n)
		for i := range keys {
			keys[i] = key
			key++
		}
		c1, c2 := insert(1, keys...), insert(2, keys[0])
		if len(mine) > 2 {
			c1.Deletes = mine[:2]
		}
		got, err := l.Commit(context.Background(), &Txn{Changes: []Change{c1, c2}})
		if err != nil {
			return
		}
		mine = append(mine[len(c1.Deletes):], got.FirstRowID[0])
		h.mu.Lock()
		h.done[got.Position] = map[int64]bool{}
		for _, k := range keys {
			h.done[got.Position][k] = true
		}
		h.deleted[got.Position] = c1.Deletes
		h.mu.Unlock()
		if r.IntN(10) == 0 {
			h.mu.Lock()
			x, err := l.Sequence("s")
			if err == nil {
				h.sequence = max(h.sequence, x)
			}
			h.mu.Unlock()
		}
	}
}

// check holds the reopened log equal to the history: every acknowledged transaction whole and once, every other one whole
// or not at all, the indexes equal to the log's.
func (h *history) check(t *testing.T, l *Log) {
	t.Helper()
	verify(t, l, 1, 2)
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[uint64]map[int64]bool{}
	firsts := map[uint64][]int64{}
	scan := func(s SourceID, fn func(pos uint64, del []uint64, keys []int64)) {
		err := l.Scan(context.Background(), s, 0, l.Position(), Schema{Types: testSchema}, func(pos uint64, del []uint64, _ uint64, c *vector.Chunk) error {
			fn(pos, del, c.Cols[0].I64)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	deletes := map[uint64][]uint64{}
	scan(1, func(pos uint64, del []uint64, keys []int64) {
		if seen[pos] == nil {
			seen[pos] = map[int64]bool{}
		}
		deletes[pos] = append(deletes[pos], del...)
		for _, k := range keys {
			if seen[pos][k] {
				t.Fatalf("position %d: key %d twice", pos, k)
			}
			seen[pos][k] = true
		}
	})
	scan(2, func(pos uint64, _ []uint64, keys []int64) { firsts[pos] = keys })
	for pos, keys := range h.done {
		if !maps.Equal(keys, seen[pos]) || !slices.Equal(deletes[pos], h.deleted[pos]) {
			t.Fatalf("acknowledged position %d: %d keys of %d, %d deletes of %d", pos, len(seen[pos]), len(keys), len(deletes[pos]), len(h.deleted[pos]))
		}
	}
	for pos, keys := range seen {
		if len(firsts[pos]) != 1 || !keys[firsts[pos][0]] {
			t.Fatalf("position %d is there in part", pos)
		}
		switch len(keys) {
		case 1, 2, 50, 30_000:
		default:
			t.Fatalf("position %d is there in part: %d keys", pos, len(keys))
		}
	}
	if x, err := l.Sequence("s"); err != nil || x <= h.sequence {
		t.Fatalf("sequence gives %d after %d, %v", x, h.sequence, err)
	} else {
		h.sequence = x
	}
}

// Several writers, a crash at a random moment that keeps a random part of what was not synced, and again on what is left.
func TestCrash(t *testing.T) {
	for _, seed := range seeds(t) {
		r := rand.New(rand.NewPCG(seed, 1))
		fs, h := vfs.NewCrashableMem(), &history{done: map[uint64]map[int64]bool{}, deleted: map[uint64][]uint64{}}
		for round := range 3 {
			o := Options{FS: fs, ReserveBytes: 1 << 20, MemTableBytes: 256 << 10}
			l, err := Open("db", o)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			var wg sync.WaitGroup
			for w := range 4 {
				wr := rand.New(rand.NewPCG(seed, uint64(100*round+w)))
				wg.Go(func() { h.writer(l, w, wr, int64(round)*100_000_000, w == 0) })
			}
			time.Sleep(time.Duration(r.IntN(30_000)) * time.Microsecond)
			// Acknowledgements that are noted after this may be of transactions after the crash: they are left out.
			h.mu.Lock()
			acked := &history{done: maps.Clone(h.done), deleted: maps.Clone(h.deleted), sequence: h.sequence}
			crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 10, 50, 100}[r.IntN(4)], RNG: r})
			h.mu.Unlock()
			if err := l.Close(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			wg.Wait()
			fs, h = crashed, acked
			o.FS = fs
			if l, err = Open("db", o); err != nil {
				t.Fatalf("seed %d: after the crash: %v", seed, err)
			}
			h.check(t, l)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// disk is a file system of limited capacity, which counts what is written and what is allocated ahead.
type disk struct {
	vfs.FS
	mu    sync.Mutex
	cap   int64
	used  map[string]int64
	total int64
}

func newDisk(cap int64) *disk { return &disk{FS: vfs.NewMem(), cap: cap, used: map[string]int64{}} }

func (d *disk) grow(name string, to int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if by := to - d.used[name]; by > 0 {
		if d.total+by > d.cap {
			return &vfsError{syscall.ENOSPC}
		}
		d.used[name] = to
		d.total += by
	}
	return nil
}

type vfsError struct{ error }

func (e *vfsError) Unwrap() error { return e.error }

func (d *disk) setCap(cap int64) { d.mu.Lock(); d.cap = cap; d.mu.Unlock() }

func (d *disk) left() int64 { d.mu.Lock(); defer d.mu.Unlock(); return d.cap - d.total }

func (d *disk) forget(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total -= d.used[name]
	delete(d.used, name)
}

func (d *disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := d.grow(name, d.used0(name)+64); err != nil {
		return nil, err
	}
	f, err := d.FS.Create(name, c)
	return &diskFile{File: f, d: d, name: name}, err
}

func (d *disk) used0(name string) int64 { d.mu.Lock(); defer d.mu.Unlock(); return d.used[name] }

func (d *disk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.mu.Lock()
	d.used[to] += d.used[from]
	delete(d.used, from)
	d.mu.Unlock()
	f, err := d.FS.ReuseForWrite(from, to, c)
	return &diskFile{File: f, d: d, name: to}, err
}

func (d *disk) Remove(name string) error {
	err := d.FS.Remove(name)
	if err == nil {
		d.forget(name)
	}
	return err
}

type diskFile struct {
	vfs.File
	d    *disk
	name string
	off  int64
}

func (f *diskFile) Write(p []byte) (int, error) {
	n := len(p)
	err := f.d.grow(f.name, f.off+int64(n))
	if err != nil {
		// A full disk takes what fits.
		n = min(n, int(max(0, f.d.left())))
		if f.d.grow(f.name, f.off+int64(n)) != nil {
			n = 0
		}
	}
	if n > 0 {
		if _, werr := f.File.Write(p[:n]); werr != nil {
			return 0, werr
		}
		f.off += int64(n)
	}
	return n, err
}

func (f *diskFile) Preallocate(off, n int64) error { return f.d.grow(f.name, off+n) }

// commitSoon commits a row now that there is space again, which the log finds out after a while, as long as nothing else is wrong.
func commitSoon(t *testing.T, l *Log, key int64) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(pollSpace) {
		_, err := l.Commit(t.Context(), &Txn{Changes: []Change{insert(1, key)}})
		if err == nil {
			return
		}
		if !errors.Is(err, ErrDiskFull) || time.Since(began) > 10*time.Second {
			t.Fatalf("there is space again, and yet: %v", err)
		}
	}
}

// The disk fills up under writers at sizes from nothing to spare upwards. Nothing ends the process, commits say ErrDiskFull, reads
// go on, commits resume when there is space, and what failed left no trace.
func TestDiskFull(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for round := range 6 {
		d := newDisk(1 << 40)
		fatal := func(msg string) { panic("fatal: " + msg) }
		l, err := Open("db", Options{FS: d, ReserveBytes: 256 << 10, MemTableBytes: 64 << 10, Fatal: fatal, StallTimeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		acked, key := map[int64]bool{}, int64(0)
		d.setCap(d.cap - d.left() + int64(r.IntN(300<<10)))
		full := 0
		for range 4000 {
			_, err := l.Commit(t.Context(), &Txn{Changes: []Change{insert(1, key)}})
			switch {
			case err == nil:
				acked[key] = true
			case errors.Is(err, ErrDiskFull):
				full++
			default:
				t.Fatalf("round %d: %v", round, err)
			}
			key++
			if full > 20 {
				break
			}
		}
		if full == 0 {
			t.Fatalf("round %d: the disk did not fill up", round)
		}
		verify(t, l, 1) // reads go on
		d.setCap(1 << 40)
		commitSoon(t, l, key)
		acked[key] = true
		for range 2 {
			rows := contents(t, l, 1)
			got := map[int64]bool{}
			for _, k := range rows {
				got[k] = true
			}
			if !maps.Equal(got, acked) {
				t.Fatalf("round %d: %d rows of %d", round, len(got), len(acked))
			}
			verify(t, l, 1)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if l, err = Open("db", Options{FS: d, ReserveBytes: 256 << 10}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Every kind of write finds no space from its n-th operation on, for a while, whatever the ballast gave back: commits caught in it
// wait, later ones are refused, none is lost or doubled.
func TestNoSpaceAtEveryWrite(t *testing.T) {
	for n := int32(0); n < 60; n += 6 {
		var on atomic.Bool
		var count atomic.Int32
		until := make(chan struct{})
		inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
			switch op.Kind {
			case errorfs.OpCreate, errorfs.OpLink, errorfs.OpRename, errorfs.OpReuseForWrite, errorfs.OpMkdirAll,
				errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpFilePreallocate:
				if on.Load() && count.Add(1) > n {
					return syscall.ENOSPC
				}
			}
			return nil
		})
		l, err := Open("db", Options{
			FS: errorfs.Wrap(vfs.NewMem(), inj), ReserveBytes: 1 << 20, MemTableBytes: 32 << 10,
			Fatal: func(msg string) { panic("fatal: " + msg) }, StallTimeout: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		acked := map[int64]bool{}
		refused := 0
		var wg sync.WaitGroup
		on.Store(true)
		for w := range 4 {
			wg.Go(func() {
				for i := range 40 {
					k := int64(1000*w + i)
					_, err := l.Commit(context.Background(), &Txn{Changes: []Change{insert(1, k)}})
					mu.Lock()
					if err == nil {
						acked[k] = true
					} else if refused++; !errors.Is(err, ErrDiskFull) {
						t.Errorf("%d: %v", n, err)
					}
					mu.Unlock()
				}
			})
		}
		go func() {
			time.Sleep(30 * time.Millisecond)
			on.Store(false)
			close(until)
		}()
		time.Sleep(10 * time.Millisecond)
		contents(t, l, 1) // reads go on
		<-until
		wg.Wait()
		commitSoon(t, l, -1)
		acked[-1] = true
		got := map[int64]bool{}
		for _, k := range contents(t, l, 1) {
			got[k] = true
		}
		if !maps.Equal(got, acked) {
			t.Fatalf("%d: %d rows of %d acknowledged, %d refused", n, len(got), len(acked), refused)
		}
		verify(t, l, 1)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Reads end while Pebble waits for space in a write to its manifest, whose lock the end of a snapshot needs.
func TestReadsBesideManifest(t *testing.T) {
	var on atomic.Bool
	var refused atomic.Int32
	inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if on.Load() && op.Kind == errorfs.OpFileWrite && strings.Contains(op.Path, "MANIFEST-") {
			refused.Add(1)
			return syscall.ENOSPC
		}
		return nil
	})
	l, err := Open("db", Options{FS: errorfs.Wrap(vfs.NewMem(), inj), ReserveBytes: 1 << 20, Fatal: func(msg string) { panic("fatal: " + msg) }})
	if err != nil {
		t.Fatal(err)
	}
	commitSoon(t, l, 1)
	on.Store(true)
	flushed := make(chan error, 1)
	go func() { flushed <- l.DB().Flush() }()
	for end := time.Now().Add(10 * time.Second); refused.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no write to the manifest")
		}
	}
	read := make(chan int, 1)
	go func() {
		for range 3 {
			contents(t, l, 1)
		}
		read <- len(contents(t, l, 1))
	}()
	select {
	case n := <-read:
		if n != 1 {
			t.Errorf("%d rows", n)
		}
	case <-time.After(10 * time.Second):
		t.Error("a read waits for the manifest")
	}
	on.Store(false)
	if err := <-flushed; err != nil {
		t.Error(err)
	}
	commitSoon(t, l, 2)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// A sync that fails is fatal; what was acknowledged before survives the process.
func TestFailedSync(t *testing.T) {
	for _, seed := range seeds(t) {
		r := rand.New(rand.NewPCG(seed, 2))
		mem := vfs.NewCrashableMem()
		var left atomic.Int32
		left.Store(1 << 30)
		inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo) && left.Add(-1) < 0 {
				return errors.New("injected: I/O error")
			}
			return nil
		})
		died := make(chan struct{})
		var once sync.Once
		l, err := Open("db", Options{FS: errorfs.Wrap(mem, inj), ReserveBytes: 1 << 20, Log: slog.New(slog.DiscardHandler), Fatal: func(string) {
			once.Do(func() { close(died) })
			runtime.Goexit()
		}})
		if err != nil {
			t.Fatal(err)
		}
		h := &history{done: map[uint64]map[int64]bool{}, deleted: map[uint64][]uint64{}}
		for w := range 3 {
			go h.writer(l, w, rand.New(rand.NewPCG(seed, uint64(w))), 0, false)
		}
		left.Store(int32(r.IntN(100)))
		select {
		case <-died:
		case <-time.After(10 * time.Second):
			t.Fatalf("seed %d: nothing failed", seed)
		}
		h.mu.Lock()
		acked := &history{done: maps.Clone(h.done), deleted: maps.Clone(h.deleted), sequence: h.sequence}
		after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
		h.mu.Unlock()
		l2, err := Open("db", Options{FS: after, ReserveBytes: 1 << 20})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		acked.check(t, l2)
		if err := l2.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeleteLimits(t *testing.T) {
	l := mustOpen(t, vfs.NewMem())
	defer l.Close()
	if _, err := l.Commit(t.Context(), &Txn{Changes: make([]Change, MaxChanges+1)}); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	got, err := l.Commit(t.Context(), &Txn{Changes: []Change{insert(1, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Commit(t.Context(), &Txn{Changes: []Change{{Source: 1, Deletes: []uint64{got.FirstRowID[0], got.FirstRowID[0]}}}})
	if !errors.Is(err, ErrConflict) {
		t.Fatal(fmt.Errorf("a row deleted twice by one change: %w", err))
	}
	verify(t, l, 1)
}

// A disk that stays full in spite of the ballast: the commit caught in it is in doubt, later ones are refused at once, Close
// gives up; with space again, the commit in doubt is there.
func TestStall(t *testing.T) {
	var on atomic.Bool
	inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if on.Load() && op.Kind == errorfs.OpFileWrite {
			return syscall.ENOSPC
		}
		return nil
	})
	for _, closes := range []bool{false, true} {
		l, err := Open("db", Options{FS: errorfs.Wrap(vfs.NewMem(), inj), ReserveBytes: 1 << 20, StallTimeout: 50 * time.Millisecond,
			Fatal: func(msg string) { panic("fatal: " + msg) }})
		if err != nil {
			t.Fatal(err)
		}
		on.Store(true)
		if _, err := l.Commit(t.Context(), &Txn{Changes: []Change{insert(1, 1)}}); !errors.Is(err, ErrInDoubt) {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := l.Commit(t.Context(), &Txn{Changes: []Change{insert(1, 2)}}); !errors.Is(err, ErrDiskFull) || time.Since(start) > time.Second {
			t.Fatal(err)
		}
		if n := l.Position(); n != 0 {
			t.Fatalf("position %d before its sync", n)
		}
		if closes {
			if err := l.Close(); !errors.Is(err, ErrDiskFull) {
				t.Fatal(err)
			}
			on.Store(false) // what waits ends, and so does the committer
			<-l.ended
			continue
		}
		on.Store(false)
		commitSoon(t, l, 3)
		if rows := contents(t, l, 1); len(rows) != 2 || rows[1] != 1 || rows[2] != 3 {
			t.Fatalf("rows %v", rows)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
