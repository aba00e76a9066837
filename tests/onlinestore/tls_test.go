package onlinestore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/tests/cassandra"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

// Nodes that speak TLS only, know clients by their certificates, and ask for a password besides: what lacks something is told so, and goes on by itself
// once it is put right.
func TestEncrypted(t *testing.T) {
	skipFast(t)
	c := cassandra.Start(t, cassandra.Options{TLS: true, Password: true})
	files := map[string]string{}
	for name, text := range map[string]string{"ca": c.Certificates.CA, "cert": c.Certificates.Cert, "key": c.Certificates.Key, "stranger": cassandra.Stranger(t), "password": cassandra.InitialPassword} {
		files[name] = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(files[name], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := servertest.Start(t, t.TempDir(), servertest.Options{Env: []string{"STORE_PASSWORD=" + cassandra.InitialPassword, "BAD_ONE=hunter3", "STORE_KEY=" + c.Certificates.Key}})
	conn := dial(t, s.DSN())
	exec(t, conn, `CREATE SECRET store_password WITH (backend = 'env') AS 'BAD_ONE'; CREATE SECRET store_key WITH (backend = 'env') AS 'STORE_KEY';
		CREATE TABLE payments (id bigint PRIMARY KEY, card text, ts timestamptz NOT NULL) WITH (event_time = 'ts');
		CREATE ENTITY card (card text); CREATE FEATURE n ON card AS SELECT card, count(*) FROM payments GROUP BY card WINDOW 1 DAY;
		INSERT INTO payments SELECT i, 'c' || i % 5, now() FROM generate_series(1, 100) g(i)`)
	store(t, conn, c, "encrypted", fmt.Sprintf(", username = '%s', password = SECRET store_password", cassandra.User))
	state := func(state, reason string) {
		t.Helper()
		within(t, conn, time.Minute, fmt.Sprintf("state = '%s' AND reason LIKE '%%%s%%'", state, reason), "true")
		t.Log(column(t, conn, "concat_ws(': ', state, reason)"))
	}
	state("waiting", "") // without TLS a node ends the connection, and does not say why
	exec(t, conn, fmt.Sprintf("ALTER CONNECTION store SET (tls = true, tls.ca = '%s')", cassandra.Stranger(t)))
	state("failed", "unknown authority")
	exec(t, conn, fmt.Sprintf("ALTER CONNECTION store SET (tls.ca = '%s', tls.server_name = 'elsewhere.example')", c.Certificates.CA))
	state("failed", "elsewhere.example")
	exec(t, conn, "ALTER CONNECTION store RESET (tls.server_name)")
	state("failed", "certificate")
	exec(t, conn, fmt.Sprintf("ALTER CONNECTION store SET (tls.cert = '%s', tls.key = SECRET store_key)", c.Certificates.Cert))
	state("failed", "refused")
	exec(t, conn, "CREATE OR REPLACE SECRET store_password WITH (backend = 'env') AS 'STORE_PASSWORD'")
	sent(t, conn, nil)

	login := func(args ...string) servertest.Options {
		return servertest.Options{Gateway: true, Args: append([]string{"--cassandra", c.Hosts[0], "--cassandra-username", cassandra.User, "--cassandra-password-file", files["password"], "--keyspace", "encrypted"}, args...)}
	}
	for want, args := range map[string][]string{
		"":                  {},
		"unknown authority": {"--cassandra-tls", "--cassandra-tls-ca", files["stranger"]},
		"certificate":       {"--cassandra-tls", "--cassandra-tls-ca", files["ca"]},
	} {
		if _, err := servertest.Launch(t, "", login(args...)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a gateway with %v says %v, not %q", args, err, want)
		} else {
			t.Log(err)
		}
	}
	g := servertest.Start(t, "", login("--cassandra-tls", "--cassandra-tls-ca", files["ca"], "--cassandra-tls-cert", files["cert"], "--cassandra-tls-key", files["key"]))
	gw := dial(t, g.DSN())
	exec(t, conn, "SET tilehouse.read_time = '2100-01-01'")
	exec(t, gw, "SET tilehouse.read_time = '2100-01-01'")
	for i := range 6 {
		same(t, conn, gw, "SELECT * FROM card WHERE card = $1", fmt.Sprintf("c%d", i))
	}
}
