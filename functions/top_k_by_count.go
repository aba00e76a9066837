package functions

import (
	"cmp"
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
)

var topKByCountDef = &Definition{
	Name:         "top_k_by_count",
	Family:       PerValue,
	Calls:        []string{"top_k_by_count(x, k)"},
	Example:      "top_k_by_count(category, 3)",
	Help:         "the k most frequent values, the most frequent first, of equally frequent ones the lesser first; an exact multiset of at most max_state bytes",
	Arguments:    "x: any scalar type but interval and json",
	Result:       "array of the type of x, of 1 to k elements",
	NullRule:     "skips rows where x is NULL; NULL where no row is left",
	Inverse:      true,
	ErrorBound:   "exact",
	StateVersion: multisetVersion,
	Parameters:   []Parameter{parameterK},
	Bind: func(args []vector.Type, constants []string, opt Options) (Aggregate, error) {
		k, err := bindK("top_k_by_count", args, constants)
		if err != nil {
			return nil, err
		}
		m, err := bindMultiset("top_k_by_count", args, opt)
		if err != nil {
			return nil, err
		}
		return &topKByCount{m, k}, nil
	},
}

type topKByCount struct {
	*multiset
	k int
}

var _ Aggregate = (*topKByCount)(nil)

func (a *topKByCount) Definition() *Definition { return topKByCountDef }
func (a *topKByCount) ResultType() vector.Type { return vector.ListOf(a.args[0]) }

func (a *topKByCount) New() State {
	return a.state(func(s *multisetState, out *vector.Vector) error {
		if len(s.cells) == 0 {
			out.AppendNull()
			return nil
		}
		cells := slices.Clone(s.order()) // ascending, and stays so among equals
		slices.SortStableFunc(cells, func(x, y entry[*countCell]) int { return cmp.Compare(y.cell.n, x.cell.n) })
		var x scalar
		for _, e := range cells[:min(a.k, len(cells))] {
			s.value(&x, e.key)
			x.appendTo(out.Child[0])
		}
		out.CloseNested()
		return nil
	})
}
