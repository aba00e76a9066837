package tiles

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// First bytes of values, with their version. doc.go has the layouts.
const (
	tagPack   = 0x01
	tagMeta   = 0x04
	tagInner  = 0x12
	tagRecord = 0x13
	tagPos    = 0x15 // its version is the group's
	// tagPosFold is tagPos while fresh rows are folded.
	tagPosFold = 0x25
	tagPosOld  = 0x05 // of groups whose records hold no packs; they are built again
)

// Modes of a column of a pack.
const (
	colVarint = 0 // zigzag varints
	colDelta  = 1 // zigzag varints of differences
	colRaw    = 2 // fixed width, little-endian
	colScaled = 3 // floats that are exactly integers divided by 100
	colDict   = 4 // byte strings: distinct values, then an index byte each
	colPlain  = 5 // byte strings: length and bytes
	colNested = 6 // lengths, then the children
	colNone   = 7 // all NULL
)

// inlineBytes is the largest row pack that a key record holds.
const inlineBytes = 256

const (
	maxDict     = 255     // distinct values of a dictionary column
	maxElements = 1 << 24 // elements of a nested column of one pack
	floatScale  = 100.0
)

// newRows is rows without keys: a pack is of one key, so its rows' Key stays empty.
func newRows(l *event.Layout, n int) *event.Rows {
	r := &event.Rows{Key: vector.New(vector.T(vector.Bytes), 0), TS: make([]int64, 0, n), RowID: make([]int64, 0, n)}
	if l.Tie {
		r.Tie = vector.New(vector.T(vector.Bytes), n)
	}
	r.Cols = make([]*vector.Vector, len(l.Columns))
	for i, t := range l.Columns {
		r.Cols[i] = vector.New(t, n)
	}
	return r
}

// appendRows appends rows from ≤ i < to of src to dst, keys left out.
func appendRows(dst, src *event.Rows, from, to int) {
	dst.TS = append(dst.TS, src.TS[from:to]...)
	dst.RowID = append(dst.RowID, src.RowID[from:to]...)
	if dst.Tie != nil {
		dst.Tie.AppendRange(src.Tie, from, to)
	}
	for c := range dst.Cols {
		dst.Cols[c].AppendRange(src.Cols[c], from, to)
	}
}

