package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tilehouse/tilehouse/storage/duck"
)

// The backfill at scale 1, and the day that is added to it. The allowance for a day is what its share of a backfill of twice
// the speed would take, and a fixed cost.
const (
	backfillEvents = 2_000_000
	backfillKeys   = 20_000
	backfillDays   = 180
	dayShare       = 60
	dayFixed       = 200 * time.Millisecond
)

// backfillSet is a file of history and one of the day after it.
type backfillSet struct {
	history, next string
	keys          int
	end           time.Time // of the day after
}

func (e *environment) writeBackfill(ctx context.Context, name string, rows, keys int) (s backfillSet, err error) {
	day := trainingStart.AddDate(0, 0, backfillDays)
	s.keys, s.end = keys, day.AddDate(0, 0, 1)
	if s.history, err = e.writeEvents(ctx, name+"-history.parquet", events{rows: rows, keys: keys, first: trainingStart, span: day.Sub(trainingStart), stream: 2}); err != nil {
		return s, err
	}
	s.next, err = e.writeEvents(ctx, name+"-next.parquet", events{rows: max(1, rows/backfillDays), keys: keys, first: day, span: s.end.Sub(day), stream: 3})
	return s, err
}

// createSpend is the backfilled feature: online, so that the time includes its store.
const createSpend = "CREATE FEATURE spend ON customer AS SELECT k, sum(x) AS s, count(*) AS n FROM events GROUP BY k WINDOW 7 DAYS, 30 DAYS"

// backfillTimes are one backfill's seconds and those of the refresh with one more day.
type backfillTimes struct {
	whole, day       float64
	wholeCPU, dayCPU float64 // of the server's processor time
	peak             int64   // bytes, of both
}

// backfillOnce makes the feature on a fresh server over the history alone, then adds the day's file and refreshes the source,
// and compares the values at the end of that day, online and joined, with DuckDB's.
func (e *environment) backfillOnce(ctx context.Context, s backfillSet, want [][]string) (b backfillTimes, err error) {
	data := e.freshData()
	folder := data + "-files"
	if err := os.Mkdir(folder, 0o755); err != nil {
		return b, err
	}
	if err := os.Link(s.history, filepath.Join(folder, "history.parquet")); err != nil {
		return b, err
	}
	srv, err := e.startTilehouse(ctx, data)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, srv.stop(), os.RemoveAll(data), os.RemoveAll(folder)) }()
	conn, err := srv.connect(ctx)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	pattern := filepath.Join(filepath.Base(folder), "*.parquet")
	if err := execute(ctx, conn, createUser, "CREATE SOURCE events WITH (connector = 'file', path = "+duck.QuoteLiteral(pattern)+", event_time = 'ts')"); err != nil {
		return b, err
	}
	began, used := time.Now(), srv.cpu()
	if err := execute(ctx, conn, createSpend); err != nil {
		return b, err
	}
	b.whole, b.wholeCPU = time.Since(began).Seconds(), srv.cpu()-used
	if err := os.Link(s.next, filepath.Join(folder, "next.parquet")); err != nil {
		return b, err
	}
	began, used = time.Now(), srv.cpu()
	if err := execute(ctx, conn, "REFRESH SOURCE events"); err != nil {
		return b, err
	}
	b.day, b.dayCPU = time.Since(began).Seconds(), srv.cpu()-used
	b.peak = peakMemory(srv.cmd.Process.Pid)
	at := s.end.Format("2006-01-02 15:04:05Z")
	if err := execute(ctx, conn, "SET tilehouse.read_time = '"+at+"'"); err != nil {
		return b, err
	}
	for _, w := range want {
		got, err := query(ctx, conn, "SELECT k, spend_n_7d, spend_s_7d, spend_n_30d, spend_s_30d FROM customer WHERE k = "+w[0])
		if err != nil {
			return b, err
		}
		if err := equalRow(got[0], w); err != nil {
			return b, err
		}
	}
	return b, equalToQuery(ctx, conn, fmt.Sprintf(`SELECT l.k, f.spend_n_7d, f.spend_s_7d, f.spend_n_30d, f.spend_s_30d
FROM (SELECT g AS k, timestamptz '%s' AS ts FROM generate_series(0, %d) g) l ASOF JOIN customer f ON f.k = l.k AND l.ts > f.ts ORDER BY l.k`, at, len(want)-1), want)
}

// backfillChecked is how many keys are compared.
const backfillChecked = 200

// expected are the values of the first keys at the end of the day after.
func (s backfillSet) expected(ctx context.Context, e *environment) ([][]string, error) {
	window := func(days int) string { return strconv.FormatInt(s.end.AddDate(0, 0, -days).UnixMicro(), 10) }
	_, rows, err := e.duckdbRun(ctx, true, fmt.Sprintf(`SELECT i.k, count(x) FILTER (WHERE ts >= make_timestamptz(%[1]s)), sum(x) FILTER (WHERE ts >= make_timestamptz(%[1]s)),
  count(x) FILTER (WHERE ts >= make_timestamptz(%[2]s)), sum(x) FILTER (WHERE ts >= make_timestamptz(%[2]s))
FROM (SELECT range AS k FROM range(%[3]d)) i LEFT JOIN read_parquet([%[4]s, %[5]s]) e ON e.k = i.k GROUP BY i.k ORDER BY i.k`,
		window(7), window(30), min(s.keys, backfillChecked), duck.QuoteLiteral(s.history), duck.QuoteLiteral(s.next)))
	return rows, err
}

func backfill(ctx context.Context, e *environment, t *table) error {
	s, err := e.writeBackfill(ctx, "backfill", e.rows(backfillEvents), e.rows(backfillKeys))
	if err != nil {
		return err
	}
	want, err := s.expected(ctx, e)
	if err != nil {
		return err
	}
	var whole, day, allowed, wholeCPU, dayCPU sample
	var peak int64
	for range e.rounds {
		b, err := e.backfillOnce(ctx, s, want)
		if err != nil {
			return err
		}
		whole, day, peak = append(whole, b.whole), append(day, b.day), max(peak, b.peak)
		wholeCPU, dayCPU = append(wholeCPU, b.wholeCPU), append(dayCPU, b.dayCPU)
		allowed = append(allowed, b.whole/dayShare+dayFixed.Seconds())
	}
	t.add(row{what: fmt.Sprintf("backfill of %d days", backfillDays), unit: "s", ours: whole, notes: []string{"peak " + mebibytes(peak),
		fmt.Sprintf("%.1f million rows a second", float64(e.rows(backfillEvents))/whole.median()/1e6), fmt.Sprintf("CPU %.2f s", wholeCPU.median())}})
	t.add(row{what: "one more day: a file, REFRESH SOURCE", unit: "s", ours: day, other: allowed, peer: "allowed: backfill/60 + 0.2 s", target: 1,
		notes: []string{fmt.Sprintf("CPU %.2f s", dayCPU.median())}})
	return nil
}
