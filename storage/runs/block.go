package runs

import (
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// Bounds of a block. A partition's first blocks are small and each has room for twice the rows of the one before, so that few
// rows take little memory and none is moved because its block grows. The bytes bound keeps offsets of variable-length columns
// far from the 2 GiB of Arrow's.
const (
	firstBlockRows = 32
	blockRows      = 8192
	blockBytes     = 8 << 20
)

// block is unsorted rows of one partition, as one writer collected them.
type block struct {
	words []uint64       // keys, while all of them are words
	keys  *vector.Vector // keys, once one was not; then words is empty
	rows  *event.Rows    // without keys
	room  int            // rows that it takes
	bytes int            // estimate of the memory taken
}

// newBlock is an empty block with room for n rows.
func newBlock(l event.Layout, rowIDs bool, n int) *block {
	return &block{words: make([]uint64, 0, n), rows: newRows(l, rowIDs, n), room: n}
}

func (b *block) n() int { return len(b.rows.TS) }

func (b *block) reset() {
	b.words, b.keys, b.bytes = b.words[:0], nil, 0
	resetRows(b.rows)
}

// toBytes turns the keys of words to bytes.
func (b *block) toBytes() {
	if b.keys != nil {
		return
	}
	b.keys = vector.New(vector.T(vector.Bytes), b.room)
	var buf [wordKeyLen]byte
	for _, w := range b.words {
		b.keys.AppendBytes(appendWord(buf[:0], w))
	}
	b.words = b.words[:0]
}

// add appends the rows sel of r, whose keys are words unless words is nil.
func (b *block) add(r *event.Rows, words []uint64, sel []uint32) {
	switch {
	case words == nil:
		b.toBytes()
		appendSel(b.keys, r.Key, sel)
	case b.keys != nil:
		appendSel(b.keys, r.Key, sel)
	default:
		b.words = pick(b.words, words, sel)
	}
	b.rows.TS = pick(b.rows.TS, r.TS, sel)
	if b.rows.RowID != nil {
		b.rows.RowID = pick(b.rows.RowID, r.RowID, sel)
	}
	if b.rows.Tie != nil {
		appendSel(b.rows.Tie, r.Tie, sel)
	}
	for c, v := range b.rows.Cols {
		appendSel(v, r.Cols[c], sel)
	}
}

// measure returns by how much the block's memory grew since the last call.
func (b *block) measure() int {
	n := 8*len(b.words) + rowsBytes(b.rows)
	if b.keys != nil {
		n += b.keys.MemBytes()
	}
	d := n - b.bytes
	b.bytes = n
	return d
}

// columns are the block as vectors, in the order of blockTypes.
func (b *block) columns() []*vector.Vector {
	key := b.keys
	if key == nil {
		w := make([]int64, len(b.words))
		for i, x := range b.words {
			w[i] = int64(x)
		}
		key = &vector.Vector{Type: vector.T(vector.Int64), N: len(w), I64: w}
	}
	return append([]*vector.Vector{key}, rowColumns(b.rows)...)
}

// blockOf is the inverse of columns.
func blockOf(l event.Layout, rowIDs bool, cols []*vector.Vector) *block {
	b := &block{rows: rowsOf(l, rowIDs, cols[1:])}
	if k := cols[0]; k.Type.Kind == vector.Int64 {
		b.words = make([]uint64, len(k.I64))
		for i, x := range k.I64 {
			b.words[i] = uint64(x)
		}
	} else {
		b.keys = k
	}
	return b
}

// rowTypes are the types of rowColumns.
func rowTypes(l event.Layout, rowIDs bool) []vector.Type {
	t := []vector.Type{vector.T(vector.Int64)}
	if rowIDs {
		t = append(t, vector.T(vector.Int64))
	}
	if l.Tie {
		t = append(t, vector.T(vector.Bytes))
	}
	return append(t, l.Columns...)
}

// rowColumns are rows as vectors: ts, row id where kept, tie where the layout has it, columns. Buffers are shared.
func rowColumns(r *event.Rows) []*vector.Vector {
	n := len(r.TS)
	cols := []*vector.Vector{{Type: vector.T(vector.Int64), N: n, I64: r.TS}}
	if r.RowID != nil {
		cols = append(cols, &vector.Vector{Type: vector.T(vector.Int64), N: n, I64: r.RowID})
	}
	if r.Tie != nil {
		cols = append(cols, r.Tie)
	}
	return append(cols, r.Cols...)
}

// rowsOf is the inverse of rowColumns. Buffers are shared.
func rowsOf(l event.Layout, rowIDs bool, cols []*vector.Vector) *event.Rows {
	r := &event.Rows{TS: cols[0].I64}
	cols = cols[1:]
	if rowIDs {
		r.RowID, cols = cols[0].I64, cols[1:]
	}
	if l.Tie {
		r.Tie, cols = cols[0], cols[1:]
	}
	r.Cols = cols
	return r
}
