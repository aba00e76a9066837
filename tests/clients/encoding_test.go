package clients

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// TestClientEncodings compares what a client of another encoding sends and gets, byte by byte, with PostgreSQL: statements, names,
// parameters and rows in both formats, errors, notices, notifications and COPY.
func TestClientEncodings(t *testing.T) {
	oracle := postgres.Start(t)
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	for _, encoding := range []string{"LATIN1", "WIN1252", "ISO_8859_7", "SQL_ASCII", "UTF8"} {
		t.Run(encoding, func(t *testing.T) {
			want := encodedTalk(t, dsnOf(freshDatabase(t, oracle)), encoding)
			got := encodedTalk(t, s.DSN("sslmode=disable"), encoding)
			for _, line := range diffLines(want, got) {
				t.Errorf("%q", line)
			}
		})
	}
}

// encodedTalk is what a client of an encoding sees.
func encodedTalk(t *testing.T, dsn, encoding string) (out []string) {
	ctx := context.Background()
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["client_encoding"] = encoding
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { say("notice %s %s", n.Code, n.Message) }
	config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { say("notification %s %s", n.Channel, n.Payload) }
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	say("parameter %s", conn.ParameterStatus("client_encoding"))
	failed := func(what string, err error) bool {
		var pe *pgconn.PgError
		if err == nil {
			return false
		}
		if !errors.As(err, &pe) {
			t.Fatalf("%s: %v", what, err)
		}
		say("%s: %s %s | %s | %s | %s | %s | %d", what, pe.Code, pe.Message, pe.Detail, pe.Where, pe.TableName, pe.ColumnName, pe.Position)
		return true
	}
	show := func(r *pgconn.Result) {
		for _, f := range r.FieldDescriptions {
			say("column %s %d", f.Name, f.DataTypeOID)
		}
		for _, row := range r.Rows {
			say("row %x", row)
		}
		say("tag %s", r.CommandTag)
	}
	simple := func(sql string) {
		results, err := conn.Exec(ctx, sql).ReadAll()
		for _, r := range results {
			show(r)
		}
		failed(sql, err)
	}
	for _, sql := range []string{
		"SHOW client_encoding", "SELECT pg_client_encoding()", "SELECT '\xe9', length('\xe9') AS \"n\xe9\"", "SELECT ascii('\x81')", "SELECT ascii('\xc3\xa9')",
		"SELECT chr(233), chr(8364), chr(955)", "SELECT chr(233)", "SELECT chr(8364)", "SELECT chr(955)", "SELECT 1 AS x, chr(i) FROM generate_series(65, 70) AS i WHERE i < 68 OR i > 68",
		"CREATE TABLE t\xe4 (k\xe9 text PRIMARY KEY, n integer)", "INSERT INTO t\xe4 VALUES ('\xe9', 1), (chr(955), 2), (chr(8364), 3)", "INSERT INTO t\xe4 VALUES ('\xe9', 1)",
		"SELECT * FROM t\xe4 WHERE k\xe9 = '\xe9'", "SELECT k\xe9 FROM t\xe4 ORDER BY n", "SELECT '\xe9'::integer", "SELECT \xe9\xe9 FROM t\xe4", "SELECT 1 + nope\xe9",
		"SELECT json_build_object('k', chr(233)), jsonb_build_object('k', chr(233))", "DROP TABLE IF EXISTS ohne\xfc", "LISTEN k\xe4nal; NOTIFY k\xe4nal, 'gr\xfc\xdfe'",
		"SELECT string_agg(k\xe9, '' ORDER BY n) FROM t\xe4", "SELECT array_agg(k\xe9 ORDER BY n) FROM t\xe4 WHERE n = 1", "SELECT E'\\xe9'",
		"SET client_encoding = 'LATIN9'; SELECT chr(8364)", "SELECT '\xa4'", fmt.Sprintf("SET client_encoding = '%s'", encoding), "BEGIN; SET LOCAL client_encoding = 'KOI8R'; SELECT chr(1078)",
		"ROLLBACK; SELECT chr(233)", "SELECT set_config('client_encoding', 'LATIN2', false), chr(337)", fmt.Sprintf("SELECT set_config('client_encoding', '%s', false)", encoding),
		"SET client_encoding = 'nope\xe9'",
	} {
		simple(sql)
	}
	for _, format := range []int16{0, 1} {
		for _, q := range []struct {
			sql string
			arg []byte
		}{
			{"SELECT $1::text AS \"p\xe9\"", []byte("\xe9")}, {"SELECT $1::varchar || '\xe9'", []byte("a\xe9")}, {"SELECT length($1::text)", []byte("\xc3\xa9")}, {"SELECT $1::text", []byte("\x81")},
			{"SELECT ARRAY[$1::text, chr(233), NULL]", []byte("\xe9")}, {"SELECT $1::jsonb", map[int16][]byte{0: []byte("\"\xe9\""), 1: []byte("\x01\"\xe9\"")}[format]},
			{"SELECT $1::bytea", map[int16][]byte{0: []byte("\\xe9"), 1: []byte("\xe9\x81")}[format]}, {"SELECT k\xe9, n FROM t\xe4 WHERE k\xe9 = $1", []byte("\xe9")}, {"SELECT chr(955) || $1", []byte("x")},
			{"SELECT ARRAY[ARRAY[$1::text, chr(233)]]", []byte("\xe9")},
		} {
			r := conn.ExecParams(ctx, q.sql, [][]byte{q.arg}, nil, []int16{format}, []int16{format}).Read()
			if !failed(q.sql, r.Err) {
				show(r)
			}
		}
	}
	if d, err := conn.Prepare(ctx, "st\xe9", "SELECT 1 AS \"\xe9\"", nil); !failed("prepare", err) {
		say("prepared %s", d.Fields[0].Name)
		show(conn.ExecPrepared(ctx, "st\xe9", nil, nil, nil).Read())
		_, err := conn.Prepare(ctx, "st\xe9", "SELECT 1", nil)
		failed("prepare again", err)
		simple("SELECT name FROM pg_prepared_statements")
		failed("deallocate", conn.Deallocate(ctx, "st\xe9"))
	}
	for _, c := range []struct{ sql, data string }{
		{"COPY t\xe4 FROM STDIN", "b\xe9\t10\nc\xe9\t11\n"}, {"COPY t\xe4 FROM STDIN (FORMAT csv)", "\"d\xe9\",12\n"}, {"COPY t\xe4 FROM STDIN (ENCODING 'UTF8')", "e\xc3\xa9\t13\n"},
		{"COPY t\xe4 FROM STDIN (ENCODING 'LATIN2')", "f\xf5\t14\n"}, {"COPY t\xe4 FROM STDIN", "g\t15\nh\x81\t16\n"}, {"COPY t\xe4 FROM STDIN", "\xe9\tx\xe9\n"}, {"COPY t\xe4 FROM STDIN (ENCODING 'WIN1252')", "h\t17\ni\x81\t18\n"},
	} {
		tag, err := conn.CopyFrom(ctx, strings.NewReader(c.data), c.sql)
		if !failed(c.sql, err) {
			say("tag %s", tag)
		}
	}
	for _, sql := range []string{
		"COPY (SELECT * FROM t\xe4 WHERE n IN (1, 10, 11, 12, 13) ORDER BY n) TO STDOUT", "COPY (SELECT * FROM t\xe4 WHERE n <> 14 ORDER BY n) TO STDOUT (FORMAT csv, HEADER, ENCODING 'UTF8')",
		"COPY (SELECT k\xe9 FROM t\xe4 WHERE n IN (1, 10) ORDER BY n) TO STDOUT (FORMAT binary)", "COPY (SELECT k\xe9 FROM t\xe4 WHERE n IN (1, 14) ORDER BY n) TO STDOUT (ENCODING 'LATIN2', FORMAT csv, HEADER)",
		"COPY (SELECT chr(955)) TO STDOUT",
	} {
		var b strings.Builder
		tag, err := conn.CopyTo(ctx, &b, sql)
		if !failed(sql, err) {
			say("copied %q, tag %s", b.String(), tag)
		}
	}
	simple("DROP TABLE t\xe4")
	return out
}
