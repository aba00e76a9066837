package reclog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// ErrBadChunk is wrapped by every error of DecodeChunk.
var ErrBadChunk = errors.New("reclog: bad chunk encoding")

// Limits of the chunk codec.
const (
	// MaxChunkRows is the most rows of one encoded chunk, and of one record of the log.
	MaxChunkRows = 2048
	// maxColumns bounds what a decoder allocates for a header; PostgreSQL's limit is 1,600.
	maxColumns = 1 << 14
	// maxTypeDepth bounds the recursion over nested types.
	maxTypeDepth = 16
)

const chunkVersion = 1

// Encodings of a column's numbers: 0…8 is that many bytes a value above a common base; the others:
const (
	numBits = 9  // one bit a value above the base
	numRaw  = 15 // the values as they are: 4 bytes (float32), 8 (float64) or 16 (decimal)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendChunk appends the encoding of rows from ≤ i < to of c, at most MaxChunkRows of them. The encoding is
// self-describing: it carries the columns' types. The package documentation gives its bytes. It panics on more rows.
func AppendChunk(dst []byte, c *vector.Chunk, from, to int) []byte {
	if to-from > MaxChunkRows || from < 0 || to > c.N || from > to {
		panic(fmt.Sprintf("reclog: rows %d to %d of a chunk of %d", from, to, c.N))
	}
	start := len(dst)
	dst = append(dst, chunkVersion)
	dst = binary.AppendUvarint(dst, uint64(to-from))
	dst = binary.AppendUvarint(dst, uint64(len(c.Cols)))
	for _, v := range c.Cols {
		dst = appendType(dst, v.Type)
		dst = appendColumn(dst, v, from, to, false)
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func appendType(dst []byte, t vector.Type) []byte {
	dst = append(dst, byte(t.Kind))
	if t.Kind == vector.Decimal {
		dst = append(dst, t.Precision, t.Scale)
	}
	for _, e := range t.Elem {
		dst = appendType(dst, e)
	}
	return dst
}

// appendColumn writes the validity, then the values. In a nested column every value takes at least one bit, so that the
// decoder can bound the number of values by the bytes there are.
func appendColumn(dst []byte, v *vector.Vector, from, to int, nested bool) []byte {
	nulls := false
	if v.HasNulls() {
		for i := from; i < to && !nulls; i++ {
			nulls = v.IsNull(i)
		}
	}
	if !nulls {
		dst = append(dst, 0)
	} else {
		dst = append(dst, 1)
		dst = appendBits(dst, to-from, func(i int) bool { return !v.IsNull(from + i) })
	}
	null := func(i int) bool { return nulls && v.IsNull(from+i) }
	n := to - from
	switch v.Type.Buffer() {
	case vector.BufI64:
		return appendInts(dst, n, null, func(i int) int64 { return v.I64[from+i] }, nested)
	case vector.BufF64:
		return appendFloats(dst, n, func(i int) float64 {
			if null(i) {
				return 0
			}
			return v.F64[from+i]
		})
	case vector.BufI128:
		return appendDecimals(dst, n, null, func(i int) vector.Int128 { return v.I128[from+i] }, nested)
	case vector.BufBytes:
		dst = appendInts(dst, n, null, func(i int) int64 { return int64(v.Off[from+i+1] - v.Off[from+i]) }, nested)
		for i := from; i < to; i++ {
			if !null(i - from) {
				dst = append(dst, v.Bytes(i)...)
			}
		}
		return dst
	case vector.BufNested:
		for i := range n {
			if null(i) && v.Off[from+i] != v.Off[from+i+1] {
				// A value made NULL later still has its elements; a copy has not.
				whole := vector.New(v.Type, n)
				for i := from; i < to; i++ {
					whole.AppendFrom(v, i)
				}
				v, from, to = whole, 0, n
				break
			}
		}
		dst = appendInts(dst, n, null, func(i int) int64 { return int64(v.Off[from+i+1] - v.Off[from+i]) }, nested)
		for _, c := range v.Child {
			dst = appendColumn(dst, c, int(v.Off[from]), int(v.Off[to]), true)
		}
		return dst
	case vector.BufNone:
	}
	return dst
}

func appendBits(dst []byte, n int, bit func(i int) bool) []byte {
	for base := 0; base < n; base += 8 {
		var b byte
		for i := base; i < min(base+8, n); i++ {
			if bit(i) {
				b |= 1 << (i - base)
			}
		}
		dst = append(dst, b)
	}
	return dst
}

// appendInts writes how many bytes a value takes, the least value, and the values less that. NULLs are written as the
// least value, lest their zero widen the range.
func appendInts(dst []byte, n int, null func(int) bool, at func(int) int64, nested bool) []byte {
	lo, hi, any := int64(0), int64(0), false
	for i := range n {
		if null(i) {
			continue
		}
		switch x := at(i); {
		case !any:
			lo, hi, any = x, x, true
		case x < lo:
			lo = x
		case x > hi:
			hi = x
		}
	}
	spread := uint64(hi) - uint64(lo)
	width := (bits.Len64(spread) + 7) / 8
	if spread == 1 || spread == 0 && nested {
		width = numBits
	}
	dst = append(dst, byte(width))
	dst = binary.AppendVarint(dst, lo)
	delta := func(i int) uint64 {
		if null(i) {
			return 0
		}
		return uint64(at(i)) - uint64(lo)
	}
	switch width {
	case 0:
	case numBits:
		dst = appendBits(dst, n, func(i int) bool { return delta(i) != 0 })
	case 8:
		for i := range n {
			dst = binary.LittleEndian.AppendUint64(dst, delta(i))
		}
	default:
		for i := range n {
			d := delta(i)
			for range width {
				dst = append(dst, byte(d))
				d >>= 8
			}
		}
	}
	return dst
}

func appendFloats(dst []byte, n int, at func(int) float64) []byte {
	width := 4
	for i := 0; i < n && width == 4; i++ {
		if x := at(i); math.Float64bits(float64(float32(x))) != math.Float64bits(x) {
			width = 8
		}
	}
	dst = append(dst, byte(width))
	for i := range n {
		if width == 4 {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(at(i))))
		} else {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(at(i)))
		}
	}
	return dst
}

