package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var maxMapDef = &Definition{
	Name:         "max_map",
	Family:       PerValue,
	Calls:        []string{"max_map(b, x)"},
	Example:      "max_map(category, amount)",
	Help:         "the greatest x of each bucket b, in the order of max; buckets of at most max_state bytes",
	Arguments:    "b: any scalar type but interval and json; x: number, uuid, date, time, timestamp or timestamptz",
	Result:       "map from the type of b to the type of x, to clients a JSON object, keys ascending",
	NullRule:     "skips rows where b or x is NULL; NULL where no row is left",
	ErrorBound:   "exact",
	StateVersion: extremesVersion,
	Bind: func(args []vector.Type, _ []string, opt Options) (Aggregate, error) {
		a, err := bindExtremes("max_map", "max", args, 1, opt)
		if err != nil {
			return nil, err
		}
		return &maxMap{a}, nil
	},
}

type maxMap struct{ *extremes }

var _ Aggregate = (*maxMap)(nil)

func (a *maxMap) Definition() *Definition { return maxMapDef }
