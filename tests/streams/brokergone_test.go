package streams

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/kafka"
)

// line is a broker's listener that can be cut. Connections from insider stay.
type line struct {
	net.Listener
	mu     sync.Mutex
	cut    string        // "", "closed" or "silent"
	mended chan struct{} // closed when it is not cut
	conns  map[net.Conn]bool
}

// insider is the address of clients that a cut leaves alone.
const insider = "127.0.0.2"

// set cuts a line, or mends it by "": "closed" ends its connections, and new ones as soon as they are made; on "silent" ones nothing comes
// any more, until then.
func (l *line) set(cut string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case cut == "":
		close(l.mended)
	case l.cut == "":
		l.mended = make(chan struct{})
	}
	if l.cut = cut; cut == "closed" {
		for c := range l.conns {
			c.Close()
		}
	}
}

func (l *line) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || c.RemoteAddr().(*net.TCPAddr).IP.String() == insider {
			return c, err
		}
		l.mu.Lock()
		closed := l.cut == "closed"
		if !closed {
			l.conns[c] = true
		}
		l.mu.Unlock()
		if !closed {
			return &lineConn{c, l}, nil
		}
		c.Close()
	}
}

type lineConn struct {
	net.Conn
	line *line
}

func (c *lineConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.wait()
	return n, err
}

func (c *lineConn) Write(b []byte) (int, error) {
	c.wait()
	return c.Conn.Write(b)
}

func (c *lineConn) wait() {
	c.line.mu.Lock()
	silent, mended := c.line.cut == "silent", c.line.mended
	c.line.mu.Unlock()
	if silent {
		<-mended
	}
}

// cuttable is a broker behind a line, and a client that always reaches it.
func cuttable(t *testing.T, partitions int32) (*kfake.Cluster, *line, *kgo.Client) {
	t.Helper()
	l := &line{conns: map[net.Conn]bool{}}
	bus, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "events"), kfake.ListenFn(func(network, address string) (net.Listener, error) {
		var err error
		l.Listener, err = net.Listen(network, address)
		return l, err
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(insider)}}
	client, err := kgo.NewClient(kgo.SeedBrokers(bus.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.Dialer(dialer.DialContext))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return bus, l, client
}

// A broker that is gone for longer than requests are retried is a state with a reason. Reads go on; once it is back the source goes on by
// itself, and has taken each message once: those of before, of meanwhile and of afterwards.
func TestBrokerGoneForLong(t *testing.T) {
	away := 18 * time.Second // retries end after ten
	if soak() {
		away = 75 * time.Second
	}
	for _, cut := range []string{"closed", "silent"} {
		t.Run(cut, func(t *testing.T) {
			t.Parallel()
			bus, line, client := cuttable(t, 2)
			conn := start(t, bus)
			exec(t, conn, source("s", ""))
			exec(t, conn, "CREATE ENTITY e (k bigint)")
			exec(t, conn, "CREATE FEATURE n ON e AS SELECT k, count(*) FROM s GROUP BY k WINDOW LIFETIME")
			produce(t, client, "events", 0, events(0, 30)...)
			eventually(t, conn, "SELECT count(*)::text FROM s", "30")
			line.set(cut)
			began, next, retrying := time.Now(), 30, false
			for time.Since(began) < away {
				produce(t, client, "events", int32(next%2), event(next))
				next++
				said := texts(t, conn, "SELECT state || ': ' || coalesce(last_error, '') FROM tilehouse.sources")[0]
				if said != "running: " {
					retrying = true
					if want := "retrying: the brokers do not answer"; len(said) < len(want) || said[:len(want)] != want {
						t.Fatalf("the source is %s", said)
					}
				} else if retrying {
					t.Fatal("the source runs while its broker is gone")
				}
				time.Sleep(100 * time.Millisecond)
			}
			if !retrying {
				t.Fatalf("%v after its broker was gone the source is still said to run", away)
			}
			eventually(t, conn, "SELECT sum(n)::text FROM e WHERE k IN (0, 1, 2)", "30")
			line.set("")
			back := time.Now()
			produce(t, client, "events", 0, events(next, next+10)...)
			next += 10
			eventually(t, conn, "SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || max(id) FROM s", fmt.Sprintf("%d %d %d", next, next, next-1))
			t.Logf("%s for %v: %d messages taken %v after the broker was back", cut, away, next, time.Since(back).Round(time.Millisecond))
			eventually(t, conn, "SELECT sum(n)::text FROM e WHERE k IN (0, 1, 2)", fmt.Sprint(next))
			eventually(t, conn, "SELECT state || coalesce(last_error, '') || messages || ' ' || lag FROM tilehouse.sources", fmt.Sprintf("running%d 0", next))
		})
	}
}

// A real Kafka that is killed, and comes back after more than a minute.
func TestKafkaGoneForLong(t *testing.T) {
	skipFast(t)
	b, client := realKafka(t, kafka.Options{}, 2, "events")
	conn := startAt(t, b.Addr)
	exec(t, conn, source("s", ""))
	produce(t, client, "events", 0, events(0, 30)...)
	eventually(t, conn, "SELECT count(*)::text FROM s", "30")
	b.Kill()
	eventually(t, conn, "SELECT state || ' ' || (last_error LIKE 'the brokers do not answer%') FROM tilehouse.sources", "retrying true")
	time.Sleep(75 * time.Second)
	if got := texts(t, conn, "SELECT state || ' ' || last_error FROM tilehouse.sources")[0]; len(got) < 34 || got[:34] != "retrying the brokers do not answer" {
		t.Errorf("the source is %s", got)
	}
	b.Restart(t)
	back := time.Now()
	// What was acknowledged before stays; a client that gave up is another one now.
	if err := client.ProduceSync(context.Background(), &kgo.Record{Topic: "events", Value: []byte(event(30))}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	eventually(t, conn, "SELECT count(*) || ' ' || count(DISTINCT id) FROM s", "31 31")
	t.Logf("read on %v after the broker was back", time.Since(back).Round(time.Millisecond))
	eventually(t, conn, "SELECT state || coalesce(last_error, '') FROM tilehouse.sources", "running")
}
