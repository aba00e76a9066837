package tiles

import (
	"errors"
	"fmt"
	"math"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/event"
)

// View is the store at one commit. It is safe for concurrent use; its Readers are not. It must be closed.
type View struct {
	s       *Store
	snap    *pebble.Snapshot
	version uint64
}

// View is the store as of now: every commit whose done was called is in it, and the snapshot sees any other whole or not at all.
func (s *Store) View() *View {
	version := s.version.Load() // before the snapshot: the snapshot then holds all of it
	return &View{s: s, snap: s.db.NewSnapshot(), version: version}
}

// Close releases the snapshot.
func (v *View) Close() error { return v.snap.Close() }

// Snapshot is the Pebble snapshot under the view, which is the view's.
func (v *View) Snapshot() *pebble.Snapshot { return v.snap }

// Reader reads a group at the view, with the cache. stats may be nil.
func (v *View) Reader(g *Group, stats *event.ReadStats) *Reader {
	r := v.s.Reader(v.snap, g, stats)
	r.cached, r.version = true, v.version
	return r
}

// held is how many decoded nodes of the current key a Reader keeps: two edges of some windows, with their levels.
const held = 16

// Reader reads keys of one group. It is used by one goroutine, and reusable.
type Reader struct {
	s       *Store
	r       pebble.Reader
	g       *Group
	stats   *event.ReadStats
	cached  bool
	version uint64

	// NoLevels reads the rows of every pack where states of part of a day exist: for tests and benchmarks.
	NoLevels bool

	meta     *groupMeta
	key      []byte
	rec      *record
	loaded   bool
	nodes    [held]heldNode
	used     int
	scratch  []byte
	states   *table // what encode reads
	entry    int
	encode   func(int) []byte
	ownStats event.ReadStats
}

type heldNode struct {
	day    int64
	level  int
	bucket int64
	n      *node
}

// Reader reads a group in a snapshot, a database or a batch, without the cache.
func (s *Store) Reader(r pebble.Reader, g *Group, stats *event.ReadStats) *Reader {
	x := &Reader{s: s, r: r, g: g, stats: stats}
	if stats == nil {
		x.stats = &x.ownStats
	}
	x.encode = func(p int) []byte {
		b := x.states.state(x.entry, p)
		if len(b) == 0 {
			return nil
		}
		return b
	}
	return x
}

var _ event.Pieces = (*Reader)(nil)

// Key turns the reader to an entity key and returns it. What it returned before turns with it.
func (r *Reader) Key(key []byte) event.Pieces {
	r.key = append(r.key[:0], key...)
	r.rec, r.loaded, r.used = nil, false, 0
	return r
}

func (r *Reader) get(key []byte, start int64) (any, error) {
	return r.s.get(r.r, r.g, key, start, r.version, r.cached, r.stats)
}