func zigzag(x int64) uint64   { return uint64(x)<<1 ^ uint64(x>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
func varLen(u uint64) (n int) {
	for n = 1; u >= 0x80; n++ {
		u >>= 7
	}
	return n
}

// appendPack encodes sorted rows of the bucket that starts at start.
func appendPack(dst []byte, start int64, r *event.Rows) []byte {
	dst = append(dst, tagPack)
	dst = binary.AppendUvarint(dst, uint64(r.N()))
	last := start
	for _, t := range r.TS {
		dst = binary.AppendUvarint(dst, uint64(t-last)) // wraps like the decoder's addition: exact for all of int64
		last = t
	}
	var id int64
	for _, x := range r.RowID {
		dst = binary.AppendUvarint(dst, zigzag(x-id))
		id = x
	}
	if r.Tie != nil {
		var prev []byte
		for i := range r.N() {
			b := r.Tie.Bytes(i)
			n := 0
			for n < len(b) && n < len(prev) && b[n] == prev[n] {
				n++
			}
			dst = binary.AppendUvarint(dst, uint64(n))
			dst = binary.AppendUvarint(dst, uint64(len(b)-n))
			dst = append(dst, b[n:]...)
			prev = b
		}
	}
	for _, c := range r.Cols {
		dst = appendColumn(dst, c)
	}
	return dst
}

// appendColumn writes a head byte (mode, and 0x80 where there are NULLs), the validity bytes, and the values.
func appendColumn(dst []byte, v *vector.Vector) []byte {
	head := len(dst)
	dst = append(dst, 0)
	var nulls byte
	if v.Valid != nil {
		nulls = 0x80
		for i := 0; i < v.N; i += 8 {
			b := byte(v.Valid[i>>6] >> (i & 63))
			if rest := v.N - i; rest < 8 {
				b &= 1<<rest - 1
			}
			dst = append(dst, b)
		}
	}
	var mode byte
	switch v.Type.Buffer() {
	case vector.BufI64:
		dst, mode = appendInts(dst, v.I64)
	case vector.BufF64:
		dst, mode = appendFloats(dst, v.F64)
	case vector.BufI128:
		mode = colVarint
		for _, x := range v.I128 {
			if x.HighBits() != int64(x.LowBits())>>63 {
				mode = colRaw
				break
			}
		}
		for _, x := range v.I128 {
			if mode == colVarint {
				dst = binary.AppendUvarint(dst, zigzag(int64(x.LowBits())))
			} else {
				dst = binary.LittleEndian.AppendUint64(dst, x.LowBits())
				dst = binary.LittleEndian.AppendUint64(dst, uint64(x.HighBits()))
			}
		}
	case vector.BufBytes:
		dst, mode = appendStrings(dst, v)
	case vector.BufNested:
		mode = colNested
		for i := range v.N {
			dst = binary.AppendUvarint(dst, uint64(v.Off[i+1]-v.Off[i]))
		}
		for _, c := range v.Child {
			// A vector's first offset need not be 0, and elements beyond the last are not its own.
			own := vector.New(c.Type, c.N)
			own.AppendRange(c, int(v.Off[0]), int(v.Off[v.N]))
			dst = appendColumn(dst, own)
		}
	case vector.BufNone:
		mode = colNone
	}
	dst[head] = mode | nulls
	return dst
}

func appendInts(dst []byte, xs []int64) ([]byte, byte) {
	plain, delta := 0, 0
	var last int64
	for _, x := range xs {
		plain += varLen(zigzag(x))
		delta += varLen(zigzag(x - last))
		last = x
	}
	if delta >= plain {
		for _, x := range xs {
			dst = binary.AppendUvarint(dst, zigzag(x))
		}
		return dst, colVarint
	}
	last = 0
	for _, x := range xs {
		dst = binary.AppendUvarint(dst, zigzag(x-last))
		last = x
	}
	return dst, colDelta
}

func appendFloats(dst []byte, xs []float64) ([]byte, byte) {
	mode := byte(colScaled)
	for _, x := range xs {
		s := math.RoundToEven(x * floatScale)
		// NaN, infinities, -0 and everything that would not come back bit for bit is written raw.
		if !(math.Abs(s) < 1<<53) || math.Float64bits(float64(int64(s))/floatScale) != math.Float64bits(x) {
			mode = colRaw
			break
		}
	}
	for _, x := range xs {
		if mode == colScaled {
			dst = binary.AppendUvarint(dst, zigzag(int64(math.RoundToEven(x*floatScale))))
		} else {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
		}
	}
	return dst, mode
}

func appendStrings(dst []byte, v *vector.Vector) ([]byte, byte) {
	if v.N >= 8 {
		seen := make(map[string]byte, 16)
		index := make([]byte, 0, v.N)
		var words [][]byte
		for i := range v.N {
			b := v.Bytes(i)
			x, ok := seen[string(b)]
			if !ok {
				if len(words) == maxDict || len(words) > v.N/2 {
					words = nil
					break
				}
				x = byte(len(words))
				seen[string(b)] = x
				words = append(words, b)
			}
			index = append(index, x)
		}
		if words != nil {
			dst = append(dst, byte(len(words)))
			for _, w := range words {
				dst = binary.AppendUvarint(dst, uint64(len(w)))
				dst = append(dst, w...)
			}
			return append(dst, index...), colDict
		}
	}
	for i := range v.N {
		b := v.Bytes(i)
		dst = binary.AppendUvarint(dst, uint64(len(b)))
		dst = append(dst, b...)
	}
	return dst, colPlain
}

// decoder reads a value front to back; the first fault sticks.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 {
		u := uint64(d.b[0])
		d.b = d.b[1:]
		return u
	}
	return d.long()
}

// long is uvarint of more than one byte.
func (d *decoder) long() uint64 {
	u, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return u
}

func (d *decoder) varint() int64 { return unzigzag(d.uvarint()) }

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

// count is a uvarint that cannot exceed the bytes left: every counted thing takes at least one.
func (d *decoder) count() int {
	u := d.uvarint()
	if u > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return 0
	}
	return int(u)
}

// decodePack decodes a pack of the bucket that starts at start into the memory of into, if that is not nil: rows of the same
// layout. Nothing aliases b.
func decodePack(l *event.Layout, start int64, b []byte, into *event.Rows) (*event.Rows, error) {
	d := &decoder{b: b}
	if d.byte() != tagPack {
		return nil, fmt.Errorf("%w: not a row pack", ErrCorrupt)
	}
	n := d.count()
	r := into
	if r == nil {
		r = &event.Rows{Key: vector.New(vector.T(vector.Bytes), 0), Cols: make([]*vector.Vector, len(l.Columns))}
		ints := make([]int64, 2*n)
		r.TS, r.RowID = ints[:n:n], ints[n:]
	} else {
		r.TS, r.RowID = slices.Grow(r.TS[:0], n)[:n], slices.Grow(r.RowID[:0], n)[:n]
	}
	last := start
	for i := range r.TS {
		last += int64(d.uvarint())
		r.TS[i] = last
	}
	var id int64
	for i := range r.RowID {
		id += d.varint()
		r.RowID[i] = id
	}
	if l.Tie {
		if r.Tie == nil {
			r.Tie = vector.New(vector.T(vector.Bytes), n)
		}
		r.Tie.Reset()
		for range n {
			shared, rest := d.uvarint(), d.uvarint()
			tail := d.take(rest)
			var prev []byte
			if r.Tie.N > 0 {
				prev = r.Tie.Bytes(r.Tie.N - 1)
			}
			if d.bad || shared > uint64(len(prev)) {
				return nil, fmt.Errorf("%w: ties of a row pack", ErrCorrupt)
			}
			r.Tie.Data = append(append(r.Tie.Data, prev[:shared]...), tail...)
			r.Tie.Off = append(r.Tie.Off, uint32(len(r.Tie.Data)))
			r.Tie.N++
		}
	}
	for i, t := range l.Columns {
		v, err := d.column(t, n, r.Cols[i])
		if err != nil {
			return nil, err
		}
		r.Cols[i] = v
	}
	if d.bad || len(d.b) > 0 {
		return nil, fmt.Errorf("%w: length of a row pack", ErrCorrupt)
	}
	return r, nil
}

