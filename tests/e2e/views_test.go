package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/harness"
	"github.com/tilehouse/tilehouse/tests/oracle"
)

const viewSchema = `
CREATE TABLE pay (id bigint PRIMARY KEY, k bigint, shop text, qty integer, big bigint, amount numeric(12,2), price double precision, cat text, seen timestamptz, ts timestamptz NOT NULL) WITH (event_time = 'ts');
CREATE TABLE asked (n bigint PRIMARY KEY, k bigint, shop text, other bigint, r_num numeric(14,4), r_float double precision, r_int bigint, r_text text, r_time timestamptz, r_list text[], r_bool boolean, ts timestamptz NOT NULL) WITH (event_time = 'ts');
CREATE ENTITY cust (k bigint);
CREATE ENTITY store (shop text);
CREATE FEATURE c ON cust AS SELECT k, count(*) AS n, sum(qty) AS qty, sum(big) AS big, sum(amount) AS total, avg(amount) AS mean, sum(price) AS price, max(price) AS top,
  last(cat) AS cat, last_k(cat, 3) AS cats, sum_map(cat, qty) AS by_cat, max(seen) AS seen FROM pay GROUP BY k WINDOW 1 HOUR, 7 DAYS;
CREATE FEATURE s ON store AS SELECT shop, count(*) AS n, sum(amount) AS total, min(price) AS low, last(cat) AS cat FROM pay GROUP BY shop WINDOW 2 DAYS;
CREATE FEATURE VIEW numbers AS SELECT c_n_7d, c_total_7d, c_qty_1h * 1000 + r_int % 7 AS ints, c_n_1h::float8 / NULLIF(c_n_7d, 0) AS share, c_qty_7d / NULLIF(c_qty_1h, 0) AS whole,
  r_num - c_mean_7d AS above, r_num * 2 + coalesce(c_total_1h, 0.01) AS scaled, CASE WHEN c_total_7d > r_num THEN 'over' WHEN c_total_7d IS NULL THEN 'none' ELSE 'under' END AS side,
  c_total_1h / NULLIF(c_total_7d, 0) AS burst, r_num / NULLIF(c_mean_7d, 0) AS vs_mean, r_bool AND c_n_7d > 2 AS often
  FROM cust, request() AS r(r_num numeric(14,4), r_int bigint, r_bool boolean);
CREATE FEATURE VIEW floats AS SELECT c_price_7d, c_top_1h, c_price_1h + r_float AS sum, c_price_7d * r_float AS product, r_float / NULLIF(c_top_7d, 0) AS ratio, -c_price_1h AS minus, abs(r_float) AS abs,
  sqrt(abs(c_price_7d)) AS root, greatest(r_float, s_low) AS most, r_float < s_low AS less, r_float = 0 AS zero, round(s_low) AS rounded, s_low - c_price_7d AS apart, s_n, s_total
  FROM cust c, store s, request() AS r(r_float double precision);
CREATE FEATURE VIEW words AS SELECT c_cat_7d, upper(c_cat_7d) || '-' || r_text AS joined, length(r_text) AS long, substr(r_text, 2, 3) AS part, c_cats_7d, c_cats_7d[1] AS first, r_list[1] = c_cat_7d AS same,
  c_by_cat_7d, c_seen_7d, date_trunc('hour', c_seen_7d) AS hour, extract(epoch FROM r_time - c_seen_1h) AS since, r_time > c_seen_7d AS newer, coalesce(c_cat_1h, r_text, 'x') AS any
  FROM cust, request() AS r(r_text text, r_time timestamptz, r_list text[]);
CREATE FEATURE VIEW model AS SELECT n.*, f.product + n.share AS mixed, o.c_total_7d AS other_total, n.above - o.c_mean_7d AS between, s.s_cat AS shop_cat, w.joined || coalesce(s.s_cat, '?') AS text, f.ratio AS float_ratio
  FROM numbers n, floats f, words w, store s, cust AS o(other)`

// viewNames are the views of viewSchema with the columns that a read of them binds, in the view's order.
var viewNames = map[string][]string{
	"numbers": {"k", "r_num", "r_int", "r_bool"},
	"floats":  {"k", "shop", "r_float"},
	"words":   {"k", "r_text", "r_time", "r_list"},
	"model":   {"k", "shop", "other", "r_num", "r_int", "r_bool", "r_float", "r_text", "r_time", "r_list"},
}

// adversary makes values that are hard to compute with: bounds, zeros of both signs, what is no number, NULL ("\N").
type adversary struct{ *rand.Rand }

