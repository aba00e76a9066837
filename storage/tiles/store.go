package tiles

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// Errors of this package; test with errors.Is.
var (
	// ErrNotRetained is the error of a read that needs single rows of days that were pruned. The caller reads from runs.
	ErrNotRetained = errors.New("tiles: interval reaches below what is retained")
	// ErrCorrupt is the error of a value that does not decode.
	ErrCorrupt = errors.New("tiles: bad encoding")
	// ErrNoRow is the error of the deletion of a row that the group does not have.
	ErrNoRow = errors.New("tiles: deleted row not found")
	// ErrRange is the error of a row whose event time lies outside of what day numbers hold.
	ErrRange = errors.New("tiles: event time out of range")
)

// Defaults of Options.
const (
	DefaultCacheBytes = 64 << 20
	DefaultPackRows   = 256
	DefaultFoldKeys   = 256
)

// Options are the limits of a Store.
type Options struct {
	CacheBytes int64 // decoded values held for hot keys; 0: DefaultCacheBytes; negative: none
	FoldKeys   int   // keys that one commit of Fold changes; 0: DefaultFoldKeys, so few that Apply waits some milliseconds for it
	PackRows   int   // rows of a row pack, at most, unless they share a microsecond; 0: DefaultPackRows

	// Days is how time is divided for settled days; 0: UTC days, which is what a server has. At most six days long.
	Days event.Days

	JournalEntries int64 // that FollowChanges keeps at most; 0: DefaultJournalEntries

	// Release closes a snapshot that no View needs; nil: at once. It should not wait (reclog.Log.Release).
	Release func(*pebble.Snapshot)

	BuildFiles BuildFiles // where Build writes the sstables that it ingests; without, Build fails

	NoPacks  bool // for tests: every pack is a single microsecond
	NoInline bool // for tests: key records hold no row packs
	NoLevels bool // for tests: a day is one pack, whatever its size
}

// Unlimited is the Retain of a group that keeps all rows.
const Unlimited = event.Forever

// Group is what the store knows of a tile group. It is immutable; the caller gives an equal one at every call. Two groups
// have different prefixes. Layout and Partials may not change over the life of a prefix.
type Group struct {
	Prefix   uint32
	Layout   event.Layout
	Partials []event.Partial
	Retain   int64 // µs that a lookup may reach back: longest window + delay + hop; Unlimited, or any negative: all
	Lifetime bool  // rows that are pruned are folded into cumulative states of their key
	// Eras are event times, ascending, at which LIFETIME reads begin: rows on either side are folded into states of their own.
	Eras []int64
}

// era is the number of the era that holds ts.
func (g *Group) era(ts int64) int64 {
	return int64(sort.Search(len(g.Eras), func(i int) bool { return g.Eras[i] > ts }))
}

// horizonOf is the first day whose rows are retained when settled is the newest settled day.
func (s *Store) horizonOf(g *Group, settled int64) int64 {
	if g.Retain < 0 || settled == noDay {
		return noDay
	}
	length := s.o.Days.Length()
	days := (g.Retain + (length - 1)) / length
	if g.Retain > 1<<62 {
		days = g.Retain / length
	}
	return max(settled-days-2, noDay)
}

// Store is the online store in a Pebble database, of which it owns the keys that begin with 't'. It is safe for concurrent
// use; writers (Apply, Settle, Prune, Build, Rebuild, Drop) take turns.
type Store struct {
	db    *pebble.DB
	o     Options
	cache *cache

	// version counts finished commits of this store. What a commit wrote is visible in Pebble before it is counted.
	version atomic.Uint64

	readers sync.Pool // of *Reader
	journal journal

	instants sync.Mutex // guards newest, the holders of instants, waiting and fresh
	newest   *instant   // nil: none is kept
	waiting  map[uint32]*waiting
	fresh    map[uint32]generations // of groups that have fresh rows; replaced, not changed

	writer sync.Mutex // held from the first Apply of a batch to its done
	mu     sync.Mutex // guards cur
	cur    *txn       // the transaction in flight
}

// Open is the store in db, which stays the caller's. Files and clock are db's.
func Open(db *pebble.DB, o Options) *Store {
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.PackRows <= 0 {
		o.PackRows = DefaultPackRows
	}
	if o.FoldKeys <= 0 {
		o.FoldKeys = DefaultFoldKeys
	}
	if o.Release == nil {
		o.Release = func(snap *pebble.Snapshot) { _ = snap.Close() } // it gives no error
	}
	s := &Store{db: db, o: o, cache: newCache(max(o.CacheBytes, 0)), waiting: map[uint32]*waiting{}, fresh: map[uint32]generations{}}
	s.journal.limit = o.JournalEntries
	return s
}

