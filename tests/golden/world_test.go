package golden

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tilehouse/tilehouse/server"
	"github.com/tilehouse/tilehouse/sqlplan/engine"
	"github.com/tilehouse/tilehouse/storage/duck"
)

const (
	monitor = "the runner's own session" // takes snapshots
	// memoryLimit of an engine, in bytes: scripts are small, and several packages' tests run at a time.
	memoryLimit = 256 << 20
	// statementLimit bounds one command.
	statementLimit = 30 * time.Second
)

// world is a server with what belongs to it: its data directory, its root for files, its clock and the sessions of a script.
type world struct {
	data, root string
	clock      atomic.Int64 // microseconds
	engine     *engine.Engine
	server     *server.Server
	served     chan error
	sessions   map[string]*pgconn.PgConn
	notices    []*pgconn.Notice
	state      string // the last snapshot
}

func newWorld(t *testing.T) *world {
	root, err := filepath.EvalSymlinks(t.TempDir()) // messages name files by their real path
	if err != nil {
		t.Fatal(err)
	}
	w := &world{data: t.TempDir(), root: root}
	w.clock.Store(time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC).UnixMicro())
	w.start(t, true)
	t.Cleanup(func() { w.stop(t) })
	return w
}

func (w *world) start(t *testing.T, roots bool) {
	t.Helper()
	ctx := context.Background()
	cfg := engine.Config{Dir: w.data, MemoryLimit: memoryLimit, Threads: 2, NoSettle: true, Clock: func() time.Time { return time.UnixMicro(w.clock.Load()) }}
	if roots {
		cfg.FileRoots = []string{w.root}
		cfg.ExportRoot = w.root
	}
	var err error
	if w.engine, err = engine.Open(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	w.server, err = server.New(w.engine, server.Config{Listen: "127.0.0.1:0", AllowTrust: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.server.Listen(); err != nil {
		t.Fatal(err)
	}
	w.served, w.sessions = make(chan error, 1), map[string]*pgconn.PgConn{}
	go func() { w.served <- w.server.Serve(ctx) }()
	w.state = w.snapshot(t)
}

func (w *world) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), statementLimit)
	defer cancel()
	for _, c := range w.sessions {
		_ = c.Close(ctx) // one whose server has ended it is closed already
	}
	if err := errors.Join(w.server.Shutdown(ctx), <-w.served, w.engine.Close()); err != nil {
		t.Error(err)
	}
}

// session is the connection of that name, opened when it is first asked for. A name @bob is a connection of role bob.
func (w *world) session(t *testing.T, name string) *pgconn.PgConn {
	t.Helper()
	if c := w.sessions[name]; c != nil && !c.IsClosed() {
		return c
	}
	user := "tilehouse"
	if role, ok := strings.CutPrefix(name, "@"); ok {
		user = role
	}
	cfg, err := pgconn.ParseConfig(fmt.Sprintf("postgres://%s@%s/tilehouse?sslmode=disable", user, w.server.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.Severity != "INFO" { // progress, which a slow machine shows and a fast one does not
			w.notices = append(w.notices, n)
		}
	}
	c, err := pgconn.ConnectConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.sessions[name] = c
	return c
}

// query runs a simple query and is its results as text.
func (w *world) query(t *testing.T, session, sql string, sorted, types bool) string {
	t.Helper()
	c := w.session(t, session)
	ctx, cancel := context.WithTimeout(context.Background(), statementLimit)
	defer cancel()
	results := c.Exec(ctx, sql)
	var b strings.Builder
	for results.NextResult() {
		w.printResult(&b, results.ResultReader(), sorted, types)
	}
	w.printEnd(t, &b, sql, results.Close())
	return b.String()
}

// rows are the rows of a query that must work.
func (w *world) rows(t *testing.T, session, sql string) [][]string {
	t.Helper()
	var out [][]string
	all, err := w.session(t, session).Exec(context.Background(), sql).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all[0].Rows {
		row := make([]string, len(r))
		for i, v := range r {
			row[i] = string(v)
		}
		out = append(out, row)
	}
	return out
}

func (w *world) prepare(t *testing.T, session, name, sql string) string {
	t.Helper()
	var b strings.Builder
	d, err := w.session(t, session).Prepare(context.Background(), name, sql, nil)
	if err == nil {
		names := make([]string, len(d.ParamOIDs))
		for i, oid := range d.ParamOIDs {
			names[i] = typeName(oid)
		}
		fmt.Fprintf(&b, "parameters: %s\ncolumns: %s\n", strings.Join(names, ", "), header(d.Fields, true))
	}
	w.printEnd(t, &b, sql, err)
	return b.String()
}

func (w *world) execute(t *testing.T, session, name, args string, sorted bool) string {
	t.Helper()
	var values [][]byte
	for line := range strings.SplitSeq(args, "\n") {
		switch line {
		case "":
		case `\N`:
			values = append(values, nil)
		default:
			values = append(values, []byte(line))
		}
	}
	var b strings.Builder
	ctx, cancel := context.WithTimeout(context.Background(), statementLimit)
	defer cancel()
	r := w.session(t, session).ExecPrepared(ctx, name, values, nil, nil)
	_, err := w.printResult(&b, r, sorted, false)
	w.printEnd(t, &b, "", err)
	return b.String()
}

func (w *world) copyIn(t *testing.T, session, text string) string {
	t.Helper()
	sql, data, _ := strings.Cut(text, "\n")
	ctx, cancel := context.WithTimeout(context.Background(), statementLimit)
	defer cancel()
	var b strings.Builder
	tag, err := w.session(t, session).CopyFrom(ctx, strings.NewReader(data+"\n"), sql)
	if err == nil {
		fmt.Fprintln(&b, tag)
	}
	w.printEnd(t, &b, sql, err)
	return b.String()
}

func (w *world) copyOut(t *testing.T, session, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), statementLimit)
	defer cancel()
	var b strings.Builder
	tag, err := w.session(t, session).CopyTo(ctx, &b, sql)
	if err == nil {
		fmt.Fprintln(&b, tag)
	}
	w.printEnd(t, &b, sql, err)
	return b.String()
}

