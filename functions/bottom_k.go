package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var bottomKDef = &Definition{
	Name:         "bottom_k",
	Family:       OrderOfValues,
	Calls:        []string{"bottom_k(x, k)"},
	Example:      "bottom_k(amount, 3)",
	Help:         "the k least values, equal ones repeated, the least first; in the order of min",
	Arguments:    "x: number, text, bytea, uuid, date, time, timestamp or timestamptz",
	Result:       "array of the type of x, of 1 to k elements",
	NullRule:     "skips NULL; NULL where no row is left",
	ErrorBound:   "exact",
	StateVersion: rankedVersion,
	Parameters:   []Parameter{parameterK},
	Bind: func(args []vector.Type, constants []string, _ Options) (Aggregate, error) {
		a, err := bindRanked("bottom_k", args, constants, -1)
		if err != nil {
			return nil, err
		}
		return &bottomK{a}, nil
	},
}

type bottomK struct{ *ranked }

var _ Aggregate = (*bottomK)(nil)

func (a *bottomK) Definition() *Definition { return bottomKDef }