// raw is a value as it is written: what the cache holds of records and small packs. They are decoded where they are read, into
// memory that is there, which costs less than the memory of decoded ones would.
type raw []byte

func compact(b []byte) bool { return b[0] == tagRecord || b[0] == tagPack && len(b) <= inlineBytes }

// get reads the value at key: decoded, or raw, or nil where there is none. The value is shared: callers must not change it; a raw
// one may lie in *buf, which get may grow, until the next call with it. r is the database or a snapshot of it that holds every
// commit up to version.
func (s *Store) get(r Getter, g *Group, key []byte, start int64, version uint64, cached bool, stats *event.ReadStats, buf *[]byte) (any, error) {
	if cached {
		v, ok, wanted := s.cache.get(key, version)
		if ok {
			if stats != nil {
				stats.CacheHits++
			}
			return v, nil
		}
		cached = wanted
	}
	var v any
	var size int64
	b, closer, err := r.Get(key)
	switch {
	case err == nil:
		if stats != nil {
			stats.PointReads++
			stats.Bytes += int64(len(b))
		}
		switch {
		case len(b) > 0 && compact(b) && cached:
			v, size = raw(bytes.Clone(b)), int64(len(b))
		case len(b) > 0 && compact(b):
			*buf = append((*buf)[:0], b...)
			v = raw(*buf)
		default:
			v, size, err = decodeValue(g, start, b)
		}
		if e := closer.Close(); err == nil {
			err = e
		}
		if err != nil {
			return nil, fmt.Errorf("tiles: group %d, key %x: %w", g.Prefix, key, err)
		}
	case errors.Is(err, pebble.ErrNotFound):
		if stats != nil {
			stats.PointReads++
		}
	default:
		return nil, fmt.Errorf("tiles: reading: %w", err)
	}
	if cached {
		s.cache.offer(key, v, size, version)
	}
	return v, nil
}

// value is get, decoded into memory of its own.
func (s *Store) value(r Getter, g *Group, key []byte, start int64, version uint64, cached bool) (any, error) {
	var buf []byte
	v, err := s.get(r, g, key, start, version, cached, nil, &buf)
	if b, ok := v.(raw); ok {
		if v, _, err = decodeValue(g, start, b); err != nil {
			return nil, fmt.Errorf("tiles: group %d, key %x: %w", g.Prefix, key, err)
		}
	}
	return v, err
}

// node is a value of a day's tree: rows of a pack, or states of children.
type node struct {
	rows *event.Rows // pack
	kids *table      // inner node; nil for a pack
}

func (n *node) count() int64 {
	if n.kids == nil {
		return int64(n.rows.N())
	}
	var c int64
	for _, m := range n.kids.meta {
		c += m
	}
	return c
}

// decodeValue decodes a value into memory of its own, and says how much that is, in bytes.
func decodeValue(g *Group, start int64, b []byte) (any, int64, error) {
	if len(b) == 0 {
		return nil, 0, fmt.Errorf("%w: empty value", ErrCorrupt)
	}
	switch b[0] {
	case tagPack:
		r, err := decodePack(&g.Layout, start, b, nil)
		if err != nil {
			return nil, 0, err
		}
		n := &node{rows: r}
		return n, n.memBytes(), nil
	case tagInner:
		d := &decoder{b: append([]byte(nil), b[1:]...)}
		t := &table{}
		err := d.table(t, len(g.Partials))
		if err == nil && len(d.b) > 0 {
			err = fmt.Errorf("%w: length of an inner node", ErrCorrupt)
		}
		if err != nil {
			return nil, 0, err
		}
		n := &node{kids: t}
		return n, n.memBytes(), nil
	case tagRecord:
		r := &record{}
		return r, 0, r.decode(len(g.Partials), b)
	case tagMeta:
		m, err := decodeMeta(b)
		return m, 64, err
	case tagPosOld:
		return nil, 0, nil // there is no group of this format
	case tagPos, tagPosFold:
		p, err := decodePosition(b)
		return p, 64, err
	}
	return nil, 0, fmt.Errorf("%w: tag %d", ErrCorrupt, b[0])
}

