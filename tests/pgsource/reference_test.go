package pgsource

import (
	"net/url"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/sql/reference"
	"github.com/tilehouse/tilehouse/tests/harness"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// The examples of the reference run as they stand, but for the port.
func TestReferenceExamples(t *testing.T) {
	pg := postgres.StartServer(t, postgres.Options{Logical: true})
	exec(t, dial(t, pg.DSN), "CREATE TABLE people (customer_id bigint PRIMARY KEY, tier text)", "INSERT INTO people VALUES (42, 'gold')", "CREATE VIEW totals AS SELECT customer_id, 1.5::numeric(12,2) AS spent FROM people")
	t.Setenv("APP_PASSWORD", "x")
	u, err := url.Parse(pg.DSN)
	if err != nil {
		t.Fatal(err)
	}
	conn := harness.Start(t, harness.Options{}).Connect(t)
	exec(t, conn, "CREATE ENTITY customer (customer_id bigint)")
	st, ok := reference.Find("CREATE SOURCE postgres")
	if !ok {
		t.Fatal("the reference does not have the page")
	}
	for _, e := range st.Examples {
		for _, sql := range e.SQL {
			exec(t, conn, strings.ReplaceAll(sql, "5432", u.Port()))
		}
	}
	eventually(t, conn, "SELECT tier FROM customer WHERE customer_id = 42", "gold")
	eventually(t, conn, "SELECT spent FROM totals", "1.50")
}
