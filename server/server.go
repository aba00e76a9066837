package server

import (
	"context"
	"crypto/hmac"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Server accepts connections and serves each with a Session of the engine. It is safe for concurrent use.
type Server struct {
	engine   Engine
	cfg      Config
	log      *slog.Logger
	tls      *tls.Config
	binder   []byte // hash of the certificate for SCRAM's channel binding; nil without TLS
	failures *failures
	metrics  *metrics

	draining atomic.Bool
	tick     atomic.Int64 // counts monitorInterval, from 1
	pid      atomic.Uint32

	mu       sync.Mutex
	listener net.Listener
	conns    map[uint32]*conn // all that are open, by process id
	pending  []*conn          // those that have not logged in yet, the oldest first
	sessions int              // those that have
	roles    map[string]int   // the same by role
	closed   bool
	wg       sync.WaitGroup
	stop     chan struct{} // closed by Shutdown and by the end of Serve
	stopOnce sync.Once
}

// monitorInterval is how often running statements' sockets are looked at.
const monitorInterval = 250 * time.Millisecond

// New checks the configuration and loads the certificate. A nil log discards. It does not listen yet.
func New(engine Engine, cfg Config, log *slog.Logger) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{engine: engine, cfg: cfg, log: log, conns: map[uint32]*conn{}, roles: map[string]int{}, stop: make(chan struct{}), failures: newFailures(cfg.LoginDelay), metrics: newMetrics()}
	s.tick.Store(1)
	if cfg.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("server: TLS certificate: %w", err)
		}
		s.tls = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"postgresql"}}
		s.binder = endpointHash(cert.Certificate[0])
	}
	if cfg.ClientCA != "" {
		pem, err := os.ReadFile(cfg.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("server: authorities of client certificates: %w", err)
		}
		s.tls.ClientCAs = x509.NewCertPool()
		if !s.tls.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("server: authorities of client certificates: no certificate in %s", cfg.ClientCA)
		}
		s.tls.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return s, nil
}

// Listen opens the listener; Addr is valid afterwards.
func (s *Server) Listen() error {
	network := "tcp"
	if isUnix(s.cfg.Listen) {
		network = "unix"
		// A socket that a server left behind when it died would block the address; one that answers is in use.
		if c, err := net.Dial("unix", s.cfg.Listen); err == nil {
			c.Close()
			return fmt.Errorf("server: listen: %s is in use", s.cfg.Listen)
		}
		if st, err := os.Stat(s.cfg.Listen); err == nil && st.Mode()&os.ModeSocket != 0 {
			if err := os.Remove(s.cfg.Listen); err != nil {
				return fmt.Errorf("server: listen: %w", err)
			}
		}
	}
	l, err := net.Listen(network, s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("server: listen: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.listener != nil {
		l.Close()
		return errors.New("server: already listening or shut down")
	}
	s.listener = l
	return nil
}

// Addr is the listener's address, nil before Listen.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Serve accepts connections until Shutdown (then it returns nil), until ctx ends (then sessions are ended at once), or until
// the listener fails. It listens first where Listen was not called.
func (s *Server) Serve(ctx context.Context) error {
	s.mu.Lock()
	l := s.listener
	s.mu.Unlock()
	if l == nil {
		if err := s.Listen(); err != nil {
			return err
		}
		s.mu.Lock()
		l = s.listener
		s.mu.Unlock()
	}
	go s.monitor()
	end := context.AfterFunc(ctx, func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		s.Shutdown(now)
	})
	defer end()
	delay := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err != nil {
			if s.draining.Load() {
				s.wg.Wait()
				return nil
			}
			// Accept fails for a moment when the process has no descriptor left; the server outlives that.
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() || isTemporary(err) {
				delay = min(max(2*delay, 5*time.Millisecond), time.Second)
				s.log.Warn("accept failed", "error", err, "retry", delay)
				time.Sleep(delay)
				continue
			}
			return fmt.Errorf("server: accept: %w", err)
		}
		delay = 0
		c := newConn(s, nc)
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			nc.Close()
			continue
		}
		if len(s.pending) >= s.cfg.MaxLogins {
			s.log.Warn("a connection that did not log in makes room for another", "remote", s.pending[0].raw.RemoteAddr().String())
			s.pending[0].raw.Close()
			s.pending = s.pending[1:]
		}
		s.pending = append(s.pending, c)
		for c.pid = s.pid.Add(1); c.pid == 0 || s.conns[c.pid] != nil; {
			c.pid = s.pid.Add(1)
		}
		s.conns[c.pid] = c
		s.wg.Add(1)
		s.mu.Unlock()
		go func() {
			defer s.wg.Done()
			c.serve(ctx)
			s.mu.Lock()
			delete(s.conns, c.pid)
			s.notPending(c)
			if c.counted {
				s.sessions--
				if s.roles[c.role]--; s.roles[c.role] == 0 {
					delete(s.roles, c.role)
				}
			}
			s.mu.Unlock()
		}()
	}
}

