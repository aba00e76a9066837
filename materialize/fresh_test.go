package materialize

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// cutShort is a context that ends after some looks at it.
type cutShort struct {
	context.Context
	looks int
}

func (c *cutShort) Err() error {
	if c.looks--; c.looks < 0 {
		return context.Canceled
	}
	return nil
}

// TestFreshRows keeps all insertions in front of the tiles, and compares every read with the naive value while these are folded, cut short in
// it, lost with the process, forced into the tiles by deletes, and while days are settled and runs flushed. One feature begins in the midst of it.
func TestFreshRows(t *testing.T) {
	w := &world{t: t, dir: t.TempDir(), fresh: 1, fold: 3}
	w.files = w.dir
	w.open()
	t.Cleanup(w.close)
	w.table()
	w.feature(1, tableID, "v", true)
	md := newModel(t)
	ctx := t.Context()
	sum := func(v int64) int64 { return v + 1 }
	folded, held, resumed := 0, 0, 0
	for round := range 120 {
		if round == 20 {
			w.feature(2, tableID, "(v + 1)", true)
		}
		switch md.rng.IntN(9) {
		case 0:
			w.commit(md, md.rng.IntN(3), 8, 1+md.rng.IntN(5))
		case 1:
			must(t, w.m.Settle(ctx))
		case 2:
			must(t, w.m.FlushTails(ctx, md.rng.IntN(2) == 0))
		case 3, 4:
			_, err := w.m.foldFresh(&cutShort{ctx, md.rng.IntN(5)}, true)
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if folded++; err != nil && md.rng.IntN(2) == 0 {
				resumed++
				w.reopen(nil)
			}
		case 5:
			if md.rng.IntN(3) == 0 {
				w.reopen(nil)
			}
		default:
			w.commit(md, 1+md.rng.IntN(40), 8, 0)
		}
		for _, g := range *w.m.live.Load() {
			rows, _, _, err := w.tiles.Fresh(g.Tiles)
			must(t, err)
			held += int(rows)
		}
		w.check(md.rows, md.rng, 1, 12, same)
		if round >= 20 {
			w.check(md.rows, md.rng, 2, 12, sum)
		}
	}
	if folded == 0 || held == 0 || resumed == 0 {
		t.Errorf("%d folds, of which %d were resumed, %d fresh rows", folded, resumed, held)
	}
}

// TestFreshWhileFolding reads while others commit and fold: each read has each row of its position once.
func TestFreshWhileFolding(t *testing.T) {
	w := &world{t: t, dir: t.TempDir(), fresh: 1, fold: 2}
	w.files = w.dir
	w.open()
	t.Cleanup(w.close)
	w.table()
	w.feature(1, tableID, "v", true)
	md := newModel(t)
	ctx, stop := context.WithCancel(t.Context())
	base := w.log.Position()
	var folding sync.WaitGroup
	folding.Go(func() {
		for ctx.Err() == nil {
			if _, err := w.m.foldFresh(context.Background(), true); err != nil {
				t.Error(err)
				return
			}
		}
	})
	cat := w.reg.Current()
	g, err := w.m.Group(cat.Groups[cat.Features[1].Group])
	must(t, err)
	var reading sync.WaitGroup
	for range 2 {
		reading.Go(func() {
			for last := uint64(0); ctx.Err() == nil; {
				view := w.m.View(cat)
				position, err := view.Position()
				if err != nil {
					t.Error(err)
				}
				src := view.Source(g, nil, Flags{}, &event.ReadStats{})
				n := int64(0)
				for k := range int64(20) {
					p, err := src.Key(ctx, keyOf(k))
					f := newFold(g.Partials)
					if err == nil {
						err = p.Cover(event.Interval{Lo: day0 - event.Day, Hi: day0 + 20*event.Day}, f)
					}
					if err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					n += countOf(t, f)
				}
				if ctx.Err() == nil && n != int64(position-base)*25 {
					t.Errorf("%d rows at position %d", n, position)
				}
				if position < last {
					t.Errorf("position %d after %d", position, last)
				}
				last = position
				view.Close()
			}
		})
	}
	for range 300 {
		w.commit(md, 25, 8, 0)
	}
	stop()
	reading.Wait()
	folding.Wait()
	w.check(md.rows, md.rng, 1, 100, same)
}

func countOf(t *testing.T, f *fold) int64 {
	out := vector.New(f.partials[0].Agg.ResultType(), 1)
	if err := f.states[0].Finalize(out); err != nil {
		t.Error(err)
		return 0
	}
	return out.I64[0]
}
