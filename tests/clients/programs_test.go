package clients

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

var rewritePrograms = flag.Bool("rewrite-programs", false, "write testdata/programs.txt anew, keeping its reasons")

// programTimeout is how long a program may run against one server.
const programTimeout = 10 * time.Minute

// A clientProgram is a program of this folder that reads where the server is from libpq's environment variables and prints
// sections: a line "== name", then what it saw.
type clientProgram struct {
	name      string
	ecosystem string   // the folder with its source, and with what it needs below bin/clients
	command   []string // {bin} is bin/clients/ecosystem, {src} tests/clients/ecosystem
	env       []string
}

func python(file string) clientProgram {
	return clientProgram{strings.Trim(file, "_"), "python", []string{"{bin}/bin/python", "{src}/" + file + ".py"}, []string{"PYTHONDONTWRITEBYTECODE=1"}}
}

func node(file string) clientProgram {
	return clientProgram{"node-" + file, "node", []string{"node", "{src}/" + file + ".js"}, []string{"NODE_PATH={bin}/node_modules"}}
}

var clientPrograms = []clientProgram{
	python("psycopg3"), python("psycopg2_"), python("sqlalchemy_"), python("frames"), python("adbc"), python("asyncpg_"),
	node("pg"), node("postgresjs"),
	{"pgjdbc", "java", []string{"java", "-Duser.timezone=UTC", "-Xshare:auto", "-cp", "{bin}/classes:{bin}/lib/*", "Pgjdbc"}, nil},
	{"database-sql", "golang", []string{"{bin}/databasesql"}, nil},
	{"tokio-postgres", "rust", []string{"{bin}/release/rust-clients"}, nil},
	{"dbt", "dbt", []string{"{bin}/bin/python", "{src}/run.py"}, []string{"PYTHONDONTWRITEBYTECODE=1", "DBT_SEND_ANONYMOUS_USAGE_STATS=false"}},
}

// full reports whether programs run in full, as by make clients, not a sample of their sections.
func full() bool { return os.Getenv("CLIENTS_FULL") != "" || os.Getenv("TILEHOUSE_SOAK") != "" }

// missing skips a test that lacks something that make clients-ready brings, and says what.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Skipf(format, args...)
}

// ready is the directory below bin/clients that make clients-ready made for an ecosystem.
func ready(t *testing.T, ecosystem string) string {
	t.Helper()
	bin, err := filepath.Abs(filepath.Join("..", "..", "bin", "clients", ecosystem))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "ready")); err != nil {
		missing(t, "what tests/clients/%s needs is not installed: make clients-ready", ecosystem)
	}
	return bin
}

// TestPrograms runs each program against PostgreSQL, where every section must come through, and against Tilehouse, and
// compares what they print. What differs stands with its reason in testdata/programs.txt.
func TestPrograms(t *testing.T) {
	known := readKnown(t, filepath.Join("testdata", "programs.txt"))
	found := map[string]deviation{}
	oracle := postgres.Start(t)
	ran := map[string]bool{}
	for _, p := range clientPrograms {
		t.Run(p.name, func(t *testing.T) {
			bin := ready(t, p.ecosystem)
			ran[p.name] = true
			if _, err := exec.LookPath(strings.ReplaceAll(p.command[0], "{bin}", bin)); err != nil {
				missing(t, "%v", err)
			}
			src, err := filepath.Abs(p.ecosystem)
			if err != nil {
				t.Fatal(err)
			}
			want := p.run(t, bin, src, freshDatabase(t, oracle))
			s := servertest.Start(t, t.TempDir(), servertest.Options{})
			got := p.run(t, bin, src, []string{"PGHOST=" + s.Host, "PGPORT=" + s.Port})
			for _, name := range want.order {
				for _, line := range want.lines[name] {
					if strings.HasPrefix(line, "error:") {
						t.Errorf("%s on PostgreSQL: %s", name, line)
					}
				}
			}
			equal := 0
			for _, name := range want.order {
				id := p.name + " " + name
				diff := diffLines(want.lines[name], got.lines[name])
				if diff == nil {
					equal++
					if k, ok := known[id]; ok && !*rewritePrograms {
						t.Errorf("%s: the difference that testdata/programs.txt lists is gone: %s", name, k.reason)
					}
					continue
				}
				found[id] = deviation{known[id].reason, diff}
				if k, ok := known[id]; !*rewritePrograms && (!ok || !slices.Equal(k.lines, diff)) {
					t.Errorf("%s differs from PostgreSQL (-) and from what testdata/programs.txt lists:\n%s", name, strings.Join(diff, "\n"))
				}
			}
			t.Logf("%d of %d sections equal PostgreSQL's", equal, len(want.order))
			if t.Failed() && s.Log() != "" {
				t.Logf("the server wrote:\n%s", s.Log())
			}
		})
	}
	if *rewritePrograms {
		for id, k := range known { // what did not run stays
			if p, _, _ := strings.Cut(id, " "); !ran[p] {
				found[id] = k
			}
		}
		writeKnown(t, filepath.Join("testdata", "programs.txt"), knownHeader, found)
	}
}

