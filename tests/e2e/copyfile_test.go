package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/harness"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// COPY … FROM 'file' reads what PostgreSQL reads: files that PostgreSQL wrote in text, csv and binary, whole, damaged and cut, with the
// same statement on both. What COPY wrote as Parquet comes back as it was, into tables of the same and of other types.
func TestCopyFromFile(t *testing.T) {
	r := newRand(t)
	ctx := context.Background()
	pg, err := pgx.Connect(ctx, postgres.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close(ctx)
	dir, err := os.MkdirTemp("", "tilehouse-copy-") // t.TempDir is below a directory that PostgreSQL's user cannot enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	srv := harness.Start(t, harness.Options{FileRoots: []string{dir}, ExportRoot: dir})
	conn := srv.Connect(t)
	run := func(c *pgx.Conn, sql string) (string, string) {
		tag, err := c.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
		var pe *pgconn.PgError
		if errors.As(err, &pe) {
			return "", pe.Code + " " + pe.Message + " | " + pe.Where
		}
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return tag.String(), ""
	}
	must := func(c *pgx.Conn, sql string) {
		t.Helper()
		if _, e := run(c, sql); e != "" {
			t.Fatalf("%s: %s", sql, e)
		}
	}
	both := func(sql string) { t.Helper(); must(pg, sql); must(conn, sql) }
	rows := func(c *pgx.Conn, sql string) string {
		t.Helper()
		res, err := c.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Close()
		var out strings.Builder
		for res.Next() {
			for _, v := range res.RawValues() {
				if v == nil {
					out.WriteString("NULL|")
				} else {
					fmt.Fprintf(&out, "%q|", v)
				}
			}
			out.WriteByte('\n')
		}
		if res.Err() != nil {
			t.Fatal(res.Err())
		}
		return out.String()
	}
	const columns = "id bigint PRIMARY KEY, s text, n numeric(12,3), f double precision, d date, ts timestamptz NOT NULL, b boolean, x bytea"
	must(conn, "CREATE TABLE plain ("+columns+")")
	must(conn, "CREATE TABLE events ("+columns+") WITH (event_time = 'ts', future_bound = '100000 days')")
	// PostgreSQL's tables have as constraints what is refused here only: NaN in a numeric with a scale, when its field is read, and a
	// damaged year beyond the bound.
	must(pg, "CREATE DOMAIN amount AS numeric(12,3) CONSTRAINT is_number CHECK (VALUE <> 'NaN')")
	theirs := strings.Replace(columns, "numeric(12,3)", "amount", 1)
	must(pg, "CREATE TABLE plain ("+theirs+")")
	const beyond = "ts > now() + interval '100000 days'"
	must(pg, "CREATE TABLE events ("+theirs+", CONSTRAINT future_bound CHECK (NOT "+beyond+"))")
	must(pg, "CREATE TABLE src ("+columns+")")
	texts := []string{"NULL", "''", "'a'", `E'tab\there'`, `E'line\nend'`, `'quote"d, and ''single'''`, `E'back\\slash'`, `'\N'`, `'\.'`, `E'\r'`, "'ü€😀'", "' '"}
	other := func(list []string) string { return list[r.IntN(len(list))] }
	formats := []string{"", "(FORMAT csv)", "(FORMAT csv, HEADER)", "(FORMAT binary)", "(DELIMITER '|', NULL '-')", "(FORMAT csv, DELIMITER ';', QUOTE '''', ESCAPE E'\\\\')", "(FORMAT csv, NULL 'nil')", "(HEADER)"}
	all := "SELECT * FROM %s ORDER BY id"
	failures := 0
	for round := range 60 {
		must(pg, "TRUNCATE src")
		var vals []string
		for id := range r.IntN(40) {
			vals = append(vals, fmt.Sprintf("(%d, %s, %s, %s, %s, '%s', %s, %s)", id, other(texts), other([]string{"NULL", "1.5", "-0.001", "123456789.123"}), other([]string{"NULL", "0.1", "-0", "'NaN'", "'Infinity'", "1e-300"}),
				other([]string{"NULL", "'2024-02-29'", "'0001-01-01'"}), other([]string{"2024-01-01 00:00:00.000001Z", "1969-12-31 23:59:59Z"}), other([]string{"NULL", "true", "false"}), other([]string{"NULL", `'\x00ff'`, `''`})))
		}
		if vals != nil {
			must(pg, "INSERT INTO src VALUES "+strings.Join(vals, ", "))
		}
		format := other(formats)
		file := filepath.Join(dir, fmt.Sprintf("f%d", round))
		must(pg, fmt.Sprintf("COPY src TO '%s' %s", file, format))
		if r.IntN(3) == 0 { // damage
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(data) > 0 {
				switch r.IntN(3) {
				case 0:
					data = data[:r.IntN(len(data))]
				case 1:
					data[r.IntN(len(data))] = "\t\n,;|\"\\x"[r.IntN(8)]
				default:
					i := r.IntN(len(data))
					data = append(append(append([]byte{}, data[:i]...), "\n"...), data[i:]...)
				}
			}
			file += "d"
			if err := os.WriteFile(file, data, 0o666); err != nil {
				t.Fatal(err)
			}
		} else if err := os.Chmod(file, 0o666); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"plain", "events"} {
			both("DELETE FROM " + table)
			sql := fmt.Sprintf("COPY %s FROM '%s' %s", table, file, format)
			want, wantErr := run(pg, sql)
			got, gotErr := run(conn, sql)
			if strings.Contains(format, "csv, HEADER") && strings.HasPrefix(gotErr, "22P04 unterminated CSV quoted field") && want == "COPY 0" {
				got, gotErr = want, "" // a header that never ends is refused, where PostgreSQL takes it for the whole of the file, in silence
			}
			wantErr = strings.Replace(wantErr, `23514 value for domain amount violates check constraint "is_number"`, "22003 numeric field overflow", 1)
			if table == "events" { // its primary key and event time are refused in words of its own
				if strings.Contains(wantErr, `violates check constraint "future_bound"`) {
					wantErr = "22008"
					if !strings.Contains(gotErr, "lies beyond the future bound") {
						t.Fatalf("%s: %q is not about the future bound", sql, gotErr)
					}
				}
				wantErr, gotErr = wantErr[:min(len(wantErr), 5)], gotErr[:min(len(gotErr), 5)]
			}
			if strings.Contains(format, "binary") && gotErr != "" && wantErr != "" { // of damaged bytes both say what they noticed first
				gotErr = wantErr
			}
			if strings.HasPrefix(gotErr, "54000") && wantErr != "" { // a length that damage made: it is refused before the file ends
				wantErr = gotErr
			}
			if got != want || gotErr != wantErr {
				t.Fatalf("%s\ngot  %s %s\nwant %s %s", sql, got, gotErr, want, wantErr)
			}
			if wantErr != "" {
				failures++
			}
			if g, w := rows(conn, fmt.Sprintf(all, table)), rows(pg, fmt.Sprintf(all, table)); g != w {
				t.Fatalf("%s\ngot\n%swant\n%s", sql, g, w)
			}
		}
		// Parquet, of what is there.
		name := fmt.Sprintf("p%d.parquet", round)
		must(conn, fmt.Sprintf("COPY plain TO '%s'", name))
		was := rows(conn, fmt.Sprintf(all, "plain"))
		for _, table := range []string{"plain", "events"} {
			must(conn, "DELETE FROM "+table)
			if table == "events" && rows(pg, "SELECT count(*) FROM plain WHERE "+beyond) != "\"0\"|\n" {
				if _, e := run(conn, fmt.Sprintf("COPY %s FROM '%s'", table, name)); !strings.HasPrefix(e, "22008 ") || !strings.Contains(e, "lies beyond the future bound") {
					t.Fatalf("Parquet with a time beyond the future bound: %q", e)
				}
				continue
			}
			must(conn, fmt.Sprintf("COPY %s FROM '%s'", table, name))
			if g := rows(conn, fmt.Sprintf(all, table)); g != was {
				t.Fatalf("Parquet into %s\ngot\n%swant\n%s", table, g, was)
			}
		}
	}
	if failures == 0 {
		t.Error("nothing was refused")
	}
	// Values of other types are assigned as INSERT does, or refused as a whole.
	must(conn, "CREATE TABLE wide (id text, s text, n double precision, ts date, extra int DEFAULT 7)")
	must(conn, "CREATE TABLE kept AS SELECT * FROM plain WHERE false")
	must(conn, "DELETE FROM plain")
	must(conn, "INSERT INTO plain VALUES (1, 'seven', 2.5, 0.5, '2024-01-01', '2024-06-01 23:00Z', true, ''), (2, NULL, NULL, NULL, NULL, '2024-06-02', NULL, NULL)")
	must(conn, "COPY plain TO 'other.parquet'")
	must(conn, "COPY wide (id, s, n, ts) FROM 'other.parquet'")
	must(conn, "INSERT INTO wide (id, s, n, ts) SELECT id, s, n, ts FROM plain")
	if n := rows(conn, "SELECT count(*) FROM (SELECT id, s, n, ts, extra FROM wide GROUP BY 1, 2, 3, 4, 5 HAVING count(*) = 2) x"); n != "\"2\"|\n" {
		t.Errorf("assigned otherwise than by INSERT:\n%s", rows(conn, "SELECT * FROM wide"))
	}
	for sql, code := range map[string]string{
		"COPY kept (id, s) FROM 'nope.parquet'":               "58P01",
		"COPY kept FROM '/etc/hostname'":                      "42501",
		"COPY kept (id) FROM 'f0' WITH (FORMAT parquet)":      "22P04",
		"COPY kept FROM '" + dir + "'":                        "42809",
		"COPY kept (x) FROM '../x'":                           "42501",
		"COPY wide FROM 'other.parquet'":                      "42703",
		"COPY wide (id, extra) FROM 'other.parquet'":          "42703",
		"COPY wide (extra) FROM 'other.parquet' (HEADER)":     "22023",
		"CREATE TABLE i (s int); COPY i FROM 'other.parquet'": "42703",
	} {
		if _, e := run(conn, sql); !strings.HasPrefix(e, code) {
			t.Errorf("%s: %s, not %s", sql, e, code)
		}
	}
	must(conn, "CREATE TABLE i (s int)")
	if _, e := run(conn, "COPY i (s) FROM 'other.parquet'"); !strings.HasPrefix(e, "22P02") {
		t.Errorf("a text into an integer: %q", e)
	}
	if n := rows(conn, "SELECT count(*) FROM i"); n != "\"0\"|\n" {
		t.Errorf("%s rows stay", n)
	}
}
