package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// fuzzDeadline is how long a connection may take over one input before it counts as hanging: far more than a busy machine needs.
const fuzzDeadline = time.Minute

// fuzzServer is a server whose engine is the fake one, with limits small enough that a fuzzer reaches them.
func fuzzServer(t testing.TB) (addr string) {
	s, err := New(&fakeEngine{}, Config{Listen: filepath.Join(t.TempDir(), "s"), AllowTrust: true, MaxMessage: 1 << 16, MaxStatements: 8,
		MaxPortals: 8, MaxCopyLine: 1 << 12, PortalMemory: 1 << 10, PortalSpill: 1 << 16, StartupTimeout: time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Serve(context.Background())
	}()
	t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		s.Shutdown(now)
		<-ended
	})
	return s.Addr().String()
}

// exchangeBytes sends bytes and reads what comes until the server closes, which it does when the input ends.
func exchangeBytes(t testing.TB, addr string, input []byte) []byte {
	c, err := net.Dial("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(fuzzDeadline))
	go func() {
		c.Write(input) // the server may close before the end
		c.(*net.UnixConn).CloseWrite()
	}()
	out, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		buf := make([]byte, 1<<20)
		t.Fatalf("the connection hangs on %q\n%s", input, buf[:runtime.Stack(buf, true)])
	}
	return out
}

// noPanic fails where the server told a panic: the fake engine's statement "panic" aside, there must be none.
func noPanic(t testing.TB, input, out []byte) {
	if bytes.Contains(out, []byte("internal error")) && !bytes.Contains(bytes.ToLower(input), []byte("panic")) {
		t.Fatalf("a panic on %q: %q", input, out)
	}
}

var bigNumber = regexp.MustCompile(`[0-9]{5,}`)

func startupBytes() []byte {
	b, _ := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "tilehouse"}}).Encode(nil)
	return b
}

func encode(messages ...pgproto3.FrontendMessage) (out []byte) {
	for _, m := range messages {
		out, _ = m.Encode(out)
	}
	return out
}

// fuzzSeeds are sequences of every frontend message.
func fuzzSeeds() [][]byte {
	query := func(s string) pgproto3.FrontendMessage { return &pgproto3.Query{String: s} }
	return [][]byte{
		encode(query("select")), encode(query("select; boom; select")), encode(query("begin"), query("write x"), query("commit")), encode(query("")), encode(query("rows 3 10")),
		encode(&pgproto3.Parse{Name: "s", Query: "select $1", ParameterOIDs: []uint32{23}}, &pgproto3.Describe{ObjectType: 'S', Name: "s"},
			&pgproto3.Bind{PreparedStatement: "s", DestinationPortal: "p", Parameters: [][]byte{[]byte("5")}}, &pgproto3.Describe{ObjectType: 'P', Name: "p"},
			&pgproto3.Execute{Portal: "p", MaxRows: 1}, &pgproto3.Close{ObjectType: 'P', Name: "p"}, &pgproto3.Close{ObjectType: 'S', Name: "s"}, &pgproto3.Flush{}, &pgproto3.Sync{}),
		encode(&pgproto3.Parse{Query: "rows 5000 100"}, &pgproto3.Bind{}, &pgproto3.Execute{MaxRows: 3}, &pgproto3.Execute{MaxRows: 3}, &pgproto3.Parse{Name: "x", Query: "select"}, &pgproto3.Execute{}, &pgproto3.Sync{}),
		encode(&pgproto3.Parse{Query: "echo bytea"}, &pgproto3.Bind{ParameterFormatCodes: []int16{1}, Parameters: [][]byte{{0, 255}}, ResultFormatCodes: []int16{1}}, &pgproto3.Execute{}, &pgproto3.Sync{}),
		encode(&pgproto3.Parse{Query: "echo numeric"}, &pgproto3.Bind{ParameterFormatCodes: []int16{1}, Parameters: [][]byte{{0, 1, 0, 0, 0, 0, 0, 0, 0, 1}}, ResultFormatCodes: []int16{1}}, &pgproto3.Execute{}, &pgproto3.Sync{}),
		encode(&pgproto3.Parse{Query: "echo integer[]"}, &pgproto3.Bind{ParameterFormatCodes: []int16{0}, Parameters: [][]byte{[]byte("{1,NULL,{2}}")}}, &pgproto3.Execute{}, &pgproto3.Sync{}),
		encode(query("copy in text"), &pgproto3.CopyData{Data: []byte("1\ta\t2.5\n")}, &pgproto3.CopyDone{}, query("select")),
		encode(query("copy in csv"), &pgproto3.CopyData{Data: []byte("1,\"a\"\"\n\",2.5\r\n")}, &pgproto3.CopyFail{Message: "no"}, &pgproto3.Terminate{}),
		encode(query("copy in binary"), &pgproto3.CopyData{Data: append([]byte("PGCOPY\n\xff\r\n\x00"), 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255)}, &pgproto3.CopyDone{}),
		encode(query("copy out text"), query("copy out csv")), encode(&pgproto3.FunctionCall{Function: 1, ArgFormatCodes: []uint16{0}, Arguments: [][]byte{{1}}}, &pgproto3.Sync{}),
		encode(query("notice"), query("set timezone Europe/Berlin")), {'Q', 0, 0, 0, 3}, {'Q', 0x7f, 0xff, 0xff, 0xff}, {'Z', 0, 0, 0, 4}, {'B', 0, 0, 0, 12, 0, 0, 0xff, 0xff, 0, 0, 0, 0}, {'p', 0, 0, 0, 8, 1, 2, 3, 4},
	}
}

