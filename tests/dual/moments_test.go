package dual

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/kafka"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

// side reads the rows of a relation.
func side(t *testing.T, conn *pgx.Conn, relation, then string) []row {
	t.Helper()
	res, err := conn.Query(context.Background(), "SELECT coalesce(id, 0), id IS NOT NULL, k, (amount * 100)::bigint, shop, coalesce((extract(epoch FROM ts) * 1000000)::bigint, 0), ts IS NOT NULL FROM "+relation+" "+then)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(res, func(r pgx.CollectableRow) (o row, err error) {
		return o, r.Scan(&o.id, &o.hasKey, &o.k, &o.cents, &o.shop, &o.ts, &o.hasTS)
	})
	if err != nil {
		t.Fatalf("%s %s: %v", relation, then, err)
	}
	return out
}

// load is what a load of the batch side made.
type load struct {
	at    time.Time
	bound *int64
	batch []row
}

// loads reads the newest load, once there is nothing else to load.
func newest(t *testing.T, conn *pgx.Conn) load {
	t.Helper()
	var l load
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var stale bool
		if err := conn.QueryRow(context.Background(), "SELECT set_at, (extract(epoch FROM time_boundary) * 1000000)::bigint, stale FROM tilehouse.dual_sources WHERE source = 'd'").Scan(&l.at, &l.bound, &stale); err != nil {
			t.Fatal(err)
		}
		if !stale {
			l.batch = side(t, conn, "lake", "")
			return l
		}
		if time.Now().After(end) {
			t.Fatal("the batch side is not loaded")
		}
	}
}

// compare compares the dual source at a time, the zero time: now, with the union of what its sides were then.
func compare(t *testing.T, conn *pgx.Conn, l load, at time.Time) int {
	t.Helper()
	as := func(at time.Time) string {
		if at.IsZero() {
			return ""
		}
		return fmt.Sprintf("FOR SYSTEM_TIME AS OF '%s'", at.UTC().Format("2006-01-02 15:04:05.999999Z"))
	}
	before := map[row]int{}
	for _, r := range side(t, conn, "live", as(l.at)) {
		before[r]++
	}
	var stream []arrived
	for _, r := range side(t, conn, "live", as(at)) {
		came := 1
		if before[r] > 0 { // rows are never written twice as they are
			came = 0
		}
		stream = append(stream, arrived{r, came})
	}
	want := union(l.batch, stream, l.bound, 0, true)
	got := union(nil, func() (all []arrived) {
		for _, r := range side(t, conn, "d", as(at)) {
			all = append(all, arrived{r, 0})
		}
		return all
	}(), nil, 0, true) // in order
	if !slices.Equal(got, want) {
		var lines []string
		for _, r := range got {
			if !slices.Contains(want, r) {
				lines = append(lines, "too much: "+r.columns())
			}
		}
		for _, r := range want {
			if !slices.Contains(got, r) {
				lines = append(lines, "missing: "+r.columns())
			}
		}
		bound := "none"
		if l.bound != nil {
			bound = stamp(*l.bound)
		}
		t.Fatalf("at %v, boundary %s set at %v: %d rows, want %d\n%s", at, bound, l.at, len(got), len(want), strings.Join(lines, "\n"))
	}
	return len(got)
}

// values compares counts and sums by key of features with those of the rows.
func values(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	var n int
	if err := conn.QueryRow(context.Background(), `SELECT count(*) FROM (SELECT k, count(*) AS n, sum(amount) AS total FROM d GROUP BY k) r
		FULL JOIN (SELECT k, f_n, f_total FROM cust WHERE k = ANY('{0,1,2,3,4,5}'::bigint[]) AND f_n > 0) c ON c.k = r.k AND c.f_n = r.n AND c.f_total = r.total WHERE c.k IS NULL OR r.k IS NULL`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n > 0 {
		t.Fatalf("%d keys have other values than their rows", n)
	}
}

// feed writes to both sides: the stream in a goroutine, rows that are new, late, changed and ended, until stop is closed.
type feed struct {
	dir  string
	next int64
	day  int64
	wg   sync.WaitGroup
	stop chan struct{}
	mu   sync.Mutex // of edge
	edge int64
	turn sync.Mutex // held while a row is written

	client *kgo.Client // of the topic that the stream side is; nil: it is a table
	broker string
	sent   int
}

func (f *feed) stream(t *testing.T, dsn func() string) {
	rng := seeded(t)
	f.wg.Go(func() {
		var conn *pgx.Conn
		ids, rows := []int64{}, map[int64]row{}
		for {
			select {
			case <-f.stop:
				if conn != nil {
					_ = conn.Close(context.Background())
				}
				return
			default:
			}
			if conn == nil && f.client == nil {
				var err error
				if conn, err = pgx.Connect(context.Background(), dsn()); err != nil {
					conn = nil
					time.Sleep(20 * time.Millisecond)
					continue
				}
			}
			f.mu.Lock()
			around := f.edge
			f.mu.Unlock()
			if f.client != nil {
				f.message(t, rng, around, &ids, rows)
				time.Sleep(time.Duration(rng.IntN(3)) * time.Millisecond)
				continue
			}
			var sql string
			switch n := rng.IntN(10); {
			case n < 7 || len(ids) == 0:
				f.next++
				ts := around + rng.Int64N(2*day) - day/2
				if n == 0 {
					ts = base + rng.Int64N(around-base)
				}
				ids = append(ids, f.next)
				sql = fmt.Sprintf("INSERT INTO live (id, k, amount, shop, ts) VALUES (%d, %d, %d.25, 's%d', '%s')", f.next, f.next%keys, f.next, f.next, stamp(ts))
			case n < 9:
				f.next++
				sql = fmt.Sprintf("UPDATE live SET amount = %d.75, ts = ts + INTERVAL '%d hours' WHERE id = %d", f.next, rng.IntN(72)-36, ids[rng.IntN(len(ids))])
			default:
				sql = fmt.Sprintf("DELETE FROM live WHERE id = %d", ids[rng.IntN(len(ids))])
			}
			f.turn.Lock()
			_, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol)
			f.turn.Unlock()
			if err != nil && conn.IsClosed() {
				conn = nil
			}
			time.Sleep(time.Duration(rng.IntN(3)) * time.Millisecond)
		}
	})
}

