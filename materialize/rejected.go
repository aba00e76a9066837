package materialize

import (
	"cmp"
	"slices"

	"github.com/tilehouse/tilehouse/storage/schema"
)

// Rejected is rows of a file that are no events of a group, because they have no key or no event time.
type Rejected struct {
	Path string
	Rows int64
}

// RejectedRows are the rows of a group's live files that have no key or no finite event time, by file; wanted chooses files by id,
// nil: all. It is empty for event tables, which refuse such times when they are written.
func RejectedRows(c *schema.Catalog, g *schema.Group, wanted func(file uint32) bool) []Rejected {
	b, err := baseOf(c, g.Relation)
	if err != nil || b.File == nil {
		return nil
	}
	var out []Rejected
	for i := range b.File.Files {
		f := &b.File.Files[i]
		if n := g.Rejected[f.ID]; n > 0 && f.Removed == 0 && (wanted == nil || wanted(f.ID)) {
			out = append(out, Rejected{f.Path, n})
		}
	}
	slices.SortFunc(out, func(a, b Rejected) int { return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Path, b.Path)) })
	return out
}
