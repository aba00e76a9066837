package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var boolAndDef = &Definition{
	Name:         "bool_and",
	Family:       CountsAndSums,
	Calls:        []string{"bool_and(x)"},
	Example:      "bool_and(declined)",
	Help:         "whether x is true in every row",
	Arguments:    "x: boolean",
	Result:       "boolean",
	NullRule:     "skips rows where x is NULL; NULL where no row is left",
	Inverse:      true,
	ErrorBound:   "exact",
	StateVersion: truthVersion,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindTruth("bool_and", args, func(yes, no int64) bool { return no == 0 })
		if err != nil {
			return nil, err
		}
		return &boolAnd{a}, nil
	},
}

type boolAnd struct{ *truth }

var _ Aggregate = (*boolAnd)(nil)

func (a *boolAnd) Definition() *Definition { return boolAndDef }
