package onlinestore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/tilehouse/tilehouse/tests/cassandra"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

// bareRow is a row of the table of tiles as it is.
type bareRow struct {
	grp         int64
	key, part   []byte
	value, meta []byte
}

func percentiles(took []time.Duration) string {
	slices.Sort(took)
	at := func(p float64) time.Duration {
		return took[min(len(took)-1, int(p*float64(len(took))))].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %v, p99 %v", at(0.5), at(0.99))
}

// together runs one of n workers each until time is up, and says how long each call of theirs took.
func together(t *testing.T, n int, long time.Duration, worker func(i int) func() error) (rate float64, took []time.Duration) {
	var mu sync.Mutex
	var all sync.WaitGroup
	var failed atomic.Int64
	calls := make([]func() error, n)
	for i := range n {
		calls[i] = worker(i)
	}
	began := time.Now()
	for i := range n {
		all.Go(func() {
			var own []time.Duration
			for time.Since(began) < long {
				one := time.Now()
				if err := calls[i](); err != nil {
					failed.Add(1)
					t.Error(err)
					return
				}
				own = append(own, time.Since(one))
			}
			mu.Lock()
			took = append(took, own...)
			mu.Unlock()
		})
	}
	all.Wait()
	return float64(len(took)) / time.Since(began).Seconds(), took
}

// TestMeasure compares the online store with what Cassandra does bare, in one run on one machine: dispersal of whole groups beside unlogged
// batches of the same rows, and lookups of a gateway beside prepared reads of the same partitions. It is a measurement: TILEHOUSE_STORE_MEASURE=1
// runs it.
func TestMeasure(t *testing.T) {
	if os.Getenv("TILEHOUSE_STORE_MEASURE") == "" {
		t.Skip("a measurement: TILEHOUSE_STORE_MEASURE=1 runs it")
	}
	const keys, rows, seconds = 5000, 250_000, 5
	c := cassandra.Start(t, cassandra.Options{Heap: "1g", Optimize: true})
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, `CREATE TABLE payments (id bigint PRIMARY KEY, card bigint, amount numeric(12,2), score double precision, ts timestamptz NOT NULL) WITH (event_time = 'ts');
		CREATE ENTITY card (card bigint);
		CREATE FEATURE c ON card AS SELECT card, count(*) AS n, sum(amount) AS total, avg(score) AS mean, max(amount) AS top, last(score) AS newest FROM payments GROUP BY card WINDOW 7 DAYS, 30 DAYS`)
	exec(t, conn, fmt.Sprintf(`INSERT INTO payments SELECT i, hash %% %d, (hash %% 100000) / 100.0, random(), now() - (hash %% 3000000) * INTERVAL '1 second'
		FROM (SELECT i, i * 7919::bigint AS hash FROM generate_series(1, %d) AS g(i)) x`, keys, rows))
	store(t, conn, c, "measured", "")
	sent(t, conn, nil)
	bare := bareSession(t, c, "measured")

	// Everything once more by the server, as after DROP and CREATE, and by bare batches, a partition each, alternately.
	var all [][]bareRow
	var bytes int64
	it := bare.Query("SELECT grp, key, part, value, meta FROM tiles").Iter()
	n := 0
	for r := (bareRow{}); it.Scan(&r.grp, &r.key, &r.part, &r.value, &r.meta); r = (bareRow{}) {
		if len(all) == 0 || string(all[len(all)-1][0].key) != string(r.key) {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], r)
		bytes += int64(len(r.part) + len(r.value))
		n++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d partitions, %d rows, %d bytes of values", len(all), n, bytes)
	if err := bare.Query("CREATE TABLE bare (grp bigint, key blob, part blob, value blob, round bigint static, meta blob static, PRIMARY KEY ((grp, key), part)) WITH speculative_retry = '50ms'").Exec(); err != nil {
		t.Fatal(err)
	}
	for round := 0; round < 2; round++ {
		began := time.Now()
		work := make(chan []bareRow)
		var writers sync.WaitGroup
		for range 64 {
			writers.Go(func() {
				for p := range work {
					b := bare.Batch(gocql.UnloggedBatch)
					for _, r := range p {
						b.Query("INSERT INTO bare (grp, key, part, value) VALUES (?, ?, ?, ?)", r.grp, r.key, append([]byte{}, r.part...), r.value)
					}
					if err := b.Exec(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for _, p := range all {
			work <- p
		}
		close(work)
		writers.Wait()
		batches := time.Since(began)
		exec(t, conn, "DROP CONNECTION store")
		began = time.Now()
		store(t, conn, c, "measured", "")
		sent(t, conn, nil)
		took := time.Since(began)
		t.Logf("round %d: dispersal %.0f rows/s, with connecting and publishing; bare batches %.0f rows/s; ratio %.2f", round, float64(n)/took.Seconds(), float64(n)/batches.Seconds(), batches.Seconds()/took.Seconds())
	}

	g := gateway(t, c, "measured")
	gw := dial(t, g.DSN())
	sent(t, conn, gw)
	all, it = nil, bare.Query("SELECT DISTINCT grp, key FROM tiles").Iter()
	var grp int64
	for r := (bareRow{}); it.Scan(&r.grp, &r.key); r = (bareRow{}) {
		if r.grp >= grp {
			if r.grp > grp {
				grp, all = r.grp, nil
			}
			all = append(all, []bareRow{r})
		}
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	day := func(ago int) []byte { // the root of a day's tree
		d := uint32(int32(time.Now().Unix()/86400)-int32(ago)) ^ 1<<31
		return []byte{byte(d >> 24), byte(d >> 16), byte(d >> 8), byte(d), 0, 0, 0, 0, 0, 0, 0, 0, 0}
	}
	parts := [][]byte{{}, day(0), day(7), day(30)}
	lookup := func(i int) func() error {
		conn := dial(t, g.DSN())
		r := rand.New(rand.NewPCG(uint64(i), 1))
		return func() error {
			rows, err := conn.Query(context.Background(), "SELECT * FROM card WHERE card = $1", r.IntN(keys))
			if err == nil {
				rows.Close()
				err = rows.Err()
			}
			return err
		}
	}
	plain := func(i int) func() error {
		r := rand.New(rand.NewPCG(uint64(i), 1))
		return func() error {
			p := all[r.IntN(len(all))][0]
			var part, value, meta []byte
			var round int64
			it := bare.Query("SELECT part, value, round, meta FROM tiles WHERE grp = ? AND key = ? AND part IN ?", p.grp, p.key, parts).Iter()
			for it.Scan(&part, &value, &round, &meta) {
			}
			return it.Close()
		}
	}
	together(t, 8, 2*time.Second, lookup) // warm
	for _, n := range []int{8, 32} {
		for round := 0; round < 2; round++ {
			rate, took := together(t, n, seconds*time.Second, lookup)
			bareRate, bareTook := together(t, n, seconds*time.Second, plain)
			t.Logf("%d connections: lookups %.0f/s, %s; bare prepared reads %.0f/s, %s", n, rate, percentiles(took), bareRate, percentiles(bareTook))
		}
	}
}
