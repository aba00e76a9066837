package duck

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"slices"
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// stringT is DuckDB's string_t: 4 bytes of length, then up to 12 bytes of text, or 4 bytes of prefix and a pointer.
type stringT [16]byte

const inlineBytes = 12

// listEntry is a value of a LIST or MAP: elements [offset, offset+length) of the child vector.
type listEntry struct{ offset, length uint64 }

// values are values [from, from+n) at the data pointer of src. DuckDB flattens what it hands out, so that value i is at i.
func values[T any](src m.Vector, from, n int) []T {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(m.VectorGetData(src)), from+n)[from:]
}

// text is the bytes of a string, valid as long as DuckDB's chunk.
func (s *stringT) text() []byte {
	n := *(*uint32)(unsafe.Pointer(s))
	if n <= inlineBytes {
		return s[4 : 4+n]
	}
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&s[8])), n)
}

// readMask fills c.mask with the validity of values [from, from+n) of src, value from at bit 0 and the bits after the last
// one set, and reports whether any is NULL.
func (c *column) readMask(src m.Vector, from, n int) (nulls bool) {
	p := m.VectorGetValidity(src)
	if p == nil {
		return false
	}
	words := unsafe.Slice((*uint64)(p), (from+n+63)/64)[from/64:]
	shift := uint(from & 63)
	c.mask = c.mask[:0]
	for i := range (n + 63) / 64 {
		w := words[i] >> shift
		if shift > 0 && i+1 < len(words) {
			w |= words[i+1] << (64 - shift)
		}
		if rest := n - i*64; rest < 64 {
			w |= ^uint64(0) << uint(rest)
		}
		nulls = nulls || w != ^uint64(0)
		c.mask = append(c.mask, w)
	}
	return nulls
}

// null reports whether value i of those last read by readMask is NULL. Only where readMask found NULLs.
func (c *column) null(i int) bool { return c.mask[i>>6]>>(uint(i)&63)&1 == 0 }

// appendMask appends c.mask, n values, to dst's validity; dst.N is still without them.
func (c *column) appendMask(dst *vector.Vector, nulls bool, n int) {
	if !nulls && dst.Valid == nil {
		return
	}
	if dst.Valid == nil {
		c.valid = c.valid[:0]
	} else {
		c.valid = dst.Valid
	}
	for len(c.valid) < (dst.N+n+63)/64 {
		c.valid = append(c.valid, ^uint64(0))
	}
	dst.Valid = c.valid
	if !nulls {
		return
	}
	if dst.N == 0 {
		copy(c.valid, c.mask)
		return
	}
	for i, w := range c.mask {
		for w = ^w; w != 0; w &= w - 1 {
			at := dst.N + i*64 + bits.TrailingZeros64(w)
			dst.Valid[at>>6] &^= 1 << (uint(at) & 63)
		}
	}
}

// zeroNulls makes the slots of NULLs zero, among the values last read by readMask.
func zeroNulls[T any](c *column, vals []T) {
	var zero T
	for i, w := range c.mask {
		for w = ^w; w != 0; w &= w - 1 {
			vals[i*64+bits.TrailingZeros64(w)] = zero
		}
	}
}

// widen appends the integers of src to dst.
func widen[S int8 | int16 | int32 | uint8 | uint16 | uint32](dst []int64, src []S) []int64 {
	at := len(dst)
	dst = slices.Grow(dst, len(src))[:at+len(src)]
	out := dst[at:]
	for i, x := range src {
		out[i] = int64(x)
	}
	return dst
}

// appendTo appends values [from, from+n) of src to dst. Errors: 22003, 22008, 54000; dst is then undefined.
func (c *column) appendTo(dst *vector.Vector, src m.Vector, from, n int) error {
	nulls := false
	if c.id != m.TypeSQLNull { // DuckDB marks these NULLs too, but their type says it already.
		nulls = c.readMask(src, from, n)
		c.appendMask(dst, nulls, n)
	}
	var err error
	switch c.typ.Buffer() {
	case vector.BufI64:
		err = c.appendInts(dst, src, from, n, nulls)
	case vector.BufF64:
		at := len(dst.F64)
		if c.id == m.TypeDouble {
			dst.F64 = append(dst.F64, values[float64](src, from, n)...)
		} else {
			for _, x := range values[float32](src, from, n) {
				dst.F64 = append(dst.F64, float64(x))
			}
		}
		if nulls {
			zeroNulls(c, dst.F64[at:])
		}
	case vector.BufI128:
		err = c.appendDecimals(dst, src, from, n, nulls)
	case vector.BufBytes:
		err = c.appendBytes(dst, src, from, n, nulls)
	case vector.BufNested:
		err = c.appendNested(dst, src, from, n, nulls)
	case vector.BufNone:
	}
	dst.N += n
	return err
}

