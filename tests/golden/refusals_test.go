package golden

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// leastWrong is how many wrong statements, files and values the scripts must have in all, and leastOfClause of each clause.
const (
	leastWrong    = 400
	leastOfClause = 2
)

// clauses are the statements and clauses of the language, as they are found in a statement's text.
var clauses = map[string]string{
	"CREATE TABLE":            `^create table`,
	"CREATE SOURCE":           `^create source`,
	"CREATE VIEW":             `^create view`,
	"CREATE ENTITY":           `^create entity`,
	"CREATE FEATURE":          `^create (or replace )?feature\b(?! view)`,
	"CREATE FEATURE VIEW":     `^create (or replace )?feature view`,
	"CREATE FUNCTION":         `^create (or replace )?function`,
	"ALTER":                   `^alter`,
	"DROP":                    `^drop`,
	"REFRESH SOURCE":          `^refresh source`,
	"REFRESH FEATURE":         `^refresh feature`,
	"COMMENT ON":              `^comment on`,
	"SHOW":                    `^show`,
	"GRANT":                   `^grant`,
	"EXPLAIN":                 `^explain`,
	"EXPLAIN FEATURE":         `^explain feature`,
	"SET":                     `^set`,
	"BEGIN … COMMIT":          `^(begin|commit|rollback|savepoint)`,
	"INSERT":                  `^insert`,
	"UPDATE":                  `^update`,
	"DELETE":                  `^delete`,
	"COPY … FROM":             `^copy .*from`,
	"COPY … TO":               `^copy .* to `,
	"WINDOW":                  `\bwindow\b`,
	"FOLLOWING":               `\bfollowing\b`,
	"LIFETIME":                `\blifetime\b`,
	"FILTER":                  `\bfilter\b`,
	"unnest":                  `\bunnest\b`,
	"option delay":            `\bdelay\b`,
	"option hop":              `\bhop\b`,
	"option start":            `\bstart\b`,
	"option online":           `\bonline\b`,
	"option max_state":        `\bmax_state\b`,
	"option lateness":         `\blateness\b`,
	"option target_lag":       `\btarget_lag\b`,
	"option valid_from":       `\bvalid_from\b`,
	"option event_time":       `\bevent_time\b`,
	"option future_bound":     `\bfuture_bound\b`,
	"option refresh_every":    `\brefresh_every\b`,
	"option complete_through": `\bcomplete_through\b`,
	"option log_fraction":     `\blog_fraction\b`,
	"WITH NO DATA":            `\bwith no data\b`,
	"ASOF JOIN":               `\basof\b`,
	"MATCH_CONDITION":         `\bmatch_condition\b`,
	"TOLERANCE":               `\btolerance\b`,
	"FOR SYSTEM_TIME":         `\bsystem_time\b`,
	"TABLESAMPLE":             `\btablesample\b`,
	"REPEATABLE":              `\brepeatable\b`,
	"features_at":             `\bfeatures_at\b`,
	"features_for":            `\bfeatures_for\b`,
	"request()":               `\brequest\s*\(`,
	"tilehouse.skew":          `\btilehouse\.skew\b`,
	"schema tilehouse":        `\btilehouse\.`,
}

// Every clause of the language has wrong statements among the scripts.
func TestEveryClauseIsRefused(t *testing.T) {
	count := map[string]int{}
	wrong := map[string]bool{}
	err := filepath.WalkDir("testdata", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, block := range strings.Split(string(b), "\n\n") {
			input, output, found := strings.Cut(block, "\n----\n")
			lines := slices.DeleteFunc(strings.Split(input, "\n"), func(l string) bool { return l == "" || l[0] == '#' })
			statement := strings.Join(lines[min(1, len(lines)):], "\n") // the first line is the script's command
			if !found || statement == "" || !strings.Contains("\n"+output, "\nERROR ") {
				continue
			}
			text := strings.ToLower(strings.TrimSpace(statement))
			if wrong[text] {
				continue
			}
			wrong[text] = true
			for name, pattern := range clauses {
				if matches(pattern, text) {
					count[name]++
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(clauses))
	for name := range clauses {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Logf("%4d  %s", count[name], name)
		if count[name] < leastOfClause {
			t.Errorf("%d wrong statements of %s, want %d", count[name], name, leastOfClause)
		}
	}
	t.Logf("%4d  in all", len(wrong))
	if len(wrong) < leastWrong {
		t.Errorf("%d wrong statements, want %d", len(wrong), leastWrong)
	}
}

// matches knows the one look-ahead that Go's expressions lack.
func matches(pattern, text string) bool {
	pattern, not, ahead := strings.Cut(pattern, "(?!")
	re := regexp.MustCompile(pattern)
	at := re.FindStringIndex(text)
	return at != nil && (!ahead || !strings.HasPrefix(text[at[1]:], strings.TrimSuffix(not, ")")))
}
