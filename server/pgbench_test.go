package server

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// pgbench's prepared protocol runs against the gateway; with -v its rate is shown.
func TestPgbench(t *testing.T) {
	pgbench, err := exec.LookPath("pgbench")
	if err != nil {
		if pgbench = "/usr/lib/postgresql/15/bin/pgbench"; !exists(pgbench) {
			t.Skip("pgbench is not installed")
		}
	}
	_, addr := start(t, &fakeEngine{}, Config{AllowTrust: true})
	host, port, _ := net.SplitHostPort(addr)
	file := filepath.Join(t.TempDir(), "q.sql")
	if err := os.WriteFile(file, []byte("\\set aid random(1, 100000)\nselect abalance from pgbench_accounts where aid = :aid;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, clients := range []string{"2", "8"} {
		out, err := exec.Command(pgbench, "-n", "-M", "prepared", "-f", file, "-c", clients, "-j", "2", "-T", "1", "-h", host, "-p", port, "-U", "me", "db").CombinedOutput()
		if err != nil || !regexp.MustCompile(`number of failed transactions: 0 `).Match(out) {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("%s clients: %s", clients, regexp.MustCompile(`tps = .*`).Find(out))
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
