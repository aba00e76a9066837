package reading

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/harness"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// valuesTable has rows at the edges of its types.
const valuesTable = `(id int PRIMARY KEY, k int, a int, b int, c smallint, g bigint, d double precision, f real, s text, n numeric(6,2), ts timestamptz NOT NULL,
  bo boolean, da date, tm timestamp, j jsonb, ar int[])`

const valuesRows = `(1,1,5,2,3,9007199254740993,2.5,0.1,'abc',1.05,'2024-06-05 10:00:00Z',true,'2024-02-29','2024-02-29 23:59:59.5','{"a": 1, "b": [1,2]}','{1,2,3}'),
(2,2,-7,2,-3,-5,-0.5,-2.75,'ABD x',-2.5,'2024-06-06 10:00:00Z',false,'0044-03-15 BC','1900-01-01','{"z":null}','{}'),
(3,3,2147483647,-1,32767,9223372036854775807,1e300,1e30,'  x ',9999.99,'1999-12-31 23:59:59.999999Z',NULL,'9999-12-31','2000-01-01',NULL,NULL),
(4,4,0,3,0,0,'NaN','Infinity','',0.00,'2024-12-31 12:00:00Z',true,'2024-01-01','2024-12-30 00:00:00','[]','{NULL,5}')`

// valuesZone is the time zone of the sessions: literals and texts of times follow it.
const valuesZone = "SET TimeZone = 'America/New_York'"

// simple runs statements and gives the last one's rows as text, or its SQLSTATE.
func simple(c *pgconn.PgConn, sql string) string {
	results, err := c.Exec(context.Background(), sql).ReadAll()
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) {
		return refused.Code
	}
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, row := range results[len(results)-1].Rows {
		for _, v := range row {
			if v == nil {
				b.WriteString("NULL|")
			} else {
				b.WriteString(string(v) + "|")
			}
		}
	}
	return b.String()
}

// expressionsAndPeers are the expressions, a line each, a PostgreSQL and a server of ours, which end with the test.
func expressionsAndPeers(t *testing.T) (expressions []string, peer, ours *pgconn.PgConn) {
	t.Helper()
	text, err := os.ReadFile("testdata/expressions")
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	peer, err = pgconn.Connect(ctx, postgres.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close(ctx) })
	ours, err = pgconn.Connect(ctx, harness.Start(t, harness.Options{Threads: 2, MemoryLimit: 512 << 20}).DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(ctx) })
	return strings.Split(strings.TrimSpace(string(text)), "\n"), peer, ours
}

// An expression has PostgreSQL's value, type and errors, whether its statement reads features or not: at the output of an ASOF join, of a
// lookup in a join, on the left side, and as a condition.
func TestExpressionsBesideFeatures(t *testing.T) {
	expressions, peer, ours := expressionsAndPeers(t)
	must := func(c *pgconn.PgConn, sql string) {
		if got := simple(c, sql); got != "" {
			t.Fatalf("%s: %s", sql, got)
		}
	}
	for _, c := range []*pgconn.PgConn{ours, peer} {
		must(c, "CREATE TABLE rows "+valuesTable)
		must(c, "INSERT INTO rows VALUES "+valuesRows)
		must(c, valuesZone)
	}
	must(ours, "CREATE TABLE events (k int, ts timestamptz NOT NULL) WITH (event_time = 'ts')")
	must(ours, "CREATE ENTITY e (k int)")
	must(ours, "CREATE FEATURE events_n ON e AS SELECT k, count(*) FROM events GROUP BY k WINDOW LIFETIME")
	for _, e := range expressions {
		for _, row := range []string{"1", "2", "3", "4"} {
			want := simple(peer, "SELECT "+e+", pg_typeof("+e+") FROM rows t WHERE id = "+row)
			// Of the outputs, the left side, and the cut.
			for _, sql := range []string{
				"SELECT " + e + ", pg_typeof(" + e + ") FROM rows t ASOF JOIN e x ON x.k = t.k AND t.ts > x.ts WHERE t.id = " + row + " AND x.events_n = 0",
				"SELECT " + e + ", pg_typeof(" + e + ") FROM rows t JOIN e x ON x.k = t.k WHERE t.id = " + row + " AND x.events_n = 0",
				"SELECT l.v, pg_typeof(l.v) FROM (SELECT " + e + " AS v, id, ts FROM rows t WHERE id = " + row + ") l ASOF JOIN e x ON x.k = l.id AND l.ts > x.ts WHERE x.events_n = 0",
			} {
				if got := simple(ours, sql); got != want {
					t.Errorf("%s: %s, PostgreSQL has %s", sql, got, want)
				}
			}
		}
	}
	// A cut of a literal is read in the session's zone.
	must(ours, "SET TimeZone = 'UTC'")
	must(ours, "INSERT INTO events VALUES (1, '2024-06-05 11:00:00Z')")
	must(ours, valuesZone)
	for cut, want := range map[string]string{"timestamptz '2024-06-05 07:00'": "0|", "timestamptz '2024-06-05 07:01'": "1|", "timestamptz '2024-06-05 12:00Z'": "1|"} {
		if got := simple(ours, "SELECT x.events_n FROM rows t ASOF JOIN e x ON x.k = t.k AND "+cut+" > x.ts WHERE t.id = 1"); got != want {
			t.Errorf("cut %s: %s, want %s", cut, got, want)
		}
	}
}
