package pointintime

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/runs"
)

var benchLayout = event.Layout{Keys: []vector.Type{tBigint}, Columns: []vector.Type{tDouble}}

// benchChunk makes a chunk of n events like those DuckDB hands out: in no order of time, one of keys keys, every
// hot-th row of key 0 (0: none).
func benchChunk(r *rand.Rand, n, keys, hot int, days int64) *event.Rows {
	c := event.NewRows(benchLayout, n)
	c.RowID = nil
	var key [9]byte
	key[0] = 1
	for i := range n {
		k := r.Int64N(int64(keys))
		if hot > 0 && i%hot == 0 {
			k = 0
		}
		binary.BigEndian.PutUint64(key[1:], uint64(k)^1<<63)
		c.Key.AppendBytes(key[:])
		c.TS = append(c.TS, r.Int64N(days*event.Day))
		c.Cols[0].AppendFloat(float64(r.IntN(100000)) / 100)
	}
	return c
}

// BenchmarkJoin is the training set of 500,000 labels over 5,000,000 events of 50,000 keys: sum and count of 7 days and
// sum of 30 days, from unsorted chunks on two goroutines. ns/event counts everything after the chunks exist.
func BenchmarkJoin(b *testing.B) {
	const events, labels, keys, chunk = 5_000_000, 500_000, 50_000, 2048
	for _, days := range []int64{60, 365} {
		for _, hot := range []int{0, 20} {
			r := rand.New(rand.NewPCG(1, 2))
			var es []*event.Rows
			for range events / chunk {
				es = append(es, benchChunk(r, chunk, keys, hot, days))
			}
			var ls []*Labels
			for i := range labels / chunk {
				c := benchChunk(r, chunk, keys, hot, days)
				l := &Labels{Key: c.Key, T: &vector.Vector{Type: vector.T(vector.TimestampTZ), N: chunk, I64: c.TS}, Row: make([]int64, chunk)}
				for j := range l.Row {
					l.Row[j] = int64(i*chunk + j)
				}
				ls = append(ls, l)
			}
			partials := []event.Partial{{Agg: bind(b, "sum", tDouble), Args: []int{0}, Filter: -1}, {Agg: bind(b, "count"), Filter: -1}}
			week, month := Window{Length: 7 * event.Day, Start: event.Forever}, Window{Length: 30 * event.Day, Start: event.Forever}
			spec := JoinSpec{Layout: benchLayout, Partials: partials, Outputs: []Output{{0, week}, {1, week}, {0, month}},
				Sink: func(*vector.Chunk) error { return nil }}
			for g := range 2 {
				spec.Labels = append(spec.Labels, func(_ context.Context, emit func(*Labels) error) error {
					for i := g; i < len(ls); i += 2 {
						if err := emit(ls[i]); err != nil {
							return err
						}
					}
					return nil
				})
				spec.Events = append(spec.Events, func(_ context.Context, emit func(*event.Rows) error) error {
					for i := g; i < len(es); i += 2 {
						if err := emit(es[i]); err != nil {
							return err
						}
					}
					return nil
				})
			}
			for _, memory := range []int64{1 << 30, 32 << 20} {
				spec.Options = Options{Threads: 2, FS: vfs.Default, SpillPath: b.TempDir() + "/spill", Memory: memory}
				b.Run(fmt.Sprintf("days=%d/hot=%d/memory=%dMiB", days, hot, memory>>20), func(b *testing.B) {
					for b.Loop() {
						if err := Join(context.Background(), spec); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
				})
			}
		}
	}
}

// BenchmarkSort is one partition of 80,000 rows of 800 keys: partitioning and sorting alone, on one goroutine.
func BenchmarkSort(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	const rows = 80_000
	c := benchChunk(r, rows, 800, 0, 365)
	b.Run("add", func(b *testing.B) {
		for b.Loop() {
			bl, _ := runs.NewBuilder(benchLayout, runs.BuilderOptions{})
			for range 10 {
				if err := bl.Add(c); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows/10, "ns/row")
	})
	b.Run("sort", func(b *testing.B) {
		bl, _ := runs.NewBuilder(benchLayout, runs.BuilderOptions{Partitions: 1})
		if err := bl.Add(c); err != nil {
			b.Fatal(err)
		}
		if err := bl.Finish(); err != nil {
			b.Fatal(err)
		}
		var s runs.Sorter
		for b.Loop() {
			if _, err := s.Sort(bl, 0, runs.SortOptions{}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	})
}
