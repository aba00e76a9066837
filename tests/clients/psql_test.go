package clients

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

// program is the path of one of PostgreSQL's client programs; without it the test is skipped.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = filepath.Join("/usr/lib/postgresql/15/bin", name)
		if _, err := os.Stat(path); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	return path
}

// psql runs a script and returns what it wrote; -X -A -t: no start-up file, unaligned, rows only.
func psql(t *testing.T, s *servertest.Server, script string, flags ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(program(t, "psql"), append([]string{"-X", "-A", "-t", "-q", "-d", s.DSN()}, flags...)...)
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	return strings.TrimRight(string(out), "\n"), err
}

func wantPsql(t *testing.T, s *servertest.Server, script, want string) {
	t.Helper()
	if got, err := psql(t, s, script); err != nil || got != want {
		t.Errorf("%s\n%v:\n%s\nwant:\n%s", script, err, got, want)
	}
}

const eventsTable = "CREATE TABLE ev (id bigint PRIMARY KEY, k bigint NOT NULL, amount numeric(12,2), note text, ts timestamptz NOT NULL) WITH (event_time = 'ts');\n"

func TestPsql(t *testing.T) {
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	wantPsql(t, s, eventsTable+"INSERT INTO ev VALUES (1, 7, 1.5, 'a', '2024-01-01'), (2, 7, NULL, NULL, '2024-01-02');\nSELECT * FROM ev ORDER BY id;",
		"1|7|1.50|a|2024-01-01 00:00:00+00\n2|7|||2024-01-02 00:00:00+00")
	wantPsql(t, s, "\\set k 7\nSELECT count(*) FROM ev WHERE k = :k;\n\\echo :ROW_COUNT\n\\conninfo\n",
		fmt.Sprintf("2\n1\nYou are connected to database \"tilehouse\" as user \"tilehouse\" on host \"%s\" at port \"%s\".", s.Host, s.Port))
	wantPsql(t, s, "SELECT 'SELECT ' || i FROM generate_series(1, 2) AS g(i) \\gexec\n", "1\n2")
	// \copy in and out, in both formats, gives back what went in.
	dir := t.TempDir()
	for _, format := range []string{"text", "csv"} {
		out, again := filepath.Join(dir, "out."+format), filepath.Join(dir, "again."+format)
		script := fmt.Sprintf("\\copy (SELECT * FROM ev ORDER BY id) TO '%s' (FORMAT %s)\nDELETE FROM ev;\n\\copy ev FROM '%s' (FORMAT %s)\n\\copy (SELECT * FROM ev ORDER BY id) TO '%s' (FORMAT %s)\n",
			out, format, out, format, again, format)
		if got, err := psql(t, s, script, "-v", "ON_ERROR_STOP=1"); err != nil {
			t.Fatalf("%v: %s", err, got)
		}
		a, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(again)
		if err != nil || string(a) != string(b) || strings.Count(string(a), "\n") != 2 {
			t.Errorf("%s: %v: %q became %q", format, err, a, b)
		}
	}
	wantPsql(t, s, "COPY ev FROM STDIN;\n3\t8\t2.25\ttab\\there\t2024-01-03 00:00:00+02\n\\.\nCOPY (SELECT note, ts FROM ev WHERE id = 3) TO STDOUT (FORMAT csv, HEADER);\n",
		"note,ts\ntab\there,2024-01-02 22:00:00+00")
	// Errors: SQLSTATE, message, and the exit code of ON_ERROR_STOP.
	got, err := psql(t, s, "\\set VERBOSITY verbose\nINSERT INTO ev (id, nothing) VALUES (1, 2);\n", "-v", "ON_ERROR_STOP=1")
	if code := exitCode(err); code != 3 || !strings.Contains(got, "42703") || !strings.Contains(got, "LINE 1") {
		t.Errorf("exit code %d: %s", code, got)
	}
	got, _ = psql(t, s, "BEGIN;\nINSERT INTO ev VALUES (9, 9, 9, '', '2024-01-01');\nSELECT 1/0;\nCOMMIT;\nSELECT count(*) FROM ev WHERE id = 9;")
	if !strings.Contains(got, "division by zero") || !strings.HasSuffix(got, "\n0") {
		t.Errorf("a failed block was not rolled back: %s", got)
	}
	// A bad line of COPY names its line and leaves no row.
	got, _ = psql(t, s, "COPY ev FROM STDIN;\n20\t1\t1\tx\t2024-01-01\n21\t1\tmany\tx\t2024-01-01\n\\.\nSELECT count(*) FROM ev WHERE id >= 20;")
	if !strings.Contains(got, "line 2") || !strings.HasSuffix(got, "\n0") {
		t.Errorf("a bad line of COPY: %s", got)
	}
}

func exitCode(err error) int {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	return -1
}

var pgbenchFailures = regexp.MustCompile(`number of failed transactions: (\d+) `)

// pgbench inserts events and looks features up, in each of its three protocols, and every insert that it counts is there.
func TestPgbench(t *testing.T) {
	bench := program(t, "pgbench")
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	wantPsql(t, s, eventsTable+"CREATE ENTITY ent (k bigint);\nCREATE FEATURE spend ON ent AS SELECT k, sum(amount) AS total, count(*) AS n FROM ev GROUP BY k WINDOW 7 DAYS, LIFETIME;\n", "")
	dir := t.TempDir()
	write := func(name, sql string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(sql), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// Ids are random over 62 bits: two of a few thousand are as good as never equal.
	insert := write("insert.sql", "\\set id random(1, 4000000000000000000)\n\\set k random(1, 50)\n\\set amount random(1, 1000)\nINSERT INTO ev (id, k, amount, ts) VALUES (:id, :k, :amount, now());\n")
	lookup := write("lookup.sql", "\\set k random(1, 50)\nSELECT spend_total_7d, spend_n_lifetime FROM ent WHERE k = :k;\n")
	inserted := 0
	for _, mode := range []string{"simple", "extended", "prepared"} {
		for name, file := range map[string]string{"insert": insert, "lookup": lookup} {
			const clients, each = 4, 150
			out, err := exec.Command(bench, "-n", "-M", mode, "-f", file, "-c", fmt.Sprint(clients), "-j", "2", "-t", fmt.Sprint(each),
				"-h", s.Host, "-p", s.Port, "-U", "tilehouse", "tilehouse").CombinedOutput()
			if m := pgbenchFailures.FindSubmatch(out); err != nil || m == nil || string(m[1]) != "0" {
				t.Fatalf("%s of %s: %v\n%s\n%s", mode, name, err, out, s.Log())
			}
			if name == "insert" {
				inserted += clients * each
			}
			t.Logf("%s %s: %s", mode, name, regexp.MustCompile(`tps = .*`).Find(out))
		}
	}
	wantPsql(t, s, "SELECT count(*) FROM ev;", fmt.Sprint(inserted))
	got, err := psql(t, s, "SELECT spend_n_lifetime FROM ent WHERE k IN ("+strings.Trim(strings.Join(strings.Fields(fmt.Sprint(numbers(1, 50))), ", "), "[]")+");")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, line := range strings.Fields(got) {
		n := 0
		if _, err := fmt.Sscan(line, &n); err != nil {
			t.Fatal(err)
		}
		total += n
	}
	if total != inserted {
		t.Errorf("lookups count %d events, %d were inserted", total, inserted)
	}
}

func numbers(from, to int) []int {
	var out []int
	for i := from; i <= to; i++ {
		out = append(out, i)
	}
	return out
}
