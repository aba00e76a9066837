package duck

/*
void tilehouseFitsNumber(void *info, void *chunk, void *out);
void tilehouseFitsText(void *info, void *chunk, void *out);
*/
import "C"

import (
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// A function that makes a long text of a short one builds it for a whole batch of rows before anything can interrupt it, and
// DuckDB counts such texts in no limit. So what says how long it gets goes through a function of ours first, which refuses a
// batch that would be too large:
//
//	__fits(n, bytes)          n, a BIGINT; n times bytes, a DOUBLE, is what the row will take
//	__fits_text(t, copies)    t, a text; its length times copies, a DOUBLE, is what the row will take
//
// Both are functions of their arguments, so that DuckDB also asks them when it folds a call of constants.

// MaxBatchText is how many bytes of text a function may make of a batch of rows.
const MaxBatchText = 64 << 20

// The names of the functions.
const (
	FitsFunction     = "__fits"
	FitsTextFunction = "__fits_text"
)

// tooLong is in the message of the error that they raise.
const tooLong = "tilehouse 54000: requested length too large"

func registerFits(c m.Connection) error {
	register := func(name string, value m.Type, run unsafe.Pointer) error {
		f := m.CreateScalarFunction()
		defer m.DestroyScalarFunction(&f)
		m.ScalarFunctionSetName(f, name)
		t, d := m.CreateLogicalType(value), m.CreateLogicalType(m.TypeDouble)
		defer m.DestroyLogicalType(&t)
		defer m.DestroyLogicalType(&d)
		m.ScalarFunctionAddParameter(f, t)
		m.ScalarFunctionAddParameter(f, d)
		m.ScalarFunctionSetReturnType(f, t)
		m.ScalarFunctionSetSpecialHandling(f) // a NULL has no length
		m.ScalarFunctionSetFunction(f, run)
		if m.RegisterScalarFunction(c, f) == m.StateError {
			return &Error{SQLState: "XX000", Message: "the engine refused the function " + name}
		}
		return nil
	}
	if err := register(FitsFunction, m.TypeBigInt, C.tilehouseFitsNumber); err != nil {
		return err
	}
	return register(FitsTextFunction, m.TypeVarchar, C.tilehouseFitsText)
}

//export tilehouseFitsNumber
func tilehouseFitsNumber(info, chunk, out unsafe.Pointer) { fits(info, chunk, out) }

//export tilehouseFitsText
func tilehouseFitsText(info, chunk, out unsafe.Pointer) { fits(info, chunk, out) }

func fits(info, chunk, out unsafe.Pointer) {
	defer called()()
	if err := fitsChunk(m.DataChunk{Ptr: chunk}, m.Vector{Ptr: out}); err != nil {
		m.ScalarFunctionSetError(m.FunctionInfo{Ptr: info}, err.Error())
	}
}

func fitsChunk(chunk m.DataChunk, out m.Vector) error {
	sides, n, err := arguments(chunk)
	if err != nil {
		return err
	}
	total := 0.0
	for i := range n {
		if sides[0].IsNull(i) || sides[1].IsNull(i) {
			continue
		}
		size := sides[1].F64[i]
		if sides[0].Type.Kind == vector.Int64 {
			size *= float64(sides[0].I64[i])
		} else {
			size *= float64(len(sides[0].Bytes(i)))
		}
		total += max(size, 0)
	}
	if total > MaxBatchText {
		return &Error{SQLState: "54000", Message: tooLong}
	}
	var w writer
	defer w.release()
	return w.write(out, sides[0], 0, n)
}
