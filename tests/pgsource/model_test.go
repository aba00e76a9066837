package pgsource

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

const modelKeys = 12

// row is a row of the model's table; nil is NULL.
type row struct {
	plan  *string
	seats *int
	price *string
	big   *string // of a length that PostgreSQL keeps beside the row
	flag  *bool
}

// change is what a transaction leaves of a key: nil: no row.
type change map[int64]*row

// model makes random transactions of one table, and knows what each leaves. It shares no code with the source.
type model struct {
	t       *testing.T
	r       *rand.Rand
	app     *pgx.Conn
	now     change   // the table
	commits []change // in their order; what each changed
	seen    func()   // is called now and then
}

func newModel(t *testing.T, seed uint64, app *pgx.Conn) *model {
	m := &model{t: t, r: rand.New(rand.NewPCG(seed, 7)), app: app, now: change{}}
	exec(t, app, "CREATE TABLE customers (id bigint PRIMARY KEY, plan text, seats integer, price numeric(10,2), big text, flag boolean)", "ALTER TABLE customers ALTER COLUMN big SET STORAGE EXTERNAL")
	return m
}

func seeded(t *testing.T) uint64 {
	seed := rand.Uint64()
	if s := os.Getenv("SEED"); s != "" {
		fmt.Sscan(s, &seed)
	}
	t.Logf("SEED=%d", seed)
	return seed
}

func (m *model) fresh() *row {
	w := &row{}
	some := func() bool { return m.r.IntN(5) > 0 }
	if some() {
		w.plan = new([]string{"", "free", "Pro", "Team \\ 'ä'\n"}[m.r.IntN(4)])
	}
	if some() {
		w.seats = new(m.r.IntN(9))
	}
	if some() {
		w.price = new(fmt.Sprintf("%d.%02d", m.r.IntN(1000)-500, m.r.IntN(100)))
	}
	if some() {
		w.big = new(strings.Repeat(string(rune('a'+m.r.IntN(26))), 3000+m.r.IntN(3000)))
	}
	if some() {
		w.flag = new(m.r.IntN(2) == 0)
	}
	return w
}

func lit[T any](v *T) string {
	if v == nil {
		return "NULL"
	}
	return "'" + strings.ReplaceAll(fmt.Sprint(*v), "'", "''") + "'"
}

// statement is one random change of the table as it is in the transaction.
func (m *model) statement(table, touched change) string {
	id := m.r.Int64N(modelKeys)
	set := func(id int64, w *row) { table[id], touched[id] = w, w }
	have := table[id]
	if have == nil {
		w := m.fresh()
		set(id, w)
		return fmt.Sprintf("INSERT INTO customers VALUES (%d, %s, %s, %s, %s, %s)", id, lit(w.plan), lit(w.seats), lit(w.price), lit(w.big), lit(w.flag))
	}
	next := *have
	switch m.r.IntN(12) {
	case 0, 1, 2:
		set(id, nil)
		return fmt.Sprintf("DELETE FROM customers WHERE id = %d", id)
	case 3: // another key
		for to := range int64(modelKeys) {
			if table[to] == nil {
				set(id, nil)
				set(to, &next)
				next.seats = new(77)
				return fmt.Sprintf("UPDATE customers SET id = %d, seats = 77 WHERE id = %d", to, id)
			}
		}
		return "SELECT 1"
	case 4:
		w := m.fresh()
		set(id, w)
		return fmt.Sprintf("UPDATE customers SET (plan, seats, price, big, flag) = (%s, %s, %s, %s, %s) WHERE id = %d", lit(w.plan), lit(w.seats), lit(w.price), lit(w.big), lit(w.flag), id)
	case 5: // all rows
		for k, w := range table {
			if w != nil {
				n := *w
				n.flag = new(true)
				set(k, &n)
			}
		}
		return "UPDATE customers SET flag = true"
	case 6:
		if m.r.IntN(6) == 0 {
			for k, w := range table {
				if w != nil {
					set(k, nil)
				}
			}
			return "TRUNCATE customers"
		}
		return "SELECT 1"
	case 7:
		set(id, &next)
		return fmt.Sprintf("UPDATE customers SET plan = plan WHERE id = %d", id)
	}
	next.seats, next.plan = new(m.r.IntN(9)), new(fmt.Sprint("p", m.r.IntN(100)))
	set(id, &next)
	return fmt.Sprintf("UPDATE customers SET seats = %d, plan = %s WHERE id = %d", *next.seats, lit(next.plan), id)
}

// commit runs random transactions.
func (m *model) commit(n int) {
	m.t.Helper()
	for range n {
		table, touched := maps.Clone(m.now), change{}
		statements := []string{"BEGIN"}
		for range 1 + m.r.IntN(4) {
			if m.r.IntN(8) == 0 { // what a subtransaction did and took back
				statements = append(statements, "SAVEPOINT s", m.statement(maps.Clone(table), change{}), "ROLLBACK TO s")
			}
			statements = append(statements, m.statement(table, touched))
		}
		if m.r.IntN(8) == 0 {
			exec(m.t, m.app, append(statements, "ROLLBACK")...)
			continue
		}
		exec(m.t, m.app, append(statements, "COMMIT")...)
		maps.DeleteFunc(touched, func(id int64, w *row) bool { return w == nil && m.now[id] == nil })
		maps.DeleteFunc(table, func(_ int64, w *row) bool { return w == nil })
		if m.now = table; len(touched) > 0 {
			m.commits = append(m.commits, touched)
		}
		if m.seen != nil && m.r.IntN(4) == 0 {
			m.seen()
		}
	}
}