func (c *column) appendInts(dst *vector.Vector, src m.Vector, from, n int, nulls bool) error {
	at := len(dst.I64)
	switch c.id {
	case m.TypeBigInt, m.TypeTimestamp, m.TypeTimestampTZ, m.TypeTime, m.TypeTimeNS, m.TypeTimestampS, m.TypeTimestampMS, m.TypeTimestampNS, m.TypeIntegerLiteral:
		dst.I64 = append(dst.I64, values[int64](src, from, n)...)
	case m.TypeInteger, m.TypeDate:
		dst.I64 = widen(dst.I64, values[int32](src, from, n))
	case m.TypeSmallInt:
		dst.I64 = widen(dst.I64, values[int16](src, from, n))
	case m.TypeTinyInt:
		dst.I64 = widen(dst.I64, values[int8](src, from, n))
	case m.TypeUInteger:
		dst.I64 = widen(dst.I64, values[uint32](src, from, n))
	case m.TypeUSmallInt:
		dst.I64 = widen(dst.I64, values[uint16](src, from, n))
	case m.TypeUTinyInt, m.TypeBoolean:
		dst.I64 = widen(dst.I64, values[uint8](src, from, n))
	default:
		panic(fmt.Sprintf("duck: no integers in type %d", c.id))
	}
	out := dst.I64[at:]
	if nulls {
		zeroNulls(c, out)
	}
	switch c.id {
	case m.TypeDate:
		for i, x := range out {
			switch x {
			case math.MaxInt32:
				out[i] = vector.PosInfinity
			case -math.MaxInt32:
				out[i] = vector.NegInfinity
			}
		}
	case m.TypeTimeNS:
		for i, x := range out {
			out[i] = x / 1000
		}
	case m.TypeTimestampNS:
		for i, x := range out {
			if x != vector.PosInfinity && x != vector.NegInfinity {
				out[i] = x / 1000
			}
		}
	case m.TypeTimestampS:
		return scaleTimes(out, 1_000_000)
	case m.TypeTimestampMS:
		return scaleTimes(out, 1000)
	}
	return nil
}

// scaleTimes multiplies finite times by unit, to microseconds.
func scaleTimes(ts []int64, unit int64) error {
	for i, x := range ts {
		if x == vector.PosInfinity || x == vector.NegInfinity {
			continue
		}
		if x > math.MaxInt64/unit || x < -math.MaxInt64/unit {
			return &Error{SQLState: "22008", Message: "timestamp out of range"}
		}
		ts[i] = x * unit
	}
	return nil
}

// maxDigits bounds numeric values from above: 10³⁸.
var maxDigits = power10(38)

func errDigits() error {
	return &Error{SQLState: "22003", Message: "numeric value out of range: more than 38 digits"}
}

func (c *column) appendDecimals(dst *vector.Vector, src m.Vector, from, n int, nulls bool) error {
	at := len(dst.I128)
	switch {
	case c.id == m.TypeBigNum:
		return c.appendBigNums(dst, src, from, n, nulls)
	case c.id == m.TypeHugeInt || c.id == m.TypeUHugeInt || c.phys == m.TypeHugeInt:
		dst.I128 = append(dst.I128, values[vector.Int128](src, from, n)...)
	case c.id == m.TypeUBigInt:
		for _, x := range values[uint64](src, from, n) {
			dst.I128 = append(dst.I128, vector.Int128FromParts(0, x))
		}
	case c.phys == m.TypeBigInt:
		for _, x := range values[int64](src, from, n) {
			dst.I128 = append(dst.I128, vector.Int128FromInt64(x))
		}
	case c.phys == m.TypeInteger:
		for _, x := range values[int32](src, from, n) {
			dst.I128 = append(dst.I128, vector.Int128FromInt64(int64(x)))
		}
	case c.phys == m.TypeSmallInt:
		for _, x := range values[int16](src, from, n) {
			dst.I128 = append(dst.I128, vector.Int128FromInt64(int64(x)))
		}
	default:
		panic(fmt.Sprintf("duck: no decimals in type %d", c.id))
	}
	out := dst.I128[at:]
	if nulls {
		zeroNulls(c, out)
	}
	if c.id == m.TypeHugeInt || c.id == m.TypeUHugeInt {
		top := maxDigits.HighBits()
		for _, x := range out {
			unsigned := c.id == m.TypeUHugeInt && x.HighBits() < 0 // beyond 2¹²⁷
			if h := x.HighBits(); h < top && h > -top && !unsigned {
				continue
			}
			if unsigned || x.Cmp(maxDigits) >= 0 || x.Cmp(maxDigits.Negate()) <= 0 {
				return errDigits()
			}
		}
	}
	return nil
}

