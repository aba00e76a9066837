package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tilehouse/tilehouse/storage/duck"
)

// The training join at scale 1: labels × (sum and count over 7 days, sum over 30), strict windows.
const (
	trainingEvents = 5_000_000
	trainingLabels = 500_000
	trainingKeys   = 50_000
	trainingSpan   = 90 * 24 * time.Hour
	hotPercent     = 5
	tolerance      = 1e-9 // relative, of sums of doubles: DuckDB's are rounded at every step and depend on order
)

// trainingMemory is Tilehouse's memory limit for the joins.
const trainingMemory = "4GB"

// trainingSet is a pair of Parquet files.
type trainingSet struct{ events, labels string }

func (e *environment) writeTraining(ctx context.Context, name string, d events, labels int) (s trainingSet, err error) {
	if s.events, err = e.writeEvents(ctx, name+"-events.parquet", d); err != nil {
		return s, err
	}
	s.labels, err = e.writeLabels(ctx, name+"-labels.parquet", labels, d)
	return s, err
}

// DuckDB's fastest form. A prefix sum over each key's rows in the order of time makes a window the difference of two of its
// values, and each end is found by an ASOF join, so that nothing grows with the rows of a window or the skew of the keys. It
// is meant for rows of distinct times in a key: of two equal times the join may find either, so the comparison of results
// would tell.
const (
	duckdbPrefix = `SELECT k, ts, sum(x) OVER w AS s, count(*) OVER w AS n FROM %s WINDOW w AS (PARTITION BY k ORDER BY ts ROWS UNBOUNDED PRECEDING)`
	duckdbJoin   = `SELECT l.label_id, CASE WHEN coalesce(a.n, 0) > coalesce(b.n, 0) THEN a.s - coalesce(b.s, 0) END AS s7, coalesce(a.n, 0) - coalesce(b.n, 0) AS n7,
  CASE WHEN coalesce(a.n, 0) > coalesce(c.n, 0) THEN a.s - coalesce(c.s, 0) END AS s30
FROM (SELECT label_id, k, ts, ts - INTERVAL 7 DAYS AS t7, ts - INTERVAL 30 DAYS AS t30 FROM %[1]s) l
ASOF LEFT JOIN %[2]s a ON a.k = l.k AND l.ts > a.ts
ASOF LEFT JOIN %[2]s b ON b.k = l.k AND l.t7 > b.ts
ASOF LEFT JOIN %[2]s c ON c.k = l.k AND l.t30 > c.ts`
	// Both sides aggregate what they joined, so that neither is charged for moving half a million rows to a client.
	summary = "SELECT count(*), sum(n7)::bigint, sum(s7), sum(s30), count(s7), count(s30), sum(n7 * (label_id %% 1009))::bigint FROM (%s) q"
	ordered = "SELECT label_id, n7, s7, s30 FROM (%s) q ORDER BY label_id"
)

func (s trainingSet) duckdbCold() string {
	return "WITH p AS (" + fmt.Sprintf(duckdbPrefix, duck.QuoteLiteral(s.events)) + ") " + fmt.Sprintf(duckdbJoin, duck.QuoteLiteral(s.labels), "p")
}

// sources are the statements that make the files known to the server.
func (s trainingSet) sources() []string {
	return []string{
		"CREATE SOURCE events WITH (connector = 'file', path = " + duck.QuoteLiteral(filepath.Base(s.events)) + ", event_time = 'ts')",
		"CREATE SOURCE labels WITH (connector = 'file', path = " + duck.QuoteLiteral(filepath.Base(s.labels)) + ", event_time = 'ts')",
	}
}