// notPending takes c out of those that have not logged in. s.mu is held.
func (s *Server) notPending(c *conn) {
	if i := slices.Index(s.pending, c); i >= 0 {
		s.pending = slices.Delete(s.pending, i, i+1)
	}
}

// full reports whether there is no room for another session, of whatever role.
func (s *Server) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions >= s.cfg.MaxConnections
}

// admit counts c, which has logged in as a role, against the limits on connections. Errors: 53300.
func (s *Server) admit(c *conn, role string, login Login) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.sessions >= s.cfg.MaxConnections:
		return tooMany
	case login.Superuser:
	case s.sessions >= s.cfg.MaxConnections-s.cfg.ReservedConnections:
		return &Error{Code: "53300", Message: "remaining connection slots are reserved for non-replication superuser connections"}
	case login.Connections >= 0 && s.roles[role] >= login.Connections:
		return &Error{Code: "53300", Message: fmt.Sprintf("too many connections for role %q", role)}
	}
	s.notPending(c)
	s.sessions++
	s.roles[role]++
	c.counted, c.role = true, role
	return nil
}

var tooMany = &Error{Code: "53300", Message: "sorry, too many clients already"}

// cancelRequest ends the running statement of the session with that key.
func (s *Server) cancelRequest(pid uint32, key []byte) {
	s.mu.Lock()
	c := s.conns[pid]
	s.mu.Unlock()
	if c != nil && len(key) == 4 && hmac.Equal(key, binary.BigEndian.AppendUint32(nil, c.key)) {
		c.cancelRunning()
	}
}

// each calls f on every open connection.
func (s *Server) each(f func(*conn)) {
	s.mu.Lock()
	all := make([]*conn, 0, len(s.conns))
	for _, c := range s.conns {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		f(c)
	}
}

// monitor ends statements of clients that hung up and connections of clients that do not read.
func (s *Server) monitor() {
	t := time.NewTicker(monitorInterval)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
		}
		now := s.tick.Add(1)
		s.each(func(c *conn) {
			if since := c.runSince.Load(); since != 0 && now-since > 1 && hungUp(c.raw) {
				s.log.Debug("client hung up", "pid", c.pid)
				c.cancelRunning()
			}
			if since := c.writeSince.Load(); since != 0 && s.cfg.WriteTimeout > 0 &&
				time.Duration(now-since)*monitorInterval > s.cfg.WriteTimeout {
				s.log.Warn("client does not read", "pid", c.pid)
				c.cancelRunning()
				c.raw.Close()
			}
		})
	}
}

// shutdownGrace is how long cancelled statements get to end before their connections are closed.
const shutdownGrace = 2 * time.Second

// Shutdown stops accepting, tells idle sessions 57P01 and waits for running statements until ctx ends; then it cancels them,
// and closes what is left after shutdownGrace. It returns ctx's error where it did not wait for all.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.stopOnce.Do(func() { close(s.stop) })
	s.mu.Lock()
	s.closed = true
	l := s.listener
	s.mu.Unlock()
	if l != nil {
		l.Close()
	}
	s.each((*conn).drain)
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.each((*conn).cancelRunning)
	grace := time.NewTimer(shutdownGrace)
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
		s.each(func(c *conn) { c.raw.Close() })
		s.log.Warn("sessions cut off at shutdown")
	}
	return ctx.Err()
}
