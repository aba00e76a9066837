package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

const (
	// answerWithin is how soon another session must be answered while a probe runs.
	answerWithin = 5 * time.Second
	// probeWithin bounds a probe, statement_timeout included.
	probeWithin = 30 * time.Second
	// memoryLimit is the server's, and mostMemory what it may take under it with all that the probes do, in bytes: the limit, which
	// counts what DuckDB and Go hold, and beside it what a large call of a function takes, of which one runs at a time under such a
	// limit: its arguments, what it holds, its result, and DuckDB's copies of the longest of them.
	memoryLimit = "300MB"
	mostMemory  = 300e6 + 4*duck.MaxBatchText
)

type sandbox struct {
	*servertest.Server
	root string
}

func start(t *testing.T) *sandbox {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "secret.csv"), []byte("a\nthe secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := servertest.Start(t, t.TempDir(), servertest.Options{Args: []string{"--memory-limit", memoryLimit, "--file-root", root, "--export-root", filepath.Join(root)}})
	box := &sandbox{s, root}
	owner := box.connect(t, "tilehouse")
	for _, sql := range []string{"CREATE ROLE reader LOGIN", "CREATE TABLE t (a bigint, b text)", "INSERT INTO t VALUES (1, 'one'), (2, 'two')", "GRANT SELECT ON t TO reader",
		"CREATE TABLE hidden (a text)", "INSERT INTO hidden VALUES ('the secret')"} {
		if _, err := owner.Exec(context.Background(), sql).ReadAll(); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	return box
}

func (s *sandbox) connect(t *testing.T, role string) *pgconn.PgConn {
	t.Helper()
	c, err := pgconn.Connect(context.Background(), fmt.Sprintf("host=%s port=%s user=%s dbname=tilehouse sslmode=disable", s.Host, s.Port, role))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// run is the SQLSTATE of a statement, "" where it succeeds, and what it gave.
func run(conn *pgconn.PgConn, sql string) (code, text string) {
	ctx, cancel := context.WithTimeout(context.Background(), probeWithin)
	defer cancel()
	results, err := conn.Exec(ctx, sql).ReadAll()
	var out strings.Builder
	for _, r := range results {
		for _, row := range r.Rows {
			for _, v := range row {
				out.Write(v)
				out.WriteByte('|')
			}
		}
	}
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused):
		return refused.Code, refused.Message
	case err != nil:
		return "broken", err.Error()
	}
	return "", out.String()
}

