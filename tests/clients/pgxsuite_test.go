package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// pgxPackages are the packages of pgx whose tests speak with a server; a sample runs those of pgxSample.
var (
	pgxPackages = []string{"pgconn", "pgtype", "pgx", "pgxpool", "stdlib"}
	pgxSample   = []string{"stdlib"}
)

const (
	// pgxShare is how much of what passes on PostgreSQL must pass on Tilehouse, over all packages: a sample does not say.
	pgxShare = 0.85
	// pgxIdle is how long a test binary may be silent before the test it runs counts as failed and is left out.
	pgxIdle = 90 * time.Second
)

// TestPgxSuite runs pgx's own tests, as they are in the module that go.mod names, against PostgreSQL and against Tilehouse.
// What passes on PostgreSQL only stands in testdata/pgxsuite.txt with the feature that is missing; a reason that begins with
// "sometimes: " is of a test that passes or not as others run beside it.
func TestPgxSuite(t *testing.T) {
	packages := pgxPackages
	if !full() {
		packages = pgxSample
	}
	dir := copyModule(t, "github.com/jackc/pgx/v5")
	path := filepath.Join("testdata", "pgxsuite.txt")
	known, found := readKnown(t, path), map[string]deviation{}
	oracle := postgres.Start(t)
	ran := map[string]bool{}
	var passedThere, passedHere, needServer, needServerHere int
	for _, p := range packages {
		t.Run(p, func(t *testing.T) {
			ran[p] = true
			folder := filepath.Join(dir, p)
			if p == "pgx" {
				folder = dir
			}
			binary := filepath.Join(t.TempDir(), p+".test")
			build := exec.Command("go", "test", "-mod=mod", "-c", "-o", binary, ".")
			build.Dir = folder
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			suite := pgxSuite{binary, folder}
			there := suite.run(t, pgxDatabase(t, dsnOf(freshDatabase(t, oracle)), true))
			s := servertest.Start(t, t.TempDir(), servertest.Options{})
			here := suite.run(t, pgxDatabase(t, s.DSN("sslmode=disable"), false))
			without := suite.run(t, nobody(t))
			passed, passedBoth, server, serverBoth := 0, 0, 0, 0
			for _, name := range slices.Sorted(maps.Keys(there)) {
				if there[name].result != "pass" {
					if there[name].result == "fail" {
						t.Errorf("%s fails on PostgreSQL: %s", name, there[name].failure())
					}
					continue
				}
				ok := here[name].result == "pass"
				passed++
				needs := without[name].result != "pass"
				if needs {
					server++
				}
				id := p + " " + name
				if ok {
					passedBoth++
					if needs {
						serverBoth++
					}
					if k, listed := known[id]; listed && !*rewritePrograms && !strings.HasPrefix(k.reason, "sometimes: ") {
						t.Errorf("%s passes; testdata/pgxsuite.txt says: %s", name, k.reason)
					}
					continue
				}
				found[id] = deviation{known[id].reason, []string{here[name].failure()}}
				if _, listed := known[id]; !listed && !*rewritePrograms {
					t.Errorf("%s passes on PostgreSQL only and is not listed in testdata/pgxsuite.txt:\n%s", name, here[name].output.String())
				}
			}
			t.Logf("%s: %d tests pass on PostgreSQL, %d of these on Tilehouse (%.1f %%); of %d that need a server, %d (%.1f %%)", p, passed, passedBoth, percent(passedBoth, passed), server, serverBoth, percent(serverBoth, server))
			passedThere, passedHere, needServer, needServerHere = passedThere+passed, passedHere+passedBoth, needServer+server, needServerHere+serverBoth
		})
	}
	t.Logf("pgx's tests: %d pass on PostgreSQL, %d of these on Tilehouse (%.1f %%); of %d that need a server, %d (%.1f %%)", passedThere, passedHere, percent(passedHere, passedThere), needServer, needServerHere, percent(needServerHere, needServer))
	if full() && float64(passedHere) < pgxShare*float64(passedThere) {
		t.Errorf("less than %.0f %% of what passes on PostgreSQL passes on Tilehouse", 100*pgxShare)
	}
	if *rewritePrograms {
		for id, k := range known { // what did not run stays
			if p, _, _ := strings.Cut(id, " "); !ran[p] {
				found[id] = k
			}
		}
		writeKnown(t, path, pgxHeader, found)
	}
}

const pgxHeader = `Tests of pgx that pass on PostgreSQL 15 and not on Tilehouse, each with the feature that is missing and how it fails.
Written by go test ./tests/clients -run TestPgxSuite -rewrite-programs (with CLIENTS_FULL=1); the reasons are written by hand.
`

func percent(part, whole int) float64 { return 100 * float64(part) / float64(max(whole, 1)) }

func dsnOf(env []string) string {
	return strings.ToLower(strings.ReplaceAll(strings.Join(env, " "), "PG", "")) + " user=tilehouse dbname=tilehouse sslmode=disable"
}

