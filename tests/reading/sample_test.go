package reading

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/tests/harness"
)

// sampled are the rows of a statement as sorted text.
func sampled(t *testing.T, c *pgx.Conn, sql string) []string {
	t.Helper()
	rows, err := c.Query(context.Background(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	out, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (string, error) {
		v, err := r.Values()
		return fmt.Sprint(v...), err
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	slices.Sort(out)
	return out
}

// A stratified sample has exactly as many rows of each stratum as asked for, or all; and it is the same rows for the same seed,
// whatever the threads, the order in which the rows came, the columns read and the plan around it. Some rows are equal in
// every column.
func TestStratified(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var rows []row
	counts := map[string]int{}
	for i := range 3000 {
		k := some(r, "a", "b", "c", "c", "c", "c", "rare")
		if k != nil && *k == "rare" && r.IntN(20) > 0 {
			k = nil
		}
		x := start + r.Int64N(200)*hour
		rows = append(rows, row{id: int64(i / 3), k: k, ts: some(r, x), v: some[int64](r, 1, 2, 3), f: some(r, 0, 1.5)})
		if i%3 == 1 {
			rows[i] = rows[i-1]
		}
		counts[literal(rows[i].k)+literal(rows[i].v)]++
	}
	ctx := context.Background()
	var first []string
	for _, threads := range []int{1, 2, 8} {
		c := harness.Start(t, harness.Options{Threads: threads, MemoryLimit: 256 << 20}).Connect(t)
		if _, err := c.Exec(ctx, "CREATE TABLE l (id bigint, k text, ts timestamptz, v bigint, f float8)"); err != nil {
			t.Fatal(err)
		}
		r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		insert(t, c, "l", rows, true)
		for _, n := range []int{0, 1, 40, 5000} {
			got := map[string]int{}
			for _, s := range sampled(t, c, fmt.Sprintf("SELECT coalesce('''' || k || '''', 'NULL') || coalesce(v::text, 'NULL') FROM l TABLESAMPLE stratified (%d, k, v)", n)) {
				got[s]++
			}
			for stratum, have := range counts {
				if got[stratum] != min(n, have) {
					t.Errorf("%d threads: %d of %d rows of stratum %s, want %d", threads, got[stratum], have, stratum, min(n, have))
				}
			}
		}
		sample := "l TABLESAMPLE stratified (40, k, v) REPEATABLE (42)"
		whole := sampled(t, c, "SELECT * FROM "+sample)
		if first == nil {
			first = whole
		}
		if !slices.Equal(whole, first) {
			t.Errorf("%d threads: other rows than before", threads)
		}
		for _, sql := range []string{
			"SELECT * FROM " + sample + " ORDER BY f, k",
			"WITH s AS (SELECT * FROM " + sample + ") SELECT s.* FROM s",
			"SELECT a.* FROM " + sample[:2] + "AS a" + sample[1:] + " LEFT JOIN (SELECT DISTINCT v AS w FROM l) b ON b.w = a.v",
			"SELECT l.* FROM " + sample + " ASOF LEFT JOIN (SELECT ts, min(f) AS g FROM l GROUP BY ts) m ON l.ts >= m.ts",
		} {
			if got := sampled(t, c, sql); !slices.Equal(got, first) {
				t.Errorf("%d threads: %s: other rows", threads, sql)
			}
		}
		ids := sampled(t, c, "SELECT id FROM "+sample)
		if want := sampled(t, c, "SELECT id FROM (SELECT * FROM "+sample+") s"); !slices.Equal(ids, want) {
			t.Errorf("%d threads: other rows where one column is read", threads)
		}
		if other := sampled(t, c, "SELECT * FROM "+strings.Replace(sample, "42", "43", 1)); slices.Equal(other, first) {
			t.Errorf("seeds 42 and 43 draw the same rows")
		}
		if a, b := sampled(t, c, "SELECT * FROM l TABLESAMPLE stratified (40, k, v)"), sampled(t, c, "SELECT * FROM l TABLESAMPLE stratified (40, k, v)"); slices.Equal(a, b) {
			t.Errorf("two samples without a seed are the same rows")
		}
	}
}

// Over many seeds every row is drawn as often as another.
func TestStratifiedEven(t *testing.T) {
	c := harness.Start(t, harness.Options{Threads: 1, MemoryLimit: 256 << 20}).Connect(t)
	ctx := context.Background()
	if _, err := c.Exec(ctx, "CREATE TABLE l AS SELECT i AS id, i % 2 AS k FROM generate_series(1, 40) AS g(i)"); err != nil {
		t.Fatal(err)
	}
	const seeds, n, of = 300, 5, 20
	drawn := map[int64]int{}
	for seed := range seeds {
		rows, err := c.Query(ctx, "SELECT id FROM l TABLESAMPLE stratified ($1, k) REPEATABLE ($2)", n, fmt.Sprint(seed))
		if err != nil {
			t.Fatal(err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			drawn[id]++
		}
	}
	for id := int64(1); id <= 2*of; id++ { // six standard deviations of a binomial with p = n/of
		if mean, off := float64(seeds*n)/of, 45.0; float64(drawn[id]) < mean-off || float64(drawn[id]) > mean+off {
			t.Errorf("row %d was drawn %d times of %d, %g expected", id, drawn[id], seeds, mean)
		}
	}
}