// probes are statements that must be refused, with the SQLSTATEs that do.
var probes = []struct{ sql, codes string }{
	// Files.
	{"SELECT * FROM read_csv('ROOT/secret.csv')", "42883"},
	{"SELECT * FROM read_csv_auto('ROOT/secret.csv')", "42883"},
	{"SELECT content FROM read_text('ROOT/secret.csv')", "42883"},
	{"SELECT * FROM read_blob('/etc/passwd')", "42883"},
	{"SELECT * FROM read_json('/etc/passwd')", "42883"},
	{"SELECT * FROM read_parquet('ROOT/x.parquet')", "42883"},
	{"SELECT * FROM parquet_scan('ROOT/x.parquet')", "42883"},
	{"SELECT * FROM parquet_metadata('ROOT/x.parquet')", "42883"},
	{"SELECT * FROM glob('/etc/*')", "42883"},
	{"SELECT * FROM sniff_csv('ROOT/secret.csv')", "42883"},
	{"SELECT * FROM read_duckdb('ROOT/x')", "42883"},
	{"SELECT * FROM \"ROOT/secret.csv\"", "42P01"},
	{"SELECT * FROM \"/etc/passwd\"", "42P01"},
	{"SELECT * FROM \"secret.csv\"", "42P01"},
	{"SELECT * FROM public.\"secret.csv\"", "42P01"},
	{"INSERT INTO t SELECT 1, a FROM \"ROOT/secret.csv\"", "42P01 42501"},
	{"CREATE VIEW w AS SELECT * FROM \"ROOT/secret.csv\"", "42P01 42501"},
	{"CREATE TABLE w AS SELECT * FROM read_csv('ROOT/secret.csv')", "42883 42501"},
	{"COPY t FROM '/etc/passwd'", "0A000 42501"},
	{"COPY t FROM PROGRAM 'id'", "0A000 42501"},
	{"COPY t TO PROGRAM 'cat'", "0A000 42501"},
	{"COPY t TO '/tmp/tilehouse-sandbox.csv'", "42501"},
	{"COPY t TO '../tilehouse-sandbox.csv'", "42501"},
	{"CREATE SOURCE f WITH (connector = 'file', path = '/etc/passwd', format = 'csv')", "42501 58P01"},
	{"CREATE SOURCE f WITH (connector = 'file', path = '../../etc/passwd', format = 'csv')", "42501 58P01"},
	{"EXPORT DATABASE '/tmp/x'", "42601"},
	{"IMPORT DATABASE '/tmp/x'", "42601"},
	{"SELECT pg_read_file('/etc/passwd')", "42883"},
	{"SELECT pg_ls_dir('/')", "42883"},
	{"SELECT lo_import('/etc/passwd')", "42883"},
	{"CREATE TABLE d (a text DEFAULT (SELECT content FROM read_text('ROOT/secret.csv')), ts timestamptz NOT NULL) WITH (event_time = 'ts')", "0A000 42501"},
	{"CREATE TABLE d (a text DEFAULT getvariable('x'), ts timestamptz NOT NULL) WITH (event_time = 'ts')", "42883 42501"},
	{"CREATE TABLE d (a text DEFAULT getenv('HOME'))", "42883 42501"},
	// The network.
	{"SELECT * FROM read_csv('https://127.0.0.1:1/x.csv')", "42883"},
	{"SELECT * FROM read_parquet('s3://bucket/x.parquet')", "42883"},
	{"SELECT * FROM \"https://127.0.0.1:1/x.parquet\"", "42P01"},
	{"SELECT * FROM 'https://127.0.0.1:1/x.parquet'", "42601"},
	{"CREATE SOURCE f WITH (connector = 'file', path = 'https://127.0.0.1:1/x.parquet')", "42501 58P01"},
	{"CREATE SOURCE f WITH (connector = 'file', path = 's3://bucket/x.parquet')", "42501 58P01"},
	{"COPY t FROM 'https://127.0.0.1:1/x.csv'", "0A000 42501 58P01"},
	{"ATTACH 'https://127.0.0.1:1/x.db' AS x", "42601"},
	{"SET s3_region = 'x'", "42704"},
	{"SET custom_extension_repository = 'http://127.0.0.1:1'", "42704"},
	// Code.
	{"INSTALL httpfs", "42601"},
	{"INSTALL httpfs FROM community", "42601"},
	{"FORCE INSTALL httpfs", "42601"},
	{"UPDATE EXTENSIONS", "42601"},
	{"SELECT * FROM duckdb_extensions()", "42883"},
	{"LOAD 'httpfs'", "0A000 42501"},
	{"LOAD httpfs", "42601"},
	{"ATTACH '/tmp/x.db'", "42601"},
	{"ATTACH DATABASE 'x' AS y", "42601"},
	{"DETACH proj", "42601"},
	{"USE proj", "42601"},
	{"CREATE EXTENSION plpython3u", "0A000 42501"},
	{"CREATE FUNCTION f() RETURNS text LANGUAGE c IMMUTABLE AS '/lib/x.so', 'f'", "0A000 42501"},
	{"CREATE FUNCTION f(x bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT getvariable('x') $$", "42883 42501"},
	{"DO $$ BEGIN PERFORM 1; END $$", "0A000 42501"},
	// SQL that nobody checked.
	{"SELECT * FROM query('SELECT * FROM hidden')", "42883"},
	{"SELECT * FROM query_table('hidden')", "42883"},
	{"SELECT * FROM query_table(['hidden'])", "42601"},
	{"SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM hidden'))", "42883"},
	{"SELECT json_serialize_sql('SELECT 1')", "42883"},
	{"SELECT json_serialize_plan('SELECT 1')", "42883"},
	{"SELECT * FROM seq_scan('hidden')", "42883"},
	{"SELECT * FROM histogram(hidden, a)", "42883 42703"},
	{"SELECT * FROM histogram('hidden', 'a')", "42883"},
	{"SELECT * FROM public.histogram(hidden, a)", "42883 42703"},
	{"SELECT * FROM ROWS FROM (histogram(hidden, a))", "42883 0A000 42703"},
	{"SELECT * FROM histogram(hidden, a) WITH ORDINALITY", "42883 0A000 42703"},
	{"SELECT * FROM LATERAL histogram(hidden, a)", "42883 42703"},
	{"SELECT * FROM histogram_values(hidden, a)", "42883 42703"},
	{"SELECT * FROM summary(hidden)", "42883 42703"},
	{"SELECT list_aggregate([1], 'sum')", "42601"},
	{"SELECT list_aggregate(ARRAY[1], 'sum')", "42883"},
	{"SELECT COLUMNS('a') FROM t", "42883"},
	{"SELECT * EXCLUDE (a) FROM t", "42601"},
	{"FROM t", "42601"},
	{"SUMMARIZE t", "42601"},
	{"DESCRIBE t", "42601"},
	{"PIVOT t ON a", "42601"},
	{"SELECT * FROM sql_auto_complete('SEL')", "42883"},
	{"PREPARE p AS SELECT * FROM query('SELECT 1')", "42883 0A000"},
	{"EXPLAIN SELECT * FROM read_csv('ROOT/secret.csv')", "42883"},
	{"SELECT (SELECT max(a) FROM query_table('hidden'))", "42883"},
	{"WITH x AS (SELECT * FROM glob('/*')) SELECT * FROM x", "42883"},
	{"SELECT a FROM t WHERE a IN (SELECT 1 FROM read_text('/etc/passwd'))", "42883"},
	{"SELECT a FROM t ORDER BY (SELECT count(*) FROM glob('/*'))", "42883"},
	{"SELECT sum(a) OVER (ORDER BY getvariable('x')) FROM t", "42883"},
	{"SELECT sum(a) FILTER (WHERE getvariable('x') IS NULL) FROM t", "42883"},
	{"SELECT * FROM t TABLESAMPLE getenv (10)", "42704 0A000 42883 42P17 42601"},
	{"SELECT system.main.getvariable('x')", "0A000"},
	{"SELECT main.getvariable('x')", "3F000"},
	{"SELECT pg_catalog.getvariable('x')", "42883"},
	{"SELECT \"getvariable\"('x')", "42883"},
	{"SELECT __divide_16(1, 0)", "42883"},
	{"SELECT __fits(1, 2)", "42883"},
	{"SELECT __tilehouse_each(1, 2)", "42883"},
	// What DuckDB keeps for itself.
	{"SELECT * FROM duckdb_secrets()", "42883"},
	{"SELECT * FROM which_secret('s3://x', 's3')", "42883"},
	{"SELECT * FROM duckdb_settings()", "42883"},
	{"SELECT * FROM duckdb_logs()", "42883"},
	{"SELECT * FROM duckdb_logs", "42P01"},
	{"SELECT * FROM duckdb_tables", "42P01"},
	{"SELECT * FROM sqlite_master", "42P01"},
	{"SELECT * FROM pragma_database_list", "42P01"},
	{"SELECT * FROM main.t", "42P01"},
	{"SELECT * FROM proj.main.t", "0A000"},
	{"SELECT * FROM system.information_schema.tables", "0A000"},
	{"SELECT * FROM temp.main.x", "0A000"},
	{"INSERT INTO proj.main.t VALUES (1)", "0A000 42501"},
	{"DROP TABLE proj.main.t", "0A000 42501"},
	{"CREATE TABLE main.x (a integer)", "3F000 42501"},
	{"CREATE TABLE __x (a integer)", "42939 42501"},
	{"SELECT * FROM __x", "42P01"},
	{"SELECT getvariable('x')", "42883"},
	{"SELECT getenv('HOME')", "42883"},
	{"SELECT current_setting('temp_directory')", "42704"},
	{"SELECT current_setting('secret_directory')", "42704"},
	{"SET VARIABLE x = 1", "42601 42704 0A000"},
	{"SET memory_limit = '100GB'", "42704"},
	{"SET enable_external_access = true", "42704"},
	{"SET GLOBAL threads = 100", "42601"},
	{"SET SESSION threads = 100", "42704"},
	{"RESET lock_configuration", "42704"},
	{"PRAGMA database_list", "42601"},
	{"PRAGMA enable_profiling", "42601"},
	{"CALL pragma_version()", "0A000 42501"},
	{"CALL enable_logging()", "0A000 42501"},
	{"SELECT * FROM pragma_version()", "42883"},
	{"SELECT * FROM enable_logging()", "42883"},
	{"SELECT * FROM enable_logging('x', storage => 'file')", "42883"},
	{"SELECT * FROM enable_logging(storage => 'file', storage_path => '/tmp/x')", "42883"},
	{"SELECT * FROM enable_logging(storage='file', storage_path='/tmp/x')", "42883 42703"},
	{"SELECT message FROM duckdb_logs() WHERE type = 'QueryLog'", "42883"},
	{"SELECT * FROM duckdb_log_contexts()", "42883"},
	{"CREATE OR REPLACE MACRO main.sum(a) AS 1", "42601"},
	{"SELECT system.main.sum(1)", "0A000"},
	{"SELECT * FROM disable_logging()", "42883"},
	{"SELECT * FROM truncate_duckdb_logs()", "42883"},
	{"SELECT write_log('x')", "42883"},
	{"SELECT * FROM enable_profiling()", "42883"},
	{"SELECT * FROM checkpoint()", "42883"},
	{"SELECT * FROM force_checkpoint()", "42883"},
	{"SELECT * FROM test_all_types()", "42883"},
	{"SELECT * FROM repeat_row(1, num_rows => 10)", "42883"},
	{"CREATE MACRO sum(a) AS 1", "42601"},
	{"CREATE FUNCTION sum(a bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT 1 $$", "42723 42501 42710"},
	{"CREATE SECRET s (TYPE s3)", "0A000 42601 42501"},
	{"CREATE TYPE e AS ENUM ('a')", "0A000 42501"},
	{"SELECT nextval('s')", "42P01"},
	{"SELECT __tilehouse_sequence(1, 0, 1, 0, true)", "42883"},
	{"SELECT * FROM tables.__tilehouse.__objects", "0A000"},
	{"SELECT * FROM __tilehouse.__objects", "42P01"},
	{"SELECT * FROM __tilehouse_objects", "42P01"},
	{"SELECT * FROM catalogs.main.x", "0A000"},
	{"SELECT * FROM __tilehouse_rows(1, 'x')", "42883"},
	{"CREATE TEMP TABLE __tilehouse_objects (a text)", "42939"},
	{"CREATE TABLE w (a text DEFAULT getenv('HOME'))", "42883 42501"},
	{"CREATE TABLE w (a text, b text GENERATED ALWAYS AS (getenv(a)) STORED)", "42883 42501"},
	{"CREATE TABLE w (a text CHECK (getenv(a) = 'x'))", "42883 42501"},
	{"CREATE TEMP TABLE w (a text DEFAULT getenv('HOME'))", "42883"},
	{"CREATE TEMP TABLE w (a text, b text GENERATED ALWAYS AS (getenv(a)) STORED)", "42883"},
	{"CREATE TEMP TABLE w (a text CHECK (getenv(a) = 'x'))", "42883"},
	{"CREATE INDEX ON t ((getenv(b)))", "42883 42501"},
	{"CREATE INDEX ON t (a) WHERE getenv(b) = 'x'", "42883 42501"},
	{"ALTER TABLE t ADD COLUMN c text DEFAULT getenv('HOME')", "42883 42501"},
	{"ALTER TABLE t ALTER COLUMN b SET DEFAULT getenv('HOME')", "42883 42501"},
	{"ALTER TABLE t ALTER COLUMN b TYPE text USING getenv('HOME')", "42883 42501"},
	{"INSERT INTO t SELECT 1, getenv('HOME') ON CONFLICT DO NOTHING", "42883 42501"},
	{"INSERT INTO t VALUES (1, 'x') RETURNING getenv('HOME')", "42883 42501"},
	{"UPDATE t SET b = getenv('HOME')", "42883 42501"},
	{"DELETE FROM t WHERE getenv('HOME') <> ''", "42883 42501"},
	{"WITH w AS (DELETE FROM t RETURNING getenv('HOME')) SELECT * FROM w", "42883 42501"},
	{"CREATE MATERIALIZED VIEW w AS SELECT * FROM read_csv('ROOT/secret.csv')", "42883 42501"},
	{"CREATE VIEW w AS SELECT getenv('HOME') AS a", "42883 42501"},
	{"PREPARE w AS SELECT getenv('HOME')", "42883"},
	{"DECLARE w CURSOR WITH HOLD FOR SELECT getenv('HOME')", "42883"},
	{"COPY (SELECT getenv('HOME')) TO STDOUT", "42883"},
	{"SELECT error('tilehouse 28000: forged')", "42883"},
	{"SELECT sleep_ms(100000)", "42883"},
	{"ALTER SYSTEM SET x = 1", "0A000 42501"},
	{"SELECT format('%2000000000s', 'x')", "54000 53200"},
	{"SELECT format(b || '%2000000000s', 'x') FROM t", "54000 53200"},
	// Statements behind statements.
	{"SELECT 1; SELECT * FROM query('SELECT 1')", "42883"},
	{"SELECT 1; ATTACH 'x'", "42601"},
	{"SELECT 1; SELECT * FROM enable_logging()", "42883"},
	{"SELECT 'a;b'; PRAGMA database_list", "42601"},
	{"SELECT 1 /* ; */; SET memory_limit = '1TB'", "42704"},
	// Too much at once.
	{"SELECT repeat('x', 2000000000)", "54000"},
	{"SELECT lpad('x', 2000000000, 'y'), rpad('x', 2000000000, 'y')", "54000"},
	{"SELECT length(repeat(a::text, 100000000)) FROM t", "54000"},
	{"SELECT replace(repeat('a', 1000000), 'a', repeat('b', 1000000))", "54000"},
	{"SELECT regexp_replace(repeat('a', 1000000), 'a', repeat('b', 1000000), 'g')", "54000"},
	{"SELECT array_to_string(ARRAY(SELECT 'a' FROM generate_series(1, 100000)), repeat('x', 1000000))", "54000"},
	{"SELECT count(*) FROM generate_series(1, (SELECT 1000000000))", "54000"},
	{"SELECT count(*) FROM generate_series(1, 1000000000) WITH ORDINALITY", "54000"},
	{"SELECT count(*) FROM t, generate_series(1, t.a * 1000000000)", "54000"},
	{"SELECT array_fill(1, ARRAY[1000000000])", "54000"},
	{"SELECT string_agg('a', repeat('x', 1000000)) FROM generate_series(1, 100000)", "53200 54000"},
	{"SELECT generate_series(1, 1000000000)", "54000"},
	{"SELECT generate_series(1, (SELECT 1000000000))", "54000"},
	{"SELECT count(*) FROM unnest(generate_series(1, 1000000000))", "0A000 54000"},
	{"SELECT range(1000000000)", "42883"},
	{"SELECT list_resize(ARRAY[1], 1000000000)", "42883"},
	{"SELECT bitstring('1', 2000000000)", "42883"},
	{"SELECT " + strings.Repeat("(", 20_000) + "1" + strings.Repeat(")", 20_000), "54001 42601"},
	{"SELECT " + strings.Repeat("-", 1) + strings.Repeat(" - ", 20_000) + "1", "54001 42601 54000"},
	{"SELECT 1" + strings.Repeat(" + 1", 20_000), "54001 42601 54000"},
	{"SELECT " + strings.Repeat("abs(", 5_000) + "1" + strings.Repeat(")", 5_000), "54001 42601 54000"},
	{strings.Repeat("SELECT * FROM (", 3_000) + "SELECT 1" + strings.Repeat(") x", 3_000), "54001 42601 54000"},
	{strings.Repeat("EXPLAIN ", 100) + "SELECT 1", "54001 42601"},
}

