package clients

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

// endBound is how long a server without work may take to end.
const endBound = 5 * time.Second

// certificate writes a self-signed certificate of 127.0.0.1 and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tilehouse test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// A certificate is checked by the client, and everything then goes through TLS; without one the server offers no TLS.
func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	s := servertest.Start(t, t.TempDir(), servertest.Options{Args: []string{"--tls-cert", cert, "--tls-key", key}})
	conn := connectTo(t, s.DSN("sslmode=verify-full", "sslrootcert="+cert))
	state, ok := conn.Conn().(*tls.Conn)
	if !ok || state.ConnectionState().Version < tls.VersionTLS12 {
		t.Errorf("the connection is %T, not TLS 1.2 or later", conn.Conn())
	}
	if got := answer(conn, "SELECT 1").text; !strings.Contains(got, "SELECT 1") {
		t.Error(got)
	}
	if _, err := pgconn.Connect(context.Background(), s.DSN("sslmode=verify-full")); err == nil {
		t.Error("a certificate of nobody's was trusted")
	}
	if got, err := psql(t, s, "SELECT 1;\n\\conninfo\n", "-d", s.DSN("sslmode=verify-full", "sslrootcert="+cert)); err != nil || !strings.Contains(got, "SSL connection") {
		t.Errorf("psql: %v: %s", err, got)
	}
	plain := servertest.Start(t, t.TempDir(), servertest.Options{})
	if _, err := pgconn.Connect(context.Background(), plain.DSN("sslmode=require")); err == nil {
		t.Error("a server without a certificate took a connection that requires TLS")
	}
	if _, err := servertest.Launch(t, t.TempDir(), servertest.Options{Args: []string{"--tls-cert", cert}}); err == nil {
		t.Error("a certificate without its key was taken")
	}
}

// setPassword runs tilehouse password.
func setPassword(t *testing.T, dir, password string) {
	t.Helper()
	cmd := servertest.Command(t, nil, "password", "--data", dir)
	cmd.Stdin = strings.NewReader(password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tilehouse password: %v\n%s", err, out)
	}
}

// A password set with tilehouse password is asked for, also on loopback, and lets the server listen elsewhere.
func TestPassword(t *testing.T) {
	dir := t.TempDir()
	// Without a password only loopback is listened on, and the refusal says why.
	_, err := servertest.Launch(t, dir, servertest.Options{Args: []string{"--listen", "0.0.0.0:0"}})
	if err == nil || !strings.Contains(err.Error(), "without a password") || strings.Contains(err.Error(), "panic") {
		t.Errorf("a listener of all interfaces without a password: %v", err)
	}
	s := servertest.Start(t, dir, servertest.Options{})
	if !strings.Contains(s.Line, "no password: loopback only") {
		t.Errorf("the server without a password said %q", s.Line)
	}
	if code, _ := s.Terminate(endBound); code != 0 {
		t.Errorf("exit code %d", code)
	}
	const password = "correct horse; battery"
	setPassword(t, dir, password)
	s = servertest.Start(t, dir, servertest.Options{})
	if !strings.Contains(s.Line, "password required") {
		t.Errorf("the server with a password said %q", s.Line)
	}
	connectTo(t, s.DSN("password='"+password+"'"))
	for _, wrong := range []string{"password=wrong", ""} {
		_, err := pgconn.Connect(context.Background(), s.DSN(wrong))
		if err == nil {
			t.Fatalf("connected with %q", wrong)
		}
		if wrong != "" {
			wantCode(t, "a wrong password", err, "28P01")
		}
	}
	_, err = pgconn.Connect(context.Background(), strings.Replace(s.DSN("password=x"), "user=tilehouse", "user=nobody", 1))
	wantCode(t, "an unknown role", err, "28P01") // not told apart from a wrong password
	_, err = pgconn.Connect(context.Background(), strings.Replace(s.DSN("password='"+password+"'"), "dbname=tilehouse", "dbname=nothing", 1))
	wantCode(t, "an unknown database", err, "3D000")
	if got, err := psql(t, s, "SELECT 1;", "-d", s.DSN("password='"+password+"'")); err != nil || got != "1" {
		t.Errorf("psql with the password: %v: %s", err, got)
	}
	s.Kill()
	s = servertest.Start(t, dir, servertest.Options{Args: []string{"--listen", "0.0.0.0:0"}})
	_, port, err := net.SplitHostPort(strings.Fields(s.Line)[4])
	if err != nil {
		t.Fatal(err)
	}
	s.Host, s.Port = "127.0.0.1", port
	connectTo(t, s.DSN("password='"+password+"'"))
}

