package duck

/*
void tilehouseDivide(void *info, void *chunk, void *out);
void tilehouseDivisionTypes(void *info);
void tilehouseNeverRun(void *info, void *chunk, void *out);
*/
import "C"

import (
	"context"
	"fmt"
	"math/big"
	"math/bits"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Division of decimals is a function of ours in every engine: DuckDB divides them as doubles.
//
//	__divide_S(a, b)   a and b DECIMAL or whole numbers; DECIMAL(38, S), rounded half away from zero; errors 22012, 22003
//
// What is divided is known only when DuckDB has bound a statement, and the function's name depends on it. Conn.DivisionTypes
// asks for it: it plans a statement in which __division_types('token', 'i', a, b) stands for the i-th division, whose binding
// notes the types of a and b.

// DivisionByZero is in the message of the error that a division by zero raises, NumericOverflow in that of a result too large.
const (
	DivisionByZero  = "tilehouse 22012: division by zero"
	NumericOverflow = "tilehouse 22003: numeric field overflow" + hintMark + "A quotient of decimals has 38 digits in all."
)

// LeastDivisionScale is the least number of digits after the point of a quotient of decimals, that of PostgreSQL's averages.
const LeastDivisionScale = 16

// DividePrefix begins the names of the functions that divide.
const DividePrefix = "__divide_"

// DivideFunction is the name of the function that divides decimals to the scale of a quotient: 16 to 38.
func DivideFunction(scale uint8) string { return fmt.Sprintf("%s%d", DividePrefix, scale) }

// TypesFunction is the name of the function that notes what is divided.
const TypesFunction = "__division_types"

// DivisionTypes are the types of what a division divides; Invalid where they depend on parameters.
type DivisionTypes struct{ Left, Right vector.Type }

// Quotient is the type of the quotient: of decimals numeric(38, s) with the greater scale of both sides, at least
// LeastDivisionScale; of whole numbers the wider of both; double precision otherwise.
func (t DivisionTypes) Quotient() vector.Type {
	whole := func(k vector.Kind) bool { return k == vector.Int16 || k == vector.Int32 || k == vector.Int64 }
	l, r := t.Left, t.Right
	switch {
	case l.Kind == vector.Float64 || r.Kind == vector.Float64 || l.Kind == vector.Float32 || r.Kind == vector.Float32:
	case l.Kind == vector.Decimal || r.Kind == vector.Decimal:
		return vector.DecimalOf(38, max(l.Scale, r.Scale, LeastDivisionScale))
	case l.Kind == vector.Interval:
		return l
	case whole(l.Kind) && whole(r.Kind):
		return vector.T(max(l.Kind, r.Kind))
	}
	return vector.T(vector.Float64)
}

// asked are the answers to the DivisionTypes that run now, by token.
var asked sync.Map

var lastToken atomic.Uint64

type answers struct {
	mu    sync.Mutex
	types map[int]DivisionTypes
}

// NewToken is a token for DivisionTypes, unlike all others of this process.
func NewToken() string { return strconv.FormatUint(lastToken.Add(1), 10) }

// DivisionTypes plans a statement that asks with a token, and returns the types of its divisions by their numbers. A
// statement that cannot be planned has those that DuckDB bound before it failed.
func (c *Conn) DivisionTypes(ctx context.Context, sql, token string) (map[int]DivisionTypes, error) {
	a := &answers{types: map[int]DivisionTypes{}}
	asked.Store(token, a)
	defer asked.Delete(token)
	if st, err := c.Prepare(ctx, sql); err == nil {
		st.Close()
	} else if SQLState(err) == "55006" || ctx.Err() != nil {
		return nil, err
	}
	return a.types, nil
}

// registerDivision makes the functions known to the engine of c.
func registerDivision(c m.Connection) error {
	anything := m.CreateLogicalType(m.TypeAny)
	defer m.DestroyLogicalType(&anything)
	register := func(name string, params int, result m.LogicalType, run, bind unsafe.Pointer) error {
		defer m.DestroyLogicalType(&result)
		f := m.CreateScalarFunction()
		defer m.DestroyScalarFunction(&f)
		m.ScalarFunctionSetName(f, name)
		for range params {
			m.ScalarFunctionAddParameter(f, anything)
		}
		m.ScalarFunctionSetReturnType(f, result)
		m.ScalarFunctionSetFunction(f, run)
		m.ScalarFunctionSetSpecialHandling(f) // or DuckDB would put a NULL without a type for a call with one
		if bind != nil {
			m.ScalarFunctionSetBind(f, bind)
			m.ScalarFunctionSetVolatile(f) // or DuckDB would run it on constants
		}
		if m.RegisterScalarFunction(c, f) == m.StateError {
			return &Error{SQLState: "XX000", Message: "the engine refused the function " + name}
		}
		return nil
	}
	for s := uint8(LeastDivisionScale); s <= 38; s++ {
		if err := register(DivideFunction(s), 2, m.CreateDecimalType(38, s), C.tilehouseDivide, nil); err != nil {
			return err
		}
	}
	return register(TypesFunction, 4, m.CreateLogicalType(m.TypeDouble), C.tilehouseNeverRun, C.tilehouseDivisionTypes)
}

//export tilehouseNeverRun
func tilehouseNeverRun(info, chunk, out unsafe.Pointer) {
	m.ScalarFunctionSetError(m.FunctionInfo{Ptr: info}, TypesFunction+" is only planned")
}

//export tilehouseDivisionTypes
func tilehouseDivisionTypes(ptr unsafe.Pointer) {
	info := m.BindInfo{Ptr: ptr}
	if m.ScalarFunctionBindGetArgumentCount(info) != 4 {
		return
	}
	a, ok := asked.Load(constantArgument(info, 0))
	if !ok {
		return
	}
	number, err := strconv.Atoi(constantArgument(info, 1))
	if err != nil {
		return
	}
	answer := a.(*answers)
	answer.mu.Lock()
	defer answer.mu.Unlock()
	answer.types[number] = DivisionTypes{argumentType(info, 2), argumentType(info, 3)}
}

// constantArgument is an argument that is a literal text, "" where it is none.
func constantArgument(info m.BindInfo, i int) string {
	e := m.ScalarFunctionBindGetArgument(info, m.IdxT(i))
	defer m.DestroyExpression(&e)
	if !m.ExpressionIsFoldable(e) {
		return ""
	}
	var ctx m.ClientContext
	m.ScalarFunctionGetClientContext(info, &ctx)
	defer m.DestroyClientContext(&ctx)
	var v m.Value
	failed := m.ExpressionFold(ctx, e, &v)
	defer m.DestroyErrorData(&failed)
	if v.Ptr == nil || m.ErrorDataHasError(failed) {
		return ""
	}
	defer m.DestroyValue(&v)
	return m.GetVarchar(v)
}

// argumentType is the type of an argument. DuckDB's wide integers, which are numeric to clients, are whole numbers here: they
// are its sums of integers, whose division is one of integers.
func argumentType(info m.BindInfo, i int) vector.Type {
	e := m.ScalarFunctionBindGetArgument(info, m.IdxT(i))
	defer m.DestroyExpression(&e)
	l := m.ExpressionReturnType(e)
	defer m.DestroyLogicalType(&l)
	c, err := columnOf(l)
	switch {
	case err != nil:
		return vector.Type{}
	case c.typ.Kind == vector.Decimal && c.id != m.TypeDecimal:
		return vector.T(vector.Int64)
	}
	return c.typ
}

//export tilehouseDivide
func tilehouseDivide(info, chunk, out unsafe.Pointer) {
	defer called()()
	if err := divideChunk(m.DataChunk{Ptr: chunk}, m.Vector{Ptr: out}); err != nil {
		m.ScalarFunctionSetError(m.FunctionInfo{Ptr: info}, err.Error())
	}
}

// arguments are the two arguments of a function for the n rows of a chunk, each of n values.
func arguments(chunk m.DataChunk) (sides [2]*vector.Vector, n int, err error) {
	n = int(m.DataChunkGetSize(chunk))
	for i := range sides {
		src := m.DataChunkGetVector(chunk, m.IdxT(i))
		l := m.VectorGetColumnType(src)
		c, err := columnOf(l)
		m.DestroyLogicalType(&l)
		if err != nil {
			return sides, n, err
		}
		sides[i] = vector.New(c.typ, n)
		if err := c.appendTo(sides[i], src, 0, n); err != nil {
			return sides, n, err
		}
	}
	return sides, n, nil
}

func divideChunk(chunk m.DataChunk, out m.Vector) error {
	sides, n, err := arguments(chunk)
	if err != nil {
		return err
	}
	for _, side := range sides {
		if b := side.Type.Buffer(); b != vector.BufI128 && b != vector.BufI64 && side.Type.Kind != vector.Null { // planned for other types
			return &Error{SQLState: "42804", Message: fmt.Sprintf("a value of type %s cannot be divided as a decimal", side.Type)}
		}
	}
	l := m.VectorGetColumnType(out)
	scale := m.DecimalScale(l)
	m.DestroyLogicalType(&l)
	result := vector.New(vector.DecimalOf(38, scale), n)
	a, b := sides[0], sides[1]
	shift := int(scale) + int(b.Type.Scale) - int(a.Type.Scale)
	for i := range n {
		if a.IsNull(i) || b.IsNull(i) {
			result.AppendNull()
			continue
		}
		q, err := divideDecimals(unscaled(a, i), unscaled(b, i), shift)
		if err != nil {
			return err
		}
		result.AppendInt128(q)
	}
	var w writer
	defer w.release()
	return w.write(out, result, 0, n)
}

// unscaled is value i of a decimal or whole number, times ten to its scale.
func unscaled(v *vector.Vector, i int) vector.Int128 {
	switch v.Type.Buffer() {
	case vector.BufI128:
		return v.I128[i]
	case vector.BufI64:
		return vector.Int128FromInt64(v.I64[i])
	}
	return vector.Int128{} // a NULL without a type
}

// divideDecimals is a·10^shift / b, rounded half away from zero. shift is at least 0. Errors: DivisionByZero, NumericOverflow.
func divideDecimals(a, b vector.Int128, shift int) (vector.Int128, error) {
	if b.Sign() == 0 {
		return b, &Error{SQLState: "22012", Message: DivisionByZero}
	}
	negative := (a.Sign() < 0) != (b.Sign() < 0)
	a, b = a.Abs(), b.Abs()
	if high, low, ok := scaleUp(a, shift); ok { // in machine words
		top, quotient, half := divideWords(high, low, uint64(b.HighBits()), b.LowBits())
		if half { // the half is rounded up
			var carry uint64
			quotient, carry = bits.Add64(quotient, 1, 0)
			top += carry
		}
		if top < 1<<62 {
			return bounded(vector.Int128FromParts(int64(top), quotient), negative)
		}
	}
	numerator := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(shift)), nil)
	numerator.Mul(numerator, a.BigInt())
	q, rest := new(big.Int).QuoRem(numerator, b.BigInt(), new(big.Int))
	if rest.Lsh(rest, 1).Cmp(b.BigInt()) >= 0 {
		q.Add(q, big.NewInt(1))
	}
	if q.BitLen() > 127 {
		return b, &Error{SQLState: "22003", Message: NumericOverflow}
	}
	word := new(big.Int).SetUint64(^uint64(0))
	return bounded(vector.Int128FromParts(new(big.Int).Rsh(q, 64).Int64(), word.And(word, q).Uint64()), negative)
}

