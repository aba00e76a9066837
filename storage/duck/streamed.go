package duck

/*
#cgo linux LDFLAGS: -Wl,--wrap=_ZN6duckdb12BufferedData15ReplenishBufferERNS_17StreamQueryResultERNS_17ClientContextLockE
*/
import "C"

import (
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"
)

// Where one of DuckDB's threads fails that computes a statement, it notes its error and interrupts the statement, so that the others end.
// Who reads a result that streams, and is not put in order, looks whether the statement is interrupted before whether one failed, and then reports an
// interrupt that nobody asked for, while the error goes with the statement. So where that call of DuckDB's throws an interrupt, the error that was
// noted first is thrown in its place (streamed.cpp; the linker gives it the call, by --wrap). Of a statement that somebody interrupts, the threads
// note the interrupt.

// contextOf is the address of a connection's client context, which is what the handle that C is given for it holds.
func contextOf(handle m.ClientContext) unsafe.Pointer { return *(*unsafe.Pointer)(handle.Ptr) }
