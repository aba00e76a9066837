package pgsource

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

var dial = servertest.Dial

func exec(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// texts are the rows of a query, their values as text with | between them.
func texts(t *testing.T, conn *pgx.Conn, sql string) []string {
	t.Helper()
	out, err := tryTexts(conn, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func tryTexts(conn *pgx.Conn, sql string) ([]string, error) {
	res := conn.PgConn().ExecParams(context.Background(), sql, nil, nil, nil, nil).Read()
	if res.Err != nil {
		return nil, res.Err
	}
	out := []string{}
	for _, row := range res.Rows {
		line := ""
		for i, v := range row {
			if i > 0 {
				line += "|"
			}
			if v == nil {
				line += "NULL"
			} else {
				line += string(v)
			}
		}
		out = append(out, line)
	}
	return out, nil
}

// eventually waits until a query's rows are what is wanted.
func eventually(t *testing.T, conn *pgx.Conn, sql string, want ...string) {
	t.Helper()
	var got []string
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got = texts(t, conn, sql); fmt.Sprint(got) == fmt.Sprint(want) {
			return
		}
	}
	t.Fatalf("%s is %q, not %q; sources: %q", sql, got, want, texts(t, conn, "SELECT name, state, last_error FROM tilehouse.sources WHERE state IS NOT NULL"))
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// connection is CREATE CONNECTION app to a server.
func connection(t *testing.T, pg *postgres.Server, more string) string {
	t.Helper()
	u, err := url.Parse(pg.DSN)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("CREATE CONNECTION app WITH (type = 'postgres', host = '%s', port = '%s', database = 'postgres', user = 'postgres', sslmode = 'disable'%s)", u.Hostname(), u.Port(), more)
}

// failure is the error of a statement, nil where it has none.
func failure(conn *pgx.Conn, sql string) *pgconn.PgError {
	_, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol)
	var of *pgconn.PgError
	if err != nil && !errors.As(err, &of) {
		return &pgconn.PgError{Message: err.Error()}
	}
	return of
}

func contains(s, part string) bool { return strings.Contains(s, part) }
