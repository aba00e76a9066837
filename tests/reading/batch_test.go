package reading

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/tests/harness"
)

// payments makes an entity customer with features over 90 days of events of keys 0 … keys-1.
func payments(t testing.TB, keys int) *pgx.Conn {
	c := harness.Start(t, harness.Options{Threads: 2, MemoryLimit: 512 << 20}).Connect(t)
	for _, sql := range []string{
		"CREATE TABLE payments (customer_id bigint, amount bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts')",
		fmt.Sprintf("INSERT INTO payments SELECT i %% %d, i, now() - (i %% 90) * INTERVAL '1 day' FROM generate_series(1, %d) AS g(i)", keys, 20*keys),
		"CREATE ENTITY customer (customer_id bigint)",
		"CREATE FEATURE spend ON customer AS SELECT customer_id, sum(amount) AS total, count(*) AS n FROM payments GROUP BY customer_id WINDOW 7 DAYS, 30 DAYS",
	} {
		if _, err := c.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	return c
}

// A batch has a row for each place of the array, with the values that a lookup of that key alone has, in one statement that
// DuckDB does not see and in one that it finishes.
func TestBatch(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	c, ctx := payments(t, 50), context.Background()
	if _, err := c.Exec(ctx, "SET tilehouse.read_time = '"+time.Now().UTC().Format("2006-01-02 15:04:05Z")+"'"); err != nil {
		t.Fatal(err)
	}
	type value struct{ total, n string }
	of := map[int64]value{}
	for k := int64(-2); k < 55; k++ {
		var v value
		if err := c.QueryRow(ctx, "SELECT coalesce(spend_total_30d::text, ''), spend_n_7d::text FROM customer WHERE customer_id = $1", k).Scan(&v.total, &v.n); err != nil {
			t.Fatal(err)
		}
		of[k] = v
	}
	for range 20 {
		keys := make([]*int64, r.IntN(300))
		for i := range keys {
			keys[i] = some(r, r.Int64N(57)-2)
		}
		for _, sql := range []string{
			"SELECT customer_id, spend_total_30d::text, spend_n_7d::text FROM features_for('customer', $1)",
			"SELECT f.id, f.spend_total_30d::text, f.spend_n_7d::text FROM features_for('customer', $1::bigint[]) AS f(id) WHERE f.spend_n_7d >= 0",
		} {
			rows, err := c.Query(ctx, sql, keys)
			if err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
			i := 0
			for ; rows.Next(); i++ {
				var k *int64
				var total *string
				var got value
				if err := rows.Scan(&k, &total, &got.n); err != nil {
					t.Fatal(err)
				}
				if total != nil {
					got.total = *total
				}
				want := of[-2] // a key without events, as NULL is
				if keys[i] != nil {
					want = of[*keys[i]]
				}
				if (k == nil) != (keys[i] == nil) || k != nil && *k != *keys[i] || got != want {
					t.Fatalf("%s: place %d: %v, want %v", sql, i, got, want)
				}
			}
			if rows.Err() != nil || i != len(keys) {
				t.Fatalf("%s: %d rows of %d: %v", sql, i, len(keys), rows.Err())
			}
		}
	}
}

// BenchmarkBatch reads 1,000 keys at a time.
func BenchmarkBatch(b *testing.B) {
	c, ctx := payments(b, 20_000), context.Background()
	r := rand.New(rand.NewPCG(1, 1))
	keys := make([]int64, 1000)
	for i := range keys {
		keys[i] = r.Int64N(20_000)
	}
	for name, sql := range map[string]string{
		"features_for": "SELECT customer_id, spend_total_7d, spend_total_30d FROM features_for('customer', $1)",
		"any":          "SELECT customer_id, spend_total_7d, spend_total_30d FROM customer WHERE customer_id = ANY($1)",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				rows, err := c.Query(ctx, sql, keys)
				if err != nil {
					b.Fatal(err)
				}
				rows.Close()
				if rows.Err() != nil {
					b.Fatal(rows.Err())
				}
			}
			b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "keys/s")
		})
	}
}

// EXPLAIN ANALYZE counts what a lookup and a training join read: the rows of the result, and what was folded for them.
func TestExplainAnalyze(t *testing.T) {
	c, ctx := payments(t, 50), context.Background()
	for _, sql := range []string{
		"SELECT spend_n_7d, spend_total_30d FROM customer WHERE customer_id = ANY ('{1,2,3}')",
		"SELECT p.customer_id, x.spend_n_7d FROM payments p ASOF JOIN customer x ON x.customer_id = p.customer_id AND p.ts > x.ts",
	} {
		rows, err := c.Query(ctx, sql)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		rows.Close()
		if rows, err = c.Query(ctx, "EXPLAIN ANALYZE "+sql); err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(lines, "\n")
		if !strings.Contains(text, fmt.Sprintf("\nRows: %d\n", n)) {
			t.Errorf("%d rows are not counted:\n%s", n, text)
		}
		folded := regexp.MustCompile(`\nFolded: (\d+) states, (\d+) rows\n`).FindStringSubmatch(text)
		if folded == nil || folded[1] == "0" && folded[2] == "0" || !strings.Contains(text, "\nExecution Time: ") {
			t.Errorf("what was folded is not counted:\n%s", text)
		}
	}
}