// scaleUp is a·10^shift, a ≥ 0; ok is false where that has more than 128 bits, or would take more than these words to compute.
func scaleUp(a vector.Int128, shift int) (high, low uint64, ok bool) {
	if a.HighBits() != 0 || shift > 38 {
		return 0, 0, false
	}
	ten := powers[shift]
	above, high1 := bits.Mul64(a.LowBits(), uint64(ten.HighBits()))
	high2, low := bits.Mul64(a.LowBits(), ten.LowBits())
	high, carry := bits.Add64(high1, high2, 0)
	return high, low, above == 0 && carry == 0
}

// divideWords is u / v of 128 bits each, v > 0; half: the rest is at least half of v.
func divideWords(uh, ul, vh, vl uint64) (qh, ql uint64, half bool) {
	if vh == 0 {
		qh = uh / vl
		var rest uint64
		ql, rest = bits.Div64(uh%vl, ul, vl)
		return qh, ql, rest >= vl-rest
	}
	// The quotient has one word: it is guessed from v's leading bits, at most one too small, and mended.
	n := uint(bits.LeadingZeros64(vh))
	lead := vh<<n | vl>>(64-n)
	ql, _ = bits.Div64(uh>>1, uh<<63|ul>>1, lead)
	if ql >>= 63 - n; ql != 0 {
		ql--
	}
	ph, pl := bits.Mul64(ql, vl)
	ph += ql * vh
	rl, borrow := bits.Sub64(ul, pl, 0)
	rh, _ := bits.Sub64(uh, ph, borrow)
	if rh > vh || rh == vh && rl >= vl {
		ql++
		rl, borrow = bits.Sub64(rl, vl, 0)
		rh, _ = bits.Sub64(rh, vh, borrow)
	}
	dl, borrow := bits.Sub64(vl, rl, 0) // the rest against v less the rest
	dh, _ := bits.Sub64(vh, rh, borrow)
	return 0, ql, rh > dh || rh == dh && rl >= dl
}

// powers are 10^0 to 10^38.
var powers = func() (p [39]vector.Int128) {
	for i := range p {
		p[i] = power10(uint8(i))
	}
	return p
}()

// greatest is 10^38, which a decimal of 38 digits is less than.
var greatest = powers[38]

func bounded(q vector.Int128, negative bool) (vector.Int128, error) {
	if q.Cmp(greatest) >= 0 {
		return q, &Error{SQLState: "22003", Message: NumericOverflow}
	}
	if negative {
		q = q.Negate()
	}
	return q, nil
}

// ourError is the error that a function of ours raised, nil for those of DuckDB's own.
func ourError(message string) *Error {
	at := raisedError.FindStringSubmatchIndex(message)
	if at == nil {
		return nil
	}
	e := &Error{SQLState: message[at[2]:at[3]]}
	e.Message, e.Hint, _ = strings.Cut(message[at[1]:], hintMark)
	e.Message, e.Detail, _ = strings.Cut(e.Message, detailMark)
	return e
}

// raisedError begins the error that raise, or SQL of this program's, makes.
var raisedError = regexp.MustCompile(`tilehouse ([0-9A-Z]{5}): `)
