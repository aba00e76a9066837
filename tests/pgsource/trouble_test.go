package pgsource

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// What a source needs and PostgreSQL does not have is refused when it is made, with what to do.
func TestRefused(t *testing.T) {
	pg := postgres.StartServer(t, postgres.Options{Logical: true})
	app := dial(t, pg.DSN)
	exec(t, app, "CREATE TABLE good (id bigint PRIMARY KEY, at timestamptz NOT NULL, x integer, maybe timestamptz, n integer NOT NULL DEFAULT 0)", "CREATE TABLE keyless (id bigint)", "CREATE TYPE mood AS ENUM ('sad', 'ok')",
		"CREATE TABLE odd (id bigint PRIMARY KEY, m mood, p point, c char(4), v varchar(7)[], ts timestamp(3))", "CREATE TABLE made (id bigint PRIMARY KEY, twice bigint GENERATED ALWAYS AS (id * 2) STORED)",
		"CREATE TABLE quiet (id bigint PRIMARY KEY)", "ALTER TABLE quiet REPLICA IDENTITY NOTHING", "CREATE TABLE indexed (id bigint PRIMARY KEY, other bigint NOT NULL UNIQUE)", "ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_other_key",
		"CREATE VIEW seen AS SELECT * FROM good", "CREATE PUBLICATION part FOR TABLE good WHERE (x > 1)", "CREATE PUBLICATION columns FOR TABLE good (id, x)", "CREATE PUBLICATION other FOR TABLE keyless",
		"CREATE ROLE plain LOGIN", "CREATE ROLE reader LOGIN REPLICATION", "CREATE ROLE owner LOGIN REPLICATION", "GRANT SELECT ON good TO reader",
		"SELECT pg_create_logical_replication_slot('theirs', 'pgoutput')")
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, connection(t, pg, ""))
	for _, role := range []string{"plain", "reader", "nobody"} {
		exec(t, conn, strings.Replace(strings.Replace(connection(t, pg, ""), "CONNECTION app", "CONNECTION "+role, 1), "user = 'postgres'", "user = '"+role+"'", 1))
	}
	exec(t, conn, "CREATE CONNECTION away WITH (type = 'postgres', host = '127.0.0.1', port = '1', database = 'x', user = 'x')", "CREATE CONNECTION bus WITH (type = 'kafka', brokers = '127.0.0.1:1')", "CREATE TABLE taken_versions (x integer)")
	source := func(name, columns, options string) string {
		return "CREATE SOURCE " + name + " " + columns + " WITH (connector = 'postgres', " + options + ")"
	}
	for _, c := range []struct{ sql, code, message, hint string }{
		{"CREATE CONNECTION c WITH (type = 'postgres', host = 'h', database = 'd')", "22023", `needs option "user"`, "type = 'postgres'"},
		{"CREATE CONNECTION c WITH (type = 'postgres', host = 'h', database = 'd', user = 'u', password = 'x')", "22023", `option "password" takes a secret`, "CREATE SECRET"},
		{"CREATE CONNECTION c WITH (type = 'postgres', host = 'h', database = 'd', user = 'u', sslmode = 'maybe')", "22023", `"sslmode" must be one of disable`, ""},
		{"CREATE CONNECTION c WITH (type = 'postgres', host = 'h', database = 'd', user = 'u', port = 'x')", "22023", `"port" must be between`, ""},
		{"CREATE CONNECTION c WITH (type = 'postgres', host = 'h', database = 'd', user = 'u', brokers = 'x')", "22023", `unknown option "brokers"`, "sslmode"},
		{source("f", "", "table = 'good'"), "22023", "needs a connection", "CREATE CONNECTION app"},
		{source("f", "", "connection = 'app'"), "22023", "needs a table", "table = "},
		{source("f", "", "connection = 'nope', table = 'good'"), "42704", "does not exist", "CREATE CONNECTION nope"},
		{source("f", "", "connection = 'bus', table = 'good'"), "42809", `is one to kafka`, ""},
		{source("f", "", "connection = 'app', table = 'good', mode = 'stream'"), "22023", `must be one of cdc, snapshot`, ""},
		{source("f", "", "connection = 'app', table = 'good', refresh_every = '1 minute'"), "22023", `unknown option "refresh_every"`, ""},
		{source("f", "", "connection = 'app', table = 'good', slot = 'Capital'"), "22023", "lower-case letters", ""},
		{source("f", "", "connection = 'app', table = 'good'") + " FORMAT PLAIN ENCODE JSON", "22023", "has no FORMAT", ""},
		{source("f", "", "connection = 'app', table = 'nope'"), "42P01", `table "nope" does not exist in schema "public"`, "schema.name"},
		{source("f", "", "connection = 'away', table = 'good'"), "08001", "PostgreSQL does not answer", "host"},
		{source("f", "", "connection = 'nobody', table = 'good'"), "28000", `role "nobody" does not exist`, ""},
		{source("f", "", "connection = 'app', table = 'keyless'"), "42P17", "has no primary key", "ADD PRIMARY KEY"},
		{source("f", "", "connection = 'app', table = 'quiet'"), "55000", `lacks column "id" of the primary key`, "REPLICA IDENTITY DEFAULT"},
		{source("f", "", "connection = 'app', table = 'indexed'"), "55000", `lacks column "id" of the primary key`, "REPLICA IDENTITY DEFAULT"},
		{source("f", "", "connection = 'app', table = 'odd'"), "0A000", `column "m" of table "odd" cannot be read, of type mood`, `CREATE SOURCE f (id bigint, v text[], ts timestamp, PRIMARY KEY (id))`},
		{source("f", "(id bigint, p text, c integer, PRIMARY KEY (id), q text)", "connection = 'app', table = 'odd'"), "42703", `has no column "q"`, "Its columns: id, m, p"},
		{source("f", "", "connection = 'app', table = 'made'"), "0A000", `column "twice" of table "made" cannot be read`, "CREATE SOURCE f (id bigint, PRIMARY KEY (id))"},
		{source("f", "(id bigint, twice bigint)", "connection = 'app', table = 'made'"), "0A000", "is generated", ""},
		{source("f", "(x integer)", "connection = 'app', table = 'good'"), "42703", `column "id" of the primary key is not among the columns`, "List it"},
		{source("f", "", "connection = 'app', table = 'good', event_time = 'maybe'"), "42P17", "may be NULL", "SET NOT NULL"},
		{source("f", "", "connection = 'app', table = 'good', event_time = 'n'"), "42804", "must be timestamptz", ""},
		{source("f", "", "connection = 'app', table = 'seen'"), "42P17", "has no primary key", "snapshot"},
		{source("f", "(id bigint, PRIMARY KEY (id))", "connection = 'app', table = 'seen'"), "42809", "is no table", "snapshot"},
		{source("f", "", "connection = 'plain', table = 'good'"), "42501", "may not read table", "GRANT SELECT"},
		{source("f", "", "connection = 'reader', table = 'good'"), "42501", "may not publish table", "CREATE PUBLICATION features FOR TABLE public.good"},
		{source("f", "", "connection = 'app', table = 'good', publication = 'nope'"), "42704", `publication "nope" does not exist`, "CREATE PUBLICATION nope"},
		{source("f", "", "connection = 'app', table = 'good', publication = 'other'"), "42704", `does not have the table`, ""},
		{source("f", "", "connection = 'app', table = 'good', publication = 'part'"), "42704", `leaves out some rows`, ""},
		{source("f", "", "connection = 'app', table = 'good', publication = 'columns'"), "42704", `leaves out column "at"`, ""},
		{source("f", "", "connection = 'app', table = 'good', slot = 'theirs'"), "42710", `replication slot "theirs" is there already`, "pg_drop_replication_slot"},
		{source("taken", "", "connection = 'app', table = 'good'"), "42P07", "taken_versions", ""},
	} {
		got := failure(conn, c.sql)
		if got == nil || got.Code != c.code || !contains(got.Message, c.message) || !contains(got.Hint, c.hint) {
			t.Errorf("%s:\n%+v", c.sql, got)
		}
	}
	exec(t, app, "GRANT SELECT ON good TO plain")
	if got := failure(conn, source("f", "", "connection = 'plain', table = 'good'")); got == nil || got.Code != "42501" || !contains(got.Hint, "REPLICATION") {
		t.Errorf("a login without REPLICATION: %+v", got)
	}
	same(t, "sources", texts(t, conn, "SELECT name FROM tilehouse.sources WHERE kind LIKE 'postgres%'"), []string{})
	same(t, "slots and publications of PostgreSQL", texts(t, app, "SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_publication)"), []string{"1|3"})
	// What is right although it looks like the above.
	exec(t, app, "CREATE PUBLICATION features FOR TABLE good", "INSERT INTO good VALUES (1, '2024-01-01 00:00Z', 5, NULL)", "INSERT INTO odd VALUES (1, 'ok', '(1,2)', 'ab', '{x,NULL}', '2024-01-01 00:00:00.123')")
	exec(t, conn, source("least", "", "connection = 'reader', table = 'good', publication = 'features', slot = 'mine', event_time = 'at'"),
		source("oddly", "(id bigint, m text, p text, c text, v text[], ts timestamp, PRIMARY KEY (id))", "connection = 'app', table = 'odd'"))
	eventually(t, conn, "SELECT x FROM least", "5")
	eventually(t, conn, "SELECT * FROM oddly", "1|ok|(1,2)|ab  |{x,NULL}|2024-01-01 00:00:00.123")
	if got := failure(conn, "DROP SOURCE least_versions"); got == nil || !contains(got.Hint, "goes with it") {
		t.Errorf("DROP SOURCE of versions: %+v", got)
	}
	if got := failure(conn, "INSERT INTO least VALUES (1)"); got == nil || got.Code == "" {
		t.Errorf("INSERT: %+v", got)
	}
	exec(t, conn, "CREATE ENTITY thing (id bigint)", "CREATE FEATURE sum_x ON thing AS SELECT id, sum(x) FROM least GROUP BY id WINDOW LIFETIME")
	exec(t, app, "DROP PUBLICATION part", "UPDATE good SET x = 7")
	eventually(t, conn, "SELECT sum_x FROM thing WHERE id = 1", "7")
	exec(t, app, "DELETE FROM good")
	eventually(t, conn, "SELECT sum_x FROM thing WHERE id = 1", "NULL")
	exec(t, conn, "DROP SOURCE least CASCADE")
	eventually(t, app, "SELECT count(*) FROM pg_publication WHERE pubname = 'features' AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'mine')", "1")
	// Without wal_level = logical.
	small := postgres.StartServer(t, postgres.Options{})
	exec(t, dial(t, small.DSN), "CREATE TABLE good (id bigint PRIMARY KEY)")
	exec(t, conn, strings.Replace(connection(t, small, ""), "CONNECTION app", "CONNECTION small", 1))
	if got := failure(conn, source("f", "", "connection = 'small', table = 'good'")); got == nil || got.Code != "55000" || !contains(got.Hint, "ALTER SYSTEM SET wal_level = logical") {
		t.Errorf("wal_level = replica: %+v", got)
	}
}

