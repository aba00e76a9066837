package onlinestore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/cassandra"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/kafka"
)

// worldStream is world with a topic in place of the table.
func worldStream(broker string) string {
	_, features, _ := strings.Cut(world, "CREATE ENTITY")
	return fmt.Sprintf(`CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s');
CREATE SOURCE payments (id bigint, card text, shop bigint, amount numeric(12,2), score double precision, kind text, ts timestamptz, PRIMARY KEY (id), WATERMARK FOR ts AS ts - INTERVAL '1 minute')
WITH (connector = 'kafka', connection = 'bus', topic = 'payments') FORMAT UPSERT ENCODE JSON;
CREATE ENTITY`, broker) + features
}

// worldMessage is a row of changes as a message that upserts it.
func (c *changes) worldMessage(id int) *kgo.Record {
	age := time.Duration(c.r.ExpFloat64() * float64(time.Hour))
	if c.r.IntN(20) == 0 {
		age = time.Duration(c.r.IntN(40*24)) * time.Hour
	}
	v := fmt.Sprintf(`{"id": %d, "card": "%s", "shop": %d, "amount": %d.%02d, "score": %v, "kind": "%c", "ts": "%s"}`, id, c.card(), c.r.IntN(5), c.r.IntN(1000), c.r.IntN(100), c.r.NormFloat64(),
		'a'+c.r.IntN(5), time.Now().Add(-age).UTC().Format(time.RFC3339Nano))
	return &kgo.Record{Topic: "payments", Partition: int32(id % 8), Key: fmt.Appendf(nil, `{"id": %d}`, id), Value: []byte(v)}
}

// Of three nodes all are killed, for a minute with TILEHOUSE_SOAK, while messages come from a real Kafka, among them some that change and
// delete rows: the server reads on, everything arrives afterwards, and no reader ever sees that a card has fewer events than it had. The
// cards that the readers look at have no changes and deletes.
func TestAllAwayWhileStreaming(t *testing.T) {
	skipFast(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 3))
	away := 15 * time.Second
	if soak() {
		away = time.Minute
	}
	c := cassandra.Start(t, cassandra.Options{Nodes: 3, Heap: "400m"})
	b := kafka.Start(t, kafka.Options{})
	messages := newStream(t, b)
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, worldStream(b.Addr))
	store(t, conn, c, "away", "")
	sent(t, conn, nil)
	g := gateway(t, c, "away")
	gw := dial(t, g.DSN())

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var streaming, reading sync.WaitGroup
	var given atomic.Int64
	ch := &changes{r: rand.New(rand.NewPCG(seed, 4)), epoch: time.Now()}
	produce := func(rec *kgo.Record) {
		given.Add(1)
		messages.client.Produce(context.Background(), rec, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	streaming.Go(func() { // some 500 messages a second
		for steady := 1_000_000_000; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
			for range 5 {
				switch ch.r.IntN(10) {
				case 0: // a delete
					id := ch.r.IntN(ch.next + 1)
					produce(&kgo.Record{Topic: "payments", Partition: int32(id % 8), Key: fmt.Appendf(nil, `{"id": %d}`, id)})
				case 1:
					produce(ch.worldMessage(ch.r.IntN(ch.next + 1)))
				case 2, 3, 4:
					steady++
					produce(&kgo.Record{Topic: "payments", Partition: int32(steady % 8), Key: fmt.Appendf(nil, `{"id": %d}`, steady),
						Value: fmt.Appendf(nil, `{"id": %d, "card": "steady%d", "shop": 1, "amount": 1.25, "score": 0.5, "kind": "a", "ts": "%s"}`, steady, steady%20, time.Now().UTC().Format(time.RFC3339Nano))})
				default:
					produce(ch.worldMessage(ch.next))
					ch.next++
				}
			}
		}
	})
	var reads, failed atomic.Int64
	for i := range 4 {
		reader := dial(t, g.DSN())
		reading.Go(func() {
			most := map[int]int64{}
			for k := i; ctx.Err() == nil; k = (k + 1) % 20 {
				var n int64
				err := reader.QueryRow(context.Background(), fmt.Sprintf("SELECT c_n_lifetime FROM card WHERE card = 'steady%d'", k), pgx.QueryExecModeSimpleProtocol).Scan(&n)
				reads.Add(1)
				switch {
				case err != nil:
					failed.Add(1)
				case n < most[k]:
					t.Errorf("card steady%d had %d events and has %d", k, most[k], n)
				default:
					most[k] = n
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	log := func(when string) int64 {
		n := given.Load()
		t.Logf("%s: %d messages given, %d reads, %d failed; %s", when, n, reads.Load(), failed.Load(), column(t, conn, "concat_ws(' ', state, 'waiting', waiting, 'lag', lag)"))
		return n
	}
	time.Sleep(5 * time.Second)
	before := log("all nodes run")
	c.KillAll()
	newest := func() (n int64) {
		if err := conn.QueryRow(context.Background(), "SELECT newest_position FROM tilehouse.online_store").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	at := newest()
	time.Sleep(away)
	after := log("all were away")
	if moved := newest() - at; moved < 100 {
		t.Errorf("while all nodes were away the server read %d commits of %d messages", moved, after-before)
	}
	within(t, conn, 30*time.Second, "state", "waiting")
	c.RestartAll(t)
	back := time.Now()
	within(t, conn, 2*time.Minute, "state = 'following' AND lag < INTERVAL '1 second'", "true")
	t.Logf("less than a second behind %v after the nodes were back", time.Since(back).Round(time.Millisecond))
	time.Sleep(3 * time.Second) // the gateway has connected again
	log("the nodes are back")
	lost := failed.Load()
	time.Sleep(5 * time.Second)
	log("some seconds later")
	if n := failed.Load() - lost; n > 0 {
		t.Errorf("%d reads failed while all nodes run again", n)
	}
	stop()
	streaming.Wait()
	reading.Wait()
	if err := messages.client.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	within(t, conn, time.Minute, "(SELECT sum(next_offset)::bigint FROM tilehouse.source_partitions WHERE source = 'payments')", fmt.Sprint(given.Load()))
	sent(t, conn, gw)
	instant := time.Now().Add(time.Second).UTC().Format("2006-01-02 15:04:05.000000Z")
	exec(t, conn, fmt.Sprintf("SET tilehouse.read_time = '%s'", instant))
	exec(t, gw, fmt.Sprintf("SET tilehouse.read_time = '%s'", instant))
	cards := []string{"hot"}
	for i := range 45 {
		cards = append(cards, fmt.Sprintf("k%d", i), fmt.Sprintf("steady%d", i))
	}
	for _, card := range cards {
		same(t, conn, gw, "SELECT * FROM card WHERE card = $1", card)
		same(t, conn, gw, "SELECT * FROM pair WHERE card = $1 AND shop = $2", card, "1")
	}
	compare(t, r, ch.epoch, conn, gw, 100)
}
