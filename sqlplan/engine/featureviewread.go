package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// viewEntity is a view as what an entity is to a statement: a relation of which columns are bound. The view's keys come first.
func viewEntity(v *schema.FeatureView) *schema.Entity {
	return &schema.Entity{Name: v.Name, Keys: v.BoundColumns()}
}

// viewColumns are a view's outputs, in the order of its SELECT list.
func viewColumns(cat *schema.Catalog, v *schema.FeatureView) outputList {
	out := make(outputList, len(v.Outputs))
	for i := range v.Outputs {
		o := &v.Outputs[i]
		out[i] = wantedOutput{view: v, output: &schema.Output{Name: o.Name, Type: o.Type}}
		for _, b := range viewBases(v, o) {
			if f := cat.Features[v.Base[b].Feature]; f != nil {
				if base := f.Output(v.Base[b].Output); base != nil && base.Window.Following {
					out[i].output.Window.Following = true
				}
			}
		}
	}
	return out
}

// viewBases are the base values that an output reads, ascending.
func viewBases(v *schema.FeatureView, o *schema.ViewOutput) []int {
	var out []int
	for i := range v.Base {
		if slices.Contains(o.Reads, schema.ViewValue(i)) {
			out = append(out, i)
		}
	}
	return out
}

// viewRead is a read of outputs of a view: the base values that they need, by the keys that they are read with.
type viewRead struct {
	view    *schema.FeatureView
	outputs []*schema.ViewOutput
	parts   []viewPart
}

// viewPart is the base values of one key, which is some of the view's.
type viewPart struct {
	keys []int // of the view
	base []int // of the view, by output of read
	read *readPlan
}

// newViewRead plans a read of outputs of one view.
func newViewRead(cat *schema.Catalog, wanted []wantedOutput) *viewRead {
	r := &viewRead{view: wanted[0].view}
	var base []int
	for _, w := range wanted {
		i := slices.IndexFunc(r.view.Outputs, func(o schema.ViewOutput) bool { return o.Name == w.output.Name })
		o := &r.view.Outputs[i]
		r.outputs = append(r.outputs, o)
		base = append(base, viewBases(r.view, o)...)
	}
	slices.Sort(base)
	var lists [][]wantedOutput
	for _, i := range slices.Compact(base) {
		b := r.view.Base[i]
		f := cat.Features[b.Feature]
		at := slices.IndexFunc(r.parts, func(p viewPart) bool { return slices.Equal(p.keys, b.Keys) })
		if at < 0 {
			at = len(r.parts)
			r.parts, lists = append(r.parts, viewPart{keys: b.Keys}), append(lists, nil)
		}
		r.parts[at].base = append(r.parts[at].base, i)
		lists[at] = append(lists[at], wantedOutput{feature: f, output: f.Output(b.Output)})
	}
	for i := range r.parts {
		r.parts[i].read = newReadPlan(cat, lists[i])
	}
	return r
}

// derived are the outputs that are more than a column of the row of base values, by index.
func (r *viewRead) derived() []int {
	var out []int
	for i, o := range r.outputs {
		if o.Plain() == "" {
			out = append(out, i)
		}
	}
	return out
}

// reads are the columns of the row of base values that outputs read, in its order, and their types.
func (r *viewRead) reads(outputs []int) []schema.Column {
	return slices.DeleteFunc(rowColumns(r.view), func(c schema.Column) bool {
		return !slices.ContainsFunc(outputs, func(i int) bool { return slices.Contains(r.outputs[i].Reads, c.Name) })
	})
}

// lookupParts is a lookup of a view: the lookups of its parts, and the evaluation of what is derived from them.
type lookupParts struct {
	read    *viewRead
	parts   []*lookup
	rows    [][]int // by part and row of the view: the row of the part
	row     map[string]*vector.Vector
	derived []int
	columns []schema.Column  // of the row of base values, that the derived outputs read
	items   []string         // SQL of the derived outputs
	one     string           // SQL of what they are computed from: one row
	many    string           // the same of several rows
	args    []*vector.Vector // of both: a list of each column's values, since DuckDB plans anew for a parameter that is NULL
}

