package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
)

// accounts is what the writes of ordinary tables find: the table of pgbench, of a hundred thousand rows at scale 1.
const accounts = 100_000

// tpcbScript is pgbench's own, with the numbers of scale 1.
const tpcbScript = `\set aid random(1, 100000)
\set bid 1
\set tid random(1, 10)
\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
END;
`

// writes measures durable transactions of ordinary tables: a row inserted, changed or deleted by its key, and pgbench's own.
func writes(ctx context.Context, e *environment, t *table) (err error) {
	p, err := e.startPair(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop(ctx)) }()
	targets := []pgbenchTarget{p.pg.target(), p.srv.target()}
	pids := []int{p.pg.cmd.Process.Pid, p.srv.cmd.Process.Pid}
	for _, target := range targets {
		if err := pgbenchTables(ctx, target); err != nil {
			return err
		}
	}
	for _, c := range []*session{p.theirs, p.ours} {
		if err := execute(ctx, c, "CREATE TABLE plain "+insertColumns, "CREATE TABLE gone (id bigint PRIMARY KEY, x double precision)",
			fmt.Sprintf("INSERT INTO gone SELECT g, g FROM generate_series(1, %d) AS t(g)", accounts)); err != nil {
			return err
		}
	}
	for _, w := range []struct{ what, script string }{
		{"INSERT of a row with a key", fmt.Sprintf(insertScript, "plain", "now()")},
		{"UPDATE of a row by its key", fmt.Sprintf("\\set aid random(1, %d)\nUPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;\n", accounts)},
		{"DELETE of a row by its key", fmt.Sprintf("\\set id random(1, %d)\nDELETE FROM gone WHERE id = :id;\n", accounts)},
		{"pgbench's transaction (tpcb-like)", tpcbScript},
	} {
		for _, clients := range []int{1, insertClients} {
			cpu := make([]sample, 2)
			sides := make([]side, 2)
			for i := range sides {
				sides[i] = func(ctx context.Context, _ int) (float64, error) {
					before := treeSeconds(pids[i])
					r, err := e.pgbench(ctx, targets[i], w.script, clients)
					if err != nil {
						return 0, err
					}
					cpu[i] = append(cpu[i], (treeSeconds(pids[i])-before)/float64(max(1, r.transactions))*1e6)
					return r.rate, nil
				}
			}
			rates, err := alternate(ctx, e.rounds, sides...)
			if err != nil {
				return err
			}
			t.add(row{what: fmt.Sprintf("%s, %d connections", w.what, clients), unit: "/s", ours: rates[1], other: rates[0], peer: "PostgreSQL", target: 0.5,
				notes: []string{fmt.Sprintf("%.0f µs of processor each, PostgreSQL %.0f", cpu[1].median(), cpu[0].median())}})
		}
	}
	// What was added to accounts, tellers and branches is what history has.
	for _, c := range []*session{p.theirs, p.ours} {
		out, err := query(ctx, c, "SELECT (SELECT sum(tbalance) FROM pgbench_tellers) = sum(delta) AND (SELECT sum(bbalance) FROM pgbench_branches) = sum(delta) FROM pgbench_history")
		if err != nil {
			return err
		}
		if out[0][0] != "t" && out[0][0] != "true" {
			return errors.New("the balances of pgbench's tables are not those of its history")
		}
	}
	return nil
}

// pgbenchTables has pgbench make and fill its tables.
func pgbenchTables(ctx context.Context, t pgbenchTarget) error {
	program, err := exec.LookPath("pgbench")
	if err != nil {
		if program, err = postgresProgram("pgbench"); err != nil {
			return err
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Clean(program), "-i", "-q", "-s", "1", "-h", t.host, "-p", t.port, "-U", t.user, t.database).CombinedOutput()
	if err != nil {
		return fmt.Errorf("pgbench -i: %w\n%.1000s", err, out)
	}
	return nil
}