func (a adversary) of(values ...string) string { return values[a.IntN(len(values))] }

func (a adversary) float() string {
	if a.IntN(2) == 0 {
		return a.of(`\N`, "NaN", "Infinity", "-Infinity", "-0", "0", "5e-324", "-1e300", "0.1", "1e16", "-3.5")
	}
	return strconv.FormatFloat((a.Float64()-0.5)*math.Pow(10, float64(a.IntN(12))), 'g', -1, 64)
}

func (a adversary) decimal() string {
	if a.IntN(5) == 0 {
		return a.of(`\N`, "0", "-0.01", "9999999.99", "-9999999.99")
	}
	return fmt.Sprintf("%d.%02d", a.IntN(4000)-500, a.IntN(100))
}

func (a adversary) word() string {
	return a.of(`\N`, "", "a", "b", "grüße", "ASCII text", "日本", "it's", "%_")
}

func (a adversary) time(base int64) string {
	if a.IntN(6) == 0 {
		return `\N`
	}
	return stamp(base + a.Int64N(20*day))
}

func (a adversary) key() string { return strconv.Itoa(a.IntN(9)) }

func (a adversary) shop() string { return a.of("a", "b", "c", "d", "nobody") }

// request is what a reader brings, by column.
func (a adversary) request(base int64) map[string]string {
	return map[string]string{
		"k": a.key(), "shop": a.shop(), "other": a.key(), "r_num": a.of(`\N`, "0", "12.5", "-3.0001", "9999999999.9999", "100"), "r_float": a.float(),
		"r_int": a.of(`\N`, "0", "-5", "17", "9223372036854775807"), "r_text": a.word(), "r_time": a.time(base), "r_list": a.of(`\N`, "{}", `{a,"b c",NULL}`, "{grüße}"), "r_bool": a.of(`\N`, "t", "f"),
	}
}

var askedColumns = []string{"n", "k", "shop", "other", "r_num", "r_float", "r_int", "r_text", "r_time", "r_list", "r_bool", "ts"}