func (s *Session) newLookupParts(cat *schema.Catalog, r *viewRead) (*lookupParts, error) {
	p := &lookupParts{read: r, row: map[string]*vector.Vector{}, derived: r.derived(), rows: make([][]int, len(r.parts))}
	for _, part := range r.parts {
		ent := &schema.Entity{Name: r.view.Name}
		for _, k := range part.keys {
			ent.Keys = append(ent.Keys, r.view.Keys[k])
		}
		l, err := s.newLookup(cat, &lookupPlan{entityRef: &entityRef{entity: ent}, read: part.read})
		if err != nil {
			return nil, err
		}
		p.parts = append(p.parts, l)
	}
	p.columns = r.reads(p.derived)
	var one, many []string
	for _, i := range p.derived {
		p.items = append(p.items, r.outputs[i].SQL)
	}
	for i, c := range p.columns {
		list := vector.ListOf(c.Type)
		one = append(one, fmt.Sprintf("CAST($%d AS %s)[1] AS %s", i+1, list.DuckDB(), c.Name))
		many = append(many, fmt.Sprintf("unnest(CAST($%d AS %s)) AS %s", i+1, list.DuckDB(), c.Name))
		p.args = append(p.args, vector.New(list, 1))
	}
	if len(p.columns) > 0 { // or constants only
		p.one = fmt.Sprintf(" FROM (SELECT %s)", strings.Join(one, ", "))
		p.many = fmt.Sprintf(" FROM (SELECT %s)", strings.Join(many, ", "))
	}
	return p, nil
}

// fill assembles the base values of the keys at one view of the store, and appends the outputs to values.
func (p *lookupParts) fill(ctx context.Context, s *Session, view *materialize.View, asOf *uint64, when int64, bound *vector.Chunk, values []*vector.Vector) error {
	v := p.read.view
	for i := range v.Keys {
		p.row[schema.ViewKey(i)] = bound.Cols[i]
	}
	for i := range v.Request {
		p.row[schema.ViewRequest(i)] = bound.Cols[len(v.Keys)+i]
	}
	for i, l := range p.parts {
		part := &p.read.parts[i]
		p.rows[i] = l.takeKeys(bound, part.keys, p.rows[i][:0])
		if err := l.read(ctx, view, asOf, when); err != nil {
			return err
		}
		for o, b := range part.base {
			values := l.values[o]
			if l.keys.N < bound.N { // several rows share a key
				values = vector.New(values.Type, bound.N)
				for _, row := range p.rows[i] {
					values.AppendFrom(l.values[o], row)
				}
			}
			p.row[schema.ViewValue(b)] = values
		}
	}
	for i, o := range p.read.outputs {
		if name := o.Plain(); name != "" {
			values[i].AppendRange(p.row[name], 0, bound.N)
		}
	}
	if len(p.derived) == 0 || bound.N == 0 {
		return nil
	}
	return p.evaluate(ctx, s, bound.N, values)
}

// evaluate computes the derived outputs of n rows.
func (p *lookupParts) evaluate(ctx context.Context, s *Session, n int, values []*vector.Vector) error {
	from := p.one
	for i, c := range p.columns {
		p.args[i].Reset()
		p.args[i].Child[0].AppendRange(p.row[c.Name], 0, n)
		p.args[i].CloseNested()
	}
	times := 1
	switch {
	case len(p.columns) == 0:
		times = n
	case n > 1:
		from = p.many
	}
	st, err := s.statement(ctx, "SELECT "+strings.Join(p.items, ", ")+from)
	if err != nil {
		return err
	}
	got := 0
	for range times {
		rows, err := st.Query(ctx, p.args...)
		if err != nil {
			return p.blame(ctx, s, from, err)
		}
		for {
			ch, err := rows.Next()
			if err != nil {
				rows.Close()
				return p.blame(ctx, s, from, err)
			}
			if ch == nil {
				break
			}
			for k, i := range p.derived {
				values[i].AppendRange(ch.Cols[k], 0, ch.N)
			}
			got += ch.N
		}
	}
	if got != n {
		return fail(codeInternal, "feature view %q: %d rows of %d were evaluated", p.read.view.Name, got, n)
	}
	return nil
}

