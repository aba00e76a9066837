package reference

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/tilehouse/tilehouse/functions"
)

// Lookup is the page of a statement or an aggregate, in any case and without what its examples print; false: there is none.
func Lookup(topic string) (page string, ok bool, err error) {
	if s, found := Find(topic); found {
		page, err = s.Page(nil)
		return page, true, err
	}
	for _, d := range aggregates() {
		if strings.EqualFold(d.Name, topic) {
			page, err = AggregatePage(d, nil)
			return page, true, err
		}
	}
	return "", false, nil
}

// aggregates are those that SQL may call, by name.
func aggregates() []*functions.Definition {
	var out []*functions.Definition
	for _, d := range functions.Aggregates {
		if !d.Implicit {
			out = append(out, d)
		}
	}
	return out
}

// Topics lists the pages there are, a line each, for a terminal.
func Topics() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "Statements and clauses")
	for _, s := range Statements {
		fmt.Fprintf(w, "  %s\t%s\n", s.Name, s.Purpose)
	}
	fmt.Fprintln(w, "\nAggregates, each with FILTER (WHERE …)")
	for _, d := range aggregates() {
		fmt.Fprintf(w, "  %s\t%s\n", d.Name, d.Help)
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}

// AggregateTable is the table of the README: the names of all aggregates, by family.
func AggregateTable() string {
	var b strings.Builder
	b.WriteString("| | |\n|---|---|\n")
	for _, f := range functions.Families {
		var names []string
		for _, d := range aggregates() {
			if d.Family == f {
				names = append(names, fmt.Sprintf("[`%s`](docs/reference/%s)", d.Name, File(d.Name)))
			}
		}
		fmt.Fprintf(&b, "| %s | %s |\n", f, strings.Join(names, ", "))
	}
	return b.String()
}

// Index is the Markdown page that lists all others.
func Index() string {
	var b strings.Builder
	b.WriteString("# Reference\n\n`tilehouse help` prints these pages, too. Every example is run by a test, and shows what it printed.\n\n## Statements and clauses\n\n| | |\n|---|---|\n")
	for _, s := range Statements {
		fmt.Fprintf(&b, "| [%s](%s) | %s |\n", s.Name, File(s.Name), s.Purpose)
	}
	b.WriteString("\n## Aggregates\n\nAll take `FILTER (WHERE condition)`; arguments are any scalar expression.\n\n| | |\n|---|---|\n")
	for _, d := range aggregates() {
		fmt.Fprintf(&b, "| [%s](%s) | %s |\n", d.Name, File(d.Name), d.Help)
	}
	return b.String()
}

// AggregatePage is the Markdown page of an aggregate. With run, its example is shown with what it prints; nil: without.
func AggregatePage(d *functions.Definition, run Run) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s.\n\n```\n%s\n```\n\n| | |\n|---|---|\n", d.Name, strings.ToUpper(d.Help[:1])+d.Help[1:], strings.Join(d.Calls, "\n"))
	row := func(what, text string) { fmt.Fprintf(&b, "| %s | %s |\n", what, text) }
	row("arguments", d.Arguments)
	for _, p := range d.Parameters {
		row(p.Name, p.Help)
	}
	row("result", d.Result)
	row("NULLs", d.NullRule)
	row("error", d.ErrorBound)
	inverse := "no: a sliding window keeps two stacks of states"
	if d.Inverse {
		inverse = "yes: a sliding window takes rows away"
	}
	row("inverse", inverse)
	if d.Ordered {
		row("order", "by event time, then primary key, then the value")
	}
	name := d.Name + "_30d"
	err := examples(&b, []Example{{Text: "Over the purchases of the last 30 days:", SQL: []string{
		"CREATE FEATURE " + name + " ON customer AS\nSELECT customer_id, " + d.Example + "\nFROM purchases GROUP BY customer_id WINDOW 30 DAYS",
		"SELECT customer_id, " + name + " FROM customer WHERE customer_id IN (42, 43, 44) ORDER BY customer_id",
	}}}, run)
	return b.String(), err
}
