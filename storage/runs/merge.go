package runs

import (
	"math"

	"github.com/tilehouse/tilehouse/storage/event"
)

// maxTS is greater than the time of any row.
const maxTS = math.MaxInt64

// span is rows from ≤ i < to of one source, in order.
type span struct {
	src      int
	rows     *event.Rows
	from, to int
}

// spanSource yields spans that follow each other in order; an empty span ends it.
type spanSource interface {
	next() (span, error)
}

type spanList struct{ rest []span }

func (l *spanList) next() (span, error) {
	if len(l.rest) == 0 {
		return span{}, nil
	}
	s := l.rest[0]
	l.rest = l.rest[1:]
	return s, nil
}

// merger merges rows of one key from several sources by event.Compare. Sources are few: it looks at all of them for each
// stretch of rows, and finds the end of a stretch by galloping.
type merger struct {
	src   []spanSource
	heads []span
}

func (m *merger) reset() { m.src, m.heads = m.src[:0], m.heads[:0] }

func (m *merger) add(s spanSource) { m.src = append(m.src, s) }

// run emits the rows of all sources. What is emitted is valid during the call.
func (m *merger) run(emit func(rows *event.Rows, from, to int) error) error {
	m.heads = m.heads[:0]
	n := 0
	for _, s := range m.src {
		h, err := s.next()
		if err != nil {
			return err
		}
		if h.from < h.to {
			m.src[n] = s
			m.heads = append(m.heads, h)
			n++
		}
	}
	m.src = m.src[:n]
	for len(m.heads) > 0 {
		least, second := 0, -1
		for i := 1; i < len(m.heads); i++ {
			switch {
			case m.less(i, least):
				least, second = i, least
			case second < 0 || m.less(i, second):
				second = i
			}
		}
		h := &m.heads[least]
		to := h.to
		if second >= 0 {
			to = gallop(h, &m.heads[second])
		}
		if err := emit(h.rows, h.from, to); err != nil {
			return err
		}
		if h.from = to; h.from < h.to {
			continue
		}
		next, err := m.src[least].next()
		if err != nil {
			return err
		}
		if next.from < next.to {
			m.heads[least] = next
			continue
		}
		last := len(m.heads) - 1
		m.heads[least], m.src[least] = m.heads[last], m.src[last]
		m.heads, m.src = m.heads[:last], m.src[:last]
	}
	return nil
}

func (m *merger) less(i, j int) bool {
	a, b := &m.heads[i], &m.heads[j]
	return event.Compare(a.rows, a.from, b.rows, b.from) < 0
}

// gallop is the end of the rows of a, of which the first is not after that of b, that are not after the first of b.
func gallop(a, b *span) int {
	after := func(i int) bool { return event.Compare(a.rows, i, b.rows, b.from) > 0 }
	lo, step := a.from, 1
	for lo+step < a.to && !after(lo+step) {
		lo += step
		step *= 2
	}
	hi := min(lo+step, a.to)
	for lo++; lo < hi; {
		if mid := int(uint(lo+hi) / 2); after(mid) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}
