package streams

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/kafka"
	"github.com/tilehouse/tilehouse/tests/oracle"
)

// everything is a call of each aggregate that there is.
var everything = []struct {
	name, sql, fn string
	args          []string
	constants     []string
}{
	{"n", "count(*)", "count", nil, nil}, {"nd", "count(DISTINCT cat)", "count_distinct", []string{"cat"}, nil}, {"sa", "sum(amount)", "sum", []string{"amount"}, nil},
	{"sp", "sum(price)", "sum", []string{"price"}, nil}, {"aq", "avg(qty)", "avg", []string{"qty"}, nil}, {"lo", "min(price)", "min", []string{"price"}, nil},
	{"hi", "max(amount)", "max", []string{"amount"}, nil}, {"la", "last(cat)", "last", []string{"cat"}, nil}, {"lk", "last_k(qty, 3)", "last_k", []string{"qty"}, []string{"3"}},
	{"ba", "bool_and(flag)", "bool_and", []string{"flag"}, nil}, {"bo", "bool_or(flag)", "bool_or", []string{"flag"}, nil},
	{"fi", "first(cat)", "first", []string{"cat"}, nil}, {"fk", "first_k(amount, 3)", "first_k", []string{"amount"}, []string{"3"}},
	{"ld", "last_distinct_k(cat, 2)", "last_distinct_k", []string{"cat"}, []string{"2"}}, {"tk", "top_k(price, 3)", "top_k", []string{"price"}, []string{"3"}},
	{"bk", "bottom_k(qty, 2)", "bottom_k", []string{"qty"}, []string{"2"}}, {"tc", "top_k_by_count(cat, 2)", "top_k_by_count", []string{"cat"}, []string{"2"}},
	{"vp", "var_pop(price)", "var_pop", []string{"price"}, nil}, {"vs", "var_samp(amount)", "var_samp", []string{"amount"}, nil}, {"vr", "variance(qty)", "variance", []string{"qty"}, nil},
	{"dp", "stddev_pop(amount)", "stddev_pop", []string{"amount"}, nil}, {"ds", "stddev_samp(qty)", "stddev_samp", []string{"qty"}, nil}, {"sd", "stddev(price)", "stddev", []string{"price"}, nil},
	{"sk", "skewness(price)", "skewness", []string{"price"}, nil}, {"ku", "kurtosis(amount)", "kurtosis", []string{"amount"}, nil},
	{"co", "corr(price, qty)", "corr", []string{"price", "qty"}, nil}, {"cp", "covar_pop(amount, qty)", "covar_pop", []string{"amount", "qty"}, nil},
	{"cs", "covar_samp(price, amount)", "covar_samp", []string{"price", "amount"}, nil}, {"rs", "regr_slope(qty, price)", "regr_slope", []string{"qty", "price"}, nil},
	{"ri", "regr_intercept(amount, qty)", "regr_intercept", []string{"amount", "qty"}, nil}, {"pp", "approx_percentile(price, 0.9)", "approx_percentile", []string{"price"}, []string{"0.9"}},
	{"dc", "approx_count_distinct(qty)", "approx_count_distinct", []string{"qty"}, nil}, {"md", "median(price)", "median", []string{"price"}, nil},
	{"hp", "histogram(price, '{-1, 0, 2.5}'::float8[])", "histogram", []string{"price"}, []string{"{-1,0,2.5}"}}, {"cm", "count_map(cat)", "count_map", []string{"cat"}, nil},
	{"mp", "sum_map(cat, price)", "sum_map", []string{"cat", "price"}, nil}, {"am", "avg_map(cat, qty)", "avg_map", []string{"cat", "qty"}, nil},
	{"mi", "min_map(cat, price)", "min_map", []string{"cat", "price"}, nil}, {"ma", "max_map(cat, amount)", "max_map", []string{"cat", "amount"}, nil},
}

func TestEverythingIsEverything(t *testing.T) {
	var have []string
	for _, a := range everything {
		have = append(have, a.fn)
	}
	slices.Sort(have)
	have = slices.Compact(have)
	want := slices.DeleteFunc(oracle.Names(), func(name string) bool { return name == "latest" })
	if !slices.Equal(have, want) {
		t.Errorf("aggregates tested are %q, there are %q", have, want)
	}
}

