package functions

import (
	"encoding/binary"

	"github.com/tilehouse/tilehouse/functions/exact"
	"github.com/tilehouse/tilehouse/functions/vector"
)

// accumulator is an exact sum with the number of its rows: what sum, avg and each bucket of sum_map hold. Its encoding,
// without a version, is empty for no rows.
type accumulator interface {
	// add adds (sign 1) or takes away (sign −1) value row of v, which is not NULL.
	add(v *vector.Vector, row int, sign int)
	rows() int64
	reset()
	append(dst []byte) []byte
	mergeEncoded(name string, b []byte) error
}

var (
	_ accumulator = (*intAcc)(nil)
	_ accumulator = (*floatAcc)(nil)
)

// intAcc sums integers and unscaled decimals. Fewer than 2⁶³ rows of fewer than 128 bits fit 192.
type intAcc struct {
	n   int64
	sum exact.Int192
}

func (a *intAcc) add(v *vector.Vector, row, sign int) {
	a.n += int64(sign)
	switch wide := v.Type.Kind == vector.Decimal; {
	case wide && sign > 0:
		a.sum.AddInt128(v.I128[row].HighBits(), v.I128[row].LowBits())
	case wide:
		a.sum.SubInt128(v.I128[row].HighBits(), v.I128[row].LowBits())
	case sign > 0:
		a.sum.AddInt64(v.I64[row])
	default:
		a.sum.SubInt64(v.I64[row])
	}
}

func (a *intAcc) rows() int64       { return a.n }
func (a *intAcc) reset()            { *a = intAcc{} }
func (a *intAcc) merge(o *intAcc)   { a.n += o.n; a.sum.Add(o.sum) }
func (a *intAcc) unmerge(o *intAcc) { a.n -= o.n; a.sum.Sub(o.sum) }
func (a *intAcc) append(dst []byte) []byte {
	if a.n == 0 {
		return dst
	}
	return a.sum.AppendMinimal(binary.AppendUvarint(dst, uint64(a.n)))
}

func (a *intAcc) mergeEncoded(name string, b []byte) error {
	n, rest, ok := rowCount(b)
	if !ok {
		return badState(name, "no number of rows")
	}
	sum, err := exact.Int192OfMinimal(rest)
	if err != nil {
		return wrapExact(name, err)
	}
	a.n += n
	a.sum.Add(sum)
	return nil
}

// total appends the sum to out, of type bigint or numeric(38, s).
func (a *intAcc) total(name string, out *vector.Vector) error {
	if out.Type.Kind == vector.Int64 {
		x, ok := a.sum.Int64()
		if !ok {
			return outOfRange(name, "bigint")
		}
		out.AppendInt(x)
		return nil
	}
	hi, lo, ok := a.sum.Decimal()
	if !ok {
		return outOfRange(name, out.Type.String())
	}
	out.AppendInt128(vector.Int128FromParts(hi, lo))
	return nil
}

// fold adds n rows whose unscaled sum stands in the columns of integerSum from cols[0] on.
func (a *intAcc) fold(name string, t vector.Type, n int64, cols []*vector.Vector, i int) error {
	want := []vector.Buffer{vector.BufI128}
	if wideDecimal(t) {
		want = append(want, vector.BufI128)
	}
	if err := stateColumns(name, cols, want...); err != nil {
		return err
	}
	a.n += n
	if x := cols[0].I128[i]; wideDecimal(t) {
		a.sum.AddMul(x.HighBits(), x.LowBits(), wideLimb)
		x = cols[1].I128[i]
		a.sum.AddInt128(x.HighBits(), x.LowBits())
	} else {
		a.sum.AddInt128(x.HighBits(), x.LowBits())
	}
	return nil
}

func wideDecimal(t vector.Type) bool { return t.Kind == vector.Decimal && t.Precision > narrowDigits }

// floatAcc sums doubles.
type floatAcc struct {
	n   int64
	sum exact.Sum
}

func (a *floatAcc) add(v *vector.Vector, row, sign int) {
	a.n += int64(sign)
	if sign > 0 {
		a.sum.Add(v.F64[row])
	} else {
		a.sum.Sub(v.F64[row])
	}
}

func (a *floatAcc) rows() int64         { return a.n }
func (a *floatAcc) reset()              { a.n = 0; a.sum.Reset() }
func (a *floatAcc) merge(o *floatAcc)   { a.n += o.n; a.sum.Merge(&o.sum) }
func (a *floatAcc) unmerge(o *floatAcc) { a.n -= o.n; a.sum.Unmerge(&o.sum) }
func (a *floatAcc) append(dst []byte) []byte {
	if a.n == 0 {
		return dst
	}
	return a.sum.Append(binary.AppendUvarint(dst, uint64(a.n)))
}

func (a *floatAcc) mergeEncoded(name string, b []byte) error {
	n, rest, ok := rowCount(b)
	if !ok {
		return badState(name, "no number of rows")
	}
	a.n += n
	return wrapExact(name, a.sum.MergeEncoded(rest))
}

// quotient appends the sum divided by n, rounded once.
func (a *floatAcc) quotient(name string, n int64, out *vector.Vector) error {
	x, ok := a.sum.Quo(n)
	if !ok {
		return outOfRange(name, "double precision")
	}
	out.AppendFloat(x)
	return nil
}

// fold adds n rows of one chunk, given by columns (c, s).
func (a *floatAcc) fold(name string, n int64, cols []*vector.Vector, i int) error {
	if err := stateColumns(name, cols, vector.BufI64, vector.BufI128); err != nil {
		return err
	}
	a.n += n
	x := cols[1].I128[i]
	if !a.sum.AddChunk(cols[0].I64[i], x.HighBits(), x.LowBits()) {
		return badState(name, "the engine returned an unknown chunk")
	}
	return nil
}