// blame names the column whose expression raised err: the first one that fails alone as well.
func (p *lookupParts) blame(ctx context.Context, s *Session, from string, err error) error {
	e := asError(err)
	for k, i := range p.derived {
		if _, one := s.conn.Exec(ctx, "SELECT "+p.items[k]+from, p.args...); one != nil && asError(one).Code == e.Code {
			e.Message = fmt.Sprintf("column %q of feature view %q: %s", p.read.outputs[i].Name, p.read.view.Name, e.Message)
			e.Hint = fmt.Sprintf("%s = %s", p.read.outputs[i].Name, p.read.outputs[i].Text)
			return e
		}
	}
	return e
}

// takeKeys makes the distinct keys of l from columns of the rows of bound, and appends to rows which of them each row has.
func (l *lookup) takeKeys(bound *vector.Chunk, columns []int, rows []int) []int {
	l.reset()
	var seen map[string]int
	if bound.N > 1 {
		seen = make(map[string]int, bound.N)
	}
	var scratch []byte
	for i := range bound.N {
		scratch = scratch[:0]
		for _, c := range columns {
			scratch = vector.AppendKey(scratch, bound.Cols[c], i)
		}
		row, ok := seen[string(scratch)]
		if !ok {
			row = l.keys.N
			for k, c := range columns {
				l.keys.Cols[k].AppendFrom(bound.Cols[c], i)
			}
			l.keys.N++
			l.enc.AppendBytes(scratch)
			if seen != nil {
				seen[string(scratch)] = row
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// notOnline is the refusal to look up a view that is not served online.
func notOnline(v *schema.FeatureView) *session.Error {
	return hint(fail("55000", "feature view %q is not served online", v.Name), "SELECT l.*, f.* FROM labels l ASOF JOIN %s f ON f.%s = l.%s AND … AND l.ts > f.ts", v.Name, v.Keys[0].Name, v.Keys[0].Name)
}

// rowColumn is the name of a bound column in the row of base values.
func (f *asofFeatures) rowColumn(i int) string {
	if n := len(f.view.Keys); i >= n {
		return schema.ViewRequest(i - n)
	}
	return schema.ViewKey(i)
}

// derive is the relation that stands for a join to a view: rows is the SELECT of row number, base values and time.
func (f *asofFeatures) derive(rows string) string {
	items := []string{rowNumberColumn}
	for i, name := range f.keyNames {
		items = append(items, f.rowColumn(i)+" AS "+duck.QuoteIdent(name))
	}
	items = append(items, eventTimeName)
	if f.read.view != nil {
		for _, o := range f.read.view.outputs {
			items = append(items, o.SQL+" AS "+duck.QuoteIdent(o.Name))
		}
	}
	return fmt.Sprintf("(SELECT %s FROM (%s))", strings.Join(items, ", "), rows)
}

// requestFits reports whether a value of the left side's type can be a request's: one of the same family, which is cast.
func requestFits(from, to vector.Type) bool {
	number := map[vector.Kind]int{vector.Int16: 1, vector.Int32: 2, vector.Int64: 3, vector.Decimal: 4, vector.Float32: 5, vector.Float64: 6}
	a, b := number[from.Kind], number[to.Kind]
	return from.Equal(to) || from.Kind == vector.Null || a > 0 && a <= b
}
