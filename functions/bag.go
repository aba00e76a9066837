package functions

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

const (
	// maxFreeCells bounds the cells that a multiset keeps for reuse.
	maxFreeCells = 1024
	// floodFactor is how many times max_state a multiset may grow in memory.
	floodFactor = 16
	// fewCells may be merged into an ordered multiset one by one; more are sorted anew.
	fewCells = 16
)

// bag is an exact multiset: a cell of type C for every distinct key. Keys are held as bytes whose order is the order of the
// values: 8 or 16 big-endian bytes with the sign flipped, text and bytes as they are.
//
// A bag is too large when the bytes of its keys, and cost for every key, pass max. That measure is a function of the set of
// keys and grows with it, so whether a window is too large depends on the window alone, and a bag that contains one that is
// too large is so too. The encoding of a bag that is too large is a mark without content: the online store never holds more
// than max bytes of keys. A mark that was merged is counted, so that Unmerge of it takes it out again; rows that are retracted
// one by one from what was merged as a mark leave the mark in place. A bag that grows to many times max is flooded: it gives its
// memory up, and stays too large until Reset.
type bag[C any, P cell[C]] struct {
	name    string
	version byte
	key     vector.Type
	max     int
	cost    int
	make    func() P

	cells   map[string]P
	size    int
	marks   int64
	flooded bool
	sink    P // takes what is added to a flooded bag
	free    []P
	scratch []byte
	sorted  []entry[P] // all cells by key, where inOrder
	inOrder bool
}

// entry is a cell with its key.
type entry[P any] struct {
	key  string
	cell P
}

// cell is what a bag holds for a key.
type cell[C any] interface {
	*C
	rows() int64
	merge(*C)
	reset()
	append(dst []byte) []byte
	mergeEncoded(name string, b []byte) error
}

// inverseCell is a cell that rows can be taken away from.
type inverseCell[C any] interface {
	cell[C]
	unmerge(*C)
}

// load appends the key bytes of value row of v.
func (b *bag[C, P]) load(v *vector.Vector, row int) []byte {
	dst := b.scratch[:0]
	switch v.Type.Buffer() {
	case vector.BufI64:
		dst = binary.BigEndian.AppendUint64(dst, uint64(v.I64[row])^1<<63)
	case vector.BufF64:
		dst = binary.BigEndian.AppendUint64(dst, vector.OrderedFloat(v.F64[row]))
	case vector.BufI128:
		dst = binary.BigEndian.AppendUint64(dst, uint64(v.I128[row].HighBits())^1<<63)
		dst = binary.BigEndian.AppendUint64(dst, v.I128[row].LowBits())
	case vector.BufBytes:
		dst = append(dst, v.Bytes(row)...)
	case vector.BufNested, vector.BufNone:
		panic("functions: no key of " + v.Type.String())
	}
	b.scratch = dst
	return dst
}

// width is the length of key bytes, or 0 where it varies.
func (b *bag[C, P]) width() int {
	switch b.key.Buffer() {
	case vector.BufI64, vector.BufF64:
		return 8
	case vector.BufI128:
		return 16
	}
	return 0
}

// value sets x to the value of key bytes; it reports false where there is none.
func (b *bag[C, P]) value(x *scalar, key string) bool {
	if w := b.width(); w > 0 && len(key) != w {
		return false
	}
	u := func(i int) uint64 { return binary.BigEndian.Uint64([]byte(key[i : i+8])) }
	switch b.key.Buffer() {
	case vector.BufI64:
		x.i = u(0) ^ 1<<63
	case vector.BufF64:
		x.i = u(0)
	case vector.BufI128:
		x.d = vector.Int128FromParts(int64(u(0)^1<<63), u(8))
	case vector.BufBytes:
		x.b = append(x.b[:0], key...)
	}
	return true
}

// at is the cell of a key, made if there is none.
func (b *bag[C, P]) at(key []byte) P {
	if c, ok := b.cells[string(key)]; ok {
		return c
	}
	if b.size > floodFactor*b.max {
		b.flood()
	}
	if b.flooded {
		b.sink.reset()
		return b.sink
	}
	if b.cells == nil {
		b.cells = make(map[string]P)
	}
	var c P
	if n := len(b.free); n > 0 {
		c, b.free = b.free[n-1], b.free[:n-1]
	} else {
		c = b.make()
	}
	k := string(key)
	b.cells[k] = c
	b.size += len(key) + b.cost
	if b.inOrder {
		i, _ := b.find(k)
		b.sorted = slices.Insert(b.sorted, i, entry[P]{k, c})
	}
	return c
}

// find is the place of a key in sorted.
func (b *bag[C, P]) find(key string) (i int, ok bool) {
	return slices.BinarySearchFunc(b.sorted, key, func(e entry[P], k string) int { return strings.Compare(e.key, k) })
}

// disorder gives up the order of cells, before many come.
func (b *bag[C, P]) disorder() {
	clear(b.sorted)
	b.sorted, b.inOrder = b.sorted[:0], false
}

func (b *bag[C, P]) flood() {
	b.flooded, b.sink = true, b.make()
	b.cells, b.free, b.sorted, b.inOrder, b.size = nil, nil, nil, false, 0
}

