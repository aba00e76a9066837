package functions

import (
	"cmp"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// sumsVersion is the version of the states of sum_map and avg_map.
const sumsVersion = 1

// bucketCost is what a bucket counts towards max_state beside the bytes of its key: a count and a sum, or an extreme.
const bucketCost = 16

// bucketSums is what sum_map and avg_map share: the exact sum of the second argument for every value of the first.
type bucketSums struct {
	name string
	args []vector.Type
	max  int
}

func bindBuckets(name string, args []vector.Type, opt Options) (*bucketSums, error) {
	if err := checkArgs(name, args, 2); err != nil {
		return nil, err
	}
	if err := checkKey(name, args, args[0]); err != nil {
		return nil, err
	}
	if _, ok := sumResult(args[1]); !ok {
		return nil, noSuchFunction(name, args, "Cast the second argument to a number, for instance x::numeric(18,2).")
	}
	return &bucketSums{name, args, cmp.Or(opt.MaxState, DefaultMaxState)}, nil
}

func (a *bucketSums) ArgTypes() []vector.Type { return a.args }

// state is the empty state of integers and decimals or of doubles, and how a bucket finishes.
func (a *bucketSums) state(ints finish[intAcc], floats finish[floatAcc]) State {
	if a.args[1].Buffer() == vector.BufF64 {
		return newMapState(a, floats)
	}
	return newMapState(a, ints)
}

func newMapState[C any, P sumCell[C]](a *bucketSums, f finish[C]) State {
	return &mapState[C, P]{
		bag:    bag[C, P]{name: a.name, version: sumsVersion, key: a.args[0], max: a.max, cost: bucketCost, make: func() P { return new(C) }},
		finish: f,
	}
}

func (a *bucketSums) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	key, t := a.args[0], a.args[1]
	sql, columns := exactSumSQL(d, t, in, in.Args[1], []string{normal(d, key, in.Args[0])}, in.Args[0], in.Args[1])
	return PartialQuery{SQL: sql, Columns: columns, Fold: func(s State, cols []*vector.Vector, i int) error {
		if err := stateColumns(a.name, cols, key.Buffer(), vector.BufI64); err != nil {
			return err
		}
		n := cols[1].I64[i]
		if f, ok := s.(*mapState[floatAcc, *floatAcc]); ok {
			return f.at(f.load(cols[0], i)).fold(a.name, n, cols[2:], i)
		}
		m := s.(*mapState[intAcc, *intAcc])
		return m.at(m.load(cols[0], i)).fold(a.name, t, n, cols[2:], i)
	}}
}

// sumCell is a cell that sums values.
type sumCell[C any] interface {
	inverseCell[C]
	accumulator
}

var (
	_ Inverter = (*mapState[intAcc, *intAcc])(nil)
	_ Inverter = (*mapState[floatAcc, *floatAcc])(nil)
)

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
func (s *mapState[C, P]) Unmerge(o State) { unmergeBag(&s.bag, &o.(*mapState[C, P]).bag) }

func (s *mapState[C, P]) Finalize(out *vector.Vector) error { return s.appendMap(out, s.finish) }

// appendMap appends the multiset as a map of keys, ascending, to what finish appends for a cell; NULL where it is empty.
func (b *bag[C, P]) appendMap(out *vector.Vector, finish finish[C]) error {
	if err := b.checkSize(); err != nil {
		return err
	}
	if len(b.cells) == 0 {
		out.AppendNull()
		return nil
	}
	// Values first: where one is out of range, no key may be left behind in out.
	values := vector.New(out.Child[1].Type, len(b.cells))
	cells := b.order()
	for _, e := range cells {
		if err := finish(e.cell, values); err != nil {
			return err
		}
	}
	var x scalar
	for i, e := range cells {
		b.value(&x, e.key)
		x.appendTo(out.Child[0])
		out.Child[1].AppendFrom(values, i)
	}
	out.CloseNested()
	return nil
}
