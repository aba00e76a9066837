package runs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/zeebo/xxh3"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// MaxPartitions bounds the partitions of a builder and of a manifest.
const MaxPartitions = 1024

// DefaultPartitions is the number of partitions where none is asked for: at a few million rows a partition's columns fit
// a core's second-level cache while they are scattered.
const DefaultPartitions = 64

// Budget is memory that several builders share, in bytes. It counts the values of collected rows; the buffers that hold
// them may be up to twice as large while they grow. It is safe for concurrent use.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget is a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Limit is the bytes allowed.
func (b *Budget) Limit() int64 { return b.limit }

// Used is the bytes taken at present.
func (b *Budget) Used() int64 { return b.used.Load() }

// BuilderOptions configure a Builder.
type BuilderOptions struct {
	Partitions int     // 1…MaxPartitions; 0: DefaultPartitions
	Budget     *Budget // shared; nil: nothing is ever spilled
	FS         vfs.FS  // holds the spill file; may be nil where Budget is
	SpillPath  string  // name of the spill file, created on first need and removed by Close
	RowIDs     bool    // keep row ids; without them ties of (ts, primary key) stay in any order

	Progress func(part float64) // told by WriteRows of each partition written, as a part of all; nil: nobody

	Record *KeyFilter      // notes the keys added; nil: none
	Within *KeyFilter      // leaves out keys that it certainly lacks; nil: none
	Bounds *event.Interval // leaves out rows at other times; nil: none
}

// Builder collects unsorted rows from several goroutines, splits them by key hash, and sorts one partition at a time.
//
//	Add (any goroutine) ─► writer ─► block per partition ─┬─ full ─► partition's list
//	                                                      └─ budget spent ─► spill file
//	Sort(p): blocks of p, in memory and spilled ─► Sorted
//
// Close must be called, also after errors; it removes the spill file.
type Builder struct {
	layout event.Layout
	opt    BuilderOptions
	types  []vector.Type

	mu     sync.Mutex
	idle   []*writer // writers no goroutine uses
	parts  []part
	rows   int64
	file   vfs.File
	end    int64 // bytes of the spill file
	closed bool
}

// part is what is known of a partition.
type part struct {
	rows   int
	blocks []*block
	spills []spill
}

// leftOut is no partition.
const leftOut = MaxPartitions

// spill is a block in the spill file.
type spill struct {
	off, len int64
	rows     int
}

// writer is the blocks that one goroutine at a time appends to.
type writer struct {
	blocks []*block // by partition; nil until first used
	room   []uint16 // by partition: rows that its last new block takes
	words  []uint64
	part   []uint16
	count  []uint32
	sel    []uint32
	spare  []*block // emptied blocks, at most one a partition
	bytes  int
}

// NewBuilder is an empty builder for rows of a layout.
func NewBuilder(l event.Layout, opt BuilderOptions) (*Builder, error) {
	if opt.Partitions == 0 {
		opt.Partitions = DefaultPartitions
	}
	if opt.Partitions < 1 || opt.Partitions > MaxPartitions {
		return nil, fmt.Errorf("runs: %d partitions, not 1 to %d", opt.Partitions, MaxPartitions)
	}
	if opt.Budget != nil && (opt.FS == nil || opt.SpillPath == "") {
		return nil, errors.New("runs: a builder with a budget needs a place to spill")
	}
	return &Builder{layout: l, opt: opt, types: rowTypes(l, opt.RowIDs), parts: make([]part, opt.Partitions)}, nil
}

// Partitions is the number of partitions.
func (b *Builder) Partitions() int { return b.opt.Partitions }

// Rows is the number of rows added.
func (b *Builder) Rows() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rows
}

// PartitionRows is the number of rows of a partition, after Finish.
func (b *Builder) PartitionRows(p int) int { return b.parts[p].rows }

// Spilled is the bytes written to the spill file so far.
func (b *Builder) Spilled() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end
}

