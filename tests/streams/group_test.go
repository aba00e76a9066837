package streams

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/tests/harness"
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
	second, b = member(t, brokers, root, second.Dir)
	eventually(t, b, "SELECT rows || ' ' || dead_letters FROM tilehouse.sources", "60 2")
	same(t, "rows", texts(t, b, "SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || sum(v) FROM s"), []string{"60 60 1770"})
}
