package runs

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// Sorted is rows of one partition grouped by key, each group in event.Compare order (without row ids: in time and primary
// key order). Groups are numbered in no particular order. It belongs to the Sorter that made it and is valid until that
// sorts again; a Sorted that nobody sorts over may be read by several goroutines.
type Sorted struct {
	Rows  *event.Rows // Key is nil
	First []int       // group g is rows First[g] ≤ i < First[g+1]
	table *keyTable
}

// Groups is the number of groups; with SortOptions.Within, some may be empty.
func (s *Sorted) Groups() int { return len(s.First) - 1 }

// AppendKey appends the encoded key of a group.
func (s *Sorted) AppendKey(dst []byte, group int) []byte { return s.table.appendKey(dst, group) }

// Find is the group of an encoded key, or -1.
func (s *Sorted) Find(key []byte) int { return int(s.table.key(key, false)) }

// ByKey is the groups in the byte order of their keys.
func (s *Sorted) ByKey() []int32 {
	out := make([]int32, s.Groups())
	for i := range out {
		out[i] = int32(i)
	}
	slices.SortFunc(out, s.table.compare)
	return out
}

// SortOptions say which rows are sorted.
type SortOptions struct {
	// Within keeps only keys that it has, and takes over its numbers of groups.
	Within *Sorted
	// Bounds, by group of Within, keeps only rows whose times lie in them.
	Bounds []event.Interval
}

// Sorter sorts partitions. It keeps its memory from one to the next, and is used by one goroutine.
type Sorter struct {
	out   Sorted
	table keyTable
	ids   []int32
	pos   []uint32
	next  []uint32
	pack  []uint64
	heads []uint32
	ends  []uint32
	pairs []pair
	perm  []uint32
	tmpI  []int64
	tmpF  []float64
	tmpD  []vector.Int128
	tmpP  []uint32
	tmpB  []bool
}

type pair struct {
	ts int64
	i  uint32
}

// Sort sorts partition p of b, which is finished. Different partitions may be sorted at once by different sorters.
//
// Keys are numbered in a hash table, rows of fixed width are scattered straight to their group in the order of arrival
// (a counting sort, which leaves a partition's columns in cache), and a group is ordered by time only if it is not
// already. Columns of variable width are moved once, when all positions are known.
func (s *Sorter) Sort(b *Builder, p int, opt SortOptions) (*Sorted, error) {
	table, insert := &s.table, true
	if opt.Within != nil {
		table, insert = opt.Within.table, false
	} else {
		table.reset()
	}
	s.ids = s.ids[:0]
	var blocks []*block
	if err := b.eachBlock(p, func(bl *block) error {
		blocks = append(blocks, bl)
		s.ids = slices.Grow(s.ids, bl.n())
		s.number(table, insert, bl, opt.Bounds)
		return nil
	}); err != nil {
		return nil, err
	}
	groups := table.len()
	s.out.table = table
	s.next = resize(s.next, groups+1)
	clear(s.next)
	for _, id := range s.ids {
		s.next[id+1]++ // -1, a row that is left out, counts at 0
	}
	dropped := s.next[0]
	n := uint32(len(s.ids)) - dropped
	s.out.First = resize(s.out.First, groups+1)
	at := uint32(0)
	for g := range groups {
		c := s.next[g+1]
		s.out.First[g] = int(at)
		s.next[g+1] = at
		at += c
	}
	s.out.First[groups] = int(n)
	s.scatter(b, blocks, int(n))
	return &s.out, nil
}

// number appends the group of every row of a block to ids, -1 for rows to leave out.
func (s *Sorter) number(table *keyTable, insert bool, bl *block, bounds []event.Interval) {
	from := len(s.ids)
	switch {
	case bl.keys == nil && table.bytes == nil:
		for _, w := range bl.words {
			s.ids = append(s.ids, table.word(w, insert))
		}
	case bl.keys == nil:
		var buf [wordKeyLen]byte
		for _, w := range bl.words {
			s.ids = append(s.ids, table.key(appendWord(buf[:0], w), insert))
		}
	default:
		for i := range bl.keys.N {
			s.ids = append(s.ids, table.key(bl.keys.Bytes(i), insert))
		}
	}
	if bounds == nil {
		return
	}
	ids := s.ids[from:]
	for i, ts := range bl.rows.TS {
		if id := ids[i]; id >= 0 && (ts < bounds[id].Lo || ts >= bounds[id].Hi) {
			ids[i] = -1
		}
	}
}

// resize is a slice of length n with the memory of s where that is enough. Its values are undefined.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}

// fixedWidth reports whether values of t have a slot each.
func fixedWidth(t vector.Type) bool {
	switch t.Buffer() {
	case vector.BufI64, vector.BufF64, vector.BufI128:
		return true
	}
	return false
}

