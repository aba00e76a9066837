package functions

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// edgeVersion is the version of the states of first, first_k, last, last_k, last_distinct_k and latest.
const edgeVersion = 1

// edge is what they share: the k rows that come last (sign 1) or first (sign −1) by event time, then primary key, then the value.
type edge struct {
	name     string
	args     []vector.Type // the value; a constant k is no argument of rows
	sign     int
	k        int
	nulls    bool // NULL is a value, before all others; otherwise rows that have it are skipped
	distinct bool // of rows with equal values only the outermost counts
}

func bindEdge(name string, args []vector.Type, sign int) (*edge, error) {
	if err := checkArgs(name, args, 1); err != nil {
		return nil, err
	}
	if t := args[0]; t.Buffer() == vector.BufNested {
		return nil, &BindError{codeUnsupported, fmt.Sprintf("%s of %s is not supported", name, t), "Aggregate a scalar, for instance an element of it."}
	}
	return &edge{name: name, args: args, sign: sign, k: 1}, nil
}

// edgeList is what the aggregates of k rows share that give all of their values: first_k, last_k and last_distinct_k.
type edgeList struct{ *edge }

var _ Aggregate = (*edgeList)(nil)

func (a *edgeList) Definition() *Definition { d, _ := Lookup(a.name); return d }
func (a *edgeList) ResultType() vector.Type { return vector.ListOf(a.args[0]) }
func (a *edgeList) New() State              { return &edgeState{agg: a.edge, finish: finishAll} }

// bindEdgeList binds an aggregate of a value and a constant k.
func bindEdgeList(name string, args []vector.Type, constants []string, sign int) (*edgeList, error) {
	k, err := bindK(name, args, constants)
	if err != nil {
		return nil, err
	}
	a, err := bindEdge(name, args[:1], sign)
	if err != nil {
		return nil, err
	}
	a.k = k
	return &edgeList{a}, nil
}

func (a *edge) ArgTypes() []vector.Type { return a.args }

// PartialSQL ranks rows. Where the value breaks ties the engine must order it as its bytes are; none so orders intervals and
// json, so for them every row that ties for a rank comes back, and the state chooses.
func (a *edge) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	t := a.args[0]
	tie := in.Tie
	if tie == "" {
		tie = d.noBytes()
	}
	order := func(columns ...string) string {
		for i, c := range columns {
			if c == "a0" {
				c = d.ordered(c, t)
			}
			if columns[i] = c + " DESC NULLS LAST"; a.sign < 0 {
				columns[i] = c + " ASC NULLS FIRST"
			}
		}
		return strings.Join(columns, ", ")
	}
	rank, by := "row_number()", order("ts", "tie", "a0")
	var notNull []string
	if !a.nulls {
		notNull = in.Args[:1]
	}
	if t.Kind == vector.Interval || t.Kind == vector.JSON {
		rank, by = "rank()", order("ts", "tie")
	}
	names := keyNames(in)
	from := base(d, in, []string{d.bigint(in.TS) + " AS ts", tie + " AS tie", normal(d, t, in.Args[0]) + " AS a0"}, notNull...)
	outermost := func(from, alias, partition string, k int) string {
		return fmt.Sprintf("(SELECT %[1]sts, tie, a0 FROM (SELECT %[1]sts, tie, a0, %[2]s OVER (%[3]s ORDER BY %[4]s) AS r FROM %[5]s) AS %[6]s WHERE r <= %[7]d)",
			names, rank, partition, by, from, alias, k)
	}
	if a.distinct {
		from = outermost(from, "q1", partitionBy(in, "a0"), 1) + " AS q2"
	}
	sql := outermost(from, "q3", partitionBy(in), a.k)
	return PartialQuery{SQL: sql[1 : len(sql)-1], Columns: 3, Fold: func(s State, cols []*vector.Vector, i int) error {
		if err := stateColumns(a.name, cols, vector.BufI64, vector.BufBytes, t.Buffer()); err != nil {
			return err
		}
		e := dated{ts: cols[0].I64[i], tie: cols[1].Bytes(i)}
		e.load(cols[2], i)
		s.(*edgeState).offer(&e)
		return nil
	}}
}

// compare orders rows: the ones that the state keeps are the greatest.
func (a *edge) compare(x, y *dated) int { return a.sign * x.compare(a.args[0], y) }

// dated is a value with what orders it.
type dated struct {
	ts   int64
	tie  []byte
	null bool // x is nothing
	x    scalar
}

// load sets the value to row i of v, whose bytes it may share.
func (e *dated) load(v *vector.Vector, i int) {
	if e.null = v.IsNull(i); !e.null {
		e.x.load(v, i)
	}
}

func (e *dated) appendTo(out *vector.Vector) {
	if e.null {
		out.AppendNull()
		return
	}
	e.x.appendTo(out)
}

// equal reports whether values are equal, whenever they were.
func (e *dated) equal(t vector.Type, o *dated) bool {
	return e.null == o.null && (e.null || compare(t, &e.x, &o.x) == 0)
}

func (e *dated) compare(t vector.Type, o *dated) int {
	if c := order(e.ts, o.ts); c != 0 {
		return c
	}
	if c := bytes.Compare(e.tie, o.tie); c != 0 {
		return c
	}
	switch {
	case e.null && o.null:
		return 0
	case e.null:
		return -1
	case o.null:
		return 1
	}
	return compare(t, &e.x, &o.x)
}

// edgeState is at most k values, outermost first. Slots beyond len(at) keep their memory for later values.
type edgeState struct {
	agg *edge
	at  []dated
	// finish appends the value of a state that is not empty.
	finish func(s *edgeState, out *vector.Vector)
}