func appendDecimals(dst []byte, n int, null func(int) bool, at func(int) vector.Int128, nested bool) []byte {
	for i := range n {
		if x := at(i); !null(i) && x.HighBits() != int64(x.LowBits())>>63 {
			dst = append(dst, numRaw)
			for i := range n {
				var x vector.Int128
				if !null(i) {
					x = at(i)
				}
				dst = binary.LittleEndian.AppendUint64(dst, x.LowBits())
				dst = binary.LittleEndian.AppendUint64(dst, uint64(x.HighBits()))
			}
			return dst
		}
	}
	return appendInts(dst, n, null, func(i int) int64 { return int64(at(i).LowBits()) }, nested)
}

// DecodeChunk decodes what AppendChunk wrote; b must hold nothing else. The chunk shares no memory with b. Errors wrap
// ErrBadChunk; what a damaged encoding makes it allocate is bounded by MaxChunkRows and eight times the length of b.
func DecodeChunk(b []byte) (*vector.Chunk, error) {
	if len(b) < 5 {
		return nil, fmt.Errorf("%w: %d bytes", ErrBadChunk, len(b))
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, fmt.Errorf("%w: checksum mismatch", ErrBadChunk)
	}
	if body[0] != chunkVersion {
		return nil, fmt.Errorf("%w: version %d", ErrBadChunk, body[0])
	}
	d := &decoder{b: body[1:]}
	c := &vector.Chunk{N: d.count(MaxChunkRows)}
	cols := d.count(maxColumns)
	for range cols {
		if d.err != nil {
			break
		}
		t := d.typ(0)
		if d.err == nil {
			c.Cols = append(c.Cols, d.column(t, c.N, false))
		}
	}
	if d.err == nil && len(d.b) != 0 {
		d.fail("%d bytes left over", len(d.b))
	}
	if d.err != nil {
		return nil, d.err
	}
	return c, nil
}

