package reclog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Errors. The SQLSTATE in which each reaches the client stands beside it.
var (
	ErrInUse       = errors.New("reclog: directory is in use by another process")   // 55006
	ErrNewerFormat = errors.New("reclog: directory was written by a newer version") // 0A000
	ErrClosed      = errors.New("reclog: closed")                                   // 57P01
	ErrConflict    = errors.New("reclog: row is not live")                          // 40001
	ErrDiskFull    = errors.New("reclog: no space left on the log's disk")          // 53100
	// ErrInDoubt is what Commit returns when the disk fills up, in spite of the reserve, while a group is being written, and
	// stays full for StallTimeout: the transaction becomes durable when there is space, or is lost by a crash before. It is
	// also returned when Pebble fails for good and Options.Fatal does not end the process.
	ErrInDoubt = errors.New("reclog: outcome of the commit is unknown") // 08007
	// ErrTooLarge: a row of more than MaxRowBytes, or more than MaxChanges changes.
	ErrTooLarge = errors.New("reclog: transaction exceeds a limit") // 54000
)

// formatVersion is the version of all bytes that this package writes, and of the documents of ordinary tables beside them. Open refuses a
// higher one. 2: columns of numeric without a precision are texts. 3: rows are trimmed from changes, positions name their source;
// columns of event tables are dropped and renamed, whose documents earlier versions would misread. 4: sources follow others.
const formatVersion = 4

// SourceID names an event table or stream. It is given once and never reused (Sequence).
type SourceID uint32

// Options of Open. The zero value is usable.
type Options struct {
	FS            vfs.FS           // default: vfs.Default
	CacheBytes    int64            // Pebble's block cache; default 64 MiB
	MemTableBytes int64            // one memtable; default 32 MiB
	Clock         func() time.Time // commit times; default time.Now
	Log           *slog.Logger     // default: discard
	// ReserveBytes is the size of the ballast, and the free space below which commits are refused with ErrDiskFull;
	// default 64 MiB, negative: none.
	ReserveBytes int64
	// StallTimeout is how long a commit that is being written waits for space before ErrInDoubt; default 30 s.
	StallTimeout time.Duration
	// Fatal is told that Pebble cannot go on: a failed sync or a damaged file. It must not return. Default: log, os.Exit(1).
	Fatal func(msg string)
}

func (o *Options) defaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 64 << 20
	}
	if o.MemTableBytes <= 0 {
		o.MemTableBytes = 32 << 20
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = 64 << 20
	}
	if o.StallTimeout <= 0 {
		o.StallTimeout = 30 * time.Second
	}
	if o.Fatal == nil {
		log := o.Log
		o.Fatal = func(msg string) {
			log.Error("the log of record cannot go on", "reason", msg)
			fmt.Fprintln(os.Stderr, "fatal:", msg)
			os.Exit(1)
		}
	}
}

// Log is the log of record and its Pebble database. It is safe for concurrent use.
type Log struct {
	o    Options
	fs   *spaceFS
	lock *pebble.Lock
	db   *pebble.DB

	pos atomic.Uint64
	// changed is the position that last changed each source since Open, guarded by changedMu.
	changedMu sync.Mutex
	changed   map[SourceID]uint64
	lastTime  int64 // of position pos; committer only after Open

	epoch uint64        // of this opening
	bulks atomic.Uint64 // bulks staged in this epoch

	applier  atomic.Pointer[Applier]
	follower atomic.Pointer[Follower]
	queue    chan *pending
	stop     chan struct{} // closed by Close
	ended    chan struct{} // closed when the committer has ended
	closing  sync.Once
	closed   error

	useMu sync.Mutex
	users int           // calls that use the database
	shut  bool          // no further users
	idle  chan struct{} // closed when shut and without users

	endings endings

	next   map[SourceID]uint64 // next row ids; committer only
	newest map[SourceID]int64  // newest event times, of sources that have had one since Open; committer only
	cache  *chunkCache         // committer only

	gateMu sync.Mutex
	gates  map[SourceID]*gate

	prepMu sync.Mutex
	preps  map[*preparation]struct{}

	seqMu sync.Mutex
	seqs  map[string]*sequence

	trimMu  sync.Mutex
	dropped map[SourceID]bool // under trimMu: nothing of these is trimmed any more
}

