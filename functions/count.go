package functions

import (
	"encoding/binary"

	"github.com/tilehouse/tilehouse/functions/vector"
)

var countDef = &Definition{
	Name:         "count",
	Family:       CountsAndSums,
	Calls:        []string{"count(*)", "count(x)"},
	Example:      "count(*)",
	Help:         "number of rows, or of rows where the argument is not NULL",
	Arguments:    "x: any type",
	Result:       "bigint",
	NullRule:     "count(*) counts every row; count(x) skips rows where x is NULL",
	Inverse:      true,
	ErrorBound:   "exact",
	StateVersion: 1,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		if len(args) > 1 {
			return nil, noSuchFunction("count", args, "To count distinct rows of several columns, write count(DISTINCT (a || '|' || b)).")
		}
		return &count{args: args}, nil
	},
}

type count struct{ args []vector.Type }

var (
	_ Aggregate = (*count)(nil)
	_ Inverter  = (*countState)(nil)
)

func (a *count) Definition() *Definition { return countDef }
func (a *count) ArgTypes() []vector.Type { return a.args }
func (a *count) ResultType() vector.Type { return vector.T(vector.Int64) }
func (a *count) New() State              { return new(countState) }

func (a *count) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	var notNull []string
	if len(a.args) > 0 {
		notNull = in.Args[:1]
	}
	return PartialQuery{
		SQL:     "SELECT " + keyNames(in) + d.fn("count") + "(*) AS n FROM " + base(d, in, nil, notNull...) + groupBy(in),
		Columns: 1,
		Fold: func(s State, cols []*vector.Vector, i int) error {
			if err := stateColumns("count", cols, vector.BufI64); err != nil {
				return err
			}
			s.(*countState).n += cols[0].I64[i]
			return nil
		},
	}
}

// countState is a number of rows.
type countState struct{ n int64 }

func (s *countState) Update(in *Input, row int) {
	if len(in.Args) == 0 || !in.Args[0].IsNull(row) {
		s.n++
	}
}

func (s *countState) Retract(in *Input, row int) {
	if len(in.Args) == 0 || !in.Args[0].IsNull(row) {
		s.n--
	}
}

func (s *countState) Merge(o State)   { s.n += o.(*countState).n }
func (s *countState) Unmerge(o State) { s.n -= o.(*countState).n }
func (s *countState) Reset()          { s.n = 0 }

func (s *countState) MergeEncoded(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	b, err := open(b, countDef.StateVersion, "count")
	if err != nil {
		return err
	}
	n, rest, ok := rowCount(b)
	if !ok || len(rest) > 0 {
		return badState("count", "no number of rows")
	}
	s.n += n
	return nil
}

func (s *countState) Append(dst []byte) []byte {
	if s.n == 0 {
		return dst
	}
	return binary.AppendUvarint(append(dst, countDef.StateVersion), uint64(s.n))
}

func (s *countState) Finalize(out *vector.Vector) error {
	out.AppendInt(s.n)
	return nil
}
