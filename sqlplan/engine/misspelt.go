package engine

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// What was probably meant where a name, an option or the form of a statement of ours is not quite right.

// maxTypos is how many letters a name may differ in from the one that was meant.
const maxTypos = 2

// nearest is the name that was probably meant, "" where none is near. Names that differ only in case and in what is no letter are nearest.
func nearest(name string, among []string) string {
	best, least := "", maxTypos+1
	for _, a := range among {
		d := 0
		if plainLetters(a) != plainLetters(name) {
			d = typos(strings.ToLower(a), strings.ToLower(name))
		}
		if d <= min(maxTypos, 1+len(name)/8) && d < least && a != name {
			best, least = a, d
		}
	}
	return best
}

func plainLetters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// typos is how many letters are added, left out, changed or exchanged with the next one between two words; more than maxTypos for many.
func typos(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x)-len(y) > maxTypos || len(y)-len(x) > maxTypos {
		return maxTypos + 1
	}
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			change := 1
			if x[i-1] == y[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}

// likelyOption refuses an option that is none of those known, where one of them was probably meant and is not given.
func likelyOption(sql, of string, opts parse.Options, known ...string) error {
	for _, name := range slices.Sorted(maps.Keys(opts)) {
		if slices.Contains(known, name) {
			continue
		}
		if meant := nearest(name, known); meant != "" {
			if _, given := opts[meant]; !given {
				return at(hint(fail(codeInvalidParameter, "unknown option %q of %s", name, of), "Did you mean %q?", meant), sql, opts[name].Position)
			}
		}
	}
	return nil
}

var (
	missingObject = regexp.MustCompile(`^(entity or feature view|feature view|entity|feature|source|relation|table) "([^"]+)" does not exist$`)
	missingColumn = regexp.MustCompile(`^column (?:"([^"]+)"|(?:[^".\s]+\.)?([^".\s]+)|(?:[^".\s]+\.)?"([^"]+)")(?: of \w+ "[^"]+")? does not exist$`)
)

// forms are beginnings of statements that are not quite ours, and what is to be written.
var forms = []struct {
	sql  *regexp.Regexp
	hint string
}{
	{regexp.MustCompile(`(?i)^\s*create\s+source\s+\S+\s*\(\s*[\w.]+\s*=`), "Options stand in WITH (…): CREATE SOURCE name WITH (connector = 'file', path = '…', event_time = '…')."},
	{regexp.MustCompile(`(?i)^\s*create\s+event\s+table\b`), "CREATE TABLE name (…, ts timestamptz NOT NULL) WITH (event_time = 'ts') makes an event table."},
	{regexp.MustCompile(`(?i)^\s*create\s+event\s+view\b`), "CREATE VIEW name WITH (event_time = 'ts') AS SELECT … makes an event view."},
	{regexp.MustCompile(`(?i)^\s*create\s+entity\s+\S+\s*\(\s*("[^"]*"|\w+)\s*[,)]`), "Each key has a type: CREATE ENTITY name (key type, …)."},
	{regexp.MustCompile(`(?i)^\s*create\s+view\s.*\swith\s*\(\s*event_time\b`), "WITH stands before AS: CREATE VIEW name WITH (event_time = 'ts') AS SELECT …."},
	{regexp.MustCompile(`(?i)^\s*refresh\s+\w+\s*;?\s*$`), "REFRESH SOURCE name reads its files anew, REFRESH FEATURE name builds it anew."},
	{regexp.MustCompile(`(?i)^\s*show\s+(feature|source|entity|materialization|partial|job)\b`), "SHOW FEATURES, SHOW SOURCES and SHOW ENTITIES list what there is; LIKE 'name' chooses."},
	{regexp.MustCompile(`(?is)\bwindow\s+(interval\s*)?'`), "Without quotes: WINDOW 7 DAYS, 30 DAYS."},
}

// meant gives an error that a slip of the pen explains the hint that says so.
func (s *Session) meant(err *session.Error, sql string) *session.Error {
	cat := s.catalog()
	switch err.Code {
	case "42601":
		if err.Hint != "" || !strings.HasPrefix(err.Message, "syntax error") {
			return err
		}
		for _, f := range forms {
			if f.sql.MatchString(sql) {
				return hint(err, "%s", f.hint)
			}
		}
	case codeUndefinedObject, codeUndefinedTable:
		m := missingObject.FindStringSubmatch(err.Message)
		if m == nil {
			return err
		}
		if near := nearest(m[2], likelyNames(cat, m[1])); near != "" {
			return hint(err, "%s", strings.TrimSpace(fmt.Sprintf("Did you mean %q? %s", near, err.Hint)))
		}
	case codeUndefinedColumn:
		m := missingColumn.FindStringSubmatch(err.Message)
		if m == nil || err.Hint != "" && !strings.HasPrefix(err.Hint, "Candidate bindings") {
			return err
		}
		var columns []string
		lists, entities := "", false
		for _, name := range likelyNames(cat, "relation") {
			if !regexp.MustCompile(`(?i)(^|[^\w"])"?` + regexp.QuoteMeta(name) + `"?($|[^\w"])`).MatchString(sql) {
				continue
			}
			if c := columnsNamed(cat, name); c != nil {
				entities = entities || cat.Entity(name) != nil
				columns = append(columns, c...)
				lists += fmt.Sprintf(" Columns of %s: %s.", name, strings.Join(c, ", "))
			}
		}
		if near := nearest(m[1]+m[2]+m[3], columns); near != "" {
			return hint(err, "Did you mean %s?", quoteName(near))
		}
		if lists != "" && (err.Hint != "" || entities && m[1] != "") { // DuckDB's guesses are replaced
			return hint(err, "%s", strings.TrimSpace(lists))
		}
	}
	return err
}

// likelyNames are the names of the objects that a message about a kind may have meant, relations of rows first.
func likelyNames(cat *schema.Catalog, kind string) []string {
	var rows, entities, features, views []string
	for _, r := range cat.Relations {
		rows = append(rows, r.Name)
	}
	for _, e := range cat.Entities {
		entities = append(entities, e.Name)
	}
	for _, f := range cat.Features {
		features = append(features, f.Name)
	}
	for _, v := range cat.FeatureViews {
		views = append(views, v.Name)
	}
	for _, l := range [][]string{rows, entities, features, views} {
		slices.Sort(l)
	}
	switch kind {
	case "entity":
		return entities
	case "feature":
		return features
	case "feature view":
		return views
	case "source":
		return rows
	case "entity or feature view":
		return append(entities, views...)
	}
	return slices.Concat(rows, entities, views, features)
}

// columnsNamed are the columns of a relation or an entity of a name.
func columnsNamed(cat *schema.Catalog, name string) []string {
	var out []string
	switch o := cat.Lookup(name).(type) {
	case *schema.Relation:
		for _, c := range o.Columns {
			out = append(out, c.Name)
		}
	case *schema.Entity:
		for _, k := range o.Keys {
			out = append(out, k.Name)
		}
		for _, f := range cat.FeaturesOf(o.ID) {
			for _, c := range f.Outputs {
				out = append(out, c.Name)
			}
		}
	}
	return out
}
