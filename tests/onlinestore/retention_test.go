package onlinestore

import (
	"fmt"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/tests/cassandra"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

// Of a table with a retention a gateway answers what the server answers, and refuses instants whose windows lack events, in the server's words.
func TestRetention(t *testing.T) {
	skipFast(t)
	c := cassandra.Start(t, cassandra.Options{})
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, `CREATE TABLE payments (id bigint PRIMARY KEY, card bigint, amount numeric(12,2), ts timestamptz NOT NULL) WITH (event_time = 'ts', retention = '30 days');
		CREATE ENTITY card (card bigint);
		CREATE FEATURE c ON card AS SELECT card, count(*) AS n, sum(amount) AS total FROM payments GROUP BY card WINDOW 1 DAY, 30 DAYS;
		INSERT INTO payments SELECT i, i % 10, i, now() - INTERVAL '50 days' + i * INTERVAL '1 hour' FROM generate_series(1, 600) AS g(i)`) // the newest is 25 days old
	store(t, conn, c, "retention", "")
	sent(t, conn, nil)
	gw := dial(t, gateway(t, c, "retention").DSN())
	at := func(ago time.Duration) {
		set := fmt.Sprintf("SET tilehouse.read_time = '%s'", time.Now().Add(-ago).UTC().Format("2006-01-02 15:04:05.000000Z"))
		exec(t, conn, set)
		exec(t, gw, set)
	}
	day := 24 * time.Hour
	both := func() {
		t.Helper()
		for i := range 12 {
			same(t, conn, gw, "SELECT * FROM card WHERE card = $1", fmt.Sprint(i))
		}
	}
	at(0)
	both()
	exec(t, conn, "INSERT INTO payments VALUES (1000, 3, 5, now())") // what is more than 30 days old goes
	var rows int
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM payments").Scan(&rows); err != nil {
			t.Fatal(err)
		}
		if rows < 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d rows are kept", rows)
		}
	}
	sent(t, conn, gw)
	at(0)
	both()
	at(day + day/2)
	for i := range 10 {
		sql := fmt.Sprintf("SELECT * FROM card WHERE card = %d", i)
		want, got := refusal(t, conn, sql), refusal(t, gw, sql)
		if want.Code != "22023" || got.Code != want.Code || got.Message != want.Message || got.Hint != want.Hint {
			t.Fatalf("%s:\nserver  %s %s (%s)\ngateway %s %s (%s)", sql, want.Code, want.Message, want.Hint, got.Code, got.Message, got.Hint)
		}
	}
}
