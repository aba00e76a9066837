package duck

import (
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
)

func benchmarkScan(b *testing.B, sql string) {
	c := connect(b, open(b, Options{Threads: 1}))
	exec(b, c, "CREATE TABLE t AS SELECT i AS k, make_timestamptz(i * 1000) AS ts, i / 3.0 AS x, CASE WHEN i % 10 > 0 THEN i END AS n, 'customer ' || (i % 1000) AS s, (i / 7.0)::decimal(12,2) AS d, uuid() AS u FROM range(4000000) r(i)")
	b.ResetTimer()
	rows := 0
	for b.Loop() {
		r, err := c.Query(b.Context(), sql)
		must(b, err)
		for {
			ch, err := r.Next()
			must(b, err)
			if ch == nil {
				break
			}
			rows += ch.N
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkScan(b *testing.B)        { benchmarkScan(b, "SELECT k, ts, x FROM t") }
func BenchmarkScanNulls(b *testing.B)   { benchmarkScan(b, "SELECT k, ts, n FROM t") }
func BenchmarkScanText(b *testing.B)    { benchmarkScan(b, "SELECT k, s FROM t") }
func BenchmarkScanDecimal(b *testing.B) { benchmarkScan(b, "SELECT k, d, u FROM t") }

func BenchmarkAppend(b *testing.B) {
	c := connect(b, open(b, Options{Threads: 1}))
	exec(b, c, "CREATE TABLE t (k bigint, ts timestamptz, x double, s text)")
	ch := vector.NewChunk([]vector.Type{vector.T(vector.Int64), vector.T(vector.TimestampTZ), vector.T(vector.Float64), vector.T(vector.Text)}, chunkRows)
	for i := range chunkRows {
		ch.Cols[0].AppendInt(int64(i))
		ch.Cols[1].AppendInt(int64(i))
		ch.Cols[2].AppendFloat(float64(i))
		ch.Cols[3].AppendString("some text of a row")
		ch.N++
	}
	exec(b, c, "BEGIN")
	a, err := c.Appender("", "", "t")
	must(b, err)
	b.ResetTimer()
	rows := 0
	for b.Loop() {
		must(b, a.Append(ch))
		rows += ch.N
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
	b.StopTimer()
	must(b, a.Close())
	exec(b, c, "ROLLBACK")
}

// BenchmarkReclaim is the look at what DuckDB's allocator keeps, and the end of a statement that took some milliseconds.
func BenchmarkReclaim(b *testing.B) {
	db := open(b, Options{MemoryLimit: 1 << 30})
	for name, run := range map[string]func(){"look": db.reclaim.look, "ended": func() { db.reclaim.ended(time.Time{}) }} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				run()
			}
		})
	}
}
