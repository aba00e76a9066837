package reading

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/tests/harness"
)

// An export that is cancelled, or runs out of time, leaves nothing below the root but its empty stage.
func TestExportCancelled(t *testing.T) {
	root := t.TempDir()
	c := harness.Start(t, harness.Options{Threads: 2, MemoryLimit: 256 << 20, ExportRoot: root}).Connect(t)
	ctx, cancel := context.WithCancel(context.Background())
	seen := make(chan bool, 1)
	go func() { // cancel as soon as the file begins to be written
		for range 2000 {
			if staged, _ := filepath.Glob(filepath.Join(root, ".tilehouse-exports", "*")); len(staged) > 0 {
				seen <- true
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	if _, err := c.Exec(ctx, "COPY (SELECT i, md5(i::text) AS h FROM generate_series(1, 100000000) AS g(i)) TO 'big/set.parquet'"); err == nil {
		t.Fatal("the export ended before it was cancelled")
	}
	if len(seen) == 0 {
		t.Fatal("no file was begun")
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		var left []string
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				left = append(left, strings.TrimPrefix(path, root))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("files are left: %v", left)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A server that was killed while it wrote leaves a staged file, which the next one removes.
func TestExportStageIsEmptied(t *testing.T) {
	root := t.TempDir()
	stage := filepath.Join(root, ".tilehouse-exports")
	if err := os.MkdirAll(stage, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stage, "half"), []byte("PAR1"), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Start(t, harness.Options{Threads: 1, MemoryLimit: 256 << 20, ExportRoot: root})
	if _, err := os.Stat(filepath.Join(stage, "half")); !os.IsNotExist(err) {
		t.Errorf("the staged file is there: %v", err)
	}
}
