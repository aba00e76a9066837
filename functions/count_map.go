package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var countMapDef = &Definition{
	Name:         "count_map",
	Family:       PerValue,
	Calls:        []string{"count_map(b)"},
	Example:      "count_map(category)",
	Help:         "the number of rows of each bucket b; an exact multiset of at most max_state bytes",
	Arguments:    "b: any scalar type but interval and json",
	Result:       "map from the type of b to bigint, to clients a JSON object, keys ascending",
	NullRule:     "skips rows where b is NULL; NULL where no row is left",
	Inverse:      true,
	ErrorBound:   "exact",
	StateVersion: multisetVersion,
	Bind: func(args []vector.Type, _ []string, opt Options) (Aggregate, error) {
		if err := checkArgs("count_map", args, 1); err != nil {
			return nil, err
		}
		m, err := bindMultiset("count_map", args, opt)
		if err != nil {
			return nil, err
		}
		return &countMap{m}, nil
	},
}

type countMap struct{ *multiset }

var _ Aggregate = (*countMap)(nil)

func (a *countMap) Definition() *Definition { return countMapDef }

func (a *countMap) ResultType() vector.Type { return vector.MapOf(a.args[0], vector.T(vector.Int64)) }

func (a *countMap) New() State {
	return a.state(func(s *multisetState, out *vector.Vector) error {
		return s.appendMap(out, func(c *countCell, out *vector.Vector) error {
			out.AppendInt(c.n)
			return nil
		})
	})
}