// settle drops the cell of a key when its last row is gone.
func (b *bag[C, P]) settle(key []byte, c P) {
	if c.rows() != 0 {
		return
	}
	delete(b.cells, string(key))
	b.size -= len(key) + b.cost
	if b.inOrder {
		if i, ok := b.find(string(key)); ok {
			b.sorted = slices.Delete(b.sorted, i, i+1)
		}
	}
	b.release(c)
}

func (b *bag[C, P]) release(c P) {
	if c.reset(); len(b.free) < maxFreeCells {
		b.free = append(b.free, c)
	}
}

func (b *bag[C, P]) mergeBag(o *bag[C, P]) {
	b.marks += o.marks
	if o.flooded && !b.flooded {
		b.flood()
	}
	if len(o.cells) > fewCells {
		b.disorder()
	}
	for k, c := range o.cells {
		b.scratch = append(b.scratch[:0], k...)
		b.at(b.scratch).merge(c)
	}
}

// unmergeBag takes away the rows of o from b.
func unmergeBag[C any, P inverseCell[C]](b, o *bag[C, P]) {
	b.marks -= o.marks
	if len(o.cells) > fewCells {
		b.disorder()
	}
	for k, oc := range o.cells {
		// A key that is missing was merged as part of a mark.
		if c, ok := b.cells[k]; ok {
			c.unmerge(oc)
			b.scratch = append(b.scratch[:0], k...)
			b.settle(b.scratch, c)
		}
	}
}

// Reset makes the multiset empty and keeps its memory.
func (b *bag[C, P]) Reset() {
	for _, c := range b.cells {
		b.release(c)
	}
	clear(b.cells)
	b.disorder()
	b.size, b.marks, b.flooded, b.sink = 0, 0, false, nil
}

// TooLarge is that of Bounded.
func (b *bag[C, P]) TooLarge() bool { return b.marks > 0 || b.flooded || b.size > b.max }

// checkSize is the error of a value that is asked of a multiset that is too large.
func (b *bag[C, P]) checkSize() error {
	if !b.TooLarge() {
		return nil
	}
	return fmt.Errorf("%w of %d bytes: %s", ErrStateTooLarge, b.max, b.name)
}

// order is the cells by key, ascending. It is valid until the multiset changes, and is not to be changed. Once asked for it is
// kept as rows come and go, which is what a window being slid over wants.
func (b *bag[C, P]) order() []entry[P] {
	if !b.inOrder {
		for k, c := range b.cells {
			b.sorted = append(b.sorted, entry[P]{k, c})
		}
		slices.SortFunc(b.sorted, func(x, y entry[P]) int { return strings.Compare(x.key, y.key) })
		b.inOrder = true
	}
	return b.sorted
}

// Append appends the encoding.
func (b *bag[C, P]) Append(dst []byte) []byte {
	switch {
	case b.TooLarge():
		return append(dst, b.version, 0)
	case len(b.cells) == 0:
		return dst
	}
	dst = binary.AppendUvarint(append(dst, b.version), uint64(len(b.cells)))
	last, fixed := "", b.width() > 0
	var cellBytes []byte
	for _, e := range b.order() {
		k := e.key
		n := shared(last, k)
		dst = binary.AppendUvarint(dst, uint64(n))
		if !fixed {
			dst = binary.AppendUvarint(dst, uint64(len(k)-n))
		}
		dst = append(dst, k[n:]...)
		cellBytes = e.cell.append(cellBytes[:0])
		dst = append(binary.AppendUvarint(dst, uint64(len(cellBytes))), cellBytes...)
		last = k
	}
	return dst
}

func shared(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// MergeEncoded adds the rows of an encoded multiset.
func (b *bag[C, P]) MergeEncoded(enc []byte) error {
	if len(enc) == 0 {
		return nil
	}
	enc, err := open(enc, b.version, b.name)
	if err != nil {
		return err
	}
	n, enc, ok := uvarint(enc)
	if ok && n == 0 && len(enc) == 0 {
		b.marks++
		return nil
	}
	if n > fewCells {
		b.disorder()
	}
	width, last := b.width(), ""
	key := b.scratch[:0]
	var x scalar
	for i := uint64(0); ok && i < n; i++ {
		var keep, more uint64
		if keep, enc, ok = uvarint(enc); !ok || keep > uint64(len(last)) {
			return badState(b.name, "no key")
		}
		if more = uint64(width) - keep; width == 0 {
			more, enc, ok = uvarint(enc)
		}
		if !ok || more > uint64(len(enc)) {
			return badState(b.name, "key cut short")
		}
		key = append(append(key[:0], last[:keep]...), enc[:more]...)
		enc = enc[more:]
		if i > 0 && string(key) <= last || shared(last, string(key)) != int(keep) || !b.valid(&x, string(key)) {
			return badState(b.name, "bad key")
		}
		var content []byte
		if content, enc, ok = prefixed(enc); !ok {
			return badState(b.name, "no rows")
		}
		if err := b.at(key).mergeEncoded(b.name, content); err != nil {
			return err
		}
		last = string(key)
	}
	b.scratch = key
	if !ok || n == 0 || len(enc) > 0 {
		return badState(b.name, "wrong length")
	}
	return nil
}

// valid reports whether key is the bytes of a value of the key's type.
func (b *bag[C, P]) valid(x *scalar, key string) bool {
	if !b.value(x, key) {
		return false
	}
	var enc [24]byte
	if b.key.Buffer() == vector.BufBytes {
		return x.decode(b.key, []byte(key))
	}
	return x.decode(b.key, x.append(b.key, enc[:0]))
}