// Add copies rows, which have keys, into the builder. It is safe for concurrent use until Finish.
func (b *Builder) Add(r *event.Rows) error {
	n := r.N()
	if n == 0 {
		return nil
	}
	if r.Key == nil || r.Key.N != n || len(r.Cols) != len(b.layout.Columns) || (b.opt.RowIDs && len(r.RowID) != n) ||
		(b.layout.Tie && (r.Tie == nil || r.Tie.N != n)) {
		return errors.New("runs: rows do not have the builder's layout")
	}
	w := b.take()
	if w == nil {
		return errors.New("runs: the builder is closed")
	}
	full := w.add(b, r)
	b.mu.Lock()
	b.rows += int64(n)
	for p, bl := range full {
		b.parts[p].blocks = append(b.parts[p].blocks, bl...)
	}
	b.idle = append(b.idle, w)
	b.mu.Unlock()
	if b.opt.Budget != nil && b.opt.Budget.used.Load() > b.opt.Budget.limit {
		return b.spillAll()
	}
	return nil
}

func (b *Builder) take() *writer {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	if n := len(b.idle); n > 0 {
		w := b.idle[n-1]
		b.idle = b.idle[:n-1]
		return w
	}
	return &writer{blocks: make([]*block, b.opt.Partitions), room: make([]uint16, b.opt.Partitions), count: make([]uint32, b.opt.Partitions+1)}
}

// add scatters rows over the writer's blocks and returns the blocks that got full, by partition.
func (w *writer) add(b *Builder, r *event.Rows) map[int][]*block {
	n, parts := r.N(), b.opt.Partitions
	if cap(w.part) < n {
		w.part, w.sel, w.words = make([]uint16, n), make([]uint32, n), make([]uint64, n)
	}
	part, sel, words := w.part[:n], w.sel[:n], w.words[:n]
	clear(w.count)
	allWords := true
	for i := range n {
		k := r.Key.Bytes(i)
		if allWords {
			if isWord(k) {
				words[i] = wordOf(k)
			} else {
				allWords = false
			}
		}
		h := xxh3.Hash(k)
		if b.opt.Record != nil {
			b.opt.Record.add(h)
		}
		if (b.opt.Bounds != nil && (r.TS[i] < b.opt.Bounds.Lo || r.TS[i] >= b.opt.Bounds.Hi)) ||
			(b.opt.Within != nil && !b.opt.Within.has(h)) {
			part[i] = leftOut
			continue
		}
		p := partitionOf(h, parts)
		part[i] = uint16(p)
		w.count[p+1]++
	}
	if !allWords {
		words = nil
	}
	for p := range parts {
		w.count[p+1] += w.count[p]
	}
	for i, p := range part {
		if p == leftOut {
			continue
		}
		sel[w.count[p]] = uint32(i)
		w.count[p]++
	}
	var full map[int][]*block
	grown, from := 0, uint32(0)
	for p := range parts {
		to := w.count[p]
		for from < to {
			bl := w.blocks[p]
			if bl == nil {
				bl = w.fresh(b, p)
				w.blocks[p] = bl
			}
			k := min(to-from, uint32(bl.room-bl.n()))
			bl.add(r, words, sel[from:from+k])
			from += k
			grown += bl.measure()
			if bl.n() >= bl.room || bl.bytes >= blockBytes {
				if full == nil {
					full = make(map[int][]*block)
				}
				full[p] = append(full[p], bl)
				w.bytes -= bl.bytes
				w.blocks[p] = nil
			}
		}
	}
	w.bytes += grown
	if b.opt.Budget != nil {
		b.opt.Budget.used.Add(int64(grown))
	}
	return full
}

// fresh is an empty block for rows of partition p.
func (w *writer) fresh(b *Builder, p int) *block {
	if n := len(w.spare); n > 0 {
		bl := w.spare[n-1]
		w.spare = w.spare[:n-1]
		return bl
	}
	room := max(firstBlockRows, min(2*int(w.room[p]), blockRows))
	w.room[p] = uint16(room)
	return newBlock(b.layout, b.opt.RowIDs, room)
}

// Spill moves what the builder holds in memory to the spill file, so that others of the same budget have room. Without a
// budget it does nothing.
func (b *Builder) Spill() error {
	if b.opt.Budget == nil {
		return nil
	}
	return b.spillAll()
}

