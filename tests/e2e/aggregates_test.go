package e2e_test

import (
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/sql/reference"
	"github.com/tilehouse/tilehouse/tests/harness"
)

// Every aggregate of the list, by its example and nothing else, is created, looked up, joined and explained, with one value.
func TestEveryAggregateOfTheList(t *testing.T) {
	conn := harness.Start(t, harness.Options{}).Connect(t).PgConn()
	ctx := t.Context()
	text := func(sql string) string {
		t.Helper()
		r, err := conn.Exec(ctx, sql).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if len(r) == 0 {
			return ""
		}
		var lines []string
		for _, row := range r[len(r)-1].Rows {
			if row[len(row)-1] == nil {
				lines = append(lines, "NULL")
			} else {
				lines = append(lines, string(row[len(row)-1]))
			}
		}
		return strings.Join(lines, "\n")
	}
	for _, statement := range strings.SplitAfter(reference.World, ";\n") {
		text(statement)
	}
	for _, d := range functions.Aggregates {
		if d.Implicit {
			continue
		}
		text("CREATE FEATURE x ON customer AS SELECT customer_id, " + d.Example + " FROM purchases GROUP BY customer_id WINDOW 30 DAYS")
		online := text("SELECT x FROM customer WHERE customer_id = 42")
		offline := text("SELECT c.x FROM (VALUES (42::bigint, '2024-06-08 12:00:00Z'::timestamptz)) l(customer_id, t) ASOF JOIN customer c ON c.customer_id = l.customer_id AND l.t > c.ts")
		explained := text("EXPLAIN FEATURE x FOR (42) AT '2024-06-08 12:00:00Z'")
		if online == "NULL" || offline != online || !strings.HasSuffix(explained, "value: "+online) {
			t.Errorf("%s: online %s, offline %s, explained\n%s", d.Example, online, offline, explained)
		}
		if nobody := text("SELECT x FROM customer WHERE customer_id = 4711"); nobody != map[bool]string{true: "0", false: "NULL"}[d.Name == "count" || d.Name == "count_distinct"] {
			t.Errorf("%s of nothing is %s", d.Name, nobody)
		}
		text("DROP FEATURE x")
	}
}
