package materialize

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// The size of the benchmarks' history.
const (
	benchRows = 2_000_000
	benchDays = 180
	benchKeys = 50_000
)

// benchFile makes a Parquet file of rows spread evenly over days.
func (w *world) benchFile(name string, rows int, from, days int64) {
	conn, err := w.db.Connect()
	must(w.t, err)
	defer conn.Close()
	_, err = conn.Exec(w.t.Context(), fmt.Sprintf("COPY (SELECT make_timestamptz(%d + (i::HUGEINT * %d // %d)::BIGINT) AS ts, (hash(i) %% %d)::BIGINT AS k, (hash(i + 7) %% 1000)::BIGINT AS v FROM range(%d) r(i)) TO %s (FORMAT parquet)",
		day0+from*event.Day, days*event.Day, rows, benchKeys, rows, duck.QuoteLiteral(filepath.Join(w.files, name))))
	must(w.t, err)
}

// BenchmarkBackfill materializes 180 days online, then one day more.
func BenchmarkBackfill(b *testing.B) {
	for range b.N {
		b.StopTimer()
		w := newWorld(b)
		w.source()
		w.benchFile("a.parquet", benchRows, 0, benchDays)
		_, err := w.m.RefreshSource(b.Context(), sourceID)
		must(b, err)
		b.StartTimer()
		w.feature(1, sourceID, "v", true)
		backfill := b.Elapsed()
		b.ReportMetric(benchRows/backfill.Seconds(), "rows/s")
		b.StopTimer()
		w.benchFile("b.parquet", benchRows/benchDays, benchDays, 1)
		before := b.Elapsed()
		b.StartTimer()
		_, err = w.m.RefreshSource(b.Context(), sourceID)
		must(b, err)
		b.StopTimer()
		refresh := b.Elapsed() - before
		b.StartTimer()
		must(b, w.m.Settle(b.Context()))
		b.StopTimer()
		b.ReportMetric(float64(refresh.Milliseconds()), "ms/day-more")
		b.ReportMetric(float64((b.Elapsed() - before - refresh).Milliseconds()), "ms/settle")
		w.close()
	}
}

// BenchmarkTable materializes an event table of 2M rows, flushes a full tail, and starts again.
func BenchmarkTable(b *testing.B) {
	for range b.N {
		b.StopTimer()
		w := newWorld(b)
		w.relation(&schema.Relation{ID: tableID, Name: "t", Kind: schema.EventTable})
		insert := func(rows int, from, days int64) {
			ch := vector.NewChunk([]vector.Type{vector.T(vector.TimestampTZ), vector.T(vector.Int64), vector.T(vector.Int64)}, rows)
			for i := range rows {
				ch.Cols[0].AppendInt(day0 + from*event.Day + int64(i)*(days*event.Day/int64(rows)))
				ch.Cols[1].AppendInt(int64(uint64(i)*0x9E3779B97F4A7C15>>20) % benchKeys)
				ch.Cols[2].AppendInt(int64(i % 1000))
				ch.N++
			}
			_, err := w.log.Commit(b.Context(), &reclog.Txn{Changes: []reclog.Change{{Source: tableID, Inserts: ch}}})
			must(b, err)
		}
		insert(benchRows, 0, benchDays)
		timed := func(name string, fn func()) {
			before := b.Elapsed()
			b.StartTimer()
			fn()
			b.StopTimer()
			b.ReportMetric(float64((b.Elapsed() - before).Milliseconds()), "ms/"+name)
		}
		timed("backfill", func() { w.feature(1, tableID, "v", true) })
		insert(maxTailRows+1, benchDays-1, 2)
		timed("flush", func() { must(b, w.m.FlushTails(b.Context(), false)) })
		insert(maxTailRows/2, benchDays, 1)
		w.close()
		timed("start", w.open)
		w.close()
		b.StartTimer()
	}
}
