package duck

/*
#cgo CFLAGS: -fexceptions
#cgo linux LDFLAGS: -Wl,--wrap=duckdb_je_malloc -Wl,--wrap=duckdb_je_realloc -Wl,--wrap=_ZN6duckdb18TransactionContext6CommitEv
#include <stdlib.h>
#include "bound.h"
#include "streamed.h"

// duckdb.h is not to be had here: these are its types and functions.
typedef struct {
	unsigned long long a, b, c;
	void *columns;
	char *message;
	void *internal;
} tilehouseResult;
typedef void *duckdb_task_state;

extern void *duckdb_fetch_chunk(tilehouseResult);
extern int duckdb_prepare(void *, const char *, void **);
extern int duckdb_execute_prepared(void *, tilehouseResult *);
extern int duckdb_execute_prepared_streaming(void *, tilehouseResult *);
extern void duckdb_execute_tasks_state(duckdb_task_state);

static void *tilehouseFetch(tilehouseResult of, void *context) {
	int before = tilehouseDoes(TILEHOUSE_CALLS);
	void *read = tilehouseReads(context);
	void *chunk = duckdb_fetch_chunk(of);
	tilehouseReads(read);
	tilehouseDoes(before);
	return chunk;
}

static int tilehousePrepare(void *conn, const char *sql, void **out) {
	int before = tilehouseDoes(TILEHOUSE_CALLS);
	int state = duckdb_prepare(conn, sql, out);
	tilehouseDoes(before);
	return state;
}

static int tilehouseExecute(void *prepared, tilehouseResult *out, int streams) {
	int before = tilehouseDoes(TILEHOUSE_CALLS);
	int state = streams ? duckdb_execute_prepared_streaming(prepared, out) : duckdb_execute_prepared(prepared, out);
	tilehouseDoes(before);
	return state;
}

static void tilehouseExecuteTasks(duckdb_task_state state) {
	int before = tilehouseDoes(TILEHOUSE_EXECUTES);
	duckdb_execute_tasks_state(state);
	tilehouseDoes(before);
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
// refused blocks of a text's size and more once DuckDB's allocator has given out what its limit and beside allow (bound.c). DuckDB makes of that an
// error of the statement (53200). It is not refused in commits, which could not give up without harm, and in its calls by functions of
// ours, which ask before (noRoom), since nothing catches there what DuckDB throws.

// tooMuchText is the message of the refusal.
const tooMuchText = "out of memory: the texts that the statement computes with take too much"

// fewerTexts is what helps.
const fewerTexts = "Show fewer columns of them or shorter ones, such as left(x, 1000), read fewer rows at once, or raise --memory-limit."

// beside is how many bytes DuckDB may take beside its limit before what computes rows is refused more.
const beside = 128 << 20

// limits are those of the databases of the process together: they share an allocator.
var limits struct {
	sync.Mutex
	sum int64
}

// limited adds to the limits that of a database that is opened, or takes away that of one that is closed.
func limited(more int64) {
	limits.Lock()
	defer limits.Unlock()
	bound := int64(0)
	if limits.sum += more; limits.sum > 0 {
		bound = limits.sum + beside
	}
	setBound(bound)
}

func setBound(bytes int64) { C.tilehouseBoundTo(C.longlong(bytes)) }

// executeTasks has a thread of DuckDB's do what there is to do.
func executeTasks(state unsafe.Pointer) { C.tilehouseExecuteTasks(C.duckdb_task_state(state)) }

// A result is what it is in C.
var _ [unsafe.Sizeof(C.tilehouseResult{})]byte = [unsafe.Sizeof(m.Result{})]byte{}

// fetch, prepare and compute are what the binding's functions of these names are, for what may be refused memory.
func fetch(r *m.Result, context unsafe.Pointer) m.DataChunk {
	return m.DataChunk{Ptr: C.tilehouseFetch(*(*C.tilehouseResult)(unsafe.Pointer(r)), context)}
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

// called is the beginning of a function of ours, on the thread that computes rows; the function that it returns is its end.
func called() (ended func()) {
	before := C.tilehouseDoes(C.TILEHOUSE_OTHER)
	return func() { C.tilehouseDoes(before) }
}

// noRoom is the error where what computes rows may not have so many bytes of text more.
func noRoom(n int) error {
	if n < C.TILEHOUSE_LONG || !C.tilehouseNoRoom(C.size_t(n)) {
		return nil
	}
	return &Error{SQLState: "53200", Message: tooMuchText, Hint: fewerTexts}
}
