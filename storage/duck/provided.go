package duck

/*
#include <stdlib.h>
void tilehouseScanBind(void *info);
void tilehouseScanInit(void *info);
void tilehouseScan(void *info, void *chunk);
void tilehouseScanForget(void *number);
void tilehouseCall(void *info, void *chunk, void *result);
*/
import "C"

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// What a Provider has is read in SQL by the number under which it was provided:
//
//	FROM __rows(number, 'relation')                  its rows; only the columns that the statement reads are copied
//	__call_text(number, 'function', a, b, …)         a value: __call_text, __call_bigint, __call_boolean, __call_texts
//
// A number is drawn at random, so that no statement can name another's.
const (
	RowsFunction    = "__rows"
	TextFunction    = "__call_text"
	BigintFunction  = "__call_bigint"
	BooleanFunction = "__call_boolean"
	TextsFunction   = "__call_texts"
)

// Provider has rows and functions for statements. Its methods are called on DuckDB's threads, several at once, and must not use
// DuckDB.
type Provider interface {
	// Rows are a relation's columns and rows, in chunks of at most 2,048 that are not changed any more.
	Rows(relation string) (names []string, types []vector.Type, rows []*vector.Chunk, err error)
	// Call appends n values of a function to out. args are its arguments, n values each.
	Call(function string, args []*vector.Vector, n int, out *vector.Vector) error
}

var providers sync.Map // Provider by number

// Provide makes p known to statements until release is called. A statement that was planned before keeps what it reads.
func Provide(p Provider) (number int64, release func()) {
	for {
		number = rand.Int64()
		if _, taken := providers.LoadOrStore(number, p); !taken {
			return number, func() { providers.Delete(number) }
		}
	}
}

func providerOf(number int64) (Provider, error) {
	p, ok := providers.Load(number)
	if !ok {
		return nil, &Error{SQLState: "XX000", Message: "the statement's catalog is gone"}
	}
	return p.(Provider), nil
}

// scan is a bound call of RowsFunction.
type scan struct {
	rows  []*vector.Chunk
	texts writer // pins the texts that DuckDB's vectors point to
}

// cursor is where the reading of a scan is.
type cursor struct {
	columns []int
	next    int
}

// kept are the scans and cursors that DuckDB holds, by number: C memory holds no Go pointer.
var kept struct {
	sync.Mutex
	last uint64
	by   map[uint64]any
}

// keep is C memory that stands for x until DuckDB forgets it.
func keep(x any) unsafe.Pointer {
	kept.Lock()
	defer kept.Unlock()
	if kept.by == nil {
		kept.by = map[uint64]any{}
	}
	kept.last++
	kept.by[kept.last] = x
	p := C.malloc(8)
	*(*uint64)(p) = kept.last
	return p
}

func keptAt[T any](p unsafe.Pointer) T {
	kept.Lock()
	defer kept.Unlock()
	return kept.by[*(*uint64)(p)].(T)
}

//export tilehouseScanForget
func tilehouseScanForget(p unsafe.Pointer) {
	kept.Lock()
	defer kept.Unlock()
	number := *(*uint64)(p)
	if s, ok := kept.by[number].(*scan); ok {
		s.texts.release()
	}
	delete(kept.by, number)
	C.free(p)
}

// registerProvided makes the functions known to the engine of c.
func registerProvided(c m.Connection) error {
	text, bigint, boolean, anything := m.CreateLogicalType(m.TypeVarchar), m.CreateLogicalType(m.TypeBigInt), m.CreateLogicalType(m.TypeBoolean), m.CreateLogicalType(m.TypeAny)
	texts := m.CreateListType(text)
	defer func() {
		for _, l := range []*m.LogicalType{&text, &bigint, &boolean, &anything, &texts} {
			m.DestroyLogicalType(l)
		}
	}()
	t := m.CreateTableFunction()
	defer m.DestroyTableFunction(&t)
	m.TableFunctionSetName(t, RowsFunction)
	m.TableFunctionAddParameter(t, bigint)
	m.TableFunctionAddParameter(t, text)
	m.TableFunctionSetBind(t, C.tilehouseScanBind)
	m.TableFunctionSetInit(t, C.tilehouseScanInit)
	m.TableFunctionSetFunction(t, C.tilehouseScan)
	m.TableFunctionSupportsProjectionPushdown(t, true)
	if m.RegisterTableFunction(c, t) == m.StateError {
		return &Error{SQLState: "XX000", Message: "the engine refused the function " + RowsFunction}
	}
	for name, result := range map[string]m.LogicalType{TextFunction: text, BigintFunction: bigint, BooleanFunction: boolean, TextsFunction: texts} {
		f := m.CreateScalarFunction()
		m.ScalarFunctionSetName(f, name)
		m.ScalarFunctionAddParameter(f, bigint)
		m.ScalarFunctionAddParameter(f, text)
		m.ScalarFunctionSetVarargs(f, anything)
		m.ScalarFunctionSetReturnType(f, result)
		m.ScalarFunctionSetSpecialHandling(f) // NULLs are arguments like others
		m.ScalarFunctionSetFunction(f, C.tilehouseCall)
		state := m.RegisterScalarFunction(c, f)
		m.DestroyScalarFunction(&f)
		if state == m.StateError {
			return &Error{SQLState: "XX000", Message: "the engine refused the function " + name}
		}
	}
	return nil
}

//export tilehouseScanBind
func tilehouseScanBind(p unsafe.Pointer) {
	defer called()()
	info := m.BindInfo{Ptr: p}
	if err := bindScan(info); err != nil {
		m.BindSetError(info, err.Error())
	}
}

