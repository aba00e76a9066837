package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var boolOrDef = &Definition{
	Name:         "bool_or",
	Family:       CountsAndSums,
	Calls:        []string{"bool_or(x)"},
	Example:      "bool_or(declined)",
	Help:         "whether x is true in at least one row",
	Arguments:    "x: boolean",
	Result:       "boolean",
	NullRule:     "skips rows where x is NULL; NULL where no row is left",
	Inverse:      true,
	ErrorBound:   "exact",
	StateVersion: truthVersion,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		a, err := bindTruth("bool_or", args, func(yes, no int64) bool { return yes > 0 })
		if err != nil {
			return nil, err
		}
		return &boolOr{a}, nil
	},
}

type boolOr struct{ *truth }

var _ Aggregate = (*boolOr)(nil)

func (a *boolOr) Definition() *Definition { return boolOrDef }
