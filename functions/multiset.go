package functions

import (
	"cmp"
	"encoding/binary"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// multisetVersion is the version of the states of count_distinct, count_map, median and top_k_by_count.
const multisetVersion = 1

// distinctCost is what a value counts towards max_state beside its own bytes.
const distinctCost = 4

// multiset is what they share: the number of rows of every value of the first argument.
type multiset struct {
	name string
	args []vector.Type
	max  int
}

// bindMultiset binds an aggregate of args[0], which is checked to have an equality that its bytes show.
func bindMultiset(name string, args []vector.Type, opt Options) (*multiset, error) {
	if err := checkArgs(name, args[:1], 1); err != nil {
		return nil, err
	}
	if err := checkKey(name, args, args[0]); err != nil {
		return nil, err
	}
	return &multiset{name, args[:1], cmp.Or(opt.MaxState, DefaultMaxState)}, nil
}

func (a *multiset) ArgTypes() []vector.Type { return a.args }

// state is the empty multiset; finish appends the value of one that is not too large, and may be empty.
func (a *multiset) state(finish func(s *multisetState, out *vector.Vector) error) State {
	return &multisetState{bag[countCell, *countCell]{
		name: a.name, version: multisetVersion, key: a.args[0], max: a.max, cost: distinctCost, make: func() *countCell { return new(countCell) },
	}, finish}
}

func (a *multiset) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	t := a.args[0]
	return PartialQuery{
		SQL: "SELECT " + keyNames(in) + "a0, " + d.fn("count") + "(*) AS n FROM " +
			base(d, in, []string{normal(d, t, in.Args[0]) + " AS a0"}, in.Args[0]) + groupBy(in, "a0"),
		Columns: 2,
		Fold: func(s State, cols []*vector.Vector, i int) error {
			if err := stateColumns(a.name, cols, t.Buffer(), vector.BufI64); err != nil {
				return err
			}
			b := s.(*multisetState)
			b.at(b.load(cols[0], i)).n += cols[1].I64[i]
			return nil
		},
	}
}

// countCell is the number of rows of one value.
type countCell struct{ n int64 }

func (c *countCell) rows() int64              { return c.n }
func (c *countCell) merge(o *countCell)       { c.n += o.n }
func (c *countCell) unmerge(o *countCell)     { c.n -= o.n }
func (c *countCell) reset()                   { c.n = 0 }
func (c *countCell) append(dst []byte) []byte { return binary.AppendUvarint(dst, uint64(c.n)) }

func (c *countCell) mergeEncoded(name string, b []byte) error {
	n, rest, ok := rowCount(b)
	if !ok || len(rest) > 0 {
		return badState(name, "no number of rows")
	}
	c.n += n
	return nil
}

// multisetState is the rows of every value.
type multisetState struct {
	bag[countCell, *countCell]
	finish func(s *multisetState, out *vector.Vector) error
}

var _ Inverter = (*multisetState)(nil)

func (s *multisetState) Update(in *Input, row int) {
	if v := in.Args[0]; !v.IsNull(row) {
		s.at(s.load(v, row)).n++
	}
}

func (s *multisetState) Retract(in *Input, row int) {
	v := in.Args[0]
	if v.IsNull(row) {
		return
	}
	key := s.load(v, row)
	if c, ok := s.cells[string(key)]; ok {
		c.n--
		s.settle(key, c)
	}
}

func (s *multisetState) Merge(o State)   { s.mergeBag(&o.(*multisetState).bag) }
func (s *multisetState) Unmerge(o State) { unmergeBag(&s.bag, &o.(*multisetState).bag) }

func (s *multisetState) Finalize(out *vector.Vector) error {
	if err := s.checkSize(); err != nil {
		return err
	}
	return s.finish(s, out)
}
