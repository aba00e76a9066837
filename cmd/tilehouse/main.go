// Command tilehouse is the server and its tools: serve, gateway, demo, jobs, password, version.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/peterbourgon/ff/v3/ffcli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &ffcli.Command{
		Name:       "tilehouse",
		ShortUsage: "tilehouse <command> [flags]",
		LongHelp: `Tilehouse keeps windowed features exact, for training and online, and is used with SQL.

Start with the demo, or with a directory of your own:

  tilehouse demo                    real rows, the main job, statement by statement
  tilehouse serve --data ./data     then: psql -h 127.0.0.1 -p 5433 -U tilehouse
  tilehouse jobs                    how far its backfills are

Every flag of serve can also be given as TILEHOUSE_<FLAG> in the environment or as a line "flag value" in the file
named by --config; a flag wins over the environment, and the environment over the file.`,
		FlagSet:     flag.NewFlagSet("tilehouse", flag.ContinueOnError),
		Subcommands: []*ffcli.Command{serveCommand(), gatewayCommand(), demoCommand(), jobsCommand(), passwordCommand(), helpCommand(), versionCommand()},
		Exec:        func(context.Context, []string) error { return flag.ErrHelp },
	}
	err := root.ParseAndRun(ctx, os.Args[1:])
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	default:
		fmt.Fprintln(os.Stderr, "tilehouse:", err)
		os.Exit(1)
	}
}

func versionCommand() *ffcli.Command {
	return &ffcli.Command{
		Name: "version", ShortUsage: "tilehouse version", ShortHelp: "Print the version.",
		Exec: func(context.Context, []string) error {
			v := "(unknown)"
			if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
				v = info.Main.Version
			}
			_, err := fmt.Println("tilehouse", v)
			return err
		},
	}
}
