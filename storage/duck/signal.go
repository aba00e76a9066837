package duck

/*
void tilehouseSignal(void *info, void *chunk, void *out);
*/
import "C"

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// SignalFunction is the name of the function that ends what another session runs: (receiver, process id, whether the session ends,
// too) → whether there was one. It is called for each row of a statement.
const SignalFunction = "__signal"

// receivers are the functions that calls of SignalFunction reach, by number.
var (
	receivers    sync.Map // int64 → func(pid int64, terminate bool) bool
	lastReceiver atomic.Int64
)

// Receive makes f what SignalFunction calls for the receiver returned, until forget is called.
func Receive(f func(pid int64, terminate bool) bool) (receiver int64, forget func()) {
	n := lastReceiver.Add(1)
	receivers.Store(n, f)
	return n, func() { receivers.Delete(n) }
}

func registerSignal(c m.Connection) error {
	f := m.CreateScalarFunction()
	defer m.DestroyScalarFunction(&f)
	m.ScalarFunctionSetName(f, SignalFunction)
	for _, t := range []m.Type{m.TypeBigInt, m.TypeBigInt, m.TypeBoolean} {
		l := m.CreateLogicalType(t)
		m.ScalarFunctionAddParameter(f, l)
		m.DestroyLogicalType(&l)
	}
	result := m.CreateLogicalType(m.TypeBoolean)
	defer m.DestroyLogicalType(&result)
	m.ScalarFunctionSetReturnType(f, result)
	m.ScalarFunctionSetFunction(f, C.tilehouseSignal)
	m.ScalarFunctionSetVolatile(f)
	if m.RegisterScalarFunction(c, f) == m.StateError {
		return &Error{SQLState: "XX000", Message: "the engine refused the function " + SignalFunction}
	}
	return nil
}

//export tilehouseSignal
func tilehouseSignal(info, chunk, out unsafe.Pointer) {
	if err := signalChunk(m.DataChunk{Ptr: chunk}, m.Vector{Ptr: out}); err != nil {
		m.ScalarFunctionSetError(m.FunctionInfo{Ptr: info}, err.Error())
	}
}

func signalChunk(chunk m.DataChunk, out m.Vector) error {
	n := int(m.DataChunkGetSize(chunk))
	var args [3]*vector.Vector
	for i := range args {
		src := m.DataChunkGetVector(chunk, m.IdxT(i))
		l := m.VectorGetColumnType(src)
		c, err := columnOf(l)
		m.DestroyLogicalType(&l)
		if err != nil {
			return err
		}
		args[i] = vector.New(c.typ, n)
		if err := c.appendTo(args[i], src, 0, n); err != nil {
			return err
		}
	}
	result := vector.New(vector.T(vector.Bool), n)
	for i := range n {
		f, ok := receivers.Load(args[0].I64[i])
		if !ok {
			return fmt.Errorf("no receiver %s", strconv.FormatInt(args[0].I64[i], 10))
		}
		if args[1].IsNull(i) {
			result.AppendNull()
			continue
		}
		result.AppendBool(f.(func(int64, bool) bool)(args[1].I64[i], args[2].Bool(i)))
	}
	var w writer
	defer w.release()
	return w.write(out, result, 0, n)
}