// decoder reads from the front of b. After the first error it returns zero values.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrBadChunk, fmt.Sprintf(format, args...))
	}
	d.b = nil
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.fail("cut short: %d bytes of %d", len(d.b), n)
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) byte() byte {
	if x := d.take(1); x != nil {
		return x[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	x, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *decoder) count(limit int) int {
	x := d.uvarint()
	if x > uint64(limit) {
		d.fail("count %d over %d", x, limit)
		return 0
	}
	return int(x)
}

func (d *decoder) typ(depth int) vector.Type {
	t := vector.Type{Kind: vector.Kind(d.byte())}
	switch {
	case d.err != nil:
	case depth > maxTypeDepth:
		d.fail("types nested deeper than %d", maxTypeDepth)
	case t.Kind == vector.Invalid || t.Kind > vector.Null:
		d.fail("kind %d", t.Kind)
	case t.Kind == vector.Decimal:
		t.Precision, t.Scale = d.byte(), d.byte()
		if t.Precision < 1 || t.Precision > 38 || t.Scale > t.Precision {
			d.fail("numeric(%d,%d)", t.Precision, t.Scale)
		}
	case t.Kind == vector.List:
		t.Elem = []vector.Type{d.typ(depth + 1)}
	case t.Kind == vector.Map:
		k := d.typ(depth + 1)
		t.Elem = []vector.Type{k, d.typ(depth + 1)}
	}
	return t
}

// column decodes n values of type t.
func (d *decoder) column(t vector.Type, n int, nested bool) *vector.Vector {
	v := &vector.Vector{Type: t, N: n}
	switch d.byte() {
	case 0:
		if t.Kind == vector.Null && n > 0 {
			d.fail("present values of no type")
		}
	case 1:
		raw := d.take((n + 7) / 8)
		if d.err == nil {
			v.Valid = make([]uint64, (n+63)/64)
			for i := range n {
				v.Valid[i>>6] |= uint64(raw[i>>3]>>(i&7)&1) << (i & 63)
			}
		}
	default:
		d.fail("bad validity byte")
	}
	switch t.Buffer() {
	case vector.BufI64:
		v.I64 = d.ints(v, nested)
	case vector.BufF64:
		v.F64 = d.floats(n)
	case vector.BufI128:
		d.decimals(v, nested)
	case vector.BufBytes:
		if v.Off = d.offsets(v, nested); v.Off != nil {
			v.Data = append([]byte(nil), d.take(int(v.Off[n]))...)
		}
	case vector.BufNested:
		v.Off = d.offsets(v, nested)
		for _, e := range t.Elem {
			if d.err != nil {
				break
			}
			v.Child = append(v.Child, d.column(e, int(v.Off[n]), true))
		}
	case vector.BufNone:
	}
	return v
}

func (d *decoder) ints(v *vector.Vector, nested bool) []int64 {
	width := int(d.byte())
	return d.intsOf(width, v, nested)
}

func (d *decoder) intsOf(width int, v *vector.Vector, nested bool) []int64 {
	lo, k := binary.Varint(d.b)
	if k <= 0 {
		d.fail("bad base")
		return nil
	}
	d.b = d.b[k:]
	n := v.N
	var raw []byte
	switch {
	case width == 0 && nested && n > 0:
		d.fail("nested values of no width")
	case width == 0:
	case width <= 8:
		if n > len(d.b)/width {
			d.fail("cut short: %d values of %d bytes", n, width)
			return nil
		}
		raw = d.take(n * width)
	case width == numBits:
		raw = d.take((n + 7) / 8)
	default:
		d.fail("width %d", width)
	}
	if d.err != nil {
		return nil
	}
	out := make([]int64, n)
	for i := range out {
		x := uint64(0)
		switch width {
		case 0:
		case numBits:
			x = uint64(raw[i>>3] >> (i & 7) & 1)
		case 8:
			x = binary.LittleEndian.Uint64(raw[8*i:])
		default:
			for j := width - 1; j >= 0; j-- {
				x = x<<8 | uint64(raw[i*width+j])
			}
		}
		out[i] = lo + int64(x)
	}
	if v.Valid != nil {
		for i := range out {
			if v.IsNull(i) {
				out[i] = 0
			}
		}
	}
	return out
}

// offsets turns the lengths of n values into n+1 offsets, which a vector counts in 32 bits.
func (d *decoder) offsets(v *vector.Vector, nested bool) []uint32 {
	lens := d.ints(v, nested)
	if d.err != nil {
		return nil
	}
	// A value of a nested column takes a bit at least, a byte of text a byte.
	limit := min(uint64(len(d.b))*8, math.MaxUint32)
	off, sum := make([]uint32, v.N+1), uint64(0)
	for i, l := range lens {
		if l < 0 || uint64(l) > limit-sum {
			d.fail("length %d", l)
			return nil
		}
		sum += uint64(l)
		off[i+1] = uint32(sum)
	}
	return off
}

func (d *decoder) floats(n int) []float64 {
	width := int(d.byte())
	if width != 4 && width != 8 {
		d.fail("float of %d bytes", width)
		return nil
	}
	if n > len(d.b)/width {
		d.fail("cut short: %d floats", n)
		return nil
	}
	raw, out := d.take(n*width), make([]float64, n)
	for i := range out {
		if width == 4 {
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
		} else {
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
		}
	}
	return out
}

func (d *decoder) decimals(v *vector.Vector, nested bool) {
	width := int(d.byte())
	if width == numRaw {
		if v.N > len(d.b)/16 {
			d.fail("cut short: %d decimals", v.N)
			return
		}
		raw := d.take(16 * v.N)
		v.I128 = make([]vector.Int128, v.N)
		for i := range v.I128 {
			v.I128[i] = vector.Int128FromParts(int64(binary.LittleEndian.Uint64(raw[16*i+8:])), binary.LittleEndian.Uint64(raw[16*i:]))
		}
		return
	}
	ints := d.intsOf(width, v, nested)
	if d.err != nil {
		return
	}
	v.I128 = make([]vector.Int128, v.N)
	for i, x := range ints {
		v.I128[i] = vector.Int128FromInt64(x)
	}
}
