package clients

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// twin is a PostgreSQL 15 whose first role and database are called tilehouse, so that what it says of owners is what Tilehouse says.
func twin(t *testing.T) string {
	t.Helper()
	dsn := postgres.Start(t)
	conn := connectTo(t, dsn)
	for _, sql := range []string{"CREATE ROLE other SUPERUSER LOGIN", "CREATE DATABASE tilehouse"} {
		if _, err := conn.Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close(t.Context())
	conn = connectTo(t, strings.Replace(dsn, "postgres@", "other@", 1))
	if _, err := conn.Exec(t.Context(), "ALTER ROLE postgres RENAME TO tilehouse").ReadAll(); err != nil {
		t.Fatal(err)
	}
	conn.Close(t.Context())
	return strings.Replace(strings.Replace(dsn, "postgres@", "tilehouse@", 1), "/postgres?", "/tilehouse?", 1)
}

// searched sets the search path of a session of either: PostgreSQL searches the schema of the role's name by default.
const searched = "options=-csearch_path%3Dpublic"

// oursLike is a connection to a Tilehouse with the settings that one to its twin has.
func oursLike(s *servertest.Server) string {
	return fmt.Sprintf("postgres://tilehouse@%s:%s/tilehouse?%s", s.Host, s.Port, searched)
}

// both are a PostgreSQL 15 and a Tilehouse with the objects of testdata/catalog/setup.
func both(t *testing.T) (theirs string, ours *servertest.Server) {
	t.Helper()
	theirs, ours = twin(t), servertest.Start(t, t.TempDir(), servertest.Options{})
	setup, err := os.ReadFile("testdata/catalog/setup")
	if err != nil {
		t.Fatal(err)
	}
	for _, dsn := range []string{theirs, ours.DSN()} {
		if out := aligned(t, dsn, string(setup)); out != "" {
			t.Fatal(out)
		}
	}
	alike(t, theirs, ours)
	return theirs + "&" + searched, ours
}

// alike gives a PostgreSQL what Tilehouse has from the start (a schema of views, a server of foreign tables), and takes from it what
// Tilehouse has not: other databases, PL/pgSQL, and the collations of the operating system and of ICU.
func alike(t *testing.T, theirs string, ours *servertest.Server) {
	t.Helper()
	a, b := connectTo(t, theirs), connectTo(t, ours.DSN())
	r, err := b.Exec(t.Context(), `SELECT format('CREATE VIEW tilehouse.%I AS SELECT ', c.relname) || string_agg(format('NULL::%s AS %I', format_type(a.atttypid, a.atttypmod), a.attname), ', ' ORDER BY a.attnum)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace = 'tilehouse'::regnamespace AND a.attnum > 0 GROUP BY c.relname ORDER BY c.relname;
		SELECT format('COMMENT ON SCHEMA tilehouse IS %L', obj_description('tilehouse'::regnamespace))`).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	script := []string{"UPDATE pg_database SET datistemplate = false", "DROP DATABASE postgres", "DROP DATABASE template1", "DROP DATABASE template0", "DROP ROLE other", "CREATE SCHEMA tilehouse", "GRANT USAGE ON SCHEMA tilehouse TO PUBLIC", "CREATE FOREIGN DATA WRAPPER tilehouse", "CREATE SERVER files FOREIGN DATA WRAPPER tilehouse", "DROP EXTENSION plpgsql", "DELETE FROM pg_collation WHERE oid >= 12000", "SET search_path = public"}
	for _, x := range r {
		for _, row := range x.Rows {
			script = append(script, string(row[0]))
		}
	}
	for _, sql := range script {
		if _, err := a.Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// unlike are lines about what only PostgreSQL has, tables of long values, and counts of rows that they are part of.
var unlike = regexp.MustCompile(`pg_toast_#|pg_toast_\d{5}|^SELECT \d+$|^\(\d+ rows?\)$`)

func likeLines(s string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(s, "\n"), unlike.MatchString), "\n")
}

// nodeTreeOID is the type pg_node_tree: a server's own form of an expression, of which pg_get_expr says what it is. Of what it is itself,
// only whether it is there is compared.
const nodeTreeOID = 194

// asText is what a client sees of statements, as text.
func asText(conn *pgconn.PgConn, sql string) string {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	results, err := conn.Exec(ctx, sql).ReadAll()
	for _, r := range results {
		for i, f := range r.FieldDescriptions {
			for _, row := range r.Rows {
				if f.DataTypeOID == nodeTreeOID && row[i] != nil {
					row[i] = []byte("an expression")
				}
			}
		}
	}
	return describe(results, err, func(v []byte) string { return string(v) }).text
}

// assigned are object ids that a server gave to objects: those of PostgreSQL's own begin below.
var assigned = regexp.MustCompile(`\b\d{5,10}\b`)

// serverVersion is what version() says: each server its own name behind that of PostgreSQL 15.
var serverVersion = regexp.MustCompile(`PostgreSQL 15\.\d+ \(.*`)

// catalogAnswer is answer with the object ids that each server gives itself made the same.
func catalogAnswer(conn *pgconn.PgConn, sql string) string {
	text := asText(conn, sql)
	if i := strings.Index(text, "ERROR "); i >= 0 { // PostgreSQL describes the rows before it finds out
		return text[i:]
	}
	text = serverVersion.ReplaceAllString(text, "PostgreSQL 15")
	return likeLines(assigned.ReplaceAllStringFunc(text, func(s string) string {
		if n, err := strconv.ParseUint(s, 10, 64); err == nil && n >= pgcatalog.FirstOID && n != 4294967295 {
			return "#"
		}
		return s
	}))
}

// What clients ask of the catalogs has PostgreSQL's answer, with its names, types and rows.
func TestCatalogQueries(t *testing.T) {
	theirs, ours := both(t)
	scripts, err := filepath.Glob("testdata/catalog/*.sql")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".sql"), func(t *testing.T) {
			a, b, other := connectTo(t, theirs), connectTo(t, oursLike(ours)), connectTo(t, oursLike(ours))
			equal, noted := 0, 0
			for _, st := range readScript(t, path).statements {
				answer := func(conn *pgconn.PgConn) string {
					text := catalogAnswer(conn, st.sql)
					if !ordered.MatchString(st.sql) || byID.MatchString(st.sql) {
						text = sortedLines(text)
					}
					return text
				}
				want, got := answer(a), answer(b)
				for what, conn := range map[string]*pgconn.PgConn{"again": b, "by another session": other} { // by the plan that is kept
					if again := answer(conn); again != got {
						t.Errorf("%s:%d: %s asked %s: %s", path, st.line, st.sql, what, difference(again, got))
					}
				}
				switch {
				case got == want && st.mark != agrees:
					t.Errorf("%s:%d: no longer differs (%s)", path, st.line, st.why)
				case got == want:
					equal++
				case st.mark != agrees:
					noted++
				default:
					t.Errorf("%s:%d: %s%s", path, st.line, st.sql, difference(got, want))
				}
			}
			t.Logf("%d statements equal, %d differ as noted", equal, noted)
		})
	}
}

