package duck

import (
	"fmt"
	"strings"
	"testing"
)

// What a client sees of DuckDB's errors: the SQLSTATE, a sentence, and where.
func TestErrors(t *testing.T) {
	db := open(t, Options{Threads: 1})
	c, d := connect(t, db), connect(t, db)
	exec(t, c, "CREATE TABLE t (a int PRIMARY KEY, b int NOT NULL, c int CHECK (c > 0))")
	exec(t, c, "INSERT INTO t VALUES (1, 1, 1)")
	for _, x := range []struct {
		sql, state string
		position   int
		message    string // what it begins with
	}{
		{"SELECT nope", "42703", 8, `Referenced column "nope"`}, {"SELECT 'é', nope", "42703", 14, ""}, {"SELECT * FROM nope", "42P01", 15, "Table with name nope does not exist!"},
		{"SELECT nope.x", "42P01", 8, ""}, {"SELECT 1 FROM b.c", "42P01", 15, ""}, {"SELECT nope(1)", "42883", 8, "Scalar Function with name nope"},
		{"SELECT 'x' + true", "42883", 12, "No function matches the given name and argument types '+("}, {"SELECT 'a'::int", "22P02", 11, "Could not convert string 'a' to integer"},
		{"SELECT 'x'::uuid", "22P02", 11, ""}, {"SELECT 1+", "42601", 10, "syntax error at end of input"}, {"selec", "42601", 1, `syntax error at or near "selec"`},
		{"SELECT 300::utinyint", "22003", 11, ""}, {"SELECT 2147483647::int + 1::int", "22003", 0, ""}, {"SELECT 10000::decimal(4,1)", "22003", 13, ""},
		{"SELECT '2020-13-01'::date", "22008", 20, ""}, {"SELECT 'x'::timestamp", "22007", 11, ""}, {"SELECT '99:00'::time", "22008", 15, ""},
		{"INSERT INTO t VALUES (1, 1, 1)", "23505", 0, `Duplicate key "a: 1"`}, {"INSERT INTO t VALUES (2, NULL, 1)", "23502", 0, "NOT NULL constraint failed: t.b"},
		{"INSERT INTO t VALUES (2, 1, -1)", "23514", 0, "CHECK constraint failed"}, {"CREATE TABLE t (a int)", "42P07", 0, ""}, {"CREATE TABLE u (a int, a int)", "42701", 0, ""},
		{"DROP TABLE nope", "42P01", 0, ""}, {"DROP SCHEMA nope", "3F000", 0, ""}, {"CREATE SCHEMA main", "42P06", 0, ""}, {"SELECT 'x'::nosuchtype", "42704", 0, ""},
		{"INSERT INTO t (zz) VALUES (1)", "42703", 0, ""}, {"SELECT a FROM t GROUP BY b", "42803", 8, `column "a" must appear in the GROUP BY`}, {"SELECT sum(sum(a)) FROM t", "42803", 12, ""},
		{"SELECT a FROM t x, t y", "42702", 8, ""}, {"SELECT (SELECT i FROM range(3) r(i))", "21000", 0, "More than one row"}, {"SELECT [1]::int", "42846", 0, ""},
		{"SELECT '{'::json", "22P02", 11, "Malformed JSON"}, {"SELECT json('{')", "22P02", 0, ""}, {"SELECT a FROM t FOR UPDATE", "0A000", 0, ""}, {"SELECT 1; SELECT 2", "42601", 0, ""},
		{"", "42601", 0, ""}, {"COMMIT", "25P01", 0, ""}, {"SELECT error('boom')", "22023", 0, "boom"}, {"SELECT * FROM (VALUES (1)) v(a, b)", "42P10", 0, ""},
		{"SELECT * FROM read_csv('/etc/passwd')", "42501", 15, ""}, {"SELECT sqrt(-1)", "22003", 0, ""}, {"SELECT 1 LIMIT -1", "2201W", 0, ""},
	} {
		_, err := read(c, x.sql)
		e, ok := err.(*Error)
		if !ok {
			t.Errorf("%s: %v", x.sql, err)
			continue
		}
		if e.SQLState != x.state || x.position != 0 && e.Position != x.position || !strings.HasPrefix(e.Message, x.message) {
			t.Errorf("%s: %s at %d: %s (hint: %s)", x.sql, e.SQLState, e.Position, e.Message, e.Hint)
		}
		if strings.ContainsAny(e.Message, "\n{") && !strings.Contains(x.sql, "{") || strings.Contains(e.Hint, "SET ") || len(e.Hint) > maxHint+4 || e.Message == "" {
			t.Errorf("%s: noise: %q, %q", x.sql, e.Message, e.Hint)
		}
	}
	// Conflicts of transactions.
	exec(t, c, "BEGIN")
	exec(t, d, "BEGIN")
	exec(t, c, "UPDATE t SET b = 2")
	if _, err := d.Exec(t.Context(), "UPDATE t SET b = 3"); SQLState(err) != "40001" {
		t.Errorf("a conflict: %v (%s)", err, SQLState(err))
	}
	if _, err := d.Exec(t.Context(), "SELECT 1"); SQLState(err) != "25P02" {
		t.Errorf("after a conflict: %v (%s)", err, SQLState(err))
	}
	exec(t, d, "ROLLBACK")
	if _, err := c.Exec(t.Context(), "BEGIN"); SQLState(err) != "25001" {
		t.Errorf("BEGIN in a transaction: %v (%s)", err, SQLState(err))
	}
	exec(t, c, "COMMIT")
	// Two transactions insert one key: the later commit fails.
	exec(t, c, "BEGIN")
	exec(t, d, "BEGIN")
	exec(t, c, "INSERT INTO t VALUES (9, 9, 9)")
	_, err := d.Exec(t.Context(), "INSERT INTO t VALUES (9, 9, 9)")
	exec(t, c, "COMMIT")
	if err == nil {
		_, err = d.Exec(t.Context(), "COMMIT")
	}
	if s := SQLState(err); s != "23505" && s != "40001" || strings.Contains(err.Error(), "{") {
		t.Errorf("one key twice: %v (%s)", err, s)
	}
}

func TestParseError(t *testing.T) {
	for raw, want := range map[string]string{
		`IO Error: Cannot open file "x": No such file or directory`:                                                                                           `58P01 IO: Cannot open file "x": No such file or directory`,
		`Failed to append: {"exception_type":"Constraint","exception_message":"Duplicate key \"a\""}`:                                                         `23505 Constraint: Duplicate key "a"`,
		`{"exception_type":"INTERNAL","exception_message":"odd\nThis error signals an assertion failure and so"}`:                                             `XX000 INTERNAL: odd`,
		`{"exception_type":"TransactionContext","exception_message":"Failed: {\"exception_type\":\"IO\",\"exception_message\":\"No space left on device\"}"}`: `53100 IO: No space left on device`,
		`{"exception_type":"IO","exception_mess`:                                                                                                              `XX000 : {"exception_type":"IO","exception_mess`,
		``:                                                                                                                                                    `XX000 : `,
		`{"exception_type":"Divide by Zero","exception_message":"x"}`:                                                                                         `22012 Divide by Zero: x`,
		`{"exception_type":"INTERRUPT","exception_message":"Interrupted!"}`:                                                                                   `57014 INTERRUPT: canceling statement due to user request`,
		`{"exception_type":"Never heard of","exception_message":"{not json}"}`:                                                                                `XX000 Never heard of: {not json}`,
	} {
		e := parseError(raw)
		if got := fmt.Sprintf("%s %s: %s", e.SQLState, e.Type, e.Message); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", raw, got, want)
		}
	}
}
