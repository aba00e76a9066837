package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Each mechanism that makes reads fast can be switched off for a session. Values stay equal, and the benchmark that is named
// for the mechanism gets at least mechanismFactor times worse: one that costs nothing to switch off is no mechanism.
const mechanismFactor = 3

// mechanism is a switch and the read that it is for.
type mechanism struct {
	setting string
	what    string
	// read is measured with the switch on and off, and the rows of values compared. nil: those of read.
	read, values func(ctx context.Context, conn *session) ([][]string, error)
}

// mechanismSet is a feature's rows and the labels that it is joined to.
type mechanismSet struct {
	name         string
	events, keys int
	labels       int
	span         time.Duration
	scaled       bool // whether the keys grow with the rows, so that rows a key stay as they are
}

// The sets differ in what dominates a read: finding many keys, folding the parts of days at a window's ends, folding its days.
var (
	manyKeys  = mechanismSet{"many-keys", 2_000_000, 20_000, 2_000, 90 * 24 * time.Hour, true}
	denseDays = mechanismSet{"dense-days", 4_000_000, 2, 100, 16 * 24 * time.Hour, false}
	manyDays  = mechanismSet{"many-days", 12_000_000, 40, 40, 100 * 24 * time.Hour, false} // three thousand rows a day
)

// readTime is noon of the last day, so that a window has part of a day at either end.
func (m mechanismSet) readTime() string {
	return trainingStart.Add(m.span - 12*time.Hour).Format("2006-01-02 15:04:05Z")
}

// mechanismFeature has aggregates with and without an inverse, over windows that end anywhere in a day.
const mechanismFeature = "CREATE FEATURE f ON customer AS SELECT k, sum(x) AS s, count(*) AS n, max(x) AS most FROM events GROUP BY k WINDOW 7 DAYS, 60 DAYS"

// lookupBatch looks up many keys a statement, so that the reads and not the round trips are measured. Its rows are sorted,
// because a lookup has no order.
func lookupBatch(statements, batch, keys int) func(context.Context, *session) ([][]string, error) {
	return func(ctx context.Context, conn *session) (out [][]string, err error) {
		for i := range statements {
			var wanted []int64
			for j := range min(batch, keys) {
				wanted = append(wanted, int64(i*batch+j)*7919%int64(keys)) // a prime, so that neighbours here are none in the store
			}
			rows, err := conn.Query(ctx, "SELECT k, f_s_7d, f_n_7d, f_most_7d, f_s_60d, f_n_60d, f_most_60d FROM customer WHERE k = ANY($1)", wanted)
			if err != nil {
				return nil, err
			}
			values, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) ([]string, error) {
				v, err := r.Values()
				return []string{fmt.Sprint(v...)}, err
			})
			if err != nil {
				return nil, err
			}
			slices.SortFunc(values, slices.Compare[[]string])
			out = append(out, values...)
		}
		return out, nil
	}
}

const joinedFeatures = "SELECT l.label_id, f.f_s_7d, f.f_n_7d, f.f_most_7d, f.f_s_60d, f.f_n_60d, f.f_most_60d FROM labels l ASOF JOIN customer f ON f.k = l.k AND l.ts > f.ts"

// joinSummary is a training join of which one row is sent. Its sums are DuckDB's, which depend on order, so the
// values are compared apart.
func joinSummary(ctx context.Context, conn *session) ([][]string, error) {
	_, err := query(ctx, conn, "SELECT count(*), sum(f_s_7d), max(f_most_7d), sum(f_s_60d), max(f_most_60d), sum(f_n_7d), sum(f_n_60d) FROM ("+joinedFeatures+") q")
	return nil, err
}

// joinValues are all values of the join.
func joinValues(ctx context.Context, conn *session) ([][]string, error) {
	return query(ctx, conn, "SELECT * FROM ("+joinedFeatures+") q ORDER BY label_id")
}

func mechanisms(ctx context.Context, e *environment, t *table) error {
	for _, set := range []struct {
		mechanismSet
		of []mechanism
	}{
		{manyKeys, []mechanism{
			{setting: "use_row_packs", what: "5,000 lookups of keys with few rows", read: lookupBatch(5, 1000, e.rows(manyKeys.keys))},
			{setting: "use_runs", what: "training join of few labels and many keys", read: joinSummary, values: joinValues},
		}},
		{denseDays, []mechanism{
			{setting: "use_levels", what: "20 lookups of keys with very many rows a day", read: lookupBatch(10, denseDays.keys, denseDays.keys)},
		}},
		{manyDays, []mechanism{
			{setting: "use_partials", what: "training join of few labels and many days", read: joinSummary, values: joinValues},
		}},
	} {
		if err := e.measureMechanisms(ctx, t, set.mechanismSet, set.of); err != nil {
			return err
		}
	}
	return nil
}

func (e *environment) measureMechanisms(ctx context.Context, t *table, m mechanismSet, of []mechanism) error {
	keys := m.keys
	if m.scaled {
		keys = e.rows(m.keys)
	}
	s, err := e.writeTraining(ctx, m.name, events{rows: e.rows(m.events), keys: keys, first: trainingStart, span: m.span, stream: 8}, e.rows(m.labels))
	if err != nil {
		return err
	}
	return e.withServer(ctx, s, func(srv *tilehouse, on *session) (err error) {
		off, err := srv.connect(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, off.Close(ctx)) }()
		if err := execute(ctx, on, createUser, mechanismFeature); err != nil {
			return err
		}
		for _, conn := range []*session{on, off} {
			if err := execute(ctx, conn, "SET tilehouse.read_time = '"+m.readTime()+"'"); err != nil {
				return err
			}
		}
		for _, c := range of {
			if err := execute(ctx, off, "SET tilehouse."+c.setting+" = off"); err != nil {
				return err
			}
			var values [2][][]string
			run := func(conn *session, i int) side {
				return timed(func(ctx context.Context) (err error) {
					values[i], err = c.read(ctx, conn)
					return err
				})
			}
			times, err := alternate(ctx, e.rounds, run(on, 0), run(off, 1))
			if err != nil {
				return err
			}
			if c.values != nil {
				for i, conn := range []*session{on, off} {
					if values[i], err = c.values(ctx, conn); err != nil {
						return err
					}
				}
			}
			if err := execute(ctx, off, "SET tilehouse."+c.setting+" = on"); err != nil {
				return err
			}
			if !slices.EqualFunc(values[0], values[1], slices.Equal[[]string]) {
				return fmt.Errorf("%s changes values: %.300v and %.300v", c.setting, values[0], values[1])
			}
			t.add(row{what: c.what + ", " + c.setting, unit: "s", ours: times[0], other: times[1], peer: "switched off", target: mechanismFactor})
		}
		return nil
	})
}
