package streams

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/oracle"
	"github.com/tilehouse/tilehouse/tests/seeds"
)

const (
	hour = int64(time.Hour / time.Microsecond)
	day  = 24 * hour
	keys = 12
)

// sent is what became of a message by the rules, not by the server: a row, or a dead letter of a code.
type sent struct {
	row  *oracle.Row
	code string
}

// model makes messages, and knows what must become of each.
type model struct {
	rng        *rand.Rand
	partitions int32
	base       int64 // event times lie around it and on, microseconds
	next       int64 // primary key
	used       map[int64]bool
	recent     [][]int64        // primary keys of good messages, by partition
	all        []map[int64]sent // by partition and offset
	messages   int
}

func newModel(rng *rand.Rand, partitions int32) *model {
	m := &model{rng: rng, partitions: partitions, base: time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), used: map[int64]bool{}, recent: make([][]int64, partitions)}
	for range partitions {
		m.all = append(m.all, map[int64]sent{})
	}
	return m
}

// statements define what the model's messages are read by.
func (m *model) statements(topic, brokers string) []string {
	return []string{
		fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", brokers),
		fmt.Sprintf(`CREATE SOURCE live (id bigint, k bigint, shop text, amount numeric(12,2), price double precision, qty integer, ts timestamptz, PRIMARY KEY (id), WATERMARK FOR ts AS ts - INTERVAL '10 minutes')
			WITH (connector = 'kafka', connection = 'bus', topic = '%s', idle_timeout = '1 second') FORMAT PLAIN ENCODE JSON`, topic),
		"CREATE ENTITY cust (k bigint)",
		"CREATE ENTITY place (shop text)",
		"CREATE FEATURE f ON cust AS SELECT k, count(*) AS n, sum(amount) AS total, avg(amount) AS mean, sum(price) AS exact, min(price) AS lo, max(amount) AS hi," +
			" last(shop) AS latest, last_k(qty, 3) AS newest, count(DISTINCT shop) AS kinds FROM live GROUP BY k WINDOW 1 HOUR, 2 DAYS, LIFETIME",
		"CREATE VIEW cheap WITH (event_time = 'ts') AS SELECT k, shop, 100 / qty AS part, ts FROM live WHERE amount < 50",
		"CREATE FEATURE g ON place AS SELECT shop, count(*) AS n, sum(part) AS parts FROM cheap GROUP BY shop WINDOW 6 HOURS, LIFETIME",
	}
}

func (m *model) features() map[string]map[string]*oracle.Feature {
	cell := func(name string) []func(*oracle.Row) any {
		return []func(*oracle.Row) any{func(r *oracle.Row) any { return r.Cells[name] }}
	}
	cust, place := map[string]*oracle.Feature{}, map[string]*oracle.Feature{}
	for suffix, w := range map[string]int64{"1h": hour, "2d": 2 * day, "lifetime": 0} {
		add := func(name, fn string, args []func(*oracle.Row) any, constants ...string) {
			cust["f_"+name+"_"+suffix] = &oracle.Feature{Func: fn, Args: args, Constants: constants, Window: w, Lifetime: w == 0}
		}
		add("n", "count", nil)
		add("total", "sum", cell("amount"))
		add("mean", "avg", cell("amount"))
		add("exact", "sum", cell("price"))
		add("lo", "min", cell("price"))
		add("hi", "max", cell("amount"))
		add("latest", "last", cell("shop"))
		add("newest", "last_k", cell("qty"), "3")
		add("kinds", "count_distinct", cell("shop"))
	}
	for suffix, w := range map[string]int64{"6h": 6 * hour, "lifetime": 0} {
		cheap := func(r *oracle.Row) bool { a, ok := r.Cells["cents"].(int64); return ok && a < 5000 }
		place["g_n_"+suffix] = &oracle.Feature{Func: "count", Filter: cheap, Window: w, Lifetime: w == 0}
		place["g_parts_"+suffix] = &oracle.Feature{Func: "sum", Args: cell("part"), Filter: cheap, Window: w, Lifetime: w == 0}
	}
	return map[string]map[string]*oracle.Feature{"cust": cust, "place": place}
}

var shops = []string{"north", "süd", "o'hara", "", "west side"}

