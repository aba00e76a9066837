package server

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Timeouts of a session, and what reaches it while it waits for its client: notifications, and the end that another session or the
// server brings.

var (
	errTimedOut   = errors.New("statement timeout")
	errTerminated = &Error{Code: "57P01", Message: "terminating connection due to administrator command"}
	idleInBlock   = &Error{Code: "25P03", Message: "terminating connection due to idle-in-transaction timeout"}
	idleTooLong   = &Error{Code: "57P05", Message: "terminating connection due to idle-session timeout"}
	longAgo       = time.Unix(1, 0)
)

// receive is the next message. While it waits it tells notifications, and gives up after the session's idle timeouts.
func (c *conn) receive() (typ byte, body []byte, err error) {
	var end time.Time
	var late *Error
	if c.in.peek() == 0 {
		timeout := time.Duration(0)
		if c.session.TxStatus() != 'I' {
			timeout, late = c.session.Timeout("idle_in_transaction_session_timeout"), idleInBlock
		} else {
			timeout, late = c.session.Timeout("idle_session_timeout"), idleTooLong
		}
		if timeout > 0 {
			end = time.Now().Add(timeout)
			c.deadline(end)
			defer c.deadline(time.Time{})
		}
	}
	for {
		typ, body, err = c.in.next()
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return typ, body, err
		}
		if e := c.told(); e != nil {
			return 0, nil, e
		}
		if c.srv.draining.Load() {
			return 0, nil, err
		}
		if !end.IsZero() && !time.Now().Before(end) {
			return 0, nil, late
		}
		c.deadline(end)
		c.notifications()
		if err := c.flush(); err != nil {
			return 0, nil, err
		}
	}
}

// deadline sets when a read gives up; the zero time is never. One that the server's end or another session has set stays.
func (c *conn) deadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil && !c.srv.draining.Load() {
		c.raw.SetReadDeadline(t)
	}
}

// wake ends the wait for the client, to tell it notifications. Any goroutine may call it.
func (c *conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.running {
		c.raw.SetReadDeadline(longAgo)
	}
}

// terminate ends the session with 57P01, and the statement that it runs. Any goroutine may call it.
func (c *conn) terminate() {
	c.mu.Lock()
	c.ended = errTerminated
	if c.running && c.end != nil {
		c.end(context.Canceled)
	}
	c.raw.SetReadDeadline(longAgo)
	c.mu.Unlock()
}

// told is the error that another session's pg_terminate_backend has for the client, or nil.
func (c *conn) told() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		return nil
	}
	return c.ended
}

// notifications appends those that wait for the client.
func (c *conn) notifications() {
	for _, n := range c.session.Notifications() {
		c.put(&pgproto3.NotificationResponse{PID: n.PID, Channel: c.shown(n.Channel), Payload: c.shown(n.Payload)})
	}
}

// startTimer notes that a statement begins, and bounds it by statement_timeout.
func (c *conn) startTimer() {
	c.stopTimer()
	c.began = time.Now()
	if d := c.session.Timeout("statement_timeout"); d > 0 {
		c.timer = time.AfterFunc(d, func() { c.cancelFor(errTimedOut) })
	}
}

func (c *conn) stopTimer() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// canceled says why a statement was canceled.
func (c *conn) canceled(e *Error) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx != nil && errors.Is(context.Cause(c.ctx), errTimedOut) {
		moved := *e
		moved.Message = "canceling statement due to statement timeout"
		return &moved
	}
	return e
}
