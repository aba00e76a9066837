package functions

import (
	"encoding/binary"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// truthVersion is the version of the states of bool_and and bool_or.
const truthVersion = 1

// truth is what they share: how many rows are true and how many false, so that rows can be taken away again.
type truth struct {
	name   string
	args   []vector.Type
	finish func(yes, no int64) bool
}

func bindTruth(name string, args []vector.Type, finish func(yes, no int64) bool) (*truth, error) {
	if err := checkArgs(name, args, 1); err != nil {
		return nil, err
	}
	if args[0].Kind != vector.Bool {
		return nil, noSuchFunction(name, args, "Write a condition, for instance "+name+"(x > 0).")
	}
	return &truth{name, args, finish}, nil
}

func (a *truth) ArgTypes() []vector.Type { return a.args }
func (a *truth) ResultType() vector.Type { return vector.T(vector.Bool) }
func (a *truth) New() State              { return &truthState{agg: a} }

func (a *truth) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	count := d.fn("count")
	return PartialQuery{
		SQL: "SELECT " + keyNames(in) + count + "(CASE WHEN a0 THEN 1 END) AS yes, " + count + "(CASE WHEN NOT a0 THEN 1 END) AS no FROM " +
			base(d, in, []string{"(" + in.Args[0] + ") AS a0"}, in.Args[0]) + groupBy(in),
		Columns: 2,
		Fold: func(s State, cols []*vector.Vector, i int) error {
			if err := stateColumns(a.name, cols, vector.BufI64, vector.BufI64); err != nil {
				return err
			}
			t := s.(*truthState)
			t.yes, t.no = t.yes+cols[0].I64[i], t.no+cols[1].I64[i]
			return nil
		},
	}
}

// truthState is the number of rows that are true and of those that are false.
type truthState struct {
	agg     *truth
	yes, no int64
}

var _ Inverter = (*truthState)(nil)

func (s *truthState) Update(in *Input, row int)  { s.add(in.Args[0], row, 1) }
func (s *truthState) Retract(in *Input, row int) { s.add(in.Args[0], row, -1) }

func (s *truthState) add(v *vector.Vector, row int, n int64) {
	switch {
	case v.IsNull(row):
	case v.I64[row] != 0:
		s.yes += n
	default:
		s.no += n
	}
}

func (s *truthState) Merge(o State) {
	t := o.(*truthState)
	s.yes, s.no = s.yes+t.yes, s.no+t.no
}

func (s *truthState) Unmerge(o State) {
	t := o.(*truthState)
	s.yes, s.no = s.yes-t.yes, s.no-t.no
}

func (s *truthState) Reset() { s.yes, s.no = 0, 0 }

func (s *truthState) MergeEncoded(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	b, err := open(b, truthVersion, s.agg.name)
	if err != nil {
		return err
	}
	yes, b, ok := uvarint(b)
	if !ok || int64(yes) < 0 {
		return badState(s.agg.name, "no number of rows")
	}
	no, b, ok := uvarint(b)
	if !ok || int64(no) < 0 || yes|no == 0 || len(b) > 0 {
		return badState(s.agg.name, "no number of rows")
	}
	s.yes, s.no = s.yes+int64(yes), s.no+int64(no)
	return nil
}

func (s *truthState) Append(dst []byte) []byte {
	if s.yes|s.no == 0 {
		return dst
	}
	dst = binary.AppendUvarint(append(dst, truthVersion), uint64(s.yes))
	return binary.AppendUvarint(dst, uint64(s.no))
}

func (s *truthState) Finalize(out *vector.Vector) error {
	if s.yes|s.no == 0 {
		out.AppendNull()
	} else {
		out.AppendBool(s.agg.finish(s.yes, s.no))
	}
	return nil
}
