package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var maxDef = &Definition{
	Name:         "max",
	Family:       OrderOfValues,
	Calls:        []string{"max(x)"},
	Example:      "max(amount)",
	Help:         "the greatest value; NaN is greater than all numbers, -0 counts as 0, text orders by its bytes",
	Arguments:    "x: number, text, bytea, uuid, date, time, timestamp or timestamptz",
	Result:       "the type of x",
	NullRule:     "skips NULL; NULL where no row is left",
	ErrorBound:   "exact",
	StateVersion: extremeVersion,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		e, err := bindExtreme("max", args, 1)
		if err != nil {
			return nil, err
		}
		return &maximum{e}, nil
	},
}

type maximum struct{ *extreme }

var _ Aggregate = (*maximum)(nil)

func (a *maximum) Definition() *Definition { return maxDef }
