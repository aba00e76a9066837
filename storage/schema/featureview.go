package schema

import (
	"fmt"
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// FeatureView is columns derived from features of one or more entities and from values of the request: what a model reads.
//
// Its expressions are over one flat row of base values, whatever views the statement went through:
//
//	k0, k1, …   its keys          r0, r1, …   its request columns          b0, b1, …   outputs of features
//
// Views that it reads are written into its expressions, so that a reader needs no other view.
type FeatureView struct {
	ID          uint32            `json:"id"`
	Name        string            `json:"name"`
	SQL         string            `json:"sql"` // the statement that made it
	Options     map[string]string `json:"options,omitempty"`
	Online      bool              `json:"online"`
	LogFraction float64           `json:"log_fraction,omitempty"` // of online reads that are logged, 0 to 1
	Keys        []Column          `json:"keys"`                   // of its entities, by their names in the view
	Request     []Column          `json:"request,omitempty"`
	Base        []ViewBase        `json:"base"`
	Outputs     []ViewOutput      `json:"outputs"`
	Entities    []uint32          `json:"entities,omitempty"` // that its statement names
	Views       []uint32          `json:"views,omitempty"`    // that its statement names
	Comment     string            `json:"comment,omitempty"`
}

// ViewBase is an output of a feature that a view reads.
type ViewBase struct {
	Keys    []int       `json:"keys"` // which of the view's keys are the entity's, in the entity's order
	Feature uint32      `json:"feature"`
	Output  string      `json:"output"` // by name; its type is frozen while the view exists
	Type    vector.Type `json:"type"`
}

// ViewOutput is a column of a view.
type ViewOutput struct {
	Name string      `json:"name"`
	Type vector.Type `json:"type"`
	Text string      `json:"text"` // the expression as written, for people
	Expr string      `json:"expr"` // the expression over the row of base values, in PostgreSQL's SQL
	SQL  string      `json:"eval"` // the same in DuckDB's SQL, cast to Type
	// Reads are the columns of the row of base values that the expression reads.
	Reads []string `json:"reads,omitempty"`
}

// Plain is the column of the row of base values that the output is, "" where it is more than a column.
func (o *ViewOutput) Plain() string {
	if len(o.Reads) == 1 && o.Reads[0] == o.Expr {
		return o.Expr
	}
	return ""
}

// ViewKey, ViewRequest and ViewValue are the names of the columns of a view's row of base values.
func ViewKey(i int) string     { return fmt.Sprintf("k%d", i) }
func ViewRequest(i int) string { return fmt.Sprintf("r%d", i) }
func ViewValue(i int) string   { return fmt.Sprintf("b%d", i) }

// BoundColumns are what a read of the view binds: its keys, then its request columns.
func (v *FeatureView) BoundColumns() []Column {
	return append(slices.Clone(v.Keys), v.Request...)
}

// FeatureView is the feature view of a name, nil if there is none.
func (c *Catalog) FeatureView(name string) *FeatureView {
	v, _ := c.byName[name].(*FeatureView)
	return v
}

// BrokenView says that a change would take from a feature view what it reads.
type BrokenView struct {
	View, Feature, Output string
	Why                   string
}

func (e *BrokenView) Error() string {
	return fmt.Sprintf("feature view %q reads %q of feature %q, %s", e.View, e.Output, e.Feature, e.Why)
}

// CheckViews holds what every catalog holds: that each feature view finds the outputs that it reads, with the types that they
// had when it was made, and that none served online looks forward. Errors: *BrokenView, of the view that was made first.
func (c *Catalog) CheckViews() error {
	for _, v := range c.views(func(*FeatureView) bool { return true }) {
		for _, b := range v.Base {
			f := c.Features[b.Feature]
			broken := &BrokenView{View: v.Name, Output: b.Output}
			if f == nil {
				broken.Why = "which is gone"
				return broken
			}
			broken.Feature = f.Name
			o := f.Output(b.Output)
			switch {
			case o == nil:
				broken.Why = "which would not exist any more"
			case !o.Type.Equal(b.Type):
				broken.Why = fmt.Sprintf("whose type would change from %s to %s", b.Type, o.Type)
			case o.Window.Following && v.Online:
				broken.Why = "which would look forward, and the view is online"
			case len(c.Entities[f.Entity].Keys) != len(b.Keys):
				broken.Why = "which would belong to another entity"
			default:
				continue
			}
			return broken
		}
	}
	return nil
}

// Output is the output of a name, nil if f has none.
func (f *Feature) Output(name string) *Output {
	for i := range f.Outputs {
		if f.Outputs[i].Name == name {
			return &f.Outputs[i]
		}
	}
	return nil
}

// ViewsOf are the feature views that read a feature, in the order of their creation.
func (c *Catalog) ViewsOf(f *Feature) []*FeatureView {
	return c.views(func(v *FeatureView) bool {
		return slices.ContainsFunc(v.Base, func(b ViewBase) bool { return b.Feature == f.ID })
	})
}

// ViewsKeyed are the feature views whose statements name an entity, in the order of their creation.
func (c *Catalog) ViewsKeyed(e *Entity) []*FeatureView {
	return c.views(func(v *FeatureView) bool { return slices.Contains(v.Entities, e.ID) })
}

// ViewsOver are the feature views whose statements name a feature view, in the order of their creation.
func (c *Catalog) ViewsOver(of *FeatureView) []*FeatureView {
	return c.views(func(v *FeatureView) bool { return slices.Contains(v.Views, of.ID) })
}

func (c *Catalog) views(reads func(*FeatureView) bool) []*FeatureView {
	var out []*FeatureView
	for _, v := range c.FeatureViews {
		if reads(v) {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b *FeatureView) int { return int(a.ID) - int(b.ID) })
	return out
}
