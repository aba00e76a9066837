package duck

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	m "github.com/duckdb/duckdb-go-bindings"
)

// Options configure an engine. The zero value is an engine with DuckDB's defaults that neither reads files nor spills.
type Options struct {
	// MemoryLimit bounds DuckDB's buffers, in bytes; 0 is DuckDB's default (80 % of the machine). Texts that a statement computes with are not
	// counted by DuckDB; it is refused more of them (53200) when all that DuckDB's allocator gave out is 128 MiB more than the limits of all databases.
	MemoryLimit int64
	// TempDir is where DuckDB spills; "" forbids spilling, so that a statement beyond MemoryLimit fails with 53200.
	TempDir string
	// MaxTempBytes bounds the spilled bytes; beyond it a statement fails with 53100. 0 is DuckDB's default (90 % of the free disk).
	MaxTempBytes int64
	// Threads is the number of threads that execute, the calling one included; 0 is the number of cores.
	Threads int
	// ReadRoots are directories under which SQL may read files. None: no files.
	ReadRoots []string
	// WriteRoots are directories under which COPY TO may write; SQL may read there, too.
	WriteRoots []string
	// Scalars are functions of ours that SQL may call.
	Scalars []Scalar
	// Init are statements, one each, that run before the configuration is locked: ATTACH, CREATE MACRO, … What they make in
	// the temporary schema is lost.
	Init []string
}

// DB is one DuckDB engine. It is safe for concurrent use.
type DB struct {
	mu      sync.Mutex // guards db and closed: a connection to a freed engine would be a crash
	db      m.Database
	closed  bool
	open    atomic.Int64 // connections not closed
	workers workers
	// interruptions are those of open connections, by DuckDB's number of the connection, which another engine's may have, too.
	interruptions sync.Map
	bounds        bounds // of functions of ours
	reclaim       *reclaimer
	memoryLimit   int64
}

// Open opens the database file at path, or a database in memory where path is "". On return the configuration is locked
// but for a session's TimeZone and streaming buffer, and every session has TimeZone UTC, integer division of integers, and NULLs ordered as PostgreSQL orders them.
func Open(path string, o Options) (*DB, error) {
	var cfg m.Config
	if m.CreateConfig(&cfg) == m.StateError {
		return nil, &Error{SQLState: "53200", Message: "out of memory"}
	}
	defer m.DestroyConfig(&cfg)
	set := func(name, value string) error {
		if m.SetConfig(cfg, name, value) == m.StateError {
			return &Error{SQLState: "22023", Message: fmt.Sprintf("invalid value for the engine's %s: %q", name, value)}
		}
		return nil
	}
	// Loading extensions is off before anything runs, so that not even a statement of Init can download code.
	settings := [][2]string{
		{"autoload_known_extensions", "false"}, {"autoinstall_known_extensions", "false"},
		{"errors_as_json", "true"}, {"temp_directory", o.TempDir},
	}
	if o.MemoryLimit > 0 {
		// The allocator gives freed memory back to the system once it holds this much of it, by default 128 MiB a thread: that is
		// in no limit.
		kept := min(o.MemoryLimit/16, 128<<20)
		settings = append(settings, [2]string{"memory_limit", strconv.FormatInt(o.MemoryLimit, 10) + "B"},
			[2]string{"allocator_flush_threshold", strconv.FormatInt(kept, 10) + "B"})
	}
	threads := o.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	// All of them are ours: see workers.
	settings = append(settings, [2]string{"threads", strconv.Itoa(threads)}, [2]string{"external_threads", strconv.Itoa(threads)})
	for _, s := range settings {
		if err := set(s[0], s[1]); err != nil {
			return nil, err
		}
	}
	d := &DB{bounds: newBounds(o.MemoryLimit, threads), reclaim: newReclaimer(o.MemoryLimit)}
	var msg string
	if m.OpenExt(path, &d.db, cfg, &msg) == m.StateError {
		return nil, parseError(msg)
	}
	if err := d.configure(o); err != nil {
		m.Close(&d.db)
		return nil, err
	}
	limited(o.MemoryLimit)
	d.memoryLimit = o.MemoryLimit
	if threads > 1 {
		d.workers.start(d.db, threads-1)
	}
	return d, nil
}

// configure runs Init and then locks. The order is DuckDB's demand: access is switched off after the exceptions to it are
// listed, and the lock comes last because nothing can be set after it.
func (db *DB) configure(o Options) error {
	c, err := db.Connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := registerDivision(c.c); err != nil {
		return err
	}
	if err := registerProvided(c.c); err != nil {
		return err
	}
	for _, f := range o.Scalars {
		if err := registerScalar(c, f); err != nil {
			return err
		}
	}
	if err := registerSequences(c.c); err != nil {
		return err
	}
	if err := registerFits(c.c); err != nil {
		return err
	}
	stmts := []string{
		"SET GLOBAL TimeZone = 'UTC'",
		"SET GLOBAL integer_division = true",
		"SET GLOBAL errors_as_json = true",
		"SET GLOBAL default_null_order = 'postgres'",
	}
	if o.MaxTempBytes > 0 {
		stmts = append(stmts, fmt.Sprintf("SET GLOBAL max_temp_directory_size = '%dB'", o.MaxTempBytes))
	}
	stmts = append(stmts, o.Init...)
	if allowed := slices.Concat(o.ReadRoots, o.WriteRoots); len(allowed) > 0 {
		roots := make([]string, len(allowed))
		for i, r := range allowed {
			roots[i] = QuoteLiteral(r)
		}
		stmts = append(stmts, "SET GLOBAL allowed_directories = ["+strings.Join(roots, ", ")+"]")
	}
	stmts = append(stmts,
		"SET GLOBAL allow_persistent_secrets = false",
		"SET GLOBAL enable_external_access = false",
		"SET GLOBAL allowed_configs = ['TimeZone', 'streaming_buffer_size']",
		"SET GLOBAL lock_configuration = true",
	)
	if err := c.registerEach(); err != nil {
		return err
	}
	for _, s := range stmts {
		if _, err := c.Exec(background, s); err != nil {
			return fmt.Errorf("%w (in %q)", err, s)
		}
	}
	return nil
}

// Close closes the engine. Connections should be closed before; those that are not keep the engine's memory and file lock
// until they are, and are counted in the error.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil
	}
	db.closed = true
	db.workers.stop()
	m.Close(&db.db)
	limited(-db.memoryLimit)
	if n := db.open.Load(); n > 0 {
		return &Error{SQLState: "55006", Message: fmt.Sprintf("%d connections are still open", n)}
	}
	return nil
}

// Connect opens a session: a few microseconds.
func (db *DB) Connect() (*Conn, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, &Error{SQLState: "57P01", Message: "the engine is closed"}
	}
	c := &Conn{db: db}
	if m.Connect(db.db, &c.c) == m.StateError {
		return nil, &Error{SQLState: "53300", Message: "the engine refused a connection"}
	}
	c.interruption, c.context, c.forget = db.newInterruption(c.c)
	db.open.Add(1)
	return c, nil
}
