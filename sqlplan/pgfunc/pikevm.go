package pgfunc

import (
	"iter"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"github.com/tilehouse/tilehouse/storage/duck"
)

// Go's matcher takes as long as it takes, and begins at the begin of a text. Long texts, and searches that begin inside of one, are
// matched by a Pike VM over the same program (regexp/syntax), which ends with its statement. It finds what Go's finds.

// vm is a search in one text.
type vm struct {
	re   *regex
	call *duck.Call
	s    string
	ncap int // positions that a thread keeps: two for the match and each group, or none
	run  threads
	next threads
	tmp  []int
	best []int

	around   syntax.EmptyOp // what holds at place at
	at       int
	prev     rune // the character before the place, −1 at the begin
	cur      rune // the one behind it, −1 at the end
	visited  int  // instructions since the last look
	finished bool // a thread matched, of which nobody asks where
}

// threads are the instructions that are tried at a place, in the order of their preference, each with its positions.
type threads struct {
	sparse, dense []uint32
	caps          []int
}

func (q *threads) has(pc uint32) bool {
	j := q.sparse[pc]
	return int(j) < len(q.dense) && q.dense[j] == pc
}

func newVM(re *regex, call *duck.Call, s string, positions bool) *vm {
	v := &vm{re: re, call: call, s: s, at: -1}
	if positions {
		v.ncap = re.prog.NumCap
	}
	n := len(re.prog.Inst)
	call.Hold(n * (16 + 16*v.ncap))
	for _, q := range []*threads{&v.run, &v.next} {
		q.sparse, q.dense, q.caps = make([]uint32, n), make([]uint32, 0, n), make([]int, 0, 16*v.ncap)
	}
	v.tmp, v.best = make([]int, v.ncap), make([]int, v.ncap)
	return v
}

// place says what the VM stands between.
func (v *vm) place(pos int) (width int) {
	v.prev, v.cur = -1, -1
	if pos > 0 {
		v.prev, _ = utf8.DecodeLastRuneInString(v.s[:pos])
	}
	return v.read(pos)
}

func (v *vm) read(pos int) (width int) {
	v.cur = -1
	if pos < len(v.s) {
		if c := v.s[pos]; c < utf8.RuneSelf {
			v.cur, width = rune(c), 1
		} else {
			v.cur, width = utf8.DecodeRuneInString(v.s[pos:])
		}
	}
	return width
}

// find is the match that begins first at pos or behind it, as the positions of it and its groups, which the next call overwrites; nil
// where there is none.
func (v *vm) find(pos int) []int {
	v.run.dense, v.next.dense, v.finished = v.run.dense[:0], v.next.dense[:0], false
	matched := false
	width := v.place(pos)
	for {
		if len(v.run.dense) == 0 {
			if matched || v.re.begins && pos > 0 {
				break
			}
			if at := v.skip(pos); at < 0 {
				break
			} else if at > pos {
				pos = at
				width = v.place(pos)
			}
		}
		if !matched {
			for i := range v.tmp {
				v.tmp[i] = -1
			}
			if v.ncap > 0 {
				v.tmp[0] = pos
			}
			v.add(&v.run, uint32(v.re.prog.Start), pos)
		}
		after := pos + width
		cur, curWidth := v.cur, width
		if curWidth > 0 {
			v.prev = cur
			width = v.read(after)
		}
		matched = v.step(cur, curWidth, pos, after, matched)
		v.call.Work(v.visited + 1)
		v.visited = 0
		if curWidth == 0 || v.finished {
			break
		}
		pos = after
		v.run, v.next = v.next, v.run
		v.next.dense = v.next.dense[:0]
	}
	if !matched {
		return nil
	}
	return v.best
}

// skip is the next place at which the expression's first characters stand, −1 where they do not.
func (v *vm) skip(pos int) int {
	const window = 1 << 18
	p := v.re.prefix
	if p == "" {
		return pos
	}
	for ; pos < len(v.s); pos += window {
		part := v.s[pos:min(len(v.s), pos+window+len(p)-1)]
		v.call.Work(len(part) / 16)
		if i := strings.Index(part, p); i >= 0 {
			return pos + i
		}
	}
	return -1
}

// step runs the threads at pos over the character cur.
func (v *vm) step(cur rune, width, pos, after int, matched bool) bool {
	for i, pc := range v.run.dense {
		inst := &v.re.prog.Inst[pc]
		caps := v.run.caps[i*v.ncap : (i+1)*v.ncap]
		v.visited++
		if v.re.longest && matched && v.ncap > 0 && v.best[0] < caps[0] {
			continue
		}
		ok := false
		switch inst.Op {
		case syntax.InstMatch:
			if v.ncap == 0 {
				v.finished = true
				return true
			}
			if !v.re.longest || !matched || v.best[1] < pos {
				copy(v.best, caps)
				v.best[1] = pos
			}
			matched = true
			if !v.re.longest { // what is preferred less is not tried
				return true
			}
			continue
		case syntax.InstRune:
			ok = inst.MatchRune(cur)
		case syntax.InstRune1:
			ok = cur == inst.Rune[0]
		case syntax.InstRuneAny:
			ok = true
		case syntax.InstRuneAnyNotNL:
			ok = cur != '\n'
		}
		if ok && width > 0 {
			copy(v.tmp, caps)
			v.add(&v.next, inst.Out, after)
		}
	}
	return matched
}

// add adds the threads that an instruction leads to without a character. v.tmp are the positions; they are as they were afterwards.
func (v *vm) add(q *threads, pc uint32, pos int) {
	for !q.has(pc) {
		v.visited += 1 + v.ncap/8
		q.sparse[pc] = uint32(len(q.dense))
		q.dense = append(q.dense, pc)
		for len(q.caps) < len(q.dense)*v.ncap {
			q.caps = append(q.caps, 0)
		}
		inst := &v.re.prog.Inst[pc]
		switch inst.Op {
		case syntax.InstFail:
			return
		case syntax.InstAlt, syntax.InstAltMatch:
			v.add(q, inst.Out, pos)
			pc = inst.Arg
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(inst.Arg)&^v.holds(pos) != 0 {
				return
			}
			pc = inst.Out
		case syntax.InstNop:
			pc = inst.Out
		case syntax.InstCapture:
			if k := int(inst.Arg); k < v.ncap {
				was := v.tmp[k]
				v.tmp[k] = pos
				v.add(q, inst.Out, pos)
				v.tmp[k] = was
				return
			}
			pc = inst.Out
		default:
			copy(q.caps[int(q.sparse[pc])*v.ncap:], v.tmp)
			return
		}
	}
}

// holds is what holds between the characters around pos, where the VM stands.
func (v *vm) holds(pos int) syntax.EmptyOp {
	if v.at != pos {
		v.at, v.around = pos, syntax.EmptyOpContext(v.prev, v.cur)
	}
	return v.around
}

// all are the matches from pos on that do not overlap: behind an empty one the search goes on a character further. Each is overwritten by
// the next.
func (v *vm) all(pos int) iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		for pos <= len(v.s) {
			m := v.find(pos)
			if m == nil {
				return
			}
			if pos = m[1]; m[0] == m[1] {
				_, w := utf8.DecodeRuneInString(v.s[pos:])
				pos += max(w, 1)
			}
			if !yield(m) {
				return
			}
		}
	}
}
