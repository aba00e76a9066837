package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/peterbourgon/ff/v3"
	"github.com/peterbourgon/ff/v3/ffcli"

	"github.com/tilehouse/tilehouse/server"
	"github.com/tilehouse/tilehouse/sqlplan/engine"
	"github.com/tilehouse/tilehouse/sqlplan/scram"
)

// list is a flag that may be given several times, or once with commas.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(s string) error {
	for v := range strings.SplitSeq(s, ",") {
		if v = strings.TrimSpace(v); v != "" {
			*l = append(*l, v)
		}
	}
	return nil
}

// size is a flag of bytes: 512MB, 2GiB.
type size int64

func (s *size) String() string { return humanize.IBytes(uint64(*s)) }

func (s *size) Set(v string) error {
	n, err := humanize.ParseBytes(v)
	if err != nil {
		return fmt.Errorf("%q is no size: write a number with a unit, such as 512MB", v)
	}
	*s = size(n)
	return nil
}

type serveConfig struct {
	data, listen, password, tlsCert, tlsKey, tlsClientCA, logLevel, debugListen, metricsListen string
	requireTLS                                                                                 bool
	fileRoots                                                                                  list
	exportRoot, archiveRoot                                                                    string
	memory, cache                                                                              size
	threads, maxConnections, reserved, maxLogins                                               int
	loginTimeout, loginDelay                                                                   time.Duration
	maxMessage                                                                                 size
	traces                                                                                     traceConfig
}

func (c *serveConfig) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.data, "data", "", "data `directory`; made if it does not exist")
	fs.StringVar(&c.exportRoot, "export-root", "", "`directory` under which COPY … TO 'file' may write; none: no files")
	fs.StringVar(&c.archiveRoot, "archive-root", "", "`directory` below which sources with an archive keep their messages; the servers of a group share it; none: no archives")
	fs.Var(&c.fileRoots, "file-root", "`directory` under which file sources and COPY may read; may be given several times; none: no files")
	fs.StringVar(&c.password, "password", "", "set the password of role tilehouse to this at start; better: tilehouse password, or TILEHOUSE_PASSWORD")
	fs.Var(&c.cache, "online-cache", "memory for values of hot keys; 0: 64MiB, at most a sixteenth of the memory limit")
	c.serverFlags(fs)
}

// serverFlags are the flags of a server that has no data of its own, too.
func (c *serveConfig) serverFlags(fs *flag.FlagSet) {
	c.memory = 2 << 30
	fs.StringVar(&c.listen, "listen", "127.0.0.1:5433", "`host:port` to listen on; without a password only a loopback address")
	fs.StringVar(&c.tlsCert, "tls-cert", "", "certificate `file` (PEM)")
	fs.StringVar(&c.tlsKey, "tls-key", "", "private key `file` (PEM)")
	fs.StringVar(&c.tlsClientCA, "tls-client-ca", "", "`file` (PEM) of authorities of client certificates; a client that shows one logs in as the role of its common name")
	fs.BoolVar(&c.requireTLS, "require-tls", false, "refuse connections that are not encrypted")
	fs.Var(&c.memory, "memory-limit", "memory of the process: itself, caches, queries, joins and backfills together, such as 512MB")
	fs.IntVar(&c.threads, "threads", runtime.GOMAXPROCS(0), "threads of queries and joins")
	fs.IntVar(&c.maxConnections, "max-connections", 200, "connections at most")
	fs.IntVar(&c.reserved, "superuser-reserved-connections", 0, "how many of them are kept for superusers; 0: 3, or none of less than 10")
	fs.IntVar(&c.maxLogins, "max-logins", 64, "connections at most that have not logged in yet; one more ends the oldest of them")
	fs.DurationVar(&c.loginTimeout, "login-timeout", 30*time.Second, "how long a client may take to log in")
	fs.DurationVar(&c.loginDelay, "login-delay", 5*time.Second, "how long a login waits at most whose address failed often; negative: not at all")
	c.maxMessage = 64 << 20
	fs.Var(&c.maxMessage, "max-message", "the largest message, such as a statement, of a client that has logged in")
	fs.StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&c.debugListen, "debug-listen", "", "loopback `host:port` for Go's profiles over HTTP (/debug/pprof/); empty: none")
	fs.StringVar(&c.metricsListen, "metrics-listen", "", "`host:port` for Prometheus over HTTP (/metrics, and /ready), without a password; empty: none")
	c.traces.flags(fs)
	fs.String("config", "", "configuration `file`: lines of a flag and its value")
}

func serveCommand() *ffcli.Command {
	fs := flag.NewFlagSet("tilehouse serve", flag.ContinueOnError)
	var c serveConfig
	c.flags(fs)
	return &ffcli.Command{
		Name: "serve", ShortUsage: "tilehouse serve --data DIR [--listen HOST:PORT] [--file-root DIR]…",
		ShortHelp: "Serve a data directory over the PostgreSQL protocol.",
		LongHelp:  "Serves until SIGTERM or SIGINT. Role and database are both called tilehouse:\n\n  psql -h 127.0.0.1 -p 5433 -U tilehouse",
		FlagSet:   fs,
		Options:   []ff.Option{ff.WithEnvVarPrefix("TILEHOUSE"), ff.WithConfigFileFlag("config"), ff.WithConfigFileParser(ff.PlainParser)},
		Exec: func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("serve takes no argument %q; see tilehouse serve -h", args[0])
			}
			if c.data == "" {
				return errors.New("serve needs --data DIR, the directory to keep everything in")
			}
			s, err := start(ctx, &c)
			if err != nil {
				return err
			}
			fmt.Printf("tilehouse is ready on %s (data %s, %s, %d ms)\n", s.addr(), c.data, s.access, s.took.Milliseconds())
			return s.wait(ctx)
		},
	}
}

