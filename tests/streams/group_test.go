package streams

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/storage/archive"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/harness"
	"github.com/tilehouse/tilehouse/tests/kafka"
)

// archivedSource is a source that servers share the reading of.
const archivedSource = `CREATE SOURCE s (id bigint, k text, v bigint, ts timestamptz, PRIMARY KEY (id), WATERMARK FOR ts AS ts - INTERVAL '1 minute')
	WITH (connector = 'kafka', connection = 'bus', topic = 'events', archive = 'payments') FORMAT PLAIN ENCODE JSON`

// member is a server of a group, with its own data and the archives of root.
func member(t *testing.T, brokers, root, dir string) (*harness.Server, *pgx.Conn) {
	t.Helper()
	s := harness.Start(t, harness.Options{Dir: dir, ArchiveRoot: root})
	conn := dial(t, s.DSN)
	return s, conn
}

func join(t *testing.T, conn *pgx.Conn, brokers string, sql ...string) {
	t.Helper()
	exec(t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", brokers))
	for _, q := range sql {
		exec(t, conn, q)
	}
}

// TestTwoServersShareATopic lets a second server join, and leave: both have all rows, and read different partitions.
func TestTwoServersShareATopic(t *testing.T) {
	bus, client := cluster(t, 4, "events")
	root, brokers := t.TempDir(), bus.ListenAddrs()[0]
	const entity, feature = "CREATE ENTITY e (k text)", "CREATE FEATURE f ON e AS SELECT k, count(*) AS n, sum(v) AS total FROM s GROUP BY k WINDOW 1 HOUR"
	n := 0
	send := func(count int) {
		for range count {
			produce(t, client, "events", int32(n%4), fmt.Sprintf(`{"id": %d, "k": "a", "v": %d, "ts": "%s"}`, n, n, now()))
			n++
		}
	}
	_, a := member(t, brokers, root, "")
	join(t, a, brokers, archivedSource, entity, feature)
	send(20)
	eventually(t, a, "SELECT count(*)::text FROM s", "20")
	second, b := member(t, brokers, root, "")
	join(t, b, brokers, archivedSource, entity, feature)
	eventually(t, b, "SELECT count(*)::text FROM s", "20")
	const here = "SELECT count(*)::text FROM tilehouse.source_partitions WHERE read_here"
	eventually(t, a, here, "2")
	eventually(t, b, here, "2")
	produce(t, client, "events", 1, `{"id": 7, "k": "a", "v": 1000, "ts": "`+now()+`"}`, `{`)
	send(20)
	for _, conn := range []*pgx.Conn{a, b} {
		eventually(t, conn, "SELECT rows || ' ' || dead_letters || ' ' || (archive_end = archive_applied) FROM tilehouse.sources", "40 2 true")
		eventually(t, conn, "SELECT f_n || ' ' || f_total FROM e WHERE k = 'a'", "40 780")
	}
	second.Stop()
	eventually(t, a, here, "4")
	send(20)
	eventually(t, a, "SELECT rows || ' ' || dead_letters FROM tilehouse.sources", "60 2")
	_, b = member(t, brokers, root, second.Dir)
	eventually(t, b, "SELECT rows || ' ' || dead_letters FROM tilehouse.sources", "60 2")
	same(t, "rows", texts(t, b, "SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || sum(v) FROM s"), []string{"60 60 1770"})
}

// group is servers that share an archive, each a process with a data directory of its own.
type group struct {
	t          *testing.T
	root       string
	brokers    string
	statements []string // what a new server is told, the source and what is made of it in one transaction
	servers    []*servertest.Server
	dirs       []string
}

const (
	groupSegment = 16 // entries of a segment, so that a test merges many
	groupPart    = 10 // messages that are produced between two waits
)

// newGroup is a group of servers of which none runs. Its archive is made, of smaller segments than others have.
func newGroup(t *testing.T, brokers string, servers int, statements []string) *group {
	g := &group{t: t, root: t.TempDir(), brokers: brokers, statements: statements, servers: make([]*servertest.Server, servers)}
	for range servers {
		g.dirs = append(g.dirs, filepath.Join(t.TempDir(), "data"))
	}
	g.start(0)
	g.servers[0].Terminate(time.Minute)
	g.servers[0] = nil
	doc := filepath.Join(g.root, "payments", "archive.json")
	b, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	var d archive.Doc
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	d.Segment = groupSegment
	if b, err = json.Marshal(d); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(doc, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return g
}

// start starts a server, which joins where its data directory is new.
func (g *group) start(i int) *pgx.Conn {
	g.t.Helper()
	_, err := os.Stat(g.dirs[i])
	g.servers[i] = servertest.Start(g.t, g.dirs[i], servertest.Options{Args: []string{"--archive-root", g.root}})
	conn := dial(g.t, g.servers[i].DSN())
	if err != nil {
		exec(g.t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", g.brokers))
		exec(g.t, conn, "BEGIN")
		for _, sql := range g.statements {
			exec(g.t, conn, sql)
		}
		exec(g.t, conn, "COMMIT")
	}
	return conn
}

// end ends a server: by SIGKILL or by SIGTERM.
func (g *group) end(i int, kill bool) {
	if kill {
		g.servers[i].Kill()
	} else {
		g.servers[i].Terminate(time.Minute)
	}
	g.servers[i] = nil
}

// trouble lets a random one of the first servers start, or be killed, or end by itself.
func (g *group) trouble(rng *rand.Rand, servers int) {
	i := rng.IntN(servers)
	if g.servers[i] == nil {
		g.start(i)
	} else {
		g.end(i, rng.IntN(3) > 0)
		if rng.IntN(2) == 0 {
			g.start(i)
		}
	}
}

// all starts those that do not run, and gives connections to all of the first servers.
func (g *group) all(servers int) []*pgx.Conn {
	conns := make([]*pgx.Conn, servers)
	for i := range conns {
		if g.servers[i] == nil {
			conns[i] = g.start(i)
		} else {
			conns[i] = dial(g.t, g.servers[i].DSN())
		}
	}
	return conns
}

// archived is what DuckDB reads in the archive's files: by partition messages, different offsets, the first one, and the last one.
func (g *group) archived() []string {
	g.t.Helper()
	dir := filepath.Join(g.root, "payments")
	runs, _ := filepath.Glob(filepath.Join(dir, "runs", "*.parquet"))
	entries, _ := filepath.Glob(filepath.Join(dir, "entries", "*.parquet"))
	merged := fmt.Sprintf("%012d", len(runs)*groupSegment)
	entries = slices.DeleteFunc(entries, func(e string) bool { return filepath.Base(e) <= merged+".parquet" }) // a run has them, and who merged it was killed
	var files []string
	for _, f := range append(runs, entries...) {
		files = append(files, duck.QuoteLiteral(f))
	}
	g.t.Logf("%d runs of %d entries, and %d entries", len(runs), groupSegment, len(entries))
	db, err := duck.Open("", duck.Options{Threads: 1, ReadRoots: []string{dir}})
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	conn, err := db.Connect()
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	var out []string
	err = conn.EachChunk(g.t.Context(), fmt.Sprintf(`SELECT concat_ws(' ', __partition, count(*), count(DISTINCT __offset), min(__offset), max(__offset)) FROM read_parquet([%s]) WHERE __effect & 2 = 0 OR "id" IS NOT NULL AND ts IS NOT NULL GROUP BY __partition`, strings.Join(files, ", ")),
		func(c *vector.Chunk) error {
			for i := range c.N {
				out = append(out, string(c.Cols[0].Bytes(i)))
			}
			return nil
		})
	if err != nil {
		g.t.Fatal(err)
	}
	return out
}

// same compares what two servers say.
func (g *group) same(a, b *pgx.Conn, sql string) {
	g.t.Helper()
	want := texts(g.t, a, sql)
	slices.Sort(want)
	same(g.t, sql, texts(g.t, b, sql), want)
}

const groupLetters = "SELECT number || ' ' || partition || '/' || message_offset || ' ' || code || ' ' || reason FROM tilehouse.dead_letters"

// groupKilled lets two servers, and a third one that joins late, start, end and be killed at random while messages come. In the end each has every message as one row or one dead
// letter, the features of the rows, and the archive has every offset once; and so has a new server, when the topic is empty.
func groupKilled(t *testing.T, brokers string, client *kgo.Client, troubles, messages int, more func(i int)) {
	rng := seeded(t)
	m := newModel(rand.New(rand.NewPCG(rng.Uint64(), 1)), 4)
	statements := m.statements("events", brokers)[1:]
	statements[0] = strings.Replace(statements[0], "WITH (", "WITH (archive = 'payments', ", 1)
	g := newGroup(t, brokers, 4, statements)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sent := 0; sent < messages; sent += groupPart { // over all of the time
			m.produce(t, client, "events", min(groupPart, messages-sent))
			time.Sleep(time.Duration(troubles) * time.Second * groupPart / time.Duration(messages))
		}
	}()
	for i := range troubles {
		g.trouble(rng, 2+min(1, 2*i/troubles))
		time.Sleep(time.Duration(rng.Int64N(int64(time.Second))))
		more(i)
	}
	<-done
	if t.Failed() {
		return
	}
	conns := g.all(3)
	began := time.Now()
	for i, conn := range conns {
		eventually(t, conn, "SELECT (rows + dead_letters)::text FROM tilehouse.sources WHERE name = 'live'", fmt.Sprint(messages))
		t.Logf("%v after the troubles server %d has all messages", time.Since(began).Round(time.Millisecond), i)
		m.check(t, conn)
	}
	var want []string
	ends := kadm.Offsets{}
	for p, all := range m.all {
		want = append(want, fmt.Sprintf("%d %d %d 0 %d", p, len(all), len(all), len(all)-1))
		ends.AddOffset("events", int32(p), int64(len(all)), -1)
	}
	slices.Sort(want)
	same(t, "offsets of the archive", g.archived(), want)
	if _, err := kadm.NewClient(client).DeleteRecords(context.Background(), ends); err != nil {
		t.Fatal(err)
	}
	last := g.start(3)
	eventually(t, last, "SELECT (rows + dead_letters)::text FROM tilehouse.sources WHERE name = 'live'", fmt.Sprint(messages))
	m.check(t, last)
	for _, conn := range conns {
		g.same(conn, last, groupLetters)
		g.same(conn, last, "SELECT concat_ws('|', id, k, shop, amount, price, qty, ts, __partition, __offset, __timestamp, __arrived, __key, __headers) FROM live")
	}
	m.produce(t, client, "events", 40)
	for _, conn := range append(conns, last) {
		eventually(t, conn, "SELECT (rows + dead_letters)::text FROM tilehouse.sources WHERE name = 'live'", fmt.Sprint(messages+40))
		m.check(t, conn)
	}
	t.Logf("soak: a group of servers: %d messages, %d times a server started, ended or was killed: none lost, none twice, on four servers", messages+40, troubles)
}

func TestGroupKilled(t *testing.T) {
	bus, client := cluster(t, 4, "events")
	groupKilled(t, bus.ListenAddrs()[0], client, 8, 1500, func(int) {})
}

// TestKafkaGroupKilled is TestGroupKilled with a real Kafka, which is killed and started again, too.
func TestKafkaGroupKilled(t *testing.T) {
	skipFast(t)
	troubles, messages := 12, 4000
	if soak() {
		troubles, messages = 300, 100_000 // two in three of those that end a server are kills
	}
	b, client := realKafka(t, kafka.Options{}, 4, "events")
	groupKilled(t, b.Addr, client, troubles, messages, func(i int) {
		if i%10 == 7 {
			b.Kill()
			b.Restart(t)
		}
	})
}

// groupVersions lets two servers read a topic of versions of rows, one of which is killed and ends now and then: both have the newest ones at every moment, and a new server has those of the last.
func groupVersions(t *testing.T, brokers string, client *kgo.Client, format string, rounds, messages int) {
	v := &versions{rng: seeded(t), format: format, partitions: 4, base: time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), rows: map[int64]*version{}}
	g := newGroup(t, brokers, 3, []string{strings.Replace(v.source(), "WITH (", "WITH (archive = 'payments', ", 1), "CREATE ENTITY cust (k bigint)", v.feature()})
	conns := g.all(2)
	for round := range rounds {
		v.send(t, client, messages/2)
		if round%2 == 1 {
			i := v.rng.IntN(2)
			g.end(i, v.rng.IntN(2) == 0)
			conns[i] = g.start(i)
		}
		v.send(t, client, messages/2)
		eventually(t, conns[1], "SELECT messages::text FROM tilehouse.sources WHERE name = 'live'", fmt.Sprint(v.sent))
		v.settle(t, conns[0])
		v.strangers(t, client)
		eventually(t, conns[1], "SELECT messages::text FROM tilehouse.sources WHERE name = 'live'", fmt.Sprint(v.sent))
		v.settle(t, conns[0])
	}
	for _, conn := range conns {
		v.check(t, conn)
	}
	v.past = v.past[len(v.past)-1:]
	last := g.start(2)
	eventually(t, last, "SELECT messages::text FROM tilehouse.sources WHERE name = 'live'", fmt.Sprint(v.sent))
	v.check(t, last)
	for _, conn := range conns {
		g.same(conn, last, groupLetters)
		g.same(conn, last, "SELECT concat_ws('|', id, k, cat, qty, price, amount, flag, ts, __partition, __offset, __timestamp, __arrived, __key, __headers) FROM live")
	}
}

func TestGroupVersions(t *testing.T) {
	for _, format := range []string{"UPSERT", "DEBEZIUM"} {
		t.Run(format, func(t *testing.T) {
			bus, client := cluster(t, 4, "events")
			groupVersions(t, bus.ListenAddrs()[0], client, format, 2, 200)
		})
	}
}

// TestKafkaGroupVersions is TestGroupVersions with a real Kafka.
func TestKafkaGroupVersions(t *testing.T) {
	skipFast(t)
	b, client := realKafka(t, kafka.Options{}, 4, "events")
	groupVersions(t, b.Addr, client, "UPSERT", 8, 1000)
}

// TestArchiveAway takes the archive's folder away from servers that read: they say so, are read from all the same, and go on when it is back.
func TestArchiveAway(t *testing.T) {
	bus, client := cluster(t, 2, "events")
	root, brokers := t.TempDir(), bus.ListenAddrs()[0]
	_, a := member(t, brokers, root, "")
	join(t, a, brokers, archivedSource, "CREATE ENTITY e (k text)", "CREATE FEATURE f ON e AS SELECT k, count(*) AS n FROM s GROUP BY k WINDOW 1 HOUR")
	send := func(from, to int) {
		for i := from; i < to; i++ {
			produce(t, client, "events", int32(i%2), fmt.Sprintf(`{"id": %d, "k": "a", "v": %d, "ts": "%s"}`, i, i, now()))
		}
	}
	send(0, 10)
	eventually(t, a, "SELECT f::text FROM e WHERE k = 'a'", "10")
	dir, away := filepath.Join(root, "payments"), filepath.Join(root, "away")
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	send(10, 20)
	eventually(t, a, "SELECT state || ': ' || last_error FROM tilehouse.sources", `paused: archive "payments": it is not in its folder, or the folder is not there`)
	same(t, "what is read meanwhile", texts(t, a, "SELECT f::text FROM e WHERE k = 'a'"), []string{"10"})
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, a, "SELECT f::text FROM e WHERE k = 'a'", "20")
	eventually(t, a, "SELECT state || (last_error IS NULL) FROM tilehouse.sources", "runningtrue")
	// Damaged bytes of an entry that was not read stop the source, and hold up nobody who reads it.
	exec(t, a, "ALTER SOURCE s SUSPEND")
	entry := filepath.Join(dir, "entries", fmt.Sprintf("%012s.parquet", texts(t, a, "SELECT (archive_applied + 1)::text FROM tilehouse.sources")[0]))
	if err := os.WriteFile(entry, []byte("PAR1, it seems"), 0o600); err != nil {
		t.Fatal(err)
	}
	exec(t, a, "ALTER SOURCE s RESUME")
	eventually(t, a, "SELECT state FROM tilehouse.sources WHERE last_error LIKE '%corrupt%'", "paused")
	same(t, "what is read meanwhile", texts(t, a, "SELECT f::text FROM e WHERE k = 'a'"), []string{"20"})
	if err := os.Remove(entry); err != nil {
		t.Fatal(err)
	}
	send(20, 30)
	eventually(t, a, "SELECT f::text FROM e WHERE k = 'a'", "30")
}

