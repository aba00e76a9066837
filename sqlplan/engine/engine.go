package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/materialize/disperse"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/featurelog"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/streams"
	"github.com/tilehouse/tilehouse/storage/tiles"
)

// DefaultRole is the role, and the database, that exist from the start.
const DefaultRole = schema.BootstrapRole

// Config says where an engine keeps its data and how much it may use. Zero values have defaults.
type Config struct {
	Dir         string   // made if it does not exist
	FS          vfs.FS   // holds all of Dir but DuckDB's databases; default: the operating system's
	FileRoots   []string // directories that file sources may read under
	ExportRoot  string   // the directory that COPY … TO 'file' may write under; "": none
	ArchiveRoot string   // the directory that archives of sources are below, which the servers of a group share; "": none
	MemoryLimit int64    // bytes, shared out by ShareMemory; default 2 GiB
	// SetHeap is told to how many bytes Go's heap is to keep, each time that changes: what DuckDB does not use of its share is lent to it. nil: it
	// keeps to ShareMemory's, which it is not told.
	SetHeap     func(bytes int64)
	OnlineCache int64 // bytes of values of hot keys; default 64 MiB, at most a sixteenth of what is shared out
	Threads     int   // default: the processors
	Log         *slog.Logger
	Clock       func() time.Time
	Tracer      trace.Tracer // makes spans; nil: there are none
	NoSettle    bool         // for tests: days are settled by Settle only
	MemTable    int64        // for tests: bytes that the log collects before it writes a sorted file; 0: its share of MemoryLimit
	Days        event.Days   // for tests: what daily states are of; 0: UTC days. No value depends on it
	Journal     int64        // for tests: tiles.Options.JournalEntries
	Group       string       // for tests: ingest.Config.ArchiveGroup
	gateway     *gateway     // of OpenGateway
}

// The least memory limit that an engine starts with, in bytes.
const minMemory = 128 << 20

func (c *Config) defaults() {
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.MemoryLimit == 0 {
		c.MemoryLimit = 2 << 30
	}
	if c.OnlineCache == 0 {
		c.OnlineCache = min(tiles.DefaultCacheBytes, ShareMemory(c.MemoryLimit).cache)
	}
	if c.MemTable == 0 {
		c.MemTable = ShareMemory(c.MemoryLimit).table
	}
	if c.Threads <= 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
}

// Engine is an open data directory. It implements session.Engine and is safe for concurrent use.
type Engine struct {
	cfg      Config
	memory   Memory
	log      *reclog.Log
	catalog  *schema.Registry
	db       *duck.DB
	tiles    *tiles.Store
	mat      *materialize.Manager
	ingest   *ingest.Ingest      // of Kafka and PostgreSQL sources
	features *featurelog.Log     // of online reads of feature views
	exports  *exports            // nil: none
	disperse *disperse.Disperser // to the online store; nil on a gateway
	gateway  *gateway            // nil: the data is here
	lender   *lender
	lookups  prometheus.Histogram
	fresh    *prometheus.HistogramVec

	sessions sessions
	signals  int64 // the provider of pg_cancel_backend and its kin
	forget   func()
	channels channels
	// writesStarted and writesFinished count the changes of tables (writing).
	writesStarted, writesFinished atomic.Int64
	ddl                           atomic.Int64 // counts changes of ordinary tables' columns

	functions     sync.Once
	duckFunctions map[string]bool // DuckDB's; nil: not known

	started  time.Time
	assigned atomic.Int64 // newest time given to a row by now(), microseconds

	lastTransaction atomic.Int64 // the newest transaction that asked for its number

	// Plans of statements that read PostgreSQL's catalogs alone, and of those that read nothing.
	catalogPlans, constantPlans lastingPlans
	tablesVersion               atomic.Uint64 // counts the commits that changed ordinary objects
	sequences                   *sequences
	locks                       *tableLocks
	changes                     tableChanges
	keys                        *keyFilters
	groups                      writeGroups
}

