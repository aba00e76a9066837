package latest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A feature with nothing but LIFETIME keeps no more rows online than the days that may still change: a lookup reads one state of
// everything before them, whatever the history, and is right at its edges.
func TestOnlineStateStaysSmall(t *testing.T) {
	w := &world{t: t, r: rand.New(rand.NewPCG(1, 1)), versions: map[string][]version{}}
	w.open(t.TempDir())
	for _, sql := range definitions {
		w.exec(sql)
	}
	f := &feature{column: "plan", from: "plans", keyed: true, value: plan}
	add := func(day0, days int) { // three versions a day of customer 1
		var rows []string
		for i := range 3 * days {
			w.nextID++
			p := fmt.Sprint("p", w.nextID)
			v := version{id: w.nextID, customer: 1, plan: &p, since: epoch + int64(day0)*day + int64(i)*8*hour}
			w.versions["plans"] = append(w.versions["plans"], v)
			rows = append(rows, v.literal())
		}
		w.exec("INSERT INTO plans VALUES " + strings.Join(rows, ", "))
	}
	check := func(at int64, lifetime bool) {
		t.Helper()
		out := w.explain(0, 1, at)
		if want := f.at(w.versions["plans"], 1, at, false); !strings.HasSuffix(out, "  value: "+want) {
			t.Errorf("at %s, want %s:\n%s", stamp(at), want, out)
		}
		if strings.Contains(out, "lifetime state") != lifetime || lifetime && strings.Count(out, "\n") > 7 {
			t.Errorf("at %s, lifetime state: %v:\n%s", stamp(at), lifetime, out)
		}
	}
	settle := func() {
		t.Helper()
		if err := w.server.Engine.Settle(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	add(0, 40)
	w.exec(features[0])
	end := epoch + 40*day
	check(end, true)             // built: one state, the days that may change
	check(end-8*hour, true)      // the head day cut: its newest version is not before the cut
	check(end-8*hour+1, true)    //
	check(epoch+20*day+1, false) // below what the online store keeps: the runs have it
	check(epoch, false)
	add(40, 20)
	settle() // published while live
	end = epoch + 60*day
	check(end, true)
	check(end-day, true)
	check(end-30*day, false)
	w.exec(fmt.Sprintf("DELETE FROM plans WHERE since >= '%s'", stamp(end-day))) // the days that were not pruned
	w.versions["plans"] = w.versions["plans"][:len(w.versions["plans"])-3]
	check(end, true)
	w.exec(fmt.Sprintf("DELETE FROM plans WHERE id = %d", w.versions["plans"][0].id)) // of a pruned day: the state cannot take it back
	w.versions["plans"] = w.versions["plans"][1:]
	out := w.explain(0, 1, end)
	if want := f.at(w.versions["plans"], 1, end, false); !strings.HasSuffix(out, "  value: "+want) {
		t.Errorf("after a delete below the horizon, want %s:\n%s", want, out)
	}
	w.exec("DELETE FROM plans WHERE true")
	w.versions["plans"] = nil
	if got := w.rows("SELECT plan FROM customer WHERE customer_id = 1"); got[0][0] != null {
		t.Errorf("a key without versions has %q", got[0][0])
	}
}

// Definitions that mean nothing, and those that would mean something else, are refused with what to write.
func TestRefused(t *testing.T) {
	w := &world{t: t}
	w.open(t.TempDir())
	for _, sql := range definitions {
		w.exec(sql)
	}
	for _, sql := range []string{
		"CREATE TABLE moves (device text, customer_id bigint, place text, ts timestamptz NOT NULL, entered timestamptz) WITH (event_time = 'ts')",
		"CREATE TABLE plain (customer_id bigint, plan text)",
		"CREATE ENTITY device (device text)",
	} {
		w.exec(sql)
	}
	for _, c := range []struct{ sql, code, at, message, hint string }{
		{"CREATE FEATURE f AS SELECT customer_id FROM plans", "42704", "f AS", "no entity has its keys among the outputs (customer_id)", "CREATE ENTITY"},
		{"CREATE FEATURE f ON customer AS SELECT customer_id FROM plans", "42P17", "SELECT", "has no output beside the keys", "SELECT list"},
		{"CREATE FEATURE f ON customer AS SELECT id, plan FROM plans", "42P17", "f ON", `lacks key "customer_id"`, "x AS customer_id"},
		{"CREATE FEATURE f AS SELECT id, plan FROM plans", "42704", "f AS", "(id, plan)", "CREATE ENTITY"},
		{"CREATE FEATURE f AS SELECT device, customer_id, place FROM moves", "42P17", "f AS", "several entities", "CREATE FEATURE f ON customer"},
		{"CREATE FEATURE f ON nowhere AS SELECT customer_id, plan FROM plans", "42704", "nowhere", "does not exist", "CREATE ENTITY nowhere"},
		{"CREATE FEATURE f ON customer AS SELECT customer_id, id AS customer_id, plan FROM plans", "42701", "id AS", "an output twice", ""},
		{"CREATE FEATURE f ON customer AS SELECT customer_id, plan AS a, seats AS a FROM plans", "42701", "f ON", `"f_a"`, ""},
		{"CREATE FEATURE f ON customer AS SELECT plan AS customer_id, seats FROM plans", "42804", "f ON", "is bigint", "CAST"},
		{"CREATE FEATURE f ON customer AS SELECT customer_id, nope FROM plans", "42703", "nope", "nope", "Columns of plans"},
		{"CREATE FEATURE f ON customer AS SELECT customer_id, seats + 1, plan FROM plans", "42P17", "seats + 1", "has no name", "seats + 1 AS name"},
		{"CREATE FEATURE f ON customer AS SELECT customer_id, mode(plan) FROM plans", "42803", "mode", "mode is an aggregate without a partial state", "help"},
		{"CREATE FEATURE f ON customer AS SELECT 1::bigint AS customer_id, mode(plan) AS m FROM plans", "42803", "mode", "mode is an aggregate without a partial state", "help"},
		{"CREATE FEATURE f ON customer AS SELECT customer_id, unnest(string_to_array(plan, ',')) AS m FROM plans", "0A000", "unnest", "set-returning", ""},
		{"CREATE FEATURE f ON customer AS SELECT customer_id, latest(plan) FROM plans", "42883", "latest", "does not exist", ""},
		{"CREATE FEATURE f ON customer AS SELECT customer_id, max(plan) FROM plans", "42803", "max", "needs GROUP BY", ""},
		{"CREATE FEATURE f ON customer AS SELECT customer_id, [1, 2] FROM plans", "42601", "[", "syntax", ""},
		{"CREATE FEATURE f ON customer AS SELECT customer_id, ARRAY[seats] AS a FROM plans", "0A000", "ARRAY", "is not supported", ""},
		{"CREATE FEATURE f ON customer AS SELECT customer_id, plan FROM plain", "42P17", "plain", "no event time", "event_time"},
		{"CREATE FEATURE f ON customer WITH (valid_from = 'entered') AS SELECT customer_id, place FROM moves", "0A000", "'entered'", `must be the event time of relation "moves", which is "ts"`, "CREATE VIEW v WITH (event_time = 'entered')"},
		{"CREATE FEATURE f ON customer WITH (valid_from = 'left') AS SELECT customer_id, place FROM moves", "42703", "'left'", "does not exist in relation", "Columns of moves"},
		{"CREATE FEATURE f ON customer WITH (initial_valid_from = 'snapshot') AS SELECT customer_id, plan FROM plans", "0A000", "'snapshot'", "sources of snapshots", "CREATE VIEW v WITH (event_time = 'since')"},
		{"CREATE FEATURE f ON customer WITH (initial_valid_from = '-infinity') AS SELECT customer_id, plan FROM plans", "0A000", "'-infinity'", "sources of snapshots", "FROM plans;"},
		{"CREATE FEATURE f ON customer WITH (initial_valid_from = 'often') AS SELECT customer_id, plan FROM plans", "22023", "'often'", "must be one of", ""},
		{"CREATE FEATURE f ON customer WITH (hop = '1 hour') AS SELECT customer_id, plan FROM plans", "22023", "hop", `"hop" of CREATE FEATURE of a latest value`, "valid_from"},
		{"CREATE FEATURE f ON customer WITH (valid_from = 'since') AS SELECT customer_id, last(plan) FROM plans GROUP BY customer_id WINDOW LIFETIME", "22023", "valid_from", `unknown option "valid_from"`, ""},
		{"CREATE FEATURE f ON customer AS SELECT customer_id, plan FROM plans WINDOW 7 DAYS", "42P17", "7 DAYS", "no window", "Leave WINDOW out"},
		{"CREATE FEATURE f ON customer AS SELECT customer_id, latest(plan) FROM plans GROUP BY customer_id WINDOW 7 DAYS", "42883", "latest", "cannot be called", "last(x)"},
	} {
		_, err := w.conn.Exec(context.Background(), c.sql, pgx.QueryExecModeSimpleProtocol)
		var pe *pgconn.PgError
		if !errors.As(err, &pe) {
			t.Errorf("%s: %v", c.sql, err)
			continue
		}
		at := "" // from the error's place on
		if p := int(pe.Position); p > 0 && p <= len(c.sql) {
			at = c.sql[p-1:]
		}
		if pe.Code != c.code || !strings.HasPrefix(at, c.at) || !strings.Contains(pe.Message, c.message) || !strings.Contains(pe.Hint, c.hint) {
			t.Errorf("%s:\n%s %s\nhint: %s\nat: %q", c.sql, pe.Code, pe.Message, pe.Hint, at)
		}
	}
	if got := w.rows("SELECT name FROM tilehouse.features"); len(got) != 0 {
		t.Errorf("refused definitions left %v", got)
	}
	// What is right although it looks like the above.
	w.exec("CREATE FEATURE place ON customer AS SELECT customer_id, device, place FROM moves")
	w.exec("CREATE OR REPLACE FEATURE place ON customer WITH (valid_from = 'ts') AS SELECT customer_id, device, place FROM moves")
	if got := w.rows("SELECT * FROM customer WHERE customer_id = 1"); len(got) != 1 || len(got[0]) != 3 {
		t.Errorf("entity with a latest-value feature: %v", got)
	}
}

// Versions in files: a changed file takes its versions with it, and a row without a customer is no version.
func TestFiles(t *testing.T) {
	w := &world{t: t, root: t.TempDir()}
	w.open(t.TempDir())
	write := func(rows string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(w.root, "plans.csv"), []byte("customer_id,plan,since\n"+rows), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want ...string) {
		t.Helper()
		for i, v := range want {
			if got := w.rows("SELECT plan FROM customer WHERE customer_id = $1", int64(i+1)); got[0][0] != v {
				t.Errorf("customer %d: %q, want %q", i+1, got[0][0], v)
			}
		}
	}
	write("1,free,2024-01-01 00:00:00Z\n1,,2024-02-01 00:00:00Z\n2,pro,2024-01-01 00:00:00Z\n2,team,2024-01-01 00:00:00Z\n,lost,2024-03-01 00:00:00Z\n3,later,2024-06-02 00:00:00Z\n")
	w.exec("CREATE ENTITY customer (customer_id bigint)")
	w.exec("CREATE SOURCE plans (customer_id bigint, plan text, since timestamptz) WITH (connector = 'file', path = '" + filepath.Join(w.root, "plans.csv") + "', event_time = 'since')")
	w.exec("CREATE FEATURE plan AS SELECT customer_id, plan FROM plans")
	check(null, "team", null)
	write("1,free,2024-01-01 00:00:00Z\n3,sooner,2024-05-31 00:00:00Z\n")
	w.exec("REFRESH SOURCE plans")
	check("free", null, "sooner")
}
