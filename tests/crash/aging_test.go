package crash

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

// keepDays is the retention of the table of an agingWorld.
const keepDays = 3

const dayMicros = 24 * 3_600_000_000

// agingFrom is the first event time, of 1990: four minutes a row later, those of all rounds over a directory lie before the server's clock.
const agingFrom = 7_305 * dayMicros

// agingWorld is a table with a retention whose event times run ahead, so that rows are dropped and trimmed from the log all the time, and
// what its writers were told. Rows of event times that are not kept any more may be there or not; once gone they must not come back.
type agingWorld struct {
	dir     string
	rng     *rand.Rand
	clock   *atomic.Int64 // the next event time, for all writers
	writers []*agingWriter
	trimmed int64 // rows that the last directory says were trimmed
}

type agingWriter struct {
	*writer
	clock  *atomic.Int64
	newest int64 // event time that was acknowledged, of rows that went, too
}

func newAgingWorld(rng *rand.Rand) *agingWorld {
	w := &agingWorld{rng: rand.New(rand.NewPCG(rng.Uint64(), 2)), clock: &atomic.Int64{}}
	w.clock.Store(agingFrom)
	for i := range int64(4) {
		w.writers = append(w.writers, &agingWriter{writer: newWriter(i+1, "aging", rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))), clock: w.clock})
	}
	return w
}

func (w *agingWorld) define(t *testing.T, dsn string) {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(context.Background())
	for _, sql := range []string{
		fmt.Sprintf("CREATE TABLE ev (id bigint PRIMARY KEY, k bigint NOT NULL, x bigint, f double precision, ts timestamptz NOT NULL) WITH (event_time = 'ts', retention = '%d days')", keepDays),
		"CREATE ENTITY ent (k bigint)",
		"CREATE FEATURE feat ON ent AS SELECT k, count(*) AS n, sum(x) AS total, sum(f) AS exact, last_k(x, 3) AS newest FROM ev GROUP BY k WINDOW 1 HOUR, 2 DAYS",
	} {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func (w *agingWorld) begin(ctx context.Context, dsn string) (wait func()) {
	var all sync.WaitGroup
	for _, wr := range w.writers {
		all.Go(func() { wr.run(ctx, dsn) })
	}
	return all.Wait
}

func (w *agingWorld) transactions() (n int) {
	for _, wr := range w.writers {
		n += wr.done
	}
	return n
}

func (w *agingWorld) definitions() int { return 0 }

// young makes n rows of event times about the newest one, some of them late by more than what is kept.
func (w *agingWriter) young(n int) []int64 {
	ids := make([]int64, n)
	for i := range ids {
		at := w.clock.Add(int64(4*time.Minute/time.Microsecond)) - w.rng.Int64N(3_600_000_000)
		if w.rng.IntN(30) == 0 {
			at -= w.rng.Int64N((keepDays + 1) * dayMicros)
		}
		w.pending[w.next] = &row{k: w.rng.Int64N(keys), x: w.rng.Int64N(1000) - 500, f: w.rng.NormFloat64() * 100, ts: at}
		ids[i] = w.next
		w.next++
	}
	return ids
}

func (w *agingWriter) run(ctx context.Context, dsn string) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return // killed before it began
	}
	defer conn.Close(context.Background())
	for ctx.Err() == nil {
		w.pending = map[int64]*row{}
		var err error
		switch n := w.rng.IntN(8); {
		case n < 3:
			err = w.insertRow(ctx, conn, w.young(1)[0])
		case n < 6:
			var text strings.Builder
			for _, id := range w.young(1 + w.rng.IntN([]int{20, 20, 3000}[w.rng.IntN(3)])) {
				r := w.pending[id]
				fmt.Fprintf(&text, "%d\t%d\t%d\t%v\t%s\n", id, r.k, r.x, r.f, stamp(r.ts))
			}
			_, err = conn.PgConn().CopyFrom(ctx, strings.NewReader(text.String()), "COPY ev (id, k, x, f, ts) FROM STDIN")
		default: // rows that have aged are not found
			sql := "DELETE FROM ev WHERE id IN (%s)"
			change := func(int64, row) *row { return nil }
			if n == 6 {
				sql, change = "UPDATE ev SET x = x + 1 WHERE id IN (%s)", func(_ int64, r row) *row { r.x++; return &r }
			}
			var ids []string
			for id, r := range w.acked {
				if len(ids) == 30 {
					break
				}
				ids = append(ids, fmt.Sprint(id))
				w.pending[id] = change(id, r)
			}
			if len(ids) > 0 {
				_, err = conn.Exec(ctx, fmt.Sprintf(sql, strings.Join(ids, ", ")))
			}
		}
		var refused *pgconn.PgError
		switch {
		case err == nil:
			for _, r := range w.pending {
				if r != nil {
					w.newest = max(w.newest, r.ts)
				}
			}
			w.settle(w.acked)
			w.pending = nil
			w.done++
		case errors.As(err, &refused) && refused.Code == "40001": // a row aged between its reading and its change
			w.pending = nil
		case errors.As(err, &refused):
			w.pending = nil
			w.err = err
			return
		default:
			return // the connection broke: the fate of pending is not known
		}
	}
}

