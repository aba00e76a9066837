#include <stdbool.h>
#include <stddef.h>

// What a thread does with DuckDB, and so whether its allocations may be refused (bound.go).
enum {
	TILEHOUSE_OTHER,    // what could not give up without harm: never refused
	TILEHOUSE_CALLS,    // it computes rows for the call that it made
	TILEHOUSE_EXECUTES, // it computes rows as one of DuckDB's threads, which also take part in checkpoints
};

// From how many bytes on an allocation is looked at.
enum { TILEHOUSE_LONG = 1 << 20 };

void tilehouseBoundTo(long long bytes); // of what DuckDB's allocator has given out; 0: no bound
int tilehouseDoes(int what);            // of the calling thread from now on; returns what it did before
bool tilehouseNoRoom(size_t bytes);     // whether so many more are beyond the bound