// copyRows writes rows of text, \N for NULL, by COPY.
func copyRows(t *testing.T, c *pgx.Conn, table string, rows [][]string) {
	t.Helper()
	var b bytes.Buffer
	for _, r := range rows {
		for i, v := range r {
			if i > 0 {
				b.WriteByte('\t')
			}
			if v != `\N` {
				v = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`).Replace(v)
			}
			b.WriteString(v)
		}
		b.WriteByte('\n')
	}
	if _, err := c.PgConn().CopyFrom(context.Background(), &b, "COPY "+table+" FROM STDIN"); err != nil {
		t.Fatalf("COPY %s: %v", table, err)
	}
}

// rowsOf are the rows of a result in binary format, a nil value for NULL.
func rowsOf(t *testing.T, what string, r *pgconn.Result) [][][]byte {
	t.Helper()
	if r.Err != nil {
		t.Fatalf("%s: %v", what, r.Err)
	}
	return r.Rows
}

var binary = []int16{1}

// A lookup of a feature view and the ASOF join at the same instant have equal bits in every column: of views over several
// entities and over views, with values of requests, for values that are hard to compute with. The lookup is of one key, with
// parameters, or of several; counts and sums are the oracle's.
func TestViewsOnlineOffline(t *testing.T) {
	r := adversary{newRand(t)}
	want := 3000
	if soak() {
		want = 100_000
	}
	ctx := context.Background()
	base := time.Date(2031, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	srv := harness.Start(t, harness.Options{NoSettle: true, Clock: func() time.Time { return time.UnixMicro(base + 30*day) }})
	conn := srv.Connect(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", abbreviate(sql), err)
		}
	}
	for s := range strings.SplitSeq(viewSchema, ";\n") {
		exec(s)
	}
	for v, bound := range viewNames {
		var terms []string
		for i, c := range bound {
			terms = append(terms, fmt.Sprintf("%s = $%d", c, i+1))
		}
		if _, err := conn.Prepare(ctx, v, fmt.Sprintf("SELECT * FROM %s WHERE %s", v, strings.Join(terms, " AND "))); err != nil {
			t.Fatal(err)
		}
	}
	byKey := map[string][]oracle.Row{}
	id, asked, compared, checked := 0, 0, 0, 0
	for compared < want {
		var rows [][]string
		for range 60 {
			id++
			k, qty, amount := r.key(), r.of(`\N`, "0", "1", "7", "-3", "2147483647"), r.decimal()
			ts := base + r.Int64N(20*day)
			rows = append(rows, []string{strconv.Itoa(id), k, r.shop(), qty, r.of(`\N`, "0", "9223372036854775807", "-4"), amount, r.float(), r.word(), r.time(base), stamp(ts)})
			byKey[k] = append(byKey[k], oracle.Row{TS: ts, PK: int64(id), Cells: map[string]any{"amount": decimalCell(t, amount)}})
		}
		copyRows(t, conn, "pay", rows)
		var asks [][]string
		var requests []map[string]string
		var instants []int64
		from := asked
		for range 20 {
			at := base + r.Int64N(22*day)
			if r.IntN(2) == 0 { // at an event, where the window's ends are
				all := byKey[r.key()]
				if len(all) > 0 {
					at = all[r.IntN(len(all))].TS + r.Int64N(3) - 1 + []int64{0, hour, 7 * day}[r.IntN(3)]
				}
			}
			for range 10 {
				q := r.request(base)
				row := []string{strconv.Itoa(asked)}
				for _, c := range askedColumns[1 : len(askedColumns)-1] {
					row = append(row, q[c])
				}
				asks, requests, instants = append(asks, append(row, stamp(at))), append(requests, q), append(instants, at)
				asked++
			}
		}
		copyRows(t, conn, "asked", asks)
		for v, bound := range viewNames {
			var on []string
			for _, c := range bound {
				on = append(on, fmt.Sprintf("f.%s = l.%s", c, c))
			}
			sql := fmt.Sprintf("SELECT l.n, f.* FROM (SELECT * FROM asked WHERE n >= %d) l ASOF JOIN %s f ON %s AND l.ts > f.ts ORDER BY l.n", from, v, strings.Join(on, " AND "))
			offline := rowsOf(t, v+" offline", conn.PgConn().ExecParams(ctx, sql, nil, nil, nil, binary).Read())
			if len(offline) != len(asks) {
				t.Fatalf("%s: %d rows of %d", v, len(offline), len(asks))
			}
			last := int64(0)
			for i, q := range requests {
				if instants[i] != last {
					exec("SET tilehouse.read_time = '" + stamp(instants[i]) + "'")
					last = instants[i]
				}
				var args [][]byte
				for _, c := range bound {
					if q[c] == `\N` {
						args = append(args, nil)
					} else {
						args = append(args, []byte(q[c]))
					}
				}
				online := rowsOf(t, v+" online", conn.PgConn().ExecPrepared(ctx, v, args, nil, binary).Read())
				if len(online) != 1 {
					t.Fatalf("%s: %d rows online for %v", v, len(online), q)
				}
				sameBits(t, v, q, instants[i], online[0], offline[i][1:])
				compared++
			}
			if many := strings.Join(bound[1:], ""); many != "" { // several keys in one lookup
				i := r.IntN(len(requests)/10) * 10
				exec("SET tilehouse.read_time = '" + stamp(instants[i]) + "'")
				compared += severalKeys(t, conn, v, bound, requests[i], instants[i])
			}
		}
		for range 20 {
			checked += againstOracle(t, r, conn, byKey, base)
		}
	}
	t.Logf("%d reads of views online and offline, equal to the bit; %d base values equal to the oracle's", compared, checked)
	if soak() {
		t.Logf("soak: %d reads of views, online equal to offline to the bit", compared)
	}
}

func sameBits(t *testing.T, view string, request map[string]string, at int64, online, offline [][]byte) {
	t.Helper()
	if len(online) != len(offline) {
		t.Fatalf("%s: %d columns online, %d offline", view, len(online), len(offline))
	}
	for c := range online {
		if !bytes.Equal(online[c], offline[c]) || (online[c] == nil) != (offline[c] == nil) {
			t.Fatalf("%s, column %d of %v at %s: online %x, offline %x", view, c, request, stamp(at), online[c], offline[c])
		}
	}
}

// severalKeys reads many keys with one request, and each of them alone.
func severalKeys(t *testing.T, conn *pgx.Conn, view string, bound []string, q map[string]string, at int64) int {
	t.Helper()
	ctx := context.Background()
	terms := []string{"k = ANY($1)"}
	args := [][]byte{[]byte("{0,1,2,3,4,5,6,7,8,3}")}
	one := make([][]byte, len(bound))
	for i, c := range bound[1:] {
		terms = append(terms, fmt.Sprintf("%s = $%d", c, i+2))
		if q[c] == `\N` {
			args = append(args, nil)
		} else {
			args = append(args, []byte(q[c]))
		}
	}
	copy(one, args)
	rows := rowsOf(t, view, conn.PgConn().ExecParams(ctx, fmt.Sprintf("SELECT * FROM %s WHERE %s", view, strings.Join(terms, " AND ")), args, nil, nil, binary).Read())
	if len(rows) != 9 {
		t.Fatalf("%s: %d rows for nine keys", view, len(rows))
	}
	for _, row := range rows {
		one[0] = []byte(strconv.Itoa(int(row[0][7])))
		alone := rowsOf(t, view, conn.PgConn().ExecPrepared(ctx, view, one, nil, binary).Read())
		sameBits(t, view, q, at, row, alone[0])
	}
	return len(rows)
}

// againstOracle compares columns that are plain features.
func againstOracle(t *testing.T, r adversary, conn *pgx.Conn, byKey map[string][]oracle.Row, base int64) int {
	t.Helper()
	k, at := r.key(), base+r.Int64N(22*day)
	amount := func(row *oracle.Row) any { return row.Cells["amount"] }
	n := oracle.Feature{Func: "count", Window: 7 * day}
	total := oracle.Feature{Func: "sum", Args: []func(*oracle.Row) any{amount}, Window: 7 * day}
	sql := fmt.Sprintf("SET tilehouse.read_time = '%s'; SELECT c_n_7d, c_total_7d FROM numbers WHERE k = %s AND r_num = 1 AND r_int = 1 AND r_bool = true", stamp(at), k)
	res, err := conn.PgConn().Exec(context.Background(), sql).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	row := res[1].Rows[0]
	for i, f := range []*oracle.Feature{&n, &total} {
		got := "NULL"
		if row[i] != nil {
			got = string(row[i])
		}
		if want := f.Value(byKey[k], at, 0, false); got != want {
			t.Fatalf("%s of key %s at %s: %s, the oracle has %s", f.Func, k, stamp(at), got, want)
		}
	}
	return 2
}

// decimalCell is the text of a numeric(12,2) as the oracle has it.
func decimalCell(t *testing.T, text string) any {
	if text == `\N` {
		return nil
	}
	digits, frac, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(digits+(frac + "00")[:2], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return oracle.Dec{Unscaled: n, Scale: 2}
}

// Reads that are logged while rows arrive come out with the same bits when they are made again: the position that a record names
// is the one that was read, no earlier and no later.
func TestSkewWhileRowsArrive(t *testing.T) {
	r := newRand(t)
	ctx := context.Background()
	writers, readers, steps := 3, 3, 400
	if soak() {
		steps = 5000
	}
	srv := harness.Start(t, harness.Options{})
	conn := srv.Connect(t)
	for _, sql := range []string{
		`CREATE TABLE clicks (k bigint, x double precision, amount numeric(12,2), ts timestamptz NOT NULL) WITH (event_time = 'ts')`,
		`CREATE ENTITY visitor (k bigint)`,
		`CREATE FEATURE n ON visitor AS SELECT k, count(*) AS n, sum(x) AS x, sum(amount) AS amount FROM clicks GROUP BY k WINDOW 1 HOUR, LIFETIME`,
		`CREATE FEATURE VIEW served WITH (log_fraction = 1) AS SELECT n_n_1h, n_x_lifetime, n_amount_lifetime / r.a AS part FROM visitor, request() AS r(a numeric(12,2))`,
	} {
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("sessions", func(t *testing.T) {
		for i := range writers + readers {
			seed := r.Uint64()
			t.Run("", func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(seed, 3))
				c := srv.Connect(t)
				for range steps {
					sql := fmt.Sprintf("INSERT INTO clicks VALUES (%d, %g, %d.25, now())", r.IntN(3), r.NormFloat64(), r.IntN(100))
					if i >= writers {
						sql = fmt.Sprintf("SELECT * FROM served WHERE k IN (%d, %d) AND a = %d", r.IntN(3), r.IntN(3), 1+r.IntN(9))
					}
					if _, err := c.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	})
	rows, err := conn.Query(ctx, "SELECT column_name, rows, different, coalesce(example, '') FROM tilehouse.skew('served')")
	if err != nil {
		t.Fatal(err)
	}
	var column, example string
	var n, different int64
	if _, err := pgx.ForEachRow(rows, []any{&column, &n, &different, &example}, func() error {
		if n < int64(readers*steps) || different != 0 {
			t.Errorf("%s: %d values logged, %d different: %s", column, n, different, example)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d logged reads come out the same", n)
}
