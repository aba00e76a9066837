package pgfunc

import (
	"fmt"
	"slices"
	"strings"
)

// Page is the list as a page of documentation: each function and operator that queries may call, and what computes it.
func Page() string {
	var b strings.Builder
	b.WriteString(`# Functions and operators

Queries resolve functions, operators and casts by PostgreSQL 15's own catalogs. What stands here is computed as PostgreSQL computes it; what
PostgreSQL has and this page has not is refused with 0A000. Comparisons, integer arithmetic and sums of decimals are DuckDB's, casts between
the types below go by their texts where no other way stands here. Aggregates and window functions of PostgreSQL are there but for the
hypothetical-set ones; aggregates of features have [pages of their own](reference/README.md).

`)
	section := func(title string, keep func(f *Function) bool) {
		var calls []*Function
		for _, f := range list {
			if !strings.HasPrefix(f.Call, "__") && keep(f) {
				calls = append(calls, f)
			}
		}
		slices.SortFunc(calls, func(x, y *Function) int { return strings.Compare(x.Call, y.Call) })
		fmt.Fprintf(&b, "## %s\n\n| call | computed by |\n|---|---|\n", title)
		for _, f := range calls {
			by := "a function of ours"
			if f.SQL != "" {
				by = "`" + strings.ReplaceAll(f.SQL, "|", `\|`) + "`"
			} else if f.Settings {
				by += ", by the session's settings"
			}
			fmt.Fprintf(&b, "| `%s` | %s |\n", strings.ReplaceAll(f.Call, "|", `\|`), by)
		}
		b.WriteString("\n")
	}
	isCast := func(f *Function) bool { return strings.HasPrefix(f.Call, "cast(") }
	isOperator := func(f *Function) bool { return !isCast(f) && strings.Contains(f.Call, " ") }
	section("Functions", func(f *Function) bool { return !isCast(f) && !isOperator(f) })
	section("Operators", isOperator)
	section("Casts", isCast)
	return strings.TrimRight(b.String(), "\n") + "\n"
}
