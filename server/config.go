package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// Config says where to listen and what a client may take. Zero values become the defaults named.
type Config struct {
	// Listen is host:port, or an absolute path of a Unix socket. Default "127.0.0.1:5432".
	Listen string
	// TLSCert and TLSKey are PEM files; with both, clients may use TLS 1.2 or later. Default: no TLS.
	TLSCert, TLSKey string
	// RequireTLS refuses sessions that are not encrypted, those of a Unix socket excepted.
	RequireTLS bool
	// AllowTrust lets roles that have no password in without one. It is for the loopback interface: New refuses any other
	// Listen address with it.
	AllowTrust bool
	// MaxConnections is the number of sessions at a time. Default 200.
	MaxConnections int
	// StartupTimeout bounds TLS, startup and authentication together. Default 30 s.
	StartupTimeout time.Duration
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
}

// maxStartupMessage bounds messages before authentication, in bytes, as PostgreSQL does.
const maxStartupMessage = 10_000

// cancelSlots is how many connections beyond MaxConnections may be open to present a cancel request or be refused.
const cancelSlots = 32

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
	case c.MaxConnections < 0 || c.MaxStatements < 0 || c.MaxPortals < 0 || c.MaxMessage < 0 || c.MaxCopyLine < 0 ||
		c.PortalMemory < 0 || c.PortalSpill < 0 || c.StartupTimeout < 0:
		return c, errors.New("server: limits must not be negative")
	case c.MaxMessage > 1<<30:
		return c, errors.New("server: a message of more than 1 GiB does not exist in the protocol")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return c, errors.New("server: a TLS certificate and its key must be given together")
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
