package functions

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// newestVersion is the version of the states of last, last_k and latest.
const newestVersion = 1

// newest is what last (k = 1), last_k and latest (k = 1) share: the k rows that come last by event time, then primary key, then
// the value.
type newest struct {
	name  string
	args  []vector.Type // the value; a constant k is no argument of rows
	k     int
	nulls bool // NULL is a value, before all others; otherwise rows that have it are skipped
}

func bindNewest(name string, t vector.Type, k int) (*newest, error) {
	if t.Buffer() == vector.BufNested {
		return nil, &BindError{codeUnsupported, fmt.Sprintf("%s of %s is not supported", name, t), "Aggregate a scalar, for instance an element of it."}
	}
	return &newest{name: name, args: []vector.Type{t}, k: k}, nil
}

func (a *newest) ArgTypes() []vector.Type { return a.args }

// PartialSQL ranks rows. Where the value breaks ties DuckDB must order it as its bytes are; it does not so order intervals, so
// for them every row that ties for a rank comes back, and the state chooses.
func (a *newest) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	mustDuckDB(d)
	t := a.args[0]
	tie := in.Tie
	if tie == "" {
		tie = "''::BLOB"
	}
	rank, by := "row_number()", "ts DESC, tie DESC, a0 DESC NULLS LAST"
	var notNull []string
	if !a.nulls {
		notNull = in.Args[:1]
	}
	if t.Kind == vector.Interval {
		rank, by = "rank()", "ts DESC, tie DESC"
	}
	partition := ""
	for i := range in.Keys {
		partition += []string{"PARTITION BY ", ", "}[min(i, 1)] + fmt.Sprintf("k%d", i)
	}
	names := keyNames(in)
	sql := fmt.Sprintf("SELECT %[1]sts, tie, a0 FROM (SELECT %[1]sts, tie, a0, %[2]s OVER (%[3]s ORDER BY %[4]s) AS r FROM %[5]s) AS q1 WHERE r <= %[6]d",
		names, rank, partition, by,
		base(in, []string{"CAST(" + in.TS + " AS BIGINT) AS ts", tie + " AS tie", normal(t, in.Args[0]) + " AS a0"}, notNull...), a.k)
	return PartialQuery{SQL: sql, Columns: 3, Fold: func(s State, cols []*vector.Vector, i int) error {
		if err := stateColumns(a.name, cols, vector.BufI64, vector.BufBytes, t.Buffer()); err != nil {
			return err
		}
		e := dated{ts: cols[0].I64[i], tie: cols[1].Bytes(i)}
		e.load(cols[2], i)
		s.(*newestState).offer(&e)
		return nil
	}}
}

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

// newestState is at most k values, newest first. Slots beyond len(at) keep their memory for later values.
type newestState struct {
	agg *newest
	at  []dated
	// finish appends the value of a state that is not empty.
	finish func(s *newestState, out *vector.Vector)
}

var _ State = (*newestState)(nil)

func (s *newestState) Update(in *Input, row int) {
	v := in.Args[0]
	if v.IsNull(row) && !s.agg.nulls {
		return
	}
	e := dated{ts: in.TS[row]}
	if n := len(s.at); n == s.agg.k && e.ts < s.at[n-1].ts {
		return
	}
	if in.Tie != nil {
		e.tie = in.Tie.Bytes(row)
	}
	e.load(v, row)
	s.offer(&e)
}

// offer adds a copy of e if it is among the k newest and reports whether it was.
func (s *newestState) offer(e *dated) bool {
	n, t := len(s.at), s.agg.args[0]
	lo, hi := 0, n // the first place whose value is not newer than e
	for lo < hi {
		if m := (lo + hi) / 2; s.at[m].compare(t, e) > 0 {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == s.agg.k {
		return false
	}
	switch {
	case n == s.agg.k:
		n--
	case n < cap(s.at):
		s.at = s.at[:n+1]
	default:
		s.at = append(s.at, dated{})
	}
	free := s.at[n] // its buffers serve the new value
	copy(s.at[lo+1:n+1], s.at[lo:n])
	free.ts, free.tie, free.null = e.ts, append(free.tie[:0], e.tie...), e.null
	free.x.keep(&e.x)
	s.at[lo] = free
	return true
}

func (s *newestState) Merge(o State) {
	from := o.(*newestState).at
	for i := range from {
		if !s.offer(&from[i]) {
			return
		}
	}
}

func (s *newestState) MergeEncoded(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	name, t := s.agg.name, s.agg.args[0]
	b, err := open(b, newestVersion, name)
	if err != nil {
		return err
	}
	if len(b) == 0 {
		return badState(name, "no value")
	}
	var last dated
	for n := 0; len(b) > 0; n++ {
		var e dated
		u, rest, ok := uvarint(b)
		if !ok {
			return badState(name, "no time")
		}
		if e.ts = unzigzag(u); n > 0 {
			if e.ts = int64(uint64(last.ts) - u); e.ts > last.ts {
				return badState(name, "time out of range")
			}
		}
		var value []byte
		if e.tie, rest, ok = prefixed(rest); ok {
			value, e.null, rest, ok = s.agg.value(rest)
		}
		switch {
		case !ok:
			return badState(name, "cut short")
		case !e.null && !e.x.decode(t, value):
			return badState(name, "no "+t.String())
		case n == s.agg.k:
			return badState(name, "too many values")
		case n > 0 && last.compare(t, &e) < 0:
			return badState(name, "not in order")
		}
		s.offer(&e)
		last, b = e, rest
	}
	return nil
}

// value reads a value's length and bytes. Where NULL is a value its length is 0, and the others' are one more than they are.
func (a *newest) value(b []byte) (value []byte, null bool, rest []byte, ok bool) {
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

func (s *newestState) Append(dst []byte) []byte {
	if len(s.at) == 0 {
		return dst
	}
	dst = append(dst, newestVersion)
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
			dst = binary.AppendUvarint(dst, uint64(s.at[i-1].ts)-uint64(e.ts))
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

func (s *newestState) Finalize(out *vector.Vector) error {
	if len(s.at) == 0 {
		out.AppendNull()
		return nil
	}
	s.finish(s, out)
	return nil
}

func (s *newestState) Reset() { s.at = s.at[:0] }
