package protocol

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

// answerTimeout bounds the wait for a message.
const answerTimeout = 20 * time.Second

// exchange is a case of a script: batches of messages, each read to its end.
type exchange struct {
	title   string
	differs string // why the answers are not PostgreSQL's; "": they are
	batches [][]string
}

// readScript reads a file of cases. "# differs: why" below a title marks a case whose answers are known to be others.
func readScript(t *testing.T, path string) (out []exchange) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range strings.Split(string(b), "\n\n") {
		c := exchange{}
		var batch []string
		for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
			switch {
			case strings.HasPrefix(line, "# differs: "):
				c.differs = line[len("# differs: "):]
			case strings.HasPrefix(line, "#"):
				c.title = strings.TrimSpace(line[1:])
			case line == "---":
				c.batches = append(c.batches, batch)
				batch = nil
			case line != "":
				batch = append(batch, line)
			}
		}
		if batch != nil {
			c.batches = append(c.batches, batch)
		}
		if c.batches != nil {
			out = append(out, c)
		}
	}
	return out
}

// wire is a connection on which messages are exchanged.
type wire struct {
	conn net.Conn
	fe   *pgproto3.Frontend
}

func dial(t *testing.T, dsn string) *wire {
	t.Helper()
	c, err := pgconn.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	h, err := c.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Conn.Close() })
	return &wire{h.Conn, h.Frontend}
}

// run sends the batches of a case and returns what came back.
func (w *wire) run(c exchange) (out []string, err error) {
	for i, batch := range c.batches {
		out = append(out, fmt.Sprintf("--- %d", i+1))
		due := 0
		for _, line := range batch {
			m, err := message(line)
			if err != nil {
				return nil, err
			}
			due += ends(m)
			w.fe.Send(m)
		}
		if err := w.fe.Flush(); err != nil {
			return nil, err
		}
		for due > 0 {
			w.conn.SetReadDeadline(time.Now().Add(answerTimeout))
			m, err := w.fe.Receive()
			if err != nil {
				return append(out, "closed"), nil
			}
			out = append(out, show(m))
			if _, ok := m.(*pgproto3.ReadyForQuery); ok {
				due--
			}
		}
	}
	return out, nil
}

// Scripts of messages bring the messages that PostgreSQL 15 sends.
func TestMessages(t *testing.T) {
	peer := postgres.Start(t)
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	files, err := filepath.Glob("testdata/*.msg")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		n, same := 0, 0
		for _, c := range readScript(t, f) {
			n++
			t.Run(strings.TrimSuffix(filepath.Base(f), ".msg")+"/"+c.title, func(t *testing.T) {
				got, err := dial(t, s.DSN()).run(c)
				if err != nil {
					t.Fatal(err)
				}
				want, err := dial(t, peer).run(c)
				if err != nil {
					t.Fatal(err)
				}
				switch diff := cmp.Diff(want, got); {
				case diff == "" && c.differs != "":
					same++
					t.Logf("the answers are PostgreSQL's: the mark can go: differs: %s", c.differs)
				case diff == "":
					same++
				case c.differs == "":
					t.Errorf("PostgreSQL's answers (-), Tilehouse's (+):\n%s", diff)
				}
			})
		}
		t.Logf("%s: %d of %d cases have PostgreSQL's messages", f, same, n)
	}
}