// dropped waits until what is not kept is deleted, and says from when on rows are kept; 0: nothing was to be dropped yet.
func (w *agingWorld) dropped(t *testing.T, conn *pgx.Conn) int64 {
	t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		var state string
		var from time.Time
		err := conn.QueryRow(context.Background(), "SELECT state, to_time FROM tilehouse.materializations WHERE part = 'retention'").Scan(&state, &from)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return 0
		case err != nil:
			t.Fatal(err)
		case state == "dropped":
			return from.UnixMicro()
		case time.Since(began) > checkBound:
			t.Fatalf("after %v, what is not kept is %q", time.Since(began), state)
		}
	}
}

// check compares a server with what its writers were told: rows that are kept are there exactly, the others went for good or wait to.
func (w *agingWorld) check(t *testing.T, dsn string, round int, rng *rand.Rand) (rows, unknown int) {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(context.Background())
	kept := w.dropped(t, conn)
	lowest, highest := int64(0), int64(0)
	for _, wr := range w.writers {
		lowest = max(lowest, wr.newest)
		for _, r := range wr.pending {
			if r != nil {
				highest = max(highest, r.ts)
			}
		}
	}
	from := func(newest int64) int64 { return (newest - keepDays*dayMicros) / dayMicros * dayMicros }
	if highest = max(highest, lowest); lowest > 0 && (kept < from(lowest) || kept > from(highest)) {
		t.Fatalf("round %d: rows are kept from %s; the newest one acknowledged is of %s, the newest that may be there of %s", round, stamp(kept), stamp(lowest), stamp(highest))
	}
	live := map[int64]row{}
	for _, wr := range w.writers {
		if wr.err != nil {
			t.Errorf("round %d: %v", round, wr.err)
		}
		got := (*world)(nil).rowsOf(t, conn, wr.writer)
		old := maps.Clone(got)
		maps.DeleteFunc(got, func(_ int64, r row) bool { return r.ts < kept })
		maps.DeleteFunc(old, func(_ int64, r row) bool { return r.ts >= kept })
		alternatives := wr.alternatives()
		unknown += len(alternatives) - 1
		known := map[int64]bool{} // of which old rows may be there
		var young []map[int64]row
		for _, m := range alternatives {
			for id := range m {
				known[id] = true
			}
			m = maps.Clone(m)
			maps.DeleteFunc(m, func(_ int64, r row) bool { return r.ts < kept })
			young = append(young, m)
		}
		if !slices.ContainsFunc(young, func(m map[int64]row) bool { return maps.Equal(m, got) }) {
			t.Errorf("round %d: writer %d: %s", round, wr.id, difference(young, got))
			continue
		}
		for id, r := range old {
			if !known[id] {
				t.Errorf("round %d: writer %d: row %d of %s, which had gone, is there; rows are kept from %s", round, wr.id, id, stamp(r.ts), stamp(kept))
			}
		}
		for _, r := range got {
			wr.newest = max(wr.newest, r.ts)
		}
		wr.acked, wr.pending = maps.Clone(got), nil
		maps.Copy(wr.acked, old)
		maps.Copy(live, got)
		rows += len(got)
	}
	// Rows of an unknown transaction that went at once, because they were late, may have been the newest.
	for _, wr := range w.writers {
		wr.newest = max(wr.newest, kept+keepDays*dayMicros)
	}
	if t.Failed() || len(live) == 0 {
		return rows, unknown
	}
	w.checkValues(t, conn, live, kept, round, rng)
	_ = conn.QueryRow(context.Background(), "SELECT rows FROM tilehouse.materializations WHERE part = 'log, trimmed'").Scan(&w.trimmed) // none yet
	return rows, unknown
}