// scatter fills out.Rows from the blocks.
func (s *Sorter) scatter(b *Builder, blocks []*block, n int) {
	l := b.layout
	if s.out.Rows == nil {
		s.out.Rows = newRows(l, b.opt.RowIDs, 0)
	}
	out := s.out.Rows
	out.TS = resize(out.TS, n)
	if out.RowID != nil {
		out.RowID = resize(out.RowID, n)
	}
	loose := l.Tie // columns of variable width exist
	for c, t := range l.Columns {
		v := out.Cols[c]
		v.Reset()
		if !fixedWidth(t) {
			loose = true
			continue
		}
		v.N = n
		switch t.Buffer() {
		case vector.BufI64:
			v.I64 = resize(v.I64, n)
		case vector.BufF64:
			v.F64 = resize(v.F64, n)
		case vector.BufI128:
			v.I128 = resize(v.I128, n)
		}
		for _, bl := range blocks {
			if bl.rows.Cols[c].Valid != nil {
				v.Valid = make([]uint64, (n+63)/64)
				for i := range v.Valid {
					v.Valid[i] = ^uint64(0)
				}
				break
			}
		}
	}
	if loose {
		s.perm = resize(s.perm, n)
	}
	row := 0
	for _, bl := range blocks {
		ids := s.ids[row : row+bl.n()]
		s.pos = resize(s.pos, len(ids))
		const out32 = ^uint32(0)
		for i, id := range ids {
			if id < 0 {
				s.pos[i] = out32
				continue
			}
			at := s.next[id+1]
			s.next[id+1] = at + 1
			s.pos[i] = at
		}
		put(out.TS, bl.rows.TS, s.pos)
		if out.RowID != nil {
			put(out.RowID, bl.rows.RowID, s.pos)
		}
		for c, t := range l.Columns {
			src, dst := bl.rows.Cols[c], out.Cols[c]
			switch t.Buffer() {
			case vector.BufI64:
				put(dst.I64, src.I64, s.pos)
			case vector.BufF64:
				put(dst.F64, src.F64, s.pos)
			case vector.BufI128:
				put(dst.I128, src.I128, s.pos)
			default:
				continue
			}
			if src.Valid != nil {
				for i, at := range s.pos {
					if at != out32 && src.IsNull(i) {
						dst.Valid[at>>6] &^= 1 << (at & 63)
					}
				}
			}
		}
		if loose {
			for i, at := range s.pos {
				if at != out32 {
					s.perm[at] = uint32(row + i)
				}
			}
		}
		row += len(ids)
	}
	var all *event.Rows // the columns of variable width of all blocks, one after the other
	if loose {
		all = &event.Rows{}
		if l.Tie {
			all.Tie = vector.New(vector.T(vector.Bytes), row)
		}
		for c, t := range l.Columns {
			if fixedWidth(t) {
				continue
			}
			for len(all.Cols) <= c {
				all.Cols = append(all.Cols, nil)
			}
			all.Cols[c] = vector.New(t, row)
		}
		for _, bl := range blocks {
			if l.Tie {
				all.Tie.AppendRange(bl.rows.Tie, 0, bl.n())
			}
			for c, v := range all.Cols {
				if v != nil {
					v.AppendRange(bl.rows.Cols[c], 0, bl.n())
				}
			}
		}
	}
	for g := range s.out.Groups() {
		s.order(s.out.First[g], s.out.First[g+1], loose, all)
	}
	if loose {
		if l.Tie {
			out.Tie = resetVector(out.Tie)
			appendSel(out.Tie, all.Tie, s.perm)
		}
		for c, v := range all.Cols {
			if v != nil {
				appendSel(out.Cols[c], v, s.perm)
			}
		}
	}
}

func resetVector(v *vector.Vector) *vector.Vector {
	v.Reset()
	return v
}

// put stores src[i] at dst[pos[i]], but for rows that are left out.
func put[T any](dst, src []T, pos []uint32) {
	src = src[:len(pos)]
	for i, at := range pos {
		if int(at) < len(dst) {
			dst[at] = src[i]
		}
	}
}

// order sorts the group of rows from ≤ i < to unless it is sorted.
func (s *Sorter) order(from, to int, loose bool, all *event.Rows) {
	n := to - from
	ts := s.out.Rows.TS[from:to]
	rise, ties := true, false
	lo, hi := int64(0), int64(0)
	if n > 0 {
		lo, hi = ts[0], ts[0]
	}
	for i := 1; i < n; i++ {
		a, b := ts[i-1], ts[i]
		if a >= b {
			if a == b {
				ties = true
			} else {
				rise = false
			}
		}
		lo, hi = min(lo, b), max(hi, b)
	}
	if rise && !ties {
		return
	}
	perm := resize(s.tmpP, n)
	s.tmpP = perm
	shift := bits.Len(uint(n - 1))
	if span := uint64(hi) - uint64(lo); bits.Len64(span)+shift <= 64 {
		// Time and place fit a word: sorting words needs no comparison function.
		pack := resize(s.pack, n)
		s.pack = pack
		for i, t := range ts {
			pack[i] = (uint64(t)-uint64(lo))<<shift | uint64(i)
		}
		if !rise {
			s.sortWords(pack, (uint64(hi)-uint64(lo))<<shift|uint64(n-1))
		}
		mask := uint64(1)<<shift - 1
		for i, x := range pack {
			perm[i] = uint32(x & mask)
		}
	} else {
		pairs := resize(s.pairs, n)
		s.pairs = pairs
		for i, t := range ts {
			pairs[i] = pair{t, uint32(i)}
		}
		slices.SortFunc(pairs, func(a, b pair) int {
			if c := cmp.Compare(a.ts, b.ts); c != 0 {
				return c
			}
			return cmp.Compare(a.i, b.i)
		})
		for i := range pairs {
			perm[i] = pairs[i].i
		}
	}
	s.breakTies(from, perm, loose, all)
	s.apply(from, perm, loose)
}