// endings are statements that would take all memory or time: they end by a limit or statement_timeout.
var endings = []string{
	"SELECT count(*) FROM generate_series(1, 10000000) a(x), generate_series(1, 10000000) b(y) WHERE x + y = 7",
	"SELECT count(*) FROM generate_series(1, 1000000000000)",
	"SELECT sum(relpages) FROM pg_class, generate_series(1, 1000000000000)",
	"SELECT array_length(array_agg(x), 1) FROM generate_series(1, 100000000) a(x)",
	"SELECT length(string_agg(repeat('x', 1000), ',')) FROM generate_series(1, 1000000)",
	"WITH RECURSIVE r(s) AS (SELECT 'xxxxxxxxxx' UNION ALL SELECT s || s FROM r WHERE length(s) < 2000000000) SELECT max(length(s)) FROM r",
	"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
	"SELECT length(f || f) FROM (SELECT e || e AS f FROM (SELECT d || d AS e FROM (SELECT c || c AS d FROM (SELECT b || b AS c FROM (SELECT repeat('x', 60000000) AS b FROM generate_series(1, 1)) v) w) x) y) z",
	"SELECT count(*) FROM (SELECT DISTINCT x, random() AS r FROM generate_series(1, 2000000000) a(x)) y",
	"CREATE TEMP TABLE big AS SELECT x, md5(x::text) AS h FROM generate_series(1, 2000000000) a(x)",
}

