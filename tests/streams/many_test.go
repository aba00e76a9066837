package streams

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/kafka"
	"github.com/tilehouse/tilehouse/tests/oracle"
)

const (
	manyPartitions = 8
	manySpan       = 3 * 24 * time.Hour // of event time, up to now
	manyWait       = 2 * time.Second    // between two kills, on average
)

// many are messages that follow from their number, so that what must become of them needs no memory: one in a hundred is poison, one in a
// thousand has a key of another, they are out of order by up to a minute, and one in a hundred is late by up to a day.
type many struct {
	seed                    uint64
	n, customers, merchants int
	from                    int64 // event time of the first, microseconds
}

func newMany(seed uint64, n int) *many {
	return &many{seed: seed, n: n, customers: max(50, n/100), merchants: max(5, n/2000), from: time.Now().Add(-manySpan - time.Hour).UnixMicro()}
}

// numbers are random ones of message i.
func (m *many) numbers(i int) *rand.PCG { return rand.NewPCG(m.seed, uint64(i)) }

func (m *many) isPoison(i int) bool  { return m.numbers(i).Uint64()%100 == 0 }
func (m *many) isDoubled(i int) bool { return i >= manyPartitions && m.numbers(i).Uint64()%1000 == 1 }

// dead reports whether message i is a dead letter: poison, or with the key of the message before it in its partition, which is a row.
func (m *many) dead(i int) bool {
	if m.isDoubled(i) {
		before := i - manyPartitions
		return !m.isPoison(before) && !m.isDoubled(before)
	}
	return m.isPoison(i)
}

// row is what message i says.
func (m *many) row(i int) (r oracle.Row, customer, merchant int) {
	rnd := rand.New(m.numbers(i))
	rnd.Uint64() // what decides about poison
	id := i
	if m.isDoubled(i) {
		id = i - manyPartitions
	}
	ts := m.from + int64(float64(i)/float64(m.n)*float64(manySpan.Microseconds())) + rnd.Int64N(60_000_000)
	if rnd.IntN(100) == 0 {
		ts -= rnd.Int64N(day)
	}
	customer, merchant = rnd.IntN(m.customers), rnd.IntN(m.merchants)
	status := "ok"
	if rnd.IntN(4) == 0 {
		status = "declined"
	}
	return oracle.Row{TS: ts, PK: int64(id), Added: 1, Cells: map[string]any{"amount": oracle.Dec{Unscaled: rnd.Int64N(100_000) - 10_000, Scale: 2}, "status": status}}, customer, merchant
}

func (m *many) record(i int) *kgo.Record {
	r, customer, merchant := m.row(i)
	v := fmt.Appendf(nil, `{"id": %d, "customer_id": %d, "merchant_id": %d, "amount": %s, "status": %q, "ts": "%s"}`,
		r.PK, customer, merchant, money(r.Cells["amount"].(oracle.Dec).Unscaled), r.Cells["status"], time.UnixMicro(r.TS).UTC().Format(time.RFC3339Nano))
	if m.isPoison(i) {
		v = v[:1+i%(len(v)-1)]
	}
	return &kgo.Record{Topic: "events", Partition: int32(i % manyPartitions), Value: v}
}

