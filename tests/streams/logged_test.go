package streams

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/kafka"
)

const (
	loggedSessions = 8
	loggedRound    = 8_000  // reads between two looks at tilehouse.feature_log
	loggedLong     = 50_000 // the same of many reads; the log shows 100,000
	loggedRate     = 2_000  // messages a second
	loggedKeys     = 300
	loggedAlone    = 3 // positions of a round that are read by a join of their own, too
)

// loggedColumns are the outputs of the view whose reads are made again.
var loggedColumns = []string{"n_n_10m", "n_n_lifetime", "n_total_10m", "n_x_10m", "n_seen_1h", "n_who_lifetime", "n_kinds_lifetime", "state_n", "state_amount", "part"}

// Lookups under load, while rows come, change and go, are logged with their instants and positions. An ASOF join at both gives later what
// they gave, to the bit, and so does tilehouse.skew.
func TestLoggedReads(t *testing.T) {
	bus, client := cluster(t, 8, "events")
	loggedReads(t, bus.ListenAddrs()[0], client, loggedRound, loggedRound)
}

// TestKafkaLoggedReads is TestLoggedReads with a real Kafka, and a million reads by make soak.
func TestKafkaLoggedReads(t *testing.T) {
	skipFast(t)
	b, client := realKafka(t, kafka.Options{}, 8, "events")
	reads, round := 8*loggedRound, loggedRound
	if soak() {
		reads, round = 20*loggedLong, loggedLong
	}
	loggedReads(t, b.Addr, client, reads, round)
}

