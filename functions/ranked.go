package functions

import (
	"encoding/binary"
	"fmt"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// rankedVersion is the version of the states of top_k and bottom_k.
const rankedVersion = 1

// ranked is what they share: the k greatest (sign 1) or least (sign −1) values.
type ranked struct {
	*extreme
	k int
}

func bindRanked(name string, args []vector.Type, constants []string, sign int) (*ranked, error) {
	k, err := bindK(name, args, constants)
	if err != nil {
		return nil, err
	}
	e, err := bindExtreme(name, args[:1], sign)
	if err != nil {
		return nil, err
	}
	return &ranked{e, k}, nil
}

func (a *ranked) ResultType() vector.Type { return vector.ListOf(a.args[0]) }
func (a *ranked) New() State              { return &rankedState{agg: a} }

func (a *ranked) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	t, names := a.args[0], keyNames(in)
	direction := map[int]string{1: " DESC", -1: " ASC"}[a.sign]
	by := d.ordered("a0", t) + direction
	if t.Buffer() == vector.BufF64 {
		// DuckDB 1.5.3 makes a heap of a rank by one column, which loses values where NaN is among them.
		by = "CASE WHEN a0 = " + d.nan() + " THEN 1 ELSE 0 END" + direction + ", " + by
	}
	return PartialQuery{
		SQL: fmt.Sprintf("SELECT %[1]sa0 FROM (SELECT %[1]sa0, row_number() OVER (%[2]s ORDER BY %[3]s) AS r FROM %[4]s) AS q1 WHERE r <= %[5]d",
			names, partitionBy(in), by, base(d, in, []string{normal(d, t, in.Args[0]) + " AS a0"}, in.Args[0]), a.k),
		Columns: 1,
		Fold: func(s State, cols []*vector.Vector, i int) error {
			if err := stateColumns(a.name, cols, t.Buffer()); err != nil {
				return err
			}
			s.(*rankedState).add(cols[0], i)
			return nil
		},
	}
}

// rankedState is at most k values, the outermost first. Slots beyond len(at) keep their memory for later values.
type rankedState struct {
	agg *ranked
	at  []scalar
}

var _ State = (*rankedState)(nil)

func (s *rankedState) Update(in *Input, row int) { s.add(in.Args[0], row) }

func (s *rankedState) add(v *vector.Vector, row int) {
	if v.IsNull(row) {
		return
	}
	var x scalar
	x.load(v, row)
	s.offer(&x)
}

// offer adds a copy of x if it is among the k outermost, and reports whether it was.
func (s *rankedState) offer(x *scalar) bool {
	n, t := len(s.at), s.agg.args[0]
	lo, hi := 0, n // the first place whose value is further in than x
	for lo < hi {
		if m := (lo + hi) / 2; compare(t, x, &s.at[m])*s.agg.sign <= 0 {
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
		s.at = append(s.at, scalar{})
	}
	free := s.at[n] // its buffer serves the new value
	copy(s.at[lo+1:n+1], s.at[lo:n])
	free.keep(x)
	s.at[lo] = free
	return true
}

func (s *rankedState) Merge(o State) {
	from := o.(*rankedState).at
	for i := range from {
		if !s.offer(&from[i]) {
			return
		}
	}
}

func (s *rankedState) Reset() { s.at = s.at[:0] }

func (s *rankedState) MergeEncoded(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	name, t := s.agg.name, s.agg.args[0]
	b, err := open(b, rankedVersion, name)
	if err != nil {
		return err
	}
	if len(b) == 0 {
		return badState(name, "no value")
	}
	var last scalar
	for n := 0; len(b) > 0; n++ {
		value, rest, ok := prefixed(b)
		var x scalar
		switch {
		case !ok:
			return badState(name, "cut short")
		case !x.decode(t, value):
			return badState(name, "no "+t.String())
		case n == s.agg.k:
			return badState(name, "too many values")
		case n > 0 && compare(t, &x, &last)*s.agg.sign > 0:
			return badState(name, "not in order")
		}
		s.offer(&x)
		last, b = x, rest
	}
	return nil
}

func (s *rankedState) Append(dst []byte) []byte {
	if len(s.at) == 0 {
		return dst
	}
	dst = append(dst, rankedVersion)
	var scratch [24]byte
	for i := range s.at {
		if s.agg.args[0].Buffer() == vector.BufBytes {
			dst = append(binary.AppendUvarint(dst, uint64(len(s.at[i].b))), s.at[i].b...)
			continue
		}
		x := s.at[i].append(s.agg.args[0], scratch[:0])
		dst = append(append(dst, byte(len(x))), x...)
	}
	return dst
}

func (s *rankedState) Finalize(out *vector.Vector) error {
	if len(s.at) == 0 {
		out.AppendNull()
		return nil
	}
	for i := range s.at {
		s.at[i].appendTo(out.Child[0])
	}
	out.CloseNested()
	return nil
}
