package materialize

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

func logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

// TestTable changes an event table at random, folds tails, settles, restarts and rebuilds, and compares every path at every
// position with the naive value.
func TestTable(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.table()
	w.commit(md, 300, 8, 0)
	w.feature(1, tableID, "v", true)
	w.feature(2, tableID, "v * 2 + 1", true)
	double := func(v int64) int64 { return v*2 + 1 }
	for step := range 60 {
		days := int64(8 + step/8)
		switch md.rng.IntN(12) {
		case 0, 1, 2, 3, 4:
			w.commit(md, md.rng.IntN(60), days, md.rng.IntN(12))
		case 5:
			w.commit(md, 0, days, 1+md.rng.IntN(5))
		case 6, 7:
			must(t, w.m.FlushTails(t.Context(), true))
		case 8, 9:
			must(t, w.m.Settle(t.Context()))
		case 10:
			w.reopen(nil)
		case 11:
			req := w.request(1+uint32(md.rng.IntN(2)), tableID, "v", true)
			if req.Feature.ID == 2 {
				req = w.request(2, tableID, "v * 2 + 1", true)
			}
			req.Again = true
			must(t, w.m.Materialize(t.Context(), req))
		}
		w.check(md.rows, md.rng, 1, 25, same)
		w.check(md.rows, md.rng, 2, 10, double)
	}
}

// TestCompaction flushes so often that tiers merge, and purges what went.
func TestCompaction(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.table()
	w.commit(md, 200, 8, 0)
	w.feature(1, tableID, "v", false)
	for range 40 {
		w.commit(md, 10, 9, 4)
		must(t, w.m.FlushTails(t.Context(), true))
	}
	kinds := w.check(md.rows, md.rng, 1, 300, same)
	if kinds[event.PiecePartial] == 0 || kinds[event.PieceRun] == 0 {
		t.Fatal("runs did not serve:", kinds)
	}
	for _, g := range *w.m.live.Load() {
		if n := len(g.Manifest.Segments); n > 30 {
			t.Errorf("%d segments", n)
		}
		if len(g.dead) != 160 {
			t.Errorf("%d tombstones, not 160", len(g.dead))
		}
	}
	must(t, w.m.segments.sweep(true))
	files, err := os.ReadDir(filepath.Join(w.dir, "runs"))
	must(t, err)
	named := 0
	for _, g := range *w.m.live.Load() {
		named += 2 * len(g.Manifest.Segments)
	}
	if len(files) != named {
		t.Errorf("%d run files, %d are named", len(files), named)
	}
	w.check(md.rows, md.rng, 1, 100, same)
}

// TestCommitBeyondMemory writes more in one commit than a tail may hold: it is folded into the runs all the same.
func TestCommitBeyondMemory(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.table()
	w.commit(md, 300, 8, 0)
	w.feature(1, tableID, "v", true)
	w.m.cfg.Memory = maxTailRows * tailRowBytes
	w.commit(md, maxTailRows+5_000, 9, 20)
	cat := w.reg.Current()
	g := w.only()
	if _, err := w.m.Snapshot(t.Context(), cat, g, w.log.Position()); !errors.Is(err, ErrTooManyRows) {
		t.Fatal("a tail beyond the memory was made:", err)
	}
	before := w.log.Position()
	w.commit(md, 10, 9, 0)
	folded, err := w.m.FoldTail(t.Context(), g.Schema) // as a read does that cannot wait for the background
	must(t, err)
	for _, position := range []uint64{before, w.log.Position()} {
		if _, err := w.m.Snapshot(t.Context(), cat, folded, position); err != nil {
			t.Fatalf("after the tail was folded, at position %d: %v", position, err)
		}
	}
	must(t, w.m.Settle(t.Context()))
	if p := w.only().Manifest.Position; p != w.log.Position() {
		t.Fatal("runs at position", p)
	}
	live := md.rows[:0:0]
	for _, r := range md.rows {
		if r.gone == 0 {
			live = append(live, r)
		}
	}
	w.checkNewest(live, md, 1, same)
}

// TestStatementBeforeChange reads with a catalog from before the group was replaced and its files removed.
func TestStatementBeforeChange(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.table()
	w.commit(md, 200, 8, 0)
	w.feature(1, tableID, "v", true)
	old := w.reg.Current()
	before := w.m.View(old)
	defer before.Close()
	w.commit(md, 50, 8, 20)
	req := w.request(1, tableID, "v", true)
	req.Again = true
	must(t, w.m.Materialize(t.Context(), req))
	must(t, w.m.segments.sweep(true))
	w.commit(md, 50, 8, 20)
	after := w.m.View(old)
	defer after.Close()
	def := old.Groups[old.Features[1].Group]
	g, err := w.m.Group(def)
	must(t, err)
	for _, view := range []*View{before, after} {
		for key := range int64(20) {
			iv := event.Interval{Lo: day0, Hi: day0 + 9*event.Day}
			f := newFold(g.Partials)
			p, err := view.Source(g, nil, Flags{}, &event.ReadStats{}).Key(t.Context(), keyOf(key))
			must(t, err)
			must(t, p.Cover(iv, f))
			if got, exp := f.String(), want(md.rows, view.position, key, iv, same); got != exp {
				t.Fatalf("key %d at %d: got%s, want%s", key, view.position, got, exp)
			}
		}
	}
}

// TestDropDuringBuild drops the relation while a build runs: the build fails and leaves nothing.
func TestDropDuringBuild(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.table()
	w.commit(md, 200, 8, 0)
	req := w.request(1, tableID, "v", true)
	group := req.Group
	req.Group = func(id uint32, old *schema.Group) *schema.Group {
		r := w.reg.Current().Relations[tableID]
		must(t, w.reg.Update(t.Context(), func(c *schema.Catalog) error { delete(c.Relations, tableID); return nil }))
		must(t, w.m.drop(dropped{relations: []*schema.Relation{r}}))
		return group(id, old)
	}
	if err := w.m.Materialize(t.Context(), req); err == nil {
		t.Fatal("a feature over a dropped table was published")
	}
	w.empty()
}

// empty checks that no run files, tiles or spill files are there.
func (w *world) empty() {
	w.t.Helper()
	for _, dir := range []string{"runs", "spill"} {
		files, err := os.ReadDir(filepath.Join(w.dir, dir))
		must(w.t, err)
		for _, f := range files {
			if f.Name() != duckSpill {
				w.t.Errorf("%s/%s is left", dir, f.Name())
			}
		}
	}
	if n := w.tilePrefixes(); n != 0 {
		w.t.Errorf("%d groups of tiles are left", n)
	}
}
