package functions

import "github.com/tilehouse/tilehouse/functions/vector"

// extremeVersion is the version of the states of min and max.
const extremeVersion = 1

// extreme is what min (sign −1) and max (sign 1) of one type share.
type extreme struct {
	name     string
	function string // min or max
	args     []vector.Type
	sign     int
}

var _ State = (*extremeState)(nil)

// bindExtreme takes the types that PostgreSQL orders, and uuid and bytea.
func bindExtreme(name string, args []vector.Type, sign int) (*extreme, error) {
	if err := checkArgs(name, args, 1); err != nil {
		return nil, err
	}
	switch t := args[0]; t.Kind {
	case vector.Bool:
		return nil, noSuchFunction(name, args, "Cast the argument to integer, or use bool_and or bool_or.")
	case vector.JSON:
		return nil, noSuchFunction(name, args, "json has no order: cast the argument to text.")
	case vector.Interval, vector.List, vector.Map:
		// Intervals that compare as equal can differ ('1 month', '30 days'): which of them is the least would be arbitrary.
		return nil, &BindError{codeUnsupported, name + "(" + t.String() + ") is not supported", "Aggregate a scalar, for instance extract(epoch FROM x)."}
	}
	return &extreme{name, name, args, sign}, nil
}

func (a *extreme) ArgTypes() []vector.Type { return a.args }
func (a *extreme) ResultType() vector.Type { return a.args[0] }
func (a *extreme) New() State              { return &extremeState{agg: a} }

// value is the SQL of the extreme of the column a0.
func (a *extreme) value(d Dialect) string {
	t := a.args[0]
	if d == PostgreSQL && (t.Kind == vector.UUID || t.Kind == vector.Bytes) { // it has an order of them, but no min and max
		return "(pg_catalog.array_agg(a0 ORDER BY a0" + map[int]string{-1: "", 1: " DESC"}[a.sign] + "))[1]"
	}
	x := d.fn(a.function) + "(" + d.ordered("a0", t) + ")"
	if t.Kind == vector.Decimal { // PostgreSQL forgets precision and scale
		x = d.cast(x, t)
	}
	return x
}

func (a *extreme) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	t := a.args[0]
	return PartialQuery{
		SQL: "SELECT " + keyNames(in) + a.value(d) + " AS s FROM " +
			base(d, in, []string{normal(d, t, in.Args[0]) + " AS a0"}, in.Args[0]) + groupBy(in),
		Columns: 1,
		Fold: func(s State, cols []*vector.Vector, i int) error {
			if err := stateColumns(a.name, cols, t.Buffer()); err != nil {
				return err
			}
			s.(*extremeState).add(cols[0], i)
			return nil
		},
	}
}

// extremeState is the least or greatest value yet.
type extremeState struct {
	agg *extreme
	has bool
	x   scalar
}

func (s *extremeState) Update(in *Input, row int) { s.add(in.Args[0], row) }

func (s *extremeState) add(v *vector.Vector, row int) {
	if v.IsNull(row) {
		return
	}
	var x scalar
	x.load(v, row)
	s.offer(&x)
}

func (s *extremeState) offer(x *scalar) {
	if !s.has || compare(s.agg.args[0], x, &s.x)*s.agg.sign > 0 {
		s.has = true
		s.x.keep(x)
	}
}

func (s *extremeState) Merge(o State) {
	if o := o.(*extremeState); o.has {
		s.offer(&o.x)
	}
}

func (s *extremeState) MergeEncoded(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	b, err := open(b, extremeVersion, s.agg.name)
	if err != nil {
		return err
	}
	return s.mergeEncoded(s.agg.name, b)
}

func (s *extremeState) Append(dst []byte) []byte {
	if !s.has {
		return dst
	}
	return s.append(append(dst, extremeVersion))
}

func (s *extremeState) Finalize(out *vector.Vector) error {
	if s.has {
		s.x.appendTo(out)
	} else {
		out.AppendNull()
	}
	return nil
}

func (s *extremeState) Reset() { s.has = false }
