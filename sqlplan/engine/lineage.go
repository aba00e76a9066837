package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// lineageColumns are the columns of tilehouse.lineage: one row says that an object, or a column of it, is made of another.
var lineageColumns = text("object_kind", "object", "column_name", "reads_kind", "reads", "reads_column")

// lineageRows are the edges of the catalog's objects:
//
//	event table, source ◄─ dual source ◄─ event view ◄─ partial ◄─ column of a feature ◄─ column of a feature view
//	                                    entity ◄─ feature
func lineageRows(_ *Session, cat *schema.Catalog) ([][]string, error) {
	var out [][]string
	edge := func(values ...string) {
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = orNull(v)
		}
		out = append(out, row)
	}
	relation := func(id uint32) (kind, name string) {
		r := cat.Relations[id]
		return string(r.Kind), r.Name
	}
	for _, r := range sorted(cat.Relations, func(r *schema.Relation) string { return r.Name }) {
		if r.View != nil {
			kind, name := relation(r.View.Base)
			edge("event view", r.Name, "", kind, name, "")
		}
		if r.Dual != nil {
			for _, side := range []uint32{r.Dual.Batch, r.Dual.Stream} {
				kind, name := relation(side)
				edge(string(r.Kind), r.Name, "", kind, name, "")
			}
		}
	}
	for _, g := range sorted(cat.Groups, func(g *schema.Group) string { return fmt.Sprintf("%010d", g.ID) }) {
		kind, name := relation(g.Relation)
		for i := range g.Partials {
			edge("partial", g.Partials[i].Fingerprint, partialText(cat, g, &g.Partials[i]), kind, name, "")
			for _, j := range g.Joins {
				kind, name := relation(j.Relation)
				edge("partial", g.Partials[i].Fingerprint, partialText(cat, g, &g.Partials[i]), kind, name, "")
			}
		}
	}
	for _, f := range sorted(cat.Features, func(f *schema.Feature) string { return f.Name }) {
		kind, name := relation(f.Relation)
		edge("feature", f.Name, "", kind, name, "")
		for _, id := range f.Attributes {
			kind, name := relation(id)
			edge("feature", f.Name, "", kind, name, "")
		}
		edge("feature", f.Name, "", "entity", cat.Entities[f.Entity].Name, "")
		for _, o := range f.Outputs {
			text := ""
			if g := cat.Groups[f.Group]; g != nil {
				if i := g.Partial(o.Partial); i >= 0 {
					text = partialText(cat, g, &g.Partials[i])
				}
			}
			edge("feature", f.Name, o.Name, "partial", o.Partial, text)
		}
	}
	for _, v := range sorted(cat.FeatureViews, func(v *schema.FeatureView) string { return v.Name }) {
		for _, o := range v.Outputs {
			for _, read := range o.Reads {
				i := 0
				if n, _ := fmt.Sscanf(read, "b%d", &i); n == 0 || i >= len(v.Base) {
					continue // a key or a value of the request
				}
				b := v.Base[i]
				edge("feature view", v.Name, o.Name, "feature", cat.Features[b.Feature].Name, b.Output)
			}
		}
	}
	return out, nil
}

// partialText is a partial as it would be written: count(*) FILTER (WHERE …), last_k(x, 3).
func partialText(cat *schema.Catalog, g *schema.Group, p *schema.Partial) string {
	name, distinct := p.Function, ""
	if p.Function == "count_distinct" {
		name, distinct = "count", "DISTINCT "
	}
	args := make([]string, 0, len(p.Types))
	for _, a := range p.Args {
		args = append(args, g.Columns[a].SQL)
	}
	for i, c := range p.Constants {
		if c != "" && i >= len(p.Args) {
			args = append(args, c)
		}
	}
	if def, ok := functions.Lookup(p.Function); ok && len(args) == 0 && def.Name == "count" {
		args = []string{"*"}
	}
	out := fmt.Sprintf("%s(%s%s)", name, distinct, strings.Join(args, ", "))
	if p.Filter >= 0 {
		out += fmt.Sprintf(" FILTER (WHERE %s)", g.Columns[p.Filter].SQL)
	}
	return shownSQL(cat, g.Relation, g.Joins, out)
}

// watermarkColumns are the columns of tilehouse.watermarks: how far in event time a relation is known to be complete, and by what rule.
var watermarkColumns = slices.Concat(text("relation", "kind", "event_time"), times("complete_through"), text("rule", "lateness"), intervals("delay"))

// knownTime is a time as a literal, NULL for the one before all events.
func knownTime(t int64) string {
	if t == event.Forever {
		return "NULL"
	}
	return timeLiteral(t)
}

func watermarkRows(s *Session, cat *schema.Catalog) ([][]string, error) {
	var out [][]string
	position := s.e.log.Position()
	for _, r := range sorted(cat.Relations, func(r *schema.Relation) string { return r.Name }) {
		if r.EventTime == "" {
			continue
		}
		base := r
		if r.View != nil {
			base = cat.Relations[r.View.Base]
		}
		rule, through, delay := "the clock", timeLiteral(s.e.now()), "NULL"
		if w := base.Watermark; w != nil {
			rule, delay = "the newest event time less the delay", fmt.Sprintf("to_microseconds(%d)", w.Delay)
		}
		switch {
		case base.File == nil && base.Watermark != nil:
			t, err := s.e.mat.Watermark(base, position)
			if err != nil {
				return nil, err
			}
			if through = knownTime(t); base.Kafka != nil {
				rule = "the least of the partitions' newest event times, idle ones left out, less the delay"
			}
		case base.File != nil:
			through = "NULL"
			switch {
			case base.File.CompleteThrough != 0:
				rule = "option complete_through"
			case base.Watermark != nil:
				rule += ", where a feature reads it"
			default:
				rule = "the newest event time, where a feature reads it"
			}
			for _, g := range cat.Groups {
				if g.Relation != r.ID {
					continue
				}
				live, err := s.e.mat.Group(g)
				if err != nil {
					return nil, err
				}
				t, err := s.e.mat.CompleteThrough(context.Background(), cat, live.Schema, position)
				if err != nil {
					return nil, err
				}
				through = knownTime(t)
			}
			if t := base.File.CompleteThrough; t != 0 {
				through = knownTime(t)
			}
		}
		lateness := "'0 seconds'"
		if r.Lateness != 0 {
			lateness = duck.QuoteLiteral(durationText(r.Lateness))
		}
		out = append(out, append(literals(r.Name, string(r.Kind), r.EventTime), through, duck.QuoteLiteral(rule), lateness, delay))
	}
	return out, nil
}
