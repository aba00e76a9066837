package onlinestore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/tests/cassandra"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

// readers read random keys until they are ended, and count reads and errors.
type readers struct {
	reads, failed atomic.Int64
	last          atomic.Value // string
	slowest       atomic.Int64 // µs
	stop          chan struct{}
	ended         chan struct{}
}

func read(t *testing.T, dsn string, n int) *readers {
	r := &readers{stop: make(chan struct{}), ended: make(chan struct{}, n)}
	for i := range n {
		conn := dial(t, dsn)
		go func() {
			defer func() { r.ended <- struct{}{} }()
			rnd := rand.New(rand.NewPCG(uint64(i), 7))
			for {
				select {
				case <-r.stop:
					return
				default:
				}
				began := time.Now()
				if _, err := answer(conn, "SELECT * FROM card WHERE card = $1", fmt.Sprintf("k%d", rnd.IntN(40))); err != nil {
					r.failed.Add(1)
					r.last.Store(err.Error())
				}
				r.reads.Add(1)
				if took := time.Since(began).Microseconds(); took > r.slowest.Load() {
					r.slowest.Store(took)
				}
				time.Sleep(5 * time.Millisecond)
			}
		}()
	}
	return r
}

func (r *readers) end() {
	close(r.stop)
	for range cap(r.ended) {
		<-r.ended
	}
}

