package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var topKDef = &Definition{
	Name:         "top_k",
	Family:       OrderOfValues,
	Calls:        []string{"top_k(x, k)"},
	Example:      "top_k(amount, 3)",
	Help:         "the k greatest values, equal ones repeated, the greatest first; in the order of max",
	Arguments:    "x: number, text, bytea, uuid, date, time, timestamp or timestamptz",
	Result:       "array of the type of x, of 1 to k elements",
	NullRule:     "skips NULL; NULL where no row is left",
	ErrorBound:   "exact",
	StateVersion: rankedVersion,
	Parameters:   []Parameter{parameterK},
	Bind: func(args []vector.Type, constants []string, _ Options) (Aggregate, error) {
		a, err := bindRanked("top_k", args, constants, 1)
		if err != nil {
			return nil, err
		}
		return &topK{a}, nil
	},
}

type topK struct{ *ranked }

var _ Aggregate = (*topK)(nil)

func (a *topK) Definition() *Definition { return topKDef }
