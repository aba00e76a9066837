package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var minDef = &Definition{
	Name:         "min",
	Family:       OrderOfValues,
	Calls:        []string{"min(x)"},
	Example:      "min(amount)",
	Help:         "the least value; NaN is greater than all numbers, -0 counts as 0, text orders by its bytes",
	Arguments:    "x: number, text, bytea, uuid, date, time, timestamp or timestamptz",
	Result:       "the type of x",
	NullRule:     "skips NULL; NULL where no row is left",
	ErrorBound:   "exact",
	StateVersion: extremeVersion,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		e, err := bindExtreme("min", args, -1)
		if err != nil {
			return nil, err
		}
		return &minimum{e}, nil
	},
}

type minimum struct{ *extreme }

var _ Aggregate = (*minimum)(nil)

func (a *minimum) Definition() *Definition { return minDef }