// Of three nodes one is killed: readers meet no error, and writes arrive. All are killed: the server goes on, and what it wrote arrives
// afterwards.
func TestNodesKilled(t *testing.T) {
	skipFast(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	away := 15 * time.Second
	if soak() {
		away = time.Minute
	}
	c := cassandra.Start(t, cassandra.Options{Nodes: 3})
	dir := t.TempDir()
	s := servertest.Start(t, dir, servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, world)
	ch := &changes{r: r, epoch: time.Now()}
	exec(t, conn, ch.some(2000))
	store(t, conn, c, "killed", "")
	sent(t, conn, nil)
	g := gateway(t, c, "killed")
	gw := dial(t, g.DSN())
	warm := read(t, g.DSN(), 8) // cold nodes answer in seconds
	time.Sleep(5 * time.Second)
	warm.end()

	reading := read(t, g.DSN(), 8)
	time.Sleep(time.Second)
	c.Kill(1)
	for range 20 {
		exec(t, conn, ch.statement())
		time.Sleep(away / 20)
	}
	sent(t, conn, gw)
	compare(t, r, ch.epoch, conn, gw, 40)
	reading.end()
	t.Logf("one of three killed: %d reads, %d failed, the slowest %v", reading.reads.Load(), reading.failed.Load(), time.Duration(reading.slowest.Load())*time.Microsecond)
	if n := reading.failed.Load(); n > 0 {
		t.Errorf("one node of three was killed, and %d of %d reads failed: %v", n, reading.reads.Load(), reading.last.Load())
	}
	c.Restart(t, 1)

	c.KillAll()
	began, commits, slowest := time.Now(), 0, time.Duration(0)
	for time.Since(began) < away {
		one := time.Now()
		exec(t, conn, ch.statement())
		slowest = max(slowest, time.Since(one))
		commits++
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("all killed: %d commits in %v, the slowest %v; %s", commits, away, slowest.Round(time.Millisecond), column(t, conn, "concat_ws(' ', state, 'waiting', waiting, 'lag', lag, 'because', left(reason, 80))"))
	if slowest > 10*time.Second {
		t.Errorf("a commit took %v while Cassandra was away", slowest)
	}
	within(t, conn, 30*time.Second, "state", "waiting")
	c.RestartAll(t)
	back := time.Now()
	sent(t, conn, nil)
	t.Logf("caught up %v after the nodes were back", time.Since(back).Round(time.Millisecond))
	sent(t, conn, gw)
	compare(t, r, ch.epoch, conn, gw, 60)
}

// A server that is killed again and again while it sends, 50 times with TILEHOUSE_SOAK, goes on where it was: nothing is lost, nothing stale wins, and no
// kill makes it send everything again.
func TestServerKilled(t *testing.T) {
	skipFast(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 5))
	c := cassandra.Start(t, cassandra.Options{})
	dir := t.TempDir()
	s := servertest.Start(t, dir, servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, world)
	ch := &changes{r: r, epoch: time.Now()}
	exec(t, conn, ch.some(2000))
	store(t, conn, c, "killed", "")
	sent(t, conn, nil)
	gw := dial(t, gateway(t, c, "killed").DSN())
	kills := 5
	if soak() {
		kills = 50
	}
	for range kills {
		for range 1 + r.IntN(10) {
			exec(t, conn, ch.statement())
		}
		time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
		s.Kill()
		s = servertest.Start(t, dir, servertest.Options{})
		conn = dial(t, s.DSN())
	}
	sent(t, conn, gw)
	compare(t, r, ch.epoch, conn, gw, 60)
	if epoch := column(t, conn, "epoch"); epoch != "1" {
		t.Errorf("kills of the server began epoch %s", epoch)
	}
}

// What is wrong with the keyspace or the login is told as that, and goes on by itself once it is put right.
func TestTrouble(t *testing.T) {
	skipFast(t)
	c := cassandra.Start(t, cassandra.Options{Password: true})
	env := servertest.Options{Env: []string{"STORE_PASSWORD=" + cassandra.InitialPassword, "BAD_ONE=hunter3"}}
	s := servertest.Start(t, t.TempDir(), env)
	conn := dial(t, s.DSN())
	exec(t, conn, `CREATE SECRET store_password WITH (backend = 'env') AS 'BAD_ONE'; CREATE TABLE payments (id bigint PRIMARY KEY, card text, ts timestamptz NOT NULL) WITH (event_time = 'ts');
		CREATE ENTITY card (card text); CREATE FEATURE n ON card AS SELECT card, count(*) FROM payments GROUP BY card WINDOW 1 DAY`)
	create := func(name, options string) string {
		return fmt.Sprintf("CREATE CONNECTION %s WITH (type = 'cassandra', hosts = '%s', username = '%s', password = SECRET store_password%s)", name, c.Hosts[0], cassandra.User, options)
	}
	for _, sql := range []string{
		create("store", ""),
		create("store", ", keyspace = 'a b'"),
		create("store", ", keyspace = 'k', replication = 'many'"),
		create("store", ", keyspace = 'k', rows_per_second = 0"),
		create("store", ", keyspace = 'k', tls.ca = 'x'"),
		create("store", ", keyspace = 'k', brokers = 'a:1'"),
		"CREATE CONNECTION store WITH (type = 'cassandra', keyspace = 'k')",
		"CREATE CONNECTION store WITH (type = 'cassandra', hosts = 'a', keyspace = 'k')",
		"CREATE CONNECTION store WITH (type = 'cassandra', hosts = 'a:1', keyspace = 'k', username = 'u')",
		"CREATE CONNECTION store WITH (type = 'cassandra', hosts = 'a:1', keyspace = 'k', username = 'u', password = 'p')",
	} {
		if e := refusal(t, conn, sql); e.Code != "22023" {
			t.Errorf("%s gives %s %s", sql, e.Code, e.Message)
		}
	}
	exec(t, conn, create("store", ", keyspace = 'missing'"))
	if e := refusal(t, conn, create("second", ", keyspace = 'k'")); e.Code != "42710" {
		t.Errorf("a second store gives %s %s", e.Code, e.Message)
	}
	state := func(reason string) {
		t.Helper()
		within(t, conn, time.Minute, fmt.Sprintf("state = 'failed' AND reason LIKE '%%%s%%'", reason), "true")
		if said := column(t, conn, "reason"); strings.Contains(said, "BAD_ONE") || strings.Contains(said, "hunter3") {
			t.Errorf("the reason %q says too much", said)
		}
	}
	state("refused")
	exec(t, conn, "CREATE OR REPLACE SECRET store_password WITH (backend = 'env') AS 'STORE_PASSWORD'")
	state("does not exist")
	exec(t, conn, "ALTER CONNECTION store SET (replication = '1', rows_per_second = 100)")
	sent(t, conn, nil)
	exec(t, conn, "INSERT INTO payments SELECT i, 'c' || i, now() FROM generate_series(1, 300) g(i)")
	time.Sleep(500 * time.Millisecond)
	if column(t, conn, "waiting > 0") != "true" {
		t.Errorf("at 100 rows a second 300 were sent in half of one")
	}
	exec(t, conn, "ALTER CONNECTION store RESET (rows_per_second)")
	sent(t, conn, nil)

	// A gateway's wrong password and keyspace end it with their reason.
	login := func(keyspace, password string) servertest.Options {
		return servertest.Options{Gateway: true, Env: []string{"TILEHOUSE_CASSANDRA_PASSWORD=" + password}, Args: []string{"--cassandra", c.Hosts[0], "--cassandra-username", cassandra.User, "--keyspace", keyspace}}
	}
	if _, err := servertest.Launch(t, "", login("missing", "hunter3")); err == nil || !strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "hunter3") {
		t.Errorf("gateway with a wrong password: %v", err)
	}
	if _, err := servertest.Launch(t, "", login("nowhere", cassandra.InitialPassword)); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("gateway to no keyspace: %v", err)
	}
	g := servertest.Start(t, "", login("missing", cassandra.InitialPassword))
	gw := dial(t, g.DSN())
	exec(t, conn, "SET tilehouse.read_time = '2100-01-01'")
	exec(t, gw, "SET tilehouse.read_time = '2100-01-01'")
	same(t, conn, gw, "SELECT * FROM card WHERE card = $1", "c7")

	// Another data directory is refused the keyspace, and takes it when it is told to; the first one stops.
	other := servertest.Start(t, t.TempDir(), env)
	second := dial(t, other.DSN())
	exec(t, second, `CREATE SECRET store_password WITH (backend = 'env') AS 'STORE_PASSWORD'; CREATE TABLE other (id bigint PRIMARY KEY, card text, ts timestamptz NOT NULL) WITH (event_time = 'ts');
		CREATE ENTITY card (card text); CREATE FEATURE n ON card AS SELECT card, count(*) FROM other GROUP BY card WINDOW LIFETIME; INSERT INTO other VALUES (1, 'c7', now()), (2, 'c7', now())`)
	exec(t, second, create("store", ", keyspace = 'missing'"))
	within(t, second, time.Minute, "state = 'failed' AND reason LIKE '%another data directory%'", "true")
	exec(t, second, "ALTER CONNECTION store SET (take_over = true)")
	sent(t, second, nil)
	within(t, conn, time.Minute, "state = 'failed' AND reason LIKE '%another%'", "true")
	sent(t, second, gw)
	var n int
	if err := gw.QueryRow(context.Background(), "SELECT n FROM card WHERE card = 'c7'", pgx.QueryExecModeSimpleProtocol).Scan(&n); err != nil || n != 2 {
		t.Errorf("after the keyspace was taken over c7 has %d, %v", n, err)
	}
	exec(t, conn, "DROP CONNECTION store")
	var rows int
	if err := conn.QueryRow(context.Background(), "SELECT count(*) FROM tilehouse.online_store").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("without a store there are %d rows, %v", rows, err)
	}
}
