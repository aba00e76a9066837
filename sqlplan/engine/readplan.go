package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/pointintime"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// wantedOutput is an output of a feature, or of a feature view, that a statement reads.
type wantedOutput struct {
	feature *schema.Feature     // nil: of view
	view    *schema.FeatureView // nil: of feature
	output  *schema.Output
}

type outputList []wantedOutput

// entityColumns are the outputs of all features of an entity, in the order of their creation.
func entityColumns(cat *schema.Catalog, ent *schema.Entity) outputList {
	var out outputList
	for _, f := range cat.FeaturesOf(ent.ID) {
		for i := range f.Outputs {
			out = append(out, wantedOutput{feature: f, output: &f.Outputs[i]})
		}
	}
	return out
}

func (l outputList) find(name string) (wantedOutput, bool) {
	for _, w := range l {
		if w.output.Name == name {
			return w, true
		}
	}
	return wantedOutput{}, false
}

func noEntityColumn(ent *schema.Entity, outs outputList, name string) *session.Error {
	names := []string{columnNames(ent.Keys)}
	for _, o := range outs {
		names = append(names, o.output.Name)
	}
	what := "entity"
	if len(outs) > 0 && outs[0].view != nil {
		what = "feature view"
	}
	return hint(fail(codeUndefinedColumn, "column %q of %s %q does not exist", name, what, ent.Name), "Columns of %s: %s.", ent.Name, strings.Join(names, ", "))
}

// readPlan is the outputs of a read, by the group that holds their partial states; or those of one feature view.
type readPlan struct {
	outputs []wantedOutput
	groups  []groupRead
	view    *viewRead // nil: outputs of features
}

// groupRead is the outputs that one group serves.
type groupRead struct {
	group   *schema.Group
	outputs []groupOutput
}

type groupOutput struct {
	at      int // in readPlan.outputs
	partial int // in the group
	window  pointintime.Window
}

func newReadPlan(cat *schema.Catalog, wanted []wantedOutput) *readPlan {
	p := &readPlan{outputs: wanted}
	if len(wanted) > 0 && wanted[0].view != nil {
		p.view = newViewRead(cat, wanted)
		return p
	}
	byGroup := map[uint32]int{}
	for i, w := range wanted {
		g := cat.Groups[w.feature.Group]
		if g == nil {
			continue // not materialized: check refuses it
		}
		gi, ok := byGroup[g.ID]
		if !ok {
			gi = len(p.groups)
			byGroup[g.ID] = gi
			p.groups = append(p.groups, groupRead{group: g})
		}
		p.groups[gi].outputs = append(p.groups[gi].outputs, groupOutput{at: i, partial: g.Partial(w.output.Partial), window: pointintime.Window(w.output.Window)})
	}
	return p
}

// check refuses a read of a feature that has no data.
func (p *readPlan) check(cat *schema.Catalog) error {
	if p.view != nil {
		for _, part := range p.view.parts {
			if err := part.read.check(cat); err != nil {
				return err
			}
		}
		return nil
	}
	for _, w := range p.outputs {
		if w.feature.Suspended {
			return suspended(w.feature)
		}
		if cat.Groups[w.feature.Group] == nil {
			return hint(fail("55000", "feature %q has not been materialized", w.feature.Name), "REFRESH FEATURE %s;", w.feature.Name)
		}
	}
	return nil
}

// suspended refuses to read or refresh a feature that ALTER FEATURE suspended: its data is gone until it is resumed.
func suspended(f *schema.Feature) *session.Error {
	return hint(fail("55000", "feature %q is suspended", f.Name), "ALTER FEATURE %s RESUME; builds it again.", f.Name)
}

// values assembles the outputs of one key at the cut t and appends them to cols: the one path under lookup, features_at and
// EXPLAIN FEATURE. w is reused over keys; a nil pieces has no events.
func (g *groupRead) values(w *assembler, pieces event.Pieces, t int64, inclusive bool, cols []*vector.Vector) error {
	for i := range g.outputs {
		w.wants[i].Interval = event.Interval{}
		if w.same[i] < 0 {
			w.wants[i].Interval = g.outputs[i].window.Interval(t, inclusive)
		}
		w.wants[i].State.Reset()
	}
	if pieces != nil {
		if err := pointintime.Assemble(pieces, w.partials, w.wants); err != nil {
			return err
		}
	}
	for i, o := range g.outputs {
		if j := w.same[i]; j >= 0 {
			w.wants[i].State.Merge(w.wants[j].State)
		}
		if err := w.wants[i].State.Finalize(cols[o.at]); err != nil {
			return fmt.Errorf("%s: %w", w.names[i], err)
		}
	}
	return nil
}

// assembler is the states that values assembles into.
type assembler struct {
	partials []event.Partial
	wants    []pointintime.Want
	same     []int // by want, the one before it that has its state; below 0: none
	names    []string
}

func (p *readPlan) assembler(g *groupRead, live *materialize.Group) *assembler {
	w := &assembler{partials: live.Partials}
	for i, o := range g.outputs {
		w.same = append(w.same, slices.IndexFunc(g.outputs[:i], func(before groupOutput) bool {
			return before.window == o.window && (before.partial == o.partial || w.partials[before.partial].SameState(&w.partials[o.partial]))
		}))
		w.wants = append(w.wants, pointintime.Want{Partial: o.partial, State: live.Partials[o.partial].Agg.New()})
		w.names = append(w.names, p.outputs[o.at].output.Name)
	}
	return w
}