// message makes the value of the next message of a partition, and says what must become of it.
func (m *model) message(partition int32) (value []byte, is sent) {
	m.next++
	id := m.next
	ts := m.base + int64(m.messages)*40*int64(time.Second/time.Microsecond) + m.rng.Int64N(hour)
	switch m.rng.IntN(12) {
	case 0: // late
		ts -= m.rng.Int64N(6 * day)
	case 1: // a tie
		ts -= ts % hour
	}
	if m.rng.IntN(2) == 0 {
		ts -= ts % 1000 // whole milliseconds
	}
	cents, k, qty := m.rng.Int64N(20000)-2000, m.rng.Int64N(keys), m.rng.Int64N(9)+1
	price, shop := float64(m.rng.IntN(1_000_000))/128+m.rng.NormFloat64(), shops[m.rng.IntN(len(shops))]
	fields := map[string]any{"id": id, "k": k, "shop": shop, "amount": json.RawMessage(money(cents)), "price": price, "qty": qty, "ts": m.time(ts)}
	row := &oracle.Row{TS: ts, PK: id, Added: 1, Cells: map[string]any{"k": k, "shop": shop, "amount": oracle.Dec{Unscaled: cents, Scale: 2}, "cents": cents, "price": price, "qty": int32(qty), "part": int32(100 / qty)}}
	is.row = row
	dead := func(code string) { is = sent{code: code} }
	put := func(name string, v any, code string) { fields[name] = v; dead(code) }
	switch m.rng.IntN(60) {
	case 0:
		fields["more"] = map[string]any{"deep": []int{1}} // skipped
	case 1:
		put("k", nil, "23502")
	case 2:
		delete(fields, "ts")
		dead("23502")
	case 3:
		put("ts", ts/1_000_000, "22008") // seconds
	case 4:
		put("ts", time.Now().Add(48*time.Hour).UTC().Format(time.RFC3339), "22008")
	case 5:
		put("amount", "a lot", "22P02")
	case 6:
		put("shop", 5, "42804")
	case 7: // features divide by it
		put("qty", 0, "22012")
		fields["amount"] = 1
	case 8:
		delete(fields, "shop") // NULL
		row.Cells["shop"] = nil
		is.row.Cells["shop"] = nil
		fields["id"] = id
	case 9:
		return nil, sent{code: "22004"}
	case 10:
		return []byte(""), sent{code: "22P02"}
	case 11:
		return []byte("\x00\x00\x00\x00\x07hello"), sent{code: "22P02"}
	case 12, 13: // a key that is there
		if used := m.recent[partition]; len(used) > 0 {
			put("id", used[m.rng.IntN(len(used))], "23505")
		}
	case 14:
		put("ts", "infinity", "22008")
	}
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	if is.code == "" && m.rng.IntN(60) == 0 { // of two faults the first one in the message would be told
		// A number that is cut is another number: the last field, a time, is left whole or out.
		return b[:1+m.rng.IntN(bytes.LastIndex(b, []byte(`"ts"`)))], sent{code: "22P02"}
	}
	if is.row != nil {
		m.recent[partition] = append(m.recent[partition], id)
	}
	return b, is
}

// time writes an event time as a producer might.
func (m *model) time(ts int64) any {
	t := time.UnixMicro(ts).UTC()
	switch m.rng.IntN(3) {
	case 0:
		if ts%1000 == 0 {
			return ts / 1000
		}
	case 1:
		return t.Format("2006-01-02 15:04:05.999999")
	}
	return t.In(time.FixedZone("", 2*3600)).Format(time.RFC3339Nano)
}

func money(cents int64) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	return fmt.Sprintf("%s%d.%02d", sign, cents/100, cents%100)
}

// produce sends n messages, and notes them by their offsets.
func (m *model) produce(t *testing.T, client *kgo.Client, topic string, n int) {
	t.Helper()
	for n > 0 {
		batch := min(n, 1+m.rng.IntN(40))
		n -= batch
		records, what := make([]*kgo.Record, batch), make([]sent, batch)
		for i := range records {
			p := m.rng.Int32N(m.partitions)
			var value []byte
			value, what[i] = m.message(p)
			m.messages++
			records[i] = &kgo.Record{Topic: topic, Partition: p, Value: value, Key: fmt.Appendf(nil, "%d", m.messages%7)}
		}
		if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
			t.Errorf("produce: %v", err)
			return
		}
		for i, r := range records {
			m.all[r.Partition][r.Offset] = what[i]
		}
		time.Sleep(time.Duration(m.rng.IntN(20)) * time.Millisecond)
	}
}

// rows are the rows that must be there, and letters the dead letters, as text.
func (m *model) expect() (rows []oracle.Row, where, letters []string) {
	for p, all := range m.all {
		for o, s := range all {
			if s.row != nil {
				rows = append(rows, *s.row)
				where = append(where, fmt.Sprintf("%d/%d %d", p, o, s.row.PK))
			} else {
				letters = append(letters, fmt.Sprintf("%d/%d %s", p, o, s.code))
			}
		}
	}
	slices.Sort(where)
	slices.Sort(letters)
	return rows, where, letters
}

