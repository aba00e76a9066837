package functions

import (
	"fmt"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// MaxLastK is the largest k of last_k: the rows that one state holds.
const MaxLastK = 1000

var lastKDef = &Definition{
	Name:         "last_k",
	Help:         "last_k(x, k): the values of the k newest rows as an array, newest first; order as for last; 1 <= k <= 1000, a constant",
	NullRule:     "skips rows where x is NULL; NULL where no row is left",
	Ordered:      true,
	ErrorBound:   "exact",
	StateVersion: newestVersion,
	Bind:         bindLastK,
}

func bindLastK(args []vector.Type, constants []*vector.Vector, _ Options) (Aggregate, error) {
	if len(args) != 2 {
		return nil, noSuchFunction("last_k", args, "last_k takes a value and the number of rows: last_k(x, 5).")
	}
	if err := checkArgs("last_k", args[:1], 1); err != nil {
		return nil, err
	}
	bad := &BindError{codeParameter, fmt.Sprintf("k of last_k must be a constant integer from 1 to %d", MaxLastK), "Write the number, for instance last_k(x, 5)."}
	if len(constants) < 2 || constants[1] == nil || constants[1].N != 1 || constants[1].IsNull(0) || !isInteger(constants[1].Type) {
		return nil, bad
	}
	k := constants[1].I64[0]
	if k < 1 || k > MaxLastK {
		return nil, bad
	}
	a, err := bindNewest("last_k", args[0], int(k))
	if err != nil {
		return nil, err
	}
	return &lastK{a}, nil
}

type lastK struct{ *newest }

var _ Aggregate = (*lastK)(nil)

func (a *lastK) Definition() *Definition { return lastKDef }
func (a *lastK) ResultType() vector.Type { return vector.ListOf(a.args[0]) }

func (a *lastK) New() State {
	return &newestState{agg: a.newest, finish: func(s *newestState, out *vector.Vector) {
		for i := range s.at {
			s.at[i].x.appendTo(out.Child[0])
		}
		out.CloseNested()
	}}
}