// printResult prints one result: its columns and rows, or its command tag.
func (w *world) printResult(b *strings.Builder, r *pgconn.ResultReader, sorted, types bool) (pgconn.CommandTag, error) {
	fields := slices.Clone(r.FieldDescriptions())
	var lines []string
	for r.NextRow() {
		var cells []string
		for _, v := range r.Values() {
			if v == nil {
				cells = append(cells, "NULL")
			} else {
				cells = append(cells, string(v))
			}
		}
		lines = append(lines, strings.Join(cells, " | "))
	}
	head := ""
	if len(fields) > 0 {
		head = header(fields, types)
	}
	tag, err := r.Close()
	if err != nil {
		return tag, err
	}
	if len(fields) == 0 {
		fmt.Fprintln(b, tag)
		return tag, nil
	}
	if sorted {
		slices.Sort(lines)
	}
	fmt.Fprintln(b, head)
	for _, l := range lines {
		fmt.Fprintln(b, bytesCount.ReplaceAllString(w.masked(l), "N bytes"))
	}
	fmt.Fprintf(b, "(%d rows)\n", len(lines))
	return tag, nil
}

func header(fields []pgconn.FieldDescription, types bool) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		if names[i] = f.Name; types {
			names[i] += " " + typeName(f.DataTypeOID)
		}
	}
	return strings.Join(names, " | ")
}

func typeName(oid uint32) string {
	if t, ok := pgtype.NewMap().TypeForOID(oid); ok {
		return t.Name
	}
	return fmt.Sprint(oid)
}

// masked hides the root's path, which differs from run to run.
func (w *world) masked(s string) string { return strings.ReplaceAll(s, w.root, "$ROOT") }

// bytesCount is the size of something stored, which is not what a script is about.
var bytesCount = regexp.MustCompile(`\b\d+ bytes`)

// printEnd prints the notices since the last end, and the error that ended a command.
func (w *world) printEnd(t *testing.T, b *strings.Builder, sql string, err error) {
	t.Helper()
	for _, n := range w.notices {
		fmt.Fprintf(b, "%s %s: %s\n", n.Severity, n.Code, w.masked(n.Message))
		printRest(b, w, "", (*pgconn.PgError)(n))
	}
	w.notices = nil
	var e *pgconn.PgError
	switch {
	case err == nil:
	case errors.As(err, &e):
		fmt.Fprintf(b, "%s %s: %s\n", e.Severity, e.Code, w.masked(e.Message))
		printRest(b, w, sql, e)
	default:
		t.Fatalf("%s: %v", sql, err)
	}
}

func printRest(b *strings.Builder, w *world, sql string, e *pgconn.PgError) {
	if e.Position > 0 && sql != "" {
		line, caret := place(sql, int(e.Position))
		fmt.Fprintf(b, "%s\n%s\n", line, caret)
	}
	for _, f := range []struct{ name, text string }{{"DETAIL", e.Detail}, {"HINT", e.Hint}, {"WHERE", e.Where}, {"TABLE", e.TableName}, {"COLUMN", e.ColumnName}, {"CONSTRAINT", e.ConstraintName}} {
		if f.text != "" {
			fmt.Fprintf(b, "%s: %s\n", f.name, w.masked(f.text))
		}
	}
}

// place is the line of sql that holds character position (from 1), and a caret under it.
func place(sql string, position int) (line, caret string) {
	rest := []rune(sql)
	number := 1
	for at := position - 1; ; number++ {
		end := slices.Index(rest, '\n')
		if end < 0 || at <= end {
			if end < 0 {
				end = len(rest)
			}
			prefix := fmt.Sprintf("LINE %d: ", number)
			return prefix + string(rest[:end]), strings.Repeat(" ", len(prefix)+min(at, len(rest))) + "^"
		}
		rest, at = rest[end+1:], at-end-1
	}
}

// parquet writes the rows of a SELECT to a file.
func (w *world) parquet(path, sql string) error {
	db, err := duck.Open("", duck.Options{Threads: 1, Init: []string{fmt.Sprintf("COPY (%s) TO %s (FORMAT parquet)", sql, duck.QuoteLiteral(path))}})
	if err != nil {
		return err
	}
	return db.Close()
}
