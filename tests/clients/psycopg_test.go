package clients

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

// TestPsycopg runs testdata/psycopg_test.py in a virtual environment of its own, which pip fills from the package index.
func TestPsycopg(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	venv := filepath.Join(t.TempDir(), "venv")
	if out, err := exec.Command(python, "-m", "venv", venv).CombinedOutput(); err != nil {
		t.Skipf("python3 makes no virtual environment: %v: %s", err, out)
	}
	python = filepath.Join(venv, "bin", "python")
	if out, err := exec.Command(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "psycopg[binary]>=3.1,<4").CombinedOutput(); err != nil {
		t.Skipf("psycopg cannot be installed: %v: %s", err, out)
	}
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	out, err := exec.Command(python, "testdata/psycopg_test.py", s.DSN()).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\nThe server wrote:\n%s", err, out, s.Log())
	}
	t.Log(strings.TrimSpace(string(out)))
}
