package onlinestore

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/cassandra"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/kafka"
)

const (
	rateCards    = 5000                 // of the load
	rateProbes   = 64                   // cards that are asked for
	ratePoll     = 4 * time.Millisecond // between two lookups of a probe, and two probes: they take CPU from what they measure
	rateWarm     = time.Second
	rateLasts    = 8 * time.Second // of a rate
	rateGood     = 100 * time.Millisecond
	streamLinger = 10 * time.Millisecond // of the producer: each request to Kafka costs all of them CPU
	rateInFlight = 64                    // bare batches, twice as many as storage/cassandra has
)

// profileAddress is where a server that is measured gives its profiles.
const profileAddress = "127.0.0.1:23917"

// rateSteps are messages a second.
var rateSteps = []int{1000, 2000, 4000, 5000, 5500, 6000, 6500, 7000, 8000, 10_000, 12_000}

// TestRate finds the highest rate of messages at which a gateway's lookups count 99 of 100 within 100 ms after they were given to the
// producer: Kafka, server, Cassandra and gateway beside each other. Then it writes what the server wrote at that rate, the same partitions
// and bytes, by bare batches as fast as they go. It is a measurement: TILEHOUSE_STORE_RATE=1 runs it.
func TestRate(t *testing.T) {
	if os.Getenv("TILEHOUSE_STORE_RATE") == "" {
		t.Skip("a measurement: TILEHOUSE_STORE_RATE=1 runs it")
	}
	c := cassandra.Start(t, cassandra.Options{Heap: "1g", Optimize: true})
	b := kafka.Start(t, kafka.Options{})
	var args []string
	profile := os.Getenv("TILEHOUSE_STORE_PROFILE") // a file: the server's profile at each rate goes to FILE.rate
	if profile != "" {
		args = append(args, "--debug-listen", profileAddress)
	}
	s := servertest.Start(t, t.TempDir(), servertest.Options{Args: args})
	r := &rates{t: t, stream: newStream(t, b), conn: dial(t, s.DSN()), profile: profile}
	r.stream.fill(200_000)
	exec(t, r.conn, fmt.Sprintf(`CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s');
		CREATE SOURCE payments (id bigint, card bigint, amount numeric(12,2), score double precision, ts timestamptz, PRIMARY KEY (id), WATERMARK FOR ts AS ts - INTERVAL '1 minute')
		WITH (connector = 'kafka', connection = 'bus', topic = 'payments') FORMAT PLAIN ENCODE JSON;
		CREATE ENTITY card (card bigint);
		CREATE FEATURE c ON card AS SELECT card, count(*) AS n, sum(amount) AS total, avg(score) AS mean, max(amount) AS top, last(score) AS newest FROM payments GROUP BY card WINDOW 7 DAYS, 30 DAYS`, b.Addr))
	store(t, r.conn, c, "rate", "")
	for n := ""; n != fmt.Sprint(r.stream.next); time.Sleep(50 * time.Millisecond) {
		if err := r.conn.QueryRow(context.Background(), "SELECT count(*)::text FROM payments", pgx.QueryExecModeSimpleProtocol).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	sent(t, r.conn, nil)
	g := gateway(t, c, "rate")
	r.gateway = g.DSN()
	sent(t, r.conn, dial(t, r.gateway))
	r.processes = map[string]int{"server": s.PID(), "gateway": g.PID(), "Cassandra": c.PID(0), "Kafka": b.PID(), "test": os.Getpid()}
	bare := bareSession(t, c, "rate")
	for range 4 { // until the JVM has compiled what is used
		t.Log("warm: ", r.at(3000))
		sent(t, r.conn, nil)
	}
	var best level
	var bestSince, since int64
	failed := 0 // rates in a row
	for _, rate := range rateSteps {
		if only := os.Getenv("TILEHOUSE_STORE_RATE"); only != "1" && only != fmt.Sprint(rate) {
			continue
		}
		since = newestWrite(t, bare)
		l := r.at(rate)
		l.rounds = float64(newestWrite(t, bare)-since) / 2 / (rateWarm + rateLasts).Seconds()
		t.Log(l)
		sent(t, r.conn, nil)
		if l.p99 <= rateGood && l.reached > 0.95*float64(rate) {
			best, bestSince, failed = l, since, 0
		} else if failed++; failed == 2 { // one may be an accident
			break
		}
	}
	if best.reached == 0 {
		t.Fatal("the lowest rate is too high")
	}
	wrote := written(t, bare, bestSince)
	var rows, bytes int
	for _, p := range wrote {
		for i := range p {
			rows++
			bytes += len(p[i].part) + len(p[i].value)
		}
	}
	t.Logf("the server wrote %.0f rows/s, of %.0f bytes with keys; written since, in %d partitions %d rows of %.0f bytes", best.rows, best.bytes/best.rows, len(wrote), rows, float64(bytes)/float64(rows))
	for _, partitions := range []int{1, 8} {
		rate := bareBatches(t, bare, wrote, partitions, int(best.rows)*5)
		fmt.Printf("soak: online store: %s; bare unlogged batches of %d partitions %.0f rows/s: ratio %.2f\n", best, partitions, rate, best.rows/rate)
	}
}

// level is what was measured at one rate.
type level struct {
	reached        float64 // messages/s
	probes         int
	p50, p99, most time.Duration
	rows, bytes    float64 // a second, that the server wrote to Cassandra
	rounds         float64 // a second
	cpu            string
}

func (l level) String() string {
	return fmt.Sprintf("%.0f messages/s, %d probes: p50 %v, p99 %v, most %v; %.0f rows/s, %.0f kB/s, %.0f rounds/s; cores: %s", l.reached, l.probes, l.p50, l.p99, l.most, l.rows, l.bytes/1000, l.rounds, l.cpu)
}

type rates struct {
	t         *testing.T
	stream    *stream
	conn      *pgx.Conn
	gateway   string
	processes map[string]int
	profile   string
}

// counted are counters of the server's that grow.
func (r *rates) counted() (rows, bytes float64) {
	if err := r.conn.QueryRow(context.Background(), "SELECT rows, bytes FROM tilehouse.online_store").Scan(&rows, &bytes); err != nil {
		r.t.Fatal(err)
	}
	return rows, bytes
}

// busySeconds is CPU that all of the machine's processes used since it was started.
func busySeconds() (busy float64) {
	stat, _ := os.ReadFile("/proc/stat") // of Linux; 0 elsewhere
	line, _, _ := strings.Cut(string(stat), "\n")
	for i, f := range strings.Fields(line) {
		if n, err := strconv.Atoi(f); err == nil && i <= 8 && i != 4 && i != 5 { // user, nice, system, interrupts, stolen; neither idle nor waiting
			busy += float64(n) / 100
		}
	}
	return busy
}

// cpuSeconds is CPU that a process used.
func cpuSeconds(pid int) float64 {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // of Linux; 0 elsewhere
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return float64(user+system) / 100
}

// at measures at a rate in messages a second.
func (r *rates) at(rate int) level {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var load sync.WaitGroup
	var n atomic.Int64
	began := time.Now()
	load.Go(func() {
		for ctx.Err() == nil {
			for int(n.Load()) < int(time.Since(began).Seconds()*float64(rate)) && ctx.Err() == nil {
				r.stream.produce(rand.IntN(rateCards), time.Now())
				n.Add(1)
			}
			time.Sleep(time.Millisecond)
		}
	})
	time.Sleep(rateWarm)
	if r.profile != "" && rate >= 1000 {
		load.Go(func() { r.keepProfile(rate) })
	}
	rows, bytes := r.counted()
	before, counted, busy := map[string]float64{}, time.Now(), busySeconds()
	for name, pid := range r.processes {
		before[name] = cpuSeconds(pid)
	}
	var took []time.Duration
	conn := dial(r.t, r.gateway)
	for k := 0; time.Since(counted) < rateLasts; k = (k + 1) % rateProbes {
		took = append(took, r.probe(conn, rateCards+k))
		time.Sleep(ratePoll)
	}
	l := level{probes: len(took)}
	seconds := time.Since(counted).Seconds()
	busy = busySeconds() - busy
	for _, name := range []string{"server", "gateway", "Cassandra", "Kafka", "test"} {
		used := cpuSeconds(r.processes[name]) - before[name]
		l.cpu += fmt.Sprintf("%s %.2f, ", name, used/seconds)
		busy -= used
	}
	l.cpu += fmt.Sprintf("others %.2f", busy/seconds) // which is to be little, or the rate says nothing
	l.rows, l.bytes = r.counted()
	l.rows, l.bytes = (l.rows-rows)/seconds, (l.bytes-bytes)/seconds
	l.reached = float64(n.Load()) / time.Since(began).Seconds()
	stop()
	load.Wait()
	slices.Sort(took)
	q := func(p float64) time.Duration { return took[int(p*float64(len(took)-1))].Round(100 * time.Microsecond) }
	l.p50, l.p99, l.most = q(0.5), q(0.99), q(1)
	return l
}

func (r *rates) keepProfile(rate int) {
	resp, err := http.Get("http://" + profileAddress + "/debug/pprof/profile?seconds=8")
	if err != nil {
		r.t.Log(err)
		return
	}
	defer resp.Body.Close()
	out, err := os.Create(fmt.Sprintf("%s.%d", r.profile, rate))
	if err == nil {
		_, err = io.Copy(out, resp.Body)
		_ = out.Close()
	}
	if err != nil {
		r.t.Log(err)
	}
}

// probe produces a message of a card and waits until the gateway counts it.
func (r *rates) probe(conn *pgx.Conn, card int) time.Duration {
	count := func() (n int64) {
		if err := conn.QueryRow(context.Background(), "SELECT c_n_7d FROM card WHERE card = $1", card).Scan(&n); err != nil {
			r.t.Error(err)
		}
		return n
	}
	before := count()
	given := time.Now()
	r.stream.produce(card, given)
	for count() == before {
		if time.Since(given) > 20*time.Second {
			r.t.Errorf("a message of card %d does not show", card)
			break
		}
		time.Sleep(ratePoll)
	}
	return time.Since(given)
}

// stream is a topic of payments.
type stream struct {
	t      testing.TB
	client *kgo.Client
	mu     sync.Mutex
	next   int
}

func newStream(t testing.TB, b *kafka.Broker) *stream {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(streamLinger), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := kadm.NewClient(client).CreateTopic(context.Background(), 8, 1, nil, "payments"); err != nil {
		t.Fatal(err)
	}
	return &stream{t: t, client: client}
}

// produce gives one payment to the producer.
func (s *stream) produce(card int, at time.Time) {
	s.mu.Lock()
	id := s.next
	s.next++
	s.mu.Unlock()
	r := &kgo.Record{Topic: "payments", Partition: int32(id % 8), Value: fmt.Appendf(nil, `{"id": %d, "card": %d, "amount": %d.%02d, "score": %.3f, "ts": "%s"}`,
		id, card, id*7919%1000, id%100, float64(id%1009)/1009, at.UTC().Format(time.RFC3339Nano))}
	s.client.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
		if err != nil {
			s.t.Error(err)
		}
	})
}