// The join as Tilehouse's users write it: windows that no feature declares, and a feature's.
const (
	adHocJoin = `SELECT l.label_id, f.s_7d AS s7, f.n_7d AS n7, f.s_30d AS s30 FROM labels l
ASOF JOIN (SELECT k, sum(x) AS s, count(*) AS n FROM events GROUP BY k WINDOW 7 DAYS, 30 DAYS) f ON f.k = l.k AND l.ts > f.ts`
	createUser    = "CREATE ENTITY customer (k bigint)"
	createFeature = "CREATE FEATURE spend ON customer WITH (online = false) AS SELECT k, sum(x) AS s, count(*) AS n FROM events GROUP BY k WINDOW 7 DAYS, 30 DAYS"
	featureJoin   = `SELECT l.label_id, f.spend_s_7d AS s7, f.spend_n_7d AS n7, f.spend_s_30d AS s30 FROM labels l
ASOF JOIN customer f ON f.k = l.k AND l.ts > f.ts`
)

// withServer runs f against a server on a fresh data directory that knows the set's files.
func (e *environment) withServer(ctx context.Context, s trainingSet, f func(srv *tilehouse, conn *session) error) (err error) {
	srv, err := e.startTilehouse(ctx, e.freshData(), "--memory-limit", trainingMemory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	conn, err := srv.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if err := execute(ctx, conn, s.sources()...); err != nil {
		return err
	}
	return f(srv, conn)
}

// timeSummary runs the summary of a join and returns its seconds and its one row.
func timeSummary(ctx context.Context, conn *session, join string) (float64, []string, error) {
	began := time.Now()
	out, err := query(ctx, conn, fmt.Sprintf(summary, join))
	took := time.Since(began).Seconds()
	if err != nil {
		return 0, nil, err
	}
	if len(out) != 1 {
		return 0, nil, fmt.Errorf("%d rows of a summary", len(out))
	}
	return took, out[0], nil
}

// cpuNote is both sides' processor time, which the load of the machine hardly changes.
func cpuNote(ours, theirs sample) string {
	return fmt.Sprintf("CPU %.2f s, DuckDB %.2f s", ours.median(), theirs.median())
}

// trainingPair measures a training set cold and warm and checks every label's values.
func trainingPair(ctx context.Context, e *environment, t *table, name string, s trainingSet) error {
	var want []string // DuckDB's summary, of every round alike but for the last digits of sums
	var ourPeak, theirPeak, warmPeak, theirWarmPeak int64
	var ourCPU, theirCPU, warmCPU, theirWarmCPU sample
	cold := func(ctx context.Context, round int) (took float64, err error) {
		err = e.withServer(ctx, s, func(srv *tilehouse, conn *session) error {
			var got []string
			used := srv.cpu()
			if took, got, err = timeSummary(ctx, conn, adHocJoin); err != nil {
				return err
			}
			ourCPU = append(ourCPU, srv.cpu()-used)
			ourPeak = max(ourPeak, peakMemory(srv.cmd.Process.Pid))
			return equalRow(got, want)
		})
		return took, err
	}
	duckCold := func(ctx context.Context, round int) (float64, error) {
		res, out, err := e.duckdbRun(ctx, true, fmt.Sprintf(summary, s.duckdbCold()))
		if err != nil {
			return 0, err
		}
		want, theirPeak, theirCPU = out[0], max(theirPeak, res.Peak), append(theirCPU, res.CPU[0])
		return res.Seconds[0], nil
	}
	both, err := alternate(ctx, e.rounds, duckCold, cold)
	if err != nil {
		return err
	}
	t.add(row{what: "training join, " + name + ", cold from Parquet", unit: "s", ours: both[1], other: both[0], peer: "DuckDB", target: 2,
		notes: []string{
			"peak " + mebibytes(ourPeak) + ", DuckDB " + mebibytes(theirPeak), cpuNote(ourCPU, theirCPU)}})

	prepare := "CREATE TABLE p AS " + fmt.Sprintf(duckdbPrefix, duck.QuoteLiteral(s.events))
	join := fmt.Sprintf(duckdbJoin, duck.QuoteLiteral(s.labels), "p")
	return e.withServer(ctx, s, func(srv *tilehouse, conn *session) error {
		began := time.Now()
		if err := execute(ctx, conn, createUser, createFeature); err != nil {
			return err
		}
		built := time.Since(began)
		resetPeak(srv.cmd.Process.Pid)
		var prepared float64
		both, err := alternate(ctx, e.rounds, func(ctx context.Context, _ int) (float64, error) {
			res, out, err := e.duckdbRun(ctx, true, prepare, fmt.Sprintf(summary, join))
			if err != nil {
				return 0, err
			}
			prepared, theirWarmPeak, theirWarmCPU = res.Seconds[0], max(theirWarmPeak, res.Peak), append(theirWarmCPU, res.CPU[1])
			return res.Seconds[1], equalRow(out[0], want)
		}, func(ctx context.Context, _ int) (float64, error) {
			used := srv.cpu()
			took, got, err := timeSummary(ctx, conn, featureJoin)
			if err != nil {
				return 0, err
			}
			warmCPU = append(warmCPU, srv.cpu()-used)
			return took, equalRow(got, want)
		})
		if err != nil {
			return err
		}
		warmPeak = peakMemory(srv.cmd.Process.Pid)
		t.add(row{what: "training join, " + name + ", of a feature", unit: "s", ours: both[1], other: both[0], peer: "DuckDB, prefix sums kept", notes: []string{
			fmt.Sprintf("peak %s, DuckDB %s", mebibytes(warmPeak), mebibytes(theirWarmPeak)), cpuNote(warmCPU, theirWarmCPU),
			fmt.Sprintf("built before in %.1f s, DuckDB's sums in %.1f s", built.Seconds(), prepared)}})
		_, rows, err := e.duckdbRun(ctx, true, fmt.Sprintf(ordered, s.duckdbCold()))
		if err != nil {
			return err
		}
		for _, ours := range []string{adHocJoin, featureJoin} {
			if err := equalToQuery(ctx, conn, fmt.Sprintf(ordered, ours), rows); err != nil {
				return err
			}
		}
		progress("  %d labels compared, all equal", len(rows))
		return nil
	})
}

func training(ctx context.Context, e *environment, t *table) error {
	for _, v := range []struct {
		name string
		hot  int
	}{{"uniform", 0}, {fmt.Sprintf("a key of %d %%", hotPercent), hotPercent}} {
		d := events{rows: e.rows(trainingEvents), keys: e.rows(trainingKeys), first: trainingStart, span: trainingSpan, hot: v.hot}
		s, err := e.writeTraining(ctx, "training-"+strconv.Itoa(v.hot), d, e.rows(trainingLabels))
		if err != nil {
			return err
		}
		if err := trainingPair(ctx, e, t, v.name, s); err != nil {
			return err
		}
	}
	return nil
}

// equalToQuery compares a query's rows with rows.
func equalToQuery(ctx context.Context, conn *session, statement string, rows [][]string) error {
	got, err := query(ctx, conn, statement)
	if err != nil {
		return err
	}
	if len(got) != len(rows) {
		return fmt.Errorf("%d rows, not %d, of\n%s", len(got), len(rows), statement)
	}
	for i := range got {
		if err := equalRow(got[i], rows[i]); err != nil {
			return fmt.Errorf("row %d: %w, of\n%s", i, err, statement)
		}
	}
	return nil
}

// equalRow compares two rows of texts: integers and NULLs exactly, numbers with a point or exponent within the tolerance.
func equalRow(got, want []string) error {
	if len(got) != len(want) {
		return fmt.Errorf("results differ: %v and %v", got, want)
	}
	for i := range got {
		if got[i] == want[i] {
			continue
		}
		a, errA := strconv.ParseFloat(got[i], 64)
		b, errB := strconv.ParseFloat(want[i], 64)
		_, intA := strconv.ParseInt(got[i], 10, 64)
		_, intB := strconv.ParseInt(want[i], 10, 64)
		if errA != nil || errB != nil || intA == nil && intB == nil || math.Abs(a-b) > tolerance*max(math.Abs(a), math.Abs(b)) {
			return fmt.Errorf("results differ: %v and %v", got, want)
		}
	}
	return nil
}
