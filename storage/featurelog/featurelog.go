package featurelog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/reclog"
)

const (
	// MaxQueued is how many records wait for the writer at most.
	MaxQueued = 4096
	// MaxBatch is how many records are written at once at most.
	MaxBatch = 512
	// KeepFor is how long a record is kept.
	KeepFor = 30 * 24 * time.Hour
	// sweepEvery is how often old records are removed.
	sweepEvery = time.Hour

	version = 1
)

// ErrCorrupt is wrapped by errors about keys and values that this package cannot have written.
var ErrCorrupt = errors.New("featurelog: corrupt record")

// Record is one row that a read returned.
type Record struct {
	View     uint32
	At       int64  // when it was added, microseconds; set by Add
	Instant  int64  // of the read, microseconds
	Position uint64 // of the read
	Bound    int    // how many of the columns were bound by the read; the others are what it returned
	Columns  []string
	Row      *vector.Chunk // one row
}

// Log is the log of one database. It is safe for concurrent use.
type Log struct {
	log   *reclog.Log
	clock func() time.Time
	warn  *slog.Logger
	queue chan item
	stop  chan struct{}
	done  sync.WaitGroup
	next  atomic.Uint64
	epoch uint64

	mu      sync.Mutex
	written map[uint32]uint64 // by view, of this process
	dropped map[uint32]uint64
}

// item is a record, or a wish to know when what came before is done.
type item struct {
	record  Record
	flushed chan struct{}
}

// Open starts the writer.
func Open(log *reclog.Log, clock func() time.Time, warn *slog.Logger) *Log {
	l := &Log{log: log, clock: clock, warn: warn, queue: make(chan item, MaxQueued), stop: make(chan struct{}), epoch: uint64(rand.Uint32()) << 32,
		written: map[uint32]uint64{}, dropped: map[uint32]uint64{}}
	l.done.Add(1)
	go l.write()
	return l
}

// Close writes what is queued and stops the writer.
func (l *Log) Close() {
	close(l.stop)
	l.done.Wait()
}

// Add queues a record, whose chunk is not shared, or drops it where the queue is full.
func (l *Log) Add(r Record) {
	r.At = l.clock().UnixMicro()
	select {
	case l.queue <- item{record: r}:
	default:
		l.count(l.dropped, r.View, 1)
	}
}

func (l *Log) count(m map[uint32]uint64, view uint32, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m[view] += n
}

// Counts are how many records of a view were written and dropped since the process began.
func (l *Log) Counts(view uint32) (written, dropped uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written[view], l.dropped[view]
}

// Flush waits until what was added before is durable or dropped.
func (l *Log) Flush(ctx context.Context) error {
	flushed := make(chan struct{})
	select {
	case l.queue <- item{flushed: flushed}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.stop:
		return reclog.ErrClosed
	}
	select {
	case <-flushed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *Log) write() {
	defer l.done.Done()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case it := <-l.queue:
			l.batch(it)
		case <-sweep.C:
			l.sweep()
		case <-l.stop:
			for {
				select {
				case it := <-l.queue:
					l.batch(it)
				default:
					return
				}
			}
		}
	}
}

// batch writes a record and those that wait behind it.
func (l *Log) batch(first item) {
	items := []item{first}
	for len(items) < MaxBatch && len(l.queue) > 0 {
		items = append(items, <-l.queue)
	}
	views := map[uint32]uint64{}
	err := error(nil)
	for _, it := range items {
		if it.flushed == nil {
			views[it.record.View]++
		}
	}
	if len(views) > 0 {
		err = l.log.Write(func(b *pebble.Batch) {
			for _, it := range items {
				if it.flushed == nil {
					_ = b.Set(l.key(&it.record), encode(&it.record), nil) // a batch in memory takes everything
				}
			}
		})
	}
	counts := l.written
	if err != nil {
		counts = l.dropped
		l.warn.Warn("online reads are not logged", "records", len(items), "error", err)
	}
	for v, n := range views {
		l.count(counts, v, n)
	}
	for _, it := range items {
		if it.flushed != nil {
			close(it.flushed)
		}
	}
}

