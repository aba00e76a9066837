package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var latestDef = &Definition{
	Name:         "latest",
	Help:         "the argument of the newest row, NULL included, in the order of last: the version in force; not callable, it is what a feature without GROUP BY and WINDOW reads",
	NullRule:     "skips no row: NULL where the newest row's argument is NULL, and where there is no row",
	Ordered:      true,
	Implicit:     true,
	ErrorBound:   "exact",
	StateVersion: newestVersion,
	Bind: func(args []vector.Type, _ []*vector.Vector, _ Options) (Aggregate, error) {
		if err := checkArgs("latest", args, 1); err != nil {
			return nil, err
		}
		a, err := bindNewest("latest", args[0], 1)
		if err != nil {
			return nil, err
		}
		a.nulls = true
		return &latest{a}, nil
	},
}

// latest differs from last in that a NULL is a value: a version of a row that says NULL ends the one before it.
type latest struct{ *newest }

var _ Aggregate = (*latest)(nil)

func (a *latest) Definition() *Definition { return latestDef }
func (a *latest) ResultType() vector.Type { return a.args[0] }

func (a *latest) New() State {
	return &newestState{agg: a.newest, finish: func(s *newestState, out *vector.Vector) { s.at[0].appendTo(out) }}
}
