package clients

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

// statementTimeout bounds one statement of a test.
const statementTimeout = 30 * time.Second

// scriptStatement is a statement of a script.
type scriptStatement struct {
	sql  string
	line int
	mark outcome // how it differs, where it may
	why  string
	as   string // the role that runs it
}

// script is a file of statements.
type script struct {
	statements []scriptStatement
	fields     bool // message, detail, hint, position and the other fields of errors are compared, too
}

// outcome is how the two servers' answers to a statement compare.
type outcome int

const (
	agrees  outcome = iota
	refused         // PostgreSQL answers and Tilehouse refuses, or both refuse for different reasons
	silent          // Tilehouse answers, and PostgreSQL answers otherwise or refuses
)

func (o outcome) String() string { return [...]string{"agrees", "differs", "silent"}[o] }

// readScript reads statements, each of which ends with a semicolon at the end of a line. Before a statement may stand
//
//	-- differs: why   PostgreSQL answers and Tilehouse refuses, or both refuse with another SQLSTATE
//	-- silent: why    Tilehouse answers something else than PostgreSQL, which is worse
//
// and at the top of a file "-- compare: fields", for files about errors. Other comments are free.
func readScript(t *testing.T, path string) script {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out script
	var sql strings.Builder
	as := "tilehouse"
	next := scriptStatement{as: as}
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		line := in.Text()
		if sql.Len() == 0 {
			if line == "-- compare: fields" {
				out.fields = true
			}
			for _, o := range []outcome{refused, silent} {
				if why, ok := strings.CutPrefix(line, "-- "+o.String()+": "); ok {
					next.mark, next.why = o, why
				}
			}
			if role, ok := strings.CutPrefix(line, "-- as "); ok {
				as, next.as = role, role
			}
			if strings.HasPrefix(line, "--") || strings.TrimSpace(line) == "" {
				continue
			}
			next.line = n
		}
		sql.WriteString(line + "\n")
		if strings.HasSuffix(line, ";") {
			next.sql = sql.String()
			out.statements = append(out.statements, next)
			next = scriptStatement{as: as}
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

// reads are statements that can be run twice: the second time by the extended protocol, with a binary result.
var reads = regexp.MustCompile(`(?i)^\s*\(*\s*(select|values|table|with|show)\b`)

// writes are words in a statement that reads which make it one that does not.
var writes = regexp.MustCompile(`(?i)\b(insert|update|delete|merge|into|nextval|setval|set_config|pg_advisory\w*|pg_notify|for update)\b`)

// response is what a client sees of a statement.
type response struct {
	text   string // names, types, rows, command tags, the SQLSTATE, the transaction's status
	fields string // what else an error says
	failed bool
}

// answer runs a statement, as text, and once more in binary if it only reads.
func answer(conn *pgconn.PgConn, sql string) response {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	results, err := conn.Exec(ctx, sql).ReadAll()
	out := describe(results, err, func(v []byte) string { return string(v) })
	if !out.failed && len(results) == 1 && reads.MatchString(sql) && !writes.MatchString(sql) && conn.TxStatus() != 'E' {
		r := conn.ExecParams(ctx, sql, nil, nil, nil, []int16{pgx.BinaryFormatCode}).Read()
		binary := describe([]*pgconn.Result{r}, r.Err, func(v []byte) string { return hex.EncodeToString(v) })
		out.text += "\nin binary: " + binary.text
		out.fields, out.failed = binary.fields, binary.failed
	}
	out.text += fmt.Sprintf("\ntransaction status %c", conn.TxStatus())
	return out
}

func describe(results []*pgconn.Result, err error, show func([]byte) string) response {
	var out strings.Builder
	for _, r := range results {
		if err != nil && r.CommandTag.String() == "" { // what came before the error, which depends on when a server finds it
			continue
		}
		for i, f := range r.FieldDescriptions {
			if i > 0 {
				out.WriteString(", ")
			}
			fmt.Fprintf(&out, "%s:%d", f.Name, f.DataTypeOID)
			if f.TypeModifier != -1 {
				fmt.Fprintf(&out, "(%d)", f.TypeModifier)
			}
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
					out.WriteString(show(v))
				}
			}
			out.WriteString("\n")
		}
		out.WriteString(r.CommandTag.String() + "\n")
	}
	said := response{failed: err != nil}
	var e *pgconn.PgError
	if errors.As(err, &e) {
		fmt.Fprintf(&out, "ERROR %s", e.Code)
		said.fields = fmt.Sprintf("message %q position %d detail %q hint %q schema %q table %q column %q type %q constraint %q",
			e.Message, e.Position, e.Detail, e.Hint, e.SchemaName, e.TableName, e.ColumnName, e.DataTypeName, e.ConstraintName)
	} else if err != nil {
		fmt.Fprintf(&out, "BROKEN: %v", err)
	}
	said.text = out.String()
	return said
}

