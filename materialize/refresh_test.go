package materialize

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// write makes a Parquet file of random rows of the days from ≤ d < to. The rows are in md from the next refresh on.
func (w *world) write(md *model, name string, n int, from, to int64) []*row {
	w.t.Helper()
	conn, err := w.db.Connect()
	must(w.t, err)
	defer conn.Close()
	rows := make([]*row, n)
	_, err = conn.Exec(w.t.Context(), "CREATE OR REPLACE TEMP TABLE f (ts TIMESTAMPTZ, k BIGINT, v BIGINT)")
	must(w.t, err)
	for i := range rows {
		rows[i] = &row{ts: day0 + from*event.Day + md.rng.Int64N((to-from)*event.Day), k: md.rng.Int64N(20), v: md.rng.Int64N(1000) - 500}
		_, err = conn.Exec(w.t.Context(), fmt.Sprintf("INSERT INTO f VALUES (make_timestamptz(%d), %d, %d)", rows[i].ts, rows[i].k, rows[i].v))
		must(w.t, err)
	}
	_, err = conn.Exec(w.t.Context(), "COPY f TO "+duck.QuoteLiteral(filepath.Join(w.files, name))+" (FORMAT parquet)")
	must(w.t, err)
	return rows
}

// refresh refreshes the source. added came with it and removed went.
func (w *world) refresh(md *model, added, removed []*row) {
	w.t.Helper()
	_, err := w.m.RefreshSource(w.t.Context(), sourceID)
	must(w.t, err)
	position := w.log.Position()
	for _, r := range added {
		r.added = position
	}
	for _, r := range removed {
		r.gone = position
	}
	md.rows = append(md.rows, added...)
}

// TestRefresh adds, changes and removes files at random, with restarts, and compares every path with the naive value.
func TestRefresh(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.source()
	files := map[string][]*row{"a.parquet": w.write(md, "a.parquet", 100, 0, 6)}
	w.refresh(md, files["a.parquet"], nil)
	w.feature(1, sourceID, "v", true)
	w.feature(2, sourceID, "v * 2 + 1", false)
	double := func(v int64) int64 { return v*2 + 1 }
	// What went of files cannot be read at older positions any more, so only the newest is compared after the first removal.
	newest := func() {
		live := md.rows[:0:0]
		for _, r := range md.rows {
			if r.gone == 0 {
				c := *r
				c.added = 0
				live = append(live, &c)
			}
		}
		w.checkNewest(live, md, 1, same)
		w.checkNewest(live, md, 2, double)
	}
	for step := range 14 {
		before := w.groupIDs()
		name := fmt.Sprintf("d%02d.parquet", step)
		switch {
		case step < 6 || md.rng.IntN(3) == 0: // a day more, or late rows of old days
			from, to := int64(6+step), int64(7+step)
			if md.rng.IntN(3) == 0 {
				from, to = 0, 8
			}
			files[name] = w.write(md, name, 1+md.rng.IntN(40), from, to)
			w.refresh(md, files[name], nil)
			if after := w.groupIDs(); after != before {
				t.Errorf("step %d: an added file built groups anew: %s, before %s", step, after, before)
			}
			if step < 6 {
				w.check(md.rows, md.rng, 1, 25, same)
				w.check(md.rows, md.rng, 2, 25, double)
			}
		case md.rng.IntN(2) == 0: // a changed file
			for n := range files {
				gone := files[n]
				must(t, os.Remove(filepath.Join(w.files, n)))
				files[n] = w.write(md, n, 50+step, 0, 9)
				w.refresh(md, files[n], gone)
				break
			}
		default:
			for n := range files {
				if len(files) > 1 {
					must(t, os.Remove(filepath.Join(w.files, n)))
					w.refresh(md, nil, files[n])
					delete(files, n)
				}
				break
			}
		}
		newest()
		if md.rng.IntN(4) == 0 {
			w.reopen(nil)
			newest()
		}
		must(t, w.m.Settle(t.Context()))
		newest()
	}
}

func (w *world) groupIDs() string {
	cat := w.reg.Current()
	return fmt.Sprint(cat.Features[1].Group, cat.Features[2].Group)
}

// checkNewest compares values at the newest position, from the online store and from runs.
func (w *world) checkNewest(rows []*row, md *model, feature uint32, value func(int64) int64) {
	w.t.Helper()
	cat := w.reg.Current()
	g, err := w.m.Group(cat.Groups[cat.Features[feature].Group])
	must(w.t, err)
	view := w.m.View(cat)
	defer view.Close()
	for range 40 {
		flags := Flags{NoPartials: md.rng.IntN(4) == 0, NoTiles: md.rng.IntN(2) == 0}
		lo := day0 + md.rng.Int64N(12*event.Day)
		iv := event.Interval{Lo: lo, Hi: lo + 1 + md.rng.Int64N(10*event.Day)}
		key := md.rng.Int64N(22)
		src := view.Source(g, nil, flags, &event.ReadStats{})
		p, err := src.Key(w.t.Context(), keyOf(key))
		must(w.t, err)
		f := newFold(g.Partials)
		if err := p.Cover(iv, f); err != nil {
			p, err = src.History(w.t.Context(), keyOf(key))
			must(w.t, err)
			f = newFold(g.Partials)
			must(w.t, p.Cover(iv, f))
		}
		if got, exp := f.String(), want(rows, view.position, key, iv, value); got != exp {
			w.t.Fatalf("feature %d key %d, %+v, %+v: got%s, want%s (pieces %v)", feature, key, iv, flags, got, exp, f.kinds)
		}
	}
}

// TestFailedRefreshLeavesNothing fails a refresh after the online store was changed.
func TestFailedRefreshLeavesNothing(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.source()
	rows := w.write(md, "a.parquet", 200, 0, 9)
	w.refresh(md, rows, nil)
	w.feature(1, sourceID, "v", true)
	version := w.reg.Current().Version
	more := w.write(md, "b.parquet", 100, 5, 10)
	// The relation vanishes from the catalog just before the refresh is published, and comes back.
	cat := w.reg.Current()
	r, next := cat.Relations[sourceID], *cat.Relations[sourceID]
	file := *r.File
	listed, err := w.m.cfg.Roots.List(t.Context(), r.File.Path)
	must(t, err)
	added, _ := compare(r.File, listed)
	must(t, w.m.admit(t.Context(), r, added))
	added[0].ID, added[0].Added = 1000, pending
	file.Files = append(append([]schema.FileVersion(nil), file.Files...), added[0])
	next.File = &file
	next.ID = sourceID
	failing := cat.Clone()
	failing.Index()
	must(t, w.reg.Update(t.Context(), func(c *schema.Catalog) error { delete(c.Relations, sourceID); return nil }))
	w.m.build.Lock()
	err = w.m.refresh(t.Context(), failing, &next, true)
	w.m.build.Unlock()
	if err == nil {
		t.Fatal("published over a dropped relation")
	}
	must(t, w.reg.Update(t.Context(), func(c *schema.Catalog) error { c.Relations[sourceID] = r; return nil }))
	if w.reg.Current().Version != version+2 {
		t.Error("the catalog changed")
	}
	w.checkNewest(rows, md, 1, same)
	w.refresh(md, more, nil)
	w.checkNewest(md.rows, md, 1, same)
	w.reopen(nil)
	w.checkNewest(md.rows, md, 1, same)
}