// finish appends the value of a state that has rows.
type finish[A any] func(a *A, out *vector.Vector) error

// intState and floatState are the states of sum and avg, which differ in how they finish only.
type intState struct {
	intAcc
	name    string
	version byte
	finish  finish[intAcc]
}

type floatState struct {
	floatAcc
	name    string
	version byte
	finish  finish[floatAcc]
}

var (
	_ Inverter = (*intState)(nil)
	_ Inverter = (*floatState)(nil)
)

func (s *intState) Update(in *Input, row int) {
	if v := in.Args[0]; !v.IsNull(row) {
		s.add(v, row, 1)
	}
}

func (s *intState) Retract(in *Input, row int) {
	if v := in.Args[0]; !v.IsNull(row) {
		s.add(v, row, -1)
	}
}

func (s *intState) Merge(o State)   { s.merge(&o.(*intState).intAcc) }
func (s *intState) Unmerge(o State) { s.unmerge(&o.(*intState).intAcc) }
func (s *intState) Reset()          { s.reset() }

func (s *intState) MergeEncoded(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	b, err := open(b, s.version, s.name)
	if err != nil {
		return err
	}
	return s.mergeEncoded(s.name, b)
}

func (s *intState) Append(dst []byte) []byte {
	if s.n == 0 {
		return dst
	}
	return s.append(append(dst, s.version))
}

func (s *intState) Finalize(out *vector.Vector) error {
	if s.n == 0 {
		out.AppendNull()
		return nil
	}
	return s.finish(&s.intAcc, out)
}

func (s *floatState) Update(in *Input, row int) {
	if v := in.Args[0]; !v.IsNull(row) {
		s.n++
		s.sum.Add(v.F64[row])
	}
}

func (s *floatState) Retract(in *Input, row int) {
	if v := in.Args[0]; !v.IsNull(row) {
		s.n--
		s.sum.Sub(v.F64[row])
	}
}

func (s *floatState) Merge(o State)   { s.merge(&o.(*floatState).floatAcc) }
func (s *floatState) Unmerge(o State) { s.unmerge(&o.(*floatState).floatAcc) }
func (s *floatState) Reset()          { s.reset() }

func (s *floatState) MergeEncoded(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	b, err := open(b, s.version, s.name)
	if err != nil {
		return err
	}
	return s.mergeEncoded(s.name, b)
}

func (s *floatState) Append(dst []byte) []byte {
	if s.n == 0 {
		return dst
	}
	return s.append(append(dst, s.version))
}

func (s *floatState) Finalize(out *vector.Vector) error {
	if s.n == 0 {
		out.AppendNull()
		return nil
	}
	return s.finish(&s.floatAcc, out)
}

// exactSumSQL is the SQL of the states above: (n, s), (n, hi, lo) or, a row for each chunk, (n, c, s). A bucket column of
// the same name as the keys may stand between the keys and n.
func exactSumSQL(d Dialect, t vector.Type, in PartialInput, x string, buckets []string, notNull ...string) (sql string, columns int) {
	names := keyNames(in)
	var more []string
	cols := []string{x + " AS a0"}
	for i, b := range buckets {
		name := string(rune('b'+i)) + "0"
		names, more, cols = names+name+", ", append(more, name), append(cols, b+" AS "+name)
	}
	columns = len(buckets) + 2
	if t.Buffer() == vector.BufF64 {
		cols[0] = d.cast(x, vector.T(vector.Float64)) + " AS a0"
		from := digits(d, base(d, in, cols, notNull...), names)
		return "SELECT " + names + d.fn("count") + "(*) AS n, c, " + chunkSum(d) + " AS s FROM " + from + groupBy(in, append(more, "c")...), columns + 1
	}
	sums, from := integerSum(d, t, base(d, in, cols, notNull...), names)
	if wideDecimal(t) {
		columns++
	}
	return "SELECT " + names + d.fn("count") + "(*) AS n, " + sums + " FROM " + from + groupBy(in, more...), columns
}

// sumResult is the type of a sum of t; ok is false where t cannot be summed.
func sumResult(t vector.Type) (r vector.Type, ok bool) {
	switch t.Kind {
	case vector.Int16, vector.Int32:
		return vector.T(vector.Int64), true
	case vector.Int64:
		return vector.DecimalOf(38, 0), true
	case vector.Decimal:
		return vector.DecimalOf(38, t.Scale), true
	case vector.Float32, vector.Float64:
		return vector.T(vector.Float64), true
	}
	return vector.Type{}, false
}

// summable is the arguments of sum and avg, checked.
func summable(name string, args []vector.Type) error {
	if err := checkArgs(name, args, 1); err != nil {
		return err
	}
	if _, ok := sumResult(args[0]); !ok {
		return noSuchFunction(name, args, "Cast the argument to a number, for instance x::numeric(18,2).")
	}
	return nil
}

// exactPartial is PartialSQL of sum and avg of t.
func exactPartial(name string, d Dialect, t vector.Type, in PartialInput) PartialQuery {
	sql, columns := exactSumSQL(d, t, in, in.Args[0], nil, in.Args[0])
	q := PartialQuery{SQL: sql, Columns: columns}
	q.Fold = func(s State, cols []*vector.Vector, i int) error {
		if err := stateColumns(name, cols, vector.BufI64); err != nil {
			return err
		}
		n := cols[0].I64[i]
		if f, ok := s.(*floatState); ok {
			return f.fold(name, n, cols[1:], i)
		}
		if n == 0 {
			return nil
		}
		return s.(*intState).fold(name, t, n, cols[1:], i)
	}
	return q
}