// versions makes messages whose key is that of a row, and knows the rows that they leave.
type versions struct {
	rng        *rand.Rand
	format     string
	partitions int32
	base       int64
	rows       map[int64]*version // by primary key
	sent       int
	letters    []string // partition/offset code
	past       []moment
}

type version struct {
	oracle.Row
	partition int32
}

// moment is what was there when the server had read everything that was sent.
type moment struct {
	at   time.Time
	rows []oracle.Row
}

const versionIDs = 80

func (v *versions) source() string {
	return fmt.Sprintf(`CREATE SOURCE live (id bigint, k bigint, cat text, qty bigint, price double precision, amount numeric(12,2), flag boolean, ts timestamptz, PRIMARY KEY (id),
		WATERMARK FOR ts AS ts - INTERVAL '10 minutes') WITH (connector = 'kafka', connection = 'bus', topic = 'events', idle_timeout = '1 second') FORMAT %s ENCODE JSON`, v.format)
}

// feature has everything.
func (v *versions) feature() string {
	var calls []string
	for _, a := range everything {
		calls = append(calls, a.sql+" AS "+a.name)
	}
	return "CREATE FEATURE f ON cust AS SELECT k, " + strings.Join(calls, ", ") + " FROM live GROUP BY k WINDOW 1 HOUR, 2 DAYS, LIFETIME"
}

