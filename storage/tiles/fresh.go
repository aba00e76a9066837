package tiles

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"maps"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// freshShards is into how many parts a generation's index of keys is divided, each with a lock.
const freshShards = 64

// part is rows of one position, in the order in which they came.
type part struct {
	pos   uint64
	first int32 // number of its first row in the generation
	rows  *event.Rows
	prev  []int32     // by row: the row before it of its key, −1: none
	keys  []int32     // by row: the number of its key in the generation
	dead  atomic.Bool // its commit failed
}

// generation is fresh rows that are folded together. One goroutine adds to it while others read.
type generation struct {
	parts  atomic.Pointer[[]*part]
	shards [freshShards]freshShard
	rows   atomic.Int64
	most   atomic.Int64 // about the rows of the key that has most
	bytes  atomic.Int64
	heads  atomic.Int64 // its keys, which are numbered as they come
}

type freshShard struct {
	mu    sync.RWMutex
	heads map[uint64]head // by hash of the key, or, where another key has that, the next one that none has
}

// head is what a generation knows of a key.
type head struct {
	last, rows int32 // number of the newest row, and how many there are
	key        int32 // the key's number
	first      int32 // of the part that has the first row
	at         int32 // of that row in it
}

// name is the key.
func (h *head) name(parts []*part) []byte { return parts[h.first].rows.Key.Bytes(int(h.at)) }

func newGeneration() *generation {
	g := &generation{}
	g.parts.Store(&[]*part{})
	for i := range g.shards {
		g.shards[i].heads = map[uint64]head{}
	}
	return g
}

// add adds rows, which it keeps.
func (gen *generation) add(seed maphash.Seed, pos uint64, rows *event.Rows) *part {
	parts := *gen.parts.Load()
	p := &part{pos: pos, rows: rows, prev: make([]int32, rows.N()), keys: make([]int32, rows.N())}
	if n := len(parts); n > 0 {
		p.first = parts[n-1].first + int32(parts[n-1].rows.N())
	}
	own := int32(len(parts))
	parts = append(slices.Clip(parts), p)
	gen.parts.Store(&parts) // before a head names a row of it
	most, heads := int32(0), int32(gen.heads.Load())
	for i := range p.prev {
		key := rows.Key.Bytes(i)
		for h := maphash.Bytes(seed, key); ; h++ {
			s := &gen.shards[h%freshShards]
			s.mu.Lock()
			e, ok := s.heads[h]
			if ok && !bytes.Equal(e.name(parts), key) {
				s.mu.Unlock()
				continue
			}
			if p.prev[i] = e.last; !ok {
				e.key, e.first, e.at = heads, own, int32(i)
				p.prev[i], heads = -1, heads+1
			}
			p.keys[i] = e.key
			e.last, e.rows = p.first+int32(i), e.rows+1
			s.heads[h] = e
			s.mu.Unlock()
			most = max(most, e.rows)
			break
		}
	}
	if int64(most) > gen.most.Load() {
		gen.most.Store(int64(most))
	}
	gen.heads.Store(int64(heads))
	gen.rows.Add(int64(rows.N()))
	gen.bytes.Add(freshBytes(rows))
	return p
}

// freshBytes is about what rows take while they are fresh: they, the part's numbers, and their order while they are folded.
func freshBytes(r *event.Rows) int64 { return r.MemBytes() + int64(r.N())*(4+4+8) }

// placed is rows where they are, in parts.
type placed struct {
	parts []*part
	rows  []vector.Place
}

// add adds a row of a part. Rows of one part are best added one after another.
func (x *placed) add(p *part, at int32) {
	if n := len(x.parts); n == 0 || x.parts[n-1] != p {
		x.parts = append(x.parts, p)
	}
	x.rows = append(x.rows, vector.Place{Of: int32(len(x.parts) - 1), At: at})
}

func (x *placed) clear() {
	clear(x.parts)
	x.parts, x.rows = x.parts[:0], x.rows[:0]
}

// sort orders rows of one key.
func (x *placed) sort() {
	compare := func(a, b vector.Place) int {
		return event.Compare(x.parts[a.Of].rows, int(a.At), x.parts[b.Of].rows, int(b.At))
	}
	if !slices.IsSortedFunc(x.rows, compare) {
		slices.SortFunc(x.rows, compare)
	}
}

