package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// conn is one client. Its fields belong to the goroutine of serve, but for those said otherwise.
type conn struct {
	srv      *Server
	raw      net.Conn // the socket
	sock     net.Conn // what is read and written: raw, or TLS over it
	tls      *tls.Conn
	pid      uint32
	key      uint32
	counted  bool
	role     string // that logged in; set with counted
	database string

	in reader
	writer
	sent       bool // a Sync or Flush asked for output, which the next read that may block writes first
	runSince   atomic.Int64
	writeSince atomic.Int64

	session  Session
	settings codec.Settings
	known    [len(settingNames)]string // the settings' values that settings was made from
	knownAt  uint64                    // the version of the session's settings then; 0: none yet
	unnamed  *prepared                 // the statement without a name; the others are the session's
	portals  map[string]*portal
	open     *portal // the portal whose Result is open
	skip     bool    // after an error, to the next Sync
	implicit bool    // Executes since the last Sync run in an implicit transaction
	bind     pgproto3.Bind
	began    time.Time       // when the running statement began
	timer    *time.Timer     // of statement_timeout
	traced   context.Context // of the running statement, with its span; nil: it has none

	mu      sync.Mutex // guards the rest, which other goroutines use
	ctx     context.Context
	end     context.CancelCauseFunc
	running bool
	copying bool
	ended   *Error // another session's pg_terminate_backend: what the client is told
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, raw: nc, portals: map[string]*portal{}}
	c.writer = writer{since: &c.writeSince, tick: &s.tick, out: make([]byte, 0, 4<<10)}
	c.in.limit = maxStartupMessage
	c.in.before = c.beforeRead
	c.use(nc)
	return c
}

func (c *conn) use(nc net.Conn) { c.sock, c.in.c, c.writer.c = nc, nc, nc }

// serve runs the connection to its end.
func (c *conn) serve(ctx context.Context) {
	log := c.srv.log.With("pid", c.pid, "remote", c.raw.RemoteAddr().String())
	defer c.raw.Close()
	defer func() {
		if r := recover(); r != nil {
			log.Error("panic in a session", "panic", r, "stack", string(debug.Stack()))
			c.fatal(&Error{Code: "XX000", Message: fmt.Sprintf("internal error: %v", r)})
		}
	}()
	if err := c.startup(ctx); err != nil {
		if !errors.Is(err, errClosed) {
			log.Info("connection refused", "error", err)
			c.fatal(asError(err))
		}
		if c.session != nil {
			c.session.Close()
		}
		return
	}
	defer c.close()
	c.mu.Lock()
	c.ctx, c.end = context.WithCancelCause(session.WithNotify(ctx, c.notifyNow))
	c.mu.Unlock()
	for {
		if c.srv.draining.Load() && c.in.r == c.in.w {
			c.fatal(shuttingDown)
			return
		}
		typ, body, err := c.receive()
		if err != nil {
			var e *Error
			switch {
			case errors.As(err, &e):
				c.fatal(e)
			case c.srv.draining.Load():
				c.fatal(shuttingDown)
			}
			return
		}
		if typ == 'X' {
			c.flush()
			return
		}
		c.begin(ctx)
		err = c.message(typ, body)
		c.finish()
		if e := c.told(); e != nil {
			err = e
		}
		if err != nil {
			if !errors.Is(err, errClosed) {
				c.fatal(asError(err))
			}
			return
		}
	}
}

var shuttingDown = &Error{Code: "57P01", Message: "terminating connection due to administrator command"}

// close gives back what the session holds. The session is closed even where a Result panics.
func (c *conn) close() {
	defer c.session.Close()
	c.mu.Lock()
	c.end(nil)
	c.mu.Unlock()
	for _, p := range c.portals {
		p.close(c)
	}
	c.dropStatement("")
	for name := range c.session.Prepared() {
		c.dropStatement(name)
	}
}

// fatal tells the client e as the last thing, if it listens.
func (c *conn) fatal(e *Error) {
	c.fail(e, "FATAL")
	c.raw.SetWriteDeadline(time.Now().Add(time.Second))
	c.flush()
}

// beforeRead runs before a read that may block: the one moment to write what a client waits for.
func (c *conn) beforeRead() error {
	if c.sent || len(c.out) >= flushAt {
		c.sent = false
		return c.flush()
	}
	return nil
}

// begin marks a statement as running, with a context that has not ended.
func (c *conn) begin(parent context.Context) {
	c.mu.Lock()
	if c.ctx.Err() != nil && parent.Err() == nil {
		c.ctx, c.end = context.WithCancelCause(session.WithNotify(parent, c.notifyNow))
	}
	c.running = true
	c.mu.Unlock()
	c.runSince.Store(c.srv.tick.Load())
}

func (c *conn) finish() {
	c.stopTimer()
	c.runSince.Store(0)
	c.mu.Lock()
	c.running = false
	c.mu.Unlock()
}

