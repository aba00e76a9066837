package materialize

import (
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tiles"
)

func (w *world) only() *Group {
	w.t.Helper()
	for _, g := range *w.m.live.Load() {
		return g
	}
	w.t.Fatal("no group")
	return nil
}

// TestSettleAfterRestart settles by the newest event time, also where only the log's tail has it and the server restarted.
func TestSettleAfterRestart(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.table()
	w.commit(md, 300, 8, 0)
	w.feature(1, tableID, "v", true)
	w.commit(md, 200, 12, 0)
	newest := int64(event.Forever)
	for _, r := range md.rows {
		newest = max(newest, r.ts)
	}
	w.reopen(nil)
	w.waitFor("the tail's newest time is known", func() bool { return w.only().marks.newest.Load() == newest })
	must(t, w.m.Settle(t.Context()))
	g := w.only()
	day, err := w.tiles.SettledThrough(g.Tiles)
	must(t, err)
	if exp := event.DayOf(newest) - 1; day != exp {
		t.Errorf("settled through %d, want %d", day, exp)
	}
	if g.Manifest.Position != w.log.Position() {
		t.Errorf("runs at position %d of %d: a day ended, and its partials are not there", g.Manifest.Position, w.log.Position())
	}
	w.check(md.rows, md.rng, 1, 60, same)
}

// TestNoRowsYet materializes an empty table, whose days must not be settled, and then fills it.
func TestNoRowsYet(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.table()
	w.feature(1, tableID, "v", true)
	must(t, w.m.Settle(t.Context()))
	w.commit(md, 200, 8, 0)
	w.check(md.rows, md.rng, 1, 60, same)
	must(t, w.m.FlushTails(t.Context(), true))
	w.check(md.rows, md.rng, 1, 60, same)
}

// TestViewWithTies reads a view with a condition over a table with a primary key of two columns.
func TestViewWithTies(t *testing.T) {
	const viewID = 3
	md := newModel(t)
	w := newWorld(t)
	w.relation(&schema.Relation{ID: tableID, Name: "t", Kind: schema.EventTable, PrimaryKey: []string{"k", "ts"}})
	w.relation(&schema.Relation{ID: viewID, Name: "x", Kind: schema.EventView,
		View: &schema.View{Base: tableID, Alias: "t", Items: []string{"t.ts", "t.k", "t.v + 1"}, Where: "t.v >= 0"}})
	w.commit(md, 200, 8, 0)
	req := w.request(1, viewID, "v", true)
	group := req.Group
	req.Group = func(id uint32, old *schema.Group) *schema.Group {
		g := group(id, old)
		g.Layout.Tie = true
		return g
	}
	must(t, w.m.Materialize(t.Context(), req))
	// A row without a key or a finite time is in the table and in no feature.
	ch := md.random(3, 8)
	ch.Cols[1].SetNull(0)
	ch.Cols[0].I64[1] = vector.PosInfinity
	ch.Cols[0].SetNull(2)
	_, err := w.log.Commit(t.Context(), &reclog.Txn{Changes: []reclog.Change{{Source: tableID, Inserts: ch}}})
	must(t, err)
	for range 6 {
		w.commit(md, 20, 9, 8)
		var rows []*row
		for _, r := range md.rows {
			if r.v >= 0 {
				rows = append(rows, r)
			}
		}
		w.check(rows, md.rng, 1, 40, func(v int64) int64 { return v + 1 })
		if md.rng.IntN(2) == 0 {
			must(t, w.m.FlushTails(t.Context(), true))
			w.check(rows, md.rng, 1, 40, func(v int64) int64 { return v + 1 })
		}
	}
}

// TestLifetimeOnline reads LIFETIME windows of two beginnings from the tiles alone, also after rows that a lifetime state held and
// that min cannot take back were deleted, and the key's tiles were rebuilt in the background.
func TestLifetimeOnline(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.table()
	start := day0 + 2*event.Day + md.rng.Int64N(event.Day)
	outputs := func(req Request, windows ...schema.Window) Request {
		req.Feature.Outputs = nil
		for _, win := range windows {
			req.Feature.Outputs = append(req.Feature.Outputs, schema.Output{Name: "n", Window: win})
		}
		return req
	}
	short := schema.Window{Length: event.Day, Start: event.Forever}
	w.commit(md, 400, 5, 0)
	must(t, w.m.Materialize(t.Context(), outputs(w.request(1, tableID, "v", true), short, schema.Window{Lifetime: true, Start: event.Forever})))
	first := w.only()
	must(t, w.m.Materialize(t.Context(), outputs(w.request(2, tableID, "v", true), schema.Window{Lifetime: true, Start: start})))
	if w.only() == first {
		t.Fatal("a LIFETIME window with a beginning of its own is served by a group that does not divide its states there")
	}
	must(t, w.m.Materialize(t.Context(), outputs(w.request(3, tableID, "v", true), short, schema.Window{Lifetime: true, Start: start})))
	group := w.only().Schema.ID

	check := func(when string, mended bool) {
		t.Helper()
		g := w.only()
		if g.Schema.ID != group {
			t.Fatalf("%s: a group was built for windows that were known", when)
		}
		view := w.m.View(w.reg.Current())
		defer view.Close()
		refused := 0
		for key := range int64(21) {
			for _, lo := range []int64{event.Forever, start} {
				iv := event.Interval{Lo: lo, Hi: day0 + 20*event.Day}
				src, f := view.Source(g, nil, Flags{}, &event.ReadStats{}), newFold(g.Partials)
				err := src.online.Key(keyOf(key)).Cover(iv, f)
				if tiles.IsNotRetained(err) && !mended {
					refused++
					f = newFold(g.Partials)
					var p event.Pieces
					p, err = src.History(t.Context(), keyOf(key))
					must(t, err)
					err = p.Cover(iv, f)
				}
				must(t, err)
				if got, exp := f.String(), want(md.rows, view.position, key, iv, same); got != exp {
					t.Fatalf("%s: key %d from %d: got%s, want%s", when, key, lo, got, exp)
				}
			}
		}
		if broken, err := w.tiles.Broken(g.Tiles, nil, 100); err != nil || mended && len(broken) > 0 || !mended && (len(broken) == 0 || refused == 0) {
			t.Fatalf("%s: %d keys wait to be rebuilt, %d reads refused: %v", when, len(broken), refused, err)
		}
	}
	w.commit(md, 200, 12, 0)
	must(t, w.m.Settle(t.Context()))
	if from, ok, err := w.tiles.RetainedFrom(w.only().Tiles); err != nil || !ok || from*event.Day <= start {
		t.Fatalf("days before %d are pruned, %v: not the one of the beginning: %v", from, ok, err)
	}
	check("pruned", true)
	w.commit(md, 20, 12, 60) // late rows, and deletions from pruned days
	check("deleted", false)
	w.reopen(nil)
	w.waitFor("the tail is read", func() bool { return w.only().marks.newest.Load() > day0 })
	must(t, w.m.Settle(t.Context()))
	check("mended after a restart", true)
	w.commit(md, 30, 14, 60)
	must(t, w.m.Settle(t.Context()))
	check("mended", true)
}
