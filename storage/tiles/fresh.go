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
	prev  []int32     // by row: the row before it whose key has the same hash, −1: none
	dead  atomic.Bool // its commit failed
}

// generation is fresh rows that are folded together. One goroutine adds to it while others read.
type generation struct {
	parts  atomic.Pointer[[]*part]
	shards [freshShards]freshShard
	rows   atomic.Int64
	most   atomic.Int64 // about the rows of the key that has most
	bytes  atomic.Int64
	heads  atomic.Int64 // about its keys
}

type freshShard struct {
	mu    sync.RWMutex
	heads map[uint64]head // by hash of the key
}

type head struct{ last, rows int32 }

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
	p := &part{pos: pos, rows: rows, prev: make([]int32, rows.N())}
	if n := len(parts); n > 0 {
		p.first = parts[n-1].first + int32(parts[n-1].rows.N())
	}
	parts = append(slices.Clip(parts), p)
	gen.parts.Store(&parts) // before a head names a row of it
	most, heads := int32(0), int64(0)
	for i := range p.prev {
		h := maphash.Bytes(seed, rows.Key.Bytes(i))
		s := &gen.shards[h%freshShards]
		s.mu.Lock()
		e, ok := s.heads[h]
		if p.prev[i] = e.last; !ok {
			p.prev[i], heads = -1, heads+1
		}
		e = head{p.first + int32(i), e.rows + 1}
		s.heads[h] = e
		s.mu.Unlock()
		most = max(most, e.rows)
	}
	if int64(most) > gen.most.Load() {
		gen.most.Store(int64(most))
	}
	gen.heads.Add(heads)
	gen.rows.Add(int64(rows.N()))
	gen.bytes.Add(freshBytes(rows))
	return p
}

// freshBytes is about what rows take while they are fresh.
func freshBytes(r *event.Rows) int64 {
	n := int64(r.N())*28 + int64(r.Key.MemBytes())
	for _, c := range r.Cols {
		n += int64(c.MemBytes())
	}
	if r.Tie != nil {
		n += int64(r.Tie.MemBytes())
	}
	return n
}

// freshRow is where a row is.
type freshRow struct {
	*part
	i int
}

func (r freshRow) key() []byte { return r.rows.Key.Bytes(r.i) }

// gatherFresh copies rows, keys left out.
func gatherFresh(l *event.Layout, found []freshRow) *event.Rows {
	out := newRows(l, len(found))
	for _, x := range found {
		out.TS, out.RowID = append(out.TS, x.rows.TS[x.i]), append(out.RowID, x.rows.RowID[x.i])
	}
	if out.Tie != nil {
		out.Tie.Gather(len(found), func(k int) (*vector.Vector, int) { return found[k].rows.Tie, found[k].i })
	}
	for c, v := range out.Cols {
		v.Gather(len(found), func(k int) (*vector.Vector, int) { return found[k].rows.Cols[c], found[k].i })
	}
	return out
}

func compareFresh(a, b freshRow) int { return event.Compare(a.rows, a.i, b.rows, b.i) }

// chain calls each with the rows of committed parts from row number last on that share a hash, the newest first.
func (gen *generation) chain(last int32, each func(r freshRow)) {
	parts := *gen.parts.Load()
	for last >= 0 {
		p := parts[sort.Search(len(parts), func(i int) bool { return parts[i].first > last })-1]
		i := int(last - p.first)
		if !p.dead.Load() {
			each(freshRow{p, i})
		}
		last = p.prev[i]
	}
}

// of appends the rows of a key, the newest first.
func (gen *generation) of(seed maphash.Seed, key []byte, dst []freshRow) []freshRow {
	h := maphash.Bytes(seed, key)
	s := &gen.shards[h%freshShards]
	s.mu.RLock()
	e, ok := s.heads[h]
	s.mu.RUnlock()
	if !ok {
		return dst
	}
	gen.chain(e.last, func(r freshRow) {
		if bytes.Equal(r.key(), key) {
			dst = append(dst, r)
		}
	})
	return dst
}

// keys are the generation's keys, ascending. Nobody adds to it.
func (gen *generation) keys() [][]byte {
	var out [][]byte
	for i := range gen.shards {
		for _, e := range gen.shards[i].heads {
			from := len(out)
			gen.chain(e.last, func(r freshRow) {
				if key := r.key(); !slices.ContainsFunc(out[from:], func(k []byte) bool { return bytes.Equal(k, key) }) {
					out = append(out, key)
				}
			})
		}
	}
	slices.SortFunc(out, bytes.Compare)
	return out
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
	found  []freshRow
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
	f.loaded, f.found = true, f.found[:0]
	after := uint64(0)
	if f.position != nil {
		after = f.position.of(r.key)
	}
	for _, gen := range []*generation{f.gens.folding, f.gens.growing} {
		if gen != nil && after < f.upTo {
			f.found = gen.of(r.s.cache.seed, r.key, f.found)
		}
	}
	f.found = slices.DeleteFunc(f.found, func(x freshRow) bool { return x.pos <= after || x.pos > f.upTo })
	if len(f.found) == 0 {
		return nil
	}
	slices.SortFunc(f.found, compareFresh)
	f.rows = gatherFresh(&r.g.Layout, f.found)
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
	if len(f.found) == 0 {
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
