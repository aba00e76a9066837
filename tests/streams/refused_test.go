package streams

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestRefusedRowsInFewCommits reads many messages at once of which some are rows that a feature cannot be computed of: they are dead letters, each for its reason, in the order of
// their messages, and the rest is committed together. A row whose primary key only a refused one had before is there.
func TestRefusedRowsInFewCommits(t *testing.T) {
	bus, client := cluster(t, 1, "events")
	conn := start(t, bus)
	exec(t, conn, `CREATE SOURCE s (id bigint, k text, n integer, d integer, ts timestamptz, PRIMARY KEY (id), WATERMARK FOR ts AS ts - INTERVAL '1 minute')
		WITH (connector = 'kafka', connection = 'bus', topic = 'events') FORMAT PLAIN ENCODE JSON`)
	exec(t, conn, "CREATE VIEW few WITH (event_time = 'ts') AS SELECT k, 100 / d AS part, ts FROM s WHERE n < 1500")
	exec(t, conn, "CREATE ENTITY e (k text)")
	exec(t, conn, "CREATE FEATURE f ON e AS SELECT k, sum(part) FROM few GROUP BY k WINDOW 1 HOUR")
	exec(t, conn, "CREATE FEATURE g ON e AS SELECT k, count(*), sum(1000 / (n - 2000)) AS more FROM s GROUP BY k WINDOW 1 HOUR")
	exec(t, conn, "ALTER SOURCE s SUSPEND")
	const messages = 3000
	var records []*kgo.Record
	var letters []string
	for i := range messages {
		id, d := i, 1+i%7
		if i%30 == 7 {
			d = 0 // refused by f below 1,500
		}
		if i%30 == 8 {
			id = i - 1 // is there, unless that one was refused
		}
		if i%30 == 7 && i < 1500 || i == 2000 {
			letters = append(letters, fmt.Sprint(i, " 22012"))
		}
		if i%30 == 8 && i >= 1500 {
			letters = append(letters, fmt.Sprint(i, " 23505"))
		}
		records = append(records, &kgo.Record{Topic: "events", Value: fmt.Appendf(nil, `{"id": %d, "k": "a", "n": %d, "d": %d, "ts": "%s"}`, id, i, d, now())})
	}
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "ALTER SOURCE s RESUME")
	eventually(t, conn, "SELECT rows || ' ' || dead_letters FROM tilehouse.sources WHERE name = 's'", fmt.Sprint(messages-len(letters), " ", len(letters)))
	same(t, "dead letters", texts(t, conn, "SELECT string_agg(message_offset || ' ' || code, ', ' ORDER BY number) FROM tilehouse.dead_letters"), []string{strings.Join(letters, ", ")})
	same(t, "rows", texts(t, conn, "SELECT count(*) || ' ' || count(DISTINCT id) FROM s"), []string{fmt.Sprint(messages-len(letters), " ", messages-len(letters))})
	same(t, "features", texts(t, conn, "SELECT g_count::text FROM e WHERE k = 'a'"), []string{fmt.Sprint(messages - len(letters))})
	commits, err := strconv.Atoi(texts(t, conn, "SELECT count(DISTINCT position)::text FROM tilehouse.dead_letters")[0])
	t.Logf("%d dead letters in %d transactions", len(letters), commits)
	if err != nil || commits > 5 {
		t.Errorf("%d dead letters were committed in %d transactions (%v)", len(letters), commits, err)
	}
}
