package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/tilehouse/tilehouse/storage/duck"
)

// events describe generated rows (k bigint, ts timestamptz, x double): a hash of the row number and the seed gives each
// value, so that rows come in no order of time and the same seed gives the same rows.
type events struct {
	rows, keys int
	first      time.Time     // the earliest time
	span       time.Duration // times are spread evenly over [first, first + span)
	hot        int           // percent of the rows that have key 0, besides its share
	stream     int           // distinguishes sets of one seed; columns take the numbers from 10·stream
}

// trainingStart is the earliest event of the sets that are read at recorded times.
var trainingStart = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// hash is DuckDB's text of a number in [0, 2⁶⁴) for row i.
func (e *environment) hash(column int) string { return fmt.Sprintf("hash(i, %d, %d)", column, e.seed) }

// columns are the generator's select list.
func (e *environment) columns(d events) string {
	k := fmt.Sprintf("(%s %% %d)::BIGINT", e.hash(10*d.stream), d.keys)
	if d.hot > 0 {
		k = fmt.Sprintf("CASE WHEN %s %% 100 < %d THEN 0 ELSE %s END", e.hash(10*d.stream+1), d.hot, k)
	}
	return fmt.Sprintf("%s AS k, make_timestamptz(%d + (%s %% %d)::BIGINT) AS ts, (%s %% 1000000)::DOUBLE / 100 AS x",
		k, d.first.UnixMicro(), e.hash(10*d.stream+2), d.span.Microseconds(), e.hash(10*d.stream+3))
}

// write makes a Parquet file of the environment's directory from a select list over the row numbers i, and returns its path.
func (e *environment) write(ctx context.Context, rows int, name, columns string) (path string, err error) {
	path = filepath.Join(e.dir, name)
	_, _, err = e.duckdbRun(ctx, false, fmt.Sprintf("COPY (SELECT %s FROM range(%d) t(i)) TO %s (FORMAT parquet)", columns, rows, duck.QuoteLiteral(path)))
	return path, err
}

// writeEvents makes a Parquet file of events.
func (e *environment) writeEvents(ctx context.Context, name string, d events) (string, error) {
	return e.write(ctx, d.rows, name, e.columns(d))
}

// writeLabels makes a Parquet file of (label_id, k, ts): times and keys drawn as the events' are, the hot key included.
func (e *environment) writeLabels(ctx context.Context, name string, rows int, d events) (string, error) {
	d.stream += 100
	return e.write(ctx, rows, name, "i AS label_id, "+e.columns(d))
}
