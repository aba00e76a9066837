// Package reference is the list of Tilehouse's statements, with what a page about each says: what `tilehouse help` prints and
// what docs/reference is generated from. Statements that are PostgreSQL's as they stand are not in it.
//
//	Statements ──Page──► docs/reference/create_feature.md, with what the examples print
//	functions.Aggregates ──AggregatePage──► docs/reference/count.md
//
// tests/docs runs every example, holds the pages equal to the lists, and the options to those that the server takes.
package reference

import (
	_ "embed" // for World
	"fmt"
	"strings"
)

// Statement is a page about one statement, or about one clause of SELECT.
type Statement struct {
	Name     string // as it is looked up: CREATE FEATURE
	Purpose  string // one line, without a full stop at its end
	Synopsis string // its grammar: lines, [optional], {one | of}, names in small letters
	Text     string // paragraphs of Markdown about what it means
	Options  []Option
	Examples []Example
	See      []string // names of other statements
	// Outside, where it is not "", names what the examples need and the world does not have. They are then shown without what they
	// print; a test beside that thing runs them.
	Outside string
}

// Option is one of WITH (…).
type Option struct {
	Name    string
	Value   string // its type, in words
	Default string // "" where there is none
	Help    string
}

// Example is a list of statements that run one after the other in the world of World and what went before on the page.
type Example struct {
	Text string // what it shows
	SQL  []string
}

// World is the script that every page's examples run in: an event table, plain tables, entities and a feature. The clock of
// its lookups stands at 2024-06-08 12:00 UTC.
//
//go:embed world.sql
var World string

// Run executes a statement of an example and is what psql prints for it.
type Run func(sql string) (string, error)

// Find is the statement of a name, in any case.
func Find(name string) (*Statement, bool) {
	for i := range Statements {
		if strings.EqualFold(Statements[i].Name, name) {
			return &Statements[i], true
		}
	}
	return nil, false
}

// File is the name of the page of a statement or an aggregate.
func File(name string) string {
	return strings.ToLower(strings.NewReplacer(" ", "_", "(", "", ")", "").Replace(name)) + ".md"
}

// Page is the Markdown page of a statement. With run, examples are shown with what they print; nil: without.
func (s *Statement) Page(run Run) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s.\n\n```\n%s\n```\n", s.Name, s.Purpose, strings.TrimSpace(s.Synopsis))
	if s.Text != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(s.Text))
	}
	if len(s.Options) > 0 {
		b.WriteString("\n| option | value | default | |\n|---|---|---|---|\n")
		for _, o := range s.Options {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", o.Name, o.Value, o.Default, o.Help)
		}
	}
	if s.Outside != "" {
		run = nil
	}
	if err := examples(&b, s.Examples, run); err != nil {
		return "", fmt.Errorf("%s: %w", s.Name, err)
	}
	if len(s.See) > 0 {
		links := make([]string, len(s.See))
		for i, name := range s.See {
			links[i] = fmt.Sprintf("[%s](%s)", name, File(name))
		}
		fmt.Fprintf(&b, "\nSee also %s.\n", strings.Join(links, ", "))
	}
	return b.String(), nil
}

// examples appends a section of examples.
func examples(b *strings.Builder, list []Example, run Run) error {
	for i, e := range list {
		if i == 0 {
			b.WriteString("\n## Examples\n")
		}
		fmt.Fprintf(b, "\n%s\n\n```\n", e.Text)
		for _, statement := range e.SQL {
			statement = strings.TrimSpace(statement)
			b.WriteString("=> " + strings.ReplaceAll(statement, "\n", "\n   ") + ";\n")
			if run == nil {
				continue
			}
			shown, err := run(statement)
			if err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
			b.WriteString(shown)
		}
		b.WriteString("```\n")
	}
	return nil
}
