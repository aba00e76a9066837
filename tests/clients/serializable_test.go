package clients

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// anomaly is a schedule of transactions that weaker isolation levels let through.
type anomaly struct {
	name  string
	setup []string
	// steps are the statements in the order in which they are sent: the number of the transaction, a blank, the statement.
	steps []string
	state string // a query that shows what is left
	// ours: PostgreSQL does not know the relations. skew: REPEATABLE READ does not prevent it.
	ours, skew bool
}

var accounts = []string{"DROP TABLE IF EXISTS acc", "CREATE TABLE acc (id integer PRIMARY KEY, v integer)", "INSERT INTO acc VALUES (1, 10), (2, 20)"}

const accountsState = "SELECT * FROM acc ORDER BY id"

// The event table ev has features: how many events there are of a key, and the sum of their values.
var events = []string{"DROP TABLE IF EXISTS ordinary", "DROP FEATURE IF EXISTS f", "DROP ENTITY IF EXISTS ent", "DROP TABLE IF EXISTS ev", "DROP TABLE IF EXISTS ev2",
	"CREATE TABLE ev (id bigint PRIMARY KEY, k text, v integer, ts timestamptz NOT NULL) WITH (event_time = 'ts')",
	"CREATE TABLE ev2 (id bigint PRIMARY KEY, k text, v integer, ts timestamptz NOT NULL) WITH (event_time = 'ts')",
	"INSERT INTO ev VALUES (1, 'a', 1, '2024-01-01 00:00:00Z')",
	"INSERT INTO ev2 VALUES (1, 'a', 1, '2024-01-01 00:00:00Z')",
	"CREATE ENTITY ent (k text)", "CREATE FEATURE f ON ent AS SELECT k, count(*) AS n, sum(v) AS s FROM ev GROUP BY k WINDOW LIFETIME",
	"CREATE TABLE ordinary (id integer)", "INSERT INTO ordinary VALUES (1)"}

const eventsState = "SELECT (SELECT string_agg(id::text, ',' ORDER BY id) FROM ev) AS a, (SELECT string_agg(id::text, ',' ORDER BY id) FROM ev2) AS b, (SELECT string_agg(id::text, ',' ORDER BY id) FROM ordinary) AS c"

