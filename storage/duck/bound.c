// DuckDB's allocator asks jemalloc for memory by three functions, which the linker gives to it from here (--wrap, bound.go). Here no lock of
// jemalloc's is held, as it is in the hooks of its extents.
#ifdef __linux__

#include "bound.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

void *__real_duckdb_je_malloc(size_t);
void *__real_duckdb_je_realloc(void *, size_t);
// duckdb::TransactionContext::Commit()
void __real__ZN6duckdb18TransactionContext6CommitEv(void *);

static _Atomic long long bound;
static _Atomic int commits; // under way
static __thread int does;

// The process's memory but for what is a file's, in bytes; 0 where it is not known.
static long long resident(void) {
	static _Atomic int statm = -1;
	char text[128];
	long long all, pages, shared;
	int fd = statm;
	if (fd < 0) {
		int none = -1;
		if ((fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)) < 0) return 0;
		if (!atomic_compare_exchange_strong(&statm, &none, fd)) {
			close(fd);
			fd = none;
		}
	}
	ssize_t n = pread(fd, text, sizeof text - 1, 0);
	if (n <= 0) return 0;
	text[n] = 0;
	if (sscanf(text, "%lld %lld %lld", &all, &pages, &shared) != 3) return 0;
	return (pages - shared) * sysconf(_SC_PAGESIZE);
}

void tilehouseBoundTo(long long bytes) { bound = bytes; }

int tilehouseDoes(int what) {
	int before = does;
	does = what;
	return before;
}

bool tilehouseNoRoom(size_t bytes) {
	long long most = bound;
	return most && bytes >= TILEHOUSE_LONG && resident() + (long long)bytes > most;
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