// Open opens or creates the database in dir. Errors: ErrInUse, ErrNewerFormat, what Pebble says of a damaged database.
func Open(dir string, o Options) (_ *Log, err error) {
	o.defaults()
	if err := makeDir(o.FS, dir); err != nil {
		return nil, err
	}
	lock, err := pebble.LockDirectory(dir, o.FS)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %s: %v", ErrInUse, dir, err)
	}
	l := &Log{
		o: o, lock: lock, fs: newSpaceFS(o.FS, dir, o.ReserveBytes),
		queue: make(chan *pending, maxQueue), stop: make(chan struct{}), ended: make(chan struct{}),
		next: map[SourceID]uint64{}, newest: map[SourceID]int64{}, changed: map[SourceID]uint64{}, cache: newChunkCache(),
		gates: map[SourceID]*gate{}, preps: map[*preparation]struct{}{}, seqs: map[string]*sequence{}, dropped: map[SourceID]bool{}, idle: make(chan struct{}),
	}
	defer func() {
		if err != nil {
			if l.db != nil {
				err = errors.Join(err, l.db.Close())
			}
			err = errors.Join(err, lock.Close())
		}
	}()
	// Opening may need the space that the ballast keeps; it does not wait for more.
	l.fs.dropBallast()
	l.fs.giveUp.Store(true)
	cache := pebble.NewCache(o.CacheBytes)
	defer cache.Unref()
	l.db, err = pebble.Open(dir, l.pebbleOptions(cache))
	if err != nil {
		if strings.Contains(err.Error(), "unknown format major version") {
			err = fmt.Errorf("%w: %s: %v", ErrNewerFormat, dir, err)
		}
		return nil, err
	}
	if err = l.recover(); err != nil {
		return nil, err
	}
	l.fs.giveUp.Store(false)
	if err := l.fs.takeBallast(); err != nil {
		o.Log.Warn("no space for the ballast; commits are refused", "error", err)
	}
	go l.run()
	return l, nil
}

// makeDir makes dir and what lacks above it so that a loss of power leaves them there. The two directories above are synced even
// where dir exists: it may be of a start that was killed before it had synced them. One that may not be read is of somebody
// else, who made what is in it.
func makeDir(fsys vfs.FS, dir string) error {
	var above []string
	for at := fsys.PathDir(dir); ; at = fsys.PathDir(at) {
		above = append(above, at)
		if at == fsys.PathDir(at) {
			break
		}
		if _, err := fsys.Stat(at); err == nil && len(above) > 1 {
			break
		}
	}
	if err := fsys.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, at := range above {
		d, err := fsys.OpenDir(at)
		if errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err == nil {
			err = errors.Join(d.Sync(), d.Close())
		}
		if err != nil {
			return fmt.Errorf("sync %s: %w", at, err)
		}
	}
	return nil
}

// compression leaves blocks as they are that would not get a third smaller. States and row packs are compact already: a lookup that
// no cache serves then does not pay for unpacking what packing gains a tenth on.
var compression = func() sstable.CompressionProfile {
	p := *sstable.SnappyCompression
	p.MinReductionPercent = 33
	return p
}()

func (l *Log) pebbleOptions(cache *pebble.Cache) *pebble.Options {
	po := &pebble.Options{
		Cache:                      cache,
		FS:                         l.fs,
		Lock:                       l.lock,
		FormatMajorVersion:         pebble.FormatWALSyncChunks, // raising it is a change of format
		MemTableSize:               uint64(l.o.MemTableBytes),
		L0CompactionThreshold:      4,
		LBaseMaxBytes:              256 << 20,
		L0StopWritesThreshold:      24,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		Logger:                     pebbleLogger{l},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { l.o.Log.Error("background work of the log failed", "error", err) },
		},
	}
	for i := range po.Levels {
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		po.Levels[i].BlockSize = 4 << 10 // a lookup reads a block for the few KiB of a key's record
		po.Levels[i].IndexBlockSize = 256 << 10
		po.Levels[i].Compression = func() *sstable.CompressionProfile { return &compression }
	}
	return po
}

