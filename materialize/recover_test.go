package materialize

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/event"
)

func (w *world) tilePrefixes() int {
	it, err := w.log.DB().NewIter(&pebble.IterOptions{LowerBound: []byte{tilesSpace}, UpperBound: []byte{tilesSpace + 1}})
	must(w.t, err)
	seen := map[string]bool{}
	for ok := it.First(); ok; ok = it.Next() {
		seen[string(it.Key()[:5])] = true
	}
	must(w.t, it.Close())
	return len(seen)
}

// damage is a way to lose derived data while the server is down or to leave garbage.
func TestDerivedDataIsRebuilt(t *testing.T) {
	for name, damage := range map[string]func(w *world){
		"runs":        func(w *world) { must(w.t, os.RemoveAll(filepath.Join(w.dir, "runs"))) },
		"projections": func(w *world) { must(w.t, os.Remove(filepath.Join(w.dir, "projections.duckdb"))) },
		"spill":       func(w *world) { must(w.t, os.RemoveAll(filepath.Join(w.dir, "spill"))) },
		"a run cut short": func(w *world) {
			files, err := filepath.Glob(filepath.Join(w.dir, "runs", "*.rows.arrow"))
			must(w.t, err)
			must(w.t, os.Truncate(files[0], 100))
		},
	} {
		t.Run(name, func(t *testing.T) {
			md := newModel(t)
			w := newWorld(t)
			w.table()
			w.commit(md, 300, 8, 0)
			w.feature(1, tableID, "v", true)
			w.commit(md, 40, 9, 30)
			must(t, w.m.FlushTails(t.Context(), true))
			w.commit(md, 40, 9, 30)
			w.reopen(func() { damage(w) })
			w.check(md.rows, md.rng, 1, 60, same) // while it is rebuilt
			w.waitFor("runs are there again", func() bool {
				for _, g := range *w.m.live.Load() {
					if g.Manifest == nil || g.Tiles == nil {
						return false
					}
				}
				return true
			})
			w.check(md.rows, md.rng, 1, 60, same)
			w.reopen(nil)
			w.check(md.rows, md.rng, 1, 60, same)
		})
	}
}

// TestStatementBeforeRepair reads with the catalog that the server started with, after runs that were lost are there again in another group: the
// old group's manifest still names the lost files.
func TestStatementBeforeRepair(t *testing.T) {
	for name, damage := range map[string]func(rows []string){
		"all runs": func(rows []string) { must(t, os.RemoveAll(filepath.Dir(rows[0]))) },
		"one file": func(rows []string) { must(t, os.Remove(rows[0])) },
	} {
		t.Run(name, func(t *testing.T) {
			md := newModel(t)
			w := newWorld(t)
			w.table()
			w.commit(md, 300, 8, 0)
			w.feature(1, tableID, "v", true)
			w.commit(md, 40, 9, 30)
			old := w.reg.Current()
			def := old.Groups[old.Features[1].Group]
			files, err := filepath.Glob(filepath.Join(w.dir, "runs", "*.rows.arrow"))
			must(t, err)
			w.reopen(func() { damage(files) })
			w.waitFor("runs are there again", func() bool { return (*w.m.live.Load())[def.ID] == nil })
			if g := w.only(); g.Manifest == nil {
				t.Fatal("the group that took the lost one's place has no runs")
			}
			w.commit(md, 40, 9, 30)
			g, err := w.m.Group(def)
			must(t, err)
			view := w.m.View(old)
			defer view.Close()
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
			must(t, w.m.segments.sweep(true))
			for _, f := range files {
				if _, err := os.Stat(f); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is left of the lost group: %v", filepath.Base(f), err)
				}
			}
		})
	}
}

func TestTilesAreRebuilt(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.table()
	w.commit(md, 300, 8, 0)
	w.feature(1, tableID, "v", true)
	w.commit(md, 40, 9, 30)
	for id := range w.reg.Current().Groups {
		must(t, w.tiles.Drop(id))
	}
	w.reopen(nil)
	w.check(md.rows, md.rng, 1, 40, same)
	w.waitFor("tiles are there again", func() bool {
		for _, g := range *w.m.live.Load() {
			if g.Tiles == nil {
				return false
			}
		}
		return true
	})
	kinds := w.check(md.rows, md.rng, 1, 80, same)
	if kinds[event.PiecePack]+kinds[event.PieceSettled]+kinds[event.PieceLevel] == 0 {
		t.Error("tiles did not serve:", kinds)
	}
}

// TestGarbageIsRemoved opens a directory in which a crash left an unfinished build.
func TestGarbageIsRemoved(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.table()
	w.commit(md, 300, 8, 0)
	req := w.request(1, tableID, "v", true)
	def := req.Group(77, nil)
	def.Online, def.Retain = true, 7*event.Day
	_, err := w.m.buildGroup(t.Context(), w.reg.Current(), def, w.log.Position(), w.m.jobs.begin(t.Context(), "f", tableID, 77)) // never published
	must(t, err)
	must(t, os.WriteFile(filepath.Join(w.dir, "spill", "s9"), []byte("x"), 0o600))
	if w.tilePrefixes() == 0 {
		t.Fatal("nothing was built")
	}
	must(t, os.WriteFile(filepath.Join(w.dir, "runs", "g76-rows-1.rows.arrow"), []byte("x"), 0o600))
	w.reopen(nil)
	if kept := w.m.Kept(); len(kept) != 1 || kept[0].Rows != 300 {
		t.Errorf("kept: %+v", kept)
	}
	must(t, w.m.checkpoints.drop(func(*checkpoint) bool { return true }))
	w.empty()
}

// TestCancelLeavesNothing cancels a build as it reads, and runs it again. What is kept for that is in the checkpoint.
func TestCancelLeavesNothing(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.table()
	w.commit(md, 5_000, 8, 0)
	for _, stage := range []string{"reading rows", "writing runs", "folding days", "loading the online store"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		w.m.jobs.watch = func(s string) {
			if s == stage {
				cancel(nil)
			}
		}
		err := w.m.Materialize(ctx, w.request(1, tableID, "v", true))
		if err == nil {
			t.Fatal("not cancelled at", stage)
		}
		if kept := w.m.Kept(); len(kept) > 1 || len(kept) == 1 && kept[0].Rows != 5_000 {
			t.Errorf("%s: kept: %+v", stage, kept)
		}
		must(t, w.m.checkpoints.drop(func(*checkpoint) bool { return true }))
		w.empty()
		jobs := w.m.Jobs()
		if j := jobs[len(jobs)-1]; errors.Is(err, context.Canceled) && j.Stage != "cancelled" {
			t.Errorf("job %+v", j)
		}
	}
	w.m.jobs.watch = nil
	w.feature(1, tableID, "v", true)
	w.check(md.rows, md.rng, 1, 50, same)
	jobs := w.m.Jobs()
	j := jobs[len(jobs)-1]
	if p, ok := j.Percent(); !ok || p != 100 || j.Rows != 5_000 || j.Stage != "done" {
		t.Errorf("job %+v", j)
	}
}
