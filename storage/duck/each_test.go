package duck

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// printed counts the rows of a chunk, printed, into all.
func printed(all map[string]int, ch *vector.Chunk) {
	for i := range ch.N {
		var b []byte
		for _, v := range ch.Cols {
			switch {
			case v.IsNull(i):
				b = append(b, "NULL"...)
			case v.Type.Buffer() == vector.BufNested:
				b = appendJSON(b, v, i)
			case v.Type.Buffer() == vector.BufNone:
			default:
				b = appendText(b, v, i)
			}
			b = append(b, '|')
		}
		all[string(b)]++
	}
}

// Each gives the rows of Query, however many threads there are, and no taker is called by two threads at once.
func TestEach(t *testing.T) {
	c := connect(t, open(t, Options{Threads: 4}))
	exec(t, c, `CREATE TABLE t AS SELECT i, CASE WHEN i % 7 > 0 THEN i % 1000 END AS k, i / 3::DOUBLE AS x, CASE WHEN i % 11 > 0 THEN 'text ' || repeat('x', (i % 30)::INT) END AS s,
		CASE WHEN i % 13 > 0 THEN [i, NULL, i % 5] END AS l, i::DECIMAL(30,2) AS d FROM range(300000) r(i)`)
	for _, sql := range []string{
		"SELECT * FROM t",
		"SELECT s, k FROM t WHERE i % 3 = 0",
		"SELECT * FROM t WHERE k = 999 ORDER BY i LIMIT 100",
		"SELECT k, k, k AS i FROM t WHERE i < 5000",
		"SELECT 1, 'a', NULL FROM range(3000)",
		"SELECT k, count(*), sum(d) FROM t GROUP BY k",
		"SELECT * FROM t WHERE false",
		"SELECT i FROM t WHERE i < 3 UNION ALL SELECT i FROM t WHERE i < 3",
	} {
		want, err := read(c, sql)
		must(t, err)
		a, b := map[string]int{}, map[string]int{}
		printed(a, want)
		var mu sync.Mutex
		takers := 0
		must(t, c.Each(t.Context(), sql, func() func(*vector.Chunk) error {
			takers++
			var busy atomic.Bool
			return func(ch *vector.Chunk) error {
				if !busy.CompareAndSwap(false, true) {
					t.Error("a taker is called by two threads at once")
				}
				defer busy.Store(false)
				ch.Check()
				if ch.N < 1 || ch.N > chunkRows {
					t.Errorf("a chunk of %d rows", ch.N)
				}
				mu.Lock()
				defer mu.Unlock()
				printed(b, ch)
				return nil
			}
		}))
		if !maps.Equal(a, b) {
			t.Errorf("%s: %d rows in %d kinds, not %d in %d", sql, len(b), sum(b), len(a), sum(a))
		}
		if takers > 4 {
			t.Errorf("%s: %d takers for 4 threads", sql, takers)
		}
	}
}

func sum(m map[string]int) (n int) {
	for _, k := range m {
		n += k
	}
	return n
}

// Rows of a CSV file that are numbered as they are read get the numbers of their lines, although their order is lost: row ids
// rest on it.
func TestEachNumbersLines(t *testing.T) {
	dir := t.TempDir()
	c := connect(t, open(t, Options{Threads: 4, ReadRoots: []string{dir}}))
	file := QuoteLiteral(dir + "/lines.csv")
	exec(t, c, "COPY (SELECT i, repeat('x', 60) AS s FROM range(1000000) r(i)) TO "+file)
	var rows, wrong atomic.Int64
	must(t, c.Each(t.Context(), "SELECT i, row_number() OVER () - 1 FROM read_csv("+file+", header = true, auto_detect = false, columns = {i: 'BIGINT', s: 'VARCHAR'}) WHERE s IS NOT NULL", func() func(*vector.Chunk) error {
		return func(ch *vector.Chunk) error {
			rows.Add(int64(ch.N))
			for i, x := range ch.Cols[0].I64 {
				if ch.Cols[1].I64[i] != x {
					wrong.Add(1)
				}
			}
			return nil
		}
	}))
	if rows.Load() != 1_000_000 || wrong.Load() > 0 {
		t.Errorf("of %d rows %d have another line's number", rows.Load(), wrong.Load())
	}
}

// Takers on several threads meet: Each is parallel.
func TestEachIsParallel(t *testing.T) {
	c := connect(t, open(t, Options{Threads: 2}))
	exec(t, c, "CREATE TABLE t AS SELECT i FROM range(2000000) r(i)")
	var once sync.Once
	met := make(chan struct{})
	var inside atomic.Int32
	must(t, c.Each(t.Context(), "SELECT i FROM t", func() func(*vector.Chunk) error {
		return func(*vector.Chunk) error {
			if inside.Add(1) == 2 {
				once.Do(func() { close(met) })
			}
			defer inside.Add(-1)
			select {
			case <-met:
				return nil
			case <-time.After(20 * time.Second):
				return errors.New("nobody came")
			}
		}
	}))
}

