package clients

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// roleSession is a connection of a role, with the notices that came on it.
type roleSession struct {
	conn    *pgconn.PgConn
	notices []string
}

// roleSessions are a script's connections to one server, by role.
type roleSessions struct {
	dsn  func(role string) string
	open map[string]*roleSession
}

func (r *roleSessions) session(t *testing.T, role string) (*roleSession, error) {
	t.Helper()
	if s := r.open[role]; s != nil && !s.conn.IsClosed() {
		return s, nil
	}
	cfg, err := pgconn.ParseConfig(r.dsn(role))
	if err != nil {
		t.Fatal(err)
	}
	s := &roleSession{}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		s.notices = append(s.notices, fmt.Sprintf("%s %s: %s", n.Severity, n.Code, n.Message))
	}
	if s.conn, err = pgconn.ConnectConfig(context.Background(), cfg); err != nil {
		return nil, err
	}
	r.open[role] = s
	t.Cleanup(func() { s.conn.Close(context.Background()) })
	return s, nil
}

// run is what a role sees of a statement: rows, notices, and of an error its SQLSTATE, message and detail.
func (r *roleSessions) run(t *testing.T, role, sql string) string {
	t.Helper()
	var refused *pgconn.PgError
	told := func(err error) string {
		if errors.As(err, &refused) {
			out := fmt.Sprintf("%s %s: %s", refused.Severity, refused.Code, refused.Message)
			if refused.Detail != "" {
				out += "\nDETAIL: " + refused.Detail
			}
			return out
		}
		return err.Error()
	}
	s, err := r.session(t, role)
	if err != nil {
		return told(err)
	}
	s.notices = nil
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	results, err := s.conn.Exec(ctx, sql).ReadAll()
	out := append([]string(nil), s.notices...)
	for _, res := range results {
		for _, row := range res.Rows {
			var values []string
			for _, v := range row {
				if v == nil {
					values = append(values, "NULL")
				} else {
					values = append(values, string(v))
				}
			}
			out = append(out, strings.Join(values, "|"))
		}
		if tag := res.CommandTag.String(); tag != "" || err == nil { // where the error comes, before or after the row's description, is no matter here
			out = append(out, tag)
		}
	}
	if err != nil {
		out = append(out, told(err))
	}
	return strings.Join(out, "\n")
}

// TestRoles runs scripts about roles and privileges on Tilehouse and on PostgreSQL: rows, notices, messages and details are the
// same. A line "-- as NAME" says who goes on; "-- differs: why" stands before a statement where the two may differ.
func TestRoles(t *testing.T) {
	scripts, err := filepath.Glob("testdata/roles/*.sql")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".sql"), func(t *testing.T) {
			peer := postgres.Start(t)
			setup := connectTo(t, peer)
			for _, sql := range []string{"CREATE ROLE tilehouse SUPERUSER LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS", "CREATE DATABASE tilehouse OWNER tilehouse"} {
				if _, err := setup.Exec(context.Background(), sql).ReadAll(); err != nil {
					t.Fatal(err)
				}
			}
			s := servertest.Start(t, t.TempDir(), servertest.Options{})
			ours := &roleSessions{open: map[string]*roleSession{}, dsn: func(role string) string {
				return fmt.Sprintf("host=%s port=%s user=%s dbname=tilehouse password=secret", s.Host, s.Port, role)
			}}
			theirs := &roleSessions{open: map[string]*roleSession{}, dsn: func(role string) string {
				return strings.Replace(strings.Replace(peer, "postgres://postgres@", "postgres://"+role+"@", 1), "/postgres?", "/tilehouse?", 1)
			}}
			equal, noted := 0, 0
			for _, st := range readScript(t, path).statements {
				got, want := ours.run(t, st.as, st.sql), theirs.run(t, st.as, st.sql)
				switch {
				case got == want && st.mark != agrees:
					t.Errorf("%s:%d: no longer differs (%s)", path, st.line, st.why)
				case got == want:
					equal++
				case st.mark != agrees:
					noted++
				default:
					t.Errorf("%s:%d: as %s: %s-- tilehouse:\n%s\n-- PostgreSQL:\n%s", path, st.line, st.as, st.sql, got, want)
				}
			}
			t.Logf("%d statements equal, %d differ as noted", equal, noted)
		})
	}
}
