package pgsource

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// How fast a table is read, and its changes are: figures for the documentation.
func TestRates(t *testing.T) {
	if os.Getenv("TILEHOUSE_SOAK") == "" {
		t.Skip("measures; TILEHOUSE_SOAK=1 runs it")
	}
	const rows = 300_000
	pg := postgres.StartServer(t, postgres.Options{Logical: true})
	app := dial(t, pg.DSN)
	exec(t, app, "CREATE TABLE big (id bigint PRIMARY KEY, n integer, note text)", fmt.Sprintf("INSERT INTO big SELECT i, i %% 1000, repeat('x', 100) FROM generate_series(1, %d) i", rows))
	s := servertest.Start(t, t.TempDir(), servertest.Options{Args: []string{"--memory-limit", "1GB"}})
	conn := dial(t, s.DSN())
	exec(t, conn, connection(t, pg, ""), "CREATE ENTITY e (id bigint)")
	timed := func(what string, n int, until func(), from time.Time) {
		until()
		d := time.Since(from)
		t.Logf("%s: %d in %v, %.0f/s", what, n, d, float64(n)/d.Seconds())
	}
	running := func() {
		eventually(t, conn, "SELECT state FROM tilehouse.sources WHERE name = 'big'", "running")
	}
	exec(t, conn, "CREATE SOURCE big WITH (connector = 'postgres', connection = 'app', table = 'big')")
	timed("rows of a reading", rows, running, time.Now())
	began := time.Now()
	exec(t, conn, "REFRESH SOURCE big")
	timed("rows of a reading without differences", rows, running, began)
	exec(t, conn, "CREATE FEATURE f ON e AS SELECT id, n FROM big")
	began = time.Now()
	exec(t, app, "INSERT INTO big VALUES (0, 0, 'x')", fmt.Sprintf("DO $$ BEGIN FOR i IN 1..%d LOOP UPDATE big SET n = n + 1 WHERE id = i; COMMIT; END LOOP; END $$", 50_000))
	t.Logf("PostgreSQL took %v", time.Since(began))
	exec(t, app, "DELETE FROM big WHERE id = 0")
	timed("transactions of a row", 50_000, func() { eventually(t, conn, "SELECT count(*) FROM big WHERE id = 0", "0") }, began)
	began = time.Now()
	exec(t, app, "UPDATE big SET n = n + 1 WHERE id <= 100000", "INSERT INTO big VALUES (0, 0, 'x')")
	timed("rows of one transaction", 100_000, func() { eventually(t, conn, "SELECT count(*) FROM big WHERE id = 0", "1") }, began)
}
