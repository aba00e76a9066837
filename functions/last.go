package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var lastDef = &Definition{
	Name:         "last",
	Family:       OrderOfTime,
	Calls:        []string{"last(x)"},
	Example:      "last(amount)",
	Help:         "the value of the newest row by event time, then primary key, then the value's bytes",
	Arguments:    "x: any scalar type",
	Result:       "the type of x",
	NullRule:     "skips rows where x is NULL; NULL where no row is left",
	Ordered:      true,
	ErrorBound:   "exact",
	StateVersion: edgeVersion,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindEdge("last", args, 1)
		if err != nil {
			return nil, err
		}
		return &last{a}, nil
	},
}

type last struct{ *edge }

var _ Aggregate = (*last)(nil)

func (a *last) Definition() *Definition { return lastDef }
func (a *last) ResultType() vector.Type { return a.args[0] }
func (a *last) New() State              { return &edgeState{agg: a.edge, finish: finishOne} }
