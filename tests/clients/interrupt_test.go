package clients

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

// interruptBound is how long a statement may take to end once it was told to, on a machine that is busy; the times are logged.
const interruptBound = 2 * time.Second

// What sleeps, and what a function of ours computes over many rows or of one long value, ends with its statement.
func TestInterrupts(t *testing.T) {
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	other := connectTo(t, s.DSN())
	for _, sql := range []string{
		"SELECT pg_sleep(60)",
		"SELECT pg_sleep_for('1 minute')",
		"SELECT pg_sleep_until(now() + interval '1 minute')",
		"SELECT count(pg_sleep(0.1)) FROM generate_series(1, 1000)",
		"CREATE TABLE slept AS SELECT count(pg_sleep(60)) AS x FROM generate_series(1, 3)",
		"COPY (SELECT pg_sleep(60)) TO STDOUT",
		"SELECT sum(length(exp(i::numeric / 1000)::text)) FROM generate_series(1, 3000000) i",
		"SELECT count(*) FROM generate_series(1, 200000) i WHERE regexp_replace(repeat('abcdefghij' || i, 1000), '(a|b)+(c|d)', 'x', 'g') = 'y'",
	} {
		for how, stop := range map[string]struct {
			before string
			do     func(pid uint32, cancel func())
			code   string
		}{
			"statement_timeout":    {"SET statement_timeout = '300ms'", func(uint32, func()) {}, "57014"},
			"CancelRequest":        {"SET statement_timeout = 0", func(_ uint32, cancel func()) { cancel() }, "57014"},
			"pg_cancel_backend":    {"SELECT 1", func(pid uint32, _ func()) { must(t, other, fmt.Sprintf("SELECT pg_cancel_backend(%d)", pid)) }, "57014"},
			"pg_terminate_backend": {"SELECT 1", func(pid uint32, _ func()) { must(t, other, fmt.Sprintf("SELECT pg_terminate_backend(%d)", pid)) }, "57P01"},
		} {
			conn := connectTo(t, s.DSN())
			must(t, conn, stop.before)
			told, done := make(chan time.Time, 1), make(chan struct{})
			go func() {
				defer close(done)
				time.Sleep(300 * time.Millisecond)
				told <- time.Now()
				stop.do(conn.PID(), func() { conn.CancelRequest(context.Background()) })
			}()
			got := code(conn, sql)
			took := time.Since(<-told)
			if got != stop.code || took > interruptBound {
				t.Errorf("%s, ended by %s: %q after %v", sql, how, got, took)
			}
			t.Logf("%v after %s: %s", took.Round(time.Millisecond), how, sql)
			<-done // the other session has its answer, too
			conn.Close(context.Background())
		}
	}
}
