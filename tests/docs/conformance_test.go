package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// evidence is what the last column of docs/conformance.md names, between back quotes: a package and a test function of it, a script, or a
// script and a text that stands in it.
var evidence = regexp.MustCompile("`([a-z0-9_/]+)(?: (?:(Test\\w+)|\"((?:[^\"\\\\]|\\\\.)*)\"))?`")

// TestConformance holds that what docs/conformance.md names is there: a promise whose test was renamed or dropped has nothing that shows it.
func TestConformance(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "conformance.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for i, line := range strings.Split(string(text), "\n") {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) < 3 || strings.HasPrefix(line, "| promise |") {
			continue
		}
		rows++
		promise, state, by := strings.TrimPrefix(cells[0], "| "), cells[1], strings.Join(cells[2:], " | ")
		if word, _, _ := strings.Cut(state, ":"); word != "yes" && word != "part" && word != "refused" {
			t.Errorf("line %d: %q is no state", i+1, state)
		}
		named := evidence.FindAllStringSubmatch(by, -1)
		if len(named) == 0 {
			t.Errorf("line %d: nothing shows %q", i+1, promise)
		}
		if rest := strings.Trim(evidence.ReplaceAllString(by, ""), ", |"); rest != "" {
			t.Errorf("line %d: %q is no test and no script", i+1, rest)
		}
		refusal := false
		for _, n := range named {
			path, test, within := filepath.Join(root, n[1]), n[2], strings.ReplaceAll(n[3], `\"`, `"`)
			refusal = refusal || within != ""
			if test != "" {
				if !hasTest(t, path, test) {
					t.Errorf("line %d: %s has no %s", i+1, n[1], test)
				}
				continue
			}
			script, err := os.ReadFile(path)
			if err != nil {
				t.Errorf("line %d: %v", i+1, err)
			} else if !strings.Contains(string(script), within) {
				t.Errorf("line %d: %s does not have %q", i+1, n[1], within)
			}
		}
		if strings.HasPrefix(state, "refused") && !refusal {
			t.Errorf("line %d: no script has the refusal of %q", i+1, promise)
		}
	}
	if rows < 50 {
		t.Errorf("%d promises were read", rows)
	}
}

// hasTest reports whether a folder's tests have a function.
func hasTest(t *testing.T, folder, name string) bool {
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
