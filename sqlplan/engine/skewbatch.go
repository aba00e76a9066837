package engine

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/pointintime"
	"github.com/tilehouse/tilehouse/storage/featurelog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// What bounds the logged reads that are made again at a time: rows, and bytes of what they bound and returned. Each time costs a pass over the
// versions of the events of the keys that are asked about.
const (
	maxSkewRows  = 1 << 17
	maxSkewBytes = 32 << 20
)

// skewBatch is logged reads of a view that bound and returned columns of the same names and types. They are made again as an ASOF join whose
// rows have a position each.
type skewBatch struct {
	from      []int // the columns returned, in a record
	names     []string
	parts     *lookupParts
	bound     *vector.Chunk
	logged    []*vector.Vector // by name
	instants  []int64
	positions []uint64
}

// take adds a record to the batch of its columns, or leaves it out where the view has other keys now.
func (r *skewRead) take(b *binder, rec *featurelog.Record, batches map[string]*skewBatch) (*skewBatch, error) {
	bound := r.view.BoundColumns()
	if rec.Bound != len(bound) {
		return nil, nil // of a view that was replaced by one of other keys
	}
	for i := range bound {
		if !bound[i].Type.Equal(rec.Row.Cols[i].Type) {
			return nil, nil
		}
	}
	var key strings.Builder
	for i, name := range rec.Columns[rec.Bound:] {
		fmt.Fprintf(&key, "%s\x00%v\x00", name, rec.Row.Cols[rec.Bound+i].Type)
	}
	a := batches[key.String()]
	if a == nil {
		var err error
		if a, err = r.newBatch(b, rec); err != nil {
			return nil, err
		}
		batches[key.String()] = a
	}
	for i := range bound {
		a.bound.Cols[i].AppendFrom(rec.Row.Cols[i], 0)
	}
	a.bound.N++
	for i, c := range a.from {
		a.logged[i].AppendFrom(rec.Row.Cols[c], 0)
	}
	a.instants, a.positions = append(a.instants, rec.Instant), append(a.positions, rec.Position)
	return a, nil
}

// newBatch is an empty batch of a record's columns, but those that the view no longer has.
func (r *skewRead) newBatch(b *binder, rec *featurelog.Record) (*skewBatch, error) {
	a := &skewBatch{bound: &vector.Chunk{}}
	for _, v := range rec.Row.Cols[:rec.Bound] {
		a.bound.Cols = append(a.bound.Cols, vector.New(v.Type, 0))
	}
	all := viewColumns(b.cat, r.view)
	var wanted []wantedOutput
	for i, name := range rec.Columns[rec.Bound:] {
		if w, ok := all.find(name); ok {
			wanted = append(wanted, w)
			a.from, a.names = append(a.from, rec.Bound+i), append(a.names, name)
			a.logged = append(a.logged, vector.New(rec.Row.Cols[rec.Bound+i].Type, 0))
		}
	}
	if len(wanted) == 0 {
		return a, nil
	}
	read := newReadPlan(b.cat, wanted)
	if err := read.check(b.cat); err != nil {
		return nil, err
	}
	var err error
	a.parts, err = b.s.newLookupParts(b.cat, read.view)
	return a, err
}

// full reports whether the batch is as large as may be. It looks at the bytes now and then.
func (a *skewBatch) full() bool {
	if a.bound.N < maxSkewRows && a.bound.N%1024 != 0 {
		return false
	}
	bytes := 0
	for _, v := range append(slices.Clone(a.bound.Cols), a.logged...) {
		bytes += v.MemBytes()
	}
	return a.bound.N >= maxSkewRows || bytes >= maxSkewBytes
}

func (a *skewBatch) reset() {
	a.bound.Reset()
	for _, v := range a.logged {
		v.Reset()
	}
	a.instants, a.positions = a.instants[:0], a.positions[:0]
}

// compare makes the reads of a batch again, counts its columns, and empties it.
func (r *skewRead) compare(b *binder, a *skewBatch, tallies map[string]*tally) error {
	defer a.reset()
	if a.parts == nil || a.bound.N == 0 {
		return nil
	}
	v := r.view
	for i := range v.Keys {
		a.parts.row[schema.ViewKey(i)] = a.bound.Cols[i]
	}
	for i := range v.Request {
		a.parts.row[schema.ViewRequest(i)] = a.bound.Cols[len(v.Keys)+i]
	}
	for i := range a.parts.read.parts {
		if err := a.assemble(b, &a.parts.read.parts[i]); err != nil {
			return err
		}
	}
	again := make([]*vector.Vector, len(a.names))
	for i, o := range a.parts.read.outputs {
		if name := o.Plain(); name != "" {
			again[i] = a.parts.row[name]
		} else {
			again[i] = vector.New(o.Type, a.bound.N)
		}
	}
	if len(a.parts.derived) > 0 {
		if err := a.derive(b, again); err != nil {
			return err
		}
	}
	for i, name := range a.names {
		t := tallies[name]
		if t == nil {
			t = &tally{}
			tallies[name] = t
		}
		t.rows += a.bound.N
		for row := range a.bound.N {
			if sameValue(a.logged[i], row, again[i], row) {
				t.equal++
			} else if t.example == "" {
				t.example = fmt.Sprintf("%s at %s, position %d: logged %s, again %s", a.boundText(b.s, r.view, row), formatTime(a.instants[row]), a.positions[row],
					b.s.textAt(a.logged[i], row), b.s.textAt(again[i], row))
			}
		}
	}
	return nil
}

