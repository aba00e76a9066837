package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var minMapDef = &Definition{
	Name:         "min_map",
	Family:       PerValue,
	Calls:        []string{"min_map(b, x)"},
	Example:      "min_map(category, amount)",
	Help:         "the least x of each bucket b, in the order of min; buckets of at most max_state bytes",
	Arguments:    "b: any scalar type but interval and json; x: number, uuid, date, time, timestamp or timestamptz",
	Result:       "map from the type of b to the type of x, to clients a JSON object, keys ascending",
	NullRule:     "skips rows where b or x is NULL; NULL where no row is left",
	ErrorBound:   "exact",
	StateVersion: extremesVersion,
	Bind: func(args []vector.Type, _ []string, opt Options) (Aggregate, error) {
		a, err := bindExtremes("min_map", "min", args, -1, opt)
		if err != nil {
			return nil, err
		}
		return &minMap{a}, nil
	},
}

type minMap struct{ *extremes }

var _ Aggregate = (*minMap)(nil)

func (a *minMap) Definition() *Definition { return minMapDef }