// readerProbes are statements that a role that may only read is refused; a superuser is not.
var readerProbes = []struct{ sql, codes string }{
	{"SELECT * FROM hidden", "42501"},
	{"SELECT a FROM t WHERE EXISTS (SELECT 1 FROM hidden)", "42501"},
	{"WITH w AS MATERIALIZED (TABLE hidden) TABLE w", "42501"},
	{"SELECT x.* FROM t, LATERAL (SELECT * FROM hidden) x", "42501"},
	{"SELECT row_to_json(hidden) FROM hidden", "42501"},
	{"SELECT * FROM hiddenview", "42501"},
	{"SELECT * FROM hiddencopy", "42501"},
	{"SELECT * FROM hiddenschema.inside", "42501"},
	{"SELECT * FROM hiddenevents", "42501"},
	{"SELECT * FROM hiddenentity WHERE k = 1", "42501"},
	{"SELECT hiddenfeature_s FROM hiddenentity WHERE k = 1", "42501"},
	{"SELECT * FROM hiddenfeatureview WHERE k = 1 AND x = 2", "42501"},
	{"SELECT t.a, x.hiddenfeature_s FROM t ASOF JOIN hiddenentity x ON x.k = t.a AND now() > x.ts", "42501"},
	{"SELECT t.a, x.n FROM t ASOF JOIN (SELECT k, max(note) AS n FROM hiddenevents GROUP BY k WINDOW 7 DAYS) x ON x.k = t.a AND now() > x.ts", "42501"},
	{"SELECT * FROM features_for('hiddenentity', 1)", "42501"},
	{"EXPLAIN FEATURE hiddenfeature FOR (1) AT '2024-01-02'", "42501"},
	{"EXPLAIN ANALYZE SELECT * FROM hidden", "42501"},
	{"EXPLAIN ANALYZE SELECT hiddenfeature_s FROM hiddenentity WHERE k = 1", "42501"},
	{"COPY hidden TO STDOUT", "42501"},
	{"COPY (SELECT * FROM hidden) TO STDOUT", "42501"},
	{"COPY (SELECT * FROM t) TO 'x.csv'", "42501"},
	{"COPY t FROM 'secret.csv'", "42501"},
	{"PREPARE hiddenp AS SELECT * FROM hidden; EXECUTE hiddenp", "42501"},
	{"BEGIN; DECLARE c CURSOR FOR SELECT * FROM hidden; FETCH c", "42501"},
	{"ROLLBACK; CREATE TEMP TABLE mine AS SELECT * FROM hidden", "42501"},
	{"SELECT * INTO TEMP mine FROM hidden", "42501"},
	{"CREATE TEMP VIEW hiddenv AS SELECT * FROM hidden; SELECT * FROM hiddenv", "42501"},
	{"CREATE TEMP TABLE hidden (a text); SELECT * FROM public.hidden", "42501"},
	{"SET search_path = hiddenschema, public; SELECT * FROM inside", "42P01"},
	{"CREATE SCHEMA mine", "42501"},
	{"CREATE TABLE public.mine (a text)", "42501"},
	{"CREATE VIEW public.mine AS SELECT 1 AS a", "42501"},
	{"INSERT INTO t VALUES (3, 'x')", "42501"},
	{"UPDATE t SET b = 'x'", "42501"},
	{"DELETE FROM t", "42501"},
	{"TRUNCATE t", "42501"},
	{"SELECT * FROM t FOR UPDATE", "42501"},
	{"ALTER TABLE t OWNER TO reader", "42501"},
	{"COMMENT ON TABLE t IS 'x'", "42501"},
	{"GRANT SELECT ON public.hidden TO reader", "42501"},
	{"GRANT tilehouse TO reader", "42501"},
	{"ALTER ROLE reader SUPERUSER", "42501"},
	{"ALTER ROLE tilehouse PASSWORD 'x'", "42501"},
	{"CREATE ROLE mine SUPERUSER", "42501"},
	{"ALTER DEFAULT PRIVILEGES FOR ROLE tilehouse GRANT SELECT ON TABLES TO reader", "42501"},
	{"REASSIGN OWNED BY tilehouse TO reader", "42501"},
	{"DROP OWNED BY tilehouse", "42501"},
	{"SET ROLE tilehouse", "42501"},
	{"SET SESSION AUTHORIZATION tilehouse", "42501"},
	{"SELECT set_config('role', 'tilehouse', false)", "42501"},
	{"SELECT set_config('session_authorization', 'tilehouse', false)", "42501"},
	{"SELECT nextval('hiddensequence')", "42501"},
	{"SELECT setval('hiddensequence', 5)", "42501"},
	{"SELECT last_value FROM hiddensequence", "42501"},
	{"SELECT rolpassword FROM pg_authid", "42501"},
	{"SELECT passwd FROM pg_catalog.pg_shadow", "42501"},
	{"SELECT * FROM pg_statistic", "42501"},
	{"SELECT * FROM pg_user_mapping", "42501"},
	{"SELECT * FROM pg_hba_file_rules", "42501"},
	{"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = 'tilehouse'", "42501"},
	{"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tilehouse'", "42501"},
	{"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'neighbour'", "42501"},
	{"CREATE SOURCE s WITH (connector = 'file', path = 'secret.csv', format = 'csv')", "42501"},
	{"CREATE ENTITY e (k bigint)", "42501"},
	{"DROP FEATURE hiddenfeature", "42501"},
	{"REFRESH MATERIALIZED VIEW hiddencopy", "42501"},
	{"SELECT * FROM tilehouse.feature_log", "42501"},
	{"CHECKPOINT", "42501"},
	{"LOAD 'x'", "42501"},
}