// TestSessionTimeout kills a server whose session lasts longer than by default: its partitions stand still for longer. A session that brokers do not allow is told.
func TestSessionTimeout(t *testing.T) {
	bus, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "events"), kfake.GroupMinSessionTimeout(time.Second), kfake.GroupMaxSessionTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	g := newGroup(t, bus.ListenAddrs()[0], 2, []string{strings.Replace(archivedSource, "WITH (", "WITH (session_timeout = '1 minute', ", 1)})
	conns := g.all(2)
	const here = "SELECT count(*)::text FROM tilehouse.source_partitions WHERE read_here"
	eventually(t, conns[0], here, "2")
	eventually(t, conns[1], here, "2")
	g.end(1, true)
	time.Sleep(ingest.DefaultSession*time.Microsecond + time.Second)
	same(t, "partitions that are read", texts(t, conns[0], here), []string{"2"})
	exec(t, conns[0], "ALTER SOURCE s SET (session_timeout = '2 minutes')")
	eventually(t, conns[0], "SELECT (state = 'retrying' AND last_error LIKE 'unable to join group session: INVALID_SESSION_TIMEOUT: %')::text FROM tilehouse.sources", "true")
	exec(t, conns[0], "ALTER SOURCE s SET (session_timeout = '1 second')")
	eventually(t, conns[0], "SELECT (state = 'running' AND last_error IS NULL)::text FROM tilehouse.sources", "true")
}

