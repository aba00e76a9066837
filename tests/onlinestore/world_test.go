package onlinestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/cassandra"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

func soak() bool { return os.Getenv("TILEHOUSE_SOAK") != "" }

func skipFast(t *testing.T) {
	t.Helper()
	if !soak() && os.Getenv("TILEHOUSE_CASSANDRA") == "" {
		t.Skip("a slow test: make soak, or TILEHOUSE_CASSANDRA=1, runs it against real nodes of Cassandra")
	}
}

var dial = servertest.Dial

func exec(t testing.TB, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func refusal(t testing.TB, conn *pgx.Conn, sql string) *pgconn.PgError {
	t.Helper()
	_, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol)
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		t.Fatalf("%s: %v, which is no refusal", sql, err)
	}
	return e
}

// gateway starts a gateway to a keyspace.
func gateway(t testing.TB, c *cassandra.Cluster, keyspace string, args ...string) *servertest.Server {
	t.Helper()
	return servertest.Start(t, "", servertest.Options{Gateway: true, Args: append([]string{"--cassandra", strings.Join(c.Hosts, ","), "--keyspace", keyspace}, args...)})
}

// store makes the server keep its values in a keyspace.
func store(t testing.TB, conn *pgx.Conn, c *cassandra.Cluster, keyspace, options string) {
	t.Helper()
	exec(t, conn, fmt.Sprintf("CREATE CONNECTION store WITH (type = 'cassandra', hosts = '%s', keyspace = '%s', replication = '%d'%s)", strings.Join(c.Hosts, ", "), keyspace, len(c.Hosts), options))
}

// column reads one text of tilehouse.online_store, "" where a connection was made just now.
func column(t testing.TB, conn *pgx.Conn, expr string) string {
	t.Helper()
	var out string
	if err := conn.QueryRow(context.Background(), "SELECT coalesce(("+expr+")::text, '') FROM tilehouse.online_store", pgx.QueryExecModeSimpleProtocol).Scan(&out); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatalf("%s: %v", expr, err)
	}
	return out
}

// within waits until a text of tilehouse.online_store is what is wanted.
func within(t testing.TB, conn *pgx.Conn, limit time.Duration, expr, want string) {
	t.Helper()
	got := ""
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = column(t, conn, expr); got == want {
			return
		}
	}
	t.Fatalf("%s is %q, not %q; %s", expr, got, want, column(t, conn, "concat_ws(' ', state, reason, definitions, position, newest_position, waiting, loading)"))
}

// sent waits until all that is committed is in the store, and the gateway knows the newest definitions.
func sent(t testing.TB, server, gateway *pgx.Conn) {
	t.Helper()
	began := time.Now()
	defer func() { t.Logf("sent after %v", time.Since(began).Round(time.Millisecond)) }()
	within(t, server, 2*time.Minute, "state = 'following' AND waiting = 0 AND loading = 0 AND definitions = newest_definitions AND position = newest_position", "true")
	if gateway != nil {
		within(t, gateway, time.Minute, "definitions", column(t, server, "definitions"))
	}
}

// answer is the rows of a statement in binary, as they came.
func answer(conn *pgx.Conn, sql string, args ...string) ([][][]byte, error) {
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	r := conn.PgConn().ExecParams(context.Background(), sql, values, nil, nil, []int16{1}).Read()
	return r.Rows, r.Err
}

// same compares what server and gateway answer, to the bit.
func same(t testing.TB, server, gateway *pgx.Conn, sql string, args ...string) {
	t.Helper()
	want, err := answer(server, sql, args...)
	if err != nil {
		t.Fatalf("%s %v: %v", sql, args, err)
	}
	got, err := answer(gateway, sql, args...)
	if err != nil {
		t.Fatalf("gateway: %s %v: %v", sql, args, err)
	}
	if fmt.Sprintf("%x", got) != fmt.Sprintf("%x", want) {
		t.Fatalf("%s %v:\ngateway %x\nserver  %x", sql, args, got, want)
	}
}