// running is a started server.
type running struct {
	engine *engine.Engine
	server *server.Server
	serve  chan error
	// stopMetrics ends what reads the engine for Prometheus; nil: nothing does.
	stopMetrics func(context.Context) error
	stopTraces  func() error
	access      string // how clients get in, in words
	took        time.Duration
}

func (r *running) addr() string { return r.server.Addr().String() }

func start(ctx context.Context, c *serveConfig) (*running, error) {
	return startWith(ctx, c, engine.Open)
}

// startWith starts a server of the engine that open opens.
func startWith(ctx context.Context, c *serveConfig, open func(context.Context, engine.Config) (*engine.Engine, error)) (_ *running, err error) {
	began := time.Now()
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %q: write debug, info, warn or error", c.logLevel)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	tracer, stopTraces, err := c.traces.open(ctx, log)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, stopTraces())
		}
	}()
	debug.SetMemoryLimit(engine.ShareMemory(int64(c.memory)).Heap)
	eng, err := open(ctx, engine.Config{
		Dir: c.data, FileRoots: c.fileRoots, ExportRoot: c.exportRoot, ArchiveRoot: c.archiveRoot, MemoryLimit: int64(c.memory), SetHeap: func(bytes int64) { debug.SetMemoryLimit(bytes) }, OnlineCache: int64(c.cache), Threads: c.threads, Log: log, Tracer: tracer,
	})
	if err != nil {
		return nil, err
	}
	if c.password != "" {
		if err := setPassword(ctx, eng, c.password); err != nil {
			return nil, errors.Join(err, eng.Close())
		}
	}
	r := &running{engine: eng, stopTraces: stopTraces, serve: make(chan error, 1)}
	trust := !eng.HasPassword(engine.DefaultRole)
	r.access = "password required"
	if trust {
		r.access = "no password: loopback only"
	}
	r.server, err = server.New(eng, server.Config{
		Listen: c.listen, TLSCert: c.tlsCert, TLSKey: c.tlsKey, ClientCA: c.tlsClientCA, RequireTLS: c.requireTLS, AllowTrust: trust,
		MaxConnections: c.maxConnections, ReservedConnections: c.reserved, MaxLogins: c.maxLogins,
		StartupTimeout: c.loginTimeout, LoginDelay: c.loginDelay, MaxMessage: int(c.maxMessage),
		Tracer: tracer, TraceLiterals: c.traces.literals,
	}, log)
	if err == nil {
		err = r.server.Listen()
	}
	if err != nil {
		return nil, errors.Join(err, eng.Close())
	}
	if c.debugListen != "" {
		if err := serveProfiles(c.debugListen); err != nil {
			return nil, errors.Join(err, r.server.Shutdown(ctx), eng.Close())
		}
	}
	if c.metricsListen != "" {
		if r.stopMetrics, err = serveMetrics(c.metricsListen, log, eng, r.server); err != nil {
			return nil, errors.Join(err, r.server.Shutdown(ctx), eng.Close())
		}
	}
	go func() { r.serve <- r.server.Serve(context.WithoutCancel(ctx)) }()
	r.took = time.Since(began)
	return r, nil
}

// shutdownGrace is how long running statements may go on after SIGTERM before they are cancelled.
const shutdownGrace = 3 * time.Second

// wait serves until ctx ends, then ends the server and closes the engine.
func (r *running) wait(ctx context.Context) error {
	select {
	case err := <-r.serve:
		return errors.Join(err, r.endMetrics(), r.engine.Close(), r.stopTraces())
	case <-ctx.Done():
	}
	err := r.endMetrics() // first, so that /ready is refused
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if stopped := r.server.Shutdown(end); !errors.Is(stopped, context.DeadlineExceeded) { // else what still ran was cancelled, in order
		err = errors.Join(err, stopped)
	}
	return errors.Join(err, r.engine.Close(), r.stopTraces())
}

// endMetrics ends what reads the engine for Prometheus, which must not meet a closed one.
func (r *running) endMetrics() error {
	if r.stopMetrics == nil {
		return nil
	}
	end, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	return r.stopMetrics(end)
}

func setPassword(ctx context.Context, eng *engine.Engine, password string) error {
	verifier, err := scram.Verifier(password)
	if err != nil {
		return err
	}
	return eng.SetVerifier(ctx, engine.DefaultRole, verifier)
}

func passwordCommand() *ffcli.Command {
	fs := flag.NewFlagSet("tilehouse password", flag.ContinueOnError)
	data := fs.String("data", "", "data `directory` of a server that is not running")
	return &ffcli.Command{
		Name: "password", ShortUsage: "tilehouse password --data DIR < password", FlagSet: fs,
		ShortHelp: "Set the password of role tilehouse, read from standard input.",
		Options:   []ff.Option{ff.WithEnvVarPrefix("TILEHOUSE")},
		Exec: func(ctx context.Context, _ []string) error {
			if *data == "" {
				return errors.New("password needs --data DIR")
			}
			line, err := bufio.NewReader(os.Stdin).ReadString('\n')
			if line = strings.TrimRight(line, "\r\n"); line == "" {
				return fmt.Errorf("no password on standard input: %w", err)
			}
			eng, err := engine.Open(ctx, engine.Config{Dir: *data, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				return err
			}
			return errors.Join(setPassword(ctx, eng, line), eng.Close())
		},
	}
}