var anomalies = []anomaly{
	{name: "dirty write", setup: accounts, state: accountsState, steps: []string{
		"1 UPDATE acc SET v = 11 WHERE id = 1", "2 UPDATE acc SET v = 12 WHERE id = 1", "1 UPDATE acc SET v = 21 WHERE id = 2", "1 COMMIT", "2 UPDATE acc SET v = 22 WHERE id = 2", "2 COMMIT"}},
	{name: "aborted read", setup: accounts, state: accountsState, steps: []string{
		"1 UPDATE acc SET v = 101 WHERE id = 1", "2 SELECT * FROM acc ORDER BY id", "1 ROLLBACK", "2 SELECT * FROM acc ORDER BY id", "2 COMMIT"}},
	{name: "intermediate read", setup: accounts, state: accountsState, steps: []string{
		"1 UPDATE acc SET v = 101 WHERE id = 1", "2 SELECT * FROM acc ORDER BY id", "1 UPDATE acc SET v = 11 WHERE id = 1", "1 COMMIT", "2 SELECT * FROM acc ORDER BY id", "2 COMMIT"}},
	{name: "circular information flow", setup: accounts, state: accountsState, skew: false, steps: []string{
		"1 UPDATE acc SET v = 11 WHERE id = 1", "2 SELECT v FROM acc WHERE id = 1", "1 SELECT v FROM acc WHERE id = 2", "1 COMMIT", "2 COMMIT"}},
	{name: "observed transaction vanishes", setup: accounts, state: accountsState, steps: []string{
		"1 UPDATE acc SET v = 11 WHERE id = 1", "1 UPDATE acc SET v = 19 WHERE id = 2", "2 SELECT v FROM acc WHERE id = 1", "1 COMMIT", "3 SELECT v FROM acc WHERE id = 2", "2 SELECT v FROM acc WHERE id = 2", "3 SELECT v FROM acc WHERE id = 1", "2 COMMIT", "3 COMMIT"}},
	{name: "predicate many preceders", setup: accounts, state: accountsState, steps: []string{
		"1 SELECT * FROM acc WHERE v = 30", "2 INSERT INTO acc VALUES (3, 30)", "2 COMMIT", "1 SELECT * FROM acc WHERE v % 3 = 0", "1 COMMIT"}},
	{name: "predicate many preceders, a write", setup: accounts, state: accountsState, steps: []string{
		"1 UPDATE acc SET v = v + 10", "2 DELETE FROM acc WHERE v = 20", "1 COMMIT", "2 SELECT * FROM acc ORDER BY id", "2 COMMIT"}},
	{name: "lost update", setup: accounts, state: accountsState, steps: []string{
		"1 SELECT v FROM acc WHERE id = 1", "2 SELECT v FROM acc WHERE id = 1", "1 UPDATE acc SET v = 11 WHERE id = 1", "2 UPDATE acc SET v = 11 WHERE id = 1", "1 COMMIT", "2 COMMIT"}},
	{name: "read skew", setup: accounts, state: accountsState, steps: []string{
		"1 SELECT v FROM acc WHERE id = 1", "2 UPDATE acc SET v = 12 WHERE id = 1", "2 UPDATE acc SET v = 18 WHERE id = 2", "2 COMMIT", "1 SELECT v FROM acc WHERE id = 2", "1 COMMIT"}},
	{name: "read skew, a write", setup: accounts, state: accountsState, steps: []string{
		"1 SELECT v FROM acc WHERE id = 1", "2 UPDATE acc SET v = 12 WHERE id = 1", "2 UPDATE acc SET v = 18 WHERE id = 2", "2 COMMIT", "1 DELETE FROM acc WHERE v = 20", "1 COMMIT"}},
	{name: "write skew", skew: true, state: "SELECT (SELECT string_agg(name, ',' ORDER BY name) FROM day) AS d, (SELECT string_agg(name, ',' ORDER BY name) FROM night) AS n",
		setup: []string{"DROP TABLE IF EXISTS day", "DROP TABLE IF EXISTS night", "CREATE TABLE day (name text)", "CREATE TABLE night (name text)", "INSERT INTO day VALUES ('ann')", "INSERT INTO night VALUES ('bob')"},
		steps: []string{"1 SELECT count(*) FROM night", "2 SELECT count(*) FROM day", "1 DELETE FROM day", "2 DELETE FROM night", "1 COMMIT", "2 COMMIT"}},
	{name: "write skew, two writes at a time", skew: true, state: "SELECT (SELECT sum(v) FROM x) AS x, (SELECT sum(v) FROM y) AS y",
		setup: []string{"DROP TABLE IF EXISTS x", "DROP TABLE IF EXISTS y", "CREATE TABLE x (v integer)", "CREATE TABLE y (v integer)", "INSERT INTO x VALUES (1)", "INSERT INTO y VALUES (10)"},
		steps: []string{"1 SELECT sum(v) FROM x", "2 SELECT sum(v) FROM y", "1 INSERT INTO y SELECT sum(v) FROM x", "2 INSERT INTO x SELECT sum(v) FROM y", "2 COMMIT", "1 COMMIT"}},
	{name: "write skew of predicates", skew: true, state: "SELECT class, count(*), sum(v) FROM mytab GROUP BY class ORDER BY class",
		setup: []string{"DROP TABLE IF EXISTS mytab", "CREATE TABLE mytab (class integer, v integer)", "INSERT INTO mytab VALUES (1, 10), (1, 20), (2, 100), (2, 200)"},
		steps: []string{"1 SELECT sum(v) FROM mytab WHERE class = 1", "1 INSERT INTO mytab VALUES (2, 30)", "2 SELECT sum(v) FROM mytab WHERE class = 2", "2 INSERT INTO mytab VALUES (1, 300)", "2 COMMIT", "1 COMMIT"}},
	{name: "write skew through a view", skew: true, state: "SELECT (SELECT sum(v) FROM x) AS x, (SELECT sum(v) FROM y) AS y",
		setup: []string{"DROP VIEW IF EXISTS vx, vy", "DROP TABLE IF EXISTS x", "DROP TABLE IF EXISTS y", "CREATE TABLE x (v integer)", "CREATE TABLE y (v integer)", "CREATE VIEW vx AS SELECT sum(v) AS v FROM x", "CREATE VIEW vy AS SELECT sum(v) AS v FROM y", "INSERT INTO x VALUES (1)", "INSERT INTO y VALUES (10)"},
		steps: []string{"1 SELECT v FROM vx", "2 SELECT v FROM vy", "1 INSERT INTO y VALUES (3)", "2 INSERT INTO x VALUES (4)", "1 COMMIT", "2 COMMIT"}},
	{name: "write skew through DELETE and TRUNCATE", skew: true, state: "SELECT (SELECT count(*) FROM x) AS x, (SELECT count(*) FROM y) AS y",
		setup: []string{"DROP VIEW IF EXISTS vx, vy", "DROP TABLE IF EXISTS x", "DROP TABLE IF EXISTS y", "CREATE TABLE x (v integer)", "CREATE TABLE y (v integer)", "INSERT INTO x VALUES (1)", "INSERT INTO y VALUES (10)"},
		steps: []string{"1 SELECT count(*) FROM x", "2 SELECT count(*) FROM y", "1 DELETE FROM y", "1 COMMIT", "2 DELETE FROM x", "2 COMMIT"}},
	{name: "write skew with a cascade", skew: true, state: "SELECT (SELECT count(*) FROM child) AS c, (SELECT count(*) FROM z) AS z",
		setup: []string{"DROP TABLE IF EXISTS child", "DROP TABLE IF EXISTS parent", "DROP TABLE IF EXISTS z", "CREATE TABLE parent (id integer PRIMARY KEY)", "CREATE TABLE child (p integer REFERENCES parent ON DELETE CASCADE)", "CREATE TABLE z (v integer)",
			"INSERT INTO parent VALUES (1)", "INSERT INTO child VALUES (1)", "INSERT INTO z VALUES (1)"},
		steps: []string{"1 SELECT count(*) FROM z", "2 SELECT count(*) FROM child", "1 DELETE FROM parent", "2 DELETE FROM z", "1 COMMIT", "2 COMMIT"}},
	{name: "a read-only transaction sees it", skew: true, state: "SELECT (SELECT batch FROM control) AS b, (SELECT count(*) FROM receipts WHERE batch = 1) AS n",
		setup: []string{"DROP TABLE IF EXISTS control", "DROP TABLE IF EXISTS receipts", "CREATE TABLE control (batch integer)", "CREATE TABLE receipts (batch integer, amount integer)", "INSERT INTO control VALUES (1)"},
		steps: []string{"1 SELECT batch FROM control", "2 UPDATE control SET batch = 2", "2 COMMIT", "3 SELECT batch FROM control", "3 SELECT count(*) FROM receipts WHERE batch = 1", "3 COMMIT", "1 INSERT INTO receipts VALUES (1, 100)", "1 COMMIT"}},
	{name: "INSERT … SELECT of each other's table", skew: true, state: "SELECT (SELECT sum(v) FROM x) AS x, (SELECT sum(v) FROM y) AS y",
		setup: []string{"DROP VIEW IF EXISTS vx, vy", "DROP TABLE IF EXISTS x", "DROP TABLE IF EXISTS y", "CREATE TABLE x (v integer)", "CREATE TABLE y (v integer)", "INSERT INTO x VALUES (1)", "INSERT INTO y VALUES (10)"},
		steps: []string{"1 INSERT INTO y SELECT v FROM x", "2 INSERT INTO x SELECT v FROM y", "1 COMMIT", "2 COMMIT"}},

	{name: "write skew of event tables", ours: true, skew: true, setup: events, state: eventsState, steps: []string{
		"1 SELECT count(*) FROM ev", "2 SELECT count(*) FROM ev2", "1 INSERT INTO ev2 VALUES (2, 'a', 1, '2024-01-02 00:00:00Z')", "2 INSERT INTO ev VALUES (2, 'a', 1, '2024-01-02 00:00:00Z')", "1 COMMIT", "2 COMMIT"}},
	{name: "write skew through a feature", ours: true, skew: true, setup: events, state: eventsState, steps: []string{
		"1 SELECT f_n FROM ent WHERE k = 'a'", "2 SELECT count(*) FROM ev2", "1 INSERT INTO ev2 VALUES (2, 'a', 1, '2024-01-02 00:00:00Z')", "2 INSERT INTO ev VALUES (2, 'a', 1, '2024-01-02 00:00:00Z')", "1 COMMIT", "2 COMMIT"}},
	{name: "write skew between a feature and an ordinary table", ours: true, skew: true, setup: events, state: eventsState, steps: []string{
		"1 SELECT f_n FROM ent WHERE k = 'a'", "2 SELECT count(*) FROM ordinary", "1 INSERT INTO ordinary VALUES (2)", "2 INSERT INTO ev VALUES (2, 'a', 1, '2024-01-02 00:00:00Z')", "1 COMMIT", "2 COMMIT"}},
	{name: "write skew between an ASOF join and an ordinary table", ours: true, skew: true, setup: events, state: eventsState, steps: []string{
		"1 SELECT x.f_n FROM (VALUES ('a', '2025-01-01 00:00:00Z'::timestamptz)) AS l(k, at) ASOF JOIN ent x ON x.k = l.k AND l.at > x.ts", "2 SELECT count(*) FROM ordinary", "2 INSERT INTO ev VALUES (2, 'a', 1, '2024-01-02 00:00:00Z')", "1 INSERT INTO ordinary VALUES (2)", "2 COMMIT", "1 COMMIT"}},
	{name: "write skew through a feature in a query", ours: true, skew: true, setup: events, state: eventsState, steps: []string{
		"1 INSERT INTO ev2 SELECT f_n + 10, k, 1, '2024-01-02 00:00:00Z'::timestamptz FROM ent WHERE k = 'a'", "2 SELECT count(*) FROM ev2", "2 INSERT INTO ev VALUES (2, 'a', 1, '2024-01-02 00:00:00Z')", "2 COMMIT", "1 COMMIT"}},
	{name: "read skew of features", ours: true, skew: true, setup: events, state: eventsState, steps: []string{
		"1 SELECT f_n FROM ent WHERE k = 'a'", "2 INSERT INTO ev VALUES (2, 'a', 5, '2024-01-02 00:00:00Z')", "2 COMMIT", "1 SELECT f_n, f_s FROM ent WHERE k = 'a'", "1 COMMIT"}},
	{name: "read skew of an event table and a feature", ours: true, setup: events, state: eventsState, steps: []string{
		"1 SELECT count(*) FROM ordinary", "2 INSERT INTO ev VALUES (2, 'a', 5, '2024-01-02 00:00:00Z')", "2 COMMIT", "3 INSERT INTO ordinary SELECT count(*) + 10 FROM ev", "3 COMMIT", "1 SELECT f_n FROM ent WHERE k = 'a'", "1 SELECT count(*) FROM ev", "1 SELECT count(*) FROM ordinary", "1 COMMIT"}},
	{name: "read skew of event tables that no statement had read", ours: true, skew: false, setup: events, state: eventsState, steps: []string{
		"1 SELECT count(*) FROM ev", "2 INSERT INTO ev2 VALUES (2, 'a', 5, '2024-01-02 00:00:00Z')", "2 INSERT INTO ev VALUES (2, 'a', 5, '2024-01-02 00:00:00Z')", "2 COMMIT", "1 SELECT count(*) FROM ev2", "1 SELECT count(*) FROM ev", "1 COMMIT"}},
	{name: "lost update of an event table", ours: true, setup: events, state: "SELECT id, v FROM ev ORDER BY id", steps: []string{
		"1 SELECT v FROM ev WHERE id = 1", "2 SELECT v FROM ev WHERE id = 1", "1 UPDATE ev SET v = 2 WHERE id = 1", "2 UPDATE ev SET v = 3 WHERE id = 1", "1 COMMIT", "2 COMMIT"}},
	{name: "a snapshot of an event table", ours: true, setup: events, state: eventsState, steps: []string{
		"1 SELECT count(*) FROM ordinary", "2 INSERT INTO ev VALUES (2, 'a', 5, '2024-01-02 00:00:00Z')", "2 COMMIT", "1 SELECT count(*) FROM ev", "1 SELECT f_s FROM ent WHERE k = 'a'", "1 COMMIT"}},
}

