package materialize

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/storage/schema"
)

func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		every    time.Duration
		failures int
		want     time.Duration
	}{
		{time.Second, 0, time.Second}, {time.Second, 3, 8 * time.Second}, {time.Second, 60, maxBackoff},
		{10 * time.Minute, 1, maxBackoff}, {time.Hour, 5, time.Hour},
	} {
		if got := backoff(c.every, c.failures); got != c.want {
			t.Errorf("every %s after %d failures: %s, want %s", c.every, c.failures, got, c.want)
		}
	}
}

// TestDue plays the schedule of three sources, of which one has no interval.
func TestDue(t *testing.T) {
	s := newSchedule()
	cat := schema.Empty()
	source := func(id uint32, every time.Duration) *schema.Relation {
		r := &schema.Relation{ID: id, Kind: schema.FileSource, File: &schema.File{RefreshEvery: every.Microseconds()}}
		cat.Relations[id] = r
		return r
	}
	never, a, b := source(1, 0), source(2, 2*time.Second), source(3, time.Hour)
	now := time.Unix(1_000_000, 0)
	s.ended(never, now, nil)
	expect := func(want string, next time.Duration) {
		t.Helper()
		due, at := s.due(cat, now)
		if len(due) == 2 && due[0] > due[1] {
			due[0], due[1] = due[1], due[0]
		}
		if fmt.Sprint(due) != want || at.Sub(now) != next {
			t.Errorf("due %v, next in %s; want %s, %s", due, at.Sub(now), want, next)
		}
	}
	expect("[2 3]", scheduleEvery) // the server has just started
	s.ended(a, now, nil)
	s.ended(b, now, nil)
	expect("[]", 2*time.Second)
	now = now.Add(2 * time.Second)
	expect("[2]", scheduleEvery)
	s.ended(a, now, errors.New("no such directory"))
	expect("[]", 4*time.Second)
	if st := s.by[2]; st.Error != "no such directory" || st.Last != now.Add(-2*time.Second) || st.Next != now.Add(4*time.Second) {
		t.Errorf("%+v", st)
	}
	now = now.Add(4 * time.Second)
	s.ended(a, now, errors.New("again"))
	expect("[]", 8*time.Second)
	now = now.Add(8 * time.Second)
	s.ended(a, now, nil)
	expect("[]", 2*time.Second)
	source(3, 5*time.Second) // its interval is altered: what was planned in an hour is not waited for
	now = now.Add(time.Second)
	expect("[]", time.Second)
	if st := s.by[3]; st.Next != now.Add(5*time.Second) {
		t.Errorf("%+v", st)
	}
	delete(cat.Relations, 3)
	expect("[]", time.Second)
	if _, there := s.by[3]; there {
		t.Error("the state of a source that was dropped stays")
	}
}

// TestRefreshEvery lets the manager find files that come, on the clock alone, also after a restart and after errors.
func TestRefreshEvery(t *testing.T) {
	md := newModel(t)
	var now atomic.Int64
	now.Store(time.Now().UnixMicro())
	w := &world{t: t, dir: t.TempDir(), clock: func() time.Time { return time.UnixMicro(now.Load()) }}
	w.files = filepath.Join(w.dir, "files")
	must(t, os.Mkdir(w.files, 0o755))
	w.open()
	t.Cleanup(w.close)
	w.relation(&schema.Relation{ID: sourceID, Name: "s", Kind: schema.FileSource,
		File: &schema.File{Path: "*.parquet", Format: "parquet", RefreshEvery: time.Hour.Microseconds()}})
	rows := w.write(md, "a.parquet", 50, 0, 6)
	_, err := w.m.RefreshSource(t.Context(), sourceID)
	must(t, err)
	w.feature(1, sourceID, "v", true)
	w.checkNewest(rows, md, 1, same)
	later := w.write(md, "b.parquet", 50, 0, 6)
	w.m.refreshDue(t.Context())
	w.checkNewest(rows, md, 1, same) // not yet
	now.Add(time.Hour.Microseconds())
	w.m.refreshDue(t.Context())
	rows = append(rows, later...)
	w.checkNewest(rows, md, 1, same)

	bad := filepath.Join(w.files, "c.parquet")
	must(t, os.WriteFile(bad, []byte("no parquet"), 0o600))
	now.Add(time.Hour.Microseconds())
	w.m.refreshDue(t.Context())
	st := w.m.Refreshes(sourceID)
	if st.Error == "" || st.Next.Sub(w.clock()) != time.Hour { // an interval longer than the longest wait is kept
		t.Errorf("%+v", st)
	}
	w.checkNewest(rows, md, 1, same)
	must(t, os.Remove(bad))
	rows = append(rows, w.write(md, "d.parquet", 30, 3, 9)...)
	w.reopen(nil) // a server that starts refreshes what has an interval
	w.waitFor("the source is refreshed", func() bool { return !w.m.Refreshes(sourceID).Last.IsZero() })
	if st := w.m.Refreshes(sourceID); st.Error != "" || st.Next != w.clock().Add(time.Hour) {
		t.Errorf("%+v", st)
	}
	w.checkNewest(rows, md, 1, same)
}