// appendBigNums appends BIGNUMs: 3 bytes of header, of which the highest bit is set for numbers ≥ 0, then the magnitude,
// big-endian. All bits of a negative number are inverted.
func (c *column) appendBigNums(dst *vector.Vector, src m.Vector, from, n int, nulls bool) error {
	strs := values[stringT](src, from, n)
	for i := range strs {
		if nulls && c.null(i) {
			dst.I128 = append(dst.I128, vector.Int128{})
			continue
		}
		b := slices.Clone(strs[i].text())
		if len(b) < 4 {
			return &Error{SQLState: "XX000", Message: "the engine returned a malformed bignum"}
		}
		negative := b[0]&0x80 == 0
		b = b[3:]
		if negative {
			for k := range b {
				b[k] = ^b[k]
			}
		}
		x := new(big.Int).SetBytes(b)
		if x.BitLen() > 127 {
			return errDigits()
		}
		low := new(big.Int).And(x, new(big.Int).SetUint64(math.MaxUint64)).Uint64()
		v := vector.Int128FromParts(new(big.Int).Rsh(x, 64).Int64(), low)
		if v.Cmp(maxDigits) >= 0 {
			return errDigits()
		}
		if negative {
			v = v.Negate()
		}
		dst.I128 = append(dst.I128, v)
	}
	return nil
}

func (c *column) appendBytes(dst *vector.Vector, src m.Vector, from, n int, nulls bool) error {
	off, data := slices.Grow(dst.Off, n), dst.Data
	switch c.id {
	case m.TypeVarchar, m.TypeBlob, m.TypeGeometry, m.TypeStringLiteral:
		strs := values[stringT](src, from, n)
		var err error
		if data, err = c.grown(data, strs, nulls); err != nil {
			return err
		}
		for i := range strs {
			if !nulls || !c.null(i) {
				data = append(data, strs[i].text()...)
			}
			off = append(off, uint32(len(data)))
		}
	case m.TypeInterval:
		// The layout is vector.Interval's.
		vals := values[[16]byte](src, from, n)
		data = slices.Grow(data, 16*n)
		for i := range vals {
			if !nulls || !c.null(i) {
				data = append(data, vals[i][:]...)
			}
			off = append(off, uint32(len(data)))
		}
	case m.TypeUUID:
		// DuckDB flips the highest bit, so that signed integers order as UUIDs do.
		vals := values[[2]uint64](src, from, n)
		data = slices.Grow(data, 16*n)
		for i, v := range vals {
			if !nulls || !c.null(i) {
				data = binary.BigEndian.AppendUint64(data, v[1]^1<<63)
				data = binary.BigEndian.AppendUint64(data, v[0])
			}
			off = append(off, uint32(len(data)))
		}
	case m.TypeBit:
		strs := values[stringT](src, from, n)
		for i := range strs {
			if !nulls || !c.null(i) {
				data = appendBits(data, strs[i].text())
			}
			off = append(off, uint32(len(data)))
		}
	case m.TypeTimeTZ:
		for i, v := range values[uint64](src, from, n) {
			if !nulls || !c.null(i) {
				data = appendTimeTZ(data, v)
			}
			off = append(off, uint32(len(data)))
		}
	case m.TypeEnum:
		for i := range n {
			if !nulls || !c.null(i) {
				var label uint32
				switch c.phys {
				case m.TypeUTinyInt:
					label = uint32(values[uint8](src, from, n)[i])
				case m.TypeUSmallInt:
					label = uint32(values[uint16](src, from, n)[i])
				default:
					label = values[uint32](src, from, n)[i]
				}
				data = append(data, c.labels[label]...)
			}
			off = append(off, uint32(len(data)))
		}
	case m.TypeStruct, m.TypeUnion, m.TypeMap:
		var err error
		if off, data, err = c.appendJSONs(off, data, src, from, n, nulls); err != nil {
			return err
		}
	default:
		panic(fmt.Sprintf("duck: no bytes in type %d", c.id))
	}
	if len(data) > math.MaxUint32 {
		return &Error{SQLState: "54000", Message: "the values of one chunk exceed 4 GiB"}
	}
	dst.Off, dst.Data = off, data
	return nil
}