// Open opens or creates a data directory. Errors: one in use, one written by a newer version, a bad file root, too little memory.
func Open(ctx context.Context, cfg Config) (_ *Engine, err error) {
	cfg.defaults()
	if cfg.MemoryLimit < minMemory {
		return nil, fmt.Errorf("memory limit %d is too small: at least %d bytes", cfg.MemoryLimit, minMemory)
	}
	roots, err := materialize.NewRoots(cfg.FileRoots)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, gateway: cfg.gateway, memory: ShareMemory(cfg.MemoryLimit), started: cfg.Clock(), lookups: newLookupTimes(), fresh: newFreshness()}
	e.signals, e.forget = duck.Provide(&e.sessions)
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if e.exports, err = openExports(cfg.ExportRoot); err != nil {
		return nil, err
	}
	if e.log, err = reclog.Open(filepath.Join(dir, "log"), reclog.Options{FS: cfg.FS, Clock: cfg.Clock, Log: cfg.Log, CacheBytes: e.memory.Blocks, MemTableBytes: cfg.MemTable}); err != nil {
		return nil, fmt.Errorf("data directory %s: %w", cfg.Dir, err)
	}
	if e.catalog, err = schema.OpenRegistry(e.log.DB()); err != nil {
		return nil, err
	}
	e.db, err = duck.Open(filepath.Join(dir, "tables.duckdb"), duck.Options{
		MemoryLimit: e.memory.duck, TempDir: filepath.Join(dir, "spill", "duckdb"), Threads: cfg.Threads, ReadRoots: roots, WriteRoots: e.exports.directories(), Scalars: functionsOfOurs(),
		Init: append(append(slices.Clone(createDocuments), "ATTACH "+duck.QuoteLiteral(filepath.Join(dir, "projections.duckdb"))+" AS proj", materialize.CreatePositions), pgcatalog.Init...),
	})
	if err != nil {
		return nil, err
	}
	if err := e.widenNumerics(ctx); err != nil {
		return nil, err
	}
	e.locks, e.keys = newTableLocks(), newKeyFilters()
	e.sequences = &sequences{log: e.log, states: map[uint64]*sequenceState{}}
	e.features = featurelog.Open(e.log, cfg.Clock, cfg.Log)
	e.tiles = tiles.Open(e.log.DB(), tiles.Options{CacheBytes: cfg.OnlineCache, Days: cfg.Days, Release: e.log.Release,
		JournalEntries: cfg.Journal, BuildFiles: tiles.BuildFiles{FS: cfg.FS, Dir: filepath.Join(dir, "spill"), Writer: e.log.TableWriter()}})
	if e.gateway != nil {
		e.mat = materialize.NewGateway(materialize.Config{Log: e.log, Tiles: e.tiles, Catalog: e.catalog, Logger: cfg.Log, Clock: cfg.Clock}, e.gateway.distant)
		return e, nil
	}
	if disperse.ConnectionOf(e.catalog.Current()) != nil { // before the first change
		if _, err := e.tiles.FollowChanges(true); err != nil {
			return nil, err
		}
	}
	e.lender = lend(e.memory, cfg.SetHeap)
	e.mat, err = materialize.New(ctx, materialize.Config{
		Dir: dir, FS: cfg.FS, Log: e.log, DB: e.db, Tiles: e.tiles, Catalog: e.catalog, Roots: roots,
		Tracer: cfg.Tracer, Memory: e.memory.join, Spare: e.lender.lent, Threads: cfg.Threads, Logger: cfg.Log, Clock: cfg.Clock, NoSettle: cfg.NoSettle, Days: cfg.Days,
	})
	if err != nil {
		return nil, err
	}
	if e.disperse, err = disperse.New(ctx, disperse.Config{Tracer: cfg.Tracer, DB: e.log.DB(), Tiles: e.tiles, Catalog: e.catalog, Groups: e.mat.Served, Kept: e.mat.KeptOf, Fold: e.mat.FoldNow, Clock: cfg.Clock, Logger: cfg.Log}); err != nil {
		return nil, err
	}
	e.ingest = ingest.New(ctx, ingest.Config{Tracer: cfg.Tracer, Log: e.log, Catalog: e.catalog, Decoder: e.decoder, Text: writtenValue, Live: e.mat.LiveRows, Assigned: e.noteAssigned, FetchBytes: e.memory.fetch, OfRow: e.ofRow, Refusals: e.refusals, Clock: cfg.Clock, Logger: cfg.Log, LetterBytes: streams.MaxLetterBytes, Freshness: e.fresh,
		ArchiveRoot: cfg.ArchiveRoot, ArchiveGroup: cfg.Group})
	return e, nil
}

