package onlinestore

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/tests/cassandra"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

// world is two entities over a table, with features of every shape of state.
const world = `CREATE TABLE payments (id bigint PRIMARY KEY, card text, shop bigint, amount numeric(12,2), score double precision, kind text, ts timestamptz NOT NULL) WITH (event_time = 'ts');
CREATE ENTITY card (card text);
CREATE ENTITY pair (card text, shop bigint);
CREATE FEATURE c ON card AS SELECT card, count(*) AS n, sum(amount) AS total, avg(score) AS mean, max(amount) AS top, last(kind) AS last_kind, count(DISTINCT kind) AS kinds,
  stddev(score) AS spread, last_k(shop, 4) AS shops, count_map(kind) AS by_kind, sum(amount) FILTER (WHERE score > 0) AS good
  FROM payments GROUP BY card WINDOW 1 HOUR, 1 DAY, 7 DAYS, 30 DAYS, LIFETIME;
CREATE FEATURE p ON pair AS SELECT card, shop, count(*) AS n, min(score) AS low, approx_count_distinct(id) AS about, median(amount) AS mid
  FROM payments GROUP BY card, shop WINDOW 3 HOURS, 14 DAYS;
CREATE FEATURE hopping ON card WITH (hop = '1 hour', delay = '30 minutes') AS SELECT card, count(*) FROM payments GROUP BY card WINDOW 2 DAYS;
CREATE FEATURE VIEW risk AS SELECT c.c_total_7d / nullif(c.c_n_7d, 0) AS per, p.p_n_14d, r.x * c.c_mean_30d AS scaled FROM card c, pair p, request() AS r(x double precision);`

// changes makes random changes of payments: rows of all ages, late ones, upserts, updates of what rows count for, deletes.
type changes struct {
	r     *rand.Rand
	next  int
	epoch time.Time
}

func (c *changes) card() string {
	if c.r.IntN(3) == 0 {
		return "hot" // whose days have more rows than a pack
	}
	return fmt.Sprintf("k%d", c.r.IntN(40))
}

func (c *changes) row(id int) string {
	age := time.Duration(c.r.ExpFloat64() * float64(4*24*time.Hour))
	if c.r.IntN(4) == 0 {
		age = time.Duration(c.r.IntN(3600)) * time.Second
	}
	if c.r.IntN(50) == 0 {
		age = time.Duration(c.r.IntN(200*24)) * time.Hour
	}
	return fmt.Sprintf("(%d, '%s', %d, %d.%02d, %v, '%c', '%s')", id, c.card(), c.r.IntN(5), c.r.IntN(1000), c.r.IntN(100), c.r.NormFloat64(), 'a'+c.r.IntN(5),
		c.epoch.Add(-age).UTC().Format("2006-01-02 15:04:05.000000Z"))
}

func (c *changes) some(n int) string {
	var rows []string
	for range n {
		rows = append(rows, c.row(c.next))
		c.next++
	}
	return "INSERT INTO payments VALUES " + strings.Join(rows, ", ")
}

func (c *changes) statement() string {
	old := func() int { return c.r.IntN(c.next) }
	switch c.r.IntN(6) {
	case 0:
		return fmt.Sprintf("UPDATE payments SET amount = amount + 1, card = '%s' WHERE id IN (%d, %d)", c.card(), old(), old())
	case 1:
		return fmt.Sprintf("DELETE FROM payments WHERE id BETWEEN %d AND %d", old(), old())
	case 2:
		return fmt.Sprintf("INSERT INTO payments VALUES %s ON CONFLICT (id) DO UPDATE SET amount = excluded.amount, ts = excluded.ts, card = excluded.card", c.row(old()))
	case 3:
		from := old()
		return fmt.Sprintf("DELETE FROM payments WHERE id BETWEEN %d AND %d", from, from+c.r.IntN(20))
	}
	if c.r.IntN(8) == 0 {
		return c.some(3000) // more than are kept in front of the tiles where nobody follows them
	}
	return c.some(1 + c.r.IntN(200))
}

// compare reads random keys at random instants from both.
func compare(t testing.TB, r *rand.Rand, epoch time.Time, server, gw *pgx.Conn, reads int) {
	t.Helper()
	card := func() string {
		if r.IntN(4) == 0 {
			return "hot"
		}
		return fmt.Sprintf("k%d", r.IntN(45)) // some are not there
	}
	for range reads {
		at := epoch.Add(time.Duration(r.Float64()*2*float64(time.Hour)) - time.Hour + time.Duration(r.IntN(1_000_000))*time.Microsecond)
		set := fmt.Sprintf("SET tilehouse.read_time = '%s'", at.UTC().Format("2006-01-02 15:04:05.000000Z"))
		exec(t, server, set)
		exec(t, gw, set)
		switch r.IntN(4) {
		case 0:
			same(t, server, gw, "SELECT * FROM card WHERE card = $1", card())
		case 1:
			same(t, server, gw, "SELECT * FROM card WHERE card = ANY($1) ORDER BY card", "{"+card()+","+card()+",k1,k2,k3,k4,k5,k6,k7}")
		case 2:
			same(t, server, gw, "SELECT * FROM pair WHERE card = $1 AND shop = $2", card(), fmt.Sprint(r.IntN(6)))
		case 3:
			same(t, server, gw, "SELECT * FROM risk WHERE card = $1 AND shop = $2 AND x = $3", card(), fmt.Sprint(r.IntN(6)), "1.25")
		}
	}
}

// What a gateway answers is what the server answers at the same position, to the bit, whatever was changed.
func TestValues(t *testing.T) {
	skipFast(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	c := cassandra.Start(t, cassandra.Options{})
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, world)
	ch := &changes{r: r, epoch: time.Now()}
	exec(t, conn, ch.some(3000))
	exec(t, conn, ch.some(3000)) // which are fresh when the store is made
	store(t, conn, c, "values_test", "")
	sent(t, conn, nil)
	g := gateway(t, c, "values_test")
	gw := dial(t, g.DSN())
	rounds := 12
	if soak() {
		rounds = 200
	}
	for range rounds {
		for range 1 + r.IntN(20) {
			exec(t, conn, ch.statement())
		}
		sent(t, conn, gw)
		compare(t, r, ch.epoch, conn, gw, 40)
	}
	t.Log(column(t, conn, "concat_ws(' ', 'rows', rows, 'bytes', bytes, 'merged', merged, 'postponed', postponed, 'skipped', skipped)"))
	// A group that takes the place of another one: gateways go over to it, and what was the other's is deleted a minute later.
	exec(t, conn, "CREATE FEATURE more ON card AS SELECT card, count(DISTINCT shop) FROM payments GROUP BY card WINDOW 7 DAYS")
	sent(t, conn, gw)
	compare(t, r, ch.epoch, conn, gw, 40)
	within(t, conn, 3*time.Minute, "deleted > 0", "true")
	time.Sleep(time.Second)
	compare(t, r, ch.epoch, conn, gw, 80)
	t.Log(column(t, conn, "concat_ws(' ', 'deleted', deleted)"))
}