// TestEverybodyOwnsEverything lets three servers read all partitions, as if each believed to own them: they are members of groups that do not know of each other. Each message counts once,
// on each server, and is in the archive once.
func TestEverybodyOwnsEverything(t *testing.T) {
	bus, client := cluster(t, 4, "events")
	g := &group{t: t, root: t.TempDir()}
	m := newModel(seeded(t), 4)
	statements := m.statements("events", bus.ListenAddrs()[0])
	statements[1] = strings.Replace(statements[1], "WITH (", "WITH (archive = 'payments', ", 1)
	var conns []*pgx.Conn
	for i := range 3 {
		conn := dial(t, harness.Start(t, harness.Options{ArchiveRoot: g.root, Group: fmt.Sprint(i)}).DSN)
		for _, sql := range statements {
			exec(t, conn, sql)
		}
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		eventually(t, conn, "SELECT count(*)::text FROM tilehouse.source_partitions WHERE read_here", "4")
	}
	const messages = 1500
	for range messages / 10 {
		m.produce(t, client, "events", 10)
	}
	for _, conn := range conns {
		eventually(t, conn, "SELECT (rows + dead_letters)::text FROM tilehouse.sources WHERE name = 'live'", fmt.Sprint(messages))
		m.check(t, conn)
		g.same(conns[0], conn, groupLetters)
	}
	var want []string
	for p, all := range m.all {
		want = append(want, fmt.Sprintf("%d %d %d 0 %d", p, len(all), len(all), len(all)-1))
	}
	slices.Sort(want)
	same(t, "offsets of the archive", g.archived(), want)
}

