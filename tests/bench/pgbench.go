package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// pgbenchTarget is a server as pgbench is told of it.
type pgbenchTarget struct{ host, port, user, database string }

// pgbenchRun is what one run of pgbench reports.
type pgbenchRun struct {
	rate         float64 // transactions a second, connecting excluded
	transactions int64
}

var (
	pgbenchRate  = regexp.MustCompile(`(?m)^tps = ([0-9.]+) \(without initial connection time\)`)
	pgbenchCount = regexp.MustCompile(`(?m)^number of transactions actually processed: ([0-9]+)`)
	pgbenchBad   = regexp.MustCompile(`(?m)^number of failed transactions: ([0-9]+)`)
)

// pgbench runs a script of one statement by prepared statements, for the environment's seconds, with further flags. A failed transaction is an error.
func (e *environment) pgbench(ctx context.Context, t pgbenchTarget, script string, clients int, flags ...string) (*pgbenchRun, error) {
	program, err := exec.LookPath("pgbench")
	if err != nil {
		if program, err = postgresProgram("pgbench"); err != nil {
			return nil, err
		}
	}
	file := filepath.Join(e.dir, "pgbench.sql")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		return nil, err
	}
	args := append([]string{"-n", "-M", "prepared", "-f", file, "-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(2, clients)),
		"-T", strconv.Itoa(e.seconds), "-h", t.host, "-p", t.port, "-U", t.user}, flags...)
	cmd := exec.CommandContext(ctx, program, append(args, t.database)...)
	out, err := cmd.CombinedOutput()
	rate, count, bad := pgbenchRate.FindSubmatch(out), pgbenchCount.FindSubmatch(out), pgbenchBad.FindSubmatch(out)
	if err != nil || rate == nil || count == nil || bad != nil && string(bad[1]) != "0" {
		return nil, fmt.Errorf("pgbench: %w\n%.1000s", err, out)
	}
	var r pgbenchRun
	if r.rate, err = strconv.ParseFloat(string(rate[1]), 64); err != nil {
		return nil, err
	}
	r.transactions, err = strconv.ParseInt(string(count[1]), 10, 64)
	return &r, err
}
