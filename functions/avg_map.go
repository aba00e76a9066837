package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var avgMapDef = &Definition{
	Name:         "avg_map",
	Family:       PerValue,
	Calls:        []string{"avg_map(b, x)"},
	Example:      "avg_map(category, amount)",
	Help:         "the average of x over the rows of each bucket b; an exact multiset of at most max_state bytes",
	Arguments:    "b: any scalar type but interval and json; x: smallint, integer, bigint, numeric(p,s), real or double precision",
	Result:       "map from the type of b to the type of avg(x), to clients a JSON object, keys ascending",
	NullRule:     "skips rows where b or x is NULL; NULL where no row is left",
	Inverse:      true,
	ErrorBound:   "each bucket's exact average rounded once, as avg does",
	StateVersion: sumsVersion,
	Bind: func(args []vector.Type, _ []string, opt Options) (Aggregate, error) {
		a, err := bindBuckets("avg_map", args, opt)
		if err != nil {
			return nil, err
		}
		return &avgMap{a, avg{args: args[1:], widen: widening(args[1])}}, nil
	},
}

type avgMap struct {
	*bucketSums
	avg avg
}

var _ Aggregate = (*avgMap)(nil)

func (a *avgMap) Definition() *Definition { return avgMapDef }

func (a *avgMap) ResultType() vector.Type { return vector.MapOf(a.args[0], a.avg.ResultType()) }

func (a *avgMap) New() State {
	return a.state(func(c *intAcc, out *vector.Vector) error { return a.avg.finishInt("avg_map", c, out) },
		func(c *floatAcc, out *vector.Vector) error { return c.quotient("avg_map", c.n, out) })
}