// A flag wins over the environment, and the environment over the file.
func TestConfiguration(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	file := filepath.Join(t.TempDir(), "tilehouse.conf")
	if err := os.WriteFile(file, []byte("# what the server is started with\ndata "+dirs[2]+"\nlisten 127.0.0.1:0\nmax-connections 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args, env []string
		dir       string
	}{
		"file":                   {[]string{"--config", file}, nil, dirs[2]},
		"environment":            {[]string{"--config", file}, []string{"TILEHOUSE_DATA=" + dirs[1]}, dirs[1]},
		"flag":                   {[]string{"--config", file, "--data", dirs[0]}, []string{"TILEHOUSE_DATA=" + dirs[1]}, dirs[0]},
		"all in the environment": {nil, []string{"TILEHOUSE_CONFIG=" + file, "TILEHOUSE_LISTEN=127.0.0.1:0"}, dirs[2]},
	} {
		t.Run(name, func(t *testing.T) {
			s := servertest.Start(t, "", servertest.Options{Bare: true, Args: c.args, Env: c.env})
			if !strings.Contains(s.Line, "data "+c.dir+",") {
				t.Errorf("%q does not name %s", s.Line, c.dir)
			}
			connectTo(t, s.DSN()) // max-connections of the file is 1
			_, err := pgconn.Connect(context.Background(), s.DSN())
			wantCode(t, "a second connection", err, "53300")
			if code, took := s.Terminate(endBound); code != 0 {
				t.Errorf("exit code %d after %v with a connection open", code, took)
			}
		})
	}
	for _, args := range [][]string{{"--data", dirs[0], "--nothing", "1"}, {"--data", dirs[0], "--memory-limit", "much"}, {}, {"--config", file + ".missing"}, {"--data", dirs[0], "stray"}} {
		_, err := servertest.Launch(t, "", servertest.Options{Bare: true, Args: args})
		if err == nil || !strings.Contains(err.Error(), "code 1") || strings.Contains(err.Error(), "goroutine") {
			t.Errorf("%q: %v", args, err)
		}
	}
	bad := filepath.Join(t.TempDir(), "bad.conf")
	if err := os.WriteFile(bad, []byte("nothing 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := servertest.Launch(t, dirs[0], servertest.Options{Args: []string{"--config", bad}}); err == nil {
		t.Error("an unknown name in the file was taken")
	}
}

// SIGTERM ends a server with code 0 within seconds, while clients are connected and a statement runs, and what was
// acknowledged is there at the next start, which does not rebuild anything.
func TestStopAndStart(t *testing.T) {
	dir := t.TempDir()
	s := servertest.Start(t, dir, servertest.Options{})
	conn := pgxConnect(t, s.DSN())
	exec1(t, conn, strings.TrimSuffix(eventsTable, ";\n"))
	exec1(t, conn, "CREATE ENTITY ent (k bigint)")
	exec1(t, conn, "INSERT INTO ev SELECT i, i % 500, 1.5, NULL, TIMESTAMPTZ '2024-01-01' + i * INTERVAL '1 minute' FROM generate_series(1, 20000) AS g(i)")
	exec1(t, conn, "CREATE FEATURE spend ON ent AS SELECT k, sum(amount) AS total, count(*) AS n FROM ev GROUP BY k WINDOW 7 DAYS, LIFETIME")
	exec1(t, conn, "BEGIN")
	exec1(t, conn, "INSERT INTO ev VALUES (99999, 1, 1, NULL, '2024-01-01')")
	busy := connectTo(t, s.DSN())
	ended := make(chan error, 1)
	go func() {
		_, err := busy.Exec(context.Background(), "SELECT count(*) FROM generate_series(1, 1000000) a(i), generate_series(1, 1000000) b(j) WHERE i * j % 7 = 8").ReadAll()
		ended <- err
	}()
	time.Sleep(200 * time.Millisecond) // the statement runs
	code, took := s.Terminate(30 * time.Second)
	if code != 0 || took > 15*time.Second {
		t.Errorf("the server ended with code %d after %v:\n%s", code, took, s.Log())
	}
	t.Logf("ended %v after SIGTERM, with an open block and a running statement", took.Round(time.Millisecond))
	if err := <-ended; err == nil {
		t.Error("the running statement gave a result")
	}
	s = servertest.Start(t, dir, servertest.Options{})
	t.Logf("ready %v after its start on 20,000 rows", s.Ready.Round(time.Millisecond))
	if s.Ready > endBound {
		t.Errorf("ready after %v", s.Ready)
	}
	conn = pgxConnect(t, s.DSN())
	checkValue(t, conn, "SELECT count(*) FROM ev", int64(20000))
	checkValue(t, conn, "SELECT spend_n_lifetime FROM ent WHERE k = 7", int64(40))
	conn.Close(context.Background())
	if code, took := s.Terminate(endBound); code != 0 {
		t.Errorf("an idle server ended with code %d after %v", code, took)
	}
}

// A data directory has one server at a time, and none of an older version than the one that wrote it.
func TestDataDirectory(t *testing.T) {
	dir := t.TempDir()
	s := servertest.Start(t, dir, servertest.Options{})
	_, err := servertest.Launch(t, dir, servertest.Options{})
	oneLine(t, "a second server", err, "in use")
	cmd := servertest.Command(t, nil, "password", "--data", dir)
	cmd.Stdin = strings.NewReader("secret\n")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "in use") {
		t.Errorf("tilehouse password beside a server: %v\n%s", err, out)
	}
	connectTo(t, s.DSN())
	s.Kill()
	s = servertest.Start(t, dir, servertest.Options{}) // the lock of a killed server is no lock
	if code, _ := s.Terminate(endBound); code != 0 {
		t.Errorf("exit code %d", code)
	}
	raiseFormat(t, dir)
	_, err = servertest.Launch(t, dir, servertest.Options{})
	oneLine(t, "a directory of a newer version", err, "newer version")
}

// raiseFormat makes a data directory one of a version to come: the format number stands under "mf" in the log's database.
func raiseFormat(t *testing.T, dir string) {
	t.Helper()
	db, err := pebble.Open(filepath.Join(dir, "log"), &pebble.Options{FormatMajorVersion: pebble.FormatWALSyncChunks, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Set([]byte("mf"), []byte{99}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(format) }

// oneLine wants a refusal in one line that says what, with exit code 1.
func oneLine(t *testing.T, what string, err error, says string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: started", what)
		return
	}
	_, said, _ := strings.Cut(err.Error(), "\n")
	if !strings.Contains(err.Error(), "code 1:") || !strings.Contains(said, says) || strings.Count(strings.TrimSpace(said), "\n") > 0 {
		t.Errorf("%s: %v", what, err)
	}
	t.Logf("%s: %s", what, strings.TrimSpace(said))
}