// appendBits writes a BIT as 0s and 1s: its first byte is the number of unused high bits of the second one.
func appendBits(dst, b []byte) []byte {
	if len(b) == 0 {
		return dst
	}
	for i := int(b[0]); i < 8*(len(b)-1); i++ {
		dst = append(dst, '0'+b[1+i/8]>>(7-uint(i)%8)&1)
	}
	return dst
}

// appendTimeTZ writes a TIME WITH TIME ZONE as PostgreSQL does: the high 40 bits are microseconds, the low 24 how far the
// offset is below +15:59:59.
func appendTimeTZ(dst []byte, v uint64) []byte {
	const maxOffset = 16*3600 - 1
	dst = appendTime(dst, int64(v>>24))
	offset, sign := maxOffset-int64(v&(1<<24-1)), byte('+')
	if offset < 0 {
		offset, sign = -offset, '-'
	}
	dst = fmt.Appendf(append(dst, sign), "%02d", offset/3600)
	if rest := offset % 3600; rest != 0 {
		dst = fmt.Appendf(dst, ":%02d", rest/60)
		if rest%60 != 0 {
			dst = fmt.Appendf(dst, ":%02d", rest%60)
		}
	}
	return dst
}

func (c *column) appendNested(dst *vector.Vector, src m.Vector, from, n int, nulls bool) error {
	first := dst.N
	var err error
	if dst.Off, err = c.gather(dst.Child, dst.Off, src, from, n, nulls); err != nil {
		return err
	}
	if c.typ.Kind == vector.Map && c.child[0].typ.Kind != vector.Null {
		sortMaps(dst, first, n)
	}
	return nil
}

// elementBytes is what an element takes beside its text, about.
const elementBytes = 16

// gather appends the elements of lists, arrays or maps [from, from+n) of src to children, and the lists' ends to off.
// Elements that lie one after the other are appended together: usually all of them.
func (c *column) gather(children []*vector.Vector, off []uint32, src m.Vector, from, n int, nulls bool) ([]uint32, error) {
	var parts [2]m.Vector
	switch c.id {
	case m.TypeArray:
		parts[0] = m.ArrayVectorGetChild(src)
	case m.TypeList:
		parts[0] = m.ListVectorGetChild(src)
	case m.TypeMap:
		entries := m.ListVectorGetChild(src)
		parts[0], parts[1] = m.StructVectorGetChild(entries, 0), m.StructVectorGetChild(entries, 1)
	default:
		panic(fmt.Sprintf("duck: no elements in type %d", c.id))
	}
	var entries []listEntry
	if c.id != m.TypeArray {
		entries = values[listEntry](src, from, n)
	}
	start, end := 0, 0 // elements not appended yet
	total := uint64(children[0].N)
	flush := func() error {
		if start == end {
			return nil
		}
		if err := c.room.take(elementBytes * (end - start)); err != nil {
			return err
		}
		for i, child := range c.child {
			if err := child.appendTo(children[i], parts[i], start, end-start); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range n {
		if !nulls || !c.null(i) {
			o, l := (from+i)*c.size, c.size
			if c.id != m.TypeArray {
				o, l = int(entries[i].offset), int(entries[i].length)
			}
			if l > 0 && o != end {
				if err := flush(); err != nil {
					return off, err
				}
				start, end = o, o
			}
			end += l
			total += uint64(l)
		}
		off = append(off, uint32(total))
	}
	if total > math.MaxUint32 {
		return off, &Error{SQLState: "54000", Message: "the lists of one chunk hold more than 4,294,967,295 elements"}
	}
	return off, flush()
}

// sortMaps orders the entries of maps [first, first+n) of v by key. DuckDB refuses equal keys.
func sortMaps(v *vector.Vector, first, n int) {
	keys := v.Child[0]
	sorted := true
	for i := first; i < first+n && sorted; i++ {
		for j := v.Off[i] + 1; j < v.Off[i+1]; j++ {
			if vector.Compare(keys, int(j-1), keys, int(j)) > 0 {
				sorted = false
				break
			}
		}
	}
	if sorted {
		return
	}
	order := make([]int, keys.N)
	for i := range order {
		order[i] = i
	}
	for i := first; i < first+n; i++ {
		slices.SortFunc(order[v.Off[i]:v.Off[i+1]], func(a, b int) int { return vector.Compare(keys, a, keys, b) })
	}
	for i, child := range v.Child {
		out := vector.New(child.Type, child.N)
		for _, at := range order {
			out.AppendFrom(child, at)
		}
		v.Child[i] = out
	}
}
