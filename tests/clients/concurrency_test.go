package clients

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

func must(t *testing.T, conn *pgconn.PgConn, sql string) []*pgconn.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	r, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return r
}

// code is the SQLSTATE that a statement fails with, "" where it does not.
func code(conn *pgconn.PgConn, sql string) string {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	_, err := conn.Exec(ctx, sql).ReadAll()
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// Keys hold between transactions: one that inserts a key waits for another that has, and is told what became of it.
func TestKeysBetweenTransactions(t *testing.T) {
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	a, b := connectTo(t, s.DSN()), connectTo(t, s.DSN())
	must(t, a, "CREATE TABLE k (id integer PRIMARY KEY, n integer)")
	must(t, a, "CREATE TABLE other (id integer PRIMARY KEY, n integer)")
	for _, end := range []struct{ sql, want string }{{"COMMIT", "23505"}, {"ROLLBACK", ""}} {
		must(t, a, "DELETE FROM k")
		must(t, a, "BEGIN; INSERT INTO k VALUES (1, 1)")
		got := make(chan string)
		go func() { got <- code(b, "INSERT INTO k VALUES (1, 2)") }()
		select {
		case c := <-got:
			t.Fatalf("an insert of a key that is being inserted did not wait, and gave %q", c)
		case <-time.After(200 * time.Millisecond):
		}
		must(t, a, end.sql)
		if c := <-got; c != end.want {
			t.Errorf("after %s the other insert gave %q, not %q", end.sql, c, end.want)
		}
	}
	// Two that wait for one another.
	must(t, a, "DELETE FROM k")
	must(t, a, "BEGIN; INSERT INTO k VALUES (1, 1)")
	must(t, b, "BEGIN; INSERT INTO other VALUES (1, 1)")
	got := make(chan string)
	go func() { got <- code(a, "INSERT INTO other VALUES (2, 2)") }()
	time.Sleep(200 * time.Millisecond)
	if c := code(b, "INSERT INTO k VALUES (2, 2)"); c != "40P01" {
		t.Errorf("a deadlock gave %q", c)
	}
	must(t, b, "ROLLBACK")
	if c := <-got; c != "" {
		t.Errorf("the survivor of a deadlock got %q", c)
	}
	must(t, a, "COMMIT")
	// A transaction that reads one snapshot is told that it is old.
	must(t, a, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM k")
	must(t, b, "INSERT INTO k VALUES (3, 3)")
	if c := code(a, "INSERT INTO k VALUES (3, 4)"); c != "40001" {
		t.Errorf("a write over newer rows gave %q", c)
	}
	must(t, a, "ROLLBACK")
}

// Who makes an object of a name that another transaction has made one of waits for its end, as PostgreSQL makes it wait.
func TestConcurrentNames(t *testing.T) {
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	a, b := connectTo(t, s.DSN()), connectTo(t, s.DSN())
	must(t, a, "CREATE TABLE other (id integer); CREATE TABLE source (id integer)")
	for _, first := range []string{"CREATE TABLE t (id serial)", "CREATE TABLE t AS SELECT 1 AS id", "CREATE VIEW t AS SELECT 1 AS id", "CREATE SEQUENCE t", "ALTER TABLE other RENAME TO t"} {
		for _, second := range []string{"CREATE TABLE t (id serial)", "CREATE TABLE t AS SELECT id FROM source", "CREATE VIEW t AS SELECT 1 AS id", "CREATE SEQUENCE t", "ALTER TABLE source RENAME TO t"} {
			if !strings.HasPrefix(first+second, "CREATE TABLE t (id serial)") && !strings.HasSuffix(second, "(id serial)") {
				continue // each with a plain table
			}
			for end, want := range map[string]string{"ROLLBACK": "", "COMMIT": "42P07"} {
				must(t, a, "BEGIN")
				must(t, a, first)
				got := make(chan string)
				go func() { got <- code(b, second) }()
				select {
				case c := <-got:
					t.Fatalf("%s beside %s did not wait: %q", second, first, c)
				case <-time.After(30 * time.Millisecond):
				}
				must(t, a, end)
				if c := <-got; c != want {
					t.Errorf("%s after %s and %s gave %q, not %q", second, first, end, c, want)
				}
				for _, undo := range []string{"ALTER TABLE t RENAME TO " + map[bool]string{true: "other", false: "source"}[end == "COMMIT"], "DROP TABLE t", "DROP VIEW t", "DROP SEQUENCE t"} {
					if strings.HasPrefix(undo, "ALTER") && !strings.HasPrefix(map[string]string{"COMMIT": first, "ROLLBACK": second}[end], "ALTER") {
						continue
					}
					code(b, undo)
				}
			}
		}
	}
}

// Sessions that count in one row, insert the same keys and draw from one sequence lose nothing and double nothing.
func TestConcurrentWriters(t *testing.T) {
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	const sessions, rounds = 4, 9
	first := connectTo(t, s.DSN())
	must(t, first, "CREATE TABLE c (id integer PRIMARY KEY, n integer NOT NULL); CREATE TABLE q (id serial PRIMARY KEY)")
	must(t, first, "CREATE TABLE e (id bigint PRIMARY KEY, n integer, ts timestamptz DEFAULT now()) WITH (event_time = 'ts')")
	var wg sync.WaitGroup
	for i := range sessions {
		conn := connectTo(t, s.DSN())
		wg.Go(func() {
			for k := range rounds {
				for _, sql := range []string{
					fmt.Sprintf("INSERT INTO c VALUES (%d, 1) ON CONFLICT (id) DO UPDATE SET n = c.n + 1", k%3),
					"UPDATE c SET n = n + 1 WHERE id = 0",
					"INSERT INTO q DEFAULT VALUES",
				} {
					if c := code(conn, sql); c != "" && c != "40001" {
						t.Errorf("session %d: %s: %s", i, sql, c)
					} else if c == "40001" {
						t.Errorf("session %d: %s was not tried again", i, sql)
					}
				}
				sql := fmt.Sprintf("INSERT INTO e (id, n) VALUES (%d, 1) ON CONFLICT (id) DO UPDATE SET n = e.n + 1", k%3)
				for c := code(conn, sql); c != ""; c = code(conn, sql) {
					if c != "40001" {
						t.Errorf("session %d: %s: %s", i, sql, c)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	for sql, want := range map[string]string{
		"SELECT sum(n) FROM c WHERE id > 0": fmt.Sprint(sessions * rounds * 2 / 3), "SELECT sum(n) FROM e": fmt.Sprint(sessions * rounds),
		"SELECT count(*) = max(id) AND count(*) = count(DISTINCT id) FROM q": "t",
	} {
		if got := string(must(t, first, sql)[0].Rows[0][0]); got != want {
			t.Errorf("%s: %s, not %s", sql, got, want)
		}
	}
}
