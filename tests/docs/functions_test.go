package docs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
)

// TestFunctions holds the page of functions equal to the list.
func TestFunctions(t *testing.T) {
	path := filepath.Join(root, "docs", "functions.md")
	is, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	compare(t, path, string(is), pgfunc.Page())
}
