package pointintime

import (
	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// filterOf is the filter column of p, nil where it has none.
func filterOf(p *event.Partial, r *event.Rows) *vector.Vector {
	if p.Filter < 0 {
		return nil
	}
	return r.Cols[p.Filter]
}

// addRows adds the rows from ≤ i < to that the filter lets pass.
func addRows(s functions.State, in *functions.Input, filter *vector.Vector, from, to int) {
	if filter == nil {
		for i := from; i < to; i++ {
			s.Update(in, i)
		}
		return
	}
	for i := from; i < to; i++ {
		if filter.Bool(i) {
			s.Update(in, i)
		}
	}
}

// running is the state of a window that moves forward over the rows of one key. Rows are named by their place.
type running interface {
	// begin starts a key: lo and hi are the windows of all its cuts, ascending each; window i is rows lo[i] ≤ r < hi[i],
	// empty where lo[i] ≥ hi[i].
	begin(in *functions.Input, filter *vector.Vector, lo, hi []int)
	// at is the state of window i, valid until the next call. i ascends.
	at(i int) functions.State
}

// newRunning is the cheapest running state of an aggregate.
func newRunning(a functions.Aggregate, mode Mode) running {
	if inv, ok := a.New().(functions.Inverter); ok && mode != ModeRecompute {
		bounded, _ := inv.(functions.Bounded)
		return &sliding{state: inv, bounded: bounded}
	}
	return &stacks{state: a.New(), sum: a.New(), back: a.New(), agg: a, recompute: mode == ModeRecompute}
}

// sliding adds rows that enter and takes away those that leave; where more leave than stay, or the state exceeds max_state and may
// have lost rows, it starts anew. Rows leave before others enter, so that every state on the way is of a subset of a window.
type sliding struct {
	state   functions.Inverter
	bounded functions.Bounded // the state, where max_state bounds it
	in      *functions.Input
	filter  *vector.Vector
	lo, hi  []int
	a, b    int // the state holds rows a ≤ r < b
}

func (s *sliding) begin(in *functions.Input, filter *vector.Vector, lo, hi []int) {
	s.in, s.filter, s.lo, s.hi = in, filter, lo, hi
	s.state.Reset()
	s.a, s.b = 0, 0
}

func (s *sliding) at(i int) functions.State {
	lo, hi := s.lo[i], s.hi[i]
	switch {
	case lo >= hi || lo >= s.b || lo-s.a > s.b-lo || s.bounded != nil && lo > s.a && s.bounded.TooLarge():
		if s.a < s.b {
			s.state.Reset()
		}
		s.b = lo
	default:
		for r := s.a; r < lo; r++ {
			if s.filter == nil || s.filter.Bool(r) {
				s.state.Retract(s.in, r)
			}
		}
	}
	s.a = lo
	if s.b < hi {
		addRows(s.state, s.in, s.filter, s.b, hi)
		s.b = hi
	}
	return s.state
}

// Bounds of two stacks.
const (
	// recomputeMax is the longest window that is computed anew for each cut: below it merging states costs more.
	recomputeMax = 12
	// maxFront bounds the states that the front stack of a window holds.
	maxFront = 256
)

// stacks is a queue of two stacks for states that cannot take rows away. The front holds, for the rows before mid, the
// state of every suffix that a coming cut starts at (the cuts are known beforehand, so there is one state a cut and not
// one a row); the back is the state of the rows from mid on. When the front is used up, mid moves to the window's end.
type stacks struct {
	agg       functions.Aggregate
	recompute bool
	in        *functions.Input
	filter    *vector.Vector
	lo, hi    []int

	state  functions.State // of a window computed anew, and of front and back together
	sum    functions.State // of the suffix being built
	back   functions.State // of rows mid ≤ r < b
	mid, b int
	front  []suffix // descending
	free   []functions.State
}

type suffix struct {
	lo    int
	state functions.State
}

func (s *stacks) begin(in *functions.Input, filter *vector.Vector, lo, hi []int) {
	s.in, s.filter, s.lo, s.hi = in, filter, lo, hi
	s.clear()
	s.mid, s.b = 0, 0
}

func (s *stacks) clear() {
	for _, f := range s.front {
		s.free = append(s.free, f.state)
	}
	s.front = s.front[:0]
}

func (s *stacks) at(i int) functions.State {
	lo, hi := s.lo[i], s.hi[i]
	if s.recompute || hi-lo <= recomputeMax {
		s.state.Reset()
		if lo < hi {
			addRows(s.state, s.in, s.filter, lo, hi)
		}
		return s.state
	}
	if lo >= s.mid {
		s.flip(i)
	}
	if s.b < hi {
		addRows(s.back, s.in, s.filter, s.b, hi)
		s.b = hi
	}
	for len(s.front) > 0 && s.front[len(s.front)-1].lo < lo {
		s.free = append(s.free, s.front[len(s.front)-1].state)
		s.front = s.front[:len(s.front)-1]
	}
	f := s.front[len(s.front)-1].state
	if s.mid == s.b {
		return f
	}
	s.state.Reset()
	s.state.Merge(f)
	s.state.Merge(s.back)
	return s.state
}

// flip moves mid into or to the end of window i and builds the suffixes that the cuts from i on start at.
func (s *stacks) flip(i int) {
	s.clear()
	mid := s.hi[i]
	var starts []int // ascending, distinct
	for j := i; j < len(s.lo) && s.lo[j] < mid; j++ {
		if n := len(starts); n > 0 && starts[n-1] == s.lo[j] {
			continue
		}
		if len(starts) == maxFront {
			mid = s.lo[j]
			break
		}
		starts = append(starts, s.lo[j])
	}
	s.sum.Reset()
	at := mid
	for n := len(starts) - 1; n >= 0; n-- {
		addRows(s.sum, s.in, s.filter, starts[n], at)
		at = starts[n]
		var st functions.State
		if k := len(s.free); k > 0 {
			st, s.free = s.free[k-1], s.free[:k-1]
			st.Reset()
		} else {
			st = s.agg.New()
		}
		st.Merge(s.sum)
		s.front = append(s.front, suffix{starts[n], st})
	}
	s.back.Reset()
	s.mid, s.b = mid, mid
}
