package main

import (
	"context"
	"errors"
	"os/exec"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// pair is a server of each side, and a connection to each.
type pair struct {
	srv          *tilehouse
	pg           *postgres
	ours, theirs *pgx.Conn
}

// startPair starts both servers on new directories and connects to them.
func (e *environment) startPair(ctx context.Context) (_ *pair, err error) {
	p := &pair{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.stop(ctx))
		}
	}()
	if p.srv, err = e.startTilehouse(ctx, e.freshData()); err != nil {
		return nil, err
	}
	if p.pg, err = e.startPostgres(ctx); err != nil {
		return nil, err
	}
	if p.ours, err = p.srv.connect(ctx); err != nil {
		return nil, err
	}
	p.theirs, err = p.pg.connect(ctx)
	return p, err
}

// stop closes the connections and ends the servers.
func (p *pair) stop(ctx context.Context) error {
	var errs []error
	for _, c := range []*pgx.Conn{p.ours, p.theirs} {
		if c != nil {
			errs = append(errs, c.Close(ctx))
		}
	}
	if p.pg != nil {
		errs = append(errs, p.pg.stop())
	}
	if p.srv != nil {
		errs = append(errs, p.srv.stop())
	}
	return errors.Join(errs...)
}

// treeSeconds is the processor time of a process and its children, those that ended too, in seconds.
func treeSeconds(pid int) float64 {
	total := cpuFields(pid, 4)
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	if err != nil {
		return total
	}
	for f := range strings.FieldsSeq(string(out)) {
		if child, err := strconv.Atoi(f); err == nil {
			total += cpuFields(child, 4)
		}
	}
	return total
}