// fill produces payments of all cards over the last 30 days, the last tenth of them of the last minutes.
func (s *stream) fill(n int) {
	now := time.Now()
	for i := range n {
		age := time.Duration(n-i) * (30 * 24 * time.Hour / time.Duration(n))
		if i > n*9/10 {
			age = time.Duration(n-i) * time.Millisecond
		}
		s.produce(i%(rateCards+rateProbes), now.Add(-age))
	}
	if err := s.client.Flush(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}

func bareSession(t testing.TB, c *cassandra.Cluster, keyspace string) *gocql.Session {
	t.Helper()
	cluster := gocql.NewCluster(c.Hosts...)
	cluster.Keyspace, cluster.Timeout, cluster.DefaultIdempotence = keyspace, 10*time.Second, true
	cluster.Consistency = gocql.LocalQuorum
	cluster.DefaultTimestamp = false
	cluster.WriteCoalesceWaitTime = 0
	cluster.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(gocql.RoundRobinHostPolicy())
	s, err := cluster.CreateSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// newestWrite is the largest timestamp of values.
func newestWrite(t testing.TB, bare *gocql.Session) (newest int64) {
	t.Helper()
	if err := bare.Query("SELECT max(writetime(value)) FROM tiles").Scan(&newest); err != nil {
		t.Fatal(err)
	}
	return newest
}

// written are the rows whose newest state was written after a timestamp, a partition each.
func written(t testing.TB, bare *gocql.Session, after int64) (out [][]bareRow) {
	t.Helper()
	it := bare.Query("SELECT grp, key, part, value, meta, writetime(value) FROM tiles").Iter()
	var at int64
	for r := (bareRow{}); it.Scan(&r.grp, &r.key, &r.part, &r.value, &r.meta, &at); r = (bareRow{}) {
		if at <= after {
			continue
		}
		if len(out) == 0 || string(out[len(out)-1][0].key) != string(r.key) {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], r)
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// bareBatches writes rows of partitions to a table like that of tiles, about so many, in unlogged batches of some partitions, and says how many
// a second.
func bareBatches(t testing.TB, bare *gocql.Session, parts [][]bareRow, partitions, about int) float64 {
	t.Helper()
	table := fmt.Sprintf("bare_%d", partitions)
	if err := bare.Query("CREATE TABLE " + table + " (grp bigint, key blob, part blob, value blob, round bigint static, meta blob static, PRIMARY KEY ((grp, key), part)) WITH speculative_retry = '50ms'").Exec(); err != nil {
		t.Fatal(err)
	}
	insert := "INSERT INTO " + table + " (grp, key, part, value, round, meta) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL 0"
	write := func(about int) (rows int) {
		work := make(chan [][]bareRow)
		var writers sync.WaitGroup
		stamp := time.Now().UnixMicro()
		for range rateInFlight {
			writers.Go(func() {
				for ps := range work {
					b := bare.Batch(gocql.UnloggedBatch)
					for _, p := range ps {
						for _, r := range p {
							b.Query(insert, r.grp, r.key, append([]byte{}, r.part...), append([]byte{}, r.value...), stamp, append([]byte{}, r.meta...), stamp)
						}
					}
					if err := b.Exec(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for at := 0; rows < about; at = (at + partitions) % len(parts) {
			ps := parts[at:min(len(parts), at+partitions)]
			for _, p := range ps {
				rows += len(p)
			}
			work <- ps
		}
		close(work)
		writers.Wait()
		return rows
	}
	write(about / 2) // the table is warm
	began := time.Now()
	rows := write(about)
	return float64(rows) / time.Since(began).Seconds()
}
