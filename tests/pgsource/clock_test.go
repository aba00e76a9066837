package pgsource

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/tests/harness"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// A server whose clock is an hour off, and is put right while it reads, gives versions ascending times and loses none; the newest one counts at once.
func TestClockOff(t *testing.T) {
	pg := postgres.StartServer(t, postgres.Options{Logical: true})
	app := dial(t, pg.DSN)
	exec(t, app, "CREATE TABLE m (id bigint PRIMARY KEY, x integer)", "INSERT INTO m VALUES (1, 0)")
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			exec(t, app, "UPDATE m SET x = 0")
			var by atomic.Int64
			by.Store(int64(off))
			conn := harness.Start(t, harness.Options{Clock: func() time.Time { return time.Now().Add(time.Duration(by.Load())) }}).Connect(t)
			exec(t, conn, connection(t, pg, ""), "CREATE SOURCE m WITH (connector = 'postgres', connection = 'app', table = 'm')", "CREATE ENTITY e (id bigint)", "CREATE FEATURE x ON e AS SELECT id, x FROM m",
				"CREATE FEATURE n ON e AS SELECT id, count(*) FROM m_versions GROUP BY id WINDOW LIFETIME")
			eventually(t, conn, "SELECT x, n FROM e WHERE id = 1", "0|1")
			for i := 1; i <= 6; i++ {
				switch i {
				case 3:
					by.Store(0)
				case 5:
					by.Store(-int64(off))
				}
				exec(t, app, fmt.Sprintf("UPDATE m SET x = %d", i))
				eventually(t, conn, "SELECT x, n FROM e WHERE id = 1", fmt.Sprintf("%d|%d", i, i+1))
			}
			same(t, "versions, in the order of their times", texts(t, conn, "SELECT x FROM m_versions ORDER BY __known"), []string{"0", "1", "2", "3", "4", "5", "6"})
			same(t, "times", texts(t, conn, "SELECT count(DISTINCT __known) FROM m_versions"), []string{"7"})
			same(t, "state", texts(t, conn, "SELECT state FROM tilehouse.sources WHERE name = 'm'"), []string{"running"})
			exec(t, conn, "DROP SOURCE m CASCADE")
		})
	}
}