// spillAll writes the full blocks, and the blocks of the idle writers, to the spill file. What other goroutines are
// adding to stays; they spill in turn.
func (b *Builder) spillAll() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errors.New("runs: the builder is closed")
	}
	var buf bytes.Buffer
	for p := range b.parts {
		pt := &b.parts[p]
		for i, bl := range pt.blocks {
			if err := b.spillBlock(&buf, p, bl); err != nil {
				pt.blocks = pt.blocks[i:]
				return err
			}
			pt.blocks[i] = nil
		}
		pt.blocks = pt.blocks[:0]
	}
	for _, w := range b.idle {
		for p, bl := range w.blocks {
			if bl == nil {
				continue
			}
			n := bl.bytes
			if err := b.spillBlock(&buf, p, bl); err != nil {
				return err
			}
			w.bytes -= n
			w.blocks[p] = nil
			bl.reset()
			w.spare = append(w.spare, bl)
		}
	}
	return nil
}

// spillBlock appends a block to the spill file. The lock is held: one writer fills a disk's queue well enough.
func (b *Builder) spillBlock(buf *bytes.Buffer, p int, bl *block) error {
	if b.file == nil {
		f, err := b.opt.FS.Create(b.opt.SpillPath, vfs.WriteCategoryUnspecified)
		if err != nil {
			return fmt.Errorf("runs: spill: %w", err)
		}
		b.file = f
	}
	buf.Reset()
	if err := encodeStream(buf, bl.columns()); err != nil {
		return fmt.Errorf("runs: spill: %w", err)
	}
	n, err := b.file.Write(buf.Bytes())
	if err != nil {
		return fmt.Errorf("runs: spill: %w", err)
	}
	b.parts[p].spills = append(b.parts[p].spills, spill{b.end, int64(n), bl.n()})
	b.end += int64(n)
	b.opt.Budget.used.Add(-int64(bl.bytes))
	return nil
}

// Finish ends adding. Afterwards partitions can be sorted.
func (b *Builder) Finish() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errors.New("runs: the builder is closed")
	}
	for _, w := range b.idle {
		for p, bl := range w.blocks {
			if bl != nil {
				b.parts[p].blocks = append(b.parts[p].blocks, bl)
			}
		}
	}
	b.idle = nil
	for p := range b.parts {
		pt := &b.parts[p]
		for _, bl := range pt.blocks {
			pt.rows += bl.n()
		}
		for _, s := range pt.spills {
			pt.rows += s.rows
		}
	}
	return nil
}

// Release gives back the memory of a partition that is not needed any more.
func (b *Builder) Release(p int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, bl := range b.parts[p].blocks {
		b.charge(-bl.bytes)
	}
	b.parts[p] = part{}
}

func (b *Builder) charge(n int) {
	if b.opt.Budget != nil {
		b.opt.Budget.used.Add(int64(n))
	}
}

// eachBlock visits the blocks of a partition, spilled ones read one at a time.
func (b *Builder) eachBlock(p int, visit func(*block) error) error {
	pt := &b.parts[p]
	for _, bl := range pt.blocks {
		if err := visit(bl); err != nil {
			return err
		}
	}
	for _, s := range pt.spills {
		cols, err := decodeStream(io.NewSectionReader(b.file, s.off, s.len), b.types)
		if err != nil {
			return fmt.Errorf("runs: read back a spilled block: %w", err)
		}
		if cols[0].N != s.rows {
			return fmt.Errorf("%w: a spilled block has %d rows, not %d", ErrCorrupt, cols[0].N, s.rows)
		}
		if err := visit(blockOf(b.layout, b.opt.RowIDs, cols)); err != nil {
			return err
		}
	}
	return nil
}

// Close gives back all memory and removes the spill file. It may be called more than once.
func (b *Builder) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	for p := range b.parts {
		for _, bl := range b.parts[p].blocks {
			b.charge(-bl.bytes)
		}
		b.parts[p] = part{}
	}
	for _, w := range b.idle {
		b.charge(-w.bytes)
	}
	b.idle = nil
	if b.file == nil {
		return nil
	}
	return errors.Join(b.file.Close(), b.opt.FS.Remove(b.opt.SpillPath))
}