// recover checks the format, removes what bulks staged but never committed, and finds the newest position.
func (l *Log) recover() error {
	v, err := l.getUint(formatKey)
	if err != nil {
		return err
	}
	if v > formatVersion {
		return fmt.Errorf("%w: format %d, this is %d", ErrNewerFormat, v, formatVersion)
	}
	if l.epoch, err = l.getUint(epochKey); err != nil {
		return err
	}
	l.epoch++
	if l.epoch >= 1<<32 {
		return fmt.Errorf("%w: epoch %d", ErrCorrupt, l.epoch)
	}
	b := l.db.NewBatch()
	defer b.Close()
	setUint(b, formatKey, formatVersion)
	setUint(b, epochKey, l.epoch)
	if err := l.dropStaged(b); err != nil {
		return err
	}
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{KeyPosition}, UpperBound: []byte{KeyPosition + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	if it.Last() {
		if len(it.Key()) != 9 {
			return fmt.Errorf("%w: position", ErrCorrupt)
		}
		l.pos.Store(binary.BigEndian.Uint64(it.Key()[1:]))
		if l.lastTime, err = decodePosition(it.Value()); err != nil {
			return err
		}
	} else {
		l.lastTime = math.MinInt64
	}
	if err := it.Error(); err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}

// getUint is a counter's value, 0 where it is absent.
func (l *Log) getUint(key []byte) (uint64, error) {
	v, c, err := l.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return decodeUint(key, v)
}

func decodeUint(key, v []byte) (uint64, error) {
	x, n := binary.Uvarint(v)
	if n <= 0 {
		return 0, fmt.Errorf("%w: counter %q", ErrCorrupt, key)
	}
	return x, nil
}

// setUint sets a counter. A batch fails to take a key only when it is indexed or closed, and ours are neither.
func setUint(b *pebble.Batch, key []byte, x uint64) {
	_ = b.Set(key, binary.AppendUvarint(nil, x), nil)
}

// TableWriter is how sstables are written that DB is to ingest.
func (l *Log) TableWriter() sstable.WriterOptions {
	o := l.pebbleOptions(nil)
	o.EnsureDefaults()
	return o.MakeWriterOptions(6, l.db.TableFormat())
}

// DB is the database, shared with the catalog and the tiles. Their own writes must not touch this package's keyspaces.
func (l *Log) DB() *pebble.DB { return l.db }

// Position is the newest position that is committed and synced; 0: none yet.
func (l *Log) Position() uint64 { return l.pos.Load() }

// SetApplier names who is told of changes inside the batch that commits them. It is called once, before the first Commit.
func (l *Log) SetApplier(a Applier) { l.applier.Store(&a) }

// enter begins a call that uses the database, and leave ends it: Close waits for them, because Pebble panics when it is used
// after its end. Calls may nest; one that begins after Close fails with ErrClosed.
func (l *Log) enter() error {
	l.useMu.Lock()
	defer l.useMu.Unlock()
	if l.shut {
		return ErrClosed
	}
	l.users++
	return nil
}

func (l *Log) leave() {
	l.useMu.Lock()
	defer l.useMu.Unlock()
	if l.users--; l.users == 0 && l.shut {
		close(l.idle)
	}
}

// Close refuses further calls, waits for those under way, and closes the database; commits that still wait for their group
// fail with ErrClosed. Where the disk is full and stays so for
// StallTimeout, it returns ErrDiskFull with the database still open, and the process should end.
func (l *Log) Close() error {
	l.closing.Do(func() {
		close(l.stop)
		l.useMu.Lock()
		if l.shut = true; l.users == 0 {
			close(l.idle)
		}
		l.useMu.Unlock()
		done := make(chan error, 1)
		go func() {
			<-l.ended
			<-l.idle
			l.endings.running.Wait()
			done <- errors.Join(l.db.Close(), l.lock.Close())
		}()
		for {
			select {
			case l.closed = <-done:
				return
			case <-time.After(l.o.StallTimeout):
				if l.fs.waiting.Load() > 0 {
					l.closed = ErrDiskFull
					return
				}
			}
		}
	})
	return l.closed
}

// SequenceBlock is how many values of a sequence are reserved by one synced write; a restart skips what is left of them.
const SequenceBlock = 32

type sequence struct{ next, limit uint64 }

// Sequence is the next value, from 1, of the durable counter called name. A value is given once, crashes included; values
// may be skipped. Errors: ErrDiskFull, ErrClosed.
func (l *Log) Sequence(name string) (uint64, error) {
	if err := l.enter(); err != nil {
		return 0, err
	}
	defer l.leave()
	l.seqMu.Lock()
	defer l.seqMu.Unlock()
	s := l.seqs[name]
	if s == nil {
		limit, err := l.getUint(sequenceKey(name))
		if err != nil {
			return 0, err
		}
		s = &sequence{next: limit + 1, limit: limit}
		l.seqs[name] = s
	}
	if s.next > s.limit {
		limit := s.limit + SequenceBlock
		if err := l.write(func(b *pebble.Batch) { setUint(b, sequenceKey(name), limit) }); err != nil {
			return 0, err
		}
		s.limit = limit
	}
	s.next++
	return s.next - 1, nil
}

// DropSource deletes everything of a source: changes, live rows, primary keys, what storage/streams keeps. It takes no position. The source's row ids
// are not given again. No Commit or Scan of the source may run meanwhile. Errors: ErrDiskFull, ErrClosed.
func (l *Log) DropSource(source SourceID) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	l.trimMu.Lock()
	l.dropped[source] = true
	l.trimMu.Unlock()
	return l.submit(context.Background(), &pending{drop: &source})
}

// Write commits what fill adds to a batch, in a keyspace of the caller's own, outside any transaction: it takes no position,
// and shares the sync of the transactions beside it. Errors: ErrDiskFull, ErrClosed, ErrInDoubt.
func (l *Log) Write(fill func(b *pebble.Batch)) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	return l.write(fill)
}

// PositionIn is the newest position whose transaction r, a snapshot of DB, holds.
func PositionIn(r pebble.Reader) (uint64, error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: []byte{KeyPosition}, UpperBound: []byte{KeyPosition + 1}})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	if !it.Last() {
		return 0, it.Error()
	}
	return binary.BigEndian.Uint64(it.Key()[1:]), nil
}

// write commits a batch of this package's own outside any transaction.
func (l *Log) write(fill func(b *pebble.Batch)) error {
	return l.submit(context.Background(), &pending{own: fill})
}

type pebbleLogger struct{ l *Log }

func (p pebbleLogger) Infof(format string, args ...any) {
	p.l.o.Log.Debug(fmt.Sprintf(format, args...))
}
func (p pebbleLogger) Errorf(format string, args ...any) {
	p.l.o.Log.Error(fmt.Sprintf(format, args...))
}
func (p pebbleLogger) Fatalf(format string, args ...any) { p.l.o.Fatal(fmt.Sprintf(format, args...)) }