// message writes a row to the topic, or its end.
func (f *feed) message(t *testing.T, rng *rand.Rand, around int64, ids *[]int64, rows map[int64]row) {
	f.turn.Lock()
	defer f.turn.Unlock()
	f.next++
	id := f.next
	r := row{k: id % keys, cents: id*100 + 25, shop: fmt.Sprint("s", id), ts: around + rng.Int64N(2*day) - day/2}
	if n := rng.IntN(10); n < 3 && len(*ids) > 0 {
		id = (*ids)[rng.IntN(len(*ids))]
		r.ts = rows[id].ts + rng.Int64N(72*hour) - 36*hour
	} else if n == 3 {
		r.ts = base + rng.Int64N(around-base)
	}
	if rows[id] = r; id == f.next {
		*ids = append(*ids, id)
	}
	rec := &kgo.Record{Topic: "live", Partition: int32(id % 4), Key: fmt.Appendf(nil, `{"id": %d}`, id)}
	if rng.IntN(12) > 0 {
		rec.Value = fmt.Appendf(nil, `{"id": %d, "k": %d, "amount": %s, "shop": %q, "ts": %q}`, id, r.k, money(r.cents), r.shop, stamp(r.ts))
	}
	if err := f.client.ProduceSync(context.Background(), rec).FirstErr(); err != nil {
		t.Error(err)
	}
	f.sent++
}

// settle waits until the server has taken what was written.
func (f *feed) settle(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	if f.client == nil {
		return
	}
	n, dead := 0, 0
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err := conn.QueryRow(context.Background(), "SELECT messages, dead_letters FROM tilehouse.sources WHERE name = 'live'").Scan(&n, &dead); err != nil {
			t.Fatal(err)
		}
		if n == f.sent {
			if dead > 0 {
				t.Fatalf("%d dead letters", dead)
			}
			return
		}
	}
	t.Fatalf("%d messages of %d", n, f.sent)
}

