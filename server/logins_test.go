package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tilehouse/tilehouse/sqlplan/scram"
)

// connect logs in and says how that ended: "" or a SQLSTATE.
func connect(t *testing.T, addr, user, password, more string) (*pgx.Conn, string) {
	t.Helper()
	c, err := pgx.Connect(context.Background(), fmt.Sprintf("postgres://%s:%s@%s/db?%s", user, password, addr, more))
	if err != nil {
		return nil, code(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c, ""
}

// challenge is the server's first SCRAM message to a user, over nc.
func challenge(t *testing.T, nc net.Conn, user, mechanism, first string) (string, *pgproto3.ErrorResponse) {
	t.Helper()
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	fe := pgproto3.NewFrontend(nc, nc)
	fe.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": user, "database": "db"}})
	if err := fe.Flush(); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := fe.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.AuthenticationSASL:
			fe.Send(&pgproto3.SASLInitialResponse{AuthMechanism: mechanism, Data: []byte(first)})
			if err := fe.Flush(); err != nil {
				t.Fatal(err)
			}
		case *pgproto3.AuthenticationSASLContinue:
			return string(m.Data), nil
		case *pgproto3.ErrorResponse:
			return "", m
		default:
			t.Fatalf("message %T", m)
		}
	}
}

// A name that nobody has, one without a password and one with an expired one get a challenge as any role does: a salt of its
// own, always the same.
func TestUnknownRolesLookLikeOthers(t *testing.T) {
	v, err := scram.Verifier("secret")
	if err != nil {
		t.Fatal(err)
	}
	_, addr := start(t, &fakeEngine{verifiers: map[string]string{"me": v, "open": "", "late": v}, expired: map[string]bool{"late": true}}, Config{LoginDelay: -1})
	salts := map[string]string{}
	for _, user := range []string{"me", "nobody", "open", "late", "nobody", "me", "open", "late", "nobodyelse"} {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		first, refused := challenge(t, nc, user, "SCRAM-SHA-256", "n,,n=,r=nonce")
		nc.Close()
		parts := strings.Split(first, ",")
		if refused != nil || len(parts) != 3 || !strings.HasPrefix(parts[0], "r=nonce") || parts[2] != "i=4096" {
			t.Fatalf("%s: challenge %q, %v", user, first, refused)
		}
		salt := strings.TrimPrefix(parts[1], "s=")
		if raw, err := base64.StdEncoding.DecodeString(salt); err != nil || len(raw) != 16 {
			t.Errorf("%s: salt %q", user, salt)
		}
		if before, ok := salts[user]; ok && before != salt {
			t.Errorf("%s: salt %q, and %q before", user, salt, before)
		}
		salts[user] = salt
	}
	if salts["nobody"] == salts["nobodyelse"] {
		t.Error("two names have one salt")
	}
	for _, user := range []string{"nobody", "open", "late"} {
		if _, got := connect(t, addr, user, "secret", "sslmode=disable"); got != "28P01" {
			t.Errorf("%s: %s", user, got)
		}
	}
}

func TestChannelBindingIsNotDowngraded(t *testing.T) {
	v, err := scram.Verifier("secret")
	if err != nil {
		t.Fatal(err)
	}
	cert, key := certificate(t, t.TempDir())
	_, addr := start(t, &fakeEngine{verifiers: map[string]string{"me": v}}, Config{TLSCert: cert, TLSKey: key, LoginDelay: -1})
	for _, c := range []struct{ mechanism, first string }{
		{"SCRAM-SHA-256", "y,,n=,r=nonce"},                      // the client could, and was not told that the server can
		{"SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=nonce"}, // binding without the mechanism
		{"SCRAM-SHA-256-PLUS", "n,,n=,r=nonce"},                 // the mechanism without binding
		{"SCRAM-SHA-256-PLUS", "p=tls-unique,,n=,r=nonce"},      // another kind of binding
		{"SCRAM-SHA-1", "n,,n=,r=nonce"},                        // not offered
		{"SCRAM-SHA-256", "n,a=other,n=,r=nonce"},               // in another's name
	} {
		nc, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"postgresql"}})
		if err != nil {
			t.Fatal(err)
		}
		if first, refused := challenge(t, nc, "me", c.mechanism, c.first); refused == nil {
			t.Errorf("%s %s: %q", c.mechanism, c.first, first)
		}
		nc.Close()
	}
	if _, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"postgresql"}, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is taken")
	}
}

// authority makes a certificate authority and certificates of it.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.file = filepath.Join(a.dir, "ca.pem")
	os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	return a
}

// client is connection settings with a certificate for a name.
func (a *authority) client(name string) string {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	k, _ := x509.MarshalECPrivateKey(key)
	cert, keyFile := filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: k}), 0o600)
	return fmt.Sprintf("sslmode=require&sslcert=%s&sslkey=%s", cert, keyFile)
}