// pgxDatabase makes what pgx's instructions ask of a test database; where that is refused, its tests are to fail.
func pgxDatabase(t *testing.T, dsn string, must bool) string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, q := range []string{"CREATE EXTENSION hstore", "CREATE EXTENSION ltree", "CREATE DOMAIN uint64 AS numeric(20,0)"} {
		if _, err := conn.Exec(ctx, q).ReadAll(); err != nil && must {
			t.Fatalf("%s: %v", q, err)
		}
	}
	return dsn
}

// nobody is a connection string of a port where nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprintf("host=127.0.0.1 port=%d user=tilehouse dbname=tilehouse sslmode=disable", l.Addr().(*net.TCPAddr).Port)
}

// copyModule copies a module of go.mod, which the module cache holds read-only and without vendored dependencies, to where it
// can be tested.
func copyModule(t *testing.T, module string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "module")
	if err := os.CopyFS(dir, os.DirFS(strings.TrimSpace(string(out)))); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(path, map[bool]os.FileMode{true: 0o755, false: 0o644}[d.IsDir()])
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "mod", "download")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		missing(t, "the dependencies of %s's tests cannot be downloaded: %v: %s", module, err, out)
	}
	return dir
}

// A pgxSuite is a test binary and the folder in which it runs.
type pgxSuite struct{ binary, folder string }

type testResult struct {
	result string // pass, fail or skip
	output strings.Builder
}

var failureLine = regexp.MustCompile(`(?i)error|fail|panic|unexpected|expected|want`)

// modulePlace is where the copy of the module stands, in the lines of testify.
var modulePlace = regexp.MustCompile(`\S*/module/`)

// failure is the line of the output that says most.
func (r *testResult) failure() string {
	if r == nil {
		return "did not run"
	}
	best := ""
	for line := range strings.Lines(r.output.String()) {
		line = modulePlace.ReplaceAllString(strings.TrimSpace(line), "")
		if line == "" || strings.HasPrefix(line, "===") || strings.HasPrefix(line, "---") {
			continue
		}
		if strings.Contains(line, "SQLSTATE") {
			return line
		}
		if best == "" || !failureLine.MatchString(best) && failureLine.MatchString(line) {
			best = line
		}
	}
	return best
}

// run runs all tests of the suite with a database. A test that ends the process or hangs has failed; the others are run again
// without it.
func (s pgxSuite) run(t *testing.T, database string) map[string]*testResult {
	t.Helper()
	results := map[string]*testResult{}
	for {
		var done []string
		for name, r := range results {
			if r.result != "" {
				done = append(done, name)
			} else {
				delete(results, name)
			}
		}
		var without []string
		if len(done) > 0 {
			without = append(without, "-test.skip=^("+strings.Join(done, "|")+")$")
		}
		ended, running := follow(t, s.command(database, without...), results)
		if ended {
			return results
		}
		if len(running) == 0 {
			t.Fatalf("%s ended early while no test ran", s.binary)
		}
		for _, name := range running {
			if len(running) > 1 { // which of them it was shows when each runs alone
				delete(results, name)
				follow(t, s.command(database, "-test.run=^"+name+"$"), results)
			}
			if results[name] == nil {
				results[name] = &testResult{}
			}
			if results[name].result == "" {
				results[name].result = "fail"
			}
		}
	}
}

// command runs the suite with a database, and flags.
func (s pgxSuite) command(database string, flags ...string) *exec.Cmd {
	cmd := exec.Command("go", append([]string{"tool", "test2json", s.binary, "-test.v=test2json", "-test.timeout=30m"}, flags...)...)
	cmd.Dir = s.folder
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PG") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "PGX_TEST_DATABASE="+database)
	return cmd
}

// follow runs test2json and collects what it says. It reports whether the tests came to their end and, if not, which ran.
func follow(t *testing.T, cmd *exec.Cmd, results map[string]*testResult) (ended bool, running []string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ended together with what it starts
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(pgxIdle, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	active := map[string]bool{}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	panicked, panickedIn := false, ""
	for lines.Scan() {
		watchdog.Reset(pgxIdle)
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		if !panicked && (strings.HasPrefix(e.Output, "panic:") || strings.HasPrefix(e.Output, "fatal error:")) {
			panicked = true
			panickedIn, _, _ = strings.Cut(e.Test, "/")
		}
		if e.Test == "" {
			continue
		}
		name, _, sub := strings.Cut(e.Test, "/")
		if results[name] == nil {
			results[name] = &testResult{}
		}
		switch {
		case e.Action == "output":
			results[name].output.WriteString(e.Output)
		case sub:
		case e.Action == "run" || e.Action == "cont":
			active[name] = true
		case e.Action == "pause":
			delete(active, name)
		case e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
			results[name].result = e.Action
			delete(active, name)
		}
	}
	stopped := !watchdog.Stop()
	_ = cmd.Wait() // the results say how it ended
	if !stopped && !panicked {
		return true, nil
	}
	if panickedIn != "" {
		return false, []string{panickedIn}
	}
	return false, slices.Collect(maps.Keys(active))
}
