package clients

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

var rewriteDescribe = flag.Bool("rewrite", false, "write testdata/psql/describe anew")

// aligned runs a script as a person sees it: with psql's tables, errors among the output.
func aligned(t *testing.T, dsn, script string) string {
	t.Helper()
	cmd := exec.Command(program(t, "psql"), "-X", "-q", "-d", dsn)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "PAGER=cat")
	cmd.Stdin = strings.NewReader(script)
	out, _ := cmd.CombinedOutput() // psql's exit code says nothing of backslash commands
	return string(out)
}

// each runs commands in one session and gives what each wrote.
func each(t *testing.T, dsn string, commands []string) []string {
	t.Helper()
	const mark = "== next command"
	out := aligned(t, dsn, strings.Join(commands, "\n\\echo "+mark+"\n")+"\n")
	parts := strings.Split(out, mark+"\n")
	if len(parts) != len(commands) {
		t.Fatalf("%d commands wrote %d parts:\n%s", len(commands), len(parts), out)
	}
	return parts
}

// ordinary are objects that PostgreSQL has, too.
const ordinary = `CREATE TABLE plain (a int PRIMARY KEY, b text UNIQUE, c numeric(10,2) DEFAULT 1.5 NOT NULL, d timestamptz, e float8, f date, g boolean, h uuid, i text[], j interval, k json, l bytea, m smallint, n bigint[], o time, p timestamp, q real);
CREATE TABLE pair (a bigint, b bigint, note text, PRIMARY KEY (a, b));
CREATE VIEW short AS SELECT a, c, d FROM plain;
COMMENT ON TABLE plain IS 'a table of many types';
COMMENT ON COLUMN plain.c IS 'a price';
`

