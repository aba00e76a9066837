package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var lastDef = &Definition{
	Name:         "last",
	Help:         "the value of the newest row by event time, then primary key, then the value's bytes",
	NullRule:     "skips rows where the argument is NULL; NULL where no row is left",
	Ordered:      true,
	ErrorBound:   "exact",
	StateVersion: newestVersion,
	Bind: func(args []vector.Type, _ []*vector.Vector, _ Options) (Aggregate, error) {
		if err := checkArgs("last", args, 1); err != nil {
			return nil, err
		}
		a, err := bindNewest("last", args[0], 1)
		if err != nil {
			return nil, err
		}
		return &last{a}, nil
	},
}

type last struct{ *newest }

var _ Aggregate = (*last)(nil)

func (a *last) Definition() *Definition { return lastDef }
func (a *last) ResultType() vector.Type { return a.args[0] }

func (a *last) New() State {
	return &newestState{agg: a.newest, finish: func(s *newestState, out *vector.Vector) { s.at[0].x.appendTo(out) }}
}
