package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var firstDef = &Definition{
	Name:         "first",
	Family:       OrderOfTime,
	Calls:        []string{"first(x)"},
	Example:      "first(category)",
	Help:         "the value of the oldest row by event time, then primary key, then the value's bytes",
	Arguments:    "x: any scalar type",
	Result:       "the type of x",
	NullRule:     "skips rows where x is NULL; NULL where no row is left",
	Ordered:      true,
	ErrorBound:   "exact",
	StateVersion: edgeVersion,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindEdge("first", args, -1)
		if err != nil {
			return nil, err
		}
		return &first{a}, nil
	},
}

type first struct{ *edge }

var _ Aggregate = (*first)(nil)

func (a *first) Definition() *Definition { return firstDef }
func (a *first) ResultType() vector.Type { return a.args[0] }
func (a *first) New() State              { return &edgeState{agg: a.edge, finish: finishOne} }
