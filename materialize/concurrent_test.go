package materialize

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/storage/event"
)

// TestConcurrent reads while rows are written and deleted, tails are folded, days settled, groups built anew and old files
// removed. Every value is that of the position of its view.
func TestConcurrent(t *testing.T) {
	md := newModel(t)
	w := newWorld(t)
	w.table()
	w.commit(md, 300, 8, 0)
	w.feature(1, tableID, "v", true)
	w.feature(2, tableID, "v * 2 + 1", true)

	var mu sync.Mutex // guards md
	var stop atomic.Bool
	var all sync.WaitGroup
	run := func(fn func(rng *rand.Rand)) {
		mu.Lock()
		rng := rand.New(rand.NewPCG(md.rng.Uint64(), 2))
		mu.Unlock()
		all.Go(func() {
			for !stop.Load() && !t.Failed() {
				fn(rng)
			}
		})
	}
	run(func(rng *rand.Rand) {
		mu.Lock()
		w.commit(md, rng.IntN(20), 9, rng.IntN(6))
		mu.Unlock()
		time.Sleep(time.Millisecond)
	})
	run(func(rng *rand.Rand) {
		var err error
		switch rng.IntN(4) {
		case 0, 1:
			err = w.m.FlushTails(t.Context(), true)
		case 2:
			err = w.m.Settle(t.Context())
		case 3:
			req := w.request(1, tableID, "v", true)
			req.Again = true
			err = w.m.Materialize(t.Context(), req)
		}
		if err != nil {
			t.Error(err)
		}
	})
	for range 2 {
		run(func(rng *rand.Rand) {
			feature, value := uint32(1), same
			if rng.IntN(2) == 0 {
				feature, value = 2, func(v int64) int64 { return v*2 + 1 }
			}
			cat := w.reg.Current()
			if rng.IntN(4) == 0 {
				time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond) // the catalog may be old by now
			}
			g, err := w.m.Group(cat.Groups[cat.Features[feature].Group])
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock() // so that the view's tiles and its position are of one moment, as the model is
			view := w.m.View(cat)
			rows := make([]*row, len(md.rows))
			for i, r := range md.rows {
				c := *r
				rows[i] = &c
			}
			mu.Unlock()
			defer view.Close()
			for range 5 {
				position := view.position
				if rng.IntN(3) == 0 {
					position -= rng.Uint64N(min(position, 5))
				}
				lo := day0 + rng.Int64N(9*event.Day)
				iv := event.Interval{Lo: lo, Hi: lo + rng.Int64N(9*event.Day)}
				key := rng.Int64N(20)
				src := view.Source(g, &position, Flags{NoTiles: rng.IntN(2) == 0, NoRuns: rng.IntN(10) == 0}, &event.ReadStats{})
				p, err := src.Key(t.Context(), keyOf(key))
				f := newFold(g.Partials)
				if err == nil {
					err = p.Cover(iv, f)
				}
				if err != nil {
					p, err = src.History(t.Context(), keyOf(key))
					if f = newFold(g.Partials); err == nil {
						err = p.Cover(iv, f)
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
				if got, exp := f.String(), want(rows, position, key, iv, value); got != exp {
					t.Errorf("feature %d key %d at %d of %d, %+v: got%s, want%s (%v)", feature, key, position, view.position, iv, got, exp, f.kinds)
					return
				}
			}
		})
	}
	time.Sleep(3 * time.Second)
	stop.Store(true)
	all.Wait()
	w.check(md.rows, md.rng, 1, 100, same)
}

// TestLayers compares the layered map with a plain one.
func TestLayers(t *testing.T) {
	md := newModel(t)
	plain := map[uint64]uint64{}
	var l layers[uint64, uint64]
	for range 500 {
		m := map[uint64]uint64{}
		for range md.rng.IntN(20) {
			id := md.rng.Uint64N(5000)
			m[id] = md.rng.Uint64()
			plain[id] = m[id]
		}
		l = l.with(m, newer)
	}
	if len(l) > 14 {
		t.Errorf("%d layers", len(l))
	}
	for id, v := range plain {
		var got []uint64
		for _, m := range slices.Backward(l) {
			if x, ok := m[id]; ok {
				got = append(got, x)
			}
		}
		if len(got) == 0 || got[0] != v {
			t.Fatalf("%d: %v, want %d", id, got, v)
		}
	}
}