func (v *versions) columns() (names []string, features map[string]*oracle.Feature) {
	features = map[string]*oracle.Feature{}
	for suffix, w := range map[string]int64{"1h": hour, "2d": 2 * day, "lifetime": 0} {
		for _, a := range everything {
			f := &oracle.Feature{Func: a.fn, Constants: a.constants, Window: w, Lifetime: w == 0}
			for _, name := range a.args {
				f.Args = append(f.Args, func(r *oracle.Row) any { return r.Cells[name] })
			}
			name := "f_" + a.name + "_" + suffix
			features[name] = f
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, features
}

// home is the partition of a key's messages.
func (v *versions) home(id int64) int32 { return int32(id) % v.partitions }

// change makes the next message of a key and takes it, or says why it is a dead letter. before is the row's fields as a producer knows them.
func (v *versions) change(id int64) (key, value []byte, code string) {
	have := v.rows[id]
	fields := map[string]any{"id": id}
	key = v.key(id)
	if have != nil && v.rng.IntN(4) == 0 { // the end of the row
		delete(v.rows, id)
		if v.format == "DEBEZIUM" && v.rng.IntN(3) > 0 {
			return key, v.envelope("d", have, nil), ""
		}
		return key, nil, ""
	}
	ts := v.base + int64(v.sent)*20*int64(time.Second/time.Microsecond) + v.rng.Int64N(hour)
	if v.rng.IntN(5) == 0 { // late
		ts -= v.rng.Int64N(5 * day)
	}
	row := &version{Row: oracle.Row{TS: ts, PK: id, Cells: map[string]any{}}, partition: v.home(id)}
	set := func(name string, json, cell any) {
		if v.rng.IntN(12) == 0 {
			json, cell = nil, nil
		}
		fields[name], row.Cells[name] = json, cell
	}
	k, cents, qty := v.rng.Int64N(keys), v.rng.Int64N(20000)-5000, v.rng.Int64N(20)-5
	price := float64(v.rng.IntN(1000))/64 + v.rng.NormFloat64()
	cat, flag := string(rune('a'+v.rng.IntN(6))), v.rng.IntN(2) == 0
	fields["k"], row.Cells["k"] = k, k
	set("cat", cat, cat)
	set("qty", qty, qty)
	set("price", price, price)
	set("amount", json.RawMessage(money(cents)), oracle.Dec{Unscaled: cents, Scale: 2})
	set("flag", flag, flag)
	fields["ts"] = time.UnixMicro(ts).UTC().Format(time.RFC3339Nano)
	switch v.rng.IntN(40) {
	case 0:
		fields["qty"], code = "many", "22P02"
	case 1:
		fields["k"], code = nil, "23502"
	case 2:
		fields["ts"], code = ts/1_000_000, "22008"
	case 3:
		if v.format == "UPSERT" {
			fields["id"], code = id+1, "22000"
		}
	case 4:
		if v.format == "UPSERT" {
			key, code = nil, "23502"
		}
	case 5:
		if v.format == "UPSERT" {
			delete(fields, "id") // the key says it
		}
	case 6:
		if v.format == "DEBEZIUM" {
			return key, v.envelope("t", nil, nil), "0A000"
		}
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	if code == "" {
		v.rows[id] = row
	}
	if v.format == "UPSERT" {
		return key, raw, code
	}
	op := "c"
	if have != nil {
		op = "u"
	}
	return key, v.envelope(op, have, raw), code
}

func (v *versions) key(id int64) []byte {
	switch v.rng.IntN(3) {
	case 0:
		if v.format == "UPSERT" {
			return fmt.Appendf(nil, "%d", id)
		}
		return fmt.Appendf(nil, `{"schema": {"type": "struct"}, "payload": {"id": %d}}`, id)
	case 1:
		return fmt.Appendf(nil, `{"id": "%d"}`, id)
	}
	return fmt.Appendf(nil, `{"id": %d}`, id)
}

func (v *versions) envelope(op string, before *version, after []byte) []byte {
	old := "null"
	if before != nil && v.rng.IntN(2) == 0 {
		old = fmt.Sprintf(`{"id": %d, "k": 0}`, before.PK)
	}
	if after == nil {
		after = []byte("null")
	}
	if op == "d" && v.rng.IntN(2) == 0 && before != nil {
		old = fmt.Sprintf(`{"id": %d}`, before.PK)
	}
	out := fmt.Appendf(nil, `{"before": %s, "after": %s, "source": {"lsn": 5}, "op": "%s", "ts_ms": 1717243200000}`, old, after, op)
	if v.rng.IntN(2) == 0 {
		out = fmt.Appendf(nil, `{"schema": {"type": "struct", "optional": false}, "payload": %s}`, out)
	}
	return out
}

// send produces n messages, and some of keys whose rows other partitions have, which nobody else sends then.
func (v *versions) send(t *testing.T, client *kgo.Client, n int) {
	t.Helper()
	v.produce(t, client, n, func() (int64, int32, bool) { id := v.rng.Int64N(versionIDs); return id, v.home(id), false })
}

func (v *versions) strangers(t *testing.T, client *kgo.Client) {
	t.Helper()
	v.produce(t, client, 6, func() (int64, int32, bool) {
		ids := make([]int64, 0, len(v.rows))
		for id := range v.rows {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		id := ids[v.rng.IntN(len(ids))]
		return id, (v.home(id) + 1) % v.partitions, true
	})
}

func (v *versions) produce(t *testing.T, client *kgo.Client, n int, next func() (id int64, partition int32, stranger bool)) {
	t.Helper()
	for n > 0 {
		batch := min(n, 1+v.rng.IntN(30))
		n -= batch
		records, codes := make([]*kgo.Record, batch), make([]string, batch)
		for i := range records {
			id, partition, stranger := next()
			r := &kgo.Record{Topic: "events", Partition: partition}
			have := v.rows[id]
			if stranger {
				r.Key, r.Value, codes[i] = v.key(id), nil, "55000"
			} else {
				r.Key, r.Value, codes[i] = v.change(id)
			}
			if stranger {
				v.rows[id] = have
			}
			v.sent++
			records[i] = r
		}
		if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
			t.Fatalf("produce: %v", err)
		}
		for i, r := range records {
			if codes[i] != "" {
				v.letters = append(v.letters, fmt.Sprintf("%d/%d %s", r.Partition, r.Offset, codes[i]))
			}
		}
		if v.rng.IntN(3) == 0 {
			time.Sleep(time.Duration(v.rng.IntN(15)) * time.Millisecond)
		}
	}
}

// settle waits until everything is read, and notes the moment.
func (v *versions) settle(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	eventually(t, conn, "SELECT messages::text FROM tilehouse.sources WHERE name = 'live'", fmt.Sprint(v.sent))
	time.Sleep(5 * time.Millisecond) // commit times are of microseconds, and may be ahead of the clock by as many
	m := moment{at: time.Now()}
	for _, r := range v.rows {
		m.rows = append(m.rows, r.Row)
	}
	v.past = append(v.past, m)
	time.Sleep(5 * time.Millisecond)
}

// check compares rows, letters and features, those of now and of the moments before.
func (v *versions) check(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	var ids []string
	for id, r := range v.rows {
		ids = append(ids, fmt.Sprintf("%d %d", id, r.partition))
	}
	slices.Sort(ids)
	slices.Sort(v.letters)
	same(t, "rows", texts(t, conn, "SELECT id || ' ' || __partition FROM live"), ids)
	same(t, "dead letters", texts(t, conn, "SELECT partition || '/' || message_offset || ' ' || code FROM tilehouse.dead_letters"), v.letters)
	same(t, "counts", texts(t, conn, "SELECT rows || ' ' || messages || ' ' || dead_letters FROM tilehouse.sources WHERE name = 'live'"), []string{fmt.Sprintf("%d %d %d", len(v.rows), v.sent, len(v.letters))})
	names, features := v.columns()
	for i, m := range v.past {
		at := v.base + v.rng.Int64N(int64(v.sent)*20*1_000_000+2*day) - day/2
		exec(t, conn, fmt.Sprintf("SET tilehouse.read_time = '%s'", time.UnixMicro(at).UTC().Format("2006-01-02 15:04:05.999999Z")))
		from := "cust"
		if i < len(v.past)-1 {
			from += fmt.Sprintf(" FOR SYSTEM_TIME AS OF '%s'", m.at.UTC().Format("2006-01-02 15:04:05.999999Z"))
		}
		for k := range int64(keys) {
			var rows []oracle.Row
			for _, r := range m.rows {
				if r.Cells["k"] == k {
					rows = append(rows, r)
				}
			}
			got := readText(t, conn, fmt.Sprintf("SELECT %s FROM %s WHERE k = %d", strings.Join(names, ", "), from, k))
			for j, name := range names {
				if want := features[name].Value(rows, at, 0, false); got[0][j] != want {
					t.Fatalf("%s of %d at %d, moment %d of %d, is %s, want %s", name, k, at, i, len(v.past), got[0][j], want)
				}
			}
		}
	}
	exec(t, conn, "RESET tilehouse.read_time")
}

func testVersions(t *testing.T, brokers string, client *kgo.Client, format string, rounds, messages int) {
	v := &versions{rng: seeded(t), format: format, partitions: 4, base: time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), rows: map[int64]*version{}}
	dir := t.TempDir()
	s := servertest.Start(t, dir, servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", brokers))
	exec(t, conn, v.source())
	exec(t, conn, "CREATE ENTITY cust (k bigint)")
	exec(t, conn, v.feature())
	for round := range rounds {
		v.send(t, client, messages/2)
		if round%2 == 1 { // perhaps in the middle of a commit
			s.Kill()
			s = servertest.Start(t, dir, servertest.Options{})
			conn = dial(t, s.DSN())
		}
		v.send(t, client, messages/2)
		v.settle(t, conn)
		v.strangers(t, client)
		v.settle(t, conn)
	}
	v.check(t, conn)
	s.Kill()
	s = servertest.Start(t, dir, servertest.Options{})
	v.check(t, dial(t, s.DSN()))
}

// A topic of versions of rows leaves the rows of their newest versions, now and at every moment before, and every aggregate is theirs.
func TestVersions(t *testing.T) {
	for _, format := range []string{"UPSERT", "DEBEZIUM"} {
		t.Run(format, func(t *testing.T) {
			bus, client := cluster(t, 4, "events")
			testVersions(t, bus.ListenAddrs()[0], client, format, 4, 250)
		})
	}
}

// TestKafkaVersions is TestVersions with a real Kafka.
func TestKafkaVersions(t *testing.T) {
	skipFast(t)
	rounds, messages := 6, 1000
	if soak() {
		rounds, messages = 20, 5000
	}
	for _, format := range []string{"UPSERT", "DEBEZIUM"} {
		t.Run(format, func(t *testing.T) {
			b, client := realKafka(t, kafka.Options{}, 4, "events")
			testVersions(t, b.Addr, client, format, rounds, messages)
		})
	}
}
