package functions

import (
	"cmp"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// extremesVersion is the version of the states of min_map and max_map.
const extremesVersion = 1

// extremes is what they share: the least (sign −1) or greatest (sign 1) second argument for every value of the first.
type extremes struct {
	*extreme
	args []vector.Type
	max  int
}

// bindExtremes takes values of one width only, so that the size of a state is a function of its keys.
func bindExtremes(name, one string, args []vector.Type, sign int, opt Options) (*extremes, error) {
	if err := checkArgs(name, args, 2); err != nil {
		return nil, err
	}
	if err := checkKey(name, args, args[0]); err != nil {
		return nil, err
	}
	e, err := bindExtreme(name, args[1:], sign)
	if err != nil {
		return nil, err
	}
	if k := args[1].Kind; k == vector.Text || k == vector.Bytes {
		return nil, &BindError{codeUnsupported, name + " of values of type " + args[1].String() + " is not supported", "Take their number or time, or " + one + "(x) FILTER (WHERE b = …) for one bucket."}
	}
	e.function = one
	return &extremes{e, args, cmp.Or(opt.MaxState, DefaultMaxState)}, nil
}

func (a *extremes) ArgTypes() []vector.Type { return a.args }
func (a *extremes) ResultType() vector.Type { return vector.MapOf(a.args[0], a.args[1]) }

func (a *extremes) New() State {
	return &extremesState{bag[extremeState, *extremeState]{
		name: a.name, version: extremesVersion, key: a.args[0], max: a.max, cost: bucketCost,
		make: func() *extremeState { return &extremeState{agg: a.extreme} },
	}}
}

func (a *extremes) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	key, t := a.args[0], a.args[1]
	columns := []string{normal(d, key, in.Args[0]) + " AS b0", normal(d, t, in.Args[1]) + " AS a0"}
	return PartialQuery{
		SQL:     "SELECT " + keyNames(in) + "b0, " + a.value(d) + " AS s FROM " + base(d, in, columns, in.Args...) + groupBy(in, "b0"),
		Columns: 2,
		Fold: func(s State, cols []*vector.Vector, i int) error {
			if err := stateColumns(a.name, cols, key.Buffer(), t.Buffer()); err != nil {
				return err
			}
			b := s.(*extremesState)
			b.at(b.load(cols[0], i)).add(cols[1], i)
			return nil
		},
	}
}

// extremesState is the extreme of every bucket.
type extremesState struct {
	bag[extremeState, *extremeState]
}

var _ State = (*extremesState)(nil)

func (s *extremesState) Update(in *Input, row int) {
	if b, x := in.Args[0], in.Args[1]; !b.IsNull(row) && !x.IsNull(row) {
		s.at(s.load(b, row)).add(x, row)
	}
}

func (s *extremesState) Merge(o State) { s.mergeBag(&o.(*extremesState).bag) }

func (s *extremesState) Finalize(out *vector.Vector) error {
	return s.appendMap(out, func(c *extremeState, out *vector.Vector) error { return c.Finalize(out) })
}

// A bucket is a state of min or max, and its bytes are that without the version.

func (s *extremeState) rows() int64              { return 1 } // a bucket without a row is not made
func (s *extremeState) merge(o *extremeState)    { s.Merge(o) }
func (s *extremeState) reset()                   { s.Reset() }
func (s *extremeState) append(dst []byte) []byte { return s.x.append(s.agg.args[0], dst) }

func (s *extremeState) mergeEncoded(name string, b []byte) error {
	var x scalar
	if !x.decode(s.agg.args[0], b) {
		return badState(name, "no "+s.agg.args[0].String())
	}
	s.offer(&x)
	return nil
}