// column decodes n values of type t into the memory of v, which is of that type, or nil.
func (d *decoder) column(t vector.Type, n int, v *vector.Vector) (*vector.Vector, error) {
	fault := func(what string) (*vector.Vector, error) {
		return nil, fmt.Errorf("%w: %s column of a row pack: %s", ErrCorrupt, t, what)
	}
	head := d.byte()
	mode := head &^ 0x80
	if v == nil {
		v = &vector.Vector{Type: t}
	}
	v.N, v.Valid, v.Child = n, nil, nil
	if head&0x80 != 0 {
		bits := d.take(uint64(n+7) / 8)
		v.Valid = make([]uint64, (n+63)/64)
		for i, b := range bits {
			v.Valid[i>>3] |= uint64(b) << (i & 7 * 8)
		}
	}
	buf := t.Buffer()
	// A pack's own rows are bounded by its bytes (count); elements of nested columns are bounded by maxElements before this.
	switch {
	case buf == vector.BufI64 && (mode == colVarint || mode == colDelta):
		v.I64 = slices.Grow(v.I64[:0], n)[:n]
		var last int64
		for i := range v.I64 {
			x := d.varint()
			if mode == colDelta {
				x += last
				last = x
			}
			v.I64[i] = x
		}
	case buf == vector.BufF64 && mode == colScaled:
		v.F64 = slices.Grow(v.F64[:0], n)[:n]
		for i := range v.F64 {
			v.F64[i] = float64(d.varint()) / floatScale
		}
	case buf == vector.BufF64 && mode == colRaw:
		raw := d.take(uint64(n) * 8)
		if d.bad {
			break
		}
		v.F64 = slices.Grow(v.F64[:0], n)[:n]
		for i := range v.F64 {
			v.F64[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[i*8:]))
		}
	case buf == vector.BufI128 && mode == colVarint:
		v.I128 = slices.Grow(v.I128[:0], n)[:n]
		for i := range v.I128 {
			v.I128[i] = vector.Int128FromInt64(d.varint())
		}
	case buf == vector.BufI128 && mode == colRaw:
		raw := d.take(uint64(n) * 16)
		if d.bad {
			break
		}
		v.I128 = slices.Grow(v.I128[:0], n)[:n]
		for i := range v.I128 {
			v.I128[i] = vector.Int128FromParts(int64(binary.LittleEndian.Uint64(raw[i*16+8:])), binary.LittleEndian.Uint64(raw[i*16:]))
		}
	case buf == vector.BufBytes && mode == colPlain:
		v.Off, v.Data = append(slices.Grow(v.Off[:0], n+1), 0), slices.Grow(v.Data[:0], min(len(d.b), 16*n))
		for range n {
			v.Data = append(v.Data, d.take(d.uvarint())...)
			v.Off = append(v.Off, uint32(len(v.Data)))
		}
	case buf == vector.BufBytes && mode == colDict:
		words := make([][]byte, d.byte())
		for i := range words {
			words[i] = d.take(d.uvarint())
		}
		v.Off, v.Data = append(slices.Grow(v.Off[:0], n+1), 0), v.Data[:0]
		for _, x := range d.take(uint64(n)) {
			if int(x) >= len(words) {
				return fault("index")
			}
			v.Data = append(v.Data, words[x]...)
			v.Off = append(v.Off, uint32(len(v.Data)))
		}
	case buf == vector.BufNested && mode == colNested:
		v.Off = append(slices.Grow(v.Off[:0], n+1), 0)
		var sum uint64
		for range n {
			sum += min(d.uvarint(), maxElements+1)
			if d.bad || sum > maxElements {
				return fault("elements")
			}
			v.Off = append(v.Off, uint32(sum))
		}
		for _, e := range t.Elem {
			if e.Buffer() != vector.BufNone && sum > uint64(len(d.b)) {
				return fault("elements")
			}
			c, err := d.column(e, int(sum), nil)
			if err != nil {
				return nil, err
			}
			v.Child = append(v.Child, c)
		}
	case buf == vector.BufNone && mode == colNone:
	default:
		return fault(fmt.Sprintf("mode %d", mode))
	}
	if d.bad {
		return fault("length")
	}
	return v, nil
}

// newLike is an empty vector of v's type.
func newLike(v *vector.Vector) *vector.Vector { return vector.New(v.Type, 0) }
