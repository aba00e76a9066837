package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var lastDistinctKDef = &Definition{
	Name:         "last_distinct_k",
	Family:       OrderOfTime,
	Calls:        []string{"last_distinct_k(x, k)"},
	Example:      "last_distinct_k(category, 3)",
	Help:         "the k different values that were seen last, the newest first; each stands where its newest row is in the order of last",
	Arguments:    "x: any scalar type but interval and json",
	Result:       "array of the type of x, of 1 to k elements",
	NullRule:     "skips rows where x is NULL; NULL where no row is left",
	Ordered:      true,
	ErrorBound:   "exact",
	StateVersion: edgeVersion,
	Parameters:   []Parameter{parameterK},
	Bind: func(args []vector.Type, constants []string, _ Options) (Aggregate, error) {
		a, err := bindEdgeList("last_distinct_k", args, constants, 1)
		if err != nil {
			return nil, err
		}
		if err := checkKey("last_distinct_k", args, args[0]); err != nil {
			return nil, err
		}
		a.distinct = true
		return a, nil
	},
}
