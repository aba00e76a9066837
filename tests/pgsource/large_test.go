package pgsource

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// A large table is read in bounded memory; kill -9 of the server during the reading, while rows come and go, loses nothing and has nothing
// twice.
func TestKilledWhileReadingTheTable(t *testing.T) {
	rows, kills := 60_000, 2
	if os.Getenv("TILEHOUSE_SOAK") != "" {
		rows, kills = 1_000_000, 6
	}
	pg := postgres.StartServer(t, postgres.Options{Logical: true})
	app := dial(t, pg.DSN)
	exec(t, app, "CREATE TABLE big (id bigint PRIMARY KEY, n integer, note text)", fmt.Sprintf("INSERT INTO big SELECT i, i %% 1000, repeat('x', 100) FROM generate_series(1, %d) i", rows))
	dir := t.TempDir()
	options := servertest.Options{Args: []string{"--memory-limit", "512MB"}}
	s := servertest.Start(t, dir, options)
	conn := dial(t, s.DSN())
	exec(t, conn, connection(t, pg, ""), "CREATE SOURCE big WITH (connector = 'postgres', connection = 'app', table = 'big')", "CREATE ENTITY e (id bigint)", "CREATE FEATURE f ON e AS SELECT id, n FROM big")
	began := time.Now()
	ended, stop := make(chan error, 1), make(chan struct{})
	writer := dial(t, pg.DSN)
	go func() {
		r := rand.New(rand.NewPCG(1, 2))
		for i := 0; ; i++ {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			id := 1 + r.IntN(rows)
			sql := fmt.Sprintf("UPDATE big SET n = n + 1000 WHERE id = %d; DELETE FROM big WHERE id = %d; INSERT INTO big VALUES (%d, 7, 'new')", id, 1+r.IntN(rows), rows+1+i)
			if _, err := writer.Exec(context.Background(), sql); err != nil {
				ended <- err
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	for i := range kills {
		time.Sleep(time.Duration(100+i*170%400) * time.Millisecond)
		s.Kill()
		s = servertest.Start(t, dir, options)
	}
	conn = dial(t, s.DSN())
	for state := ""; state != "running"; time.Sleep(20 * time.Millisecond) {
		if state = texts(t, conn, "SELECT state FROM tilehouse.sources WHERE name = 'big'")[0]; time.Since(began) > 10*time.Minute {
			t.Fatalf("after ten minutes the source is %s", state)
		}
	}
	t.Logf("%d rows were read, with %d kills, in %v", rows, kills, time.Since(began))
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	exec(t, app, "INSERT INTO big VALUES (0, 0, 'last')")
	eventually(t, conn, "SELECT count(*) FROM big WHERE id = 0", "1")
	sums := "SELECT count(*), sum(id), sum(n), sum(length(note)), count(DISTINCT id) FROM big"
	same(t, "rows", texts(t, conn, sums), texts(t, app, sums))
	// Of each row the newest version says what is there, and versions of a row are of different times.
	same(t, "newest versions", texts(t, conn, "SELECT count(*), sum(id), sum(n), sum(length(note)), count(DISTINCT id) FROM (SELECT DISTINCT ON (id) * FROM big_versions ORDER BY id, __known DESC) v WHERE NOT __deleted"), texts(t, app, sums))
	same(t, "versions of one time", texts(t, conn, "SELECT count(*) FROM (SELECT id, __known FROM big_versions GROUP BY 1, 2 HAVING count(*) > 1) x"), []string{"0"})
	ids := texts(t, app, "SELECT string_agg(id::text, ',') FROM (SELECT id FROM big ORDER BY md5(id::text) LIMIT 300) x")[0]
	same(t, "latest values", texts(t, conn, "SELECT id, f FROM e WHERE id IN ("+ids+") ORDER BY id"), texts(t, app, "SELECT id, n FROM big WHERE id IN ("+ids+") ORDER BY id"))
}
