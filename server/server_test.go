package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tilehouse/tilehouse/sqlplan/scram"
)

func start(t testing.TB, e *fakeEngine, cfg Config) (*Server, string) {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	s, err := New(e, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background()) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		s.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s, s.Addr().String()
}

func dial(t testing.TB, addr, more string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), "postgres://me:secret@"+addr+"/db?"+more)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func code(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return fmt.Sprint(err)
}

// script sends messages in one write and describes the answer up to the number of ReadyForQuery wanted.
func script(t *testing.T, addr string, ready int, msgs ...pgproto3.FrontendMessage) []string {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	fe := pgproto3.NewFrontend(nc, nc)
	fe.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "me"}})
	fe.Flush()
	for {
		m, err := fe.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := m.(*pgproto3.ReadyForQuery); ok {
			break
		}
	}
	for _, m := range msgs {
		fe.Send(m)
	}
	fe.Flush()
	var out []string
	for ready > 0 {
		m, err := fe.Receive()
		if err != nil {
			t.Fatalf("%v after %v", err, out)
		}
		switch m := m.(type) {
		case *pgproto3.ReadyForQuery:
			ready--
			out = append(out, "Ready "+string(m.TxStatus))
		case *pgproto3.ErrorResponse:
			out = append(out, fmt.Sprintf("Error %s %d", m.Code, m.Position))
		case *pgproto3.CommandComplete:
			out = append(out, "Complete "+string(m.CommandTag))
		case *pgproto3.DataRow:
			out = append(out, fmt.Sprintf("Row %s", m.Values[0]))
		case *pgproto3.RowDescription:
			out = append(out, fmt.Sprintf("Columns %s %d", m.Fields[0].Name, m.Fields[0].Format))
		case *pgproto3.ParameterStatus:
			out = append(out, "Status "+m.Name+"="+m.Value)
		case *pgproto3.NoticeResponse:
			out = append(out, "Notice "+m.Message)
		default:
			out = append(out, strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3."))
		}
	}
	return out
}