// Cover is event.Pieces. Rows that it visits have an empty Key. Errors: ErrNotRetained, ErrCorrupt, Pebble's, the visitor's.
func (r *Reader) Cover(iv event.Interval, v event.Visitor) error {
	if iv.Lo >= iv.Hi {
		return nil
	}
	if r.meta == nil {
		m, err := r.loadMeta()
		if err != nil {
			return err
		}
		r.meta = m
	}
	first, last := event.DayOf(iv.Lo), event.DayOf(iv.Hi-1)
	if !r.g.Lifetime && first < r.meta.horizon {
		return fmt.Errorf("%w: group %d from day %d, not %d", ErrNotRetained, r.g.Prefix, r.meta.horizon, first)
	}
	if !r.loaded {
		r.scratch = appendRecordKey(r.scratch[:0], r.g.Prefix, r.key)
		rec, err := as[record](r.get(r.scratch, 0))
		if err != nil {
			return err
		}
		r.rec, r.loaded = rec, true
	}
	if r.rec == nil {
		return nil
	}
	if err := r.lifetime(iv, v); err != nil {
		return err
	}
	days := r.rec.days
	for i := days.search(first); i < days.n() && days.ids[i] <= last; i++ {
		day := days.ids[i]
		lo, hi := offsets(iv, day)
		if lo == 0 && hi == event.Day && days.meta[i] == 1 {
			if err := r.state(event.PieceSettled, days, i, daySpan(day, 0, event.Day), v); err != nil {
				return err
			}
			continue
		}
		if err := r.walk(day, 0, 0, lo, hi, iv, v); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) loadMeta() (*groupMeta, error) {
	r.scratch = appendHead(r.scratch[:0], r.g.Prefix, kindMeta)
	// The group record is read once a Reader, not once a key; it is no part of a key's reads.
	m, err := as[groupMeta](r.s.get(r.r, r.g, r.scratch, 0, r.version, r.cached, nil))
	if m == nil && err == nil {
		m = &groupMeta{settled: noDay, publishing: noDay, horizon: noDay}
	}
	return m, err
}

// lifetime visits the cumulative state where the interval holds all of its rows, and fails where it holds some.
func (r *Reader) lifetime(iv event.Interval, v event.Visitor) error {
	l := r.rec.life
	switch {
	case l == nil || iv.Hi <= l.min || l.max < iv.Lo:
		return nil
	case l.broken:
		return fmt.Errorf("%w: the lifetime state of a key of group %d waits to be rebuilt", ErrNotRetained, r.g.Prefix)
	case iv.Lo <= l.min && l.max < iv.Hi:
		return r.state(event.PieceLifetime, l.states, 0, event.Interval{Lo: l.min, Hi: l.max + 1}, v)
	}
	return fmt.Errorf("%w: group %d has a key's rows up to %d as one state", ErrNotRetained, r.g.Prefix, l.max)
}

func (r *Reader) state(kind event.PieceKind, t *table, entry int, span event.Interval, v event.Visitor) error {
	r.states, r.entry = t, entry
	r.stats.States++
	return v.State(kind, span, r.encode)
}

// offsets is the part [lo, hi) of the interval in a day, as offsets from its start.
func offsets(iv event.Interval, day int64) (lo, hi int64) {
	lo, hi = 0, event.Day
	if event.DayOf(iv.Lo) == day {
		lo = iv.Lo - dayStart(day)
	}
	if event.DayOf(iv.Hi) == day {
		hi = iv.Hi - dayStart(day)
	}
	return lo, hi
}

// daySpan is offsets [lo, hi) of a day as an interval, saturated at the ends of time.
func daySpan(day, lo, hi int64) event.Interval {
	s := event.Interval{Lo: dayStart(day) + lo, Hi: dayStart(day) + hi}
	if day < 0 && s.Lo > 0 {
		s.Lo = math.MinInt64
	}
	if day > 0 && s.Hi < 0 {
		s.Hi = math.MaxInt64
	}
	return s
}

func (r *Reader) load(day int64, level int, bucket int64) (*node, error) {
	for i := range r.used {
		h := &r.nodes[i]
		if h.day == day && h.level == level && h.bucket == bucket {
			return h.n, nil
		}
	}
	r.scratch = appendNodeKey(r.scratch[:0], r.g.Prefix, r.key, day, level, bucket)
	n, err := as[node](r.get(r.scratch, bucketStart(day, level, bucket)))
	if err != nil {
		return nil, err
	}
	if n == nil {
		return nil, fmt.Errorf("%w: group %d, key %x: missing bucket %d of level %d of day %d", ErrCorrupt, r.g.Prefix, r.key, bucket, level, day)
	}
	if r.used < held {
		r.nodes[r.used] = heldNode{day, level, bucket, n}
		r.used++
	}
	return n, nil
}

// walk visits offsets [lo, hi) of a bucket that the interval cuts, or of a day without a settled state.
func (r *Reader) walk(day int64, level int, bucket, lo, hi int64, iv event.Interval, v event.Visitor) error {
	n, err := r.load(day, level, bucket)
	if err != nil {
		return err
	}
	if n.kids == nil {
		ts := n.rows.TS
		from := sort.Search(len(ts), func(i int) bool { return ts[i] >= iv.Lo })
		to := from + sort.Search(len(ts)-from, func(i int) bool { return ts[from+i] >= iv.Hi })
		if from == to {
			return nil
		}
		r.stats.Rows += int64(to - from)
		start := bucket << shifts[level]
		return v.Rows(event.PiecePack, daySpan(day, start, min(start+(1<<shifts[level]), event.Day)), n.rows, from, to)
	}
	kids, shift := n.kids, shifts[level+1]
	for i := kids.search(lo >> shift); i < kids.n(); i++ {
		start := kids.ids[i] << shift
		if start >= hi {
			break
		}
		end := min(start+(1<<shift), event.Day)
		if lo <= start && end <= hi && !r.NoLevels {
			err = r.state(event.PieceLevel, kids, i, daySpan(day, start, end), v)
		} else {
			err = r.walk(day, level+1, kids.ids[i], max(lo, start), min(hi, end), iv, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// IsNotRetained reports whether err is ErrNotRetained.
func IsNotRetained(err error) bool { return errors.Is(err, ErrNotRetained) }
