// The true error of a result that streams (streamed.go).
#ifdef __linux__

#include <cstring>
#include <exception>

#include "streamed.h"

// What of DuckDB is used here, by the names that its compiler gave it: its headers are not to be had.
extern "C" {
// duckdb::StreamExecutionResult duckdb::BufferedData::ReplenishBuffer(duckdb::StreamQueryResult &, duckdb::ClientContextLock &)
unsigned char __real__ZN6duckdb12BufferedData15ReplenishBufferERNS_17StreamQueryResultERNS_17ClientContextLockE(void *, void *, void *);
void *_ZN6duckdb13ClientContext11GetExecutorEv(void *context);
bool _ZN6duckdb8Executor8HasErrorEv(void *executor);
void _ZN6duckdb8Executor14ThrowExceptionEv(void *executor); // the first error that one of its threads noted
}

static thread_local void *reading;

extern "C" void *tilehouseReads(void *context) {
	void *before = reading;
	reading = context;
	return before;
}

static bool isInterrupt(const std::exception &e) { return std::strstr(e.what(), "\"exception_type\":\"INTERRUPT\"") != nullptr; }

// It throws an interrupt only while the statement is active, and so has an executor.
extern "C" unsigned char __wrap__ZN6duckdb12BufferedData15ReplenishBufferERNS_17StreamQueryResultERNS_17ClientContextLockE(void *buffer, void *result, void *lock) {
	try {
		return __real__ZN6duckdb12BufferedData15ReplenishBufferERNS_17StreamQueryResultERNS_17ClientContextLockE(buffer, result, lock);
	} catch (const std::exception &e) {
		if (reading && isInterrupt(e)) {
			void *executor = _ZN6duckdb13ClientContext11GetExecutorEv(reading);
			if (_ZN6duckdb8Executor8HasErrorEv(executor)) _ZN6duckdb8Executor14ThrowExceptionEv(executor);
		}
		throw;
	}
}

#else

#include "streamed.h"

extern "C" void *tilehouseReads(void *context) { return nullptr; }

#endif
