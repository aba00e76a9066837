package protocol

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

const (
	// idleConnections are as many as a server must bear, idleBytes what each may cost it.
	idleConnections = 5000
	idleBytes       = 60_000
	halfOpenBytes   = 20_000
	// fewConnections are those of a run without TILEHOUSE_SOAK.
	fewConnections = 1000
)

// Idle connections cost little, and neither they nor clients that do not log in, or do not read, keep others from being served.
func TestIdle(t *testing.T) {
	n := fewConnections
	if os.Getenv("TILEHOUSE_SOAK") != "" {
		n = idleConnections
	}
	s := servertest.Start(t, t.TempDir(), servertest.Options{Args: []string{"--max-connections", strconv.Itoa(n + 100)}})
	addr := net.JoinHostPort(s.Host, s.Port)
	open := func() net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	login := func() (net.Conn, *pgproto3.Frontend) {
		c := open()
		fe := pgproto3.NewFrontend(c, c)
		fe.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "tilehouse"}})
		if err := fe.Flush(); err != nil {
			t.Fatal(err)
		}
		until(t, c, fe)
		return c, fe
	}
	login() // what the first costs, the server keeps
	before := resident(t, s)
	for range n {
		login()
	}
	each := (resident(t, s) - before) / int64(n)
	t.Logf("soak: %d idle connections take %d bytes each", n, each)
	if each > idleBytes {
		t.Errorf("an idle connection takes %d bytes, more than %d", each, idleBytes)
	}
	before = resident(t, s)
	for range n { // half-open logins, of which the server keeps few
		c := open()
		c.Write([]byte{0, 0, 0, 40, 0, 3})
	}
	each = (resident(t, s) - before) / int64(n)
	t.Logf("soak: %d half-open logins take %d bytes each", n, each)
	if each > halfOpenBytes {
		t.Errorf("a half-open login takes %d bytes, more than %d", each, halfOpenBytes)
	}
	c, fe := login() // one that does not read
	fe.Send(&pgproto3.Query{String: "SELECT repeat('x', 1000) FROM generate_series(1, 3000000)"})
	if err := fe.Flush(); err != nil {
		t.Fatal(err)
	}
	_ = c
	time.Sleep(300 * time.Millisecond)
	began := time.Now()
	w := dial(t, s.DSN())
	out, err := w.run(exchange{batches: [][]string{{"Q select 1 as a"}}})
	if err != nil || len(out) != 5 {
		t.Fatalf("another session: %q, %v", out, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("another session waits for %v", took)
	}
}

// slowReaders are clients that read 1 kB a second of a result of many GB each.
const slowReaders = 20

// The server holds little of a result that its client does not read: DuckDB makes 2,048 rows at once, holds some of them two or three times,
// and up to 64 KiB are copied and encoded.
func TestSlowReaders(t *testing.T) {
	t.Run("rows of 100 bytes", func(t *testing.T) { slowly(t, 90, 2<<20) })
	t.Run("rows of 1000 bytes", func(t *testing.T) { slowly(t, 990, 9<<20) })
}

// slowly has readers read rows of so many bytes, each of which may cost the server at most so many.
func slowly(t *testing.T, width, most int) {
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	start := func() net.Conn {
		c, err := net.Dial("tcp", net.JoinHostPort(s.Host, s.Port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		fe := pgproto3.NewFrontend(c, c)
		fe.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "tilehouse"}})
		if err := fe.Flush(); err != nil {
			t.Fatal(err)
		}
		until(t, c, fe)
		fe.Send(&pgproto3.Query{String: fmt.Sprintf("SELECT g, repeat('x', %d) FROM generate_series(1, 100000000) AS t(g)", width)})
		if err := fe.Flush(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	readers := []net.Conn{start()}
	b := make([]byte, 1000)
	read := func(seconds int) {
		for range seconds {
			for _, c := range readers {
				if _, err := c.Read(b); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
		}
	}
	read(1) // the first warms the engine up
	before := resident(t, s)
	for range slowReaders {
		readers = append(readers, start())
	}
	read(3)
	each := (resident(t, s) - before) / slowReaders
	t.Logf("soak: a reader of 1 kB a second of rows of %d bytes holds %d kB", width+10, each>>10)
	if each > int64(most) {
		t.Errorf("a slow reader of rows of %d bytes holds %d bytes, more than %d", width+10, each, most)
	}
}

func until(t *testing.T, c net.Conn, fe *pgproto3.Frontend) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(answerTimeout))
	for {
		m, err := fe.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := m.(*pgproto3.ReadyForQuery); ok {
			c.SetReadDeadline(time.Time{})
			return
		}
	}
}

// resident is a server's resident memory in bytes but for what is a file's, the program above all, after it had a moment to give some back.
func resident(t *testing.T, s *servertest.Server) int64 {
	t.Helper()
	time.Sleep(200 * time.Millisecond)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.PID()))
	if err != nil {
		t.Skip("resident memory is read from Linux's /proc")
	}
	var all, pages, shared int64
	if _, err := fmt.Sscan(string(b), &all, &pages, &shared); err != nil {
		t.Fatal(err)
	}
	return (pages - shared) * int64(os.Getpagesize())
}