// gather copies the rows, keys left out.
func (x *placed) gather(l *event.Layout) *event.Rows {
	out := newRows(l, len(x.rows))
	for _, r := range x.rows {
		rows := x.parts[r.Of].rows
		out.TS, out.RowID = append(out.TS, rows.TS[r.At]), append(out.RowID, rows.RowID[r.At])
	}
	srcs := make([]*vector.Vector, len(x.parts))
	gather := func(into *vector.Vector, of func(r *event.Rows) *vector.Vector) {
		for i, p := range x.parts {
			srcs[i] = of(p.rows)
		}
		into.Gather(srcs, x.rows)
	}
	if out.Tie != nil {
		gather(out.Tie, func(r *event.Rows) *vector.Vector { return r.Tie })
	}
	for c, v := range out.Cols {
		gather(v, func(r *event.Rows) *vector.Vector { return r.Cols[c] })
	}
	return out
}

// of adds the rows of a key that came at positions after < p ≤ upTo, those of commits that failed left out, the newest first.
func (gen *generation) of(seed maphash.Seed, key []byte, after, upTo uint64, out *placed) {
	for h := maphash.Bytes(seed, key); ; h++ {
		s := &gen.shards[h%freshShards]
		s.mu.RLock()
		e, ok := s.heads[h]
		s.mu.RUnlock()
		if !ok {
			return
		}
		parts := *gen.parts.Load()
		if !bytes.Equal(e.name(parts), key) {
			continue
		}
		for last := e.last; last >= 0; {
			p := parts[sort.Search(len(parts), func(i int) bool { return parts[i].first > last })-1]
			i := last - p.first
			if !p.dead.Load() && p.pos > after && p.pos <= upTo {
				out.add(p, i)
			}
			last = p.prev[i]
		}
		return
	}
}

// byKey is the rows of a generation by their keys, which ascend: those of keys[i] are rows[ends[i-1]:ends[i]], as they came.
type byKey struct {
	placed
	keys [][]byte
	ends []int
}

// start is where the rows of a key begin.
func (o *byKey) start(key int) int {
	if key == 0 {
		return 0
	}
	return o.ends[key-1]
}

// part is rows from ≤ i < to.
func (o *byKey) part(from, to int) placed { return placed{o.parts, o.rows[from:to]} }

// byKey orders the rows of a generation, to which nobody adds, those of commits that failed left out.
func (gen *generation) byKey() *byKey {
	o := &byKey{placed: placed{parts: *gen.parts.Load()}}
	counts := make([]int, gen.heads.Load()) // of rows, by the number of their key
	for _, p := range o.parts {
		if !p.dead.Load() {
			for _, k := range p.keys {
				counts[k]++
			}
		}
	}
	numbers := make([]int32, 0, len(counts)) // of the keys that have rows
	names := make([][]byte, len(counts))
	for i := range gen.shards {
		for _, e := range gen.shards[i].heads {
			if names[e.key] = e.name(o.parts); counts[e.key] > 0 {
				numbers = append(numbers, e.key)
			}
		}
	}
	slices.SortFunc(numbers, func(a, b int32) int { return bytes.Compare(names[a], names[b]) })
	o.keys, o.ends = make([][]byte, len(numbers)), make([]int, len(numbers))
	next := counts // where the next row of a key goes
	total := 0
	for i, k := range numbers {
		n := counts[k]
		o.keys[i], next[k] = names[k], total
		total += n
		o.ends[i] = total
	}
	o.rows = make([]vector.Place, total)
	for n, p := range o.parts {
		if !p.dead.Load() {
			for i, k := range p.keys {
				o.rows[next[k]] = vector.Place{Of: int32(n), At: int32(i)}
				next[k]++
			}
		}
	}
	return o
}

// upTo is the newest position that the generation has rows of.
func (gen *generation) upTo() uint64 {
	pos := uint64(0)
	for _, p := range *gen.parts.Load() {
		if !p.dead.Load() {
			pos = max(pos, p.pos)
		}
	}
	return pos
}

// generations are a group's: that which is being folded, and that which grows; nil where there is none.
type generations struct{ folding, growing *generation }

// waiting is what a Store knows of the fresh rows of a group.
type waiting struct {
	resume  uint64       // rows up to this position belong to a fold that the end of a process cut short
	fold    sync.Mutex   // held by who folds
	awaited atomic.Int32 // who waits for the fold
	pending sync.Mutex   // held from the first Add of a batch to its outcome

	mu  sync.Mutex // guards cur
	cur *adding    // the batch in flight
}