// outcomes are what the transactions of a schedule saw, by transaction and statement; committed are those that did.
type outcomes struct {
	seen      map[int][]string
	committed []int
	refused   []string
	state     string
}

// lines is a result as text.
func lines(conn *pgconn.PgConn, sql string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	results, err := conn.Exec(ctx, sql).ReadAll()
	var b strings.Builder
	for _, r := range results {
		for _, row := range r.Rows {
			fmt.Fprintf(&b, "%q;", row)
		}
	}
	return b.String(), err
}

// play runs a schedule. A statement that waits for another transaction is left to wait, and its transaction's later ones queue.
func (a *anomaly) play(t *testing.T, dsn, level string) outcomes {
	t.Helper()
	admin := connectTo(t, dsn)
	for _, sql := range a.setup {
		must(t, admin, sql)
	}
	out := outcomes{seen: map[int][]string{}}
	type task struct {
		sql  string
		done chan struct{}
	}
	queues := map[int]chan task{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	open := func(tx int) chan task {
		q := make(chan task, len(a.steps))
		conn := connectTo(t, dsn)
		must(t, conn, "BEGIN ISOLATION LEVEL "+level)
		wg.Go(func() {
			failed := false
			for k := range q {
				if failed {
					close(k.done)
					continue
				}
				got, err := lines(conn, k.sql)
				mu.Lock()
				var e *pgconn.PgError
				switch {
				case errors.As(err, &e):
					out.refused = append(out.refused, fmt.Sprintf("%s: %s", e.Code, e.Message))
					failed = true
					if e.Code != "40001" && e.Code != "40P01" {
						t.Errorf("%s, %s: transaction %d: %s: %v", a.name, level, tx, k.sql, err)
					}
				case err != nil:
					t.Errorf("%s: %s: %v", a.name, k.sql, err)
					failed = true
				case k.sql == "COMMIT":
					out.committed = append(out.committed, tx)
				case k.sql != "ROLLBACK":
					out.seen[tx] = append(out.seen[tx], got)
				}
				mu.Unlock()
				close(k.done)
			}
			_, _ = lines(conn, "ROLLBACK")
			conn.Close(context.Background())
		})
		return q
	}
	for _, step := range a.steps {
		number, sql, _ := strings.Cut(step, " ")
		tx := int(number[0] - '0')
		if queues[tx] == nil {
			queues[tx] = open(tx)
		}
		k := task{sql, make(chan struct{})}
		queues[tx] <- k
		select {
		case <-k.done:
		case <-time.After(400 * time.Millisecond):
		}
	}
	for _, q := range queues {
		close(q)
	}
	wg.Wait()
	out.state, _ = lines(admin, a.state)
	return out
}

// serial are what the committed transactions would see in an order of theirs, one after the other.
func (a *anomaly) serial(t *testing.T, dsn string, order []int) outcomes {
	t.Helper()
	conn := connectTo(t, dsn)
	for _, sql := range a.setup {
		must(t, conn, sql)
	}
	out := outcomes{seen: map[int][]string{}}
	for _, tx := range order {
		must(t, conn, "BEGIN")
		for _, step := range a.steps {
			if number, sql, _ := strings.Cut(step, " "); int(number[0]-'0') == tx {
				got, err := lines(conn, sql)
				if err != nil {
					t.Fatalf("%s: %s: %v", a.name, sql, err)
				}
				if sql != "COMMIT" {
					out.seen[tx] = append(out.seen[tx], got)
				}
			}
		}
	}
	out.state, _ = lines(conn, a.state)
	return out
}

func orders(of []int) [][]int {
	if len(of) < 2 {
		return [][]int{of}
	}
	var out [][]int
	for i, first := range of {
		for _, rest := range orders(slices.Delete(slices.Clone(of), i, i+1)) {
			out = append(out, append([]int{first}, rest...))
		}
	}
	return out
}

// serializable reports whether the outcomes of a schedule are those of a serial order.
func (a *anomaly) serializable(t *testing.T, dsn string, got outcomes) bool {
	t.Helper()
	for _, order := range orders(got.committed) {
		want := a.serial(t, dsn, order)
		same := want.state == got.state
		for _, tx := range order {
			same = same && slices.Equal(want.seen[tx], got.seen[tx])
		}
		if same {
			return true
		}
	}
	return false
}

// No schedule that breaks weaker isolation levels breaks SERIALIZABLE: what the transactions that commit saw and left is what they
// would have one after the other, in some order. So it is with PostgreSQL, and REPEATABLE READ lets those through that it lets through there.
func TestAnomalies(t *testing.T) {
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	peer := ""
	t.Run("PostgreSQL", func(t *testing.T) { peer = postgres.Start(t); theirAnomalies(t, peer) })
	for _, a := range anomalies {
		t.Run(a.name, func(t *testing.T) {
			got := a.play(t, s.DSN(), "SERIALIZABLE")
			if !a.serializable(t, s.DSN(), got) {
				t.Errorf("SERIALIZABLE: no serial order of %v gives\n%v\nand leaves %s (refused: %v)", got.committed, got.seen, got.state, got.refused)
			}
			if len(got.committed) == 0 {
				t.Errorf("SERIALIZABLE: every transaction was refused: %v", got.refused)
			}
			weaker := a.play(t, s.DSN(), "REPEATABLE READ")
			if skewed := !a.serializable(t, s.DSN(), weaker); skewed != a.skew {
				t.Errorf("REPEATABLE READ: anomalous: %v, not %v: committed %v of\n%v\nand left %s (refused: %v)", skewed, a.skew, weaker.committed, weaker.seen, weaker.state, weaker.refused)
			}
		})
	}
}

// theirAnomalies checks the schedules with PostgreSQL: that they are right, and where REPEATABLE READ lets them through.
func theirAnomalies(t *testing.T, dsn string) {
	for _, a := range anomalies {
		if a.ours {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			if got := a.play(t, dsn, "SERIALIZABLE"); !a.serializable(t, dsn, got) {
				t.Errorf("PostgreSQL's SERIALIZABLE: %v, %v", got.committed, got.seen)
			}
			if got := a.play(t, dsn, "REPEATABLE READ"); a.serializable(t, dsn, got) == a.skew {
				t.Errorf("PostgreSQL's REPEATABLE READ: anomalous: %v: committed %v, refused %v", !a.skew, got.committed, got.refused)
			}
		})
	}
}

