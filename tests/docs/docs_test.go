package docs

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tilehouse/tilehouse/sql"
	"github.com/tilehouse/tilehouse/sql/reference"
	"github.com/tilehouse/tilehouse/tests/harness"
)

var rewrite = flag.Bool("rewrite", false, "write transcripts and the reference anew; read the difference before you commit it")

// root is the project's directory.
const root = "../.."

// limit bounds a document's run.
const limit = 3 * time.Minute

// start starts a server whose file root holds the demo's flights, and connects.
func start(t *testing.T) *session {
	t.Helper()
	files, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(files, "flights.parquet"), sql.Flights, 0o644); err != nil {
		t.Fatal(err)
	}
	srv := harness.Start(t, harness.Options{FileRoots: []string{files}, Threads: 2, NoSettle: true})
	s, err := connect(context.Background(), srv.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close(context.Background()) }) // the server that stopped has closed it
	return s
}

// TestDocuments runs README.md and every document of docs/ but the reference, which has a test of its own.
func TestDocuments(t *testing.T) {
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(documents, filepath.Join(root, "README.md")) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := start(t).run(ctx, withTable(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, path, string(text), got)
		})
	}
}

// withTable is a document with the table of aggregates, where it has its marks, written anew from the list.
func withTable(text string) string {
	const from, to = "<!-- aggregates -->\n", "<!-- end of aggregates -->"
	before, rest, _ := strings.Cut(text, from)
	_, after, marked := strings.Cut(rest, to)
	if !marked {
		return text
	}
	return before + from + reference.AggregateTable() + to + after
}

// compare holds a file equal to what it should be, or writes it.
func compare(t *testing.T, path, is, should string) {
	t.Helper()
	if is == should {
		return
	}
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(should), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s is not what the server says; go test ./tests/docs -rewrite\n%s", filepath.Base(path),
		cmp.Diff(strings.Split(is, "\n"), strings.Split(should, "\n")))
}
