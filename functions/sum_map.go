package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var sumMapDef = &Definition{
	Name:         "sum_map",
	Family:       PerValue,
	Calls:        []string{"sum_map(b, x)"},
	Example:      "sum_map(category, amount)",
	Help:         "the sum of x over the rows of each bucket b; an exact multiset of at most max_state bytes",
	Arguments:    "b: any scalar type but interval and json; x: smallint, integer, bigint, numeric(p,s), real or double precision",
	Result:       "map from the type of b to the type of sum(x), to clients a JSON object, keys ascending",
	NullRule:     "skips rows where b or x is NULL; NULL where no row is left",
	Inverse:      true,
	ErrorBound:   "exact; of doubles each bucket's exact sum rounded once, to nearest",
	StateVersion: sumsVersion,
	Bind: func(args []vector.Type, _ []string, opt Options) (Aggregate, error) {
		a, err := bindBuckets("sum_map", args, opt)
		if err != nil {
			return nil, err
		}
		return &sumMap{a}, nil
	},
}

type sumMap struct{ *bucketSums }

var _ Aggregate = (*sumMap)(nil)

func (a *sumMap) Definition() *Definition { return sumMapDef }

func (a *sumMap) ResultType() vector.Type {
	sum, _ := sumResult(a.args[1])
	return vector.MapOf(a.args[0], sum)
}

func (a *sumMap) New() State {
	return a.state(func(c *intAcc, out *vector.Vector) error { return c.total("sum_map", out) },
		func(c *floatAcc, out *vector.Vector) error { return c.quotient("sum_map", 1, out) })
}