// produce sends all of them at a rate of messages a second; 0: as fast as may be.
func (m *many) produce(t *testing.T, client *kgo.Client, rate float64) {
	began := time.Now()
	for i := range m.n {
		for rate > 0 && float64(i) > rate*time.Since(began).Seconds() {
			time.Sleep(time.Millisecond)
		}
		client.Produce(context.Background(), m.record(i), func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := client.Flush(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestMany reads many messages by a server that is killed at any moment: each is a row or a dead letter, and the features are the oracle's.
func TestMany(t *testing.T) {
	bus, client := cluster(t, manyPartitions, "events")
	manyMessages(t, bus.ListenAddrs()[0], client, 40_000, 3, nil, func(int) {})
}

// TestManyShared is TestMany with a second server, which joins and leaves.
func TestManyShared(t *testing.T) {
	bus, client := cluster(t, manyPartitions, "events")
	addr := bus.ListenAddrs()[0]
	manyMessages(t, addr, client, 20_000, 5, newGroup(t, addr, 2, manyStatements(true)), func(int) {})
}

// TestKafkaMany is TestMany with a real Kafka, whose broker is killed, too. Ten million messages take a good ten minutes.
func TestKafkaMany(t *testing.T) {
	n, kills := manySize(t)
	b, client := realKafka(t, kafka.Options{}, manyPartitions, "events")
	manyMessages(t, b.Addr, client, n, kills, nil, restarts(t, b))
}

// TestKafkaManyShared is TestManyShared with a real Kafka, whose broker is killed, too.
func TestKafkaManyShared(t *testing.T) {
	n, kills := manySize(t)
	b, client := realKafka(t, kafka.Options{}, manyPartitions, "events")
	manyMessages(t, b.Addr, client, n, kills, newGroup(t, b.Addr, 2, manyStatements(true)), restarts(t, b))
}

func manySize(t *testing.T) (messages, kills int) {
	t.Helper()
	skipFast(t)
	if soak() {
		return 10_000_000, 200
	}
	return 200_000, 10
}

func restarts(t *testing.T, b *kafka.Broker) func(i int) {
	return func(i int) {
		if i%20 == 7 {
			b.Kill()
			time.Sleep(time.Second)
			b.Restart(t)
		}
	}
}

// manyStatements are the source, whose reading servers share or not, and the features.
func manyStatements(shared bool) []string {
	source := throughputSource
	if shared {
		source = strings.Replace(source, "WITH (", "WITH (archive = 'payments', ", 1)
	}
	return append([]string{source}, throughputFeatures...)
}

// manyMessages has n messages read by a server, which is killed. Where there is a group, it is of two servers: the second one joins and leaves.
func manyMessages(t *testing.T, brokers string, client *kgo.Client, n, kills int, g *group, more func(i int)) {
	rng := seeded(t)
	m := newMany(rng.Uint64(), n)
	shared := g != nil
	if !shared {
		g = &group{t: t, root: t.TempDir(), brokers: brokers, statements: manyStatements(false), servers: make([]*servertest.Server, 1), dirs: []string{filepath.Join(t.TempDir(), "data")}}
	}
	g.start(0)
	began := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.produce(t, client, float64(n)/(float64(kills)*manyWait.Seconds()))
	}()
	peak := int64(0)
	for i := range kills {
		time.Sleep(time.Duration(rng.Int64N(2 * int64(manyWait))))
		peak = max(peak, g.servers[0].PeakMemory(t))
		g.end(0, true)
		more(i)
		g.start(0)
		if shared && i%2 == 1 {
			if g.servers[1] == nil {
				g.start(1)
			} else {
				g.end(1, rng.IntN(2) == 0)
			}
		}
	}
	<-done
	letters := 0
	for i := range n {
		if m.dead(i) {
			letters++
		}
	}
	values, compared := 0, 0
	took := time.Duration(0)
	for i, conn := range g.all(len(g.servers)) {
		for rows, dead := 0, 0; rows+dead < n && !t.Failed(); time.Sleep(50 * time.Millisecond) {
			if err := conn.QueryRow(context.Background(), "SELECT rows, dead_letters FROM tilehouse.sources WHERE name = 's'").Scan(&rows, &dead); err != nil {
				t.Fatal(err)
			}
		}
		took = time.Since(began)
		same(t, "counts", texts(t, conn, "SELECT rows || ' ' || dead_letters FROM tilehouse.sources WHERE name = 's'"), []string{fmt.Sprintf("%d %d", n-letters, letters)})
		same(t, "rows", texts(t, conn, "SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || sum(id) FROM s"), []string{m.ids()})
		values += m.check(t, conn, rng)
		compared += m.rebuilt(t, conn, rng)
		g.end(i, false)
		values += m.check(t, g.start(i), rng)
	}
	t.Logf("soak: %d messages, %d of them dead letters, %d kills, %d servers, %v, at most %d kB resident: none lost, none twice; %d values equal the oracle, %d equal a grouping of the rows",
		n, letters, kills, len(g.servers), took.Round(time.Second), peak>>10, values, compared)
}

// ids is how many rows there must be, how many keys, and the sum of the keys.
func (m *many) ids() string {
	rows, sum := 0, 0
	for i := range m.n {
		if !m.dead(i) {
			r, _, _ := m.row(i)
			rows, sum = rows+1, sum+int(r.PK)
		}
	}
	return fmt.Sprintf("%d %d %d", rows, rows, sum)
}

// check compares the features of some keys with the oracle, online and by the join, and gives how many values.
func (m *many) check(t *testing.T, conn *pgx.Conn, rng *rand.Rand) (values int) {
	t.Helper()
	amount := []func(*oracle.Row) any{func(r *oracle.Row) any { return r.Cells["amount"] }}
	status := []func(*oracle.Row) any{func(r *oracle.Row) any { return r.Cells["status"] }}
	declined := func(r *oracle.Row) bool { return r.Cells["status"] == "declined" }
	for _, e := range []struct {
		entity   string
		key      string
		of, keys int
		features map[string]*oracle.Feature
	}{
		{"customer", "customer_id", m.customers, 40, map[string]*oracle.Feature{
			"c_n": {Func: "count", Window: hour}, "c_total": {Func: "sum", Args: amount, Window: 7 * day}, "c_mean": {Func: "avg", Args: amount, Window: 30 * day},
			"c_most": {Func: "max", Args: amount, Window: day}, "c_declined": {Func: "count", Filter: declined, Window: 7 * day}}},
		{"merchant", "merchant_id", m.merchants, 4, map[string]*oracle.Feature{
			"m_n": {Func: "count", Window: hour}, "m_total": {Func: "sum", Args: amount, Window: 7 * day}, "m_spread": {Func: "stddev", Args: amount, Window: 30 * day},
			"m_least": {Func: "min", Args: amount, Window: day}, "m_last": {Func: "last", Args: status, Window: 7 * day}}},
	} {
		rows := map[int][]oracle.Row{}
		for len(rows) < e.keys {
			rows[rng.IntN(e.of)] = nil
		}
		for i := range m.n {
			if m.dead(i) {
				continue
			}
			r, customer, merchant := m.row(i)
			k := customer
			if e.entity == "merchant" {
				k = merchant
			}
			if of, chosen := rows[k]; chosen {
				rows[k] = append(of, r)
			}
		}
		var columns, list []string
		for c := range e.features {
			columns = append(columns, c)
		}
		slices.Sort(columns)
		for k := range rows {
			list = append(list, strconv.Itoa(k))
		}
		for range 4 {
			at := m.from + rng.Int64N(manySpan.Microseconds()+hour)
			when := time.UnixMicro(at).UTC().Format("2006-01-02 15:04:05.999999Z")
			exec(t, conn, fmt.Sprintf("SET tilehouse.read_time = '%s'", when))
			shown := e.key + ", " + strings.Join(columns, ", ")
			for what, sql := range map[string]string{
				"online": fmt.Sprintf("SELECT %s FROM %s WHERE %s IN (%s)", shown, e.entity, e.key, strings.Join(list, ", ")),
				"joined": fmt.Sprintf("SELECT l.k, e.%s FROM (SELECT unnest(ARRAY[%s]::bigint[]) AS k, TIMESTAMPTZ '%s' AS at) l ASOF JOIN %s e ON e.%s = l.k AND l.at > e.ts",
					strings.Join(columns, ", e."), strings.Join(list, ", "), when, e.entity, e.key),
			} {
				got := readText(t, conn, sql)
				if len(got) != len(list) {
					t.Fatalf("%s: %d keys, not %d", what, len(got), len(list))
				}
				for _, r := range got {
					k, _ := strconv.Atoi(r[0])
					for i, c := range columns {
						values++
						if want := e.features[c].Value(rows[k], at, 1, false); r[i+1] != want {
							t.Fatalf("%s of %s %d at %s is %s %s, want %s", c, e.entity, k, when, r[i+1], what, want)
						}
					}
				}
			}
		}
	}
	exec(t, conn, "RESET tilehouse.read_time")
	return values
}

// rebuilt compares the features of all keys at an instant with a grouping of the rows, and gives how many values.
func (m *many) rebuilt(t *testing.T, conn *pgx.Conn, rng *rand.Rand) (values int) {
	t.Helper()
	at := time.UnixMicro(m.from + day + rng.Int64N(2*day)).UTC().Format("2006-01-02 15:04:05.999999Z")
	for _, e := range []struct{ entity, key, columns, grouped string }{
		{"customer", "customer_id", "e.c_n, e.c_total, e.c_most, e.c_declined",
			"count(*) FILTER (WHERE ts >= at - INTERVAL '1 hour') AS a, sum(amount) AS b, max(amount) FILTER (WHERE ts >= at - INTERVAL '1 day') AS c, count(*) FILTER (WHERE status = 'declined') AS d"},
		{"merchant", "merchant_id", "e.m_n, e.m_total, e.m_least",
			"count(*) FILTER (WHERE ts >= at - INTERVAL '1 hour') AS a, sum(amount) AS b, min(amount) FILTER (WHERE ts >= at - INTERVAL '1 day') AS c"},
	} {
		joined := fmt.Sprintf("SELECT l.k, %s FROM (SELECT DISTINCT %s AS k, TIMESTAMPTZ '%s' AS at FROM s WHERE ts < '%[3]s') l ASOF JOIN %s e ON e.%[2]s = l.k AND l.at > e.ts", e.columns, e.key, at, e.entity)
		grouped := fmt.Sprintf("SELECT %s, %s FROM (SELECT *, TIMESTAMPTZ '%s' AS at FROM s) s WHERE ts < at AND ts >= at - INTERVAL '7 days' GROUP BY %[1]s", e.key, e.grouped, at)
		exec(t, conn, "CREATE TEMP TABLE joined AS "+joined)
		exec(t, conn, "CREATE TEMP TABLE grouped AS "+grouped)
		if differ := readText(t, conn, "(SELECT * FROM joined EXCEPT SELECT * FROM grouped LIMIT 5) UNION ALL (SELECT * FROM grouped EXCEPT SELECT * FROM joined LIMIT 5)"); len(differ) > 0 {
			t.Fatalf("features of %s at %s and the grouping differ: %q", e.entity, at, differ)
		}
		n, _ := strconv.Atoi(texts(t, conn, "SELECT count(*)::text FROM grouped")[0])
		values += n * (strings.Count(e.columns, ",") + 1)
		exec(t, conn, "DROP TABLE joined; DROP TABLE grouped")
	}
	return values
}
