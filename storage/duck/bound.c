// DuckDB's allocator asks jemalloc for memory by three functions, which the linker gives to it from here (--wrap, bound.go). Here no lock of
// jemalloc's is held, as it is in the hooks of its extents.
#ifdef __linux__

#include "bound.h"

#include <stdatomic.h>

int duckdb_je_mallctl(const char *name, void *old, size_t *oldlen, void *new, size_t newlen);
void *__real_duckdb_je_malloc(size_t);
void *__real_duckdb_je_realloc(void *, size_t);
// duckdb::TransactionContext::Commit()
void __real__ZN6duckdb18TransactionContext6CommitEv(void *);

static _Atomic long long bound;
static _Atomic int commits; // under way
static __thread int does;

// What the allocator had when it was last asked, and what was allowed since, in bytes.
static _Atomic long long known, since;

// How many bytes are allowed between two questions at most: one takes some 30 µs.
enum { unasked = 32 << 20 };

void tilehouseBoundTo(long long bytes) { bound = bytes; }

int tilehouseDoes(int what) {
	int before = does;
	does = what;
	return before;
}

bool tilehouseNoRoom(size_t bytes) {
	long long most = bound;
	if (!most || bytes < TILEHOUSE_LONG) return false;
	if (since < unasked && known + since + (long long)bytes <= most) {
		since += bytes;
		return false;
	}
	unsigned long long epoch = 1;
	size_t allocated = 0, n = sizeof allocated;
	duckdb_je_mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
	if (duckdb_je_mallctl("stats.allocated", &allocated, &n, NULL, 0)) return false;
	known = allocated;
	since = bytes;
	return (long long)(allocated + bytes) > most;
}

static bool refused(size_t bytes) {
	if (bytes < TILEHOUSE_LONG || does == TILEHOUSE_OTHER || (does == TILEHOUSE_EXECUTES && commits)) return false;
	return tilehouseNoRoom(bytes);
}

void *__wrap_duckdb_je_malloc(size_t bytes) { return refused(bytes) ? NULL : __real_duckdb_je_malloc(bytes); }

void *__wrap_duckdb_je_realloc(void *old, size_t bytes) { return refused(bytes) ? NULL : __real_duckdb_je_realloc(old, bytes); }

static void committed(int *before) {
	does = *before;
	commits--;
}

// A commit throws where it fails, and is never refused memory: DuckDB would be unusable from then on.
void __wrap__ZN6duckdb18TransactionContext6CommitEv(void *context) {
	commits++;
	int before __attribute__((cleanup(committed))) = tilehouseDoes(TILEHOUSE_OTHER);
	__real__ZN6duckdb18TransactionContext6CommitEv(context);
}

#else

#include "bound.h"

void tilehouseBoundTo(long long bytes) {}
int tilehouseDoes(int what) { return TILEHOUSE_OTHER; }
bool tilehouseNoRoom(size_t bytes) { return false; }

#endif
