package onlinestore

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/tests/cassandra"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

// Under deletes without end some key always waits for its LIFETIME state to be made anew. How far values are said to be goes on all the same,
// and lags no longer than keys wait. In the end a gateway has what the server has.
func TestDeletesWithoutEnd(t *testing.T) {
	skipFast(t)
	c := cassandra.Start(t, cassandra.Options{})
	dir := t.TempDir()
	s := servertest.Start(t, dir, servertest.Options{})
	conn := dial(t, s.DSN())
	const keys, rows, writers = 200, 500_000, 4
	exec(t, conn, fmt.Sprintf(`CREATE TABLE payments (id bigint PRIMARY KEY, card bigint, amount bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts');
		CREATE ENTITY card (card bigint);
		CREATE FEATURE top ON card AS SELECT card, max(amount) FROM payments GROUP BY card WINDOW LIFETIME;
		INSERT INTO payments SELECT i, i %% %d, i, '2024-01-01'::timestamptz + i * INTERVAL '1 ms' FROM generate_series(1, %d) AS g(i);
		INSERT INTO payments VALUES (0, -1, 1, '2024-06-01')`, keys, rows)) // so that the days before are over, and pruned
	store(t, conn, c, "delays", "")
	sent(t, conn, nil)
	g := gateway(t, c, "delays")
	gw := dial(t, g.DSN())
	exec(t, gw, "SET tilehouse.read_time = '2100-01-01'")

	// Each commit deletes the greatest of a key.
	end, stopped := make(chan bool), sync.WaitGroup{}
	stop := sync.OnceFunc(func() {
		close(end)
		stopped.Wait()
	})
	defer stop()
	deletes := func(s *servertest.Server, from int) {
		for n := range writers {
			writer := dial(t, s.DSN())
			stopped.Go(func() {
				for id := from - n; id > 0; id -= writers {
					select {
					case <-end:
						return
					default:
					}
					if _, err := writer.Exec(context.Background(), fmt.Sprintf("DELETE FROM payments WHERE id = %d", id)); err != nil {
						return // the server was killed
					}
				}
			})
		}
	}
	number := func(expr string) int64 {
		t.Helper()
		n, err := strconv.ParseInt(column(t, conn, expr), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	follows := func() {
		t.Helper()
		time.Sleep(2 * time.Second)
		first, moves, worst := number("position"), 0, int64(0)
		for last, until := first, time.Now().Add(25*time.Second); time.Now().Before(until); time.Sleep(200 * time.Millisecond) {
			if now := number("position"); now < last {
				t.Fatalf("position falls from %d to %d", last, now)
			} else if now > last {
				moves, last = moves+1, now
			}
			worst = max(worst, number("(extract(epoch FROM lag) * 1000)::bigint"))
		}
		t.Logf("position %d of %d, %d moves, lag at most %d ms, %s postponed", number("position"), number("newest_position"), moves, worst, column(t, conn, "postponed"))
		if number("postponed") == 0 {
			t.Error("no key waited: the test shows nothing")
		}
		// A key waits at most until the background has rested, ten seconds, and gone over the keys.
		if moves < 2 || worst > 20_000 {
			t.Errorf("position moved %d times, lag was %d ms", moves, worst)
		}
	}
	deletes(s, rows)
	follows()

	// A killed server's keys wait still.
	before := number("position")
	s.Kill()
	stopped.Wait()
	s = servertest.Start(t, dir, servertest.Options{})
	conn = dial(t, s.DSN())
	var next int
	if err := conn.QueryRow(context.Background(), "SELECT max(id) FROM payments WHERE card >= 0").Scan(&next); err != nil {
		t.Fatal(err)
	}
	deletes(s, next)
	within(t, conn, time.Minute, fmt.Sprintf("position >= %d", before), "true")
	follows()
	stop()
	sent(t, conn, gw)
	exec(t, conn, "SET tilehouse.read_time = '2100-01-01'")
	for key := range 50 {
		same(t, conn, gw, "SELECT top FROM card WHERE card = $1", fmt.Sprint(key))
	}
}