// hiddenObjects are what readerProbes try to reach.
const hiddenObjects = `CREATE ROLE neighbour LOGIN; GRANT SELECT ON t TO neighbour;
CREATE VIEW hiddenview AS SELECT a FROM hidden; CREATE MATERIALIZED VIEW hiddencopy AS SELECT a FROM hidden; CREATE SEQUENCE hiddensequence;
CREATE SCHEMA hiddenschema; CREATE TABLE hiddenschema.inside (a text); INSERT INTO hiddenschema.inside VALUES ('the secret');
CREATE TABLE hiddenevents (id bigint PRIMARY KEY, k bigint, amount double precision, note text, ts timestamptz NOT NULL) WITH (event_time = 'ts');
INSERT INTO hiddenevents VALUES (1, 1, 4711.5, 'the secret', '2024-01-01');
CREATE ENTITY hiddenentity (k bigint); CREATE FEATURE hiddenfeature ON hiddenentity AS SELECT k, sum(amount) AS s, last(note) AS n FROM hiddenevents GROUP BY k WINDOW 7 DAYS;
CREATE FEATURE VIEW hiddenfeatureview AS SELECT c.hiddenfeature_s + r.x AS v FROM hiddenentity c, request() AS r(x double precision)`

// A role that may only read reaches nothing that it was not given, becomes nobody else, and neither sees nor ends what others run.
func TestReader(t *testing.T) {
	s := start(t)
	owner, neighbour := s.connect(t, "tilehouse"), (*pgconn.PgConn)(nil)
	for _, sql := range strings.Split(hiddenObjects, ";") {
		if code, text := run(owner, sql); code != "" {
			t.Fatalf("%s: %s %s", sql, code, text)
		}
	}
	neighbour = s.connect(t, "neighbour")
	if code, text := run(neighbour, "SELECT 'of the neighbour'"); code != "" {
		t.Fatal(text)
	}
	for _, p := range readerProbes {
		conn := s.connect(t, "reader")
		code, text := run(conn, p.sql)
		if code == "" || !strings.Contains(" "+p.codes+" ", " "+code+" ") {
			t.Errorf("%s: %q %s, want %s", p.sql, code, text, p.codes)
		}
		if strings.Contains(text, "the secret") || strings.Contains(text, "4711") {
			t.Errorf("%s: it tells %q", p.sql, text)
		}
		conn.Close(context.Background())
	}
	conn := s.connect(t, "reader")
	if code, text := run(conn, "SELECT usename, query, state, client_addr FROM pg_stat_activity WHERE usename <> 'reader'"); code != "" || strings.Count(text, "<insufficient privilege>|||") != 3 || strings.Contains(text, "neighbour'") {
		t.Errorf("what others run: %s %s", code, text)
	}
	if code, text := run(conn, "SELECT usename, state FROM pg_stat_activity WHERE pid = pg_backend_pid()"); text != "reader|active|" {
		t.Errorf("what it runs itself: %s %s", code, text)
	}
	for _, c := range []*pgconn.PgConn{owner, neighbour} {
		if code, text := run(c, "SELECT count(*) FROM t"); code != "" || text != "2|" {
			t.Errorf("another session: %s %s", code, text)
		}
	}
}