// trouble is a source that runs.
type trouble struct {
	root, t   *testing.T
	pg        *postgres.Server
	app, conn *pgx.Conn
	n         int
}

func newTrouble(t *testing.T, options string) *trouble {
	w := &trouble{root: t, t: t, pg: postgres.StartServer(t, postgres.Options{Logical: true})}
	w.app = dial(t, w.pg.DSN)
	exec(t, w.app, "CREATE TABLE items (id bigint PRIMARY KEY, name text, price numeric(10,2), loose numeric)", "CREATE ROLE tile LOGIN REPLICATION", "GRANT SELECT ON items TO tile", "CREATE PUBLICATION given FOR TABLE items")
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	w.conn = dial(t, s.DSN())
	exec(t, w.conn, strings.Replace(connection(t, w.pg, ""), "user = 'postgres'", "user = 'tile'", 1),
		"CREATE SOURCE items WITH (connector = 'postgres', connection = 'app', table = 'items', publication = 'given'"+options+")")
	w.goesOn()
	return w
}

// goesOn adds a row and waits for it, and for a running state.
func (w *trouble) goesOn() {
	w.t.Helper()
	w.n++
	exec(w.t, w.app, fmt.Sprintf("INSERT INTO items (id, name) VALUES (%d, 'n%[1]d')", w.n))
	w.caughtUp()
}

