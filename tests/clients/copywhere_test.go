package clients

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// TestCopyErrorsSayWhere compares the errors of rows that break a constraint in COPY with PostgreSQL's, with their CONTEXT.
func TestCopyErrorsSayWhere(t *testing.T) {
	ctx := context.Background()
	there, here := bothServers(t)
	both := func(sql string) {
		t.Helper()
		for _, c := range []*pgconn.PgConn{there, here} {
			if _, err := c.Exec(ctx, sql).ReadAll(); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
	}
	said := func(err error) string {
		var pe *pgconn.PgError
		if !errors.As(err, &pe) {
			return fmt.Sprint(err)
		}
		return fmt.Sprintf("%s %s | %s | %s | %s %s %s", pe.Code, pe.Message, pe.Detail, pe.Where, pe.TableName, pe.ColumnName, pe.ConstraintName)
	}
	both("CREATE TABLE p (id integer PRIMARY KEY); INSERT INTO p VALUES (1), (2)")
	both("CREATE TABLE c (id integer PRIMARY KEY, s text NOT NULL, n integer CHECK (n < 10), u integer UNIQUE, p integer REFERENCES p, d integer NOT NULL DEFAULT 7)")
	both("INSERT INTO c VALUES (100, 'there', 1, 1, 1)")
	const null = `\N`
	long := strings.Repeat("é", 80)
	var many strings.Builder
	for i := range 900 {
		fmt.Fprintf(&many, "%d\tx\t1\t%d\t1\n", 1000+i, 1000+i)
	}
	for _, c := range []struct{ sql, data string }{
		{"COPY c FROM STDIN", "1\ta\t1\t2\t1\t1\n1\tb\t1\t3\t1\t1\n"},
		{"COPY c (id, s, n, u, p) FROM STDIN", "1\ta\t1\t2\t1\n100\tb\t1\t3\t1\n"},
		{"COPY c (id, s, n, u, p) FROM STDIN", "1\ta\t1\t2\t1\n2\tb\t1\t2\t1\n"},
		{"COPY c (id, s, n, u, p) FROM STDIN", "1\ta\t1\t2\t1\n2\t" + null + "\t1\t3\t1\n3\tc\t1\t4\t1\n"},
		{"COPY c (id, s) FROM STDIN", null + "\t" + null + "\n"},
		{"COPY c (id, s, n) FROM STDIN", "1\ta\t1\n2\tb\\tb\\\\\t12\n"},
		{"COPY c (id, s, n) FROM STDIN", "1\t" + long + "\t12\n"},
		{"COPY c (id, n) FROM STDIN", "1\t1\n"},
		{"COPY c (id, s, d) FROM STDIN", "1\ta\t" + null + "\n"},
		{"COPY c (id, s, p) FROM STDIN", "1\ta\t1\n2\tb\t3\n"},
		{"COPY c (id, s, n) FROM STDIN (FORMAT csv, HEADER)", "id,s,n\n1,\"a\nb\",1\n2,\"c\nd\ne\",12\n"},
		{"COPY c (id, s, n) FROM STDIN (FORMAT csv)", "1,\"a\nb\",1\n2,,3\n"},
		{"COPY c (id, s, n) FROM STDIN (FORMAT csv)", "1,\"a\nb\",1\n1,b,3\n"},
		{"COPY c (id, s, n) FROM STDIN (FORMAT csv)", "1,a,1\r\n2,b,30\r\n"},
		{"COPY c (id, s, n, u, p) FROM STDIN", many.String() + "1\tb\t22\t1\t1\n"},
		{"COPY c (id, s, n, u, p) FROM STDIN", many.String() + "1\t" + null + "\t1\t1\t1\nx\n"},
		{"COPY c (id, s, n, u, p) FROM STDIN", many.String() + "1000\tb\t1\t99\t1\n"},
		{"COPY c (id, s) FROM STDIN (FORMAT binary)", binaryRows([]string{"\x00\x00\x00\x01", "a"}, []string{"\x00\x00\x00\x01", "b"})},
		{"COPY c (id, s) FROM STDIN (FORMAT binary)", binaryRows([]string{"\x00\x00\x00\x01", "a"}, []string{"\x00\x00\x00\x02", ""})},
		{"COPY c (id, n, s) FROM STDIN (FORMAT binary)", binaryRows([]string{"\x00\x00\x00\x01", "\x00\x00\x00\x63", "s"})},
	} {
		_, want := there.CopyFrom(ctx, strings.NewReader(c.data), c.sql)
		_, got := here.CopyFrom(ctx, strings.NewReader(c.data), c.sql)
		if said(got) != said(want) || want == nil {
			t.Errorf("%s of %.80q:\nPostgreSQL %s\nTilehouse  %s", c.sql, c.data, said(want), said(got))
		}
	}
	// A NULL where none may be ends the COPY, however much is to come.
	for _, format := range []string{"text", "binary"} {
		slow := &slowRows{pieces: []string{"1\ta\n2\t" + null + "\n", "3\tb\n"}}
		want := `COPY c, line 2: "2` + "\t" + null + `"`
		if format == "binary" {
			all := binaryRows([]string{"\x00\x00\x00\x01", "a"}, []string{"\x00\x00\x00\x02", ""})
			slow.pieces, want = []string{all[:len(all)-2], binaryRows([]string{"\x00\x00\x00\x03", "c"})[19:34]}, "COPY c, line 2"
		}
		_, err := here.CopyFrom(ctx, slow, "COPY c (id, s) FROM STDIN (FORMAT "+format+")")
		if slow.read > 100 || !strings.HasPrefix(said(err), "23502 ") || !strings.Contains(said(err), want) {
			t.Errorf("%s: a NULL in a column that takes none was refused after %d rows: %v", format, slow.read, said(err))
		}
	}
	for _, c := range []*pgconn.PgConn{there, here} {
		rows, err := c.Exec(ctx, "SELECT count(*) FROM c").ReadAll()
		if err != nil || string(rows[0].Rows[0][0]) != "1" {
			t.Errorf("rows of a failed COPY are left: %v, %v", rows, err)
		}
	}
}

// slowRows are rows that come one by one: the last of pieces again and again, for ten seconds.
type slowRows struct {
	pieces []string
	read   int
}

func (s *slowRows) Read(b []byte) (int, error) {
	if s.read >= 1000 {
		return 0, io.EOF
	}
	if s.read > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	piece := s.pieces[min(s.read, len(s.pieces)-1)]
	s.read++
	return copy(b, piece), nil
}

// binaryRows is COPY data in binary; an empty field is NULL.
func binaryRows(rows ...[]string) string {
	out := "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	for _, r := range rows {
		out += "\x00" + string(rune(len(r)))
		for _, f := range r {
			if f == "" {
				out += "\xff\xff\xff\xff"
				continue
			}
			out += "\x00\x00\x00" + string(rune(len(f))) + f
		}
	}
	return out + "\xff\xff"
}

// bothServers are connections to a PostgreSQL and to a server of ours, both empty, which end with the test.
func bothServers(t *testing.T) (there, here *pgconn.PgConn) {
	t.Helper()
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conns := make([]*pgconn.PgConn, 2)
	for i, dsn := range []string{dsnOf(freshDatabase(t, postgres.Start(t))), s.DSN("sslmode=disable")} {
		c, err := pgconn.Connect(context.Background(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		conns[i] = c
	}
	return conns[0], conns[1]
}