// Every probe is refused to a role that reads and to a superuser, and others are answered all the while.
func TestProbes(t *testing.T) {
	s := start(t)
	for _, role := range []string{"reader", "tilehouse"} {
		t.Run(role, func(t *testing.T) {
			conn := s.connect(t, role)
			for _, p := range probes {
				sql := strings.ReplaceAll(p.sql, "ROOT", s.root)
				shown := sql[:min(len(sql), 120)]
				code, text := run(conn, sql)
				if code == "" || !strings.Contains(" "+p.codes+" ", " "+code+" ") {
					t.Errorf("%s: %q %s, want %s", shown, code, text, p.codes)
				}
				if strings.Contains(text, "the secret") {
					t.Errorf("%s: it tells %q", shown, text)
				}
				if conn.IsClosed() {
					conn = s.connect(t, role)
				}
				if s.Ended() {
					t.Fatalf("%s: the server ended:\n%s", shown, s.Log())
				}
			}
			if code, text := run(s.connect(t, "reader"), "SELECT a FROM t ORDER BY a"); code != "" || text != "1|2|" {
				t.Errorf("afterwards: %q %s", code, text)
			}
			if code, _ := run(s.connect(t, "reader"), "SELECT * FROM hidden"); code != "42501" {
				t.Errorf("the hidden table: %q", code)
			}
		})
	}
}