func (w *trouble) caughtUp() {
	w.t.Helper()
	eventually(w.t, w.conn, "SELECT state FROM tilehouse.sources WHERE name = 'items'", "running")
	eventually(w.t, w.conn, "SELECT count(*), max(id) FROM items", fmt.Sprintf("%d|%d", w.n, w.n))
}

// says waits until the source is in a state, with a reason that has these words.
func (w *trouble) says(state string, words ...string) {
	w.t.Helper()
	for _, word := range words {
		eventually(w.t, w.conn, fmt.Sprintf("SELECT state, last_error LIKE '%%%s%%' FROM tilehouse.sources WHERE name = 'items'", strings.ReplaceAll(word, "'", "''")), state+"|t")
	}
}

// adds adds a row that is not read yet.
func (w *trouble) adds() {
	w.n++
	exec(w.t, w.app, fmt.Sprintf("INSERT INTO items (id, name) VALUES (%d, 'n%[1]d')", w.n))
}

// kick ends what reads the log of PostgreSQL.
func (w *trouble) kick() {
	exec(w.t, w.app, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
}

// Whatever is wrong with PostgreSQL while a source is read is a state with a reason, and nothing is lost.
func TestTrouble(t *testing.T) {
	w := newTrouble(t, "")
	t.Run("credentials", func(t *testing.T) {
		w.t = t
		exec(t, w.app, "ALTER ROLE tile NOLOGIN")
		w.kick()
		w.says("retrying", "not permitted to log in")
		w.adds()
		exec(t, w.app, "ALTER ROLE tile LOGIN")
		w.caughtUp()
		exec(t, w.app, "ALTER ROLE tile NOREPLICATION")
		w.kick()
		w.says("retrying", "superuser or replication role")
		w.adds()
		exec(t, w.app, "ALTER ROLE tile REPLICATION")
		w.caughtUp()
	})
	t.Run("PostgreSQL away", func(t *testing.T) {
		w.t = t
		w.pg.Stop()
		w.says("retrying", "PostgreSQL does not answer")
		w.pg.Again()
		w.app = dial(w.root, w.pg.DSN)
		w.goesOn()
	})
	t.Run("slot dropped", func(t *testing.T) {
		w.t = t
		exec(t, w.conn, "ALTER SOURCE items SUSPEND")
		eventually(t, w.app, "SELECT active FROM pg_replication_slots", "f")
		w.adds()
		exec(t, w.app, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots", "DELETE FROM items WHERE id = 1", "INSERT INTO items VALUES (1, 'again', 1, 1)")
		same(t, "state", texts(t, w.conn, "SELECT state FROM tilehouse.sources WHERE name = 'items'"), []string{"suspended"})
		exec(t, w.conn, "ALTER SOURCE items RESUME")
		w.caughtUp()
		w.says("running", "is gone: the table was read anew")
		same(t, "row", texts(t, w.conn, "SELECT name FROM items WHERE id = 1"), []string{"again"})
		w.goesOn()
	})
	t.Run("slot read by somebody else", func(t *testing.T) {
		w.t = t
		exec(t, w.conn, "ALTER SOURCE items SUSPEND")
		eventually(t, w.app, "SELECT active FROM pg_replication_slots", "f")
		w.adds()
		exec(t, w.app, "SELECT pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) FROM pg_replication_slots")
		exec(t, w.conn, "ALTER SOURCE items RESUME")
		w.caughtUp()
		w.says("running", "was read further")
	})
	t.Run("publication", func(t *testing.T) {
		w.t = t
		exec(t, w.app, "ALTER PUBLICATION given DROP TABLE items")
		w.adds()
		w.kick()
		w.says("retrying", `publication "given" does not have the table`)
		w.adds()
		exec(t, w.app, "DROP PUBLICATION given")
		w.says("retrying", `publication "given" does not exist`)
		exec(t, w.app, "CREATE PUBLICATION given FOR TABLE items")
		w.caughtUp()
		w.goesOn()
	})
	t.Run("publication for a moment", func(t *testing.T) {
		w.t = t
		w.n++
		exec(t, w.app, "ALTER PUBLICATION given DROP TABLE items", fmt.Sprintf("INSERT INTO items (id, name) VALUES (%d, 'unseen')", w.n), "ALTER PUBLICATION given ADD TABLE items")
		w.kick()
		w.says("running", "was taken out of publication")
		w.caughtUp()
	})
	t.Run("another table", func(t *testing.T) {
		w.t = t
		exec(t, w.app, "ALTER TABLE items RENAME TO things")
		w.n++
		exec(t, w.app, fmt.Sprintf("INSERT INTO things (id, name) VALUES (%d, 'n')", w.n))
		w.says("retrying", "the table does not exist")
		exec(t, w.app, "ALTER TABLE things RENAME TO items")
		w.caughtUp()
		exec(t, w.app, "BEGIN", "CREATE TABLE next (LIKE items INCLUDING ALL)", "DROP TABLE items", "ALTER TABLE next RENAME TO items", "GRANT SELECT ON items TO tile", "ALTER PUBLICATION given ADD TABLE items", "COMMIT")
		w.n = 1
		exec(t, w.app, "INSERT INTO items (id, name) VALUES (1, 'n1')")
		w.kick()
		w.says("running", "dropped and made anew")
		w.caughtUp()
		w.goesOn()
	})
	t.Run("values", func(t *testing.T) {
		w.t = t
		exec(t, w.app, "UPDATE items SET loose = 'NaN' WHERE id = 1")
		w.says("retrying", `column "loose"`)
		exec(t, w.app, "UPDATE items SET loose = 0.12345678901 WHERE id = 1")
		if got := failure(w.conn, "REFRESH SOURCE items"); got == nil || !contains(got.Message, "0.12345678901 has more digits than the 9") {
			t.Errorf("REFRESH SOURCE: %+v", got)
		}
		exec(t, w.app, "UPDATE items SET loose = 0.123456789 WHERE id = 1")
		exec(t, w.conn, "REFRESH SOURCE items")
		same(t, "value", texts(t, w.conn, "SELECT loose FROM items WHERE id = 1"), []string{"0.123456789"})
		w.goesOn()
	})
	t.Run("identity", func(t *testing.T) {
		w.t = t
		exec(t, w.app, "ALTER TABLE items REPLICA IDENTITY FULL", "UPDATE items SET name = 'full', id = 100 WHERE id = 1", "DELETE FROM items WHERE id = 100")
		w.n++
		exec(t, w.app, fmt.Sprintf("INSERT INTO items VALUES (1, 'one'), (%d, 'n')", w.n))
		w.caughtUp()
		exec(t, w.app, "ALTER TABLE items REPLICA IDENTITY NOTHING")
		w.kick()
		w.says("retrying", `replica identity lacks column "id"`, "REPLICA IDENTITY DEFAULT")
		w.adds()
		exec(t, w.app, "ALTER TABLE items REPLICA IDENTITY DEFAULT")
		w.caughtUp()
		exec(t, w.conn, "ALTER SOURCE items SUSPEND")
		exec(t, w.app, "CREATE UNIQUE INDEX by_name ON items (name)", "ALTER TABLE items ALTER name SET NOT NULL", "ALTER TABLE items REPLICA IDENTITY USING INDEX by_name", "UPDATE items SET id = 1000 WHERE id = 1", "UPDATE items SET id = 1 WHERE id = 1000",
			"ALTER TABLE items REPLICA IDENTITY DEFAULT", "ALTER TABLE items ALTER name DROP NOT NULL")
		exec(t, w.conn, "ALTER SOURCE items RESUME")
		w.says("retrying", `does not say column "id"`, "REFRESH SOURCE items")
		exec(t, w.conn, "REFRESH SOURCE items")
		w.caughtUp()
	})
	t.Run("columns", func(t *testing.T) {
		w.t = t
		exec(t, w.app, "ALTER TABLE items ADD COLUMN more text DEFAULT 'x'", "UPDATE items SET more = 'y', name = 'm' WHERE id = 1")
		w.goesOn()
		same(t, "row", texts(t, w.conn, "SELECT * FROM items WHERE id = 1"), []string{"1|m|NULL|NULL"})
		exec(t, w.app, "ALTER TABLE items ALTER COLUMN price TYPE numeric(12,4)", "UPDATE items SET price = 1.2345 WHERE id = 1")
		w.says("retrying", `column "price"`, "another type")
		exec(t, w.app, "ALTER TABLE items ALTER COLUMN price TYPE numeric(10,2)")
		exec(t, w.conn, "REFRESH SOURCE items")
		same(t, "row", texts(t, w.conn, "SELECT * FROM items WHERE id = 1"), []string{"1|m|1.23|NULL"})
		exec(t, w.app, "ALTER TABLE items DROP COLUMN loose")
		w.adds()
		w.says("retrying", `has no column "loose" any more`)
	})
	exec(t, w.conn, "DROP SOURCE items")
	eventually(t, w.app, "SELECT count(*) FROM pg_replication_slots", "0")
}
