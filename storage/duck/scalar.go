package duck

/*
#include <stdlib.h>
void tilehouseScalar(void *info, void *chunk, void *out);
void tilehouseBind(void *info);
*/
import "C"

import (
	"fmt"
	"runtime/debug"
	"sync"
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Scalar is a function of ours that SQL may call.
type Scalar struct {
	Name string
	// Params are the types of the arguments; Invalid takes any type, which Run finds in the vectors. Result is the value's type.
	Params []vector.Type
	Result vector.Type
	// Nulls: Run sees NULL arguments; else the result of one is NULL and Run is not called for it.
	Nulls bool
	// Volatile functions are not folded, nor computed once for equal arguments.
	Volatile bool
	// Run appends to out the value for row i of args. It is called on several threads at once. An error must be an *Error, whose
	// SQLSTATE and message the client sees. What it makes of a batch of rows is refused beyond MaxBatchText; where a single value may take
	// long, or more than that, it says what it does to c.
	Run func(c *Call, args []*vector.Vector, i int, out *vector.Vector) error
}

// maxFixedBytes is what a value takes beside its text, at most.
const maxFixedBytes = 64

// scalars are the functions that were registered, by their numbers, each with its engine.
var scalars struct {
	sync.RWMutex
	list []registered
}

type registered struct {
	*Scalar
	db *DB
}

// scalarOf is the function that DuckDB means: number is what it keeps of the function.
func scalarOf(number unsafe.Pointer) registered {
	scalars.RLock()
	defer scalars.RUnlock()
	return scalars.list[*(*uint64)(number)]
}

// registerScalar makes a function known to the engine of c.
func registerScalar(c *Conn, s Scalar) error {
	scalars.Lock()
	number := len(scalars.list)
	scalars.list = append(scalars.list, registered{Scalar: &s, db: c.db})
	scalars.Unlock()
	f := m.CreateScalarFunction()
	defer m.DestroyScalarFunction(&f)
	m.ScalarFunctionSetName(f, s.Name)
	for _, p := range s.Params {
		l := m.CreateLogicalType(m.TypeAny)
		if p.Kind != vector.Invalid {
			m.DestroyLogicalType(&l)
			var err error
			if l, err = logicalType(p); err != nil {
				return err
			}
		}
		m.ScalarFunctionAddParameter(f, l)
		m.DestroyLogicalType(&l)
	}
	result, err := logicalType(s.Result)
	if err != nil {
		return err
	}
	m.ScalarFunctionSetReturnType(f, result)
	m.DestroyLogicalType(&result)
	m.ScalarFunctionSetSpecialHandling(f)
	if s.Volatile {
		m.ScalarFunctionSetVolatile(f)
	}
	id := C.malloc(8)
	*(*uint64)(id) = uint64(number)
	m.ScalarFunctionSetExtraInfo(f, id, C.free)
	m.ScalarFunctionSetBind(f, C.tilehouseBind)
	m.ScalarFunctionSetFunction(f, C.tilehouseScalar)
	if m.RegisterScalarFunction(c.c, f) == m.StateError {
		return &Error{SQLState: "XX000", Message: "the engine refused the function " + s.Name}
	}
	return nil
}

//export tilehouseScalar
func tilehouseScalar(info, chunk, out unsafe.Pointer) {
	defer called()()
	i := m.FunctionInfo{Ptr: info}
	s := scalarOf(m.ScalarFunctionGetExtraInfo(i))
	on := (*interruption)(m.ScalarFunctionGetBindData(i))
	c := &Call{on: on, db: s.db}
	if err := s.chunk(c, m.DataChunk{Ptr: chunk}, m.Vector{Ptr: out}); err != nil {
		m.ScalarFunctionSetError(i, raise(err))
	}
	c.end()
}

// raise is the text of an error of a function's, from which ourError makes the error again.
func raise(err error) string {
	e, ok := err.(*Error)
	if !ok {
		return err.Error()
	}
	text := fmt.Sprintf("tilehouse %s: %s", e.SQLState, e.Message)
	if e.Detail != "" {
		text += detailMark + e.Detail
	}
	if e.Hint != "" {
		text += hintMark + e.Hint
	}
	return text
}

// The marks that part message, detail and hint in an error's text.
const (
	detailMark = "\x1edetail\x1e"
	hintMark   = "\x1ehint\x1e"
)

func (s *Scalar) chunk(c *Call, chunk m.DataChunk, out m.Vector) (err error) {
	defer func() {
		c.took, c.result = c.took+memBytes(c.result), nil
		r := recover()
		if left, ok := r.(stop); ok {
			err = left.err
		} else if r != nil {
			err = &Error{SQLState: "XX000", Message: fmt.Sprintf("function %s failed: %v\n%s", s.Name, r, debug.Stack())}
		}
	}()
	n := int(m.DataChunkGetSize(chunk))
	if !c.on.mayPlan() {
		return &Error{SQLState: "54000", Message: "the constants of the statement take too much"}
	}
	cols := make([]*column, len(s.Params))
	for k := range cols {
		l := m.VectorGetColumnType(m.DataChunkGetVector(chunk, m.IdxT(k)))
		cols[k], err = columnOf(l)
		m.DestroyLogicalType(&l)
		if err != nil {
			return err
		}
	}
	result := vector.New(s.Result, n)
	c.result, c.most = result, MaxBatchText+n*maxFixedBytes
	for from, step := 0, 0; from < n; from += step {
		var args []*vector.Vector
		fresh := func() []*vector.Vector {
			args = make([]*vector.Vector, len(cols))
			for k, c := range cols {
				args[k] = vector.New(c.typ, 0)
			}
			return args
		}
		src := func(k int) m.Vector { return m.DataChunkGetVector(chunk, m.IdxT(k)) }
		if step, err = appendRows(cols, &room{most: maxArguments, call: c}, fresh, src, from, n-from); err != nil {
			return err
		}
		for _, a := range args {
			c.took += a.MemBytes()
		}
		if err := s.rows(c, args, step, result); err != nil {
			return err
		}
	}
	c.on.spend(result.MemBytes())
	if err := noRoom(result.MemBytes()); err != nil {
		return err
	}
	w := writer{call: c}
	// DuckDB reads the strings after this returns, so that they are copied into its own memory.
	defer w.release()
	return w.copyInto(out, result, n)
}

func memBytes(v *vector.Vector) int {
	if v == nil {
		return 0
	}
	return v.MemBytes()
}

// rows appends the values for n rows of args to result.
func (s *Scalar) rows(c *Call, args []*vector.Vector, n int, result *vector.Vector) error {
rows:
	for i := range n {
		if !s.Nulls {
			for _, a := range args {
				if a.IsNull(i) {
					result.AppendNull()
					continue rows
				}
			}
		}
		if c.on.told() {
			return interrupted()
		}
		held := c.held
		if err := s.Run(c, args, i, result); err != nil {
			return err
		}
		c.took += c.held - held
		c.held = held
		if err := c.check(); err != nil {
			return err
		}
	}
	return nil
}

// copyInto is write for a vector that outlives this call: strings are copied into DuckDB's heap.
func (w *writer) copyInto(dst m.Vector, v *vector.Vector, n int) error {
	switch {
	case v.Type.Buffer() == vector.BufBytes && v.Type.Kind != vector.UUID && v.Type.Kind != vector.Interval:
		if v.Type.Kind == vector.Text || v.Type.Kind == vector.JSON {
			if err := checkText(v, 0, n); err != nil {
				return err
			}
		}
		if v.HasNulls() {
			w.writeMask(dst, v, 0, n)
		}
		out := slots[stringT](dst, n)
		for i := range n {
			b := v.Bytes(i)
			w.call.Work(workPerText + len(b))
			switch {
			case v.IsNull(i):
			case len(b) <= inlineBytes:
				out[i] = stringT{}
				out[i][0] = byte(len(b))
				copy(out[i][4:], b)
			default:
				assignBytes(dst, i, b)
			}
		}
		return nil
	case v.Type.Kind == vector.List:
		if v.HasNulls() {
			w.writeMask(dst, v, 0, n)
		}
		end := v.Off[n]
		if m.ListVectorReserve(dst, m.IdxT(end)) == m.StateError || m.ListVectorSetSize(dst, m.IdxT(end)) == m.StateError {
			return &Error{SQLState: "53200", Message: fmt.Sprintf("out of memory for a list of %d elements", end)}
		}
		out := slots[listEntry](dst, n)
		for i := range out {
			out[i] = listEntry{offset: uint64(v.Off[i]), length: uint64(v.Off[i+1] - v.Off[i])}
		}
		return w.copyInto(m.ListVectorGetChild(dst), v.Child[0], int(end))
	}
	return w.write(dst, v, 0, n)
}

// workPerText is the work of giving DuckDB a text, beside that of its bytes.
const workPerText = 64

func assignBytes(dst m.Vector, i int, b []byte) {
	m.VectorAssignStringElementLen(dst, m.IdxT(i), b)
}
