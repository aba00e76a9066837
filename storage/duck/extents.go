package duck

/*
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

typedef void *duckdb_task_state;
void duckdb_execute_tasks_state(duckdb_task_state state);

static _Atomic long long tilehouseBound;    // of the process's memory, in bytes; 0: none
static _Atomic int tilehouseWrites;         // calls under way that may write
static __thread int tilehouseArmed;         // the thread computes rows: what it allocates may be refused
static int tilehouseStatm = -1;
static long tilehousePage;

enum { tilehouseLongText = 1 << 20 };

// The process's memory but for what is a file's, in bytes; -1: not known.
static long long tilehouseResident(void) {
	char text[128];
	long long all, resident, shared;
	ssize_t n = tilehouseStatm < 0 ? -1 : pread(tilehouseStatm, text, sizeof text - 1, 0);
	if (n <= 0) return -1;
	text[n] = 0;
	if (sscanf(text, "%lld %lld %lld", &all, &resident, &shared) != 3) return -1;
	return (resident - shared) * tilehousePage;
}

// Whether a thread may not have so many bytes more.
static bool tilehouseRefused(size_t size) {
	long long bound = tilehouseBound;
	if (size < tilehouseLongText || !tilehouseArmed || !bound || tilehouseArmed > 1 && tilehouseWrites) return false;
	return tilehouseResident() + (long long)size > bound;
}

// jemalloc's hooks of what it asks the system for.
typedef struct hooks hooks;
struct hooks {
	void *(*alloc)(hooks *, void *, size_t, size_t, bool *, bool *, unsigned);
	bool (*dalloc)(hooks *, void *, size_t, bool, unsigned);
	void (*destroy)(hooks *, void *, size_t, bool, unsigned);
	bool (*commit)(hooks *, void *, size_t, size_t, size_t, unsigned);
	bool (*decommit)(hooks *, void *, size_t, size_t, size_t, unsigned);
	bool (*purge_lazy)(hooks *, void *, size_t, size_t, size_t, unsigned);
	bool (*purge_forced)(hooks *, void *, size_t, size_t, size_t, unsigned);
	bool (*split)(hooks *, void *, size_t, size_t, size_t, bool, unsigned);
	bool (*merge)(hooks *, void *, size_t, void *, size_t, bool, unsigned);
};

static hooks *tilehouseTheirs;
static hooks tilehouseHooks;

static void *tilehouseAlloc(hooks *h, void *at, size_t size, size_t alignment, bool *zero, bool *commit, unsigned arena) {
	if (tilehouseRefused(size)) return NULL;
	return tilehouseTheirs->alloc(tilehouseTheirs, at, size, alignment, zero, commit, arena);
}

// What is given back to the system is taken from it again by commit, which can be refused.
static bool tilehouseDecommit(hooks *h, void *at, size_t size, size_t offset, size_t length, unsigned arena) {
#ifdef __linux__
	return madvise((char *)at + offset, length, MADV_DONTNEED) != 0;
#else
	return true;
#endif
}

static bool tilehouseCommit(hooks *h, void *at, size_t size, size_t offset, size_t length, unsigned arena) {
	return tilehouseRefused(length);
}

#if defined(__linux__)
extern int duckdb_je_mallctl(const char *name, void *old, size_t *oldlen, void *new, size_t newlen) __attribute__((weak));
extern void *duckdb_je_malloc(size_t) __attribute__((weak));
extern void duckdb_je_free(void *) __attribute__((weak));
#else
static int (*duckdb_je_mallctl)(const char *, void *, size_t *, void *, size_t) = 0;
static void *(*duckdb_je_malloc)(size_t) = 0;
static void (*duckdb_je_free)(void *) = 0;
#endif

static void tilehouseHook(void) {
	if (!duckdb_je_mallctl || !duckdb_je_malloc || !duckdb_je_free) return;
	tilehousePage = sysconf(_SC_PAGESIZE);
	if ((tilehouseStatm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)) < 0) return;
	// The arena of very large blocks exists once there was one, which nobody touches.
	void *volatile block = duckdb_je_malloc((size_t)257 << 20);
	duckdb_je_free(block);
	unsigned arenas = 0;
	size_t n = sizeof arenas;
	if (duckdb_je_mallctl("arenas.narenas", &arenas, &n, 0, 0)) return;
	for (unsigned i = 0; i < arenas; i++) {
		char name[64];
		hooks *old, *new = &tilehouseHooks;
		snprintf(name, sizeof name, "arena.%u.extent_hooks", i);
		n = sizeof old;
		if (duckdb_je_mallctl(name, &old, &n, 0, 0)) continue;
		if (!tilehouseTheirs) {
			tilehouseTheirs = old;
			tilehouseHooks = *old;
			tilehouseHooks.alloc = tilehouseAlloc;
			tilehouseHooks.commit = tilehouseCommit;
			tilehouseHooks.decommit = tilehouseDecommit;
		}
		if (old == tilehouseTheirs) duckdb_je_mallctl(name, 0, 0, &new, sizeof new);
	}
}

static void tilehouseBounded(long long bound) { tilehouseBound = bound; }
static void tilehouseWriting(int more) { tilehouseWrites += more; }

static int tilehouseArm(int how) {
	int before = tilehouseArmed;
	tilehouseArmed = how;
	return before;
}

static bool tilehouseNoRoom(size_t size) {
	long long bound = tilehouseBound;
	return bound && size >= tilehouseLongText && tilehouseResident() + (long long)size > bound;
}

// Calls that compute rows, on the thread that makes them and on DuckDB's others. duckdb.h is not to be had here: these are its types.
typedef struct {
	unsigned long long a, b, c;
	void *columns;
	char *message;
	void *internal;
} tilehouseResult;

extern void *duckdb_fetch_chunk(tilehouseResult);
extern int duckdb_prepare(void *, const char *, void **);
extern int duckdb_execute_prepared(void *, tilehouseResult *);
extern int duckdb_execute_prepared_streaming(void *, tilehouseResult *);

#define tilehouseComputing(how, call) int before = tilehouseArm(how); call; tilehouseArm(before)

static void *tilehouseFetch(tilehouseResult of) {
	tilehouseComputing(1, void *chunk = duckdb_fetch_chunk(of));
	return chunk;
}

static int tilehousePrepare(void *conn, const char *sql, void **out) {
	tilehouseComputing(1, int state = duckdb_prepare(conn, sql, out));
	return state;
}

static int tilehouseExecute(void *prepared, tilehouseResult *out, int streams) {
	tilehouseComputing(1, int state = streams ? duckdb_execute_prepared_streaming(prepared, out) : duckdb_execute_prepared(prepared, out));
	return state;
}

static void tilehouseExecuteTasks(duckdb_task_state state) {
	tilehouseComputing(2, duckdb_execute_tasks_state(state));
}
*/
import "C"