func TestScripts(t *testing.T) {
	e := &fakeEngine{}
	_, addr := start(t, e, Config{AllowTrust: true, PortalMemory: 64})
	type msgs = []pgproto3.FrontendMessage
	q := func(s string) pgproto3.FrontendMessage { return &pgproto3.Query{String: s} }
	parse := func(s string) pgproto3.FrontendMessage { return &pgproto3.Parse{Query: s} }
	bind, exec, sync := &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{}
	for _, c := range []struct {
		name  string
		ready int
		msgs  msgs
		want  string
	}{
		{"empty", 1, msgs{q("")}, "EmptyQueryResponse, Ready I"},
		{"rows", 1, msgs{q("rows 2 1")}, "Columns n 0, Row 1, Row 2, Complete SELECT 2, Ready I"},
		{"two statements commit together", 1, msgs{q("write a1; write a2")}, "Complete INSERT 0 1, Complete INSERT 0 1, Ready I"},
		{"two statements fail together", 1, msgs{q("write é;boom; write c")}, "Complete INSERT 0 1, Error 22012 9, Ready I"},
		{"the commit fails before the last is complete", 1, msgs{q("write b1; write conflict")}, "Complete INSERT 0 1, Error 40001 0, Ready I"},
		{"block", 3, msgs{q("begin"), q("boom"), q("rows 1 1")}, "Complete BEGIN, Ready T, Error 22012 1, Ready E, Error 25P02 0, Ready E"},
		{"notice and setting", 2, msgs{q("notice"), q("set timezone x")}, "Notice look out, Complete NOTICE, Ready I, Complete SET, Status TimeZone=Europe/Amsterdam, Ready I"},
		{"extended", 1, msgs{parse("rows 2 0"), &pgproto3.Describe{ObjectType: 'S'}, bind, &pgproto3.Describe{ObjectType: 'P'}, exec, sync},
			"ParseComplete, ParameterDescription, Columns n 0, BindComplete, Columns n 0, Row 1, Row 2, Complete SELECT 2, Ready I"},
		{"binary description", 1, msgs{parse("rows 0 0"), &pgproto3.Bind{ResultFormatCodes: []int16{1, 0}}, &pgproto3.Describe{ObjectType: 'P'}, exec, sync},
			"ParseComplete, BindComplete, Columns n 1, Complete SELECT 0, Ready I"},
		{"empty extended", 1, msgs{parse(""), bind, &pgproto3.Describe{ObjectType: 'P'}, exec, sync}, "ParseComplete, BindComplete, NoData, EmptyQueryResponse, Ready I"},
		{"suspended", 1, msgs{parse("rows 5 0"), bind, &pgproto3.Execute{MaxRows: 2}, &pgproto3.Execute{MaxRows: 2}, &pgproto3.Execute{MaxRows: 2}, sync},
			"ParseComplete, BindComplete, Row 1, Row 2, PortalSuspended, Row 3, Row 4, PortalSuspended, Row 5, Complete SELECT 1, Ready I"},
		{"suspended portal outlives another statement", 3, msgs{q("begin"), &pgproto3.Parse{Name: "s", Query: "rows 7 30"}, &pgproto3.Bind{DestinationPortal: "p", PreparedStatement: "s"},
			&pgproto3.Execute{Portal: "p", MaxRows: 2}, sync, parse("rows 1 0"), bind, exec, &pgproto3.Execute{Portal: "p", MaxRows: 3}, &pgproto3.Execute{Portal: "p"}, sync},
			"Complete BEGIN, Ready T, ParseComplete, BindComplete, Row 1, Row 2, PortalSuspended, Ready T, ParseComplete, BindComplete, Row 1, Complete SELECT 1, " +
				"Row 3, Row 4, Row 5, PortalSuspended, Row 6, Row 7, Complete SELECT 2, Ready T"},
		{"portals outlive the statement they were bound to", 3, msgs{q("begin"), parse("rows 4 0"), &pgproto3.Bind{DestinationPortal: "p"}, &pgproto3.Execute{Portal: "p", MaxRows: 2}, sync,
			parse("rows 1 0"), &pgproto3.Execute{Portal: "p"}, sync},
			"Complete BEGIN, Ready T, ParseComplete, BindComplete, Row 1, Row 2, PortalSuspended, Ready T, ParseComplete, Row 3, Row 4, Complete SELECT 2, Ready T"},
		{"portals end with the transaction", 2, msgs{parse("rows 5 0"), &pgproto3.Bind{DestinationPortal: "p"}, &pgproto3.Execute{Portal: "p", MaxRows: 1}, sync, &pgproto3.Execute{Portal: "p"}, sync},
			"ParseComplete, BindComplete, Row 1, PortalSuspended, Ready I, Error 34000 0, Ready I"},
		{"skip to sync", 2, msgs{parse("boom"), bind, exec, parse("rows 1 0"), exec, sync, parse("rows 1 0"), bind, exec, sync},
			"ParseComplete, BindComplete, Error 22012 1, Ready I, ParseComplete, BindComplete, Row 1, Complete SELECT 1, Ready I"},
		{"pipeline is a transaction", 1, msgs{parse("write d1"), bind, exec, parse("write d2"), bind, exec, sync}, "ParseComplete, BindComplete, Complete INSERT 0 1, ParseComplete, BindComplete, Complete INSERT 0 1, Ready I"},
		{"pipeline rolls back", 1, msgs{parse("write bad"), bind, exec, parse("boom"), bind, exec, sync}, "ParseComplete, BindComplete, Complete INSERT 0 1, ParseComplete, BindComplete, Error 22012 1, Ready I"},
		{"unknown names", 3, msgs{&pgproto3.Bind{PreparedStatement: "x"}, sync, &pgproto3.Execute{Portal: "x"}, sync, &pgproto3.Close{ObjectType: 'S', Name: "x"}, sync},
			"Error 26000 0, Ready I, Error 34000 0, Ready I, CloseComplete, Ready I"},
		{"duplicate statement", 1, msgs{&pgproto3.Parse{Name: "x", Query: "boom"}, &pgproto3.Parse{Name: "x", Query: "boom"}, sync}, "ParseComplete, Error 42P05 0, Ready I"},
		{"bad parameter", 2, msgs{parse("echo integer"), &pgproto3.Bind{Parameters: [][]byte{[]byte("x")}}, sync, parse("echo integer"), bind, sync},
			"ParseComplete, Error 22P02 0, Ready I, ParseComplete, Error 08P01 0, Ready I"},
		{"copy in", 1, msgs{q("copy in text"), &pgproto3.CopyData{Data: []byte("1\ta\\tb\t1.")}, &pgproto3.CopyData{Data: []byte("5\n2\t\\N\t\\N\n\\.\n")}, &pgproto3.CopyDone{}},
			"CopyInResponse, Complete COPY 2, Ready I"},
		{"copy in, bad row", 2, msgs{q("copy in text"), &pgproto3.CopyData{Data: []byte("1\ta\tx\n")}, &pgproto3.CopyDone{}, q("rows 1 0")},
			"CopyInResponse, Error 22P02 0, Ready I, Columns n 0, Row 1, Complete SELECT 1, Ready I"},
		{"copy fail", 1, msgs{q("copy in text"), &pgproto3.CopyFail{Message: "no"}}, "CopyInResponse, Error 57014 0, Ready I"},
		{"copy out", 1, msgs{q("copy out csv")}, "CopyOutResponse, CopyData, CopyData, CopyData, CopyDone, Complete COPY 2, Ready I"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(script(t, addr, c.ready, c.msgs...), ", "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	if got := strings.Join(e.committed, " "); got != "a1 a2 b1 conflict d1 d2" {
		t.Errorf("committed %s", got)
	}
	if got := strings.Join(e.copied, "; "); got != "1|a\tb|1.50|; 2|NULL|NULL|" {
		t.Errorf("copied %q", got)
	}
}

// Each type comes back from pgx in both formats as it went in.
func TestTypesThroughPgx(t *testing.T) {
	_, addr := start(t, &fakeEngine{}, Config{AllowTrust: true})
	c := dial(t, addr, "sslmode=disable")
	ctx := context.Background()
	for typ, text := range map[string]string{
		"boolean": "t", "smallint": "-3", "integer": "70000", "bigint": "-9000000000", "real": "1.5", "double_precision": "1e+20",
		"numeric": "-12345.678900000", "text": "a'b\"é", "bytea": `\x00ff`, "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
		"date": "0044-03-15 BC", "time": "23:59:59.000001", "timestamp": "1969-12-31 23:59:59.5", "timestamptz": "2024-02-29 12:00:00+00",
		"interval": "1 year 2 mons -3 days +04:05:06.7", "json": `{"a": [1]}`, "bigint[]": "{1,NULL,3}", "text[]": `{"a b",NULL,"NULL",x}`,
		"numeric[]": "{1.500000000,NULL}", "timestamptz[]": `{"2024-02-29 12:00:00+00",infinity}`, "map": `{"a":1,"b":null}`,
	} {
		for format := range int16(2) {
			res := c.PgConn().ExecParams(ctx, "echo "+typ, [][]byte{[]byte(text)}, nil, []int16{0}, []int16{format}).Read()
			if res.Err != nil {
				t.Fatalf("%s: %v", typ, res.Err)
			}
			back := c.PgConn().ExecParams(ctx, "echo "+typ, [][]byte{res.Rows[0][0]}, nil, []int16{format}, []int16{0}).Read()
			if back.Err != nil || string(back.Rows[0][0]) != text {
				t.Errorf("%s, format %d: %q came back as %q, %v", typ, format, text, back.Rows, back.Err)
			}
			// pgx's own codec of the type understands what was sent.
			value := any(nil)
			f := res.FieldDescriptions[0]
			dt, ok := c.TypeMap().TypeForOID(f.DataTypeOID)
			if !ok {
				t.Fatalf("%s: pgx has no type %d", typ, f.DataTypeOID)
			}
			if strings.Contains(text, "BC") && format == 0 {
				continue // pgx's text scanner knows no BC
			}
			if value, ok := dt.Codec.DecodeValue(c.TypeMap(), f.DataTypeOID, format, res.Rows[0][0]); ok != nil {
				t.Errorf("%s, format %d: pgx: %v (%v)", typ, format, ok, value)
			}
			_ = value
		}
	}
	var at time.Time
	want := time.Date(1999, 12, 31, 23, 59, 59, 123456000, time.UTC)
	if err := c.QueryRow(ctx, "echo timestamptz", want).Scan(&at); err != nil || !at.Equal(want) {
		t.Errorf("timestamptz %v, %v", at, err)
	}
}

func TestPasswords(t *testing.T) {
	v, err := scram.Verifier("secret")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	_, addr := start(t, &fakeEngine{verifiers: map[string]string{"me": v, "open": ""}}, Config{TLSCert: cert, TLSKey: key})
	for _, c := range []struct{ user, password, more, want string }{
		{"me", "secret", "sslmode=disable", ""}, {"me", "wrong", "sslmode=disable", "28P01"}, {"nobody", "secret", "sslmode=disable", "28P01"},
		{"open", "secret", "sslmode=disable", "28P01"}, {"me", "secret", "sslmode=require", ""}, {"me", "wrong", "sslmode=require", "28P01"},
		{"me", "secret", "sslmode=require&sslnegotiation=direct", ""},
	} {
		conn, err := pgx.Connect(context.Background(), fmt.Sprintf("postgres://%s:%s@%s/db?%s", c.user, c.password, addr, c.more))
		if got := ""; err != nil {
			if got = code(err); got != c.want {
				t.Errorf("%v: %v", c, err)
			}
			continue
		} else if c.want != "" {
			t.Errorf("%v: connected", c)
		}
		conn.Close(context.Background())
	}
	// libpq binds the password exchange to the certificate when it can.
	if psql, err := exec.LookPath("psql"); err == nil {
		host, port, _ := net.SplitHostPort(addr)
		cmd := exec.Command(psql, "-XAtc", "rows 1 1", fmt.Sprintf("host=%s port=%s user=me dbname=db sslmode=require channel_binding=require", host, port))
		cmd.Env = append(os.Environ(), "PGPASSWORD=secret")
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "1|x\n" {
			t.Errorf("psql with channel binding: %q, %v", out, err)
		}
	}
	nc, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: nil})
	if err == nil {
		nc.SetDeadline(time.Now().Add(time.Second))
		if _, err := nc.Read(make([]byte, 1)); err == nil {
			t.Error("direct TLS without ALPN is served")
		}
		nc.Close()
	}
}

func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x509.MarshalECPrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: k}), 0o600)
	return cert, key
}

