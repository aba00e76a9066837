package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var countDistinctDef = &Definition{
	Name:         "count_distinct",
	Family:       CountsAndSums,
	Calls:        []string{"count(DISTINCT x)"},
	Example:      "count(DISTINCT category)",
	Help:         "number of distinct values; an exact multiset of at most max_state bytes",
	Arguments:    "x: any scalar type but interval and json",
	Result:       "bigint",
	NullRule:     "skips NULL; 0 where no row is left",
	Inverse:      true,
	ErrorBound:   "exact",
	StateVersion: multisetVersion,
	Bind: func(args []vector.Type, _ []string, opt Options) (Aggregate, error) {
		if err := checkArgs("count_distinct", args, 1); err != nil {
			return nil, err
		}
		m, err := bindMultiset("count_distinct", args, opt)
		if err != nil {
			return nil, err
		}
		return &countDistinct{m}, nil
	},
}

type countDistinct struct{ *multiset }

var _ Aggregate = (*countDistinct)(nil)

func (a *countDistinct) Definition() *Definition { return countDistinctDef }
func (a *countDistinct) ResultType() vector.Type { return vector.T(vector.Int64) }

func (a *countDistinct) New() State {
	return a.state(func(s *multisetState, out *vector.Vector) error {
		out.AppendInt(int64(len(s.cells)))
		return nil
	})
}
