package docs

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// changing is what differs between two runs of a statement, times, or between two versions of a format, sizes of files.
var changing = regexp.MustCompile(`\b\d+(\.\d+)? ms\b|\b\d{4,} bytes\b`)

// session runs statements and shows them as psql does.
type session struct {
	conn    *pgconn.PgConn
	notices []string
}

// connect opens a session that keeps its notices.
func connect(ctx context.Context, dsn string) (*session, error) {
	s := &session{}
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.Severity != "INFO" { // progress, which comes or does not
			s.notices = append(s.notices, n.Severity+":  "+n.Message)
		}
	}
	s.conn, err = pgconn.ConnectConfig(ctx, cfg)
	return s, err
}

// show is what psql prints for a script: results, command tags, notices, and the error that ended it. As psql does, it sends
// one statement at a time.
func (s *session) show(ctx context.Context, script string) (string, error) {
	fragments, err := parse.Split(script)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, f := range fragments {
		if err = s.one(ctx, &b, f.SQL); err != nil {
			break
		}
	}
	return changing.ReplaceAllStringFunc(b.String(), func(s string) string { return "…" + s[strings.LastIndex(s, " "):] }), err
}

func (s *session) one(ctx context.Context, b *strings.Builder, sql string) error {
	s.notices = nil
	results, err := s.conn.Exec(ctx, sql).ReadAll()
	for _, n := range s.notices {
		b.WriteString(n + "\n")
	}
	for _, r := range results {
		switch {
		case r.Err != nil:
		case len(r.FieldDescriptions) > 0:
			b.WriteString(aligned(r.FieldDescriptions, r.Rows))
		default:
			b.WriteString(r.CommandTag.String() + "\n")
		}
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		fmt.Fprintf(b, "ERROR:  %s: %s\n", refused.Code, refused.Message)
		if refused.Detail != "" {
			b.WriteString("DETAIL:  " + refused.Detail + "\n")
		}
		if refused.Hint != "" {
			b.WriteString("HINT:  " + refused.Hint + "\n")
		}
	}
	return err
}

// run executes a document and is the document as it should be. An error names the line.
func (s *session) run(ctx context.Context, text string) (string, error) {
	lines := strings.Split(text, "\n")
	found, err := blocks(lines)
	if err != nil {
		return "", err
	}
	var out []string
	at := 0
	for _, b := range found {
		out = append(out, lines[at:b.first]...)
		at = b.last
		body := lines[b.first:b.last]
		switch {
		case b.info == "sql":
			if _, err := s.show(ctx, strings.Join(body, "\n")); err != nil {
				return "", fmt.Errorf("line %d: %w", b.first+1, err)
			}
			out = append(out, body...)
		case len(body) > 0 && strings.HasPrefix(body[0], prompt):
			list, err := steps(body)
			if err != nil {
				return "", fmt.Errorf("line %d: %w", b.first+1, err)
			}
			for i, st := range list {
				shown, err := s.show(ctx, strings.TrimPrefix(st.statement, prompt))
				if err != nil && !strings.Contains(st.shown, "ERROR:") { // a refusal is shown on purpose, or it is a fault
					return "", fmt.Errorf("line %d, %s: %w", b.first+1, st.statement, err)
				}
				if i < len(list)-1 && strings.HasSuffix(st.shown, "\n\n") {
					shown += "\n"
				}
				out = append(out, strings.Split(strings.TrimSuffix(st.statement+shown, "\n"), "\n")...)
			}
		default:
			out = append(out, body...)
		}
	}
	return strings.Join(append(out, lines[at:]...), "\n"), nil
}
