package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var latestDef = &Definition{
	Name:         "latest",
	Help:         "the argument of the newest row, NULL included, in the order of last: the version in force; not callable, it is what a feature without GROUP BY and WINDOW reads",
	Arguments:    "x: any scalar type",
	Result:       "the type of x",
	NullRule:     "skips no row: NULL where the newest row's argument is NULL, and where there is no row",
	Ordered:      true,
	Implicit:     true,
	ErrorBound:   "exact",
	StateVersion: edgeVersion,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindEdge("latest", args, 1)
		if err != nil {
			return nil, err
		}
		a.nulls = true
		return &latest{a}, nil
	},
}

// latest differs from last in that a NULL is a value: a version of a row that says NULL ends the one before it.
type latest struct{ *edge }

var _ Aggregate = (*latest)(nil)

func (a *latest) Definition() *Definition { return latestDef }
func (a *latest) ResultType() vector.Type { return a.args[0] }
func (a *latest) New() State              { return &edgeState{agg: a.edge, finish: finishOne} }
