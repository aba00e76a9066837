package duck

/*
void tilehouseSequence(void *info, void *chunk, void *result);
*/
import "C"

import (
	"math/rand/v2"
	"sync"
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"
)

// SequenceFunction is the SQL function by which a statement calls its session's Sequences: its arguments are the number that
// RegisterSequences gave, the call, the sequence's id, a value and a flag; its result is a bigint. It is volatile: it is called
// once for each row.
const SequenceFunction = "__tilehouse_sequence"

// Sequences answers calls on sequences. It is called on DuckDB's threads, by several at once, and must not use DuckDB. The
// error's text is what the statement fails with.
type Sequences func(call, id, value int64, flag bool) (int64, error)

var sequencers sync.Map // Sequences by number

// RegisterSequences makes f known by a number, which no statement can guess, until forget is called.
func RegisterSequences(f Sequences) (number int64, forget func()) {
	number = rand.Int64()
	for _, taken := sequencers.LoadOrStore(number, f); taken; _, taken = sequencers.LoadOrStore(number, f) {
		number = rand.Int64()
	}
	return number, func() { sequencers.Delete(number) }
}

// registerSequences makes SequenceFunction known to the engine of c.
func registerSequences(c m.Connection) error {
	f := m.CreateScalarFunction()
	defer m.DestroyScalarFunction(&f)
	m.ScalarFunctionSetName(f, SequenceFunction)
	number, truth := m.CreateLogicalType(m.TypeBigInt), m.CreateLogicalType(m.TypeBoolean)
	defer m.DestroyLogicalType(&number)
	defer m.DestroyLogicalType(&truth)
	for range 4 {
		m.ScalarFunctionAddParameter(f, number)
	}
	m.ScalarFunctionAddParameter(f, truth)
	m.ScalarFunctionSetReturnType(f, number)
	m.ScalarFunctionSetVolatile(f)
	m.ScalarFunctionSetFunction(f, C.tilehouseSequence)
	if m.RegisterScalarFunction(c, f) == m.StateError {
		return &Error{SQLState: "XX000", Message: "the engine refused the function " + SequenceFunction}
	}
	return nil
}

//export tilehouseSequence
func tilehouseSequence(info, chunkPtr, outPtr unsafe.Pointer) {
	defer called()()
	chunk := m.DataChunk{Ptr: chunkPtr}
	n := int(m.DataChunkGetSize(chunk))
	var numbers [4][]int64
	for i := range numbers {
		numbers[i] = unsafe.Slice((*int64)(m.VectorGetData(m.DataChunkGetVector(chunk, m.IdxT(i)))), n)
	}
	flags := unsafe.Slice((*bool)(m.VectorGetData(m.DataChunkGetVector(chunk, 4))), n)
	out := unsafe.Slice((*int64)(m.VectorGetData(m.Vector{Ptr: outPtr})), n)
	for i := range n {
		f, ok := sequencers.Load(numbers[0][i])
		if !ok {
			m.ScalarFunctionSetError(m.FunctionInfo{Ptr: info}, "tilehouse 42501: permission denied for function "+SequenceFunction)
			return
		}
		v, err := f.(Sequences)(numbers[1][i], numbers[2][i], numbers[3][i], flags[i])
		if err != nil {
			m.ScalarFunctionSetError(m.FunctionInfo{Ptr: info}, err.Error())
			return
		}
		out[i] = v
	}
}
