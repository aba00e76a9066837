package functions

import "github.com/tilehouse/tilehouse/functions/vector"

var medianDef = &Definition{
	Name:         "median",
	Family:       OrderOfValues,
	Calls:        []string{"median(x)"},
	Example:      "median(amount)",
	Help:         "the value in the middle, or the mean of the two in the middle, as percentile_cont(0.5); NaN is greater than all numbers; an exact multiset of at most max_state bytes",
	Arguments:    "x: smallint, integer, bigint, numeric(p,s), real or double precision",
	Result:       "the type of avg(x)",
	NullRule:     "skips NULL; NULL where no row is left",
	Inverse:      true,
	ErrorBound:   "the exact mean of two values rounded once: decimals half away from zero, doubles to nearest",
	StateVersion: multisetVersion,
	Bind: func(args []vector.Type, _ []string, opt Options) (Aggregate, error) {
		if err := summable("median", args); err != nil {
			return nil, err
		}
		m, err := bindMultiset("median", args, opt)
		if err != nil {
			return nil, err
		}
		return &median{m, avg{args: args, widen: widening(args[0])}}, nil
	},
}

type median struct {
	*multiset
	mean avg
}

var _ Aggregate = (*median)(nil)

func (a *median) Definition() *Definition { return medianDef }
func (a *median) ResultType() vector.Type { return a.mean.ResultType() }

func (a *median) New() State {
	return a.state(func(s *multisetState, out *vector.Vector) error {
		rows := int64(0)
		cells := s.order()
		for _, e := range cells {
			rows += e.cell.n
		}
		if rows == 0 {
			out.AppendNull()
			return nil
		}
		middle := vector.New(a.args[0], 2) // the values of the ranks (rows+1)/2 and rows/2+1
		var x scalar
		before := int64(0)
		for _, e := range cells {
			n := e.cell.n
			for _, rank := range []int64{(rows + 1) / 2, rows/2 + 1} {
				if before < rank && rank <= before+n {
					s.value(&x, e.key)
					x.appendTo(middle)
				}
			}
			before += n
		}
		if middle.N < 2 {
			return badState("median", "more rows than can be")
		}
		if a.args[0].Buffer() == vector.BufF64 {
			var sum floatAcc
			sum.add(middle, 0, 1)
			sum.add(middle, 1, 1)
			return sum.quotient("median", 2, out)
		}
		var sum intAcc
		sum.add(middle, 0, 1)
		sum.add(middle, 1, 1)
		return a.mean.finishInt("median", &sum, out)
	})
}