func loggedReads(t *testing.T, brokers string, client *kgo.Client, reads, round int) {
	rng := seeded(t)
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 8, 1, nil, "states"); err != nil {
		t.Fatal(err)
	}
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	conn := dial(t, s.DSN())
	for _, sql := range []string{
		fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", brokers),
		`CREATE SOURCE events (id bigint, k bigint, x double precision, amount numeric(12,2), kind text, ts timestamptz, PRIMARY KEY (id), WATERMARK FOR ts AS ts - INTERVAL '1 minute')
			WITH (connector = 'kafka', connection = 'bus', topic = 'events') FORMAT PLAIN ENCODE JSON`,
		`CREATE SOURCE states (id bigint, k bigint, amount numeric(12,2), ts timestamptz, PRIMARY KEY (id), WATERMARK FOR ts AS ts - INTERVAL '1 minute')
			WITH (connector = 'kafka', connection = 'bus', topic = 'states') FORMAT UPSERT ENCODE JSON`,
		"CREATE ENTITY visitor (k bigint)",
		`CREATE FEATURE n ON visitor AS SELECT k, count(*) AS n, sum(amount) AS total, sum(x) AS x, last(amount) AS seen, last(kind) AS who, count(DISTINCT kind) AS kinds
			FROM events GROUP BY k WINDOW 10 MINUTES, 1 HOUR, LIFETIME`,
		"CREATE FEATURE state ON visitor AS SELECT k, count(*) AS n, sum(amount) AS amount FROM states GROUP BY k WINDOW 1 HOUR",
		`CREATE FEATURE VIEW served WITH (log_fraction = 1) AS SELECT ` + strings.Join(loggedColumns[:9], ", ") + `, n_x_lifetime / nullif(r.a, 3) AS part FROM visitor, request() AS r(a double precision)`,
		"CREATE TABLE reads (at timestamptz, position bigint, committed timestamptz, k bigint, a double precision, logged text)",
	} {
		exec(t, conn, sql)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var loading sync.WaitGroup
	loading.Go(func() { load(ctx, client, rand.New(rand.NewPCG(rng.Uint64(), 1))) })
	eventually(t, conn, "SELECT (rows > 100)::text FROM tilehouse.sources WHERE name = 'states'", "true")
	sessions := make([]*pgx.Conn, loggedSessions)
	for i := range sessions {
		sessions[i] = dial(t, s.DSN())
	}
	done, compared, positions, took := 0, 0, 0, time.Duration(0)
	for since := "-infinity"; done < reads; done += round {
		began := time.Now()
		var reading sync.WaitGroup
		for _, c := range sessions {
			seed := rng.Uint64()
			reading.Go(func() {
				r := rand.New(rand.NewPCG(seed, 2))
				for range round / loggedSessions {
					if _, err := c.Exec(ctx, "SELECT * FROM served WHERE k = $1 AND a = $2", r.IntN(loggedKeys+10), float64(1+r.IntN(8))); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		reading.Wait()
		took += time.Since(began)
		if t.Failed() {
			return
		}
		since = keepReads(t, conn, since)
		kept := time.Since(began)
		n, p := again(t, conn)
		compared, positions = compared+n, positions+p
		t.Logf("%d reads made again, at %d positions; the last round took %v with taking its log, and %v to be made again", compared, positions,
			kept.Round(time.Millisecond), (time.Since(began) - kept).Round(time.Millisecond))
	}
	stop()
	loading.Wait()
	if compared != done {
		t.Errorf("%d reads, %d compared", done, compared)
	}
	began := time.Now()
	rows, err := conn.Query(context.Background(), "SELECT column_name, rows, different, coalesce(example, '') FROM tilehouse.skew('served')")
	if err != nil {
		t.Fatal(err)
	}
	columns := 0
	var column, example string
	var n, different int
	if _, err := pgx.ForEachRow(rows, []any{&column, &n, &different, &example}, func() error {
		if columns++; n != done || different != 0 {
			t.Errorf("%s: %d values logged, %d different: %s", column, n, different, example)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if columns != len(loggedColumns) {
		t.Errorf("%d columns compared", columns)
	}
	t.Logf("tilehouse.skew took %v", time.Since(began).Round(time.Millisecond))
	t.Logf("soak: %d logged reads of %d columns at %d positions, %.0f a second by %d sessions beside %d messages a second, are the same when made again, by an ASOF join at both and by tilehouse.skew",
		compared, columns, positions, float64(done)/took.Seconds(), loggedSessions, loggedRate)
}

// load sends messages until ctx ends: events, of which some are late, doubled or broken, and states that are new, changed or deleted.
func load(ctx context.Context, client *kgo.Client, r *rand.Rand) {
	began := time.Now()
	for n := 0; ctx.Err() == nil; time.Sleep(time.Millisecond) {
		for ; n < int(time.Since(began).Seconds()*loggedRate); n++ {
			at := time.Now().Add(-time.Duration(r.IntN(2_000)) * time.Millisecond)
			if r.IntN(20) == 0 {
				at = at.Add(-time.Duration(r.IntN(7_200)) * time.Second)
			}
			record := &kgo.Record{Topic: "events", Partition: int32(r.IntN(8)), Value: fmt.Appendf(nil, `{"id": %d, "k": %d, "x": %g, "amount": %d.25, "kind": "%c", "ts": "%s"}`,
				n-r.IntN(50)/49, r.IntN(loggedKeys), r.NormFloat64(), r.IntN(1000), 'a'+r.IntN(20), at.UTC().Format(time.RFC3339Nano))}
			switch {
			case r.IntN(100) == 0:
				record.Value = record.Value[:r.IntN(len(record.Value))]
			case r.IntN(3) == 0:
				id := r.IntN(5_000)
				record.Topic, record.Partition, record.Key = "states", int32(id%8), fmt.Appendf(nil, `{"id": %d}`, id)
				record.Value = fmt.Appendf(nil, `{"id": %d, "k": %d, "amount": %d.50, "ts": "%s"}`, id, r.IntN(loggedKeys), r.IntN(100), at.UTC().Format(time.RFC3339Nano))
				if r.IntN(4) == 0 {
					record.Value = nil
				}
			}
			client.Produce(ctx, record, nil)
		}
	}
}

// keepReads takes what was logged after since into the table reads, and returns until when.
func keepReads(t *testing.T, conn *pgx.Conn, since string) string {
	t.Helper()
	exec(t, conn, "TRUNCATE reads")
	var until string
	if err := conn.QueryRow(context.Background(), "SELECT max(logged)::text FROM tilehouse.feature_log").Scan(&until); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, fmt.Sprintf(`INSERT INTO reads SELECT read_time, position, committed, (bound::json->>'k')::bigint, (bound::json->>'a')::double precision, columns
		FROM tilehouse.feature_log WHERE logged > '%s' AND logged <= '%s'`, since, until))
	return until
}

// again makes the reads of the table again by one ASOF join, of which each row has its own position, and compares. The reads of some
// positions are made again by a join of that position as well.
func again(t *testing.T, conn *pgx.Conn) (compared, positions int) {
	t.Helper()
	ctx := context.Background()
	rows, err := conn.Query(ctx, "SELECT position, committed::text FROM reads GROUP BY position, committed ORDER BY position")
	if err != nil {
		t.Fatal(err)
	}
	type place struct {
		Position  int64
		Committed string
	}
	places, err := pgx.CollectRows(rows, pgx.RowToStructByPos[place])
	if err != nil {
		t.Fatal(err)
	}
	compared = joined(t, conn, "reads", "l.committed")
	for i := 0; i < loggedAlone && i < len(places); i++ {
		p := places[len(places)*i/loggedAlone]
		if joined(t, conn, fmt.Sprintf("(SELECT * FROM reads WHERE position = %d)", p.Position), "'"+p.Committed+"'") == 0 {
			t.Errorf("no read at position %d", p.Position)
		}
	}
	return compared, len(places)
}

// joined makes reads again by an ASOF join as of a time, compares, and counts them.
func joined(t *testing.T, conn *pgx.Conn, reads, asOf string) (n int) {
	t.Helper()
	rows, err := conn.Query(context.Background(), fmt.Sprintf(`SELECT l.position, l.logged, f.%s::text FROM %s l
		ASOF JOIN served FOR SYSTEM_TIME AS OF %s f ON f.k = l.k AND f.a = l.a AND l.at > f.ts`, strings.Join(loggedColumns, "::text, f."), reads, asOf))
	if err != nil {
		t.Fatal(err)
	}
	for ; rows.Next(); n++ {
		var position int64
		var logged string
		got := make([]*string, len(loggedColumns))
		to := []any{&position, &logged}
		for i := range got {
			to = append(to, &got[i])
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		var want map[string]*string
		if err := json.Unmarshal([]byte(logged), &want); err != nil {
			t.Fatal(err)
		}
		for i, c := range loggedColumns {
			w, there := want[c]
			if !there || (w == nil) != (got[i] == nil) || (w != nil && *w != *got[i]) {
				t.Fatalf("%s at position %d, as of %s: online %s, offline %v", c, position, asOf, logged, text(got[i]))
			}
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

func text(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}
