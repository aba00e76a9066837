package materialize

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
)

// TestRecentIsLogged compares what recent rows say came to a group with what the log says: while rows come and go, commits fail, the runs take
// them, the server starts again, and while little is kept. Reads of the tail see the same.
func TestRecentIsLogged(t *testing.T) {
	for _, most := range []int64{1 << 20, 12 << 10, 0} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			kept := func() int64 { return most }
			w := &world{t: t, dir: t.TempDir(), fresh: 20}
			w.files = w.dir
			w.open()
			t.Cleanup(w.close)
			w.table()
			w.feature(1, tableID, "v", true)
			w.m.recent.most = kept
			md := newModel(t)
			remembered := 0
			for round := range 200 {
				switch md.rng.IntN(12) {
				case 0:
					w.commit(md, md.rng.IntN(3), 8, 1+md.rng.IntN(5))
				case 1:
					must(t, w.m.FlushTails(t.Context(), md.rng.IntN(2) == 0))
				case 2:
					if md.rng.IntN(4) == 0 {
						w.reopen(nil) // it reads again what was fresh
						if w.m.recent.most = kept; most == 0 {
							w.m.recent.forget(w.only().Schema.ID)
						}
					}
				case 3:
					_, err := w.log.Commit(t.Context(), &reclog.Txn{Changes: []reclog.Change{
						{Source: reclog.SourceID(tableID), Inserts: md.random(30, 8)}, {Source: reclog.SourceID(tableID), Deletes: []uint64{1 << 40}}}})
					if err == nil {
						t.Fatal("a row that is not there was deleted")
					}
				default:
					w.commit(md, 1+md.rng.IntN(40), 8, 0)
				}
				if round%20 == 0 {
					w.check(md.rows, md.rng, 1, 5, same)
				}
				cat, position := w.reg.Current(), w.log.Position()
				g, err := w.m.Group(cat.Groups[cat.Features[1].Group])
				must(t, err)
				after := g.Manifest.Position
				if md.rng.IntN(2) == 0 {
					after += uint64(md.rng.Int64N(int64(position-after) + 1))
				}
				if upTo := after + uint64(md.rng.Int64N(int64(position-after)+1)); upTo > after {
					came, _ := w.m.recent.after(g.Schema.ID, after, upTo)
					if slices.ContainsFunc(came, func(c cameRows) bool { return c.rows.N() > 0 }) {
						remembered++
					}
					position = upTo
				}
				compareChanges(t, w, g, after, position)
			}
			t.Logf("%d of 200 times something was remembered", remembered)
			if (remembered > 0) != (most > 0) {
				t.Errorf("%d times rows were recent, where %d bytes are kept", remembered, most)
			}
		})
	}
}

func compareChanges(t *testing.T, w *world, g *Group, after, upTo uint64) {
	t.Helper()
	cat := w.reg.Current()
	b, err := baseOf(cat, g.Schema.Relation)
	must(t, err)
	var got, want []string
	into := func(dst *[]string) func(r *event.Rows) error {
		return func(r *event.Rows) error {
			for i := range r.N() {
				*dst = append(*dst, fmt.Sprintf("%x %d %d %v", r.Key.Bytes(i), r.TS[i], r.RowID[i], cells(r.Cols, i)))
			}
			return nil
		}
	}
	went, first, err := w.m.changes(t.Context(), cat, b, g.Schema, after, upTo, into(&got))
	must(t, err)
	logged, loggedFirst, err := w.m.logged(t.Context(), cat, b, g.Schema, after, upTo, into(&want))
	must(t, err)
	if !maps.Equal(went, logged) || first != loggedFirst || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("after %d up to %d: %d rows from %d on, %v went; the log says %d from %d on, %v", after, upTo, len(got), first, went, len(want), loggedFirst, logged)
	}
}

func cells(cols []*vector.Vector, i int) (out []string) {
	for _, c := range cols {
		one := vector.New(c.Type, 1)
		one.AppendFrom(c, i)
		out = append(out, fmt.Sprint(one.I64, one.F64, one.Data, one.IsNull(0)))
	}
	return out
}