// FuzzMessages sends what comes after login: no input makes the server panic or hang.
func FuzzMessages(f *testing.F) {
	for _, s := range fuzzSeeds() {
		f.Add(s)
	}
	addr := fuzzServer(f)
	start := startupBytes()
	f.Fuzz(func(t *testing.T, input []byte) {
		// The fake engine sleeps until a cancel request, and makes as many rows as it is told.
		if len(input) > 1<<16 || bytes.Contains(bytes.ToLower(input), []byte("sleep")) || bigNumber.Match(input) {
			t.Skip("the fake engine would sleep or make rows for as long as the input says")
		}
		noPanic(t, input, exchangeBytes(t, addr, append(bytes.Clone(start), input...)))
	})
}

// FuzzStartup sends what comes before login.
func FuzzStartup(f *testing.F) {
	f.Add(startupBytes())
	for _, code := range []uint32{codeSSL, codeGSSENC, codeCancel, 3<<16 | 2, 2 << 16, 4 << 16} {
		f.Add(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, code))
		f.Add(append(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, code), startupBytes()...))
	}
	f.Add(append(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 16}, codeCancel), 0, 0, 0, 1, 0, 0, 0, 2))
	f.Add([]byte("\x00\x00\x00\x26\x00\x03\x00\x02user\x00tilehouse\x00_pq_.x\x001\x00\x00"))
	f.Add([]byte{0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5})
	addr := fuzzServer(f)
	f.Fuzz(func(t *testing.T, input []byte) { noPanic(t, input, exchangeBytes(t, addr, input)) })
}

// After every seed the server has the goroutines that it had before.
func TestNoLeak(t *testing.T) {
	addr := fuzzServer(t)
	start := startupBytes()
	exchangeBytes(t, addr, start)
	count := func() int { return strings.Count(stacks(), "server.(*conn).serve") }
	for range 3 {
		for _, s := range fuzzSeeds() {
			exchangeBytes(t, addr, append(bytes.Clone(start), s...))
			for k := range s { // cut off in the middle
				if k%7 == 0 {
					exchangeBytes(t, addr, append(bytes.Clone(start), s[:k]...))
				}
			}
		}
	}
	for end := time.Now().Add(5 * time.Second); count() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("connections are still served:\n%s", stacks())
		}
	}
}

func stacks() string {
	buf := make([]byte, 4<<20)
	return string(buf[:runtime.Stack(buf, true)])
}