// cancelRunning ends the context of the running statement; where none runs, nothing happens. Any goroutine may call it.
func (c *conn) cancelRunning() { c.cancelFor(context.Canceled) }

func (c *conn) cancelFor(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running && c.end != nil {
		c.end(why)
		if c.copying {
			// A statement that waits for CopyData waits in a read.
			c.raw.SetReadDeadline(time.Unix(1, 0))
		}
	}
}

// drain wakes an idle connection to find that the server shuts down. Any goroutine may call it.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.running {
		c.raw.SetReadDeadline(time.Unix(1, 0))
	}
}

// setCopying marks that the statement reads CopyData.
func (c *conn) setCopying(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.copying = on
	if !on && !c.srv.draining.Load() {
		c.raw.SetReadDeadline(time.Time{})
	}
}

// message serves one message. An error ends the connection; those of statements are told here.
func (c *conn) message(typ byte, body []byte) error {
	if c.skip && typ != 'S' {
		return nil
	}
	var err error
	switch typ {
	case 'Q':
		return c.simpleQuery(body)
	case 'P':
		err = c.parse(body)
	case 'B':
		err = c.bindPortal(body)
	case 'D':
		err = c.describe(body)
	case 'E':
		err = c.execute(body)
	case 'C':
		err = c.closeObject(body)
	case 'H':
		c.sent = true
	case 'S':
		return c.sync()
	case 'd', 'c', 'f':
		// What was under way when a COPY failed.
	case 'F':
		err = &Error{Code: "0A000", Message: "function calls by message are not supported"}
		c.report(err)
		return c.endQuery()
	default:
		return protocolError("invalid frontend message type %d", typ)
	}
	if err != nil {
		if errors.Is(err, errClosed) {
			return err
		}
		c.report(err)
		c.skip, c.sent = true, true // the client may wait for the error before it sends Sync
	}
	if len(c.out) >= flushAt {
		return c.flush()
	}
	return nil
}

// report tells a statement's error and marks the transaction failed.
func (c *conn) report(err error) {
	e := asError(err)
	c.refresh()
	if e.Code == "57014" {
		if c.told() != nil {
			return // the session ends, which is all that the client is told
		}
		e = c.canceled(e)
	}
	if e.Code == "XX000" {
		c.srv.log.Error("internal error", "pid", c.pid, "error", err)
	}
	c.notices()
	severity := e.Severity
	if severity == "" {
		severity = "ERROR"
	}
	c.srv.metrics.failed(e)
	c.fail(e, severity)
	c.session.Fail()
}

// notifyNow sends a notice of the running statement at once. Only the statement's own goroutine calls it, while the
// connection's goroutine waits in Execute for it: they are the same.
func (c *conn) notifyNow(n Notice) {
	c.notice(&n)
	_ = c.flush() // a dead connection shows at the next write
}

func (c *conn) notices() {
	for _, n := range c.session.Notices() {
		c.notice(&n)
	}
}

// endQuery tells changed settings and the transaction's status, and has all of it written. A session that another one terminated is
// not told that it may go on: it would take the statement that was cut off for one that ended.
func (c *conn) endQuery() error {
	if c.told() != nil {
		return nil
	}
	c.refresh()
	c.notices()
	if changed := c.session.ReportedSettings(false); len(changed) > 0 {
		for _, name := range slices.Sorted(maps.Keys(changed)) {
			c.put(&pgproto3.ParameterStatus{Name: name, Value: c.shown(changed[name])})
		}
	}
	status := c.session.TxStatus()
	if status == 'I' {
		c.closePortals(nil)
	}
	c.notifications()
	c.session.Idle()
	c.ready(status)
	c.sent = true
	return nil
}

// settingNames are the settings that codecs need.
var settingNames = [...]string{"TimeZone", "DateStyle", "IntervalStyle", "bytea_output", "extra_float_digits", "client_encoding"}

// refresh takes over the session's settings where they changed.
func (c *conn) refresh() *codec.Settings {
	version := c.session.SettingsVersion()
	if version == c.knownAt {
		return &c.settings
	}
	c.knownAt = version
	for i, name := range settingNames {
		if v := c.session.Setting(name); v != c.known[i] {
			c.known[i] = v
			c.settings.Set(name, v)
		}
	}
	c.encoding = c.settings.Encoding
	return &c.settings
}

// text is a string of the client's in UTF-8. Errors: 22021 and 22P05.
func (c *conn) text(s string) (string, error) {
	s, err := c.refresh().Encoding.DecodeString(s)
	if err == nil && !utf8.ValidString(s) {
		err = codec.CheckText([]byte(s))
	}
	return s, err
}

// closePortals drops all portals but keep.
func (c *conn) closePortals(keep *portal) {
	for name, p := range c.portals {
		if p != keep {
			p.close(c)
			delete(c.portals, name)
		}
	}
}

// park makes the session free for a call: the rows of an open portal are kept aside.
func (c *conn) park() error {
	if c.open == nil {
		return nil
	}
	return c.open.setAside(c)
}
