package harness

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	"github.com/tilehouse/tilehouse/server"
	"github.com/tilehouse/tilehouse/sqlplan/engine"
	"github.com/tilehouse/tilehouse/storage/event"
)

// Options of a server. Zero values have defaults.
type Options struct {
	Dir         string // data directory; default: a new one that ends with the test
	FS          vfs.FS // of the engine; default: the operating system's
	FileRoots   []string
	ExportRoot  string
	ArchiveRoot string
	MemoryLimit int64
	Threads     int
	Clock       func() time.Time // default: time.Now
	NoSettle    bool             // days are settled by Engine.Settle only
	MemTable    int64            // see engine.Config
	Days        event.Days       // what daily states are of; default: UTC days
	Group       string           // see engine.Config
	Log         *slog.Logger     // default: warnings to standard error
	Tracer      trace.Tracer     // default: no spans
	Literals    bool             // spans show statements as they were sent
}

// Server is an engine behind a listening server, in this process.
type Server struct {
	Engine *engine.Engine
	DSN    string // of role and database tilehouse
	Dir    string
	server *server.Server
	done   chan error
	stop   func()
}

// Start starts a server on a free loopback port. It is stopped when the test ends, unless Stop did so before.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	ctx := context.Background()
	eng, err := engine.Open(ctx, engine.Config{Dir: o.Dir, FS: o.FS, FileRoots: o.FileRoots, ExportRoot: o.ExportRoot, ArchiveRoot: o.ArchiveRoot, MemoryLimit: o.MemoryLimit, Threads: o.Threads,
		Clock: o.Clock, NoSettle: o.NoSettle, Days: o.Days, MemTable: o.MemTable, Group: o.Group, Log: o.Log, Tracer: o.Tracer})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(eng, server.Config{Listen: "127.0.0.1:0", AllowTrust: true, Tracer: o.Tracer, TraceLiterals: o.Literals}, o.Log)
	if err == nil {
		err = srv.Listen()
	}
	if err != nil {
		t.Fatal(errors.Join(err, eng.Close()))
	}
	s := &Server{Engine: eng, Dir: o.Dir, server: srv, done: make(chan error, 1), DSN: "postgres://tilehouse@" + srv.Addr().String() + "/tilehouse?sslmode=disable"}
	go func() { s.done <- srv.Serve(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			if err := s.shutdown(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	s.stop = stop
	return s
}

// shutdownGrace is how long statements that still run may take to end.
const shutdownGrace = 10 * time.Second

func (s *Server) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	return errors.Join(s.server.Shutdown(ctx), <-s.done, s.Engine.Close())
}

// Stop ends the server and closes its data directory, which another Start can then open.
func (s *Server) Stop() { s.stop() }

// Connect opens a connection that ends with the test.
func (s *Server) Connect(t testing.TB) *pgx.Conn {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(ctx) }) // a server that stopped before has closed it already
	return c
}
