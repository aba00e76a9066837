package clients

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestCopyIntoPlainTables compares COPY into tables that nothing but NOT NULL is asked of, whose rows are appended as they come, and into
// ones that ask just a little more, with PostgreSQL: what is refused and where, what the table has then, and what savepoints leave of it.
func TestCopyIntoPlainTables(t *testing.T) {
	ctx := context.Background()
	there, here := bothServers(t)
	shown := func(c *pgconn.PgConn, sql, data string) string {
		var err error
		var out strings.Builder
		if strings.HasPrefix(sql, "COPY") {
			var tag pgconn.CommandTag
			tag, err = c.CopyFrom(ctx, strings.NewReader(data), sql)
			out.WriteString(tag.String())
		} else {
			var results []*pgconn.Result
			results, err = c.Exec(ctx, sql).ReadAll()
			for _, r := range results {
				fmt.Fprintf(&out, "%s ", r.CommandTag)
				for _, row := range r.Rows {
					fmt.Fprintf(&out, "%q\n", row)
				}
			}
		}
		var pe *pgconn.PgError
		if errors.As(err, &pe) {
			return fmt.Sprintf("%s %s | %s | %s | %s.%s", pe.Code, pe.Message, pe.Detail, pe.Where, pe.TableName, pe.ColumnName)
		}
		return fmt.Sprint(out.String(), err)
	}
	rows := func(from, to int, columns string) string {
		var b strings.Builder
		for i := from; i < to; i++ {
			b.WriteString(strings.ReplaceAll(columns, "#", fmt.Sprint(i)) + "\n")
		}
		return b.String()
	}
	const types = "b boolean, i2 smallint, i4 integer NOT NULL, i8 bigint, f4 real, f8 double precision, n numeric(12,3), t text, v varchar, a bytea, u uuid, d date, ts timestamp, tz timestamptz"
	const values = "t\t-5\t#\t9223372036854775807\t1.5\t-0\t#.0005\té\\t#\t\\N\t\\\\x00ff\t6f1ed002-ab5a-4d0d-9c3e-7d3b1f4dfe0#\t-infinity\t2024-02-29 23:59:59.9999995\tinfinity"
	all := "SELECT b, i2, i4, i8, f4, f8, n, t, v, a, u, d, ts AT TIME ZONE 'UTC', tz FROM x ORDER BY i4, t; SELECT count(*), count(v), sum(i4) FROM x"
	for _, c := range []struct{ sql, data string }{
		{"CREATE TABLE x (" + types + ")", ""},
		{"COPY x FROM STDIN", rows(0, 10, values)},
		{"COPY x (tz, ts, i4) FROM STDIN", "epoch\t2001-01-01\t50\n"},
		{"COPY x FROM STDIN (FORMAT csv, NULL '\\N')", strings.ReplaceAll(strings.ReplaceAll(rows(0, 10, values), "\\t", "\"\"x"), "\t", ",")},
		{all, ""},
		{"CREATE TABLE y (i integer NOT NULL, s text NOT NULL, n integer)", ""},
		{"COPY y FROM STDIN", rows(0, 10_000, "#\tvalue #\t\\N")},
		{"COPY y (n, s, i) FROM STDIN", rows(0, 5000, "\\N\tother\t#")},
		{"SELECT count(*), sum(i), min(s), max(s), count(n) FROM y", ""},
		{"COPY y FROM STDIN", rows(0, 5000, "#\tvalue #\t\\N") + "1\t\\N\t1\n" + rows(0, 5000, "x")},
		{"COPY y (s, n, i) FROM STDIN", rows(0, 2048, "s\t#\t#") + "\\N\t1\t\\N\n"},
		{"COPY y FROM STDIN", rows(0, 9000, "#\tvalue #\t#") + "x\tb\t1\n"},
		{"COPY y FROM STDIN", rows(0, 2047, "#\tvalue #\t#") + "1\tb\n"},
		{"COPY y FROM STDIN", rows(0, 9000, "#\tvalue #\t#") + "1\t\xff\t1\n"},
		{"COPY y FROM STDIN", rows(0, 3000, "#\tvalue é\t#") + "1\tb\t\xc3"},
		{"COPY y FROM STDIN (FORMAT csv)", rows(0, 9000, "#,value #,#") + "1,,1\n"},
		{"COPY y FROM STDIN (FORMAT csv)", rows(0, 5000, "#,\"a\nb\",#") + ",\"b\nc\",1\n"},
		{"COPY y FROM STDIN (FORMAT csv)", rows(0, 5000, "#,\"a\nb\",#") + "1,\"b\nc,1\n"},
		{"COPY y FROM STDIN (FORMAT binary)", binaryRows([]string{"\x00\x00\x00\x01", "a", ""}, []string{"\x00\x00\x00\x01", "", ""})},
		{"COPY y FROM STDIN (FORMAT binary)", binaryRows([]string{"\x00\x00\x00\x01", "a", ""}, []string{"\x00\x00\x00\x02", "b", "\x00\x00\x00\x01"})},
		{"SELECT count(*), sum(i), min(s), max(s), count(n) FROM y", ""},
		// Columns that came and went.
		{"ALTER TABLE y DROP COLUMN n; ALTER TABLE y ADD COLUMN z bigint NOT NULL DEFAULT 3", ""},
		{"COPY y FROM STDIN", rows(0, 3000, "#\tlater\t#")},
		{"COPY y (s, i) FROM STDIN", rows(0, 3000, "default\t#")},
		{"COPY y FROM STDIN", "1\ts\t\\N\n"},
		{"SELECT s, count(*), sum(i), sum(z) FROM y WHERE s IN ('later', 'default') GROUP BY s ORDER BY s", ""},
		// Lengths, keys and checks.
		{"CREATE TABLE k (c char(3), v varchar(3), n numeric(3,1), t timestamp(0)); CREATE TABLE q (i integer); CREATE UNIQUE INDEX q_i ON q (i); CREATE TABLE e (i integer CHECK (i < 5000))", ""},
		{"COPY k FROM STDIN", "a\tabc\t1.25\t2024-01-01 00:00:00.5\n"},
		{"COPY k FROM STDIN", "a\tabc\t125\t2024-01-01 00:00:00.5\n"},
		{"SELECT * FROM k", ""},
		{"COPY q FROM STDIN", rows(0, 5000, "#") + "17\n"},
		{"COPY q FROM STDIN", rows(0, 5000, "#")},
		{"COPY e FROM STDIN", rows(0, 5001, "#")},
		{"COPY e FROM STDIN", rows(0, 5000, "#")},
		{"SELECT count(*), sum(i) FROM q; SELECT count(*), sum(i) FROM e", ""},
		// Temporary tables, transactions and savepoints.
		{"CREATE TEMP TABLE tmp (i integer NOT NULL)", ""},
		{"COPY tmp FROM STDIN", rows(0, 5000, "#")},
		{"COPY tmp FROM STDIN", rows(0, 5000, "#") + "\\N\n"},
		{"SELECT count(*), sum(i) FROM tmp", ""},
		{"CREATE TABLE w (i integer NOT NULL); BEGIN; INSERT INTO w VALUES (-1)", ""},
		{"COPY w FROM STDIN", rows(0, 3000, "#")},
		{"SELECT count(*), sum(i) FROM w", ""},
		{"SAVEPOINT a", ""},
		{"COPY w FROM STDIN", rows(0, 3000, "#")},
		{"SELECT count(*), sum(i) FROM w", ""},
		{"COPY w FROM STDIN", rows(0, 300_000, "#") + "\\N\n"},
		{"SELECT 1", ""},
		{"ROLLBACK TO a", ""},
		{"SELECT count(*), sum(i) FROM w", ""},
		{"COPY w FROM STDIN", rows(0, 300_000, "#") + "x\n"},
		{"ROLLBACK TO a", ""},
		{"SELECT count(*), sum(i) FROM w", ""},
		{"COPY w FROM STDIN", rows(0, 10, "#")},
		{"COMMIT", ""},
		{"SELECT count(*), sum(i) FROM w", ""},
		{"BEGIN", ""},
		{"COPY w FROM STDIN", rows(0, 300_000, "#")},
		{"ROLLBACK", ""},
		{"SELECT count(*), sum(i) FROM w", ""},
		{"COPY w FROM STDIN", rows(0, 300_000, "#")},
		{"SELECT count(*), sum(i) FROM w", ""},
	} {
		want, got := shown(there, c.sql, c.data), shown(here, c.sql, c.data)
		if got != want {
			t.Errorf("%s of %d bytes:\nPostgreSQL %s\nTilehouse  %s", c.sql, len(c.data), want, got)
		}
	}
}