// breakTies orders rows of equal time within perm, places relative to from, by primary key and row id.
func (s *Sorter) breakTies(from int, perm []uint32, loose bool, all *event.Rows) {
	out := s.out.Rows
	if out.RowID == nil && (all == nil || all.Tie == nil) {
		return
	}
	ts := out.TS[from:]
	for i := 0; i < len(perm); {
		j := i + 1
		for j < len(perm) && ts[perm[j]] == ts[perm[i]] {
			j++
		}
		if j-i > 1 {
			slices.SortFunc(perm[i:j], func(a, b uint32) int {
				if all != nil && all.Tie != nil {
					if c := vector.Compare(all.Tie, int(s.perm[from+int(a)]), all.Tie, int(s.perm[from+int(b)])); c != 0 {
						return c
					}
				}
				if out.RowID == nil {
					return 0
				}
				return cmp.Compare(out.RowID[from+int(a)], out.RowID[from+int(b)])
			})
		}
		i = j
	}
}

// apply moves the rows of a group to where perm says: row i comes from place perm[i], relative to from.
func (s *Sorter) apply(from int, perm []uint32, loose bool) {
	n, out := len(perm), s.out.Rows
	s.tmpI = permute(out.TS[from:from+n], perm, s.tmpI)
	if out.RowID != nil {
		s.tmpI = permute(out.RowID[from:from+n], perm, s.tmpI)
	}
	for _, v := range out.Cols {
		switch v.Type.Buffer() {
		case vector.BufI64:
			s.tmpI = permute(v.I64[from:from+n], perm, s.tmpI)
		case vector.BufF64:
			s.tmpF = permute(v.F64[from:from+n], perm, s.tmpF)
		case vector.BufI128:
			s.tmpD = permute(v.I128[from:from+n], perm, s.tmpD)
		default:
			continue
		}
		if v.Valid != nil {
			valid := resize(s.tmpB, n)
			s.tmpB = valid
			for i, at := range perm {
				valid[i] = !v.IsNull(from + int(at))
			}
			for i, ok := range valid {
				j := from + i
				if ok {
					v.Valid[j>>6] |= 1 << (uint(j) & 63)
				} else {
					v.Valid[j>>6] &^= 1 << (uint(j) & 63)
				}
			}
		}
	}
	if loose {
		tmp := make([]uint32, n)
		for i, at := range perm {
			tmp[i] = s.perm[from+int(at)]
		}
		copy(s.perm[from:], tmp)
	}
}

// permute reorders v by perm with the help of tmp, which it returns.
func permute[T any](v []T, perm []uint32, tmp []T) []T {
	tmp = resize(tmp, len(v))
	for i, at := range perm {
		tmp[i] = v[at]
	}
	copy(v, tmp)
	return tmp
}

// Bounds of sorting by distribution.
const (
	insertionMax = 24      // the longest group that insertion sorts fastest
	maxBuckets   = 1 << 11 // their counts stay in the first-level cache
)

// sortWords sorts distinct words of which none is greater than hi, by dealing them to buckets by their highest bits, in place:
// times spread evenly leave a word or two a bucket. Words that crowd into one are sorted by comparing.
func (s *Sorter) sortWords(w []uint64, hi uint64) {
	if len(w) <= insertionMax {
		insertionSort(w)
		return
	}
	buckets := min(1<<bits.Len(uint(len(w)-1)), maxBuckets)
	shift := max(0, bits.Len64(hi)-bits.Len(uint(buckets-1)))
	s.heads, s.ends = resize(s.heads, buckets), resize(s.ends, buckets)
	next, end := s.heads, s.ends
	clear(end)
	for _, x := range w {
		end[x>>shift]++
	}
	at := uint32(0)
	for b, n := range end {
		next[b] = at
		at += n
		end[b] = at
	}
	for b := range end {
		for at := next[b]; at < end[b]; at++ {
			// A word that belongs elsewhere goes there and the one that it displaces is next, until one comes back here.
			x := w[at]
			for to := x >> shift; to != uint64(b); to = x >> shift {
				place := next[to]
				next[to] = place + 1
				x, w[place] = w[place], x
			}
			w[at] = x
		}
		next[b] = end[b]
	}
	from := uint32(0)
	for _, to := range end {
		switch n := to - from; {
		case n > insertionMax:
			slices.Sort(w[from:to])
		case n > 1:
			insertionSort(w[from:to])
		}
		from = to
	}
}

func insertionSort(w []uint64) {
	for i := 1; i < len(w); i++ {
		x := w[i]
		j := i
		for ; j > 0 && w[j-1] > x; j-- {
			w[j] = w[j-1]
		}
		w[j] = x
	}
}