// Close ends the engine. No session may be open.
func (e *Engine) Close() error {
	var errs []error
	e.forget()
	if e.ingest != nil {
		e.ingest.Close()
	}
	if e.disperse != nil {
		e.disperse.Close()
	}
	if e.mat != nil {
		errs = append(errs, e.mat.Close())
	}
	e.lender.stop()
	if e.db != nil {
		errs = append(errs, e.db.Close())
	}
	if e.features != nil {
		e.features.Close()
	}
	if e.tiles != nil {
		e.tiles.Close()
	}
	if e.sequences != nil {
		errs = append(errs, e.sequences.close())
	}
	if e.log != nil {
		errs = append(errs, e.log.Close())
	}
	errs = append(errs, e.exports.close())
	if e.gateway != nil {
		errs = append(errs, e.gateway.close())
	}
	return errors.Join(errs...)
}

// Connect opens a session.
func (e *Engine) Connect(_ context.Context, info session.ConnectInfo) (session.Session, error) {
	cat := e.catalog.Current()
	role := cat.Role(info.User)
	switch {
	case role == nil:
		return nil, fail("28000", "role %q does not exist", info.User)
	case !role.Login:
		return nil, fail("28000", "role %q is not permitted to log in", info.User)
	case info.Database != DefaultRole:
		return nil, fail("3D000", "database %q does not exist", info.Database)
	case cat.Allowed(role.ID, schema.Ref{Class: schema.ClassDatabase, Name: info.Database}, schema.Connect) == 0:
		e := denied("permission denied for database %q", info.Database)
		e.Detail = "User does not have CONNECT privilege."
		return nil, e
	}
	s, err := e.newSession(info, role)
	if err != nil {
		return nil, asError(err)
	}
	e.sessions.add(s)
	return s, nil
}

// now is the clock in microseconds.
func (e *Engine) now() int64 { return e.cfg.Clock().UnixMicro() }

// noteAssigned remembers the newest time that the server gave to a row.
func (e *Engine) noteAssigned(t int64) {
	for old := e.assigned.Load(); t > old && !e.assigned.CompareAndSwap(old, t); old = e.assigned.Load() {
	}
}

// readTime is the instant of an online read: the clock, and past every time that the server itself gave to a row, so that a
// row inserted with now() counts in the next lookup although the cut is strict.
func (e *Engine) readTime() int64 { return max(e.now(), e.assigned.Load()+1) }

// commit writes changes as one transaction of the log.
func (e *Engine) commit(ctx context.Context, cat *schema.Catalog, changes []reclog.Change) error {
	_, err := e.log.Commit(ctx, &reclog.Txn{Changes: changes})
	return e.commitError(err, cat, changes)
}

// commitError says of an error of committing changes which relation it is about.
func (e *Engine) commitError(err error, cat *schema.Catalog, changes []reclog.Change) error {
	var of *duck.Error
	if errors.As(err, &of) && len(changes) > 0 { // only the features' expressions are DuckDB's here
		out := asError(err)
		if r := cat.Relations[uint32(changes[0].Source)]; r != nil {
			out.Message = fmt.Sprintf("features over %q cannot be computed of the new rows: %s", r.Name, out.Message)
			out.Table = r.Name
		}
		return out
	}
	return explainUnique(err, cat)
}

// explainUnique names the relation and its columns in a unique violation.
func explainUnique(err error, cat *schema.Catalog) error {
	var u *reclog.UniqueError
	if !errors.As(err, &u) {
		return err
	}
	r := cat.Relations[uint32(u.Source)]
	if r == nil {
		return err
	}
	out := fail(codeUnique, "duplicate key value violates unique constraint %q", r.Name+"_pkey")
	out.Table, out.Constraint = r.Name, r.Name+"_pkey"
	names := ""
	values := ""
	for i, c := range u.Columns {
		if i > 0 {
			names, values = names+", ", values+", "
		}
		names += r.Columns[r.AtPlace(c)].Name // a column of the key is not dropped
		values += u.Values[i]
	}
	out.Detail = fmt.Sprintf("Key (%s)=(%s) already exists.", names, values)
	return out
}

// Settle publishes the days that ended, deletes what retention does not keep, and trims it from the log where no session reads it, now: for
// tests and maintenance.
func (e *Engine) Settle(ctx context.Context) error {
	return errors.Join(e.mat.Settle(ctx), e.mat.Trim(ctx))
}

// spillDir is where temporary files are made.
func (e *Engine) spillDir() string { return filepath.Join(e.cfg.Dir, "spill") }
