package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/peterbourgon/ff/v3/ffcli"

	"github.com/tilehouse/tilehouse/sql"
	"github.com/tilehouse/tilehouse/sqlplan/engine"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

const (
	demoRows  = 5  // rows of a result that the demo prints, the others it counts
	demoLines = 40 // the same for a result of one column: a plan, which says nothing when it is cut
	demoCell  = 36 // characters of a value that the demo prints where a result has several columns
)

// demoConfig is what the demo's flags say. The environment and a configuration file are not read: a TILEHOUSE_DATA that is
// meant for a server must not make the demo write into that server's directory.
type demoConfig struct {
	data, listen, brokers string
	exit                  bool
}

func demoCommand() *ffcli.Command {
	fs := flag.NewFlagSet("tilehouse demo", flag.ContinueOnError)
	var c demoConfig
	fs.StringVar(&c.data, "data", "", "data `directory` to keep; without it a temporary one, removed at the end")
	fs.StringVar(&c.listen, "listen", "127.0.0.1:0", "`host:port` to listen on; port 0 is any free one")
	fs.StringVar(&c.brokers, "brokers", "", "`host:port,…` of Kafka: run the demo of a stream, over a topic that it makes there")
	fs.BoolVar(&c.exit, "exit", false, "stop after the last statement")
	return &ffcli.Command{
		Name: "demo", ShortUsage: "tilehouse demo [--data DIR] [--brokers HOST:PORT] [--listen HOST:PORT] [--exit]",
		ShortHelp: "Run the main job on real rows, statement by statement.",
		LongHelp: `Starts a server and talks to it as any client does: a file of 336,776 flights, features over it, a training set,
lookups. Each statement is printed with its result and its time. The server then stays for your own statements until Ctrl-C.

With --brokers it makes a topic, sends a thousand payments a second to it, and shows how soon one more changes what a lookup says. At the
end it deletes the topic; with --data the topic stays, as the directory does.`,
		FlagSet: fs,
		Exec: func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("demo takes no argument %q; see tilehouse demo -h", args[0])
			}
			return c.run(ctx, os.Stdout)
		},
	}
}

// run starts the server, runs the script against it and, unless told to exit, serves until ctx ends.
func (c *demoConfig) run(ctx context.Context, out io.Writer) (err error) {
	dir := c.data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "tilehouse-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	files := filepath.Join(dir, "demo")
	if err := putFlights(files); err != nil {
		return err
	}
	script := func(ctx context.Context, client *demoClient) error { return client.script(ctx, sql.Demo) }
	if c.brokers != "" {
		bus, err := openPayments(ctx, c.brokers, c.data != "")
		if err != nil {
			return err
		}
		defer bus.close()
		script = bus.script
	}
	r, err := start(ctx, &serveConfig{data: dir, listen: c.listen, fileRoots: list{files}, logLevel: "warn"})
	if err != nil {
		return err
	}
	serve, stop := context.WithCancel(ctx)
	defer stop()
	fmt.Fprintf(out, "tilehouse is ready on %s (data %s, %s, %d ms)\n", r.addr(), dir, r.access, r.took.Milliseconds())
	scriptErr := runScript(ctx, out, r.addr(), script)
	interrupted := ctx.Err() != nil
	switch {
	case scriptErr != nil || c.exit:
		stop()
	case !interrupted:
		host, port, _ := net.SplitHostPort(r.addr())
		fmt.Fprintf(out, "\nGo on with\n\n  psql -h %s -p %s -U %s\n\n", host, port, engine.DefaultRole)
		if c.data == "" {
			fmt.Fprintln(out, "Ctrl-C ends the server and removes its directory; --data DIR keeps one.")
		} else {
			fmt.Fprintln(out, "Ctrl-C ends the server.")
		}
	}
	err = r.wait(serve)
	if interrupted { // the statement that Ctrl-C cut short has failed, and that is no failure of the demo
		return err
	}
	return errors.Join(scriptErr, err)
}

// putFlights writes the shipped rows below dir unless they are there: a source knows a file by its path, size and time, so a
// file written anew would be read anew.
func putFlights(dir string) error {
	path := filepath.Join(dir, "flights.parquet")
	if info, err := os.Stat(path); err == nil && info.Size() == int64(len(sql.Flights)) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".flights-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of what a failure below leaves
	_, err = f.Write(sql.Flights)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// demoStep is a statement of the script, with what the comments before it say.
type demoStep struct {
	heading, narration, statement string
}

// demoSteps cuts a script into steps. A comment line without a small letter is a heading.
func demoSteps(script string) ([]demoStep, error) {
	fragments, err := parse.Split(script)
	if err != nil {
		return nil, fmt.Errorf("the demo's script: %w", err)
	}
	var steps []demoStep
	end := 0
	for _, f := range fragments {
		step := demoStep{statement: f.SQL}
		var lines []string
		for line := range strings.Lines(script[end:f.Offset]) {
			text, ok := strings.CutPrefix(strings.TrimSpace(line), "-- ")
			switch {
			case !ok:
			case strings.ToUpper(text) == text:
				step.heading = text
			default:
				lines = append(lines, text)
			}
		}
		step.narration = strings.Join(lines, "\n")
		steps = append(steps, step)
		end = f.Offset + len(f.SQL)
	}
	return steps, nil
}

// demoClient is the demo's connection, and what it prints to.
type demoClient struct {
	out     io.Writer
	conn    *pgx.Conn
	watch   func() (end func() error) // draws the progress of a statement on a terminal
	notices []string                  // of the statement that runs: printed after its bar has gone
}

// runScript has script run the demo's statements on one connection to addr.
func runScript(ctx context.Context, out io.Writer, addr string, script func(context.Context, *demoClient) error) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	cfg, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%s user=%s database=%s sslmode=disable", host, port, engine.DefaultRole, engine.DefaultRole))
	if err != nil {
		return err
	}
	bars := onTerminal(out)
	client := &demoClient{out: out, watch: func() (end func() error) { return func() error { return nil } }}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		text := fmt.Sprintf("  %s: %s\n", n.Severity, n.Message)
		switch {
		case !bars:
			fmt.Fprint(out, text)
		case n.Severity != "INFO": // which is progress, and drawn
			client.notices = append(client.notices, text)
		}
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "28P01" {
		return fmt.Errorf("the data directory has a password: give it as PGPASSWORD (%s)", refused.Message)
	}
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	client.conn = conn
	if bars {
		second, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			return err
		}
		defer second.Close(context.WithoutCancel(ctx))
		client.watch = func() func() error { return watchJobs(ctx, second, out) }
	}
	return script(ctx, client)
}

