package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// basket is a row with two lists; nil: NULL.
type basket struct {
	id, k  int64
	tags   []string
	prices []int64
	ts     int64
}

func list[T any](xs []T, typ string) string {
	if xs == nil {
		return "NULL::" + typ
	}
	out := make([]string, len(xs))
	for i, x := range xs {
		out[i] = fmt.Sprint(x)
	}
	return "'{" + strings.Join(out, ",") + "}'::" + typ
}

func (b *basket) literal() string {
	return fmt.Sprintf("(%d, %d, %s, %s, %s)", b.id, b.k, list(b.tags, "text[]"), list(b.prices, "bigint[]"), at(b.ts))
}

func at(micros int64) string {
	return "TIMESTAMPTZ '" + time.UnixMicro(micros).UTC().Format("2006-01-02 15:04:05.000000Z") + "'"
}

// TestUnnest compares features over unnested lists with loops over the rows, online and by ASOF JOIN, while rows come, change and
// go, days settle, and the server restarts.
func TestUnnest(t *testing.T) {
	r := newRand(t)
	w := newWorldAt(t, r, worldOptions{noSettle: true})
	now := w.clock.Load()
	base := now - 12*day
	for _, sql := range []string{
		"CREATE TABLE baskets (id bigint PRIMARY KEY, k bigint, tags text[], prices bigint[], ts timestamptz NOT NULL) WITH (event_time = 'ts')",
		"CREATE ENTITY cust (k bigint)", "CREATE ENTITY tag (tag text)",
	} {
		w.exec(sql)
	}
	features := []string{
		"CREATE FEATURE pop ON tag AS SELECT tag, count(*) AS n, min(k) AS least FROM baskets, unnest(tags) AS tag GROUP BY tag WINDOW 3 DAYS",
		"CREATE FEATURE spent ON cust AS SELECT k, sum(p) AS s, count(*) AS n FROM baskets b LEFT JOIN unnest(b.prices) AS u(p) ON true GROUP BY k WINDOW 3 DAYS",
		"CREATE FEATURE pairs ON cust AS SELECT k, count(*) AS n FROM baskets, unnest(tags) AS t, unnest(prices) AS p WHERE p > 50 GROUP BY k WINDOW 3 DAYS",
	}
	live := map[int64]*basket{}
	next := int64(0)
	fresh := func(id int64) *basket {
		b := &basket{id: id, k: r.Int64N(4), ts: base + r.Int64N(12)*day + r.Int64N(3)*hour}
		if n := r.IntN(5); n > 0 {
			b.tags = make([]string, n-1)
			for i := range b.tags {
				b.tags[i] = string(rune('a' + r.IntN(4)))
			}
		}
		if n := r.IntN(5); n > 0 {
			b.prices = make([]int64, n-1)
			for i := range b.prices {
				b.prices[i] = r.Int64N(100)
			}
		}
		return b
	}
	write := func(n int) {
		var rows []string
		for range n {
			next++
			live[next] = fresh(next)
			rows = append(rows, live[next].literal())
		}
		w.exec("INSERT INTO baskets VALUES " + strings.Join(rows, ", "))
		for id := range live {
			switch r.IntN(12) {
			case 0:
				w.exec(fmt.Sprintf("DELETE FROM baskets WHERE id = %d", id))
				delete(live, id)
			case 1:
				b := fresh(id)
				live[id] = b
				w.exec(fmt.Sprintf("UPDATE baskets SET k = %d, tags = %s, prices = %s, ts = %s WHERE id = %d", b.k, list(b.tags, "text[]"), list(b.prices, "bigint[]"), at(b.ts), id))
			}
		}
	}
	null := func(n int64, v int64) string {
		if n == 0 {
			return "NULL"
		}
		return fmt.Sprint(v)
	}
	wantTag := func(tag string, cut int64) string {
		var n, least int64
		for _, b := range live {
			if b.ts < cut-3*day || b.ts >= cut {
				continue
			}
			for _, x := range b.tags {
				if x == tag {
					if n++; n == 1 || b.k < least {
						least = b.k
					}
				}
			}
		}
		return fmt.Sprintf("%s %d %s", tag, n, null(n, least))
	}
	wantCust := func(k, cut int64) string {
		var sum, known, n, pairs int64
		for _, b := range live {
			if b.k != k || b.ts < cut-3*day || b.ts >= cut {
				continue
			}
			n += max(1, int64(len(b.prices)))
			for _, p := range b.prices {
				sum, known = sum+p, known+1
				if p > 50 {
					pairs += int64(len(b.tags))
				}
			}
		}
		return fmt.Sprintf("%d %s %d %d", k, null(known, sum), n, pairs)
	}
	check := func() {
		t.Helper()
		for range 6 {
			cut := base + r.Int64N(13)*day + r.Int64N(4)*hour
			tags, custs := map[string]bool{}, map[string]bool{}
			for _, x := range []string{"a", "b", "c", "d"} {
				tags[wantTag(x, cut)] = true
			}
			for k := range int64(4) {
				custs[wantCust(k, cut)] = true
			}
			w.oneOf(t, fmt.Sprintf("SELECT tag, pop_n, pop_least FROM features_at('tag', %s) WHERE tag IN ('a', 'b', 'c', 'd')", at(cut)), tags)
			w.oneOf(t, fmt.Sprintf("SELECT k, spent_s, spent_n, pairs FROM features_at('cust', %s) WHERE k IN (0, 1, 2, 3)", at(cut)), custs)
			w.oneOf(t, fmt.Sprintf("SELECT l.x, f.pop_n, f.pop_least FROM (SELECT unnest(ARRAY['a','b','c','d']) AS x, %s AS ts) l ASOF JOIN tag f ON f.tag = l.x AND l.ts > f.ts", at(cut)), tags)
			w.oneOf(t, fmt.Sprintf("SELECT l.x, f.spent_s, f.spent_n, f.pairs FROM (SELECT unnest(ARRAY[0,1,2,3]::bigint[]) AS x, %s AS ts) l ASOF JOIN cust f ON f.k = l.x AND l.ts > f.ts", at(cut)), custs)
		}
	}
	write(60)
	for _, sql := range features {
		w.exec(sql)
	}
	check()
	for step := range 8 {
		write(1 + r.IntN(15))
		if step%2 == 1 {
			if err := w.srv.Engine.Settle(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if step == 4 {
			w.restart()
		}
		check()
	}
	w.exec("REFRESH FEATURE spent")
	check()
	t.Logf("%d values", w.values)
}