func shown[T any](v *T) string {
	if v == nil {
		return "NULL"
	}
	switch x := any(*v).(type) {
	case bool:
		return fmt.Sprint(x)[:1]
	}
	return fmt.Sprint(*v)
}

func (w *row) line(id int64) string {
	if w == nil {
		return fmt.Sprintf("%d|NULL|NULL|NULL|NULL|NULL|t", id)
	}
	big := "NULL"
	if w.big != nil {
		big = fmt.Sprintf("%d%c", len(*w.big), (*w.big)[0])
	}
	return fmt.Sprintf("%d|%s|%s|%s|%s|%s|f", id, shown(w.plan), shown(w.seats), shown(w.price), big, shown(w.flag))
}

const modelColumns = "id, plan, seats, price, length(big) || left(big, 1), flag"

// settle waits until the source has what the table has: a last transaction is there.
func (m *model) settle(conn *pgx.Conn) {
	m.t.Helper()
	exec(m.t, m.app, "INSERT INTO customers VALUES (-1)")
	m.now[-1] = &row{}
	m.commits = append(m.commits, change{-1: m.now[-1]})
	eventually(m.t, conn, "SELECT count(*) FROM customers WHERE id = -1", "1")
	exec(m.t, m.app, "DELETE FROM customers WHERE id = -1")
	delete(m.now, -1)
	m.commits = append(m.commits, change{-1: nil})
	eventually(m.t, conn, "SELECT count(*) FROM customers WHERE id = -1", "0")
}

var modelFeatures = []string{
	"CREATE ENTITY customer (id bigint)",
	"CREATE FEATURE c ON customer AS SELECT id, plan, seats, price, flag FROM customers",
	"CREATE FEATURE large ON customer AS SELECT id, upper(x.plan) AS plan, coalesce(x.seats, 0) AS seats FROM customers x WHERE x.seats > 3 AND x.id <> 2",
}

const modelOutputs = "c_plan, c_seats, c_price, c_flag, large_plan, large_seats"

// values are the features' values of a row, nil: none, by the words of the definitions.
func values(id int64, w *row) string {
	if w == nil {
		return "NULL|NULL|NULL|NULL|NULL|NULL"
	}
	out := fmt.Sprintf("%s|%s|%s|%s|", shown(w.plan), shown(w.seats), shown(w.price), shown(w.flag))
	if w.seats == nil || *w.seats <= 3 || id == 2 {
		return out + "NULL|NULL"
	}
	plan := "NULL"
	if w.plan != nil {
		plan = strings.ReplaceAll(strings.ToUpper(*w.plan), "Ä", "Ä")
	}
	return out + fmt.Sprintf("%s|%d", plan, *w.seats)
}

