package functions

import (
	"cmp"
	"encoding/binary"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// distinctCost is what a value counts towards max_state beside its own bytes.
const distinctCost = 4

var countDistinctDef = &Definition{
	Name:         "count_distinct",
	Help:         "count(DISTINCT x): number of distinct values; an exact multiset of at most max_state bytes",
	NullRule:     "skips NULL; 0 where no row is left",
	Inverse:      true,
	ErrorBound:   "exact",
	StateVersion: 1,
	Bind: func(args []vector.Type, _ []*vector.Vector, opt Options) (Aggregate, error) {
		if err := checkArgs("count_distinct", args, 1); err != nil {
			return nil, err
		}
		if err := checkKey("count_distinct", args, args[0]); err != nil {
			return nil, err
		}
		return &countDistinct{args, cmp.Or(opt.MaxState, DefaultMaxState)}, nil
	},
}

type countDistinct struct {
	args []vector.Type
	max  int
}

var (
	_ Aggregate = (*countDistinct)(nil)
	_ Inverter  = (*distinctState)(nil)
)

func (a *countDistinct) Definition() *Definition { return countDistinctDef }
func (a *countDistinct) ArgTypes() []vector.Type { return a.args }
func (a *countDistinct) ResultType() vector.Type { return vector.T(vector.Int64) }

func (a *countDistinct) New() State {
	return &distinctState{bag[countCell, *countCell]{
		name: "count_distinct", version: countDistinctDef.StateVersion, key: a.args[0], max: a.max, cost: distinctCost,
		make: func() *countCell { return new(countCell) },
	}}
}

func (a *countDistinct) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	mustDuckDB(d)
	t := a.args[0]
	return PartialQuery{
		SQL: "SELECT " + keyNames(in) + "a0, system.main.count(*) AS n FROM " +
			base(in, []string{normal(t, in.Args[0]) + " AS a0"}, in.Args[0]) + groupBy(in, "a0"),
		Columns: 2,
		Fold: func(s State, cols []*vector.Vector, i int) error {
			if err := stateColumns("count_distinct", cols, t.Buffer(), vector.BufI64); err != nil {
				return err
			}
			b := s.(*distinctState)
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

// distinctState is the rows of every value.
type distinctState struct {
	bag[countCell, *countCell]
}

func (s *distinctState) Update(in *Input, row int) {
	if v := in.Args[0]; !v.IsNull(row) {
		s.at(s.load(v, row)).n++
	}
}

func (s *distinctState) Retract(in *Input, row int) {
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

func (s *distinctState) Merge(o State)   { s.mergeBag(&o.(*distinctState).bag) }
func (s *distinctState) Unmerge(o State) { s.unmergeBag(&o.(*distinctState).bag) }

func (s *distinctState) Finalize(out *vector.Vector) error {
	if err := s.checkSize(); err != nil {
		return err
	}
	out.AppendInt(int64(len(s.cells)))
	return nil
}