import (
	"sync"
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"
)

// DuckDB's limit counts its buffers, and not the texts in the vectors that it computes with, of which a statement may have many at a time: a
// column that is shown forty times is copied as often, and each function of a chain holds its result. What computes rows is therefore
// refused blocks of a text's size and more once the process takes beside the limit what beside allows: the allocator's hooks see them when
// it takes them from the system. DuckDB makes of that an error of the statement (53200). It is not refused where DuckDB could not give up
// without harm, in what writes and commits, and in its calls by functions of ours, which ask before (noRoom).

// tooMuchText is the message of the refusal.
const tooMuchText = "out of memory: the texts that the statement computes with take too much"

// beside is how many bytes the process may take beside its limit before what computes rows is refused more.
const beside = 128 << 20

var hooked = sync.OnceFunc(func() { C.tilehouseHook() })

// limits are what the engines of the process may take together.
var limits struct {
	sync.Mutex
	sum int64
}

// limited adds to the limit of the process what an engine that is opened has of it, or takes away what one that is closed had.
func limited(more int64) {
	if more == 0 {
		return
	}
	hooked()
	limits.Lock()
	defer limits.Unlock()
	bound := int64(0)
	if limits.sum += more; limits.sum > 0 {
		bound = limits.sum + beside
	}
	C.tilehouseBounded(C.longlong(bound))
}

// executeTasks has a thread of DuckDB's do what there is to do.
func executeTasks(state unsafe.Pointer) { C.tilehouseExecuteTasks(C.duckdb_task_state(state)) }

// A result is what it is in C.
var _ [unsafe.Sizeof(C.tilehouseResult{})]byte = [unsafe.Sizeof(m.Result{})]byte{}

// fetch, prepare and compute are what the binding's functions of these names are, for statements that compute rows.
func fetch(r *m.Result) m.DataChunk {
	return m.DataChunk{Ptr: C.tilehouseFetch(*(*C.tilehouseResult)(unsafe.Pointer(r)))}
}

func prepare(c m.Connection, sql string, s *m.PreparedStatement) m.State {
	text := C.CString(sql)
	defer C.free(unsafe.Pointer(text))
	var out unsafe.Pointer
	state := C.tilehousePrepare(c.Ptr, text, &out)
	s.Ptr = out
	return m.State(state)
}

func compute(s m.PreparedStatement, r *m.Result, streams bool) m.State {
	how := C.int(0)
	if streams {
		how = 1
	}
	var out C.tilehouseResult
	state := C.tilehouseExecute(s.Ptr, &out, how)
	*r = *(*m.Result)(unsafe.Pointer(&out))
	return m.State(state)
}

// writing makes a call that may write or commit.
func writing(call func()) {
	C.tilehouseWriting(1)
	call()
	C.tilehouseWriting(-1)
}

// called is the beginning of a function of ours, on the thread that computes rows; the function that it returns is its end.
func called() (ended func()) {
	before := C.tilehouseArm(0)
	return func() { C.tilehouseArm(before) }
}

// noRoom is the error where what computes rows may not have so many bytes of text more.
func noRoom(n int) error {
	if n < C.tilehouseLongText || !C.tilehouseNoRoom(C.size_t(n)) {
		return nil
	}
	return &Error{SQLState: "53200", Message: tooMuchText}
}
