package functions

import (
	"cmp"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// bucketCost is what a bucket counts towards max_state beside the bytes of its key: a count and a sum.
const bucketCost = 16

var sumMapDef = &Definition{
	Name:         "sum_map",
	Help:         "sum_map(b, x): map from each bucket b to the sum of x over its rows, keys ascending; result types as for sum",
	NullRule:     "skips rows where b or x is NULL; NULL where no row is left",
	Inverse:      true,
	ErrorBound:   "exact; of doubles each bucket's exact sum rounded once, to nearest",
	StateVersion: 1,
	Bind: func(args []vector.Type, _ []*vector.Vector, opt Options) (Aggregate, error) {
		if err := checkArgs("sum_map", args, 2); err != nil {
			return nil, err
		}
		if err := checkKey("sum_map", args, args[0]); err != nil {
			return nil, err
		}
		if _, ok := sumResult(args[1]); !ok {
			return nil, noSuchFunction("sum_map", args, "Cast the second argument to a number, for instance x::numeric(18,2).")
		}
		return &sumMap{args, cmp.Or(opt.MaxState, DefaultMaxState)}, nil
	},
}

type sumMap struct {
	args []vector.Type
	max  int
}

var (
	_ Aggregate = (*sumMap)(nil)
	_ Inverter  = (*mapState[intAcc, *intAcc])(nil)
	_ Inverter  = (*mapState[floatAcc, *floatAcc])(nil)
)

func (a *sumMap) Definition() *Definition { return sumMapDef }
func (a *sumMap) ArgTypes() []vector.Type { return a.args }

func (a *sumMap) ResultType() vector.Type {
	sum, _ := sumResult(a.args[1])
	return vector.MapOf(a.args[0], sum)
}

func (a *sumMap) New() State {
	if a.args[1].Buffer() == vector.BufF64 {
		return newMapState(a, func(c *floatAcc, out *vector.Vector) error { return c.quotient("sum_map", 1, out) })
	}
	return newMapState(a, func(c *intAcc, out *vector.Vector) error { return c.total("sum_map", out) })
}

func newMapState[C any, P sumCell[C]](a *sumMap, f finish[C]) State {
	return &mapState[C, P]{
		bag: bag[C, P]{
			name: "sum_map", version: sumMapDef.StateVersion, key: a.args[0], max: a.max, cost: bucketCost,
			make: func() P { return new(C) },
		},
		finish: f,
	}
}

func (a *sumMap) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	mustDuckDB(d)
	key, t := a.args[0], a.args[1]
	sql, columns := exactSumSQL(t, in, in.Args[1], []string{normal(key, in.Args[0])}, in.Args[0], in.Args[1])
	return PartialQuery{SQL: sql, Columns: columns, Fold: func(s State, cols []*vector.Vector, i int) error {
		if err := stateColumns("sum_map", cols, key.Buffer(), vector.BufI64); err != nil {
			return err
		}
		n := cols[1].I64[i]
		if f, ok := s.(*mapState[floatAcc, *floatAcc]); ok {
			return f.at(f.load(cols[0], i)).fold("sum_map", n, cols[2:], i)
		}
		m := s.(*mapState[intAcc, *intAcc])
		return m.at(m.load(cols[0], i)).fold("sum_map", t, n, cols[2:], i)
	}}
}

// sumCell is a cell that sums values.
type sumCell[C any] interface {
	cell[C]
	accumulator
}

// mapState is the exact sum of every bucket.
type mapState[C any, P sumCell[C]] struct {
	bag[C, P]
	finish finish[C]
}

func (s *mapState[C, P]) Update(in *Input, row int) {
	if b, x := in.Args[0], in.Args[1]; !b.IsNull(row) && !x.IsNull(row) {
		s.at(s.load(b, row)).add(x, row, 1)
	}
}

func (s *mapState[C, P]) Retract(in *Input, row int) {
	b, x := in.Args[0], in.Args[1]
	if b.IsNull(row) || x.IsNull(row) {
		return
	}
	key := s.load(b, row)
	if c, ok := s.cells[string(key)]; ok {
		c.add(x, row, -1)
		s.settle(key, c)
	}
}

func (s *mapState[C, P]) Merge(o State)   { s.mergeBag(&o.(*mapState[C, P]).bag) }
func (s *mapState[C, P]) Unmerge(o State) { s.unmergeBag(&o.(*mapState[C, P]).bag) }

func (s *mapState[C, P]) Finalize(out *vector.Vector) error {
	if err := s.checkSize(); err != nil {
		return err
	}
	if len(s.cells) == 0 {
		out.AppendNull()
		return nil
	}
	// Sums first: where one is out of range, no key may be left behind in out.
	sums := vector.New(out.Child[1].Type, len(s.cells))
	keys := s.order()
	for _, k := range keys {
		if err := s.finish(s.cells[k], sums); err != nil {
			return err
		}
	}
	var x scalar
	for i, k := range keys {
		s.value(&x, k)
		x.appendTo(out.Child[0])
		out.Child[1].AppendFrom(sums, i)
	}
	out.CloseNested()
	return nil
}
