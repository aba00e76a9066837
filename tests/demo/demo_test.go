package demo_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	// The binary is built from these. They are imported so that go test takes no result from its cache after they changed.
	_ "github.com/tilehouse/tilehouse/server"
	_ "github.com/tilehouse/tilehouse/sql"
	_ "github.com/tilehouse/tilehouse/sqlplan/engine"
)

// limit bounds a run of the demo, which takes some seconds.
const limit = 3 * time.Minute

// bin is the binary under test.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tilehouse-bin-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		bin = filepath.Join(dir, "tilehouse")
		files, err := filepath.Glob("../../cmd/tilehouse/*.go") // a command cannot be imported; files that were looked at count as well
		if err != nil || len(files) == 0 {
			panic(fmt.Sprint("no sources of the command: ", err))
		}
		for _, f := range files {
			if _, err := os.Stat(f); err != nil {
				panic(err)
			}
		}
		if out, err := exec.Command("go", "build", "-o", bin, "github.com/tilehouse/tilehouse/cmd/tilehouse").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// times are what differs from run to run: times, and the lines of progress that slow machines see.
var times = regexp.MustCompile(`(?m)^  INFO: .*\n|\[\d+\.\d ms\]|, \d+ ms\)|127\.0\.0\.1:\d+|Execution Time: .*`)

// run runs the demo to its end and returns what it printed, without times.
func run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, append([]string{"demo"}, args...)...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil || problems.Len() > 0 {
		t.Fatalf("tilehouse demo %s: %v\n%s\n%s", strings.Join(args, " "), err, &problems, &out)
	}
	return times.ReplaceAllStringFunc(out.String(), func(s string) string {
		if strings.HasSuffix(s, "\n") {
			return ""
		}
		return "…"
	})
}

// TestDemo runs the demo on a fresh directory, on the same one again, and once more to go on with.
func TestDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")

	first := run(t, "--data", dir, "--exit")
	// The numbers are those of plain GROUP BY queries over the file, run by hand with DuckDB.
	for pattern, times := range map[string]int{
		`source "flights": 1 file, 336776 rows`:                                      1,
		`(?m)^  CREATE FEATURE  …$`:                                                  5,
		`(?m)^  avg\("dep_delay"\) +"carrier" +airline, airline_delay_14d$`:          1,
		`(?m)^ +336776 +2014-01-01 04:59:00\+00 +DL +19 +0 +6\.6 +775 +8\.7 `:        1,
		`(?m)^ +336773 +2014-01-01 04:59:00\+00 +B6 +-3 +12 +15\.3 +1407 +8\.7 +-3 `: 1,
		`(?m)^ +336776 +t +0 +`:                                                      1,
		`(?m)^  SELECT 336776  …$`:                                                   3,
		`(?m)^ +value: 28\.1742489270386266$`:                                        1,
		`(?m)^  UA +28 +1\.8928571428571429 +325 +1485$`:                             1,
		`(?m)^  DL +20 +4\.1000000000000000 +231 +1101$`:                             1,
		`(?m)^  B6 +26 +7\.4615384615384615 +355 +1324$`:                             1,
		`(?m)^  INSERT 0 6464  …$`:                                                   1,
		`(?m)^ +53 +1\.8867924528301887 +-7 +2209$`:                                  2, // before the insert, and after the delete
		`(?m)^ +54 +3\.6111111111111111 +95 +2210$`:                                  1,
		`(?m)^ +336773 +2014-01-01 04:59:00\+00 +B6 +358 +292$`:                      1,
		`(?m)^ +336776 +2014-01-01 04:59:00\+00 +DL +275 +205$`:                      1,
		`already there`: 0,
		`psql`:          0,
	} {
		if n := len(regexp.MustCompile(pattern).FindAllString(first, -1)); n != times {
			t.Errorf("%q stands %d times in the first run, not %d", pattern, n, times)
		}
	}
	if t.Failed() {
		t.Logf("it printed\n%s", first)
	}

	// A second run finds what the first one made: it builds nothing, says so, and shows the same values.
	second := run(t, "--data", dir, "--exit")
	if n := strings.Count(second, "already there, nothing to do"); n != 12 {
		t.Errorf("%d statements of the second run found their objects, not 12\n%s", n, second)
	}
	made := regexp.MustCompile(`(?m)^  (already there.*|NOTICE: source.*|CREATE [A-Z]+  …|INSERT 0 6464  …)\n`)
	if a, b := made.ReplaceAllString(first, ""), made.ReplaceAllString(second, ""); a != b {
		t.Errorf("the second run shows\n%s\nafter the first showed\n%s", b, a)
	}

	goOn(t, dir)
}

// goOn runs the demo without --exit, connects with what its psql line says, and interrupts it.
func goOn(t *testing.T, dir string) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "demo", "--data", dir)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`psql -h (\S+) -p (\d+) -U (\S+)`)
	var found []string
	scan := bufio.NewScanner(stdout)
	for scan.Scan() {
		if found = line.FindStringSubmatch(scan.Text()); found != nil {
			break
		}
	}
	if found == nil {
		t.Fatalf("the demo printed no psql line: %v, %v", scan.Err(), cmd.Wait())
	}
	conn, err := pgx.Connect(ctx, "sslmode=disable host="+found[1]+" port="+found[2]+" user="+found[3]+" database="+found[3])
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	if _, err := conn.Exec(ctx, "SET tilehouse.read_time = '2013-07-01 12:00Z'"); err != nil {
		t.Error(err)
	}
	if err := conn.QueryRow(ctx, "SELECT airline_n_2h FROM carrier WHERE carrier = $1", "UA").Scan(&n); err != nil || n != 28 {
		t.Errorf("UA's departures in the two hours before noon: %d, %v; 28 expected", n, err)
	}
	if err := conn.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for scan.Scan() { // the pipe is read to its end before Wait closes it
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended after an interrupt with %v", err)
	}
}

// TestInterrupt interrupts a demo without --data in the middle of its statements: it ends well and leaves nothing behind.
func TestInterrupt(t *testing.T) {
	tmp := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "demo")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scan := bufio.NewScanner(stdout)
	for interrupted := false; scan.Scan(); {
		if !interrupted && strings.Contains(scan.Text(), "CREATE FEATURE") { // printed before it is sent
			interrupted = true
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(scan.Text(), "SELECT 336776") {
			t.Error("the demo went on after an interrupt")
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended after an interrupt with %v", err)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("the demo left %v, %v", left, err)
	}
}

// TestArguments checks that what the demo does not understand is refused before anything starts.
func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"demo", "now"}, {"demo", "--exit", "--listen", "nowhere"}, {"demo", "--speed", "high"}} {
		out, err := exec.Command(bin, args...).CombinedOutput()
		if err == nil || len(out) == 0 {
			t.Errorf("tilehouse %s: %v, %q", strings.Join(args, " "), err, out)
		}
	}
}