// What goes wrong is told as it is, nothing is taken afterwards, and the connection stays usable.
func TestEachFails(t *testing.T) {
	c := connect(t, open(t, Options{Threads: 2}))
	exec(t, c, "CREATE TABLE t AS SELECT i FROM range(500000) r(i)")
	usable := func() {
		t.Helper()
		if got := texts(t, c, "SELECT 1"); got[0] != "1" {
			t.Errorf("afterwards: %v", got)
		}
		n := 0
		eaches.Range(func(any, any) bool { n++; return true })
		if n != 0 {
			t.Errorf("%d calls are still known", n)
		}
	}
	none := func() func(*vector.Chunk) error { return func(*vector.Chunk) error { return nil } }

	mine := errors.New("mine")
	var calls, failed atomic.Int32
	err := c.Each(t.Context(), "SELECT i FROM t", func() func(*vector.Chunk) error {
		return func(*vector.Chunk) error {
			if calls.Add(1) >= 20 {
				failed.Add(1)
				return mine
			}
			return nil
		}
	})
	if err != mine || failed.Load() > 2 {
		t.Errorf("%v after %d failures", err, failed.Load())
	}
	usable()

	for _, where := range []string{"open", "take"} {
		func() {
			defer func() {
				if r := recover(); r != "help" {
					t.Errorf("%s: recovered %v", where, r)
				}
			}()
			err := c.Each(t.Context(), "SELECT i FROM t", func() func(*vector.Chunk) error {
				if where == "open" {
					panic("help")
				}
				return func(*vector.Chunk) error { panic("help") }
			})
			t.Errorf("%s: %v", where, err)
		}()
		usable()
	}

	err = c.Each(t.Context(), "SELECT i,\n  nosuch FROM t", none)
	if e := new(Error); !errors.As(err, &e) || e.SQLState != "42703" || e.Position != strings.Index("SELECT i,\n  nosuch", "nosuch")+1 {
		t.Errorf("a column that is not there: %+v", err)
	}
	usable()
	if err := c.Each(t.Context(), "SELECT CASE WHEN i = 400000 THEN error('late') END FROM t", none); err == nil || !strings.Contains(err.Error(), "late") {
		t.Errorf("an error of a row: %v", err)
	}
	usable()
	if err := c.Each(t.Context(), "SELECT ($1 || 'x')::INTEGER FROM t", none, text("a")); SQLState(err) != "22P02" {
		t.Errorf("an argument: %v", err)
	}
	usable()

	for _, sql := range []string{"SELECT %s(1)", "SELECT %s(1, i) FROM t", "SELECT %s(NULL, i) FROM t", "SELECT %s(i, i) FROM t"} {
		if _, err := read(c, fmt.Sprintf(sql, eachFunction)); err == nil || !strings.Contains(err.Error(), "is not for statements") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	usable()
}

// Each is a statement like others of a transaction block.
func TestEachInTransaction(t *testing.T) {
	c := connect(t, open(t, Options{Threads: 2}))
	exec(t, c, "BEGIN")
	exec(t, c, "CREATE TEMP TABLE t AS SELECT i FROM range(100000) r(i)")
	var sum atomic.Int64
	must(t, c.Each(t.Context(), "SELECT i FROM t WHERE i < 50000", func() func(*vector.Chunk) error {
		return func(ch *vector.Chunk) error {
			sum.Add(int64(ch.N))
			return nil
		}
	}))
	if n := exec(t, c, "INSERT INTO t SELECT -1 FROM range(7)"); n != 7 || sum.Load() != 50_000 {
		t.Errorf("%d rows, then %d", sum.Load(), n)
	}
	exec(t, c, "COMMIT")
	if got := texts(t, c, "SELECT count(*) FROM t"); got[0] != "100007" {
		t.Errorf("after the commit: %v", got)
	}
}

// A context that ends ends Each, which calls no taker after it has returned.
func TestEachCancel(t *testing.T) {
	c := connect(t, open(t, Options{Threads: 4}))
	for _, after := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		var returned atomic.Bool
		start := time.Now()
		err := c.Each(ctx, "SELECT a.range + b.range FROM range(1000000) a, range(1000000) b", func() func(*vector.Chunk) error {
			return func(*vector.Chunk) error {
				if returned.Load() {
					t.Error("a taker is called after the end")
				}
				return nil
			}
		})
		returned.Store(true)
		cancel()
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("canceled after %s, it took %s", after, took)
		}
		if SQLState(err) != "57014" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("canceled after %s: %v", after, err)
		}
		if got := texts(t, c, "SELECT 1"); got[0] != "1" {
			t.Errorf("after the cancel: %v", got)
		}
	}
}

// Calls of Each on several connections do not mix.
func TestEachAtOnce(t *testing.T) {
	db := open(t, Options{Threads: 2})
	var wg sync.WaitGroup
	for g := range 4 {
		c := connect(t, db)
		wg.Go(func() {
			var sum atomic.Int64
			err := c.Each(t.Context(), fmt.Sprintf("SELECT %d::BIGINT FROM range(300000)", g), func() func(*vector.Chunk) error {
				return func(ch *vector.Chunk) error {
					for _, x := range ch.Cols[0].I64 {
						sum.Add(x)
					}
					return nil
				}
			})
			if err != nil || sum.Load() != int64(g)*300_000 {
				t.Errorf("%d: %v, %d", g, err, sum.Load())
			}
		})
	}
	wg.Wait()
}
