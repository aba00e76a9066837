package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// environment is what the parts share.
type environment struct {
	dir     string // temporary; data, servers' directories and scripts are below it
	binary  string // the built tilehouse
	threads int    // of Tilehouse's and DuckDB's queries alike
	rounds  int
	scale   float64 // of row counts; 1 is what the targets are meant for
	seed    uint64
	seconds int    // of one run of pgbench
	servers int    // started so far: names their directories
	profile string // directory for CPU profiles; empty: none
}

// rows is n scaled, at least 1.
func (e *environment) rows(n int) int { return max(1, int(float64(n)*e.scale)) }

// part is a group of rows of the table that is measured on its own.
type part struct {
	name string
	run  func(ctx context.Context, e *environment, t *table) error
}

var parts = []part{
	{"training", training}, {"lookup", lookups}, {"insert", inserts}, {"backfill", backfill}, {"tenfold", tenfold}, {"mechanism", mechanisms}, {"stream", streams}, {"write", writes},
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == duckdbCommand {
		if err := duckdbChild(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	e := &environment{}
	only := flag.String("only", "", "`parts` to run, with commas: "+strings.Join(names, ", "))
	flag.IntVar(&e.rounds, "rounds", 5, "rounds of each pair")
	flag.Float64Var(&e.scale, "scale", 1, "`factor` of all row counts")
	flag.Uint64Var(&e.seed, "seed", 7, "seed of the generated data")
	flag.IntVar(&e.threads, "threads", runtime.GOMAXPROCS(0), "threads of Tilehouse's and DuckDB's queries")
	flag.IntVar(&e.seconds, "seconds", 2, "seconds of one pgbench run")
	flag.StringVar(&e.binary, "binary", "", "a built tilehouse; empty: go build")
	flag.StringVar(&e.profile, "profile", "", "`directory` for CPU profiles of the servers that live longer, a file for every five seconds; empty: none")
	flag.Parse()
	if flag.NArg() > 0 || e.rounds < 1 || e.scale <= 0 || e.threads < 1 || e.seconds < 1 {
		return errors.New("bad flags; see -h")
	}
	chosen := parts
	if *only != "" {
		chosen = nil
		for n := range strings.SplitSeq(*only, ",") {
			i := slices.IndexFunc(parts, func(p part) bool { return p.name == n })
			if i < 0 {
				return fmt.Errorf("no part %q: there are %s", n, strings.Join(names, ", "))
			}
			chosen = append(chosen, parts[i])
		}
	}
	if e.dir, err = os.MkdirTemp("", "tilehouse-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(e.dir)) }()
	// PostgreSQL runs as another user and has its own directory below this one.
	if err := os.Chmod(e.dir, 0o755); err != nil {
		return err
	}
	if e.binary == "" {
		e.binary = filepath.Join(e.dir, "tilehouse")
		progress("building the server")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", e.binary, "github.com/tilehouse/tilehouse/cmd/tilehouse").CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	t := &table{}
	var failed error
	for _, p := range chosen {
		began := time.Now()
		progress("%s", p.name)
		if err := p.run(ctx, e, t); err != nil {
			// The other parts' figures are still worth printing.
			failed = errors.Join(failed, fmt.Errorf("%s: %w", p.name, err))
			if ctx.Err() != nil {
				break
			}
			progress("%s failed: %v", p.name, err)
		}
		progress("%s took %s", p.name, time.Since(began).Round(time.Second))
	}
	fmt.Printf("\n%s, %d cores, %d threads a query, %d rounds, scale %g, seed %d\n\n", runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), e.threads, e.rounds, e.scale, e.seed)
	t.print(os.Stdout)
	return failed
}

// progress prints to standard error, so that standard output is the table alone.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
