package duck

import (
	"context"
	"testing"
	"time"
)

// A function that waits ends with its own statement, and not with one of another engine whose connection has the same number.
func TestInterruptOfAnotherEngine(t *testing.T) {
	o := Options{Threads: 1, Scalars: []Scalar{SleepFunction}}
	one, other := connect(t, open(t, o)), connect(t, open(t, o))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	slept := make(chan error, 1)
	go func() {
		_, err := other.Exec(t.Context(), "SELECT __pg_sleep(0.3)")
		slept <- err
	}()
	time.AfterFunc(50*time.Millisecond, cancel)
	start := time.Now()
	if _, err := one.Exec(ctx, "SELECT __pg_sleep(60)"); SQLState(err) != "57014" || time.Since(start) > 10*time.Second {
		t.Errorf("its own: %v after %s", err, time.Since(start))
	}
	if err := <-slept; err != nil {
		t.Errorf("the other engine's: %v", err)
	}
}
