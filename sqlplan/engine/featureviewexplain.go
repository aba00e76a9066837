package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// what names the relation for EXPLAIN.
func (r *entityRef) what() string {
	if r.view != nil {
		return "feature view " + r.entity.Name
	}
	return "entity " + r.entity.Name
}

// evaluator tells what DuckDB does in a lookup.
func (p *readPlan) evaluator() string {
	if p.view != nil && len(p.view.derived()) > 0 {
		return "evaluates the derived columns"
	}
	return "is not used"
}

// derivation tells how an output comes from base values.
func derivation(o *schema.ViewOutput) string {
	if o.Plain() != "" {
		return fmt.Sprintf("%s = %s", o.Name, o.Text)
	}
	return fmt.Sprintf("%s = %s  [%s]", o.Name, o.Text, o.Expr)
}

// lines tell how the outputs come from base values, and what the base values are.
func (r *viewRead) lines(indent string) []string {
	var out []string
	for _, o := range r.outputs {
		out = append(out, indent+derivation(o))
	}
	for _, p := range r.parts {
		var keys, values []string
		for _, k := range p.keys {
			keys = append(keys, r.view.Keys[k].Name)
		}
		for _, b := range p.base {
			values = append(values, schema.ViewValue(b)+" = "+r.view.Base[b].Output)
		}
		out = append(out, fmt.Sprintf("%sby (%s): %s", indent, strings.Join(keys, ", "), strings.Join(values, ", ")))
	}
	return out
}

// viewOf reads the name of EXPLAIN FEATURE as a view, or as view.column.
func viewOf(n parse.Name) (view, column string) {
	if n.Schema != "" && n.Schema != "public" {
		return n.Schema, n.Name
	}
	return n.Name, ""
}

// bindExplainView binds EXPLAIN FEATURE view[.column] FOR (keys, request): the derivation, then its inputs.
func (s *Session) bindExplainView(cat *schema.Catalog, st *parse.ExplainFeature, v *schema.FeatureView, column string) (bound, error) {
	values, err := s.explainedValues(st, fmt.Sprintf("feature view %q", v.Name), v.BoundColumns(), len(v.Keys))
	if err != nil {
		return bound{}, err
	}
	want := viewColumns(cat, v)
	if column != "" {
		w, ok := want.find(column)
		if !ok {
			return bound{}, at(noEntityColumn(viewEntity(v), want, column), st.Text, st.Name.Position)
		}
		want = outputList{w}
	}
	return s.explained(st, func(ctx context.Context, cat *schema.Catalog, view *materialize.View, when int64, asOf *uint64) (*explanation, error) {
		out := &explanation{View: v.Name, Key: st.ValueTexts, At: formatTime(when)}
		plan := newReadPlan(cat, want)
		if err := plan.check(cat); err != nil {
			return nil, err
		}
		known := slices.DeleteFunc(slices.Clone(want), func(w wantedOutput) bool { return w.output.Window.Following })
		l, err := s.newLookup(cat, &lookupPlan{entityRef: &entityRef{entity: viewEntity(v), view: v}, read: newReadPlan(cat, known)})
		if err != nil {
			return nil, err
		}
		for i, x := range values {
			l.keys.Cols[i].AppendFrom(x, 0)
		}
		l.keys.N = 1
		if err := l.read(ctx, view, asOf, when); err != nil {
			return nil, err
		}
		for _, o := range plan.view.outputs {
			e := explainedOutput{Name: o.Name, Expression: o.Text, Why: "looks forward, and is read by ASOF JOIN only"}
			if o.Plain() == "" {
				e.Reads = o.Expr
			}
			if i := slices.IndexFunc(known, func(w wantedOutput) bool { return w.output.Name == o.Name }); i >= 0 {
				e.Why, e.Value = "", s.maybeText(l.values[i])
			}
			out.Outputs = append(out.Outputs, e)
		}
		for i, r := range v.Request {
			out.Request = append(out.Request, explainedInput{Name: schema.ViewRequest(i), Column: r.Name, Value: s.maybeText(values[len(v.Keys)+i])})
		}
		for _, part := range plan.view.parts {
			var key []byte
			var names []string
			for _, k := range part.keys {
				key = vector.AppendKey(key, values[k], 0)
				names = append(names, v.Keys[k].Name+" "+s.valueText(values[k]))
			}
			for o, b := range part.base {
				list, err := s.explainValues(ctx, cat, view, part.read.outputs[o:o+1], key, when, asOf)
				if err != nil {
					return nil, err
				}
				for i := range list {
					list[i].Input, list[i].Of = schema.ViewValue(b), strings.Join(names, ", ")
				}
				out.Values = append(out.Values, list...)
			}
		}
		return out, nil
	})
}

// valueText is the one value of v as text.
func (s *Session) valueText(v *vector.Vector) string {
	if v.IsNull(0) {
		return "NULL"
	}
	return string(codec.AppendText(nil, v, 0, s.codecSettings()))
}

// maybeText is valueText, nil where the value is NULL.
func (s *Session) maybeText(v *vector.Vector) *string {
	if v.IsNull(0) {
		return nil
	}
	text := s.valueText(v)
	return &text
}