// check compares rows with PostgreSQL's, versions with what the model did, and latest values with both at instants of every kind.
// initial is what the table had when it was read.
func (m *model) check(conn *pgx.Conn, initial change) {
	m.t.Helper()
	rows := "SELECT " + modelColumns + " FROM customers ORDER BY id"
	same(m.t, "rows", texts(m.t, conn, rows), texts(m.t, m.app, rows))
	// Versions, one line each, by the time at which they became known.
	var times []int64
	got := map[int64][]string{}
	for _, line := range texts(m.t, conn, "SELECT (extract(epoch FROM __known) * 1000000)::bigint, "+modelColumns+", __deleted FROM customers_versions ORDER BY __known, id") {
		at, rest, _ := strings.Cut(line, "|")
		var known int64
		fmt.Sscan(at, &known)
		if len(times) == 0 || times[len(times)-1] != known {
			times = append(times, known)
		}
		got[known] = append(got[known], rest)
	}
	commits := m.commits
	if len(initial) > 0 {
		commits = append([]change{initial}, commits...)
	}
	if len(times) != len(commits) {
		m.t.Fatalf("versions became known at %d times, of %d transactions", len(times), len(commits))
	}
	for i, c := range commits {
		var want []string
		for _, id := range slices.Sorted(maps.Keys(c)) {
			want = append(want, c[id].line(id))
		}
		if !slices.Equal(got[times[i]], want) {
			m.t.Fatalf("transaction %d of %d: versions %q, want %q", i, len(commits), got[times[i]], want)
		}
	}
	if len(commits) == 0 {
		return
	}
	// As the table was known before an instant: a transaction at exactly the instant is not, or is with an inclusive join.
	at := func(t int64, inclusive bool, id int64) *row {
		var w *row
		for i, c := range commits {
			if times[i] > t || times[i] == t && !inclusive {
				break
			}
			if v, ok := c[id]; ok {
				w = v
			}
		}
		return w
	}
	instants := []int64{times[0] - 1, times[0], times[0] + 1, times[len(times)-1] + 1}
	for range 30 {
		t := times[m.r.IntN(len(times))]
		instants = append(instants, t+m.r.Int64N(3)-1, t+m.r.Int64N(100_000))
	}
	stamp := func(t int64) string { return time.UnixMicro(t).UTC().Format("2006-01-02 15:04:05.000000+00") }
	var labels []string
	n := 0
	type label struct{ id, t int64 }
	var wanted []label
	for _, t := range instants[:12] {
		exec(m.t, conn, fmt.Sprintf("SET tilehouse.read_time = '%s'", stamp(t)))
		var want []string
		for id := range int64(modelKeys) {
			want = append(want, fmt.Sprintf("%d|%s", id, values(id, at(t, false, id))))
		}
		same(m.t, "latest values at "+stamp(t), texts(m.t, conn, "SELECT id, "+modelOutputs+" FROM customer WHERE id BETWEEN 0 AND 11 AND id = ANY('{0,1,2,3,4,5,6,7,8,9,10,11}') ORDER BY id"), want)
	}
	exec(m.t, conn, "RESET tilehouse.read_time", "CREATE TABLE IF NOT EXISTS labels (n bigint, id bigint, t timestamptz)", "DELETE FROM labels")
	for _, t := range instants {
		for id := range int64(modelKeys) {
			labels = append(labels, fmt.Sprintf("(%d, %d, '%s')", n, id, stamp(t)))
			wanted = append(wanted, label{id, t})
			n++
		}
	}
	exec(m.t, conn, "INSERT INTO labels VALUES "+strings.Join(labels, ", "))
	for _, op := range []string{">", ">="} {
		var want []string
		for _, l := range wanted {
			want = append(want, values(l.id, at(l.t, op == ">=", l.id)))
		}
		same(m.t, "ASOF JOIN "+op, texts(m.t, conn, "SELECT "+modelOutputs+" FROM labels l ASOF JOIN customer f ON f.id = l.id AND l.t "+op+" f.ts ORDER BY l.n"), want)
	}
}

// Transactions of every kind are there as PostgreSQL committed them, whole and once, beside kill -9 of the server and of PostgreSQL.
func TestTransactions(t *testing.T) {
	rounds, kills := 3, 1
	if os.Getenv("TILEHOUSE_SOAK") != "" {
		rounds, kills = 40, 30
	}
	pg := postgres.StartServer(t, postgres.Options{Logical: true})
	m := newModel(t, seeded(t), dial(t, pg.DSN))
	m.commit(20)
	initial := maps.Clone(m.now)
	m.commits = nil
	dir := t.TempDir()
	s := servertest.Start(t, dir, servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, connection(t, pg, ""), "CREATE SOURCE customers WITH (connector = 'postgres', connection = 'app', table = 'public.customers')")
	exec(t, conn, modelFeatures[0], modelFeatures[1])
	eventually(t, conn, "SELECT state FROM tilehouse.sources WHERE name = 'customers'", "running")
	m.commit(30)
	exec(t, conn, modelFeatures[2]) // over versions that are there
	for round := range rounds {
		m.commit(40)
		m.settle(conn)
		m.check(conn, initial)
		if t.Failed() {
			return
		}
		if round >= kills {
			continue
		}
		m.commit(10)
		s.Kill()
		m.commit(20)
		s = servertest.Start(t, dir, servertest.Options{})
		conn = dial(t, s.DSN())
		m.commit(20)
		pg.Kill()
		pg.Again()
		m.app = dial(t, pg.DSN)
	}
}

// whole is a table whose rows have one sum at every moment: each transaction moves some of it.
func TestTransactionsAreWhole(t *testing.T) {
	pg := postgres.StartServer(t, postgres.Options{Logical: true})
	app := dial(t, pg.DSN)
	exec(t, app, "CREATE TABLE accounts (id integer PRIMARY KEY, balance integer NOT NULL)", "INSERT INTO accounts SELECT i, 100 FROM generate_series(0, 9) i")
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := dial(t, s.DSN())
	exec(t, conn, connection(t, pg, ""), "CREATE SOURCE accounts WITH (connector = 'postgres', connection = 'app', table = 'accounts')")
	eventually(t, conn, "SELECT sum(balance) FROM accounts", "1000")
	done := make(chan error)
	go func() {
		var err error
		for i := range 300 {
			if _, err = app.Exec(context.Background(), fmt.Sprintf("BEGIN; UPDATE accounts SET balance = balance - 7 WHERE id = %d; UPDATE accounts SET balance = balance + 7 WHERE id = %d; COMMIT", i%10, (i*3+1)%10), pgx.QueryExecModeSimpleProtocol); err != nil {
				break
			}
		}
		done <- err
	}()
	reads := 0
	for ended := false; !ended; reads++ {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			ended = true
		default:
		}
		if got := texts(t, conn, "SELECT sum(balance), count(*) FROM accounts"); got[0] != "1000|10" {
			t.Fatalf("a read between transactions is %q", got)
		}
	}
	t.Logf("%d reads", reads)
	eventually(t, conn, "SELECT count(*) FROM accounts_versions", "610")
}
