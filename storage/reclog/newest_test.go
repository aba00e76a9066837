package reclog

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/tilehouse/tilehouse/functions/vector"
)

// The newest time of a source rises with the commit that brings it, is that of each position for good, and is gone with the source.
func TestNewest(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, fs)
	at := func(times ...int64) Change {
		ch := vector.NewChunk([]vector.Type{vector.T(vector.Int64), vector.T(vector.TimestampTZ)}, len(times))
		for i, ts := range times {
			ch.Cols[0].AppendInt(int64(i))
			ch.Cols[1].AppendInt(ts)
			ch.N++
		}
		return Change{Source: 7, Inserts: ch, Time: 2}
	}
	commit := func(changes ...Change) Committed {
		t.Helper()
		c, err := l.Commit(t.Context(), &Txn{Changes: changes})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	is := func(pos uint64, want int64, some bool) {
		t.Helper()
		if got, ok, err := l.Newest(7, pos); err != nil || ok != some || got != want {
			t.Errorf("newest time at position %d: %d, %v, %v; want %d, %v", pos, got, ok, err, want, some)
		}
	}
	is(9, 0, false)
	commit(at(-5, -9))                                          // 1
	first := commit(at(20, 10), at(30, 5))                      // 2
	commit(at(25))                                              // 3: older
	commit(Change{Source: 8, Inserts: at(99).Inserts, Time: 2}) // 4: another source
	commit(Change{Source: 7, Deletes: []uint64{first.FirstRowID[1]}})
	plain := at(77)
	plain.Time = 0
	commit(plain) // 6: says no column
	commit(at(31))
	check := func() {
		t.Helper()
		for pos, want := range map[uint64]int64{1: -5, 2: 30, 3: 30, 4: 30, 5: 30, 6: 30, 7: 31, 1000: 31} {
			is(pos, want, true)
		}
		is(0, 0, false)
	}
	check()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, fs)
	check()
	commit(at(30)) // the newest one of before the start is known
	is(8, 31, true)
	if _, err := l.Commit(t.Context(), &Txn{Changes: []Change{{Source: 7, Inserts: at(1).Inserts, Time: 1}}}); err == nil {
		t.Error("a column of integers was taken for an event time")
	}
	if err := l.DropSource(7); err != nil {
		t.Fatal(err)
	}
	is(8, 0, false)
	commit(at(3))
	is(9, 3, true)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
