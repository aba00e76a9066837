package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var lastKDef = &Definition{
	Name:         "last_k",
	Family:       OrderOfTime,
	Calls:        []string{"last_k(x, k)"},
	Example:      "last_k(category, 3)",
	Help:         "the values of the k newest rows, newest first; rows are in the order of last",
	Arguments:    "x: any scalar type",
	Result:       "array of the type of x, of 1 to k elements",
	NullRule:     "skips rows where x is NULL; NULL where no row is left",
	Ordered:      true,
	ErrorBound:   "exact",
	StateVersion: edgeVersion,
	Parameters:   []Parameter{parameterK},
	Bind: func(args []vector.Type, constants []string, _ Options) (Aggregate, error) {
		return bindEdgeList("last_k", args, constants, 1)
	},
}
