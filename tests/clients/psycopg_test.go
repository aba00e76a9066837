package clients

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

// TestPsycopg runs testdata/psycopg_test.py: event tables and features with psycopg 3, which PostgreSQL has not.
func TestPsycopg(t *testing.T) {
	python := filepath.Join(ready(t, "python"), "bin", "python")
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	out, err := exec.Command(python, "testdata/psycopg_test.py", s.DSN()).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\nThe server wrote:\n%s", err, out, s.Log())
	}
	t.Log(strings.TrimSpace(string(out)))
}
