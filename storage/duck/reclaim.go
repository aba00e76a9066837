package duck

/*
#include <stddef.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

// DuckDB is linked with jemalloc, under a prefix, where that is supported.
#if defined(__linux__)
extern int duckdb_je_mallctl(const char *name, void *old, size_t *oldlen, void *new, size_t newlen) __attribute__((weak));
#else
static int (*duckdb_je_mallctl)(const char *, void *, size_t *, void *, size_t) = 0;
#endif

// Of all arenas: the number that stands for them in names.
static size_t tilehouseDirty(void) {
	unsigned long long epoch = 1;
	size_t pages = 0, size = 0, n = sizeof(size_t);
	if (!duckdb_je_mallctl) return 0;
	duckdb_je_mallctl("epoch", 0, 0, &epoch, sizeof epoch);
	if (duckdb_je_mallctl("stats.arenas.4096.pdirty", &pages, &n, 0, 0) || duckdb_je_mallctl("arenas.page", &size, &n, 0, 0)) return 0;
	return pages * size;
}

static long long tilehouseResident(void) {
	unsigned long long epoch = 1;
	size_t bytes = 0, n = sizeof bytes;
	if (!duckdb_je_mallctl) return -1;
	duckdb_je_mallctl("epoch", 0, 0, &epoch, sizeof epoch);
	if (duckdb_je_mallctl("stats.resident", &bytes, &n, 0, 0)) return -1;
	return bytes;
}

// C's own allocator keeps large blocks that were freed once such a block was: from a fixed size on they are the system's.
static void tilehouseLarge(int bytes) {
#ifdef __GLIBC__
	mallopt(M_MMAP_THRESHOLD, bytes);
	mallopt(M_TRIM_THRESHOLD, bytes);
#endif
}

static void tilehousePurge(void) {
	if (duckdb_je_mallctl) duckdb_je_mallctl("arena.4096.purge", 0, 0, 0, 0);
}
*/
import "C"

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Memory that nobody uses is still the process's: DuckDB's allocator keeps what was freed, for as long as nothing is allocated or
// freed, and Go's collector sees garbage only when it runs. Neither counts for a limit, and both add to what the next statement takes. So what
// DuckDB's allocator keeps beyond a share of the limit is given back at the end of a statement, and the garbage of large calls is
// collected when it is a share.

const (
	// minKept is what may be kept, in bytes, at least.
	minKept = 16 << 20
	// keptShare is the share of the memory limit that may be kept: one in so many.
	keptShare = 16
	// largeBlock is from how many bytes on a block of C's own allocator is the system's.
	largeBlock = 1 << 20
	// briefly is how long a statement takes that is not looked after: it cannot have freed much.
	briefly = 2 * time.Millisecond
	// pause is how long, at least, lies between two looks at the allocator, which take some 30 µs each.
	pause = 20 * time.Millisecond
)

// reclaimer gives memory back.
type reclaimer struct {
	kept    int64
	garbage atomic.Int64 // of large calls, since the last collection, in bytes
	mu      sync.Mutex   // held while memory is given back
	looked  atomic.Int64 // when the last look at the allocator was, or the next will be, in nanoseconds
}

// Resident is how many bytes DuckDB's allocator has of the process's memory, for all its databases, given out or kept; false where it cannot be
// asked. It takes some 30 µs.
func Resident() (bytes int64, ok bool) {
	n := int64(C.tilehouseResident())
	return max(n, 0), n >= 0
}

var large = sync.OnceFunc(func() { C.tilehouseLarge(largeBlock) })

func newReclaimer(memoryLimit int64) *reclaimer {
	large()
	return &reclaimer{kept: max(minKept, memoryLimit/keptShare)}
}

// ended gives back what DuckDB's allocator keeps, after a statement that began then.
func (r *reclaimer) ended(began time.Time) {
	now := time.Now()
	if now.Sub(began) < briefly {
		return
	}
	last := r.looked.Load()
	next := max(last+int64(pause), now.UnixNano())
	switch {
	case last > now.UnixNano() || !r.looked.CompareAndSwap(last, next): // another statement sees to it
	case next > now.UnixNano():
		time.AfterFunc(time.Duration(next-now.UnixNano()), r.look)
	default:
		r.look()
	}
}

func (r *reclaimer) look() {
	if !r.mu.TryLock() {
		return
	}
	defer r.mu.Unlock()
	if int64(C.tilehouseDirty()) > r.kept {
		C.tilehousePurge()
	}
}

// left says that a large call left n bytes of garbage.
func (r *reclaimer) left(n int) {
	if r.garbage.Add(int64(n)) <= r.kept {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.garbage.Swap(0) > r.kept { // nobody else has collected it
		debug.FreeOSMemory()
	}
}