// history is a transaction of the random test: the ids that it found in the relations that it read, and where it added its own.
type history struct {
	id    int
	read  map[string][]string
	wrote string
}

// Random transactions that read some relations and add their number to one form no cycle of "saw" and "did not see": over ordinary
// tables, event tables, and an event table that is read through a feature.
func TestSerializableHistories(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	for _, level := range []string{"SERIALIZABLE", "REPEATABLE READ"} {
		txs, refused := randomHistories(t, s.DSN(), level, seed)
		cycle := findCycle(txs)
		t.Logf("%s: %d committed, %d refused, cycle: %v", level, len(txs), refused, cycle)
		if level == "SERIALIZABLE" && (cycle != nil || len(txs) < 40) || level != "SERIALIZABLE" && cycle == nil {
			t.Errorf("%s: %d committed, %d refused, cycle %v", level, len(txs), refused, cycle)
		}
	}
}

func randomHistories(t *testing.T, dsn, level string, seed uint64) (committed []*history, refused int) {
	const sessions, rounds = 4, 60
	admin := connectTo(t, dsn)
	for _, sql := range []string{
		"DROP TABLE IF EXISTS ta, tb", "DROP FEATURE IF EXISTS f", "DROP ENTITY IF EXISTS ent", "DROP TABLE IF EXISTS ea", "DROP TABLE IF EXISTS eb",
		"CREATE TABLE ta (id integer)", "CREATE TABLE tb (id integer PRIMARY KEY)",
		"CREATE TABLE ea (id bigint PRIMARY KEY, k text, ts timestamptz NOT NULL) WITH (event_time = 'ts')",
		"CREATE TABLE eb (id bigint PRIMARY KEY, k text, ts timestamptz NOT NULL) WITH (event_time = 'ts')",
		"CREATE ENTITY ent (k text)", "CREATE FEATURE f ON ent AS SELECT k, count(*) AS n, last_k(id, 1000) AS ids FROM eb GROUP BY k WINDOW LIFETIME"} {
		must(t, admin, sql)
	}
	reads := map[string]string{"ta": "SELECT coalesce(string_agg(id::text, ','), '') FROM ta", "tb": "SELECT coalesce(string_agg(id::text, ','), '') FROM tb",
		"ea": "SELECT coalesce(string_agg(id::text, ','), '') FROM ea", "eb": "SELECT coalesce(array_to_string(f_ids, ','), '') FROM ent WHERE k = 'a'"}
	names := []string{"ta", "tb", "ea", "eb"}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range sessions {
		conn := connectTo(t, dsn)
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() {
			for k := range rounds {
				h := &history{id: 1 + i*rounds + k, read: map[string][]string{}}
				err := func() error {
					if _, err := lines(conn, "BEGIN ISOLATION LEVEL "+level); err != nil {
						return err
					}
					for _, n := range r.Perm(len(names))[:1+r.IntN(3)] {
						got, err := conn.Exec(context.Background(), reads[names[n]]).ReadAll()
						if err != nil {
							return err
						}
						h.read[names[n]] = []string{}
						if len(got[0].Rows) > 0 && len(got[0].Rows[0][0]) > 0 {
							h.read[names[n]] = strings.Split(string(got[0].Rows[0][0]), ",")
						}
						time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
					}
					if r.IntN(4) > 0 {
						h.wrote = names[r.IntN(len(names))]
						sql := fmt.Sprintf("INSERT INTO %s VALUES (%d)", h.wrote, h.id)
						if h.wrote[0] == 'e' {
							sql = fmt.Sprintf("INSERT INTO %s VALUES (%d, 'a', '2024-01-01 00:00:00Z')", h.wrote, h.id)
						}
						if _, err := lines(conn, sql); err != nil {
							return err
						}
					}
					_, err := lines(conn, "COMMIT")
					return err
				}()
				mu.Lock()
				var e *pgconn.PgError
				switch {
				case err == nil:
					committed = append(committed, h)
				case errors.As(err, &e) && e.Code == "40001":
					refused++
				default:
					t.Errorf("%s: transaction %d: %v", level, h.id, err)
				}
				mu.Unlock()
				if err != nil {
					_, _ = lines(conn, "ROLLBACK")
				}
			}
		})
	}
	wg.Wait()
	return committed, refused
}