// What an archived source cannot be is refused, by name.
func TestArchiveRefusals(t *testing.T) {
	bus, client := cluster(t, 2, "events")
	root, brokers := t.TempDir(), bus.ListenAddrs()[0]
	produce(t, client, "events", 0, `{"id": 1, "k": "a", "v": 1, "ts": "`+now()+`"}`)
	_, a := member(t, brokers, root, "")
	join(t, a, brokers, archivedSource)
	_, none := member(t, brokers, "", "")
	join(t, none, brokers)
	_, b := member(t, brokers, root, "")
	join(t, b, brokers)
	for _, c := range []struct {
		conn               *pgx.Conn
		sql, code, message string
	}{
		{none, archivedSource, "55000", `source "s" cannot have an archive: the server has no folder for archives`},
		{b, strings.Replace(archivedSource, "'payments'", "'../payments'", 1), "22023", `an archive cannot have the name "../payments"`},
		{b, strings.Replace(archivedSource, "'payments'", "''", 1), "22023", `an archive cannot have the name ""`},
		{b, strings.Replace(archivedSource, "v bigint", "v integer", 1), "42P16", `archive "payments" is of a source with another list of columns: '"id" bigint NOT NULL, "k" text, "v" bigint, "ts" timestamptz', not '"id" bigint NOT NULL, "k" text, "v" integer, "ts" timestamptz'`},
		{b, strings.Replace(archivedSource, "WITH (", "WITH (future_bound = '1 hour', ", 1), "42P16", `archive "payments" is of a source with another future bound: '24h0m0s', not '1h0m0s'`},
		{b, strings.Replace(archivedSource, "v bigint", `v bigint, "V" text`, 1), "0A000", `the names of columns of an archived source must differ in more than capitals: "V"`},
		{b, strings.Replace(archivedSource, "WITH (", "WITH (session_timeout = '500 milliseconds', ", 1), "22023", `option "session_timeout" must be at least 1 second, not 500 milliseconds`},
		{b, strings.Replace(archivedSource, "WITH (", "WITH (session_timeout = '31 minutes', ", 1), "22023", `option "session_timeout" must be at most 30 minutes, not 31 minutes`},
		{b, strings.Replace(strings.Replace(archivedSource, "WITH (", "WITH (session_timeout = '10 seconds', ", 1), ", archive = 'payments'", "", 1), "22023", `option "session_timeout" is of sources whose reading servers share`},
		{a, "REPLAY DEAD LETTERS FROM s", "0A000", `dead letters of source "s" cannot be tried again: it has an archive, from which every server makes the same rows`},
		{a, "ALTER SOURCE s SET (future_bound = '1 hour')", "22023", `option "future_bound" of kafka source "s" cannot be changed`},
	} {
		if e := refusal(t, c.conn, c.sql); e.Code != c.code || e.Message != c.message {
			t.Errorf("%s: %s %s", c.sql, e.Code, e.Message)
		}
	}
	exec(t, a, "ALTER SOURCE s SET (lateness = '1 hour')")
	exec(t, b, strings.Replace(archivedSource, "WITH (", "WITH (start = 'latest', ", 1)) // the archive's start counts
	eventually(t, b, "SELECT count(*)::text FROM s", "1")
}
