package duck

/*
#include <stdlib.h>
void tilehouseBind(void *info);
void *tilehouseShared(void *data);
*/
import "C"

import (
	"sync/atomic"
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"
)

// DuckDB looks for an interrupt between two chunks of rows, and not while a function of ours computes one. So that such a function
// ends with its statement, it is told of its connection: DuckDB binds a call with the address of the connection's interruption, which
// is the same of all calls, since DuckDB compares calls by that address.

// interruption says whether a connection's running statement is to end. It lies in C's memory, since DuckDB holds its address.
type interruption struct {
	ended atomic.Int32
	// planning says that a statement is planned, planned how many bytes functions may still make of its constants.
	planning atomic.Int32
	planned  atomic.Int64
}

// maxPlanned is how many bytes functions may make of the constants of a statement that is planned. What DuckDB computes then counts for
// no limit of its own; what is refused it computes when it runs the statement.
const maxPlanned = MaxBatchText / 2

// plan makes call, which plans a statement.
func (i *interruption) plan(call func()) {
	i.planned.Store(maxPlanned)
	i.planning.Store(1)
	call()
	i.planning.Store(0)
}

// mayPlan reports whether a function may make something now, and spend notes that it has.
func (i *interruption) mayPlan() bool { return !i.isPlanning() || i.planned.Load() > 0 }

// isPlanning reports whether the statement is planned, and what is computed is a constant.
func (i *interruption) isPlanning() bool { return i != nil && i.planning.Load() != 0 }

func (i *interruption) spend(n int) {
	if i.isPlanning() {
		i.planned.Add(int64(-n))
	}
}

// newInterruption makes a connection's, whose client context is at context; forget frees it when the connection is closed.
func (db *DB) newInterruption(c m.Connection) (i *interruption, context unsafe.Pointer, forget func()) {
	i = (*interruption)(C.calloc(1, C.size_t(unsafe.Sizeof(interruption{}))))
	var ctx m.ClientContext
	m.ConnectionGetClientContext(c, &ctx)
	id := m.ClientContextGetConnectionId(ctx)
	context = contextOf(ctx)
	m.DestroyClientContext(&ctx)
	db.interruptions.Store(id, i)
	return i, context, func() {
		db.interruptions.Delete(id)
		C.free(unsafe.Pointer(i))
	}
}

// told reports whether the statement is to end. Of a call that no connection of ours bound, it is not.
func (i *interruption) told() bool { return i != nil && i.ended.Load() != 0 }

// interrupted is the error of a function whose statement is to end.
func interrupted() error {
	return &Error{Type: "INTERRUPT", SQLState: "57014", Message: "canceling statement due to user request"}
}

//export tilehouseBind
func tilehouseBind(info unsafe.Pointer) {
	bind := m.BindInfo{Ptr: info}
	var ctx m.ClientContext
	m.ScalarFunctionGetClientContext(bind, &ctx)
	id := m.ClientContextGetConnectionId(ctx)
	m.DestroyClientContext(&ctx)
	if i, ok := scalarOf(m.ScalarFunctionBindGetExtraInfo(bind)).db.interruptions.Load(id); ok {
		m.ScalarFunctionSetBindData(bind, unsafe.Pointer(i.(*interruption)), nil)
		m.ScalarFunctionSetBindDataCopy(bind, C.tilehouseShared)
	}
}

// tilehouseShared copies bind data: it is the connection's.
//
//export tilehouseShared
func tilehouseShared(data unsafe.Pointer) unsafe.Pointer { return data }