var _ State = (*edgeState)(nil)

func (s *edgeState) Update(in *Input, row int) {
	v := in.Args[0]
	if v.IsNull(row) && !s.agg.nulls {
		return
	}
	e := dated{ts: in.TS[row]}
	if n := len(s.at); n == s.agg.k && s.agg.sign*order(e.ts, s.at[n-1].ts) < 0 {
		return
	}
	if in.Tie != nil {
		e.tie = in.Tie.Bytes(row)
	}
	e.load(v, row)
	s.offer(&e)
}

// offer adds a copy of e if it is among the k outermost, and reports whether rows further in may be so too.
func (s *edgeState) offer(e *dated) bool {
	n, a := len(s.at), s.agg
	lo, hi := 0, n // the first place whose value is not further out than e
	for lo < hi {
		if m := (lo + hi) / 2; a.compare(&s.at[m], e) > 0 {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == a.k {
		return false
	}
	last := n // the place that is given up
	if a.distinct {
		for i := range s.at {
			if s.at[i].equal(a.args[0], e) {
				if i < lo {
					return true
				}
				last, n = i, n-1
				break
			}
		}
	}
	switch {
	case n < len(s.at): // the place of an equal value
	case n == a.k:
		last = n - 1
	case n < cap(s.at):
		s.at = s.at[:n+1]
	default:
		s.at = append(s.at, dated{})
	}
	free := s.at[last] // its buffers serve the new value
	copy(s.at[lo+1:last+1], s.at[lo:last])
	free.ts, free.tie, free.null = e.ts, append(free.tie[:0], e.tie...), e.null
	free.x.keep(&e.x)
	s.at[lo] = free
	return true
}

func (s *edgeState) Merge(o State) {
	from := o.(*edgeState).at
	for i := range from {
		if !s.offer(&from[i]) {
			return
		}
	}
}

func (s *edgeState) MergeEncoded(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	a := s.agg
	name, t := a.name, a.args[0]
	b, err := open(b, edgeVersion, name)
	if err != nil {
		return err
	}
	if len(b) == 0 {
		return badState(name, "no value")
	}
	var last dated
	var seen []dated // where values must differ
	for n := 0; len(b) > 0; n++ {
		var e dated
		u, rest, ok := uvarint(b)
		if !ok {
			return badState(name, "no time")
		}
		if e.ts = unzigzag(u); n > 0 {
			if e.ts = int64(uint64(last.ts) - uint64(a.sign)*u); a.sign*order(e.ts, last.ts) > 0 {
				return badState(name, "time out of range")
			}
		}
		var value []byte
		if e.tie, rest, ok = prefixed(rest); ok {
			value, e.null, rest, ok = a.value(rest)
		}
		switch {
		case !ok:
			return badState(name, "cut short")
		case !e.null && !e.x.decode(t, value):
			return badState(name, "no "+t.String())
		case n == a.k:
			return badState(name, "too many values")
		case n > 0 && a.compare(&last, &e) < 0:
			return badState(name, "not in order")
		case slices.ContainsFunc(seen, func(o dated) bool { return o.equal(t, &e) }):
			return badState(name, "a value twice")
		}
		s.offer(&e)
		if last, b = e, rest; a.distinct {
			seen = append(seen, e)
		}
	}
	return nil
}

// value reads a value's length and bytes. Where NULL is a value its length is 0, and the others' are one more than they are.
func (a *edge) value(b []byte) (value []byte, null bool, rest []byte, ok bool) {
	n, rest, ok := uvarint(b)
	if ok && a.nulls {
		if n == 0 {
			return nil, true, rest, true
		}
		n--
	}
	if !ok || n > uint64(len(rest)) {
		return nil, false, nil, false
	}
	return rest[:n], false, rest[n:], true
}

func (s *edgeState) Append(dst []byte) []byte {
	if len(s.at) == 0 {
		return dst
	}
	dst = append(dst, edgeVersion)
	var scratch [24]byte
	more := uint64(0) // what is added to lengths
	if s.agg.nulls {
		more = 1
	}
	for i := range s.at {
		e := &s.at[i]
		if i == 0 {
			dst = binary.AppendUvarint(dst, zigzag(e.ts))
		} else {
			dst = binary.AppendUvarint(dst, uint64(s.agg.sign)*(uint64(s.at[i-1].ts)-uint64(e.ts)))
		}
		dst = append(binary.AppendUvarint(dst, uint64(len(e.tie))), e.tie...)
		switch {
		case e.null:
			dst = append(dst, 0)
		case s.agg.args[0].Buffer() == vector.BufBytes:
			dst = append(binary.AppendUvarint(dst, uint64(len(e.x.b))+more), e.x.b...)
		default:
			x := e.x.append(s.agg.args[0], scratch[:0])
			dst = append(append(dst, byte(uint64(len(x))+more)), x...)
		}
	}
	return dst
}

// finishOne appends the outermost value, finishAll an array of all, outermost first.
func finishOne(s *edgeState, out *vector.Vector) { s.at[0].appendTo(out) }

func finishAll(s *edgeState, out *vector.Vector) {
	for i := range s.at {
		s.at[i].x.appendTo(out.Child[0])
	}
	out.CloseNested()
}

func (s *edgeState) Finalize(out *vector.Vector) error {
	if len(s.at) == 0 {
		out.AppendNull()
		return nil
	}
	s.finish(s, out)
	return nil
}

func (s *edgeState) Reset() { s.at = s.at[:0] }