// findCycle finds transactions each of which must come before the next, and the last before the first.
func findCycle(txs []*history) []int {
	before := map[int][]int{}
	for _, reader := range txs {
		for relation, saw := range reader.read {
			for _, writer := range txs {
				switch {
				case writer.wrote != relation || writer == reader:
				case slices.Contains(saw, fmt.Sprint(writer.id)):
					before[writer.id] = append(before[writer.id], reader.id)
				default:
					before[reader.id] = append(before[reader.id], writer.id)
				}
			}
		}
	}
	state := map[int]int{} // 1: on the path, 2: done
	var path, cycle []int
	var visit func(id int) bool
	visit = func(id int) bool {
		state[id] = 1
		path = append(path, id)
		for _, next := range before[id] {
			if state[next] == 1 {
				cycle = slices.Clone(path[slices.Index(path, next):])
				return true
			}
			if state[next] == 0 && visit(next) {
				return true
			}
		}
		path = path[:len(path)-1]
		state[id] = 2
		return false
	}
	for _, h := range txs {
		if state[h.id] == 0 && visit(h.id) {
			return cycle
		}
	}
	return nil
}

// Every statement that changes rows refuses the COMMIT of a SERIALIZABLE transaction that had read them and writes, and no other one's.
func TestSerializableChanges(t *testing.T) {
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	a, b := connectTo(t, s.DSN()), connectTo(t, s.DSN())
	setup := []string{"DROP MATERIALIZED VIEW IF EXISTS m", "DROP TABLE IF EXISTS child", "DROP TABLE IF EXISTS t", "DROP TABLE IF EXISTS other", "DROP TABLE IF EXISTS sink",
		"CREATE TABLE t (id integer PRIMARY KEY, v integer)", "CREATE TABLE child (id integer REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE)",
		"CREATE TABLE other (id integer)", "CREATE TABLE sink (id integer)", "INSERT INTO t VALUES (1, 1), (2, 2)", "INSERT INTO child VALUES (1)", "INSERT INTO other VALUES (1)",
		"CREATE MATERIALIZED VIEW m AS SELECT * FROM other"}
	for _, c := range []struct{ read, write, want string }{
		{"SELECT * FROM t", "INSERT INTO t VALUES (3, 3)", "40001"},
		{"SELECT * FROM t", "INSERT INTO t VALUES (1, 3) ON CONFLICT (id) DO UPDATE SET v = 9", "40001"},
		{"SELECT * FROM t", "UPDATE t SET v = 5", "40001"},
		{"SELECT * FROM t", "UPDATE t SET v = 5 FROM other WHERE other.id = t.id", "40001"},
		{"SELECT * FROM t", "DELETE FROM t WHERE id = 2", "40001"},
		{"SELECT * FROM t", "WITH x AS (INSERT INTO t VALUES (4, 4) RETURNING id) SELECT * FROM x", "40001"},
		{"SELECT * FROM t", "WITH x AS (DELETE FROM t WHERE id = 2 RETURNING id) INSERT INTO other SELECT id FROM x", "40001"},
		{"SELECT * FROM t", "BEGIN; INSERT INTO t VALUES (3, 3); SAVEPOINT s; INSERT INTO other VALUES (2); ROLLBACK TO s; COMMIT", "40001"},
		{"SELECT * FROM t", "TRUNCATE t CASCADE", "40001"},
		{"SELECT * FROM child", "TRUNCATE t CASCADE", "40001"},
		{"SELECT * FROM child", "DELETE FROM t WHERE id = 1", "40001"},
		{"SELECT * FROM child", "UPDATE t SET id = 9 WHERE id = 1", "40001"},
		{"SELECT * FROM t", "ALTER TABLE t ALTER v TYPE text", "40001"},
		{"SELECT * FROM t", "ALTER TABLE t ADD c integer DEFAULT 1", "40001"},
		{"SELECT * FROM m", "REFRESH MATERIALIZED VIEW m", "40001"},
		{"SELECT * FROM other", "DROP TABLE other CASCADE", "40001"},
		{"UPDATE other SET id = 2", "INSERT INTO other VALUES (7)", "40001"},
		{"COPY t TO STDOUT", "DELETE FROM t", "40001"},
		{"EXPLAIN ANALYZE SELECT * FROM t", "DELETE FROM t", "40001"},
		{"DECLARE c CURSOR FOR SELECT * FROM t", "DELETE FROM t", "40001"},
		{"INSERT INTO sink SELECT id FROM t", "DELETE FROM t WHERE id = 2", "40001"},
		{"SELECT (SELECT max(id) FROM t)", "DELETE FROM t WHERE id = 2", "40001"},
		{"PREPARE p AS SELECT * FROM t; EXECUTE p", "DELETE FROM t WHERE id = 2", "40001"},
		{"SELECT * FROM t", "INSERT INTO other VALUES (2)", ""},
		{"SELECT * FROM t", "INSERT INTO child VALUES (2)", ""},
		{"SELECT * FROM t", "BEGIN; DELETE FROM child; ROLLBACK", ""},
		{"SELECT 1", "DELETE FROM t", ""},
	} {
		for _, sql := range setup {
			must(t, b, sql)
		}
		must(t, a, "BEGIN ISOLATION LEVEL SERIALIZABLE")
		must(t, a, c.read)
		must(t, b, c.write)
		must(t, a, "INSERT INTO sink VALUES (1)")
		if got := code(a, "COMMIT"); got != c.want {
			t.Errorf("after %s, and %s of another: COMMIT gave %q, not %q", c.read, c.write, got, c.want)
		}
		code(a, "ROLLBACK; DEALLOCATE ALL")
	}
	// COPY, whose rows come later.
	for _, sql := range setup {
		must(t, b, sql)
	}
	must(t, a, "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM other; INSERT INTO sink VALUES (1)")
	if _, err := b.CopyFrom(context.Background(), strings.NewReader("5\n"), "COPY other FROM STDIN"); err != nil {
		t.Fatal(err)
	}
	if got := code(a, "COMMIT"); got != "40001" {
		t.Errorf("after a COPY of another: COMMIT gave %q", got)
	}
	// What only reads is never refused, and a statement on its own is tried again.
	must(t, a, "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM other")
	must(t, b, "DELETE FROM other")
	must(t, a, "SELECT * FROM other; COMMIT")
	must(t, a, "SET default_transaction_isolation = 'serializable'")
	must(t, a, "CREATE TABLE ev (id bigint PRIMARY KEY, ts timestamptz DEFAULT now()) WITH (event_time = 'ts')")
	must(t, b, "SET default_transaction_isolation = 'serializable'")
	var wg sync.WaitGroup
	for i, conn := range []*pgconn.PgConn{a, b} {
		wg.Go(func() {
			for k := range 20 {
				for _, sql := range []string{"INSERT INTO sink SELECT count(*) FROM sink", fmt.Sprintf("INSERT INTO ev (id) SELECT count(*) * 2 + %d * 0 FROM ev", i)} {
					for c := code(conn, sql); c != ""; c = code(conn, sql) {
						if c != "40001" && c != "23505" {
							t.Errorf("round %d: %s: %s", k, sql, c)
							return
						}
					}
				}
			}
		})
	}
	wg.Wait()
	for _, sql := range []string{"SELECT count(*) - count(DISTINCT id) FROM sink WHERE id > 0", "SELECT max(id) - 2 * (count(*) - 1) FROM ev"} {
		if got := string(must(t, a, sql)[0].Rows[0][0]); got != "0" {
			t.Errorf("%s: %s, not 0: two statements counted the same rows", sql, got)
		}
	}
}
