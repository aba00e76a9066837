package pgsource

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/tests/certs"
	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// A source logs in over TLS by password and by certificate. What is wrong is told, and never the secret; a login that stops to be right while
// the table is read is a state with a reason, and goes on by itself once it is put right.
func TestAccess(t *testing.T) {
	authority, stranger := certs.NewAuthority(t), certs.NewAuthority(t)
	good, expired := authority.Issue(t, "pg", time.Hour, "127.0.0.1"), authority.Issue(t, "pg", -time.Minute, "127.0.0.1")
	other := authority.Issue(t, "pg", time.Hour, "elsewhere")
	hba := "hostssl all,replication certain 127.0.0.1/32 cert\nhostssl all,replication reader 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n"
	serve := func(p certs.Pair) *postgres.Server {
		return postgres.StartServer(t, postgres.Options{Logical: true, Files: map[string]string{"tls.crt": p.Cert, "tls.key": p.Key, "ca.crt": authority.PEM, "pg_hba.conf": hba},
			Args: []string{"-c", "ssl=on", "-c", "ssl_cert_file=tls.crt", "-c", "ssl_key_file=tls.key", "-c", "ssl_ca_file=ca.crt"}})
	}
	pg := serve(good)
	app := dial(t, pg.DSN)
	exec(t, app, "CREATE TABLE m (id bigint PRIMARY KEY)", "INSERT INTO m SELECT generate_series(1, 5)", "CREATE ROLE reader LOGIN REPLICATION PASSWORD 'hunter2'", "CREATE ROLE certain LOGIN REPLICATION",
		"GRANT SELECT ON m TO reader, certain", "CREATE PUBLICATION p FOR TABLE m")
	dir := t.TempDir()
	write := func(name, value string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mine, theirs := authority.Issue(t, "certain", time.Hour), stranger.Issue(t, "certain", time.Hour)
	write("good", "hunter2")
	write("bad", "hunter3")
	write("mine", mine.Key)
	write("theirs", theirs.Key)
	conn := dial(t, servertest.Start(t, t.TempDir(), servertest.Options{}).DSN())
	for _, name := range []string{"good", "bad", "mine", "theirs"} {
		exec(t, conn, fmt.Sprintf("CREATE SECRET %s WITH (backend = 'file') AS '%s'", name, filepath.Join(dir, name)))
	}
	connect := func(name string, pg *postgres.Server, user, more string) {
		t.Helper()
		u, err := url.Parse(pg.DSN)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, conn, fmt.Sprintf("CREATE OR REPLACE CONNECTION %s WITH (type = 'postgres', host = '127.0.0.1', port = '%s', database = 'postgres', user = '%s'%s)", name, u.Port(), user, more))
	}
	ca := fmt.Sprintf(", sslrootcert = '%s'", authority.PEM)
	source := func(name, connection string) string {
		return fmt.Sprintf("CREATE SOURCE %s WITH (connector = 'postgres', connection = '%s', table = 'm', publication = 'p')", name, connection)
	}
	connect("pw", pg, "reader", ", password = SECRET good, sslmode = 'verify-full'"+ca)
	connect("cert", pg, "certain", fmt.Sprintf(", sslmode = 'verify-full'%s, sslcert = '%s', sslkey = SECRET mine", ca, mine.Cert))
	exec(t, conn, source("by_password", "pw"), source("by_cert", "cert"))
	eventually(t, conn, "SELECT string_agg(state || ' ' || rows, ', ') FROM tilehouse.sources WHERE kind = 'postgres source'", "running 5, running 5")

	for _, c := range []struct {
		what          string
		pg            *postgres.Server
		user, more    string
		code, message string
	}{
		{"a wrong password", pg, "reader", ", password = SECRET bad, sslmode = 'verify-full'" + ca, "28000", "password authentication failed"},
		{"no password", pg, "reader", ", sslmode = 'verify-full'" + ca, "28000", "password"},
		{"no TLS", pg, "reader", ", password = SECRET good, sslmode = 'disable'", "28000", "no encryption"},
		{"an authority that is not known", pg, "reader", ", password = SECRET good, sslmode = 'verify-full'", "08001", "TLS fails"},
		{"another authority", pg, "reader", fmt.Sprintf(", password = SECRET good, sslmode = 'verify-ca', sslrootcert = '%s'", stranger.PEM), "08001", "TLS fails"},
		{"no certificate of the client", pg, "certain", ", sslmode = 'verify-full'" + ca, "28000", "certificate"},
		{"a certificate of another authority", pg, "certain", fmt.Sprintf(", sslmode = 'verify-full'%s, sslcert = '%s', sslkey = SECRET theirs", ca, theirs.Cert), "08001", "TLS fails"},
		{"an expired certificate", serve(expired), "reader", ", password = SECRET good, sslmode = 'verify-full'" + ca, "08001", "expired"},
		{"a certificate of another host", serve(other), "reader", ", password = SECRET good, sslmode = 'verify-full'" + ca, "08001", "TLS fails"},
		{"a server without TLS", postgres.StartServer(t, postgres.Options{Logical: true}), "postgres", ", sslmode = 'require'", "08001", "TLS"},
	} {
		connect("wrong", c.pg, c.user, c.more)
		e := failure(conn, source("x", "wrong"))
		if e == nil || e.Code != c.code || !strings.Contains(e.Message, c.message) {
			t.Errorf("%s: %+v", c.what, e)
			continue
		}
		if said := e.Message + e.Detail + e.Hint; strings.Contains(said, "hunter") || strings.Contains(said, dir) || strings.Contains(said, "PRIVATE") {
			t.Errorf("%s tells %s", c.what, said)
		}
		t.Logf("%s: %s %s", c.what, e.Code, e.Message)
	}

	// A password that is changed while the table is read: PostgreSQL asks for it at the next connection.
	exec(t, app, "ALTER ROLE reader PASSWORD 'hunter4'", "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE usename = 'reader'")
	state := "SELECT state, last_error LIKE '%password authentication failed%' FROM tilehouse.sources WHERE name = 'by_password'"
	eventually(t, conn, state, "retrying|t")
	exec(t, app, "INSERT INTO m VALUES (6)")
	eventually(t, conn, "SELECT rows FROM tilehouse.sources WHERE name = 'by_cert'", "6")
	write("good", "hunter4")
	eventually(t, conn, "SELECT state, rows FROM tilehouse.sources WHERE name = 'by_password'", "running|6")
}