// freshDatabase makes the database and role that the server under test has, empty, and returns libpq's variables for it.
func freshDatabase(t *testing.T, dsn string) []string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, q := range []string{
		"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tilehouse') THEN CREATE ROLE tilehouse SUPERUSER LOGIN; END IF; END $$",
		"DROP DATABASE IF EXISTS tilehouse WITH (FORCE)", "CREATE DATABASE tilehouse OWNER tilehouse",
	} {
		if _, err := conn.Exec(ctx, q).ReadAll(); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"PGHOST=" + config.Host, fmt.Sprintf("PGPORT=%d", config.Port)}
}

// madeUp are names that drivers make up anew in every run.
var madeUp = regexp.MustCompile(`(prepared statement "|__asyncpg_portal_)\w+(__|")`)

// sections are what a program printed, by section.
type sections struct {
	order []string
	lines map[string][]string
}

func (p clientProgram) run(t *testing.T, bin, src string, server []string) sections {
	t.Helper()
	place := strings.NewReplacer("{bin}", bin, "{src}", src)
	ctx, cancel := context.WithTimeout(context.Background(), programTimeout)
	defer cancel()
	var args []string
	for _, a := range p.command {
		args = append(args, place.Replace(a))
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.WaitDelay = t.TempDir(), time.Second
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PG") && !strings.HasPrefix(v, "CLIENTS_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "PGUSER=tilehouse", "PGDATABASE=tilehouse", "PGSSLMODE=disable", "TZ=UTC")
	cmd.Env = append(cmd.Env, server...)
	for _, e := range p.env {
		cmd.Env = append(cmd.Env, place.Replace(e))
	}
	if !full() {
		cmd.Env = append(cmd.Env, "CLIENTS_SAMPLE=1")
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s with %v: %v\n%s", p.name, server, err, stderr.String())
	}
	got := sections{lines: map[string][]string{}}
	name := ""
	for line := range strings.Lines(string(out)) {
		line = madeUp.ReplaceAllString(strings.TrimRight(line, "\r\n "), "$1…$2")
		if after, ok := strings.CutPrefix(line, "== "); ok {
			name = after
			got.order = append(got.order, name)
			got.lines[name] = []string{}
			continue
		}
		got.lines[name] = append(got.lines[name], line)
	}
	if len(got.order) == 0 {
		t.Errorf("%s printed no section:\n%s%s", p.name, out, stderr.String())
	}
	return got
}

// A deviation is how a section's lines differ from PostgreSQL's ("-" PostgreSQL's, "+" Tilehouse's), and why.
type deviation struct {
	reason string
	lines  []string
}

// readKnown reads the listed differences, by "program section". In a file each begins with "## program section: reason".
func readKnown(t *testing.T, path string) map[string]deviation {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]deviation{}
	id := ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\n")
		if head, ok := strings.CutPrefix(line, "## "); ok {
			var reason string
			if id, reason, ok = strings.Cut(head, ": "); !ok || strings.TrimSpace(reason) == "" || reason == "?" {
				t.Errorf("%s: %q has no reason", path, line)
			}
			known[id] = deviation{reason: reason}
		} else if id != "" && line != "" {
			d := known[id]
			d.lines = append(d.lines, line)
			known[id] = d
		}
	}
	return known
}

const knownHeader = `What the client programs show that differs from PostgreSQL 15, section by section: - PostgreSQL's lines, + Tilehouse's.
Written by go test ./tests/clients -run TestPrograms -rewrite-programs (with CLIENTS_FULL=1); the reasons are written by hand.
`

func writeKnown(t *testing.T, path, header string, found map[string]deviation) {
	t.Helper()
	if !full() {
		t.Fatal("-rewrite-programs needs CLIENTS_FULL=1: a sample does not show all differences")
	}
	var b strings.Builder
	b.WriteString(header)
	for _, id := range slices.Sorted(maps.Keys(found)) {
		d := found[id]
		if d.reason == "" {
			d.reason = "?"
		}
		fmt.Fprintf(&b, "\n## %s: %s\n%s\n", id, d.reason, strings.Join(d.lines, "\n"))
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// diffLines are the lines that differ, in order, by the longest common subsequence; nil for equal ones. Lines after an
// "error:" of the second, which the program did not reach, are left out.
func diffLines(want, got []string) []string {
	if slices.Equal(want, got) {
		return nil
	}
	common := make([][]int, len(want)+1)
	for i := range common {
		common[i] = make([]int, len(got)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(got) - 1; j >= 0; j-- {
			if want[i] == got[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var diff []string
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case i < len(want) && j < len(got) && want[i] == got[j]:
			i, j = i+1, j+1
		case j == len(got) || i < len(want) && common[i+1][j] >= common[i][j+1]:
			diff = append(diff, "- "+want[i])
			i++
		default:
			diff = append(diff, "+ "+got[j])
			j++
		}
	}
	if n := len(got); n > 0 && strings.HasPrefix(got[n-1], "error:") {
		diff = slices.DeleteFunc(diff, func(line string) bool { return strings.HasPrefix(line, "-") })
	}
	return diff
}