// sweep removes records that were kept long enough.
func (l *Log) sweep() {
	old := l.clock().Add(-KeepFor).UnixMicro()
	views, err := l.views()
	if err == nil && len(views) > 0 {
		err = l.log.Write(func(b *pebble.Batch) {
			for _, v := range views {
				_ = b.DeleteRange(prefix(v), at(v, old), nil)
			}
		})
	}
	if err != nil {
		l.warn.Warn("old records of online reads are not removed", "error", err)
	}
}

// views are the views with records.
func (l *Log) views() ([]uint32, error) {
	it, err := l.log.DB().NewIter(&pebble.IterOptions{LowerBound: []byte{reclog.KeyFeatures}, UpperBound: []byte{reclog.KeyFeatures + 1}})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var out []uint32
	for ok := it.First(); ok; {
		v := binary.BigEndian.Uint32(it.Key()[1:])
		out = append(out, v)
		ok = it.SeekGE(prefix(v + 1))
	}
	return out, it.Error()
}

// Drop removes a view's records.
func (l *Log) Drop(view uint32) error {
	return l.log.Write(func(b *pebble.Batch) { _ = b.DeleteRange(prefix(view), prefix(view+1), nil) })
}

func prefix(view uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{reclog.KeyFeatures}, view)
}

func at(view uint32, t int64) []byte {
	return binary.BigEndian.AppendUint64(prefix(view), uint64(t)^1<<63)
}

func (l *Log) key(r *Record) []byte {
	return binary.BigEndian.AppendUint64(at(r.View, r.At), l.epoch|l.next.Add(1)&(1<<32-1))
}

// keyBytes is the length of a key.
const keyBytes = 1 + 4 + 8 + 8

func encode(r *Record) []byte {
	b := binary.AppendVarint([]byte{version}, r.Instant)
	b = binary.AppendUvarint(b, r.Position)
	b = binary.AppendUvarint(b, uint64(r.Bound))
	b = binary.AppendUvarint(b, uint64(len(r.Columns)))
	for _, c := range r.Columns {
		b = append(binary.AppendUvarint(b, uint64(len(c))), c...)
	}
	return reclog.AppendChunk(b, r.Row, 0, 1)
}

func decode(key, b []byte) (r Record, err error) {
	bad := func(what string) (Record, error) { return Record{}, fmt.Errorf("%w: %s", ErrCorrupt, what) }
	if len(key) != keyBytes || len(b) == 0 || b[0] != version {
		return bad("key or version")
	}
	r.View = binary.BigEndian.Uint32(key[1:])
	r.At = int64(binary.BigEndian.Uint64(key[5:]) ^ 1<<63)
	b = b[1:]
	var n int
	if r.Instant, n = binary.Varint(b); n <= 0 {
		return bad("instant")
	}
	b = b[n:]
	var head [3]uint64 // position, bound columns, columns
	for i := range head {
		if head[i], n = binary.Uvarint(b); n <= 0 {
			return bad("head")
		}
		b = b[n:]
	}
	r.Position, r.Bound = head[0], int(head[1])
	if head[2] > uint64(len(b)) || head[1] > head[2] {
		return bad("columns")
	}
	for range head[2] {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return bad("column")
		}
		r.Columns = append(r.Columns, string(b[n:n+int(size)]))
		b = b[n+int(size):]
	}
	if r.Row, err = reclog.DecodeChunk(b); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if r.Row.N != 1 || len(r.Row.Cols) != len(r.Columns) {
		return bad("row")
	}
	return r, nil
}

// Scan calls fn for a view's records added at since (microseconds) or later, oldest first; newest: the other way round. fn says
// whether to go on.
func (l *Log) Scan(ctx context.Context, view uint32, since int64, newest bool, fn func(r Record) (bool, error)) error {
	it, err := l.log.DB().NewIter(&pebble.IterOptions{LowerBound: at(view, since), UpperBound: prefix(view + 1)})
	if err != nil {
		return err
	}
	defer it.Close()
	first, next := it.First, it.Next
	if newest {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		r, err := decode(it.Key(), v)
		if err != nil {
			return err
		}
		if more, err := fn(r); err != nil || !more {
			return err
		}
	}
	return it.Error()
}
