package main

import (
	"context"
	"fmt"
	"os"
)

// Ten times the rows, keys and labels may take tenfoldLimit times the time. The small side is large enough that fixed costs do not flatter it.
const (
	tenfoldEvents   = 1_000_000
	tenfoldLabels   = 100_000
	tenfoldKeys     = 10_000
	tenfoldBackfill = 500_000
	tenfoldLimit    = 12
)

func tenfold(ctx context.Context, e *environment, t *table) error {
	if err := tenfoldTraining(ctx, e, t); err != nil {
		return err
	}
	return tenfoldHistory(ctx, e, t)
}

// tenfoldRow adds a row whose other side is the time allowed for the larger data.
func tenfoldRow(t *table, what string, times []sample, cpu [2]sample, peak int64) {
	small, large := times[0], times[1]
	var allowed, factors sample
	for i := range small {
		allowed, factors = append(allowed, tenfoldLimit*small[i]), append(factors, large[i]/small[i])
	}
	t.add(row{what: what, unit: "s", ours: large, other: allowed, peer: fmt.Sprintf("allowed: %d × small", tenfoldLimit), target: 1,
		notes: []string{"small " + figure(small, "s"), "factor " + spread(factors, "×", 1),
			fmt.Sprintf("CPU %.2f s and %.2f s", cpu[0].median(), cpu[1].median()), "peak " + mebibytes(peak)}})
}

func tenfoldTraining(ctx context.Context, e *environment, t *table) error {
	var sets [2]trainingSet
	var want [2][]string
	for i, f := range []int{1, 10} {
		d := events{rows: f * e.rows(tenfoldEvents), keys: f * e.rows(tenfoldKeys), first: trainingStart, span: trainingSpan, stream: 4 + i}
		var err error
		if sets[i], err = e.writeTraining(ctx, fmt.Sprintf("tenfold-%d", f), d, f*e.rows(tenfoldLabels)); err != nil {
			return err
		}
		_, out, err := e.duckdbRun(ctx, true, fmt.Sprintf(summary, sets[i].duckdbCold()))
		if err != nil {
			return err
		}
		want[i] = out[0]
	}
	var peak int64
	var cpu [2]sample
	join := func(i int) side {
		return func(ctx context.Context, _ int) (took float64, err error) {
			err = e.withServer(ctx, sets[i], func(srv *tilehouse, conn *session) error {
				var got []string
				used := srv.cpu()
				if took, got, err = timeSummary(ctx, conn, adHocJoin); err != nil {
					return err
				}
				cpu[i] = append(cpu[i], srv.cpu()-used)
				peak = max(peak, peakMemory(srv.cmd.Process.Pid))
				return equalRow(got, want[i])
			})
			return took, err
		}
	}
	times, err := alternate(ctx, e.rounds, join(0), join(1))
	if err != nil {
		return err
	}
	tenfoldRow(t, "tenfold data: training join, cold from Parquet", times, cpu, peak)
	for _, s := range sets { // disk space for what follows
		if err := os.Remove(s.events); err != nil {
			return err
		}
		if err := os.Remove(s.labels); err != nil {
			return err
		}
	}
	return nil
}

func tenfoldHistory(ctx context.Context, e *environment, t *table) error {
	var sets [2]backfillSet
	var want [2][][]string
	for i, f := range []int{1, 10} {
		var err error
		if sets[i], err = e.writeBackfill(ctx, fmt.Sprintf("tenfold-%d", f), f*e.rows(tenfoldBackfill), f*e.rows(tenfoldBackfill/100)); err != nil {
			return err
		}
		if want[i], err = sets[i].expected(ctx, e); err != nil {
			return err
		}
	}
	var peak int64
	var cpu [2]sample
	once := func(i int) side {
		return func(ctx context.Context, _ int) (float64, error) {
			b, err := e.backfillOnce(ctx, sets[i], want[i])
			peak, cpu[i] = max(peak, b.peak), append(cpu[i], b.wholeCPU)
			return b.whole, err
		}
	}
	times, err := alternate(ctx, e.rounds, once(0), once(1))
	if err != nil {
		return err
	}
	tenfoldRow(t, fmt.Sprintf("tenfold data: backfill of %d days", backfillDays), times, cpu, peak)
	return nil
}
