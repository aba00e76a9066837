package reading

import (
	"math/big"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// leastDefined is how many of the expressions a definition takes, at least: fewer would be a loss.
const leastDefined = 200

// An expression of a definition has PostgreSQL's value or is refused: in an event view, from which features take the same expressions, and
// in a feature view. Numbers without a precision, which are decimals or double there, are equal but for their last digits.
func TestExpressionsOfDefinitions(t *testing.T) {
	expressions, peer, ours := expressionsAndPeers(t)
	must := func(c *pgconn.PgConn, sql string) {
		if got := simple(c, sql); got != "" {
			t.Fatalf("%s: %s", sql, got)
		}
	}
	for _, c := range []*pgconn.PgConn{ours, peer} {
		must(c, "SET TimeZone = 'UTC'")
		must(c, "CREATE TABLE rows "+valuesTable)
		must(c, "INSERT INTO rows VALUES "+valuesRows)
	}
	must(ours, "CREATE TABLE happened "+valuesTable+" WITH (event_time = 'ts', future_bound = '36500 days')")
	must(ours, "INSERT INTO happened VALUES "+valuesRows)
	must(ours, "CREATE ENTITY e (k int)")
	must(ours, "CREATE FEATURE events_n ON e AS SELECT k, count(*) FROM happened GROUP BY k WINDOW LIFETIME")
	// The time of an entity's row has the name of the event time.
	request := "a int, b int, c smallint, g bigint, d double precision, f real, s text, n numeric(6,2), tz timestamptz, bo boolean, da date, tm timestamp, j jsonb"
	var bound []string
	for _, column := range strings.Split(request, ", ") {
		name, _, _ := strings.Cut(column, " ")
		bound = append(bound, "x."+name+" = t."+strings.Replace(name, "tz", "ts", 1))
	}
	on := strings.Join(bound, " AND ")
	eventTime := regexp.MustCompile(`\bts\b`)
	taken := map[string]int{}
	for _, e := range expressions {
		if e == "j::text" { // jsonb of event tables is json, which is the text that was written (README, Limits)
			continue
		}
		if got := simple(ours, "CREATE VIEW made WITH (event_time = 'ts') AS SELECT id, ts, ("+e+") AS v FROM happened"); got == "" {
			taken["event views"]++
			for _, row := range []string{"1", "2", "3", "4"} {
				compareDefined(t, peer, ours, e, row, "SELECT v FROM made WHERE id = "+row)
			}
			must(ours, "DROP VIEW made")
		}
		if got := simple(ours, "CREATE FEATURE VIEW made AS SELECT c.events_n, ("+eventTime.ReplaceAllString(e, "tz")+") AS v FROM e c, request() AS r("+request+")"); got == "" {
			taken["feature views"]++
			for _, row := range []string{"1", "2", "3", "4"} {
				compareDefined(t, peer, ours, e, row, "SELECT x.v FROM rows t ASOF JOIN made x ON x.k = t.k AND "+on+" AND t.ts > x.ts WHERE t.id = "+row)
			}
			must(ours, "DROP FEATURE VIEW made")
		}
	}
	t.Logf("%d of the expressions were taken by event views, %d by feature views", taken["event views"], taken["feature views"])
	for what, n := range taken {
		if n < leastDefined {
			t.Errorf("%s take %d of the expressions", what, n)
		}
	}
}

// compareDefined compares what sql gives with PostgreSQL's value of an expression. A row that PostgreSQL refuses is refused.
func compareDefined(t *testing.T, peer, ours *pgconn.PgConn, e, row, sql string) {
	t.Helper()
	want, got := simple(peer, "SELECT "+e+" FROM rows WHERE id = "+row), simple(ours, sql)
	if want == got || sqlState.MatchString(got) && (sqlState.MatchString(want) || got == "22003") { // which decimals end before numerics do
		return
	}
	w, ok := new(big.Rat).SetString(strings.TrimSuffix(want, "|"))
	g, ok2 := new(big.Rat).SetString(strings.TrimSuffix(got, "|"))
	if ok && ok2 && simple(peer, "SELECT pg_typeof("+e+") FROM rows WHERE id = "+row) == "numeric|" {
		if d := new(big.Rat).Sub(w, g); d.Abs(d).Cmp(new(big.Rat).Mul(new(big.Rat).Abs(w), big.NewRat(1, 1e14))) <= 0 {
			return
		}
	}
	t.Errorf("%s of row %s by %s: %s, PostgreSQL has %s", e, row, sql[:min(len(sql), 40)], got, want)
}

// sqlState is what simple gives where a statement is refused.
var sqlState = regexp.MustCompile(`^[0-9A-Z]{5}$`)
