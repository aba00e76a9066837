package server

import (
	"context"
	"math"
	"net"
	"sync"
	"time"
)

// The limits of failed logins. A login from an address that failed often waits before it is answered, whether it is right or
// wrong, so that guessing takes time and the wait tells nothing.
const (
	// freeFailures is how many failed logins an address has before it waits.
	freeFailures = 3
	// firstDelay is the first wait; each further failure doubles it, up to Config.LoginDelay.
	firstDelay = 100 * time.Millisecond
	// failureHalfLife is the time in which half of an address's failures are forgotten.
	failureHalfLife = time.Minute
	// maxFailedAddresses is how many addresses are remembered; beyond, the one that failed longest ago is forgotten.
	maxFailedAddresses = 10_000
	// maxWaiting is how many logins of one address may wait at a time; more are refused.
	maxWaiting = 16
)

// failures counts the failed logins of addresses. It is safe for concurrent use.
type failures struct {
	mu    sync.Mutex
	of    map[string]*failed
	limit time.Duration // of a wait; negative: none
	now   func() time.Time
}

type failed struct {
	count   float64 // as of at
	at      time.Time
	waiting int
}

func newFailures(limit time.Duration) *failures {
	return &failures{of: map[string]*failed{}, limit: limit, now: time.Now}
}

// address is what failures are counted by: the host of a remote address; "" for a Unix socket, of which nothing is counted.
func address(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.IP.String()
	}
	return ""
}

func (f *failures) count(e *failed) float64 {
	return e.count * math.Exp2(-float64(f.now().Sub(e.at))/float64(failureHalfLife))
}

// delay is how long a login of an address waits.
func (f *failures) delay(addr string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.of[addr]
	if e == nil || f.limit < 0 {
		return 0
	}
	over := f.count(e) - freeFailures
	if over < 0 {
		return 0
	}
	return time.Duration(min(float64(firstDelay)*math.Exp2(over), float64(f.limit)))
}

// wait makes a login wait as its address must. ok is false where too many of it wait already, or ctx ended.
func (f *failures) wait(ctx context.Context, addr string) (ok bool) {
	d := f.delay(addr)
	if d == 0 || addr == "" {
		return true
	}
	f.mu.Lock()
	e := f.of[addr]
	if e == nil {
		f.mu.Unlock()
		return true
	}
	if e.waiting >= maxWaiting {
		f.mu.Unlock()
		return false
	}
	e.waiting++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		e.waiting--
		f.mu.Unlock()
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// note counts a failed login.
func (f *failures) note(addr string) {
	if addr == "" || f.limit < 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.of[addr]
	if e == nil {
		if len(f.of) >= maxFailedAddresses {
			f.forget()
		}
		e = &failed{}
		f.of[addr] = e
	}
	e.count, e.at = f.count(e)+1, f.now()
}

// forget drops the address that failed longest ago.
func (f *failures) forget() {
	oldest := ""
	for addr, e := range f.of {
		if oldest == "" || e.at.Before(f.of[oldest].at) {
			oldest = addr
		}
	}
	delete(f.of, oldest)
}
