package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// explanation is what EXPLAIN FEATURE tells, as text or as JSON.
type explanation struct {
	Feature string            `json:"feature,omitempty"`
	View    string            `json:"feature_view,omitempty"`
	Key     []string          `json:"key"` // the literals of FOR
	At      string            `json:"at"`  // the instant; events strictly before the cut count
	Outputs []explainedOutput `json:"outputs,omitempty"`
	Request []explainedInput  `json:"request,omitempty"`
	Values  []explainedValue  `json:"values"`
}

// explainedOutput is an output of a feature view.
type explainedOutput struct {
	Name       string  `json:"name"`
	Expression string  `json:"expression"`
	Reads      string  `json:"reads,omitempty"` // the expression over the values of the explanation; "" where it is one of them
	Value      *string `json:"value"`
	Why        string  `json:"why,omitempty"` // there is no value
}

// explainedInput is a request column of a feature view.
type explainedInput struct {
	Name   string  `json:"name"` // in Reads
	Column string  `json:"column"`
	Value  *string `json:"value"`
}

// explainedValue is one windowed value.
type explainedValue struct {
	Input     string           `json:"input,omitempty"` // its name in Reads
	Of        string           `json:"of,omitempty"`    // its key, of a view that has several
	Name      string           `json:"name"`
	Aggregate string           `json:"aggregate"`
	From      string           `json:"from"` // inclusive
	To        string           `json:"to"`   // exclusive
	Pieces    []explainedPiece `json:"pieces"`
	Complete  *string          `json:"complete_through,omitempty"` // of a label: the events are complete up to here, inclusive
	Value     *string          `json:"value"`
}

// explainedPiece is a piece of a value, in the order in which it is folded: a state, or rows.
type explainedPiece struct {
	Kind  string  `json:"kind"`
	From  string  `json:"from"`
	To    string  `json:"to"` // of a state exclusive; of rows the time of the last one
	Rows  *int    `json:"rows,omitempty"`
	Bytes *int    `json:"bytes,omitempty"`
	SoFar *string `json:"so_far"` // the value of this piece and those before it
}

func (e *explanation) json() (string, error) {
	b, err := json.MarshalIndent(e, "", "  ")
	return string(b), err
}

func (e *explanation) text() []string {
	what := "feature " + e.Feature
	if e.View != "" {
		what = "feature view " + e.View
	}
	lines := []string{fmt.Sprintf("%s of (%s) at %s, strict: events before the cut", what, strings.Join(e.Key, ", "), e.At)}
	for _, o := range e.Outputs {
		line := o.Name + " = " + o.Expression
		if o.Reads != "" {
			line += "  [" + o.Reads + "]"
		}
		value := o.Why
		if value == "" {
			value = textOrNull(o.Value)
		}
		lines = append(lines, line, "  value: "+value)
	}
	for _, r := range e.Request {
		lines = append(lines, fmt.Sprintf("%s = request column %s: %s", r.Name, r.Column, textOrNull(r.Value)))
	}
	for i := range e.Values {
		v := &e.Values[i]
		indent := ""
		if v.Input != "" {
			lines = append(lines, fmt.Sprintf("%s of %s:", v.Input, v.Of))
			indent = "  "
		}
		for _, l := range v.text() {
			lines = append(lines, indent+l)
		}
	}
	return lines
}

// text shows the pieces as a table: what each adds, and what the value is with it.
func (v *explainedValue) text() []string {
	lines := []string{fmt.Sprintf("%s = %s over [%s, %s)", v.Name, v.Aggregate, v.From, v.To)}
	spans, sizes := make([]string, len(v.Pieces)), make([]string, len(v.Pieces))
	kind, span, size := 0, 0, 0
	for i, p := range v.Pieces {
		spans[i] = "[" + p.From + ", " + p.To + ")"
		switch {
		case p.Bytes != nil:
			sizes[i] = fmt.Sprintf("%d bytes", *p.Bytes)
		case *p.Rows == 1:
			sizes[i] = "1 row"
		default:
			sizes[i] = fmt.Sprintf("%d rows", *p.Rows)
		}
		if p.Rows != nil {
			spans[i] = "[" + p.From + ", " + p.To + "]"
		}
		kind, span, size = max(kind, len(p.Kind)), max(span, len(spans[i])), max(size, len(sizes[i]))
	}
	for i, p := range v.Pieces {
		lines = append(lines, fmt.Sprintf("  %-*s  %-*s  %*s  so far %s", kind, p.Kind, span, spans[i], size, sizes[i], textOrNull(p.SoFar)))
	}
	if v.Complete != nil {
		lines = append(lines, "  complete through "+*v.Complete)
	}
	return append(lines, "  value: "+textOrNull(v.Value))
}