func (n *node) memBytes() int64 {
	if n.kids != nil {
		return n.kids.memBytes() + 64
	}
	size := int64(n.rows.N())*16 + 256
	for _, c := range n.rows.Cols {
		size += int64(c.MemBytes()) + 256
	}
	if n.rows.Tie != nil {
		size += int64(n.rows.Tie.MemBytes()) + 256
	}
	return size
}

// Position is the newest position applied to the group in r, and false where the group is not there, or in a format that this
// version does not read: it is then built again.
func (s *Store) Position(r pebble.Reader, g *Group) (uint64, bool, error) {
	p, err := s.position(r, g)
	if err != nil || p == nil {
		return 0, false, err
	}
	return p.pos, true, nil
}

func (s *Store) position(r Getter, g *Group) (*position, error) {
	v, err := s.value(r, g, appendHead(nil, g.Prefix, kindPosition), 0, 0, false)
	if err != nil || v == nil {
		return nil, err
	}
	p, ok := v.(*position)
	if !ok {
		return nil, fmt.Errorf("%w: position record of group %d", ErrCorrupt, g.Prefix)
	}
	return p, nil
}

// Stats says what a group holds.
type Stats struct {
	Rows  int64 // in row packs, and fresh ones, exact
	Keys  int64 // with a record, exact: none whose rows are all fresh
	Bytes int64 // on disk, estimated by Pebble; rows still in its memtable count for nothing
}

// Stats of the group at the newest commit.
func (s *Store) Stats(g *Group) (Stats, error) {
	p, err := s.position(s.db, g)
	if err != nil || p == nil {
		return Stats{}, err
	}
	lo, hi := groupBounds(g.Prefix)
	n, err := s.db.EstimateDiskUsage(lo, hi)
	if err != nil {
		return Stats{}, fmt.Errorf("tiles: size of group %d: %w", g.Prefix, err)
	}
	fresh, _, _, err := s.Fresh(g)
	return Stats{Rows: p.rows + fresh, Keys: p.keys, Bytes: int64(n)}, err
}

// Drop deletes everything of a group, unsynced. Readers with older snapshots still see it.
func (s *Store) Drop(prefix uint32) error {
	s.forgetFresh(prefix)
	t := s.begin(s.db.NewBatch())
	defer t.batch.Close()
	lo, hi := groupBounds(prefix)
	s.cache.touchPrefix(lo[:keyHead-1], t.version)
	err := t.batch.DeleteRange(lo, hi, nil)
	if err == nil {
		err = t.batch.Commit(pebble.NoSync)
	}
	t.finish(err == nil)
	if err != nil {
		return fmt.Errorf("tiles: dropping group %d: %w", prefix, err)
	}
	return nil
}

// Keys calls fn for the entity keys after the given one (nil: all) that have a row in packs or in a lifetime state, ascending,
// until fn returns false. key is valid until fn returns.
func (s *Store) Keys(r pebble.Reader, g *Group, after []byte, fn func(key []byte) (more bool, err error)) error {
	lo, hi := kindBounds(g.Prefix, kindRecord)
	if after != nil {
		lo = append(append(lo, after...), 0)
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return fmt.Errorf("tiles: keys: %w", err)
	}
	more := true
	for ok := it.First(); ok && more && err == nil; ok = it.Next() {
		more, err = fn(it.Key()[keyHead:])
	}
	return errors.Join(err, it.Close())
}

// checkRows reports rows whose day cannot be written, or that have no key.
func checkRows(r *event.Rows) error {
	if r == nil {
		return nil
	}
	if r.Key == nil || r.Key.N != r.N() || len(r.RowID) != r.N() {
		return fmt.Errorf("tiles: %d rows with %d row ids need as many keys", r.N(), len(r.RowID))
	}
	for i, ts := range r.TS {
		if ts == vector.NegInfinity || ts == vector.PosInfinity || ts == event.Forever {
			return fmt.Errorf("%w: %d", ErrRange, ts)
		}
		if r.Key.IsNull(i) {
			return fmt.Errorf("tiles: row %d has a NULL key", r.RowID[i])
		}
	}
	return nil
}

func invertible(p *event.Partial, st functions.State) (functions.Inverter, bool) {
	inv, ok := st.(functions.Inverter)
	return inv, ok && p.Agg.Definition().Inverse
}