func compare(ours, theirs response, fields bool) outcome {
	switch {
	case ours.text == theirs.text && (!fields || ours.fields == theirs.fields):
		return agrees
	case ours.failed:
		return refused
	}
	return silent
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

// tally counts outcomes.
type tally struct{ statements, agree, refused, silent, worded int }

func (n *tally) add(m tally) {
	n.statements += m.statements
	n.agree += m.agree
	n.refused += m.refused
	n.silent += m.silent
	n.worded += m.worded
}

func (n tally) String() string {
	return fmt.Sprintf("%5d statements: %5d agree (%.1f %%), %d are refused, %d differ silently; %d errors worded otherwise",
		n.statements, n.agree, 100*float64(n.agree)/float64(max(n.statements, 1)), n.refused, n.silent, n.worded)
}

// emptyDatabase gives the peer a role and a database of our names, with nothing in it.
func emptyDatabase(t *testing.T, peer string) string {
	t.Helper()
	conn := connectTo(t, peer)
	defer conn.Close(context.Background())
	for _, sql := range []string{"DROP DATABASE IF EXISTS tilehouse WITH (FORCE)", "CREATE DATABASE tilehouse"} {
		if _, err := conn.Exec(context.Background(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	sql := "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tilehouse') THEN CREATE ROLE tilehouse SUPERUSER LOGIN; END IF; END $$"
	if _, err := conn.Exec(context.Background(), sql).ReadAll(); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(peer)
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.Path = url.User("tilehouse"), "/tilehouse"
	return u.String()
}

// Statements common with PostgreSQL give what PostgreSQL gives, but for those that say why not. Each file has servers, or a
// database, to itself.
func TestConformance(t *testing.T) {
	peer := postgres.Start(t)
	scripts, err := filepath.Glob("testdata/conformance/*.sql")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	var total tally
	for _, path := range scripts {
		name := strings.TrimSuffix(filepath.Base(path), ".sql")
		t.Run(name, func(t *testing.T) {
			s := servertest.Start(t, t.TempDir(), servertest.Options{})
			ours, theirs := connectTo(t, s.DSN()), connectTo(t, emptyDatabase(t, peer))
			script := readScript(t, path)
			n := tally{statements: len(script.statements)}
			for _, st := range script.statements {
				got, want := answer(ours, st.sql), answer(theirs, eventTime.ReplaceAllString(st.sql, ""))
				o := compare(got, want, script.fields)
				switch o {
				case agrees:
					n.agree++
					if got.fields != want.fields {
						n.worded++
					}
				case refused:
					n.refused++
				case silent:
					n.silent++
				}
				switch {
				case o == agrees && st.mark != agrees:
					t.Errorf("%s:%d: no longer differs (%s)", path, st.line, st.why)
				case o != st.mark:
					t.Errorf("%s:%d: %s: %s-- tilehouse:\n%s\n%s\n-- PostgreSQL:\n%s\n%s", path, st.line, o, st.sql, got.text, got.fields, want.text, want.fields)
				}
			}
			total.add(n)
			fmt.Printf("%-24s %s\n", name, n)
		})
	}
	fmt.Printf("%-24s %s\n", "all", total)
}
