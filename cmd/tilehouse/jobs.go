package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/peterbourgon/ff/v3/ffcli"

	"github.com/tilehouse/tilehouse/sqlplan/engine"
)

// jobsShown bounds the ended jobs that are printed where none runs.
const jobsShown = 10

func jobsCommand() *ffcli.Command {
	fs := flag.NewFlagSet("tilehouse jobs", flag.ContinueOnError)
	connect := fs.String("connect", "", "`URL` or keywords of the server, as psql takes them; PGHOST, PGPORT, PGPASSWORD … count too")
	once := fs.Bool("once", false, "print the jobs once, and do not wait for those that run")
	return &ffcli.Command{
		Name: "jobs", ShortUsage: "tilehouse jobs [--connect URL] [--once]", FlagSet: fs,
		ShortHelp: "Show how far a server's backfills and refreshes are.",
		LongHelp: `Draws a bar for each job of a running server until all are done; where the output is no terminal, it prints lines.
Without a running job it prints the last ones. The same stands in tilehouse.jobs.

  tilehouse jobs --connect 'host=127.0.0.1 port=5433'`,
		Exec: func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("jobs takes no argument %q; see tilehouse jobs -h", args[0])
			}
			return showJobs(ctx, os.Stdout, *connect, *once)
		},
	}
}

// showJobs shows the jobs of a server until none runs. Errors: no server, a job that failed meanwhile.
func showJobs(ctx context.Context, out io.Writer, connect string, once bool) error {
	conn, err := pgx.Connect(ctx, withDefaults(connect))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	jobs, err := readJobs(ctx, conn)
	if err != nil {
		return err
	}
	running := false
	for _, j := range jobs {
		running = running || j.Ended == nil
	}
	if !running || once {
		if len(jobs) == 0 {
			fmt.Fprintln(out, "no job ran since the server started")
		}
		for _, j := range jobs[max(0, len(jobs)-jobsShown):] {
			when := "running"
			if j.Ended != nil {
				when = j.Ended.Format(time.DateTime)
			}
			fmt.Fprintf(out, "%s  %s\n", when, j.line())
		}
		return nil
	}
	ended, err := follow(ctx, conn, newDisplay(out), true)
	if err != nil {
		return err
	}
	var errs []error
	for _, j := range ended {
		fmt.Fprintln(out, j.line())
		if j.Stage == "failed" {
			errs = append(errs, fmt.Errorf("%s failed: %s", j.Object, j.Error))
		}
	}
	return errors.Join(errs...)
}

// withDefaults puts the server's own address, role and database before what connect, a connection string in keywords, and the
// environment do not say. A URL is taken as it is.
func withDefaults(connect string) string {
	if strings.Contains(connect, "://") {
		return connect
	}
	var given []string
	for _, d := range []struct{ env, keyword, value string }{
		{"PGHOST", "host", "127.0.0.1"}, {"PGPORT", "port", "5433"}, {"PGUSER", "user", engine.DefaultRole}, {"PGDATABASE", "dbname", engine.DefaultRole},
	} {
		if os.Getenv(d.env) == "" {
			given = append(given, d.keyword+"="+d.value)
		}
	}
	return strings.Join(append(given, connect), " ")
}