// adding is the fresh rows of one batch before it is committed.
type adding struct {
	s     *Store
	w     *waiting
	batch *pebble.Batch
	parts []*part
	gens  []*generation
	over  bool
}

// Add is Apply of insertions that are kept in memory, in front of the tiles, until Fold takes them there: the rows of a key are then
// applied at once, however many commits brought them. Reads of Views count them from the commit of b on. After the end of the process they
// are lost, and Position says so: the caller gives them again, from the log.
//
// rows is the Store's from then on. The group's positions ascend, and Apply is not called while rows of it are fresh. Add does not wait
// for other groups' writers, nor for more than a slice of Fold. done is as Apply's. Errors: ErrRange, Pebble's.
func (s *Store) Add(b *pebble.Batch, g *Group, pos uint64, rows *event.Rows) (done func(committed bool), err error) {
	if err := checkRows(rows); err != nil {
		return nil, err
	}
	w, err := s.waitingOf(g)
	if err != nil {
		return nil, err
	}
	a := w.begin(s, b)
	gen := s.generationOf(g.Prefix, pos <= w.resume)
	a.parts, a.gens = append(a.parts, gen.add(s.cache.seed, pos, rows)), append(a.gens, gen)
	if err := b.Set(appendHead(nil, g.Prefix, kindFresh), binary.AppendUvarint(nil, pos), nil); err != nil {
		a.finish(false)
		return nil, err
	}
	return a.finish, nil
}

func (w *waiting) begin(s *Store, b *pebble.Batch) *adding {
	w.mu.Lock()
	a := w.cur
	w.mu.Unlock()
	if a != nil && a.batch == b {
		return a
	}
	w.pending.Lock()
	a = &adding{s: s, w: w, batch: b}
	w.mu.Lock()
	w.cur = a
	w.mu.Unlock()
	return a
}

// finish ends the batch; only the first call counts.
func (a *adding) finish(committed bool) {
	a.w.mu.Lock()
	if a.over {
		a.w.mu.Unlock()
		return
	}
	a.over, a.w.cur = true, nil
	a.w.mu.Unlock()
	if !committed {
		for i, p := range a.parts {
			p.dead.Store(true)
			a.gens[i].rows.Add(-int64(p.rows.N()))
		}
	}
	a.s.instants.Lock()
	a.s.forgetInstant()
	a.s.instants.Unlock()
	a.w.pending.Unlock()
}

// waitingOf is what is known of a group's fresh rows, which a first call finds out.
func (s *Store) waitingOf(g *Group) (*waiting, error) {
	s.instants.Lock()
	w := s.waiting[g.Prefix]
	s.instants.Unlock()
	if w != nil {
		return w, nil
	}
	p, err := s.position(s.db, g)
	if err != nil {
		return nil, err
	}
	w = &waiting{}
	if p != nil {
		w.resume = p.foldTo
	}
	s.instants.Lock()
	defer s.instants.Unlock()
	if now := s.waiting[g.Prefix]; now != nil {
		return now, nil
	}
	s.waiting[g.Prefix] = w
	return w, nil
}

// generationOf is the generation that rows are added to.
func (s *Store) generationOf(prefix uint32, folding bool) *generation {
	s.instants.Lock()
	defer s.instants.Unlock()
	gens := s.fresh[prefix]
	at := &gens.growing
	if folding {
		at = &gens.folding
	}
	if *at == nil {
		*at = newGeneration()
		s.setGenerations(prefix, gens)
	}
	return *at
}

// setGenerations replaces the generations of a group; Views keep those that they began with. The caller holds s.instants.
func (s *Store) setGenerations(prefix uint32, gens generations) {
	s.fresh = maps.Clone(s.fresh)
	if s.fresh[prefix] = gens; gens == (generations{}) {
		delete(s.fresh, prefix)
	}
}

// Fresh is how many rows of a group wait for Fold, and how many of them the key has that has most, about. waits reports whether there is
// something to fold.
func (s *Store) Fresh(g *Group) (rows, most int64, waits bool, err error) {
	w, err := s.waitingOf(g)
	if err != nil {
		return 0, 0, false, err
	}
	s.instants.Lock()
	gens := s.fresh[g.Prefix]
	resume := w.resume
	s.instants.Unlock()
	for _, gen := range []*generation{gens.folding, gens.growing} {
		if gen != nil {
			rows, most = rows+gen.rows.Load(), max(most, gen.most.Load())
		}
	}
	return rows, most, gens != (generations{}) || resume > 0, nil
}