func TestClientCertificates(t *testing.T) {
	v, err := scram.Verifier("secret")
	if err != nil {
		t.Fatal(err)
	}
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	cert, key := certificate(t, t.TempDir())
	_, addr := start(t, &fakeEngine{verifiers: map[string]string{"me": v, "you": v}}, Config{TLSCert: cert, TLSKey: key, ClientCA: ours.file, LoginDelay: -1})
	for _, c := range []struct{ user, password, more, want string }{
		{"me", "", ours.client("me"), ""},              // no password is asked for
		{"you", "secret", ours.client("me"), "28000"},  // another's certificate, whatever the password
		{"nobody", "", ours.client("nobody"), "28000"}, // a certificate makes no role
		{"me", "secret", "sslmode=require", ""},        // none shown: by password
		{"me", "wrong", "sslmode=require", "28P01"},
	} {
		if _, got := connect(t, addr, c.user, c.password, c.more); got != c.want {
			t.Errorf("%s with %q: %q, want %q", c.user, c.more, got, c.want)
		}
	}
	// This client shows no certificate that the server's list of authorities does not allow, and goes on by password.
	if _, got := connect(t, addr, "me", "wrong", others.client("me")); got != "28P01" {
		t.Errorf("a certificate of another authority: %q", got)
	}
	for _, bad := range []Config{{ClientCA: ours.file}, {ClientCA: "/nowhere", TLSCert: cert, TLSKey: key}, {ClientCA: key, TLSCert: cert, TLSKey: key}} {
		if _, err := New(&fakeEngine{}, bad, nil); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

func TestConnectionLimits(t *testing.T) {
	_, addr := start(t, &fakeEngine{limits: map[string]int{"few": 1, "none": 0}}, Config{AllowTrust: true, MaxConnections: 4, ReservedConnections: 1})
	take := func(user, want string) *pgx.Conn {
		t.Helper()
		c, got := connect(t, addr, user, "", "sslmode=disable")
		if got != want {
			t.Errorf("%s: %q, want %q", user, got, want)
		}
		return c
	}
	take("none", "53300")
	first := take("few", "")
	take("few", "53300")
	take("me", "")
	take("me", "")
	take("me", "53300") // the last is a superuser's
	take("admin", "")
	take("admin", "53300")
	first.Close(context.Background())
	for range 200 { // the place of one that left is free again
		if _, got := connect(t, addr, "few", "", "sslmode=disable"); got == "53300" {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		break
	}
	if _, err := New(&fakeEngine{}, Config{MaxConnections: 2, ReservedConnections: 2}, nil); err == nil {
		t.Error("all connections are reserved")
	}
}

// Connections that never log in take no place from those that do, and go.
func TestHalfOpenLogins(t *testing.T) {
	_, addr := start(t, &fakeEngine{}, Config{AllowTrust: true, MaxConnections: 2, MaxLogins: 8, StartupTimeout: time.Second})
	var idle []net.Conn
	for range 40 {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		idle = append(idle, nc)
	}
	began := time.Now()
	if _, got := connect(t, addr, "me", "", "sslmode=disable"); got != "" {
		t.Errorf("beside half-open logins: %s", got)
	}
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("a login took %v", took)
	}
	for i, nc := range idle {
		nc.SetDeadline(time.Now().Add(3 * time.Second))
		if _, err := io.ReadAll(nc); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("connection %d is still open", i)
		}
	}
}

func TestFailedLoginsWait(t *testing.T) {
	now := time.Now()
	f := newFailures(2 * time.Second)
	f.now = func() time.Time { return now }
	var waits []time.Duration
	for range 9 {
		waits = append(waits, f.delay("a").Round(time.Millisecond))
		f.note("a")
	}
	want := []time.Duration{0, 0, 0, 100, 200, 400, 800, 1600, 2000}
	for i := range want {
		if waits[i] != want[i]*time.Millisecond {
			t.Errorf("after %d failures: %v, want %v ms", i, waits[i], int64(want[i]))
		}
	}
	if d := f.delay("b"); d != 0 {
		t.Errorf("another address waits %v", d)
	}
	now = now.Add(5 * failureHalfLife)
	if d := f.delay("a"); d != 0 {
		t.Errorf("after five minutes: %v", d)
	}
	for i := range maxFailedAddresses + 10 {
		f.note(fmt.Sprint(i))
	}
	if len(f.of) > maxFailedAddresses {
		t.Errorf("%d addresses are remembered", len(f.of))
	}
	for range 8 {
		f.note("c")
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan bool, maxWaiting)
	for range maxWaiting {
		go func() { done <- f.wait(ctx, "c") }()
	}
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		f.mu.Lock()
		n := f.of["c"].waiting
		f.mu.Unlock()
		if n == maxWaiting {
			break
		}
	}
	if f.wait(context.Background(), "c") {
		t.Error("one more than may waits")
	}
	cancel()
	for range maxWaiting {
		<-done
	}

	// Over the wire a right password waits as well.
	v, err := scram.Verifier("secret")
	if err != nil {
		t.Fatal(err)
	}
	_, addr := start(t, &fakeEngine{verifiers: map[string]string{"me": v}}, Config{LoginDelay: 300 * time.Millisecond})
	for range freeFailures + 2 {
		connect(t, addr, "me", "wrong", "sslmode=disable")
	}
	began := time.Now()
	if _, got := connect(t, addr, "me", "secret", "sslmode=disable"); got != "" || time.Since(began) < 250*time.Millisecond {
		t.Errorf("after failures: %q after %v", got, time.Since(began))
	}
}