// What psql's commands say of ordinary objects is what they say when a PostgreSQL 15 has the same ones.
func TestDescribeAsPostgres(t *testing.T) {
	reference := postgres.Start(t)
	conn, err := pgx.Connect(t.Context(), reference)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, sql := range []string{"CREATE ROLE tilehouse LOGIN", "CREATE DATABASE tilehouse OWNER tilehouse"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	reference = strings.Replace(strings.Replace(reference, "postgres@", "tilehouse@", 1), "/postgres?", "/tilehouse?", 1)
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	for _, dsn := range []string{reference, s.DSN()} {
		if out := aligned(t, dsn, ordinary); out != "" {
			t.Fatal(out)
		}
	}
	commands := []string{`\d`, `\dt`, `\dt pl*`, `\dv`, `\di`, `\ds`, `\dm`, `\dE`, `\d plain`, `\d public.plain`, `\d+ plain`, `\d pair`, `\d short`, `\d plain_pkey`, `\d nothing`,
		`\df`, `\dT`, `\dD`, `\dC nothing`, `\dd`, `\ddp`, `\dP`, `\dX`, `\dRp`, `\dRs`, `\deu`, `\det`, `\dy`, `\drds`, `\dl`, `\dp`, `\z plain`, `\sf nothing`, `\sv nothing`,
		`SELECT 'plain'::regclass::oid > 0, to_regclass('nothing') IS NULL;`,
		`SELECT c.oid::regclass, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.oid = 'plain'::regclass AND a.attnum > 0 ORDER BY a.attnum;`,
		`SELECT obj_description('plain'::regclass, 'pg_class'), col_description('plain'::regclass, 3), pg_get_userbyid(10) IS NULL, pg_encoding_to_char(6), current_setting('server_encoding');`,
		`SELECT conname, contype, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'plain'::regclass ORDER BY 1;`,
		`SELECT pg_get_indexdef('plain_pkey'::regclass), pg_table_is_visible('plain'::regclass), has_table_privilege('plain', 'SELECT');`,
		`SELECT array_to_string(array_remove(ARRAY['a', 'b', NULL], 'b'), ',', '-'), array_upper(ARRAY[4, 5], 1), array_lower(ARRAY[4], 1), array_upper(ARRAY[4], 2);`,
		`SELECT quote_ident('a b'), quote_ident('ab'), quote_literal('it''s'), pg_size_pretty(10::bigint), pg_size_pretty(123456789::bigint), pg_size_pretty(20000::bigint);`,
		`SELECT set_config('application_name', 'me', false), current_setting('application_name'), current_setting('nothing.at_all', true), current_database(), current_schema(), current_user;`,
		`SELECT '12345'::regclass::oid, array_upper(current_schemas(false), 1), (SELECT count(*) > 100 FROM pg_get_keywords() WHERE word <> 'user');`,
		`SELECT current_setting('default_table_access_method');`,
		`SELECT current_schemas(false), pg_is_in_recovery(), pg_backend_pid() > 0, pg_postmaster_start_time() < now(), version() LIKE 'PostgreSQL 15.%';`,
		`SELECT typname, typlen, typcategory, typelem, typarray FROM pg_type WHERE typname IN ('int4', '_int4', 'text', '_text', 'numeric', 'timestamptz', 'oid', 'bool', 'uuid', 'json', 'interval') ORDER BY 1;`,
	}
	want := each(t, reference, commands)
	for i, got := range each(t, s.DSN(), commands) {
		if got != want[i] {
			t.Errorf("%s\n%s\nPostgreSQL:\n%s", commands[i], got, want[i])
		}
	}
}

// described stands in testdata/psql/describe with what psql shows of objects that PostgreSQL has not, and of the server.
var described = []string{`\d`, `\d+`, `\dt`, `\dt+`, `\dv`, `\dE`, `\dE+`, `\di`, `\d ev`, `\d+ ev`, `\d lake`, `\d+ lake`, `\d big`, `\d+ big`, `\d customer`, `\d+ customer`, `\d spend`, `\d+ spend`, `\d risk`, `\sv risk`,
	`\d tilehouse.settings`, `\dv tilehouse.settings`, `\l`, `\l+`, `\dn`, `\dn+`, `\du`, `\du+`, `\dg`, `\df`, `\df+`, `\sf twice`, `\sf+ twice`, `\dp`, `\dd`, `\db`, `\db+`, `\des`, `\det`, `\dew`, `\dA`, `\dL`, `\dx`, `\dconfig search_path`,
	`\dC`, `\dO`, `\do`, `\da`, `\dF`, `\dFd`, `\dAc`, `\d nothing`, `SELECT version();`}

func TestDescribe(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "lake.csv"), []byte("k,price,at\n7,1.5,2024-01-01 00:00:00Z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := servertest.Start(t, t.TempDir(), servertest.Options{Args: []string{"--file-root", root}})
	setup := eventsTable + `COMMENT ON TABLE ev IS 'card payments';
COMMENT ON COLUMN ev.amount IS 'in euros';
SET client_min_messages = error;
CREATE SOURCE lake WITH (connector = 'file', path = 'lake.csv', event_time = 'at');
CREATE VIEW big WITH (event_time = 'ts') AS SELECT k, amount, ts FROM ev WHERE amount > 100;
CREATE ENTITY customer (k bigint);
COMMENT ON ENTITY customer IS 'who pays';
CREATE FEATURE spend ON customer AS SELECT k, sum(amount) AS total, count(*) AS n FROM ev GROUP BY k WINDOW 7 DAYS;
CREATE FEATURE VIEW risk AS SELECT customer.k, spend_total / spend_n AS mean FROM customer;
CREATE FUNCTION twice(x bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT x * 2 $$;
CREATE TABLE plain (a int PRIMARY KEY);
`
	if out := aligned(t, s.DSN(), setup); strings.Contains(out, "ERROR") {
		t.Fatal(out)
	}
	var got strings.Builder
	for i, out := range each(t, s.DSN(), described) {
		c := described[i]
		if strings.Contains(out, "ERROR:") && !strings.Contains(c, "nothing") {
			t.Errorf("%s: %s", c, out)
		}
		got.WriteString("== " + c + "\n")
		for line := range strings.Lines(out) {
			got.WriteString(strings.TrimRight(line, " \n") + "\n")
		}
	}
	const golden = "testdata/psql/describe"
	if *rewriteDescribe {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("psql shows other things than %s, which -rewrite writes anew:\n%s", golden, got.String())
	}
}
