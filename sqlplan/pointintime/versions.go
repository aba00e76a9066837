package pointintime

import (
	"cmp"
	"slices"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// Labels may have a position each: JoinSpec.Life then says at which positions a row version is there, and a label counts those that are
// there at its own. The versions of a key are read once, whatever the number of positions; its labels are taken in the order of
// positions, and from one to the next a state changes by what came, went, and entered or left the window.

// history is the row versions of one key at the positions of its labels.
type history struct {
	first    int      // place of the first row
	from, to []uint64 // by row: it is there at positions from ≤ p < to
	at       []uint64 // positions, by label
	order    []int    // labels in the order of positions, then of cuts
	changes  []change // by position
}

// change is a row that comes or goes.
type change struct {
	position uint64
	row      int
}

// load takes the rows from ≤ i < to of a key, and its labels' positions.
func (h *history) load(life func(uint64) (from, to uint64), rows *event.Rows, from, to int, positions []int64) {
	h.first, h.from, h.to, h.at, h.order, h.changes = from, h.from[:0], h.to[:0], h.at[:0], h.order[:0], h.changes[:0]
	for i, p := range positions {
		h.at, h.order = append(h.at, uint64(p)), append(h.order, i)
	}
	slices.SortStableFunc(h.order, func(a, b int) int { return cmp.Compare(h.at[a], h.at[b]) })
	least, most := h.at[h.order[0]], h.at[h.order[len(h.order)-1]]
	for i := from; i < to; i++ {
		came, went := life(uint64(rows.RowID[i]))
		h.from, h.to = append(h.from, came), append(h.to, went)
		if came > least && came <= most {
			h.changes = append(h.changes, change{came, i})
		}
		if went > least && went <= most {
			h.changes = append(h.changes, change{went, i})
		}
	}
	slices.SortFunc(h.changes, func(a, b change) int { return cmp.Compare(a.position, b.position) })
}

// there reports whether a row is there at a position.
func (h *history) there(row int, position uint64) bool {
	i := row - h.first
	return h.from[i] <= position && position < h.to[i]
}

// until is the number of changes up to a position, counted on from n.
func (h *history) until(n int, position uint64) int {
	for n < len(h.changes) && h.changes[n].position <= position {
		n++
	}
	return n
}

// add adds the rows from ≤ i < to that are there at a position and that the filter lets pass.
func (h *history) add(s functions.State, in *functions.Input, filter *vector.Vector, from, to int, position uint64) {
	for i := from; i < to; i++ {
		if h.there(i, position) && (filter == nil || filter.Bool(i)) {
			s.Update(in, i)
		}
	}
}

// newVersioned is the cheapest running state of an aggregate over a history. Its labels are asked for in the history's order.
func newVersioned(h *history, a functions.Aggregate, mode Mode) running {
	if inv, ok := a.New().(functions.Inverter); ok && mode != ModeRecompute {
		bounded, _ := inv.(functions.Bounded)
		return &drifting{h: h, state: inv, bounded: bounded}
	}
	return &blocks{h: h, agg: a, state: a.New(), recompute: mode == ModeRecompute}
}

// drifting adds rows that come or enter and takes away those that go or leave; where that is more than the window has, or the state
// exceeds max_state and may have lost rows, it starts anew. Rows leave before others enter, as sliding has it.
type drifting struct {
	h        *history
	state    functions.Inverter
	bounded  functions.Bounded
	in       *functions.Input
	filter   *vector.Vector
	lo, hi   []int
	a, b     int    // the state holds the rows a ≤ r < b
	position uint64 // that are there at this position
	done     int    // changes up to it
}

func (s *drifting) begin(in *functions.Input, filter *vector.Vector, lo, hi []int) {
	s.in, s.filter, s.lo, s.hi = in, filter, lo, hi
	s.state.Reset()
	s.a, s.b, s.position, s.done = 0, 0, 0, 0
}

func (s *drifting) at(i int) functions.State {
	h, was, is := s.h, s.position, s.h.at[i]
	lo, hi := s.lo[i], max(s.lo[i], s.hi[i])
	done := h.until(s.done, is)
	changes := h.changes[s.done:done]
	from, to := max(s.a, lo), min(s.b, hi) // what stays
	moved := s.b - s.a + hi - lo - 2*(to-from) + len(changes)
	if from >= to || moved > hi-lo || s.bounded != nil && moved > 0 && s.bounded.TooLarge() {
		s.state.Reset()
		h.add(s.state, s.in, s.filter, lo, hi, is)
	} else {
		s.retract(s.a, from, was)
		s.retract(to, s.b, was)
		for _, c := range changes {
			if c.row >= from && c.row < to && h.there(c.row, was) && !h.there(c.row, is) {
				s.retract(c.row, c.row+1, was)
			}
		}
		h.add(s.state, s.in, s.filter, lo, from, is)
		h.add(s.state, s.in, s.filter, to, hi, is)
		for _, c := range changes {
			if c.row >= from && c.row < to && !h.there(c.row, was) && h.there(c.row, is) {
				h.add(s.state, s.in, s.filter, c.row, c.row+1, is)
			}
		}
	}
	s.a, s.b, s.position, s.done = lo, hi, is, done
	return s.state
}

func (s *drifting) retract(from, to int, position uint64) {
	for r := from; r < to; r++ {
		if s.h.there(r, position) && (s.filter == nil || s.filter.Bool(r)) {
			s.state.Retract(s.in, r)
		}
	}
}

// Bounds of blocks.
const (
	// blockRows is how many rows a block has at least: below, merging states costs more.
	blockRows = 16
	// maxBlocks bounds the blocks of a key, and so the states that are held, of which there are twice as many.
	maxBlocks = 1024
)

// blocks is a binary tree over blocks of rows, for states that cannot take rows away: a node has the state of the rows below it that are
// there. A row that comes or goes makes the nodes above it void; they are computed again when a window holds them.
type blocks struct {
	h         *history
	agg       functions.Aggregate
	recompute bool
	in        *functions.Input
	filter    *vector.Vector
	lo, hi    []int

	state    functions.State
	rows     int // of a block
	size     int // leaves: a power of two
	nodes    []node
	position uint64
	done     int
}

// node is a node of the tree: node k has the children 2k and 2k + 1, and leaf i is node size + i. Where it is good, so are its children.
type node struct {
	state functions.State
	good  bool
}

func (s *blocks) begin(in *functions.Input, filter *vector.Vector, lo, hi []int) {
	s.in, s.filter, s.lo, s.hi = in, filter, lo, hi
	s.position, s.done = 0, 0
	n := len(s.h.from)
	s.rows = max(blockRows, (n+maxBlocks-1)/maxBlocks)
	for s.size = 1; s.size*s.rows < n; {
		s.size *= 2
	}
	for i := range s.nodes {
		s.nodes[i].good = false
	}
	for len(s.nodes) < 2*s.size {
		s.nodes = append(s.nodes, node{})
	}
}

func (s *blocks) at(i int) functions.State {
	h := s.h
	s.position = h.at[i]
	done := h.until(s.done, s.position)
	for _, c := range h.changes[s.done:done] {
		for k := s.size + (c.row-h.first)/s.rows; k > 0 && s.nodes[k].good; k /= 2 {
			s.nodes[k].good = false
		}
	}
	s.done = done
	s.state.Reset()
	lo, hi := s.lo[i], s.hi[i]
	from, to := (lo-h.first+s.rows-1)/s.rows, (hi-h.first)/s.rows // whole blocks
	if s.recompute || from >= to {
		h.add(s.state, s.in, s.filter, lo, hi, s.position)
		return s.state
	}
	h.add(s.state, s.in, s.filter, lo, h.first+from*s.rows, s.position)
	for l, r := from+s.size, to+s.size; l < r; l, r = l/2, r/2 {
		if l%2 == 1 {
			s.state.Merge(s.node(l))
			l++
		}
		if r%2 == 1 {
			r--
			s.state.Merge(s.node(r))
		}
	}
	h.add(s.state, s.in, s.filter, h.first+to*s.rows, hi, s.position)
	return s.state
}

// node is the state of a node's rows.
func (s *blocks) node(k int) functions.State {
	n := &s.nodes[k]
	if n.good {
		return n.state
	}
	if n.state == nil {
		n.state = s.agg.New()
	} else {
		n.state.Reset()
	}
	if k >= s.size {
		from := s.h.first + (k-s.size)*s.rows
		s.h.add(n.state, s.in, s.filter, from, from+s.rows, s.position)
	} else {
		n.state.Merge(s.node(2 * k))
		n.state.Merge(s.node(2*k + 1))
	}
	n.good = true
	return n.state
}
