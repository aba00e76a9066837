package materialize

import (
	"testing"

	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// A day is settled by the greatest lateness of its relation and of the features that read the group.
func TestLatenessOfFeatures(t *testing.T) {
	w := newWorld(t)
	w.table()
	md := newModel(t)
	w.commit(md, 50, 5, 0)
	late := w.request(1, tableID, "v", true)
	late.Feature.Lateness = 2 * event.Day
	must(t, w.m.Materialize(t.Context(), late))
	settled := func() int64 {
		g := (*w.m.live.Load())[w.reg.Current().Features[1].Group]
		day, err := w.m.cfg.Tiles.SettledThrough(g.Tiles)
		must(t, err)
		return day
	}
	newest := int64(event.Forever)
	for _, r := range md.rows {
		newest = max(newest, r.ts)
	}
	if got, want := settled(), event.DayOf(newest-2*event.Day)-1; got != want {
		t.Errorf("settled through day %d, want %d", got, want)
	}
	must(t, w.reg.Update(t.Context(), func(c *schema.Catalog) error {
		f := *c.Features[1]
		f.Lateness = 0
		c.Features[1] = &f
		return nil
	}))
	must(t, w.m.Settle(t.Context()))
	if got, want := settled(), event.DayOf(newest)-1; got != want {
		t.Errorf("settled through day %d, want %d", got, want)
	}
}
