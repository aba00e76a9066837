package crash

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

const (
	quickRounds = 10
	soakRounds  = 200
	perDir      = 25              // rounds that share a data directory
	startBound  = 5 * time.Second // a restart must be ready within this
	checkBound  = 60 * time.Second
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

// world is a data directory and everything that was acknowledged of it.
type world struct {
	dir     string
	writers []*writer
	definer *definer
	reader  *reader
}

// newModels is a world of which nothing exists yet.
func newModels(rng *rand.Rand) *world {
	w := &world{definer: &definer{rng: rand.New(rand.NewPCG(rng.Uint64(), 0)), has: map[string]bool{"feat": true}},
		reader: &reader{rng: rand.New(rand.NewPCG(rng.Uint64(), 1))}}
	for i, kind := range []string{"insert", "insert", "insert", "transaction", "copy", "change", "change"} {
		w.writers = append(w.writers, newWriter(int64(i+1), kind, rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))))
	}
	return w
}

// define creates what the workers write and read.
func (w *world) define(t *testing.T, dsn string) {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(context.Background())
	for _, sql := range []string{
		"CREATE TABLE ev (id bigint PRIMARY KEY, k bigint NOT NULL, x bigint, f double precision, ts timestamptz NOT NULL) WITH (event_time = 'ts')",
		"CREATE ENTITY ent (k bigint)",
		"CREATE FEATURE feat ON ent AS SELECT k, count(*) AS n, sum(x) AS total, sum(f) AS exact, avg(x) AS mean, min(x) AS lo, max(f) AS hi," +
			" last(x) AS latest, last_k(x, 3) AS newest, count(DISTINCT x) AS kinds FROM ev GROUP BY k WINDOW 1 HOUR, 7 DAYS, LIFETIME",
		"CREATE TABLE labels (id integer, k bigint, ts timestamptz)",
		fmt.Sprintf("INSERT INTO labels SELECT i, i %% %d, TIMESTAMPTZ '2024-03-01' + i * INTERVAL '131 minutes' FROM generate_series(1, 300) AS g(i)", keys+1),
	} {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func newWorld(t *testing.T, rng *rand.Rand) *world {
	w := newModels(rng)
	w.dir = t.TempDir()
	s := servertest.Start(t, w.dir, servertest.Options{})
	w.define(t, s.DSN())
	if code, _ := s.Terminate(20 * time.Second); code != 0 {
		t.Fatalf("the first server ended with code %d:\n%s", code, s.Log())
	}
	return w
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func soak() bool { return os.Getenv("TILEHOUSE_SOAK") == "1" }

// roundsAndSeed are how many rounds a test runs, and the seed, which is printed.
func roundsAndSeed(t *testing.T, quick int) (rounds int, seed uint64) {
	rounds, seed = quick, rand.Uint64()
	if soak() {
		rounds = soakRounds
	}
	if n, err := strconv.Atoi(os.Getenv("TILEHOUSE_CRASH_ROUNDS")); err == nil {
		rounds = n
	}
	if n, err := strconv.ParseUint(os.Getenv("TILEHOUSE_CRASH_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("TILEHOUSE_CRASH_SEED=%d", seed)
	return rounds, seed
}

// report says what a test has shown; make soak prints such lines.
func report(t *testing.T, line string) {
	if soak() {
		fmt.Println("soak: " + line)
	}
	t.Log(line)
}

// A server killed at any moment comes back with every acknowledged row exactly once, with transactions whole or absent, and
// with derived state equal to one rebuilt from rows.
func TestKilledServer(t *testing.T) {
	rounds, seed := roundsAndSeed(t, quickRounds)
	rng := rand.New(rand.NewPCG(seed, 0))
	var w *world
	var slowest time.Duration
	var rows, unknown, early int
	for round := range rounds {
		if round%perDir == 0 {
			w = newWorld(t, rng)
		}
		if rng.IntN(4) == 0 {
			killWhileStarting(t, w.dir, rng)
			early++
		}
		s := servertest.Start(t, w.dir, servertest.Options{})
		slowest = max(slowest, s.Ready)
		w.work(s, time.Duration(50+rng.IntN(900))*time.Millisecond)
		s = servertest.Start(t, w.dir, servertest.Options{})
		slowest = max(slowest, s.Ready)
		if s.Ready > startBound {
			t.Errorf("round %d: ready after %v, more than %v", round, s.Ready, startBound)
		}
		n, u := w.check(t, s.DSN(), round, rng)
		rows, unknown = rows+n, unknown+u
		s.Kill() // also a crash, of an idle server
		if t.Failed() {
			t.Fatalf("round %d of seed %d failed; the server wrote:\n%s", round, seed, s.Log())
		}
	}
	report(t, fmt.Sprintf("crash: %d kills and %d more while starting: %d rows compared, %d transactions of unknown fate whole or absent, in the last directory %d transactions and %d definitions, slowest start %v",
		rounds, early, rows, unknown, w.transactions(), w.definer.done, slowest.Round(time.Millisecond)))
}

// killWhileStarting kills a server at a random moment of its start.
func killWhileStarting(t *testing.T, dir string, rng *rand.Rand) {
	cmd := servertest.Command(t, nil, "serve", "--data", dir, "--listen", "127.0.0.1:0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond)
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
}

// work lets everybody write for d, then kills the server.
func (w *world) work(s *servertest.Server, d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d+checkBound)
	defer cancel()
	wait := w.begin(ctx, s.DSN())
	time.Sleep(d)
	s.Kill()
	wait()
}

// begin lets everybody write until ctx ends or the server does; wait returns when all have ended.
func (w *world) begin(ctx context.Context, dsn string) (wait func()) {
	var all sync.WaitGroup
	for _, wr := range w.writers {
		all.Go(func() { wr.run(ctx, dsn) })
	}
	all.Go(func() { w.definer.run(ctx, dsn) })
	all.Go(func() { w.reader.run(ctx, dsn) })
	return all.Wait
}

// transactions counts those acknowledged.
func (w *world) transactions() (n int) {
	for _, wr := range w.writers {
		n += wr.done
	}
	return n
}

// definitions counts those acknowledged.
func (w *world) definitions() int { return w.definer.done }

// text runs sql and returns its rows as text, a line each.
func text(t *testing.T, conn *pgx.Conn, sql string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), checkBound)
	defer cancel()
	res, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var out []string
	for _, r := range res {
		for _, row := range r.Rows {
			fields := make([]string, len(row))
			for i, v := range row {
				if fields[i] = string(v); v == nil {
					fields[i] = "NULL"
				}
			}
			out = append(out, strings.Join(fields, "|"))
		}
	}
	return out
}

// check compares a restarted server with the models, and settles those. It returns the rows compared and how many
// transactions of unknown fate there were.
func (w *world) check(t *testing.T, dsn string, round int, rng *rand.Rand) (rows, unknown int) {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(context.Background())
	live := map[int64]row{}
	for _, wr := range w.writers {
		if wr.err != nil {
			t.Errorf("round %d: %v", round, wr.err)
		}
		got := w.rowsOf(t, conn, wr)
		alternatives := wr.alternatives()
		unknown += len(alternatives) - 1
		at := slices.IndexFunc(alternatives, func(m map[int64]row) bool { return maps.Equal(m, got) })
		if at < 0 {
			t.Errorf("round %d: writer %d (%s): %s", round, wr.id, wr.kind, difference(alternatives, got))
			continue
		}
		wr.acked, wr.pending = got, nil
		maps.Copy(live, got)
		rows += len(got)
	}
	for _, err := range []error{w.definer.err, w.reader.err} {
		if err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
	w.checkFeatures(t, conn, round)
	if !t.Failed() {
		w.checkDerived(t, conn, live, round, rng)
	}
	return rows, unknown
}

// rowsOf reads a writer's rows; a row that is there twice is an error.
func (w *world) rowsOf(t *testing.T, conn *pgx.Conn, wr *writer) map[int64]row {
	t.Helper()
	got := map[int64]row{}
	res, err := conn.Query(context.Background(), "SELECT id, k, x, f, ts FROM ev WHERE id >= $1 AND id < $2", wr.id*idRange, (wr.id+1)*idRange)
	if err != nil {
		t.Fatal(err)
	}
	for res.Next() {
		var id int64
		var r row
		var ts time.Time
		if err := res.Scan(&id, &r.k, &r.x, &r.f, &ts); err != nil {
			t.Fatal(err)
		}
		if _, ok := got[id]; ok {
			t.Errorf("row %d is there twice", id)
		}
		r.ts = ts.UnixMicro()
		got[id] = r
	}
	if err := res.Err(); err != nil {
		t.Fatal(err)
	}
	return got
}

func difference(want []map[int64]row, got map[int64]row) string {
	var out []string
	for i, m := range want {
		missing, extra, other, example := 0, 0, 0, ""
		for id, r := range m {
			if g, ok := got[id]; !ok {
				missing++
				example = fmt.Sprintf("row %d %+v is missing", id, r)
			} else if g != r {
				other++
				example = fmt.Sprintf("row %d is %+v, not %+v", id, g, r)
			}
		}
		for id, r := range got {
			if _, ok := m[id]; !ok {
				extra++
				example = fmt.Sprintf("row %d %+v is too many", id, r)
			}
		}
		what := "acknowledged"
		if i > 0 {
			what = "acknowledged and pending"
		}
		out = append(out, fmt.Sprintf("against the rows %s: %d missing, %d too many, %d different (%s)", what, missing, extra, other, example))
	}
	return strings.Join(out, "; ")
}

// checkFeatures compares the catalog's features with the definer's model.
func (w *world) checkFeatures(t *testing.T, conn *pgx.Conn, round int) {
	t.Helper()
	got := map[string]bool{}
	for _, line := range text(t, conn, "SELECT name, state FROM tilehouse.features") {
		name, state, _ := strings.Cut(line, "|")
		got[name] = true
		if state != "ready" {
			t.Errorf("round %d: feature %s is %q after a restart", round, name, state)
		}
	}
	with := maps.Clone(w.definer.has)
	if w.definer.pending != "" {
		w.definer.flip(with)
	}
	if !maps.Equal(got, w.definer.has) && !maps.Equal(got, with) {
		t.Errorf("round %d: features %v, not %v or, with %q, %v", round, got, w.definer.has, w.definer.pending, with)
	}
	w.definer.has, w.definer.pending = got, ""
}

const window = 7 * 24 * 3_600_000_000 // 7 days in microseconds

// checkDerived compares lookups with values counted from the rows, and lookups and an ASOF join with the same after a rebuild.
func (w *world) checkDerived(t *testing.T, conn *pgx.Conn, live map[int64]row, round int, rng *rand.Rand) {
	t.Helper()
	newest := base
	for _, r := range live {
		newest = max(newest, r.ts)
	}
	instants := []int64{newest + 1, newest - rng.Int64N(window), base + rng.Int64N(window)}
	for _, r := range live {
		instants = append(instants, r.ts, r.ts+window) // an event on either edge
		break
	}
	lookups := func() []string {
		var out []string
		for _, at := range instants {
			when := time.UnixMicro(at).UTC().Format("2006-01-02 15:04:05.999999+00")
			text(t, conn, "SET tilehouse.read_time = '"+when+"'")
			for k := range int64(keys) {
				for _, line := range text(t, conn, fmt.Sprintf("SELECT * FROM ent WHERE k = %d", k)) {
					out = append(out, when+": "+line)
				}
				var n, total, ever int64
				for _, r := range live {
					if r.k == k && r.ts < at {
						ever++
						if r.ts >= at-window {
							n, total = n+1, total+r.x
						}
					}
				}
				want := fmt.Sprintf("%d|%d|%d", n, total, ever)
				if n == 0 {
					want = fmt.Sprintf("0|NULL|%d", ever)
				}
				if got := text(t, conn, fmt.Sprintf("SELECT feat_n_7d, feat_total_7d, feat_n_lifetime FROM ent WHERE k = %d", k)); len(got) != 1 || got[0] != want {
					t.Errorf("round %d: key %d at %s: lookup gives %q, the rows %q", round, k, when, got, want)
				}
			}
		}
		text(t, conn, "SET tilehouse.read_time = ''")
		return out
	}
	const join = "SELECT l.id, f.* FROM labels l ASOF JOIN ent f ON f.k = l.k AND l.ts > f.ts ORDER BY l.id"
	online, offline := lookups(), text(t, conn, join)
	for name := range w.definer.has {
		text(t, conn, "REFRESH FEATURE "+name)
	}
	same(t, round, "lookup", online, lookups())
	same(t, round, "ASOF join", offline, text(t, conn, join))
}

func same(t *testing.T, round int, what string, before, after []string) {
	t.Helper()
	if slices.Equal(before, after) {
		return
	}
	for i := range max(len(before), len(after)) {
		if i >= len(before) || i >= len(after) || before[i] != after[i] {
			t.Errorf("round %d: %s: %d rows after the restart, %d after a rebuild; row %d differs:\n%.600s\n%.600s", round, what, len(before), len(after), i,
				strings.Join(before[min(i, len(before)):min(i+1, len(before))], ""), strings.Join(after[min(i, len(after)):min(i+1, len(after))], ""))
			return
		}
	}
}