// checkValues compares lookups and joins with what the rows give, before and after the feature is built anew.
func (w *agingWorld) checkValues(t *testing.T, conn *pgx.Conn, live map[int64]row, kept int64, round int, rng *rand.Rand) {
	t.Helper()
	newest := int64(0)
	for _, r := range live {
		newest = max(newest, r.ts)
	}
	for range 2 {
		for _, at := range []int64{newest + 1, newest - rng.Int64N(dayMicros/2)} {
			if at-2*dayMicros < kept {
				continue
			}
			text(t, conn, "SET tilehouse.read_time = '"+stamp(at)+"'")
			for k := range int64(keys) {
				var n, total int64
				for _, r := range live {
					if r.k == k && r.ts < at && r.ts >= at-2*dayMicros {
						n, total = n+1, total+r.x
					}
				}
				want := fmt.Sprintf("%d|%d", n, total)
				if n == 0 {
					want = "0|NULL"
				}
				for _, sql := range []string{
					fmt.Sprintf("SELECT feat_n_2d, feat_total_2d FROM ent WHERE k = %d", k),
					fmt.Sprintf("SELECT f.feat_n_2d, f.feat_total_2d FROM (VALUES (%d::bigint, '%s'::timestamptz)) AS l(k, t) ASOF JOIN ent f ON f.k = l.k AND l.t > f.ts", k, stamp(at)),
				} {
					if got := text(t, conn, sql); len(got) != 1 || got[0] != want {
						t.Errorf("round %d: %s at %s gives %q, the rows %q", round, sql, stamp(at), got, want)
					}
				}
			}
		}
		text(t, conn, "SET tilehouse.read_time = '"+stamp(kept+2*dayMicros-1)+"'")
		var refused *pgconn.PgError
		if _, err := conn.Exec(context.Background(), "SELECT feat_n_2d FROM ent WHERE k = 1"); kept > 0 && (!errors.As(err, &refused) || refused.Code != "22023") {
			t.Errorf("round %d: a window that begins before what is kept: %v", round, err)
		}
		text(t, conn, "SET tilehouse.read_time = ''")
		text(t, conn, "REFRESH FEATURE feat")
	}
}

// A server whose table has a retention, killed at any moment: nothing that was acknowledged and is kept is lost, nothing that was dropped
// comes back, also after the log was trimmed.
func TestKilledServerWithRetention(t *testing.T) {
	rounds, seed := roundsAndSeed(t, 4)
	rng := rand.New(rand.NewPCG(seed, 3))
	var w *agingWorld
	var rows, unknown, transactions int
	var trimmed int64
	for round := range rounds {
		if round%perDir == 0 {
			if w != nil {
				transactions, trimmed = transactions+w.transactions(), trimmed+w.trimmed
			}
			w = newAgingWorld(rng)
			w.dir = t.TempDir()
			s := servertest.Start(t, w.dir, servertest.Options{})
			w.define(t, s.DSN())
			s.Kill()
		}
		s := servertest.Start(t, w.dir, servertest.Options{})
		ctx, cancel := context.WithTimeout(context.Background(), checkBound)
		wait := w.begin(ctx, s.DSN())
		time.Sleep(time.Duration(50+rng.IntN(1500)) * time.Millisecond)
		s.Kill()
		wait()
		cancel()
		s = servertest.Start(t, w.dir, servertest.Options{})
		n, u := w.check(t, s.DSN(), round, rng)
		rows, unknown = rows+n, unknown+u
		time.Sleep(time.Duration(rng.IntN(600)) * time.Millisecond) // the log is trimmed when it likes
		s.Kill()
		if t.Failed() {
			t.Fatalf("round %d of seed %d failed; the server wrote:\n%s", round, seed, s.Log())
		}
	}
	transactions, trimmed = transactions+w.transactions(), trimmed+w.trimmed
	report(t, fmt.Sprintf("crash with retention: %d kills: %d rows compared, %d transactions acknowledged, %d of unknown fate whole or absent, %d rows trimmed from the log",
		rounds, rows, transactions, unknown, trimmed))
	if trimmed == 0 {
		t.Error("nothing was trimmed: the test shows little")
	}
}