func textOrNull(v *string) string {
	if v == nil {
		return "NULL"
	}
	return *v
}

// bindExplainFeature binds EXPLAIN FEATURE f FOR (keys) [AT time]: one value being put together, piece by piece.
func (s *Session) bindExplainFeature(_ context.Context, cat *schema.Catalog, st *parse.ExplainFeature) (bound, error) {
	f := cat.Feature(st.Name.Name)
	if name, column := viewOf(st.Name); cat.FeatureView(name) != nil {
		return s.bindExplainView(cat, st, cat.FeatureView(name), column)
	}
	if f == nil {
		return bound{}, at(fail(codeUndefinedObject, "feature %q does not exist", st.Name.Name), st.Text, st.Name.Position)
	}
	ent := cat.Entities[f.Entity]
	values, err := s.explainedValues(st, fmt.Sprintf("entity %q", ent.Name), ent.Keys, len(ent.Keys))
	if err != nil {
		return bound{}, err
	}
	var key []byte
	for _, v := range values {
		key = vector.AppendKey(key, v, 0)
	}
	var want []wantedOutput
	for i := range f.Outputs {
		want = append(want, wantedOutput{feature: f, output: &f.Outputs[i]})
	}
	return s.explained(st, func(ctx context.Context, cat *schema.Catalog, view *materialize.View, when int64, asOf *uint64) (*explanation, error) {
		out := &explanation{Feature: f.Name, Key: st.ValueTexts, At: formatTime(when)}
		var err error
		out.Values, err = s.explainValues(ctx, cat, view, want, key, when, asOf)
		return out, err
	})
}

// explainedValues are the literals of FOR as values of columns, of which the first keys must not be NULL.
func (s *Session) explainedValues(st *parse.ExplainFeature, of string, columns []schema.Column, keys int) ([]*vector.Vector, error) {
	if len(st.Values) != len(columns) {
		what := "keys"
		if keys < len(columns) {
			what = "keys and request columns"
		}
		return nil, at(hint(fail(codeInvalidParameter, "%s has %d %s, FOR gives %d", of, len(columns), what, len(st.Values)), "Keys: %s.", columnNames(columns)), st.Text, st.ForPosition)
	}
	var out []*vector.Vector
	for i, n := range st.Values {
		v := vector.New(columns[i].Type, 1)
		ok, err := s.appendConstant(v, n)
		if err != nil || !ok || v.IsNull(0) && i < keys {
			if err == nil {
				err = hint(fail(codeInvalidParameter, "a key must be a literal that is not NULL"), "FOR takes the values alone, in the order of the entity's keys: FOR (42).")
			}
			return nil, at(asError(err), st.Text, nodeLocation(n))
		}
		out = append(out, v)
	}
	return out, nil
}

// explained is EXPLAIN FEATURE with its AT, AS OF and FORMAT.
func (s *Session) explained(st *parse.ExplainFeature, run func(ctx context.Context, cat *schema.Catalog, view *materialize.View, when int64, asOf *uint64) (*explanation, error)) (bound, error) {
	json := false
	for _, name := range slices.Sorted(maps.Keys(st.Options)) {
		o := st.Options[name]
		if name != "format" || !strings.EqualFold(o.Value, "text") && !strings.EqualFold(o.Value, "json") {
			return bound{}, at(hint(fail("42601", "EXPLAIN FEATURE does not take %s %s", name, o.Value), "EXPLAIN (FORMAT json) FEATURE …, or text."), st.Text, o.Position)
		}
		json = strings.EqualFold(o.Value, "json")
	}
	var t *int64
	if st.At != nil {
		v, err := s.timeOf(st.At, nil)
		if err != nil {
			return bound{}, at(asError(err), st.Text, st.AtPosition)
		}
		t = &v
	}
	return bound{columns: planColumn, run: func(ctx context.Context, _ []*vector.Vector) (session.Result, error) {
		when := s.readTime()
		if t != nil {
			when = *t
		}
		var asOf *uint64
		if st.HasAsOf {
			p := uint64(st.AsOf)
			asOf = &p
		}
		cat := s.catalog()
		view := s.e.mat.View(cat)
		defer view.Close()
		out, err := run(ctx, cat, view, when, asOf)
		if err != nil {
			return nil, err
		}
		if json {
			text, err := out.json()
			return planRows([]string{text}), err
		}
		return planRows(out.text()), nil
	}}, nil
}