// dump writes the stream of a day, as the batch side gets it: some of it is missing, corrected, twice.
func (f *feed) dump(t *testing.T, conn *pgx.Conn, seed int) {
	var b strings.Builder
	b.WriteString("id,k,amount,shop,ts\n")
	for _, r := range side(t, conn, "live", "") {
		if r.ts < f.day || r.ts >= f.day+day || r.id%11 == int64(seed%11) {
			continue
		}
		cents := r.cents
		if r.id%7 == int64(seed%7) {
			cents++
		}
		for range 1 + r.id%2 {
			fmt.Fprintf(&b, "%d,%d,%s,%s,%s\n", r.id, r.k, money(cents), r.shop, stamp(r.ts))
		}
	}
	fmt.Fprintf(&b, "%d,1,7.00,only,%s\n%d,2,8.00,next,%s\n", 1_000_000+f.day/day, stamp(f.day+hour), 2_000_000+f.day/day, stamp(f.day+day+hour))
	if err := os.WriteFile(filepath.Join(f.dir, strconv.FormatInt(f.day/day, 10)+".csv"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	f.day += day
	f.mu.Lock()
	f.edge = f.day
	f.mu.Unlock()
}

// define makes the sides, the dual source and a feature.
func (f *feed) define(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	live := "CREATE TABLE live (id bigint PRIMARY KEY, k bigint, amount numeric(12,2), shop text, ts timestamptz NOT NULL) WITH (event_time = 'ts')"
	if f.client != nil {
		if _, err := conn.Exec(context.Background(), fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", f.broker)); err != nil {
			t.Fatal(err)
		}
		live = "CREATE SOURCE live (id bigint, k bigint, amount numeric(12,2), shop text, ts timestamptz, PRIMARY KEY (id)) WITH (connector = 'kafka', connection = 'bus', topic = 'live', event_time = 'ts') FORMAT UPSERT ENCODE JSON"
	}
	for _, sql := range []string{
		"CREATE SOURCE lake (id bigint, k bigint, amount numeric(12,2), shop text, ts timestamptz) WITH (connector = 'file', path = '*.csv', event_time = 'ts')",
		live,
		"CREATE SOURCE d FROM BATCH lake STREAM live WITH (time_boundary = 'auto', dedupe_key = 'id')",
		"CREATE ENTITY cust (k bigint)",
		"CREATE FEATURE f ON cust AS SELECT k, count(*) AS n, sum(amount) AS total FROM d GROUP BY k WINDOW LIFETIME",
	} {
		if _, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func newFeed(t *testing.T) *feed {
	return &feed{dir: t.TempDir(), day: base, edge: base + day/2, stop: make(chan struct{})}
}

// While the stream flows, the boundary moves, and moves again. At every moment that is looked at afterwards the rows are those of the union.
func TestMomentsWhileMoving(t *testing.T) {
	f := newFeed(t)
	s := servertest.Start(t, t.TempDir(), servertest.Options{Args: []string{"--file-root", f.dir}})
	conn := dial(t, s.DSN())
	f.define(t, conn)
	f.stream(t, func() string { return s.DSN() })
	days := 6
	if soak() {
		days = 60
	}
	loads := []load{}
	var times []time.Time
	for i := range days {
		time.Sleep(150 * time.Millisecond)
		f.dump(t, conn, i)
		if _, err := conn.Exec(context.Background(), "REFRESH SOURCE lake"); err != nil {
			t.Fatal(err)
		}
		l := newest(t, conn)
		loads = append(loads, l)
		times = append(times, l.at, l.at.Add(-time.Microsecond), l.at.Add(time.Duration(i)*7*time.Millisecond))
	}
	close(f.stop)
	f.wg.Wait()
	values(t, conn)
	rows := compare(t, conn, loads[len(loads)-1], time.Time{})
	looked := 0
	for _, at := range times {
		i := -1
		for j := range loads {
			if !loads[j].at.After(at) {
				i = j
			}
		}
		if i >= 0 {
			compare(t, conn, loads[i], at)
			looked++
		}
	}
	t.Logf("%d rows at last, %d moments", rows, looked)
}

// A server that is killed while rows come and the boundary moves has the union of what it has of the sides.
func TestKilledWhileMoving(t *testing.T) {
	kills := 4
	if soak() {
		kills = 100
	}
	killed(t, newFeed(t), kills)
}

// TestKafkaKilledWhileMoving is the same with a topic of a real Kafka as the stream side.
func TestKafkaKilledWhileMoving(t *testing.T) {
	if !soak() && os.Getenv("TILEHOUSE_KAFKA") == "" {
		t.Skip("a slow test: make soak, or TILEHOUSE_KAFKA=1, runs it against a real Kafka")
	}
	b := kafka.Start(t, kafka.Options{})
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := kadm.NewClient(client).CreateTopic(context.Background(), 4, 1, nil, "live"); err != nil {
		t.Fatal(err)
	}
	kills := 6
	if soak() {
		kills = 60
	}
	f := newFeed(t)
	f.client, f.broker = client, b.Addr
	killed(t, f, kills)
}

func killed(t *testing.T, f *feed, kills int) {
	dir := t.TempDir()
	start := func() *servertest.Server {
		return servertest.Start(t, dir, servertest.Options{Args: []string{"--file-root", f.dir}})
	}
	s := start()
	var mu sync.Mutex
	conn := dial(t, s.DSN())
	f.define(t, conn)
	f.stream(t, func() string { mu.Lock(); defer mu.Unlock(); return s.DSN() })
	for i := range kills {
		time.Sleep(100 * time.Millisecond)
		f.dump(t, conn, i)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = conn.Exec(context.Background(), "REFRESH SOURCE lake") // it may be cut short
		}()
		time.Sleep(time.Duration(i%5) * 9 * time.Millisecond)
		s.Kill()
		<-done
		mu.Lock()
		s = start()
		mu.Unlock()
		conn = dial(t, s.DSN())
		f.turn.Lock()
		f.settle(t, conn)
		compare(t, conn, newest(t, conn), time.Time{}) // what the start did
		values(t, conn)
		f.turn.Unlock()
		if _, err := conn.Exec(context.Background(), "REFRESH SOURCE d"); err != nil {
			t.Fatal(err)
		}
		f.turn.Lock()
		f.settle(t, conn)
		compare(t, conn, newest(t, conn), time.Time{})
		values(t, conn)
		f.turn.Unlock()
	}
	close(f.stop)
	f.wg.Wait()
	f.settle(t, conn)
	rows := compare(t, conn, newest(t, conn), time.Time{})
	values(t, conn)
	t.Logf("%d rows after %d kills", rows, kills)
}

var dial = servertest.Dial