// script runs the statements of a script and prints them, their results and their times.
func (c *demoClient) script(ctx context.Context, text string) error {
	steps, err := demoSteps(text)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if err := c.step(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (c *demoClient) heading(text string) {
	fmt.Fprintf(c.out, "\n── %s %s\n", text, strings.Repeat("─", 100-utf8.RuneCountInString(text)))
}

func (c *demoClient) step(ctx context.Context, s demoStep) error {
	if s.heading != "" {
		c.heading(s.heading)
	}
	fmt.Fprintln(c.out)
	for line := range strings.Lines(s.narration) {
		fmt.Fprintf(c.out, "  -- %s\n", strings.TrimSuffix(line, "\n"))
	}
	fmt.Fprintf(c.out, "  %s;\n\n", strings.ReplaceAll(s.statement, "\n", "\n  "))
	endWatch := c.watch()
	began := time.Now()
	t, err := query(ctx, c.conn.PgConn(), s.statement)
	took := time.Since(began)
	if e := endWatch(); err == nil {
		err = e
	}
	fmt.Fprint(c.out, strings.Join(c.notices, ""))
	c.notices = nil
	var pe *pgconn.PgError
	if errors.As(err, &pe) && alreadyThere(pe.Code) {
		fmt.Fprintf(c.out, "  already there, nothing to do: %s (%s)  %s\n", pe.Message, pe.Code, milliseconds(took))
		return nil
	}
	if err != nil {
		if pe != nil && pe.Hint != "" {
			err = fmt.Errorf("%w\nHINT: %s", err, pe.Hint)
		}
		return fmt.Errorf("the demo's statement\n\n  %s\n\nfailed: %w", s.statement, err)
	}
	t.print(c.out)
	fmt.Fprintf(c.out, "  %s  %s\n", t.tag, milliseconds(took))
	return nil
}

// alreadyThere reports whether a SQLSTATE says that an earlier run on the same directory did the same.
func alreadyThere(code string) bool {
	return code == "42P07" || code == "42710" || code == "23505" // duplicate table, object, key
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("[%.1f ms]", float64(d.Microseconds())/1000)
}

// demoTable is a result: the texts of its first rows and how many it has.
type demoTable struct {
	names   []string
	numeric []bool
	rows    [][]string
	total   int
	tag     string
}

// query runs one statement by the simple protocol, which answers in text as psql shows it, and reads all of its rows.
func query(ctx context.Context, conn *pgconn.PgConn, statement string) (*demoTable, error) {
	var t demoTable
	results := conn.Exec(ctx, statement)
	for results.NextResult() {
		r := results.ResultReader()
		for _, f := range r.FieldDescriptions() {
			t.names = append(t.names, f.Name)
			switch f.DataTypeOID {
			case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.NumericOID, pgtype.Float4OID, pgtype.Float8OID:
				t.numeric = append(t.numeric, true)
			default:
				t.numeric = append(t.numeric, false)
			}
		}
		for r.NextRow() {
			t.total++
			if len(t.rows) == t.limit() {
				continue
			}
			row := make([]string, len(t.names))
			for i, v := range r.Values() {
				row[i] = string(v)
				if v == nil {
					row[i] = "∅"
				}
			}
			t.rows = append(t.rows, row)
		}
		tag, err := r.Close()
		if err != nil {
			return nil, errors.Join(err, results.Close())
		}
		t.tag = tag.String()
	}
	return &t, results.Close()
}

func (t *demoTable) limit() int {
	if len(t.names) == 1 {
		return demoLines
	}
	return demoRows
}

// print prints the rows in aligned columns, numbers to the right, and how many more there are.
func (t *demoTable) print(out io.Writer) {
	if len(t.names) == 0 {
		return
	}
	lines := append([][]string{t.names}, t.rows...)
	width := make([]int, len(t.names))
	for _, l := range lines {
		for i := range l {
			if r := []rune(l[i]); len(t.names) > 1 && len(r) > demoCell {
				l[i] = string(r[:demoCell-1]) + "…"
			}
			width[i] = max(width[i], utf8.RuneCountInString(l[i]))
		}
	}
	for n, l := range lines {
		var b strings.Builder
		for i, v := range l {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(v))
			if t.numeric[i] {
				v = pad + v
			} else {
				v += pad
			}
			b.WriteString("  " + v)
		}
		fmt.Fprintln(out, strings.TrimRight(b.String(), " "))
		if n == 0 {
			rule := make([]string, len(width))
			for i, w := range width {
				rule[i] = strings.Repeat("─", w)
			}
			fmt.Fprintln(out, "  "+strings.Join(rule, "  "))
		}
	}
	if more := t.total - len(t.rows); more > 0 {
		fmt.Fprintf(out, "  … and %d rows more\n", more)
	}
}
