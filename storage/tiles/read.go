package tiles

import (
	"errors"
	"fmt"
	"math"
	"sort"

	"github.com/tilehouse/tilehouse/storage/event"
)

// held is how many nodes of the current key a Reader keeps: two edges of some windows, with their levels.
const held = 16

// maxKeptBytes is the largest record whose memory a Reader keeps for the next.
const maxKeptBytes = 64 << 10

// Reader reads keys of one group. It is used by one goroutine, and reusable. Its memory is: a view's Readers are made of those of
// views before it.
type Reader struct {
	s       *Store
	r       Getter
	g       *Group
	stats   *event.ReadStats
	cached  bool
	version uint64
	distant bool // DistantReader

	// NoLevels reads the rows of every pack where states of part of a day exist: for tests and benchmarks.
	NoLevels bool

	meta     *groupMeta
	key      []byte
	rec      *record // nil: the key has none
	loaded   bool
	own      record // what rec points to
	buf      []byte // its bytes, where the cache does not have them
	nodes    [held]heldNode
	used     int
	packs    []*event.Rows // memory of the nodes that were raw, packed of which are in use
	packed   int
	packBuf  []byte
	scratch  []byte
	fresh    freshReads
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
func (s *Store) Reader(r Getter, g *Group, stats *event.ReadStats) *Reader {
	x, _ := s.readers.Get().(*Reader)
	if x == nil {
		x = &Reader{s: s}
		x.encode = func(p int) []byte {
			b := x.states.state(x.entry, p)
			if len(b) == 0 {
				return nil
			}
			return b
		}
	}
	if x.g != g {
		x.packs = nil // of another layout
	}
	x.r, x.g, x.stats = r, g, stats
	if stats == nil {
		x.ownStats = event.ReadStats{}
		x.stats = &x.ownStats
	}
	return x
}

// release gives the Reader's memory to later ones.
func (r *Reader) release() {
	if cap(r.buf) > maxKeptBytes || cap(r.key) > maxKeptBytes {
		return
	}
	r.Key(nil)
	clear(r.nodes[:])
	r.r, r.stats, r.meta, r.states, r.own.life = nil, nil, nil, nil, nil
	r.cached, r.version, r.NoLevels, r.distant, r.fresh = false, 0, false, false, freshReads{}
	r.s.readers.Put(r)
}

var _ event.Pieces = (*Reader)(nil)

// Key turns the reader to an entity key and returns it. What it returned before turns with it.
func (r *Reader) Key(key []byte) event.Pieces {
	r.key = append(r.key[:0], key...)
	r.rec, r.loaded, r.used, r.packed, r.fresh.loaded = nil, false, 0, 0, false
	if r.distant {
		r.meta = nil
	}
	return r
}

func (r *Reader) get(key []byte, start int64, buf *[]byte) (any, error) {
	return r.s.get(r.r, r.g, key, start, r.version, r.cached, r.stats, buf)
}

// record reads the key's record.
func (r *Reader) record() error {
	r.scratch = appendRecordKey(r.scratch[:0], r.g.Prefix, r.key)
	v, err := r.get(r.scratch, 0, &r.buf)
	if err != nil {
		return err
	}
	r.rec, r.loaded = nil, true
	if v == nil {
		return nil
	}
	b, ok := v.(raw)
	if !ok {
		return fmt.Errorf("%w: value of another kind", ErrCorrupt)
	}
	if err := r.own.decode(len(r.g.Partials), b); err != nil {
		r.loaded = false
		return fmt.Errorf("tiles: group %d, key %x: %w", r.g.Prefix, r.key, err)
	}
	r.rec = &r.own
	return nil
}

// unpack is a node of a pack's bytes, in memory of the Reader, valid until its next key.
func (r *Reader) unpack(b []byte, start int64) (*node, error) {
	if r.packed == len(r.packs) {
		r.packs = append(r.packs, newRows(&r.g.Layout, 0))
	}
	rows, err := decodePack(&r.g.Layout, start, b, r.packs[r.packed])
	if err != nil {
		return nil, fmt.Errorf("tiles: group %d, key %x: %w", r.g.Prefix, r.key, err)
	}
	r.packed++
	return &node{rows: rows}, nil
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
	length := r.s.o.Days.Length()
	first, last := r.s.o.Days.Of(iv.Lo), r.s.o.Days.Of(iv.Hi-1)
	if !r.g.Lifetime && first < r.meta.horizon {
		return fmt.Errorf("%w: group %d from day %d, not %d", ErrNotRetained, r.g.Prefix, r.meta.horizon, first)
	}
	if !r.loaded {
		if err := r.record(); err != nil {
			return err
		}
	}
	if r.rec == nil {
		return r.fresh.cover(r, iv, v)
	}
	if err := r.lifetime(iv, v); err != nil {
		return err
	}
	days := r.rec.days
	for i := days.search(first); i < days.n() && days.ids[i] <= last; i++ {
		day := days.ids[i]
		lo, hi := int64(0), length // the part of the interval in the day
		if day == first {
			lo = iv.Lo - r.s.o.Days.Start(day)
		}
		if day == last {
			hi = min(length, iv.Hi-r.s.o.Days.Start(day))
		}
		if lo == 0 && hi == length && days.meta[i] == 1 {
			if err := r.state(event.PieceSettled, days, i, r.span(day, 0, length), v); err != nil {
				return err
			}
			continue
		}
		n, err := r.root(i)
		if err != nil {
			return err
		}
		if err := r.walk(n, day, 0, 0, lo, hi, iv, v); err != nil {
			return err
		}
	}
	return r.fresh.cover(r, iv, v)
}

func (r *Reader) loadMeta() (*groupMeta, error) {
	r.scratch = appendHead(r.scratch[:0], r.g.Prefix, kindMeta)
	if r.distant { // as of the key
		r.scratch = append(r.scratch, r.key...)
	}
	// The group record is read once a Reader, not once a key; it is no part of a key's reads.
	m, err := as[groupMeta](r.s.get(r.r, r.g, r.scratch, 0, r.version, r.cached, nil, nil))
	if m == nil && err == nil {
		m = &groupMeta{settled: noDay, publishing: noDay, horizon: noDay}
	}
	return m, err
}

// lifetime visits the cumulative states whose rows are all in the interval, and fails where one has rows inside and outside.
func (r *Reader) lifetime(iv event.Interval, v event.Visitor) error {
	l := r.rec.life
	if l == nil {
		return nil
	}
	for i := range l.states.n() {
		switch {
		case iv.Hi <= l.min[i] || l.max[i] < iv.Lo:
		case l.states.meta[i] == 1:
			return fmt.Errorf("%w: the lifetime state of a key of group %d waits to be rebuilt", ErrNotRetained, r.g.Prefix)
		case iv.Lo <= l.min[i] && l.max[i] < iv.Hi:
			if err := r.state(event.PieceLifetime, l.states, i, event.Interval{Lo: l.min[i], Hi: l.max[i] + 1}, v); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: group %d has a key's rows up to %d as one state", ErrNotRetained, r.g.Prefix, l.max[i])
		}
	}
	return nil
}

func (r *Reader) state(kind event.PieceKind, t *table, entry int, span event.Interval, v event.Visitor) error {
	r.states, r.entry = t, entry
	r.stats.States++
	return v.State(kind, span, r.encode)
}

// span is offsets [lo, hi) of a day as an interval, saturated at the ends of time.
func (r *Reader) span(day, lo, hi int64) event.Interval {
	start := r.s.o.Days.Start(day)
	s := event.Interval{Lo: start + lo, Hi: start + hi}
	if day < 0 && s.Lo > 0 {
		s.Lo = math.MinInt64
	}
	if day > 0 && s.Hi < 0 {
		s.Hi = math.MaxInt64
	}
	return s
}

// root is the root of the day at entry i of the record.
func (r *Reader) root(i int) (*node, error) {
	day, b := r.rec.days.ids[i], r.rec.pack(i)
	if len(b) == 0 {
		return r.load(day, 0, 0)
	}
	if n := r.kept(day, 0, 0); n != nil {
		return n, nil
	}
	n, err := r.unpack(b, r.s.o.Days.Start(day))
	if err == nil {
		r.keep(day, 0, 0, n)
	}
	return n, err
}

func (r *Reader) kept(day int64, level int, bucket int64) *node {
	for i := range r.used {
		if h := &r.nodes[i]; h.day == day && h.level == level && h.bucket == bucket {
			return h.n
		}
	}
	return nil
}

func (r *Reader) keep(day int64, level int, bucket int64, n *node) {
	if r.used < held {
		r.nodes[r.used] = heldNode{day, level, bucket, n}
		r.used++
	}
}

func (r *Reader) load(day int64, level int, bucket int64) (*node, error) {
	if n := r.kept(day, level, bucket); n != nil {
		return n, nil
	}
	r.scratch = appendNodeKey(r.scratch[:0], r.g.Prefix, r.key, day, level, bucket)
	start := r.s.bucketStart(day, level, bucket)
	v, err := r.get(r.scratch, start, &r.packBuf)
	var n *node
	if b, ok := v.(raw); ok {
		n, err = r.unpack(b, start) // nothing aliases packBuf afterwards
	} else {
		n, err = as[node](v, err)
	}
	if err != nil {
		return nil, err
	}
	if n == nil {
		return nil, fmt.Errorf("%w: group %d, key %x: missing bucket %d of level %d of day %d", ErrCorrupt, r.g.Prefix, r.key, bucket, level, day)
	}
	r.keep(day, level, bucket, n)
	return n, nil
}

// walk visits offsets [lo, hi) of a bucket, n, that the interval cuts, or of a day without a settled state.
func (r *Reader) walk(n *node, day int64, level int, bucket, lo, hi int64, iv event.Interval, v event.Visitor) error {
	length := r.s.o.Days.Length()
	if n.kids == nil {
		ts := n.rows.TS
		from := sort.Search(len(ts), func(i int) bool { return ts[i] >= iv.Lo })
		to := from + sort.Search(len(ts)-from, func(i int) bool { return ts[from+i] >= iv.Hi })
		if from == to {
			return nil
		}
		r.stats.Rows += int64(to - from)
		start := bucket << shifts[level]
		return v.Rows(event.PiecePack, r.span(day, start, min(start+(1<<shifts[level]), length)), n.rows, from, to)
	}
	kids, shift := n.kids, shifts[level+1]
	for i := kids.search(lo >> shift); i < kids.n(); i++ {
		start := kids.ids[i] << shift
		if start >= hi {
			break
		}
		end := min(start+(1<<shift), length)
		var err error
		if lo <= start && end <= hi && !r.NoLevels {
			err = r.state(event.PieceLevel, kids, i, r.span(day, start, end), v)
		} else {
			var child *node
			if child, err = r.load(day, level+1, kids.ids[i]); err == nil {
				err = r.walk(child, day, level+1, kids.ids[i], max(lo, start), min(hi, end), iv, v)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// IsNotRetained reports whether err is ErrNotRetained.
func IsNotRetained(err error) bool { return errors.Is(err, ErrNotRetained) }