// boundText is what a read bound.
func (a *skewBatch) boundText(s *Session, v *schema.FeatureView, row int) string {
	rec := featurelog.Record{Row: &vector.Chunk{N: 1}}
	for i, c := range v.BoundColumns() {
		one := vector.New(c.Type, 1)
		one.AppendFrom(a.bound.Cols[i], row)
		rec.Columns, rec.Row.Cols = append(rec.Columns, c.Name), append(rec.Row.Cols, one)
	}
	return s.rowText(&rec, 0, len(rec.Columns))
}

// textAt is the text of a value.
func (s *Session) textAt(v *vector.Vector, row int) string {
	one := vector.New(v.Type, 1)
	one.AppendFrom(v, row)
	return s.valueText(one)
}

// derive evaluates the derived outputs, as many rows at a time as a vector of DuckDB's has.
func (a *skewBatch) derive(b *binder, again []*vector.Vector) error {
	whole := a.parts.row
	defer func() { a.parts.row = whole }()
	for from := 0; from < a.bound.N; from += entityBatch {
		n := min(entityBatch, a.bound.N-from)
		a.parts.row = make(map[string]*vector.Vector, len(a.parts.columns))
		for _, c := range a.parts.columns {
			some := vector.New(whole[c.Name].Type, n)
			some.AppendRange(whole[c.Name], from, from+n)
			a.parts.row[c.Name] = some
		}
		if err := a.parts.evaluate(b.ctx, b.s, n, again); err != nil {
			return err
		}
	}
	return nil
}

// assemble computes the base values of a part of the view at the reads' instants and positions.
func (a *skewBatch) assemble(b *binder, part *viewPart) error {
	s := b.s
	for k := range part.read.groups {
		g := &part.read.groups[k]
		if err := s.refuseOwnWrites(b.cat, g.group); err != nil {
			return err
		}
		s.readsGroup(b.cat, g.group, nil)
		req := joinRequest{Group: g.group, Flags: s.readFlags(), Stats: s.reads, Labels: a.labels(part.keys)}
		types := []vector.Type{vector.T(vector.Int64)}
		for _, o := range g.outputs {
			req.Outputs = append(req.Outputs, pointintime.Output{Partial: o.partial, Window: o.window})
			types = append(types, part.read.outputs[o.at].output.Type)
		}
		values := vector.NewChunk(types, a.bound.N)
		req.Sink = func(ch *vector.Chunk) error {
			values.AppendRange(ch, 0, ch.N)
			return nil
		}
		positions := slices.Clone(a.positions)
		slices.Sort(positions)
		if err := s.mergeEach(b.ctx, b.cat, req, slices.Compact(positions), func(req joinRequest) error { return s.e.join(b.ctx, b.cat, req) }); err != nil {
			return err
		}
		places := make([]vector.Place, a.bound.N) // of a read among the values, which come in any order
		for i, row := range values.Cols[0].I64 {
			places[row].At = int32(i)
		}
		if values.N != a.bound.N {
			return fail(codeInternal, "%d reads were made again of %d", values.N, a.bound.N)
		}
		for i, o := range g.outputs {
			in := vector.New(types[i+1], a.bound.N)
			in.Gather(values.Cols[i+1:i+2], places)
			a.parts.row[schema.ViewValue(part.base[o.at])] = in
		}
	}
	return nil
}

// labels are the reads of the batch, by some of the bound columns.
func (a *skewBatch) labels(keys []int) pointintime.LabelSource {
	return func(_ context.Context, emit func(*pointintime.Labels) error) error {
		l := pointintime.Labels{Key: vector.New(vector.T(vector.Bytes), 0), T: vector.New(vector.T(vector.TimestampTZ), 0), Position: a.positions}
		var cols []*vector.Vector
		for _, k := range keys {
			cols = append(cols, a.bound.Cols[k])
		}
		vector.AppendKeys(l.Key, cols, a.bound.N)
		for i, t := range a.instants {
			l.Row = append(l.Row, int64(i))
			l.T.AppendInt(t)
		}
		return emit(&l)
	}
}

// everything is since when tilehouse.skew looks where it is not said.
const everything = int64(math.MinInt64)