func TestRefusals(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:5432", ":5432", "10.0.0.1:5432", "example.com:5432"} {
		if _, err := New(&fakeEngine{}, Config{Listen: listen, AllowTrust: true}, nil); err == nil || !strings.Contains(err.Error(), "without a password") {
			t.Errorf("%s: %v", listen, err)
		}
		if _, err := New(&fakeEngine{}, Config{Listen: listen}, nil); err != nil {
			t.Errorf("%s with passwords: %v", listen, err)
		}
	}
	_, addr := start(t, &fakeEngine{}, Config{AllowTrust: true, MaxConnections: 1, MaxMessage: 1000})
	c := dial(t, addr, "sslmode=disable")
	if _, err := pgx.Connect(context.Background(), "postgres://me@"+addr+"/db?sslmode=disable"); code(err) != "53300" {
		t.Errorf("second connection: %v", err)
	}
	if _, err := c.Exec(context.Background(), "rows 1 "+strings.Repeat("1", 2000), pgx.QueryExecModeSimpleProtocol); code(err) != "54000" {
		t.Errorf("large message: %v", err)
	}
	var err error
	for range 100 {
		if _, err = pgx.Connect(context.Background(), "postgres://me@"+addr+"/missing?sslmode=disable"); code(err) != "53300" {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if code(err) != "3D000" {
		t.Errorf("unknown database: %v", err)
	}
	// Noise is answered or closed, and the server lives.
	for _, noise := range []string{"\x00\x00\x00\x00", "GET / HTTP/1.0\r\n\r\n", "\xff\xff\xff\xff\x00\x03\x00\x00", "\x00\x00\x00\x09\x00\x03\x00\x00\x01", "\x00\x00\x00\x08\x00\x02\x00\x00"} {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		nc.Write([]byte(noise))
		nc.SetDeadline(time.Now().Add(2 * time.Second))
		buf := make([]byte, 4096)
		for {
			if _, err := nc.Read(buf); err != nil {
				var ne net.Error
				if errors.As(err, &ne) && ne.Timeout() {
					t.Errorf("%q: no answer", noise)
				}
				break
			}
		}
		nc.Close()
	}
}

func TestCancelAndHangUp(t *testing.T) {
	e := &fakeEngine{}
	_, addr := start(t, e, Config{AllowTrust: true})
	c := dial(t, addr, "sslmode=disable")
	wait := func(what string, f func() bool) {
		t.Helper()
		for range 400 {
			if f() {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Fatal(what)
	}
	done := make(chan error, 1)
	run := func(sql string) {
		go func() {
			_, err := c.PgConn().Exec(context.Background(), sql).ReadAll()
			done <- err
		}()
	}
	run("sleep")
	wait("not running", func() bool { return e.sleeping.Load() == 1 })
	if err := c.PgConn().CancelRequest(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; code(err) != "57014" {
		t.Fatalf("cancelled: %v", err)
	}
	if _, err := c.PgConn().Exec(context.Background(), "rows 1 1").ReadAll(); err != nil {
		t.Fatalf("after a cancel: %v", err)
	}
	// A COPY that waits for data is cancelled too.
	r, w, _ := os.Pipe()
	defer w.Close()
	go func() {
		_, err := c.PgConn().CopyFrom(context.Background(), r, "copy in text")
		done <- err
	}()
	time.Sleep(50 * time.Millisecond)
	c.PgConn().CancelRequest(context.Background())
	time.Sleep(100 * time.Millisecond)
	w.Close()
	if err := <-done; code(err) != "57014" {
		t.Fatalf("cancelled COPY: %v", err)
	}
	if _, err := c.PgConn().Exec(context.Background(), "rows 1 1").ReadAll(); err != nil {
		t.Fatalf("after a cancelled COPY: %v", err)
	}
	before := e.canceled.Load()
	run("sleep")
	wait("not running", func() bool { return e.sleeping.Load() == 2 })
	c.PgConn().Conn().Close()
	if runtime.GOOS == "linux" {
		wait("a hung up client's statement goes on", func() bool { return e.canceled.Load() > before })
	}
	<-done
	p := dial(t, addr, "sslmode=disable")
	if _, err := p.PgConn().Exec(context.Background(), "panic").ReadAll(); code(err) != "XX000" {
		t.Errorf("panic: %v", err)
	}
}

func TestShutdown(t *testing.T) {
	e := &fakeEngine{}
	s, err := New(e, Config{Listen: "127.0.0.1:0", AllowTrust: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background()) }()
	idle, busy := dial(t, s.Addr().String(), "sslmode=disable"), dial(t, s.Addr().String(), "sslmode=disable")
	done := make(chan error, 1)
	go func() {
		_, err := busy.PgConn().Exec(context.Background(), "sleep").ReadAll()
		done <- err
	}()
	for e.sleeping.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-done; code(err) != "57014" {
		t.Errorf("running statement: %v", err)
	}
	if _, err := idle.PgConn().Exec(context.Background(), "rows 1 1").ReadAll(); code(err) != "57P01" {
		t.Errorf("idle session: %v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A client that reads slowly does not make the server collect the result.
func TestSlowReader(t *testing.T) {
	_, addr := start(t, &fakeEngine{}, Config{AllowTrust: true})
	c := dial(t, addr, "sslmode=disable")
	mr := c.PgConn().ExecParams(context.Background(), "rows 400000 1000", nil, nil, nil, nil)
	peak, n := uint64(0), 0
	for ; mr.NextRow(); n++ {
		if n%20000 == 0 {
			time.Sleep(2 * time.Millisecond)
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
	}
	if _, err := mr.Close(); err != nil || n != 400000 {
		t.Fatalf("%d rows, %v", n, err)
	}
	if peak > 64<<20 {
		t.Errorf("heap of %d MiB for a result of 400 MB", peak>>20)
	}
}

func TestPsql(t *testing.T) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed")
	}
	e := &fakeEngine{}
	_, addr := start(t, e, Config{AllowTrust: true})
	host, port, _ := net.SplitHostPort(addr)
	var out bytes.Buffer
	cmd := exec.Command(psql, "-XAt", "-h", host, "-p", port, "-U", "me", "db")
	cmd.Stdin = strings.NewReader("rows 2 3;\nboom;\nbegin;\nboom;\nrollback;\ncopy in csv;\nid,name,amount\n1,\"a\n\"\"b\"\"\",2.5\n,\"\",\n\\.\ncopy out text;\ncopy in text;\n1\tx\tbad\n\\.\n")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"1|xxx\n2|xxx\n", "ERROR:  division by zero", "BEGIN\n", "ROLLBACK\n", "COPY 2\n", "1\ta\\t\"b\"\\n\t10.50\n\\N\t\t\\N\n",
		`invalid input syntax for type numeric: "bad"`, `COPY t, line 1, column amount: "bad"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if want := []string{"1|a\n\"b\"|2.50|", "NULL||NULL|"}; !slices.Equal(e.copied, want) {
		t.Errorf("copied %q", e.copied)
	}
}

// pgbench -M prepared measures the gateway against an engine that costs nothing.
func BenchmarkLookup(b *testing.B) {
	_, addr := start(b, &fakeEngine{}, Config{AllowTrust: true})
	c := dial(b, addr, "sslmode=disable")
	ctx := context.Background()
	sd, err := c.PgConn().Prepare(ctx, "q", "select abalance where aid = $1", nil)
	if err != nil {
		b.Fatal(err)
	}
	args := [][]byte{[]byte("42")}
	for _, depth := range []int{1, 16} {
		b.Run(fmt.Sprintf("pipeline=%d", depth), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; i < b.N; i += depth {
				p := c.PgConn().StartPipeline(ctx)
				for range depth {
					p.SendQueryPrepared(sd.Name, args, nil, nil)
					if err := p.Sync(); err != nil {
						b.Fatal(err)
					}
				}
				for range depth {
					r, err := p.GetResults()
					if err != nil {
						b.Fatal(err)
					}
					rr := r.(*pgconn.ResultReader)
					for rr.NextRow() {
					}
					rr.Close()
					p.GetResults()
				}
				p.Close()
			}
		})
	}
}
