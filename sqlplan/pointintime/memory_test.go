package pointintime

import (
	"context"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// A join of events several times its memory spills, stays near its budget, and leaves no file. TILEHOUSE_JOIN_EVENTS
// sets another number of events (with a budget of 128 MiB), for runs at full size.
func TestJoinMemory(t *testing.T) {
	events, budget := 3_000_000, int64(4<<20)
	if os.Getenv("TILEHOUSE_JOIN_EVENTS") != "" {
		events, budget = 20_000_000, 128<<20
	}
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	const chunk = 2048
	window := Window{Length: 7 * event.Day, Start: event.Forever}
	heap := func() int64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return int64(s[0].Value.Uint64())
	}
	base, peak := heap(), int64(0)
	spec := JoinSpec{Layout: benchLayout, Partials: []event.Partial{{Agg: bind(t, "sum", tDouble), Args: []int{0}, Filter: -1}},
		Outputs: []Output{{0, window}}, Sink: func(*vector.Chunk) error { return nil }, Progress: func(Progress) { peak = max(peak, heap()) },
		Options: Options{Threads: 2, Memory: budget, FS: vfs.Default, SpillPath: t.TempDir() + "/spill"}}
	for g := range 2 {
		spec.Labels = append(spec.Labels, func(_ context.Context, emit func(*Labels) error) error {
			r := rand.New(rand.NewPCG(3, uint64(g)))
			for range events / 20 / chunk {
				c := benchChunk(r, chunk, 50_000, 20, 365)
				if err := emit(&Labels{Row: make([]int64, chunk), Key: c.Key, T: &vector.Vector{Type: vector.T(vector.TimestampTZ), N: chunk, I64: c.TS}}); err != nil {
					return err
				}
			}
			return nil
		})
		spec.Events = append(spec.Events, func(_ context.Context, emit func(*event.Rows) error) error {
			r := rand.New(rand.NewPCG(4, uint64(g)))
			for range events / 2 / chunk {
				if err := emit(benchChunk(r, chunk, 50_000, 20, 365)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := Join(context.Background(), spec); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events of 24 bytes, a budget of %d MiB: heap grew by %d MiB", events, budget>>20, (peak-base)>>20)
	// The rest is slack of growing buffers, a partition a thread twice, its share of a hot key, and the collector's.
	if bound := 3*budget + 24<<20; peak-base > bound {
		t.Errorf("the heap grew by %d MiB, more than %d", (peak-base)>>20, bound>>20)
	}
}