// explainValues tells how the values of one key are put together.
func (s *Session) explainValues(ctx context.Context, cat *schema.Catalog, view *materialize.View, want []wantedOutput, key []byte, when int64, asOf *uint64) ([]explainedValue, error) {
	plan := newReadPlan(cat, want)
	if err := plan.check(cat); err != nil {
		return nil, err
	}
	var values []explainedValue
	for gi := range plan.groups {
		g := &plan.groups[gi]
		if err := s.refuseOwnWrites(cat, g.group); err != nil {
			return nil, err
		}
		live, err := s.e.mat.Group(g.group)
		if err != nil {
			return nil, err
		}
		if err := g.kept(s.e, cat, when); err != nil {
			return nil, err
		}
		src := view.Source(live, s.readsGroup(cat, g.group, asOf), s.readFlags(), &event.ReadStats{})
		as := plan.assembler(g, live)
		for i, o := range g.outputs {
			iv := o.window.Interval(when, false)
			tr := &tracer{s: s, partial: o.partial, part: &live.Partials[o.partial], state: as.wants[i].State, typ: plan.outputs[o.at].output.Type}
			pieces, err := src.Key(ctx, key)
			if err != nil {
				return nil, err
			}
			if err := pieces.Cover(iv, tr); err != nil {
				tr.pieces = nil
				tr.state.Reset()
				if pieces, err = src.History(ctx, key); err != nil {
					return nil, err
				}
				if err := pieces.Cover(iv, tr); err != nil {
					return nil, err
				}
			}
			value, err := tr.value()
			if err != nil {
				return nil, err
			}
			told := explainedValue{Name: as.names[i], Aggregate: partialText(cat, g.group, &g.group.Partials[o.partial]),
				From: endText(iv.Lo), To: endText(iv.Hi), Pieces: tr.pieces, Value: value}
			if o.window.Following {
				through, err := s.e.mat.CompleteThrough(ctx, cat, g.group, src.Position())
				if err != nil {
					return nil, err
				}
				if told.Complete = new(endText(through)); !o.window.Known(when, through) {
					told.Value = nil
				}
			}
			values = append(values, told)
		}
	}
	return values, nil
}

func endText(t int64) string {
	if t == event.Forever {
		return "-infinity"
	}
	return formatTime(t)
}

// tracer folds pieces into a state, as Assemble does, and tells of each.
type tracer struct {
	s       *Session
	partial int
	part    *event.Partial
	state   functions.State
	typ     vector.Type // of the value
	pieces  []explainedPiece
}

func (t *tracer) State(kind event.PieceKind, span event.Interval, encoded func(int) []byte) error {
	b := encoded(t.partial)
	if b != nil {
		if err := t.state.MergeEncoded(b); err != nil {
			return err
		}
	}
	n := len(b)
	return t.told(explainedPiece{Kind: kind.String(), From: endText(span.Lo), To: endText(span.Hi), Bytes: &n})
}

func (t *tracer) Rows(kind event.PieceKind, _ event.Interval, r *event.Rows, from, to int) error {
	n := 0
	in := t.part.Input(r)
	for i := from; i < to; i++ {
		if !t.part.Passes(r, i) {
			continue
		}
		n++
		t.state.Update(in, i)
	}
	return t.told(explainedPiece{Kind: kind.String(), From: endText(r.TS[from]), To: endText(r.TS[to-1]), Rows: &n})
}

func (t *tracer) told(p explainedPiece) (err error) {
	p.SoFar, err = t.value()
	t.pieces = append(t.pieces, p)
	return err
}

// value is the value of what was folded so far, nil where it is NULL.
func (t *tracer) value() (*string, error) {
	out := vector.New(t.typ, 1)
	if err := t.state.Finalize(out); err != nil {
		return nil, err
	}
	return t.s.maybeText(out), nil
}
