package clients

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

// statementTimeout bounds one statement of a test.
const statementTimeout = 30 * time.Second

// scriptStatement is a statement of a script.
type scriptStatement struct {
	sql     string
	line    int
	differs string // why the two servers do, where they may
}

// readScript reads statements, each of which ends with a semicolon at the end of a line.
func readScript(t *testing.T, path string) []scriptStatement {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []scriptStatement
	var sql strings.Builder
	next := scriptStatement{}
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		line := in.Text()
		if why, ok := strings.CutPrefix(line, "-- differs: "); ok {
			next.differs = why
			continue
		}
		if strings.HasPrefix(line, "--") || strings.TrimSpace(line) == "" && sql.Len() == 0 {
			continue
		}
		if sql.Len() == 0 {
			next.line = n
		}
		sql.WriteString(line + "\n")
		if strings.HasSuffix(line, ";") {
			next.sql = sql.String()
			out = append(out, next)
			next = scriptStatement{}
			sql.Reset()
		}
	}
	if err := in.Err(); err != nil || sql.Len() > 0 {
		t.Fatalf("%s: %v, left over: %q", path, err, sql.String())
	}
	return out
}

// eventTime is what only Tilehouse's CREATE TABLE has.
var eventTime = regexp.MustCompile(` WITH \(event_time = '\w+'\)`)

// answer is what a client sees of a statement, as text.
func answer(conn *pgconn.PgConn, sql string) string {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	results, err := conn.Exec(ctx, sql).ReadAll()
	var out strings.Builder
	for _, r := range results {
		for i, f := range r.FieldDescriptions {
			if i > 0 {
				out.WriteString(", ")
			}
			fmt.Fprintf(&out, "%s:%d", f.Name, f.DataTypeOID)
		}
		out.WriteString("\n")
		for _, row := range r.Rows {
			for i, v := range row {
				if i > 0 {
					out.WriteString("|")
				}
				if v == nil {
					out.WriteString("NULL")
				} else {
					out.Write(v)
				}
			}
			out.WriteString("\n")
		}
		out.WriteString(r.CommandTag.String() + "\n")
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		fmt.Fprintf(&out, "ERROR %s\n", refused.Code)
	} else if err != nil {
		fmt.Fprintf(&out, "BROKEN: %v\n", err)
	}
	return fmt.Sprintf("%stransaction status %c", out.String(), conn.TxStatus())
}

func connectTo(t *testing.T, dsn string) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// Statements common with PostgreSQL give what PostgreSQL gives.
func TestConformance(t *testing.T) {
	peer := postgres.Start(t)
	scripts, err := filepath.Glob("testdata/conformance/*.sql")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".sql"), func(t *testing.T) {
			s := servertest.Start(t, t.TempDir(), servertest.Options{})
			ours, theirs := connectTo(t, s.DSN()), connectTo(t, peer)
			equal, noted := 0, 0
			for _, st := range readScript(t, path) {
				got, want := answer(ours, st.sql), answer(theirs, eventTime.ReplaceAllString(st.sql, ""))
				switch {
				case got == want && st.differs != "":
					t.Errorf("%s:%d: no longer differs (%s)", path, st.line, st.differs)
				case got == want:
					equal++
				case st.differs != "":
					noted++
				default:
					t.Errorf("%s:%d: %s-- tilehouse:\n%s\n-- PostgreSQL:\n%s", path, st.line, st.sql, got, want)
				}
			}
			t.Logf("%d statements equal, %d differ as noted", equal, noted)
		})
	}
}
