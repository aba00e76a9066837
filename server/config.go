package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Config says where to listen and what a client may take. Zero values become the defaults named.
type Config struct {
	// Listen is host:port, or an absolute path of a Unix socket. Default "127.0.0.1:5432".
	Listen string
	// TLSCert and TLSKey are PEM files; with both, clients may use TLS 1.2 or later. Default: no TLS.
	TLSCert, TLSKey string
	// ClientCA is a PEM file of the authorities whose client certificates are taken: a client that shows one logs in as the
	// role that its common name says, without a password, and as no other. Default: certificates are not asked for.
	ClientCA string
	// RequireTLS refuses sessions that are not encrypted, those of a Unix socket excepted.
	RequireTLS bool
	// AllowTrust lets roles that have no password in without one. It is for the loopback interface: New refuses any other
	// Listen address with it.
	AllowTrust bool
	// MaxConnections is the number of sessions at a time. Default 200. The last ReservedConnections of them are superusers'; by
	// default 3, or none where MaxConnections is less than 10.
	MaxConnections, ReservedConnections int
	// MaxLogins is the number of connections at a time that have not logged in yet, cancel requests among them. One more makes
	// the oldest of them go. Default 64.
	MaxLogins int
	// StartupTimeout bounds TLS, startup and authentication together. Default 30 s.
	StartupTimeout time.Duration
	// LoginDelay is the longest that a login waits whose address failed often. Default 5 s; negative: none.
	LoginDelay time.Duration
	// WriteTimeout is how long a client may leave a full socket unread before it is disconnected. Default 10 min; negative: no limit.
	WriteTimeout time.Duration
	// MaxMessage is the largest message of an authenticated client, in bytes. Default 64 MiB.
	MaxMessage int
	// MaxStatements and MaxPortals are the named statements and portals a session may have. Defaults 10,000 and 1,000.
	MaxStatements, MaxPortals int
	// MaxCopyLine is the longest line of COPY FROM STDIN, in bytes. Default 64 MiB.
	MaxCopyLine int
	// PortalMemory is how many bytes of rows a suspended portal keeps in memory when another statement runs; more go to a
	// temporary file in TempDir (default: the system's), of at most PortalSpill bytes. Defaults 1 MiB and 1 GiB.
	PortalMemory, PortalSpill int64
	TempDir                   string
	// Tracer makes a span of each statement. Default: there are none.
	Tracer trace.Tracer
	// TraceLiterals lets spans show statements as they were sent. Default: with ? in the place of each literal, and without comments.
	TraceLiterals bool
}

// maxStartupMessage bounds messages before authentication, in bytes, as PostgreSQL does.
const maxStartupMessage = 10_000

func (c Config) withDefaults() (Config, error) {
	def := func(p *int, d int) {
		if *p == 0 {
			*p = d
		}
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:5432"
	}
	def(&c.MaxConnections, 200)
	def(&c.MaxLogins, 64)
	if c.ReservedConnections == 0 && c.MaxConnections >= 10 {
		c.ReservedConnections = 3
	}
	if c.LoginDelay == 0 {
		c.LoginDelay = 5 * time.Second
	}
	def(&c.MaxMessage, 64<<20)
	def(&c.MaxStatements, 10_000)
	def(&c.MaxPortals, 1_000)
	def(&c.MaxCopyLine, 64<<20)
	if c.PortalMemory == 0 {
		c.PortalMemory = 1 << 20
	}
	if c.PortalSpill == 0 {
		c.PortalSpill = 1 << 30
	}
	if c.StartupTimeout == 0 {
		c.StartupTimeout = 30 * time.Second
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = 10 * time.Minute
	}
	if c.TempDir == "" {
		c.TempDir = os.TempDir()
	}
	switch {
	case c.ReservedConnections < 0 || c.MaxLogins < 0 || c.MaxConnections < 0 || c.MaxStatements < 0 || c.MaxPortals < 0 || c.MaxMessage < 0 || c.MaxCopyLine < 0 ||
		c.PortalMemory < 0 || c.PortalSpill < 0 || c.StartupTimeout < 0:
		return c, errors.New("server: limits must not be negative")
	case c.MaxMessage > 1<<30:
		return c, errors.New("server: a message of more than 1 GiB does not exist in the protocol")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return c, errors.New("server: a TLS certificate and its key must be given together")
	case c.ReservedConnections >= c.MaxConnections && c.ReservedConnections > 0:
		return c, errors.New("server: the connections reserved for superusers must be less than all")
	case c.ClientCA != "" && c.TLSCert == "":
		return c, errors.New("server: client certificates need TLS, but the server has no certificate of its own")
	case c.RequireTLS && c.TLSCert == "":
		return c, errors.New("server: TLS is required but there is no certificate")
	}
	if c.AllowTrust && !isUnix(c.Listen) {
		host, _, err := net.SplitHostPort(c.Listen)
		if err != nil {
			return c, fmt.Errorf("server: listen address: %w", err)
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return c, fmt.Errorf("server: refusing to listen on %s while roles may connect without a password: "+
				"give role tilehouse a password (tilehouse password --data DIR), or listen on 127.0.0.1", c.Listen)
		}
	}
	return c, nil
}

func isUnix(listen string) bool { return strings.HasPrefix(listen, "/") }