func bindScan(info m.BindInfo) error {
	number, relation := m.BindGetParameter(info, 0), m.BindGetParameter(info, 1)
	defer m.DestroyValue(&number)
	defer m.DestroyValue(&relation)
	provider, err := providerOf(m.GetInt64(number))
	if err != nil {
		return err
	}
	names, types, rows, err := provider.Rows(m.GetVarchar(relation))
	if err != nil {
		return err
	}
	n := 0
	for _, c := range rows {
		n += c.N
	}
	for i, t := range types {
		l, err := logicalType(t)
		if err != nil {
			return err
		}
		m.BindAddResultColumn(info, names[i], l)
		m.DestroyLogicalType(&l)
	}
	m.BindSetCardinality(info, m.IdxT(n), true)
	m.BindSetBindData(info, keep(&scan{rows: rows}), C.tilehouseScanForget)
	return nil
}

//export tilehouseScanInit
func tilehouseScanInit(p unsafe.Pointer) {
	defer called()()
	info := m.InitInfo{Ptr: p}
	c := &cursor{}
	for i := range m.InitGetColumnCount(info) {
		c.columns = append(c.columns, int(m.InitGetColumnIndex(info, i)))
	}
	m.InitSetMaxThreads(info, 1)
	m.InitSetInitData(info, keep(c), C.tilehouseScanForget)
}

//export tilehouseScan
func tilehouseScan(p, chunk unsafe.Pointer) {
	defer called()()
	info, out := m.FunctionInfo{Ptr: p}, m.DataChunk{Ptr: chunk}
	s, c := keptAt[*scan](m.FunctionGetBindData(info)), keptAt[*cursor](m.FunctionGetInitData(info))
	for c.next < len(s.rows) && s.rows[c.next].N == 0 {
		c.next++
	}
	if c.next >= len(s.rows) {
		m.DataChunkSetSize(out, 0)
		return
	}
	rows := s.rows[c.next]
	c.next++
	for i, column := range c.columns {
		if column >= len(rows.Cols) {
			continue // DuckDB's own number of the row, which nobody reads: it asks for it where it needs no column
		}
		if err := s.texts.write(m.DataChunkGetVector(out, m.IdxT(i)), rows.Cols[column], 0, rows.N); err != nil {
			m.FunctionSetError(info, err.Error())
			return
		}
	}
	m.DataChunkSetSize(out, m.IdxT(rows.N))
}

//export tilehouseCall
func tilehouseCall(p, chunk, result unsafe.Pointer) {
	defer called()()
	info := m.FunctionInfo{Ptr: p}
	if err := call(m.DataChunk{Ptr: chunk}, m.Vector{Ptr: result}); err != nil {
		m.ScalarFunctionSetError(info, raise(err))
	}
}

// call runs a provider's function over a chunk of arguments.
func call(ch m.DataChunk, result m.Vector) (err error) {
	n := int(m.DataChunkGetSize(ch))
	if n == 0 {
		return nil
	}
	defer func() {
		if r := recover(); r != nil { // a panic must not unwind DuckDB's frames
			err = &Error{SQLState: "XX000", Message: fmt.Sprintf("a function of the catalog failed: %v", r)}
		}
	}()
	provider, err := providerOf(values[int64](m.DataChunkGetVector(ch, 0), 0, 1)[0])
	if err != nil {
		return err
	}
	name := string(values[stringT](m.DataChunkGetVector(ch, 1), 0, 1)[0].text())
	var args []*vector.Vector
	for i := m.IdxT(2); i < m.DataChunkGetColumnCount(ch); i++ {
		src := m.DataChunkGetVector(ch, i)
		arg, err := decoded(src, n)
		if err != nil {
			return err
		}
		args = append(args, arg)
	}
	l := m.VectorGetColumnType(result)
	column, err := columnOf(l)
	m.DestroyLogicalType(&l)
	if err != nil {
		return err
	}
	out := vector.New(column.typ, n)
	if err := provider.Call(name, args, n, out); err != nil {
		return err
	}
	return put(result, out)
}

// decoded is a copy of the n values of a vector.
func decoded(src m.Vector, n int) (*vector.Vector, error) {
	l := m.VectorGetColumnType(src)
	column, err := columnOf(l)
	m.DestroyLogicalType(&l)
	if err != nil {
		return nil, err
	}
	column.within(&room{left: maxArguments})
	v := vector.New(column.typ, n)
	return v, column.appendTo(v, src, 0, n)
}

// put writes the values of v into a result, which gets copies of its texts.
func put(result m.Vector, v *vector.Vector) error {
	switch v.Type.Buffer() {
	case vector.BufBytes:
		for i := range v.N {
			m.VectorAssignStringElementLen(result, m.IdxT(i), v.Bytes(i))
		}
	case vector.BufNested:
		elems := v.Child[0]
		if m.ListVectorReserve(result, m.IdxT(elems.N)) == m.StateError || m.ListVectorSetSize(result, m.IdxT(elems.N)) == m.StateError {
			return &Error{SQLState: "53200", Message: "out of memory"}
		}
		out := slots[listEntry](result, v.N)
		for i := range out {
			out[i] = listEntry{offset: uint64(v.Off[i]), length: uint64(v.Off[i+1] - v.Off[i])}
		}
		if err := put(m.ListVectorGetChild(result), elems); err != nil {
			return err
		}
	default:
		return new(writer).write(result, v, 0, v.N)
	}
	if v.HasNulls() {
		new(writer).writeMask(result, v, 0, v.N)
	}
	return nil
}
