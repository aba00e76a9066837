package pointintime

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// live gives the rows lives, and the labels positions.
func (w *world) live(r *rand.Rand, positions uint64) {
	w.lives = make([][2]uint64, w.rows.N())
	for i := range w.lives {
		life := [2]uint64{r.Uint64N(positions), math.MaxUint64}
		if r.IntN(3) > 0 {
			life[1] = life[0] + 1 + r.Uint64N(positions)
		}
		w.lives[i] = life
	}
	for range w.labels.Row {
		w.labels.Position = append(w.labels.Position, r.Uint64N(positions+2))
	}
}

func (w *world) life(row uint64) (from, to uint64) { return w.lives[row][0], w.lives[row][1] }

// Labels of many positions count the row versions of their own each, whatever the mode, the budget and the partitions.
func TestJoinVersions(t *testing.T) {
	r := testSeed(t)
	partials := testPartials(t)
	for round := range 16 {
		outs, windows := randomOutputs(r, partials)
		for i := range outs {
			if outs[i].Window.Following {
				outs[i].Window.Following = false
			}
		}
		keys, events := 1+r.IntN(12), 1+r.IntN(900)
		if round%4 == 0 { // blocks of many levels, all of them full
			keys, events = 1, blockRows<<r.IntN(6)
		}
		w := newWorld(r, events, 1+r.IntN(150), keys, windows, round%2 == 1)
		w.live(r, 1+r.Uint64N(200))
		inclusive := r.IntN(2) == 0
		want := w.oracle(t, partials, outs, inclusive, 0)
		for _, mode := range []Mode{ModeAuto, ModeRecompute} {
			fs := vfs.NewMem()
			labels, events := w.sources(r, 1+r.IntN(2))
			check(t, JoinSpec{Layout: testLayout, Partials: partials, Outputs: outs, Inclusive: inclusive, Labels: labels, Events: events, Life: w.life,
				Options: Options{Threads: 1 + r.IntN(2), Partitions: 1 + r.IntN(7), FS: fs, SpillPath: "spill", Mode: mode, Memory: []int64{1, 4 << 10, 0}[r.IntN(3)]}}, want)
			noFiles(t, fs)
		}
	}
}
