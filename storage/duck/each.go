package duck

/*
void tilehouseEach(void *info, void *chunk, void *result);
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// eachFunction is the SQL function by which DuckDB's threads hand rows to a running Each: its first argument is the number
// of the call, the others are the row. Its value is 1.
const eachFunction = "__tilehouse_each"

// eaches are the calls of Each that are running: *each by number. A number is drawn at random, so that no statement can name
// another's.
var eaches sync.Map

// each is a running call of Each.
type each struct {
	open func() func(*vector.Chunk) error

	mu       sync.Mutex
	idle     []*taker
	rows     int64
	err      error // of a taker; nothing is taken afterwards
	panicked any   // what a taker panicked with
}

// taker is what one thread at a time takes chunks with.
type taker struct {
	plan  []*column
	chunk vector.Chunk
	take  func(*vector.Chunk) error
}

// Each runs one query and gives its rows to takers, on the threads that DuckDB computes them on: a chunk crosses no queue and
// waits for no other. open makes a taker; DuckDB's threads call it, one at a time, as often as there are threads at work. A
// taker is called by one thread at a time, different ones at the same time, with chunks of 1 to 2,048 rows in no order. A
// chunk belongs to Each and is overwritten by the taker's next call. A taker must not use DuckDB, whose thread it holds. After
// an error, which is returned as it is, no taker is called again. Errors of DuckDB, and the end of ctx, can come after any
// number of chunks.
func (c *Conn) Each(ctx context.Context, sql string, open func() func(*vector.Chunk) error, args ...*vector.Vector) error {
	e := &each{open: open}
	number := rand.Int64()
	for _, taken := eaches.LoadOrStore(number, e); taken; _, taken = eaches.LoadOrStore(number, e) {
		number = rand.Int64()
	}
	defer eaches.Delete(number)
	prefix := fmt.Sprintf("SELECT sum(%s(%d, *COLUMNS(*))) FROM (", eachFunction, number)
	counted, err := c.count(ctx, prefix+sql+")", args)
	e.mu.Lock()
	defer e.mu.Unlock()
	var duckErr *Error
	switch {
	case e.panicked != nil:
		panic(e.panicked)
	case e.err != nil:
		return e.err
	case errors.As(err, &duckErr) && duckErr.Position > len(prefix):
		duckErr.Position -= len(prefix)
	case err == nil && counted != e.rows:
		return &Error{SQLState: "XX000", Message: fmt.Sprintf("the engine computed %d rows but gave %d", counted, e.rows)}
	}
	return err
}

// count is the value of a query of one sum of small integers.
func (c *Conn) count(ctx context.Context, sql string, args []*vector.Vector) (n int64, err error) {
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for {
		ch, err := rows.Next() // to the end: DuckDB keeps a query open that is not read to it
		if err != nil || ch == nil {
			return n, err
		}
		n = int64(ch.Cols[0].I128[0].LowBits()) // 0 where the sum is NULL
	}
}

// registerEach makes eachFunction known to the engine.
func (c *Conn) registerEach() error {
	f := m.CreateScalarFunction()
	defer m.DestroyScalarFunction(&f)
	for t, set := range map[m.Type]func(m.ScalarFunction, m.LogicalType){
		m.TypeBigInt: m.ScalarFunctionAddParameter, m.TypeAny: m.ScalarFunctionSetVarargs, m.TypeUTinyInt: m.ScalarFunctionSetReturnType,
	} {
		l := m.CreateLogicalType(t)
		set(f, l)
		m.DestroyLogicalType(&l)
	}
	m.ScalarFunctionSetName(f, eachFunction)
	m.ScalarFunctionSetVolatile(f)        // it is called for every row, and only where it stands
	m.ScalarFunctionSetSpecialHandling(f) // NULLs are arguments like others
	m.ScalarFunctionSetFunction(f, unsafe.Pointer(C.tilehouseEach))
	if m.RegisterScalarFunction(c.c, f) == m.StateError {
		return &Error{SQLState: "XX000", Message: "the engine refused a function"}
	}
	return nil
}

// tilehouseEach is eachFunction. DuckDB calls it on any of its threads; all its vectors are flat.
//
//export tilehouseEach
func tilehouseEach(info, chunk, result unsafe.Pointer) {
	defer called()()
	ch := m.DataChunk{Ptr: chunk}
	n := int(m.DataChunkGetSize(ch))
	if n == 0 {
		return
	}
	number := values[int64](m.DataChunkGetVector(ch, 0), 0, 1)[0]
	e, ok := eaches.Load(number)
	if !ok {
		m.ScalarFunctionSetError(m.FunctionInfo{Ptr: info}, "function "+eachFunction+" is not for statements")
		return
	}
	if err := e.(*each).give(ch, n); err != nil {
		m.ScalarFunctionSetError(m.FunctionInfo{Ptr: info}, err.Error())
		return
	}
	ones := values[uint8](m.Vector{Ptr: result}, 0, n)
	for i := range ones {
		ones[i] = 1
	}
}

// give hands the rows that follow the number in a chunk's columns to a taker. A panic must not unwind DuckDB's frames: it goes
// on in Each.
func (e *each) give(ch m.DataChunk, n int) (err error) {
	var t *taker
	returned := false
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		switch {
		case !returned:
			e.panicked = recover()
			err = errors.New("a taker panicked")
			fallthrough
		case err != nil:
			if e.err == nil {
				e.err = err
			}
		default:
			e.rows += int64(n)
			e.idle = append(e.idle, t)
		}
	}()
	if t, err = e.taker(ch); err == nil {
		err = t.give(ch, n)
	}
	returned = true
	return err
}

func (t *taker) give(ch m.DataChunk, n int) error {
	t.chunk.Reset()
	t.chunk.N = n
	for i, col := range t.plan {
		if err := col.appendTo(t.chunk.Cols[i], m.DataChunkGetVector(ch, m.IdxT(i+1)), 0, n); err != nil {
			return err
		}
	}
	return t.take(&t.chunk)
}

// taker is a taker that no other thread has, made for the columns of ch where all are at work.
func (e *each) taker(ch m.DataChunk) (*taker, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return nil, e.err
	}
	if k := len(e.idle); k > 0 {
		t := e.idle[k-1]
		e.idle = e.idle[:k-1]
		return t, nil
	}
	t := &taker{}
	for i := 1; i < int(m.DataChunkGetColumnCount(ch)); i++ {
		l := m.VectorGetColumnType(m.DataChunkGetVector(ch, m.IdxT(i)))
		col, err := columnOf(l)
		m.DestroyLogicalType(&l)
		if err != nil {
			return nil, err
		}
		t.plan = append(t.plan, col)
		t.chunk.Cols = append(t.chunk.Cols, vector.New(col.typ, 0))
	}
	t.take = e.open()
	return t, nil
}
