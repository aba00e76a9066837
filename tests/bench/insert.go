package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

const (
	insertClients = 16
	// The identities are drawn from so many that no run draws one twice.
	insertScript = "\\set id random(1, 4000000000000000000)\n\\set k random(0, 49999)\n\\set x random(0, 999999)\n" +
		"INSERT INTO %s (id, k, x, ts) VALUES (:id, :k, :x, %s);\n"
	insertColumns = "(id bigint PRIMARY KEY, k bigint, x double precision, ts timestamptz NOT NULL)"
)

// inserts measures durable single rows: each INSERT is a transaction that is on disk when it is acknowledged, on both sides.
func inserts(ctx context.Context, e *environment, t *table) (err error) {
	p, err := e.startPair(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop(ctx)) }()
	srv, pg, ours, theirs := p.srv, p.pg, p.ours, p.theirs
	if err := execute(ctx, theirs, "CREATE TABLE plain "+insertColumns); err != nil {
		return err
	}
	if err := execute(ctx, ours, createUser,
		"CREATE TABLE plain "+insertColumns+" WITH (event_time = 'ts')",
		"CREATE TABLE featured "+insertColumns+" WITH (event_time = 'ts')",
		"CREATE FEATURE f ON customer AS SELECT k, count(*) AS n, sum(x) AS s, avg(x) AS mean, min(x) AS least, max(x) AS most FROM featured GROUP BY k WINDOW 7 DAYS, 30 DAYS"); err != nil {
		return err
	}
	inserted := map[string]int64{} // acknowledged, by table
	to := func(target pgbenchTarget, table, counted, ts string) side {
		return func(ctx context.Context, _ int) (float64, error) {
			r, err := e.pgbench(ctx, target, fmt.Sprintf(insertScript, table, ts), insertClients, "-D", "ts="+time.Now().UTC().Format("2006-01-02 15:04:05.000000Z"))
			if err != nil {
				return 0, err
			}
			inserted[counted] += r.transactions
			return r.rate, nil
		}
	}
	// A client that knows when its event happened sends the time; pgbench can only send the time at which its run began.
	for _, v := range []struct{ table, ts, what string }{
		{"plain", ":ts", "durable INSERT, a row each, 16 connections"},
		{"featured", ":ts", "the same, with 10 online values of the key kept fresh"},
		{"featured", "now()", "the same, the time given as now()"},
	} {
		rates, err := alternate(ctx, e.rounds, to(pg.target(), "plain", "postgres", v.ts), to(srv.target(), v.table, v.table, v.ts))
		if err != nil {
			return err
		}
		t.add(row{what: v.what, unit: "/s", ours: rates[1], other: rates[0], peer: "PostgreSQL", target: 0.5, notes: []string{"peak " + srv.peak()}})
		out, err := query(ctx, ours, "SELECT count(*) FROM "+v.table)
		if err != nil {
			return err
		}
		if n := strconv.FormatInt(inserted[v.table], 10); out[0][0] != n {
			return fmt.Errorf("%s rows in %s, not the %s acknowledged", out[0][0], v.table, n)
		}
	}
	return nil
}