// check compares everything that the server says with what it must be. The server has read all.
func (m *model) check(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	rows, where, letters := m.expect()
	same(t, "rows", texts(t, conn, "SELECT __partition || '/' || __offset || ' ' || id FROM live"), where)
	same(t, "dead letters", texts(t, conn, "SELECT partition || '/' || message_offset || ' ' || code FROM tilehouse.dead_letters"), letters)
	same(t, "counts", texts(t, conn, "SELECT rows || ' ' || dead_letters FROM tilehouse.sources WHERE name = 'live'"), []string{fmt.Sprintf("%d %d", len(where), len(letters))})
	for entity, features := range m.features() {
		columns := slices.Sorted(func(yield func(string) bool) {
			for name := range features {
				if !yield(name) {
					return
				}
			}
		})
		byKey := map[string][]oracle.Row{}
		key := map[string]string{"cust": "k", "place": "shop"}[entity]
		for _, r := range rows {
			if v := r.Cells[key]; v != nil {
				byKey[fmt.Sprint(v)] = append(byKey[fmt.Sprint(v)], r)
			}
		}
		var names []string
		for k := range byKey {
			names = append(names, k)
		}
		slices.Sort(names)
		for range 3 {
			at := m.base + m.rng.Int64N(int64(m.messages)*40*1_000_000+3*day) - day
			exec(t, conn, fmt.Sprintf("SET tilehouse.read_time = '%s'", time.UnixMicro(at).UTC().Format("2006-01-02 15:04:05.999999Z")))
			want := map[string]string{}
			for _, k := range names {
				for _, c := range columns {
					want[k+" "+c] = features[c].Value(byKey[k], at, 1, false)
				}
			}
			for _, k := range names { // online
				got := readText(t, conn, fmt.Sprintf("SELECT %s FROM %s WHERE %s = '%s'", strings.Join(columns, ", "), entity, key, strings.ReplaceAll(k, "'", "''")))
				if len(got) != 1 {
					t.Fatalf("%d rows of key %q", len(got), k)
				}
				for i, c := range columns {
					if got[0][i] != want[k+" "+c] {
						t.Fatalf("%s of %s %q at %d is %s online, want %s", c, entity, k, at, got[0][i], want[k+" "+c])
					}
				}
			}
			// Offline, by the join.
			got := readText(t, conn, fmt.Sprintf("SELECT l.key, %s FROM (SELECT DISTINCT %[2]s AS key, TIMESTAMPTZ '%[4]s' AS ts FROM live WHERE %[2]s IS NOT NULL) l ASOF JOIN %[3]s e ON e.%[2]s = l.key AND l.ts > e.ts",
				"e."+strings.Join(columns, ", e."), key, entity, time.UnixMicro(at).UTC().Format("2006-01-02 15:04:05.999999Z")))
			if len(got) != len(names) {
				t.Fatalf("the join has %d rows, want %d", len(got), len(names))
			}
			for _, r := range got {
				for i, c := range columns {
					if r[i+1] != want[r[0]+" "+c] {
						t.Fatalf("%s of %s %q at %d is %s in the join, want %s", c, entity, r[0], at, r[i+1], want[r[0]+" "+c])
					}
				}
			}
		}
	}
	exec(t, conn, "RESET tilehouse.read_time")
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	if slices.Equal(got, want) {
		return
	}
	var missing, extra []string
	for _, w := range want {
		if _, ok := slices.BinarySearch(got, w); !ok {
			missing = append(missing, w)
		}
	}
	for i, g := range got {
		if _, ok := slices.BinarySearch(want, g); !ok || i > 0 && got[i-1] == g {
			extra = append(extra, g)
		}
	}
	t.Fatalf("%s: %d, want %d; missing %.20q, too many %.20q", what, len(got), len(want), missing, extra)
}

// readText is a result as text, NULL as NULL.
func readText(t *testing.T, conn *pgx.Conn, sql string) [][]string {
	t.Helper()
	res := conn.PgConn().Exec(context.Background(), sql)
	var out [][]string
	for res.NextResult() {
		r := res.ResultReader()
		for r.NextRow() {
			var row []string
			for _, v := range r.Values() {
				if v == nil {
					row = append(row, "NULL")
				} else {
					row = append(row, string(v))
				}
			}
			out = append(out, row)
		}
	}
	if err := res.Close(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func texts(t *testing.T, conn *pgx.Conn, sql string) []string {
	t.Helper()
	var out []string
	for _, r := range readText(t, conn, sql) {
		out = append(out, r[0])
	}
	return out
}

var seeded = seeds.Rand

func soak() bool { return asked("TILEHOUSE_SOAK") }

func asked(variable string) bool { return os.Getenv(variable) != "" }
