package materialize

import (
	"testing"

	"github.com/tilehouse/tilehouse/storage/event"
)

// A range of days that is built anew leaves every value as it is, of the newest position and of those that the runs serve or the
// log; rows go and come before and after.
func TestRefreshDays(t *testing.T) {
	w := newWorld(t)
	w.table()
	md := newModel(t)
	w.commit(md, 400, 10, 0)
	w.feature(1, tableID, "v", true)
	w.feature(2, tableID, "v * 2", false)
	for range 6 {
		w.commit(md, 30, 10, 12)
		lo := day0 + md.rng.Int64N(10*event.Day)
		span := event.Interval{Lo: lo, Hi: lo + 1 + md.rng.Int64N(3*event.Day)}
		for id := uint32(1); id <= 2; id++ {
			all, err := w.m.RefreshDays(t.Context(), w.reg.Current().Features[id], span, nil)
			must(t, err)
			if all {
				t.Fatal("all days were built")
			}
		}
		w.commit(md, 5, 10, 3)
		w.check(md.rows, md.rng, 1, 60, same)
		w.check(md.rows, md.rng, 2, 60, func(v int64) int64 { return 2 * v })
	}
	w.reopen(nil)
	w.check(md.rows, md.rng, 1, 60, same)
}

// Only the events of the range are read.
func TestRefreshDaysReadsTheRange(t *testing.T) {
	w := newWorld(t)
	w.table()
	md := newModel(t)
	w.commit(md, 2000, 10, 0)
	w.feature(1, tableID, "v", true)
	span := event.Interval{Lo: day0 + 3*event.Day, Hi: day0 + 4*event.Day}
	_, err := w.m.RefreshDays(t.Context(), w.reg.Current().Features[1], span, nil)
	must(t, err)
	var want int64
	for _, r := range md.rows {
		if r.ts >= span.Lo && r.ts < span.Hi {
			want++
		}
	}
	jobs := w.m.Jobs()
	got := int64(-1)
	for _, j := range jobs {
		if j.ID == int64(len(jobs)) {
			got = j.Rows
		}
	}
	if got != want {
		t.Errorf("%d rows were read, want %d: %+v", got, want, jobs)
	}
}

// Of files, rows of the range are read from the files again, and those of other days stay; a file goes before.
func TestRefreshDaysOfFiles(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.source()
	a := w.write(md, "a.parquet", 300, 0, 6)
	w.refresh(md, a, nil)
	w.feature(1, sourceID, "v", true)
	w.refresh(md, w.write(md, "b.parquet", 100, 3, 9), nil)
	all, err := w.m.RefreshDays(t.Context(), w.reg.Current().Features[1], event.Interval{Lo: day0 + event.Day, Hi: day0 + 5*event.Day}, nil)
	must(t, err)
	if all {
		t.Fatal("all days were built")
	}
	w.checkNewest(md.rows, md, 1, same)
	w.refresh(md, w.write(md, "c.parquet", 50, 3, 9), nil)
	w.checkNewest(md.rows, md, 1, same)
}