// FreshBytes is about how many bytes the fresh rows of all groups take.
func (s *Store) FreshBytes() (bytes int64) {
	s.instants.Lock()
	defer s.instants.Unlock()
	for _, gens := range s.fresh {
		for _, gen := range []*generation{gens.folding, gens.growing} {
			if gen != nil {
				bytes += gen.bytes.Load()
			}
		}
	}
	return bytes
}

// FoldWorth is what it is worth to fold a group rather than another: the square of the bytes that it frees by the keys that it changes. What
// folds cost altogether is least where it is the same for all groups when they are folded, as a key costs about the same however many rows
// it has, and bytes that one group has another cannot have. 0: nothing waits.
func (s *Store) FoldWorth(g *Group) float64 {
	s.instants.Lock()
	defer s.instants.Unlock()
	bytes, keys := 0.0, 0.0
	for _, gen := range []*generation{s.fresh[g.Prefix].folding, s.fresh[g.Prefix].growing} {
		if gen != nil {
			bytes, keys = bytes+float64(gen.bytes.Load()), keys+float64(gen.heads.Load())
		}
	}
	return bytes * bytes / max(keys, 1)
}

// forgetFresh gives up the fresh rows of a group that is dropped, and stops a Fold of them.
func (s *Store) forgetFresh(prefix uint32) {
	s.instants.Lock()
	defer s.instants.Unlock()
	delete(s.waiting, prefix)
	if _, ok := s.fresh[prefix]; ok {
		s.setGenerations(prefix, generations{})
	}
	s.forgetInstant()
}

// errForgotten ends the Fold of a group that was dropped meanwhile.
var errForgotten = errors.New("tiles: the group was dropped")

// freshPosition is the newest position that fresh rows were committed at; 0: none were.
func freshPosition(r Getter, prefix uint32) (uint64, error) {
	v, closer, err := r.Get(appendHead(nil, prefix, kindFresh))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	pos, n := binary.Uvarint(v)
	if err := closer.Close(); err != nil {
		return 0, err
	}
	if n <= 0 {
		return 0, ErrCorrupt
	}
	return pos, nil
}

// freshReads is what a Reader knows of the fresh rows of its group, and of its key.
type freshReads struct {
	gens     generations
	known    bool
	upTo     uint64 // rows of later positions are not in the view
	position *position

	loaded bool // of the key
	found  placed
	rows   *event.Rows
}

// load reads the fresh rows of the reader's key.
func (f *freshReads) load(r *Reader) error {
	if !f.known {
		var err error
		if f.upTo, err = freshPosition(r.r, r.g.Prefix); err != nil {
			return err
		}
		if f.position, err = r.s.position(r.r, r.g); err != nil {
			return err
		}
		f.known = true
	}
	f.loaded = true
	f.found.clear()
	after := uint64(0)
	if f.position != nil {
		after = f.position.of(r.key)
	}
	for _, gen := range []*generation{f.gens.folding, f.gens.growing} {
		if gen != nil && after < f.upTo {
			gen.of(r.s.cache.seed, r.key, after, f.upTo, &f.found)
		}
	}
	if len(f.found.rows) == 0 {
		return nil
	}
	f.found.sort()
	f.rows = f.found.gather(&r.g.Layout)
	return nil
}

// cover visits the fresh rows of the reader's key.
func (f *freshReads) cover(r *Reader, iv event.Interval, v event.Visitor) error {
	if f.gens == (generations{}) {
		return nil
	}
	if !f.loaded {
		if err := f.load(r); err != nil {
			return err
		}
	}
	if len(f.found.rows) == 0 {
		return nil
	}
	ts := f.rows.TS
	from := sort.Search(len(ts), func(i int) bool { return ts[i] >= iv.Lo })
	to := from + sort.Search(len(ts)-from, func(i int) bool { return ts[from+i] >= iv.Hi })
	if from == to {
		return nil
	}
	r.stats.Rows += int64(to - from)
	return v.Rows(event.PieceTail, iv, f.rows, from, to)
}
