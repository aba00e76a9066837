package streams

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

var dial = servertest.Dial

// A server that is killed at any moment, again and again, while messages come, good ones and poison, late, out of order and with keys that
// are there, has each of them as one row or one dead letter, and the features of the rows.
func TestKilledWhileReading(t *testing.T) {
	kills, messages := 3, 1200
	if soak() {
		kills, messages = 60, 40_000
	}
	bus, client := cluster(t, 4, "events")
	killed(t, bus.ListenAddrs()[0], client, kills, messages, func(int) {})
}

// killed is the test; more is done after each kill, while no server runs.
func killed(t *testing.T, brokers string, client *kgo.Client, kills, messages int, more func(i int)) {
	rng := seeded(t)
	m := newModel(rng, 4)
	dir := t.TempDir()
	s := servertest.Start(t, dir, servertest.Options{})
	conn := dial(t, s.DSN())
	for _, sql := range m.statements("events", brokers) {
		exec(t, conn, sql)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.produce(t, client, "events", messages)
	}()
	wait := make([]time.Duration, kills)
	for i := range wait { // the model's source is the producer's from here on
		wait[i] = time.Duration(50+(i*7919)%700) * time.Millisecond
	}
	for i, w := range wait {
		time.Sleep(w)
		s.Kill()
		more(i)
		s = servertest.Start(t, dir, servertest.Options{})
	}
	<-done
	if t.Failed() {
		return
	}
	conn = dial(t, s.DSN())
	eventually(t, conn, "SELECT (rows + dead_letters)::text FROM tilehouse.sources WHERE name = 'live'", fmt.Sprint(messages))
	m.check(t, conn)
	s.Kill()
	s = servertest.Start(t, dir, servertest.Options{})
	m.check(t, dial(t, s.DSN()))
}