// What is kept of a question about the catalogs answers it as the server is at the moment: with objects, settings, roles and ids of now.
func TestCatalogPlans(t *testing.T) {
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	a, b := connectTo(t, s.DSN()), connectTo(t, s.DSN())
	do := func(conn *pgconn.PgConn, sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	rows := func(conn *pgconn.PgConn, sql string) string {
		t.Helper()
		r := conn.ExecParams(t.Context(), sql, nil, nil, nil, nil).Read()
		if r.Err != nil {
			return r.Err.Error()
		}
		var out []string
		for _, row := range r.Rows {
			out = append(out, string(slices.Concat(row...)))
		}
		return strings.Join(out, " ")
	}
	want := func(conn *pgconn.PgConn, sql, answer string) {
		t.Helper()
		for range 2 {
			if got := rows(conn, sql); got != answer {
				t.Errorf("%s: %q instead of %q", sql, got, answer)
			}
		}
	}
	const tables = "SELECT relname FROM pg_class WHERE relnamespace = 2200 AND relkind IN ('r', 'v') ORDER BY 1"
	want(a, tables, "")
	do(b, "CREATE TABLE one (id integer PRIMARY KEY, note text)")
	want(a, tables, "one")
	do(b, "CREATE TABLE two (x bigint, y boolean)")
	want(b, tables, "one two")
	want(a, tables, "one two")
	columns := func(table string) string {
		return fmt.Sprintf("SELECT attname FROM pg_attribute WHERE attrelid = '%s' AND attnum > 0 AND NOT attisdropped ORDER BY attnum", rows(a, "SELECT '"+table+"'::regclass::oid"))
	}
	want(a, columns("one"), "id note")
	want(a, columns("two"), "x y")
	want(b, columns("two"), "x y")
	do(a, "ALTER TABLE two ADD COLUMN z date")
	want(a, columns("two"), "x y z")
	want(b, columns("two"), "x y z")
	want(b, columns("one"), "id note")
	for _, name := range []string{"one", "two"} { // two ids that are the same, and two that are not
		id := rows(a, "SELECT '"+name+"'::regclass::oid")
		want(a, fmt.Sprintf("SELECT '%s'::regclass, '%s'::regclass", id, id), name+name)
		want(b, fmt.Sprintf("SELECT '%s'::regclass, '%s'::regclass", id, rows(a, "SELECT 'one'::regclass::oid")), name+"one")
	}
	want(a, "SELECT '20000'::regclass::text, '70000'::int2", `ERROR: value "70000" is out of range for type smallint (SQLSTATE 22003)`)
	do(a, "BEGIN; CREATE TABLE three (id integer)")
	want(a, tables, "one three two")
	want(b, tables, "one two")
	do(a, "ROLLBACK")
	want(a, tables, "one two")
	// Settings, and what only the session knows.
	want(a, "SELECT setting FROM pg_settings WHERE name = 'TimeZone'", "UTC")
	do(b, "SET TimeZone = 'Europe/Berlin'")
	want(b, "SELECT setting FROM pg_settings WHERE name = 'TimeZone'", "Europe/Berlin")
	want(a, "SELECT setting FROM pg_settings WHERE name = 'TimeZone'", "UTC")
	want(a, "SELECT rolname, current_setting('TimeZone') FROM pg_roles WHERE rolname = 'tilehouse'", "tilehouseUTC")
	want(b, "SELECT rolname, current_setting('TimeZone') FROM pg_roles WHERE rolname = 'tilehouse'", "tilehouseEurope/Berlin")
	// Rights and names of roles.
	do(a, "CREATE ROLE reader LOGIN")
	const mine = "SELECT current_user, has_table_privilege('one', 'SELECT') FROM pg_database WHERE datname = 'tilehouse'"
	want(a, mine, "tilehouset")
	do(b, "SET ROLE reader")
	want(b, mine, "readerf")
	want(b, "SELECT rolpassword FROM pg_authid WHERE rolname = 'reader'", "ERROR: permission denied for table pg_authid (SQLSTATE 42501)")
	do(a, "GRANT SELECT ON one TO reader")
	want(b, mine, "readert")
	want(a, "SELECT rolpassword FROM pg_authid WHERE rolname = 'reader'", "")
	// A view of the name that a question has beside catalogs.
	do(a, "CREATE VIEW v AS SELECT 1 AS x")
	want(a, "SELECT relname, x FROM pg_class, v WHERE relname = 'one'", "one1")
	do(a, "CREATE OR REPLACE VIEW v AS SELECT 2 AS x")
	want(a, "SELECT relname, x FROM pg_class, v WHERE relname = 'one'", "one2")
	// What is asked of the session or server when it is read.
	want(a, "SELECT name FROM pg_prepared_statements ORDER BY 1", "")
	do(a, "PREPARE p AS SELECT 1")
	want(a, "SELECT name FROM pg_prepared_statements ORDER BY 1", "p")
	do(a, "SET application_name = 'first'")
	want(b, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'first'", "1")
	do(a, "SET application_name = 'second'")
	want(b, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'first'", "0")
	do(a, "INSERT INTO one VALUES (1), (2), (3); DELETE FROM one WHERE id = 2")
	want(b, "SELECT n_live_tup FROM pg_stat_user_tables WHERE relname = 'one'", "2")
	do(a, "DELETE FROM one")
	want(b, "SELECT n_live_tup FROM pg_stat_user_tables WHERE relname = 'one'", "0")
	// A failed block.
	_, _ = a.Exec(t.Context(), "BEGIN; SELECT 1/0").ReadAll()
	want(a, tables, "ERROR: current transaction is aborted, commands ignored until end of transaction block (SQLSTATE 25P02)")
	do(a, "ROLLBACK")
	want(a, tables, "one two v")
	// Parameters.
	for _, name := range []string{"one", "two", "none"} {
		r := a.ExecParams(t.Context(), "SELECT relname FROM pg_class WHERE relname = $1 AND relkind = 'r'", [][]byte{[]byte(name)}, nil, nil, nil).Read()
		if r.Err != nil || len(r.Rows) != map[string]int{"one": 1, "two": 1}[name] {
			t.Errorf("%s: %v %v", name, r.Rows, r.Err)
		}
	}
}

// Many sessions that begin at once, on new threads, end: a thread that gave memory back first once waited for itself.
func TestCatalogSessions(t *testing.T) {
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	const sessions, rounds = 50, 3
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for range rounds {
		var all sync.WaitGroup
		for range sessions {
			all.Go(func() {
				conn, err := pgconn.Connect(ctx, s.DSN())
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close(ctx)
				for _, sql := range []string{"SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attnum > 0", "SELECT * FROM pg_proc", "SELECT * FROM information_schema.columns"} {
					if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
						t.Errorf("%s: %v", sql, err)
						return
					}
				}
			})
		}
		all.Wait()
	}
}

// ordered is a statement whose rows have an order that does not follow from the object ids of the server.
var ordered = regexp.MustCompile(`ORDER BY [^()]*;\s*$`)

// byID is an order by object ids that each server gives itself.
var byID = regexp.MustCompile(`ORDER BY [^()]*(conrelid|indrelid|attrelid|pg_type\.oid DESC)[^()]*;\s*$`)

func sortedLines(s string) string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// difference shows the first lines that two texts do not share.
func difference(got, want string) string {
	const most = 12
	var out strings.Builder
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	n := 0
	for i := 0; i < max(len(a), len(b)) && n < most; i++ {
		x, y := "(nothing)", "(nothing)"
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			n++
			fmt.Fprintf(&out, "-- tilehouse:  %.600s\n-- PostgreSQL: %.600s\n", x, y)
		}
	}
	return out.String()
}

// Every relation of pg_catalog and information_schema has PostgreSQL's columns and types, and can be read.
func TestCatalogRelations(t *testing.T) {
	theirs, ours := both(t)
	a, b := connectTo(t, theirs), connectTo(t, ours.DSN())
	describe := func(conn *pgconn.PgConn, sql string) string {
		d, err := conn.Prepare(context.Background(), "", sql, nil)
		if err != nil {
			return err.Error()
		}
		var out strings.Builder
		for _, f := range d.Fields {
			fmt.Fprintf(&out, "%s:%d:%d:%d\n", f.Name, f.DataTypeOID, f.DataTypeSize, f.TypeModifier)
		}
		return out.String()
	}
	n := 0
	for _, schema := range []string{"pg_catalog", "information_schema"} {
		for _, name := range pgcatalog.Names(schema) {
			n++
			sql := fmt.Sprintf("SELECT * FROM %s.%s", schema, name)
			if got, want := describe(b, sql), describe(a, sql); got != want {
				t.Errorf("%s: %s", sql, difference(got, want))
			}
			if _, err := b.Exec(context.Background(), sql).ReadAll(); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
			if r := b.ExecParams(context.Background(), sql, nil, nil, nil, []int16{1}).Read(); r.Err != nil {
				t.Errorf("%s, in binary: %v", sql, r.Err)
			}
		}
	}
	t.Logf("%d relations", n)
}

// The object ids of everything are the same after a restart.
func TestCatalogRestart(t *testing.T) {
	dir := t.TempDir()
	s := servertest.Start(t, dir, servertest.Options{})
	setup, err := os.ReadFile("testdata/catalog/setup")
	if err != nil {
		t.Fatal(err)
	}
	if out := aligned(t, s.DSN(), string(setup)+eventsTable+`CREATE ENTITY customer (k bigint);
CREATE FEATURE spend ON customer AS SELECT k, sum(amount) AS total FROM ev GROUP BY k WINDOW 7 DAYS;
CREATE VIEW big WITH (event_time = 'ts') AS SELECT k, amount, ts FROM ev WHERE amount > 100;
CREATE FUNCTION twice(x bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT x * 2 $$;
`); out != "" {
		t.Fatal(out)
	}
	const ids = "SELECT 'class', relname::text, oid FROM pg_class UNION ALL SELECT 'type', typname, oid FROM pg_type UNION ALL SELECT 'constraint', conname, oid FROM pg_constraint " +
		"UNION ALL SELECT 'proc', proname, oid FROM pg_proc UNION ALL SELECT 'default', adrelid::text || '.' || adnum, oid FROM pg_attrdef UNION ALL SELECT 'rewrite', ev_class::text, oid FROM pg_rewrite " +
		"UNION ALL SELECT 'namespace', nspname, oid FROM pg_namespace UNION ALL SELECT 'database', datname, oid FROM pg_database ORDER BY 1, 2, 3"
	before := asText(connectTo(t, s.DSN()), ids)
	s.Terminate(endBound)
	s = servertest.Start(t, dir, servertest.Options{})
	if after := asText(connectTo(t, s.DSN()), ids); after != before {
		t.Error(difference(after, before))
	}
	if n := strings.Count(before, "\n"); n < 4000 {
		t.Errorf("%d objects", n)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(before) {
		if f := strings.Split(strings.TrimSpace(line), "|"); len(f) == 3 {
			oid, err := strconv.ParseUint(f[2], 10, 32)
			if seen[f[0]+f[2]] || err != nil || oid == 0 {
				t.Errorf("object id of %q: %v", line, err)
			}
			seen[f[0]+f[2]] = true
		}
	}
}

// sizes are psql's texts of sizes in bytes: what a table takes is another number of bytes here.
var sizes = regexp.MustCompile(`\b\d+ (bytes|kB|MB)`)

// psqlCommand is a command of testdata/catalog/psql.
type psqlCommand struct{ text, differs string }

func psqlCommands(t *testing.T) []psqlCommand {
	t.Helper()
	text, err := os.ReadFile("testdata/catalog/psql")
	if err != nil {
		t.Fatal(err)
	}
	var out []psqlCommand
	why := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if w, ok := strings.CutPrefix(line, "-- differs: "); ok {
			why = w
		} else if line != "" && !strings.HasPrefix(line, "--") {
			out = append(out, psqlCommand{line, why})
			why = ""
		}
	}
	return out
}

// normalTable is what psql wrote without the width of columns, sizes and ports.
func normalTable(s string) string {
	var out []string
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		if strings.Trim(line, "-+") == "" {
			continue
		}
		out = append(out, strings.Join(strings.Fields(sizes.ReplaceAllString(line, "size")), " "))
	}
	return likeLines(strings.Join(out, "\n"))
}

// Every backslash command of psql shows of the same objects what it shows on PostgreSQL 15.
func TestPsqlCommands(t *testing.T) {
	theirs, ours := both(t)
	commands := psqlCommands(t)
	texts := make([]string, len(commands))
	for i, c := range commands {
		texts[i] = c.text
	}
	want, got := each(t, theirs, texts), each(t, oursLike(ours), texts)
	equal, noted := 0, 0
	for i, c := range commands {
		a, b := normalTable(got[i]), normalTable(want[i])
		switch {
		case a == b && c.differs != "":
			t.Errorf("%s: no longer differs (%s)", c.text, c.differs)
		case a == b:
			equal++
		case c.differs != "":
			noted++
		default:
			t.Errorf("%s\n%s", c.text, difference(a, b))
		}
	}
	t.Logf("%d commands equal, %d differ as noted", equal, noted)
}