// runBeside runs sql on conn, asks other a question some time after it began, and returns what run does and how long sql took.
func runBeside(t *testing.T, conn, other *pgconn.PgConn, sql string, after time.Duration) (code, text string, took time.Duration) {
	t.Helper()
	done := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(done)
		code, text = run(conn, sql)
		took = time.Since(began)
	}()
	time.Sleep(after)
	asked := time.Now()
	if code, text := run(other, "SELECT count(*) FROM t"); code != "" || time.Since(asked) > answerWithin {
		t.Errorf("%s: another session is answered %q %s after %v", sql[:min(len(sql), 120)], code, text, time.Since(asked))
	}
	<-done
	return code, text, took
}

// peakWithin holds that the server took at most some bytes at any time.
func (s *sandbox) peakWithin(t *testing.T, most int64) {
	t.Helper()
	if peak := s.PeakMemory(t); peak > most {
		t.Errorf("the server took %d MiB", peak>>20)
	} else {
		t.Logf("the server took %d MiB", peak>>20)
	}
}

// Statements that have no end of their own end, within the memory limit, and others are answered meanwhile.
func TestEndings(t *testing.T) {
	s := start(t)
	for _, role := range []string{"reader", "tilehouse"} {
		conn := s.connect(t, role)
		if code, text := run(conn, "SET statement_timeout = '1500ms'"); code != "" {
			t.Fatal(text)
		}
		other := s.connect(t, "reader")
		for _, sql := range endings {
			shown := sql[:min(len(sql), 120)]
			code, text, took := runBeside(t, conn, other, sql, 300*time.Millisecond)
			if !strings.Contains("57014 53200 53100 54000 54001", code) || code == "" {
				t.Errorf("%s: %q %s", shown, code, text)
			}
			if took > 15*time.Second {
				t.Errorf("%s: took %v", shown, took)
			}
			if conn.IsClosed() {
				t.Fatalf("%s: the connection is closed: %s\n%s", shown, text, s.Log())
			}
		}
	}
	s.peakWithin(t, mostMemory)
}

// mostCopies is what the server may take in TestManyCopies, in bytes: beside what mostMemory allows, the constants that DuckDB computes
// while it plans, which count for no limit of its own, and the copies of a function's arguments that the collector has not taken back.
const mostCopies = 2 * mostMemory

// A long text that a function gets many times over does not take the memory of as many copies, which ended the server.
func TestManyCopies(t *testing.T) {
	s := start(t)
	conn := s.connect(t, "reader")
	code, text := run(conn, "SET statement_timeout = '10s'; SELECT concat(r, r, r, r, r, r, r, r, r, r) FROM (SELECT repeat('x', 60000000) AS r) x")
	if code != "54000" && code != "57014" && code != "53200" {
		t.Errorf("%q %s", code, text[:min(len(text), 200)])
	}
	if code, text := run(s.connect(t, "reader"), "SELECT count(*) FROM t"); code != "" || text != "2|" {
		t.Errorf("afterwards: %q %s", code, text)
	}
	s.peakWithin(t, mostCopies)
}
