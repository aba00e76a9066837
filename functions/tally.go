package functions

import (
	"encoding/binary"
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// tallyVersion is the version of the states of approx_percentile and histogram.
const tallyVersion = 1

// tally is what they share: how many rows fall in each of a known set of buckets.
type tally struct {
	name   string
	args   []vector.Type
	least  int32 // the buckets: least ≤ bucket ≤ most
	most   int32
	bucket func(v *vector.Vector, row int) int32 // of a value that is not NULL
	// sql is the bucket of column a0 as an integer, and the relation to take it from; names as for digits.
	sql func(d Dialect, relation, names string) (bucket, from string)
	// finish appends the value of a state that is not empty.
	finish func(s *tallyState, out *vector.Vector) error
}

func (a *tally) ArgTypes() []vector.Type { return a.args }
func (a *tally) New() State              { return &tallyState{agg: a} }

func (a *tally) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	names := keyNames(in)
	bucket, from := a.sql(d, base(d, in, []string{"(" + in.Args[0] + ") AS a0"}, in.Args[0]), names)
	return PartialQuery{
		SQL: "SELECT " + names + "b, " + d.fn("count") + "(*) AS n FROM (SELECT " + names + d.bigint(bucket) + " AS b FROM " + from + d.fence() + ") AS q9" +
			groupBy(in, "b"),
		Columns: 2,
		Fold: func(s State, cols []*vector.Vector, i int) error {
			if err := stateColumns(a.name, cols, vector.BufI64, vector.BufI64); err != nil {
				return err
			}
			b := cols[0].I64[i]
			if b < int64(a.least) || b > int64(a.most) {
				return badState(a.name, "the engine returned an unknown bucket")
			}
			s.(*tallyState).add(int32(b), cols[1].I64[i])
			return nil
		},
	}
}

// tallyState is the buckets in use, ascending, with their rows; a bucket may have come back to none.
type tallyState struct {
	agg *tally
	at  []filled
}

type filled struct {
	bucket int32
	n      int64
}

var _ Inverter = (*tallyState)(nil)

func (s *tallyState) Update(in *Input, row int) {
	if v := in.Args[0]; !v.IsNull(row) {
		s.add(s.agg.bucket(v, row), 1)
	}
}

func (s *tallyState) Retract(in *Input, row int) {
	if v := in.Args[0]; !v.IsNull(row) {
		s.add(s.agg.bucket(v, row), -1)
	}
}

func (s *tallyState) add(bucket int32, n int64) {
	i, ok := slices.BinarySearchFunc(s.at, bucket, func(f filled, b int32) int { return int(f.bucket) - int(b) })
	if !ok {
		s.at = slices.Insert(s.at, i, filled{bucket: bucket})
	}
	s.at[i].n += n
}

func (s *tallyState) Merge(o State) {
	for _, f := range o.(*tallyState).at {
		s.add(f.bucket, f.n)
	}
}

func (s *tallyState) Unmerge(o State) {
	for _, f := range o.(*tallyState).at {
		s.add(f.bucket, -f.n)
	}
}

func (s *tallyState) Reset() { s.at = s.at[:0] }

// rows is the number of rows in all buckets.
func (s *tallyState) rows() (n int64) {
	for _, f := range s.at {
		n += f.n
	}
	return n
}

func (s *tallyState) Append(dst []byte) []byte {
	start := len(dst)
	next := s.agg.least
	for _, f := range s.at {
		if f.n == 0 {
			continue
		}
		if len(dst) == start {
			dst = append(dst, tallyVersion)
		}
		dst = binary.AppendUvarint(dst, uint64(f.bucket-next))
		dst = binary.AppendUvarint(dst, uint64(f.n))
		next = f.bucket + 1
	}
	return dst
}

func (s *tallyState) MergeEncoded(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	name := s.agg.name
	b, err := open(b, tallyVersion, name)
	if err != nil {
		return err
	}
	if len(b) == 0 {
		return badState(name, "no bucket")
	}
	for next := int64(s.agg.least); len(b) > 0; next++ {
		skip, rest, ok := uvarint(b)
		if !ok || skip > uint64(int64(s.agg.most)-next) || next > int64(s.agg.most) {
			return badState(name, "no bucket")
		}
		next += int64(skip)
		n, rest, ok := rowCount(rest)
		if !ok {
			return badState(name, "no number of rows")
		}
		s.add(int32(next), n)
		b = rest
	}
	return nil
}

func (s *tallyState) Finalize(out *vector.Vector) error {
	if s.rows() == 0 {
		out.AppendNull()
		return nil
	}
	return s.agg.finish(s, out)
}
