package tiles

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/event"
)

// DefaultJournalEntries is how many changed values the journal names at most, some 60 bytes each. Beyond it the journal is given up, and
// whoever follows it begins again with all values.
const DefaultJournalEntries = 20_000_000

// ErrGivenUp is the error of reading a journal that was given up: RestartJournal, then send everything.
var ErrGivenUp = errors.New("tiles: the journal was given up")

// The journal names the values that changed, so that they can be sent to another store: 'j', 'q', number of the transaction (uint64),
// then the value's key without its first byte; no value. An entry is written by the batch that changes the value. 'j', 'o' is there once
// the journal was given up.
const (
	journalSpace    = 'j' // reclog.KeyJournal
	journalQueue    = 'q'
	journalOverflow = 'o'
	journalHead     = 2 + 8
)

// trimEntries is how many entries that were sent are in the journal at most before they are deleted, all at once: Pebble sorts all range
// deletions that its memory holds whenever there is a new one, and a read after each round would wait for that.
const trimEntries = 4096

// journal is the part of a Store that notes changes. All but the atomics is guarded by the writer lock, and what Sent counts is its caller's.
type journal struct {
	on      atomic.Bool
	limit   int64
	number  uint64 // of the newest transaction that noted something
	entries atomic.Int64
	given   atomic.Bool   // up: nothing is noted until Restart
	notify  chan struct{} // capacity 1

	sent      uint64 // the last transaction that was
	trimmed   uint64 // the last one whose entries were deleted
	untrimmed int64  // entries between them
}

// ValueKind is what a value of a group is.
type ValueKind byte

// The kinds of values that the journal names.
const (
	RecordValue ValueKind = kindRecord // of an entity key
	NodeValue   ValueKind = kindNode   // of an entity key, with a part
	GroupValue  ValueKind = kindMeta   // what is retained of the group
)

// nodeTailBytes is how long the part of a node's key is: day, level, bucket.
const nodeTailBytes = nodeTail

// Place is where a value is. Key and Part alias what it was made of.
type Place struct {
	Prefix uint32
	Kind   ValueKind
	Key    []byte // the entity key; none of GroupValue
	Part   []byte // of NodeValue: day, level and bucket, in an order of bytes that is that of time within a level
}

// PlaceOf is the inverse of a value's key in the database. Errors: ErrCorrupt.
func PlaceOf(key []byte) (Place, error) {
	if len(key) < keyHead || key[0] != 't' {
		return Place{}, fmt.Errorf("%w: key %x", ErrCorrupt, key)
	}
	p := Place{Prefix: binary.BigEndian.Uint32(key[1:]), Kind: ValueKind(key[keyHead-1]), Key: key[keyHead:]}
	switch p.Kind {
	case GroupValue, RecordValue:
	case NodeValue:
		if len(p.Key) < nodeTailBytes {
			return Place{}, fmt.Errorf("%w: node key %x", ErrCorrupt, key)
		}
		at := len(p.Key) - nodeTailBytes
		p.Key, p.Part = p.Key[:at], p.Key[at:]
	default:
		return Place{}, fmt.Errorf("%w: kind %q", ErrCorrupt, p.Kind)
	}
	return p, nil
}

// RootPart is the part of the root of the tree of the day that holds ts.
func (s *Store) RootPart(ts int64) []byte {
	dst := append(appendDay(nil, s.o.Days.Of(ts)), 0)
	return binary.BigEndian.AppendUint64(dst, 0)
}

// FollowChanges has the journal kept from the next transaction on, or ends and empties it. It is kept over restarts: entries of before
// are there. changed gets a value after commits that changed something.
func (s *Store) FollowChanges(on bool) (changed <-chan struct{}, err error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	j := &s.journal
	if !on {
		j.on.Store(false)
		j.entries.Store(0)
		j.untrimmed = 0
		return nil, s.db.DeleteRange([]byte{journalSpace, journalOverflow}, []byte{journalSpace, journalQueue + 1}, pebble.NoSync)
	}
	if j.on.Load() {
		return j.notify, nil
	}
	j.notify = make(chan struct{}, 1)
	lo, hi := []byte{journalSpace, journalQueue}, []byte{journalSpace, journalQueue + 1}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return nil, fmt.Errorf("tiles: journal: %w", err)
	}
	n := int64(0)
	for ok := it.First(); ok; ok = it.Next() {
		n++
		j.number = binary.BigEndian.Uint64(it.Key()[2:])
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return nil, fmt.Errorf("tiles: journal: %w", err)
	}
	_, closer, err := s.db.Get([]byte{journalSpace, journalOverflow})
	switch {
	case err == nil:
		j.given.Store(true)
		if err := closer.Close(); err != nil {
			return nil, err
		}
	case !errors.Is(err, pebble.ErrNotFound):
		return nil, fmt.Errorf("tiles: journal: %w", err)
	}
	if j.limit == 0 {
		j.limit = DefaultJournalEntries
	}
	j.entries.Store(n)
	j.on.Store(true)
	return j.notify, nil
}

// Followed reports whether the journal is kept.
func (s *Store) Followed() bool { return s.journal.on.Load() }

// Waiting is how many entries the journal has, and whether it was given up.
func (s *Store) Waiting() (entries int64, givenUp bool) {
	return s.journal.entries.Load(), s.journal.given.Load()
}

// RestartJournal empties a journal that was given up and has it kept again from the next transaction on.
func (s *Store) RestartJournal() error {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.journal.entries.Store(0)
	s.journal.untrimmed = 0
	if err := s.db.DeleteRange([]byte{journalSpace, journalOverflow}, []byte{journalSpace, journalQueue + 1}, pebble.Sync); err != nil {
		return fmt.Errorf("tiles: journal: %w", err)
	}
	s.journal.given.Store(false)
	return nil
}

// changes is what a transaction noted.
type changes struct {
	number uint64
	noted  int64
}

// noteChange writes to the batch that the value at key changes.
func (t *txn) noteChange(key []byte) error {
	j := &t.s.journal
	if !j.on.Load() {
		return nil
	}
	switch ValueKind(key[keyHead-1]) {
	case RecordValue, NodeValue, GroupValue:
	default:
		return nil
	}
	if _, again := t.overlay[string(key)]; again {
		return nil
	}
	if t.changes.number == 0 {
		t.changes.number = j.number + 1
	}
	if j.given.Load() { // said in each batch: the one that gave it up may have failed
		return t.batch.Set([]byte{journalSpace, journalOverflow}, nil, nil)
	}
	t.changes.noted++
	if j.entries.Load()+t.changes.noted > j.limit {
		t.changes.noted = 0
		j.given.Store(true)
		return errors.Join(t.batch.DeleteRange([]byte{journalSpace, journalQueue}, []byte{journalSpace, journalQueue + 1}, nil),
			t.batch.Set([]byte{journalSpace, journalOverflow}, nil, nil))
	}
	entry := append(make([]byte, 0, journalHead+len(key)), journalSpace, journalQueue)
	entry = binary.BigEndian.AppendUint64(entry, t.changes.number)
	return t.batch.Set(append(entry, key[1:]...), nil, nil)
}

// finishChanges counts what a transaction noted. The writer lock is held.
func (t *txn) finishChanges(committed bool) {
	if t.changes.number == 0 {
		return
	}
	j := &t.s.journal
	j.number = t.changes.number // also of one that failed: numbers are not used twice
	if j.given.Load() {
		j.entries.Store(0)
	} else if committed {
		j.entries.Add(t.changes.noted)
	}
	select {
	case j.notify <- struct{}{}:
	default:
	}
}

// Changes gives the places of at least limit entries of the journal, of transactions after one (0: after the last that was sent), in their order, those of one
// transaction together; the same place may come again. It ends with the journal, or at fn's error. upTo is the last transaction given, after where there
// is none, and n how many entries there were. Places are valid until fn returns. Errors: ErrGivenUp, fn's, Pebble's.
func (s *Store) Changes(r pebble.Reader, after uint64, limit int, fn func(Place) error) (upTo uint64, n int64, err error) {
	after = max(after, s.journal.sent)
	_, closer, err := r.Get([]byte{journalSpace, journalOverflow})
	if err == nil {
		return 0, 0, errors.Join(ErrGivenUp, closer.Close())
	}
	if !errors.Is(err, pebble.ErrNotFound) {
		return 0, 0, fmt.Errorf("tiles: journal: %w", err)
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: binary.BigEndian.AppendUint64([]byte{journalSpace, journalQueue}, after+1), UpperBound: []byte{journalSpace, journalQueue + 1}})
	if err != nil {
		return 0, 0, fmt.Errorf("tiles: journal: %w", err)
	}
	key := []byte{'t'}
	upTo = after
	for ok := it.First(); ok; ok = it.Next() {
		number := binary.BigEndian.Uint64(it.Key()[2:])
		if number != upTo && n >= int64(limit) {
			break
		}
		upTo = number
		n++
		key = append(key[:1], it.Key()[journalHead:]...)
		p, err := PlaceOf(key)
		if err == nil {
			err = fn(p)
		}
		if err != nil {
			return 0, 0, errors.Join(err, it.Close())
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return 0, 0, fmt.Errorf("tiles: journal: %w", err)
	}
	return upTo, n, nil
}

// Sent takes the entries of transactions up to and including upTo, of which there are n, out of the journal. It does not sync, and the last ones are
// deleted later: what a crash brings back is sent again. It is for one goroutine, that of Changes.
func (s *Store) Sent(upTo uint64, n int64) error {
	j := &s.journal
	j.entries.Add(-n)
	j.sent, j.untrimmed = max(j.sent, upTo), j.untrimmed+n
	if j.untrimmed < trimEntries {
		return nil
	}
	from := binary.BigEndian.AppendUint64([]byte{journalSpace, journalQueue}, j.trimmed+1)
	end := binary.BigEndian.AppendUint64([]byte{journalSpace, journalQueue}, upTo+1)
	if j.trimmed == 0 { // of before the start, too
		from = from[:2]
	}
	if err := s.db.DeleteRange(from, end, pebble.NoSync); err != nil {
		return fmt.Errorf("tiles: journal: %w", err)
	}
	j.trimmed, j.untrimmed = upTo, 0
	return nil
}

// Encoded is the bytes of the value at a place, nil where there is none.
func (s *Store) Encoded(r pebble.Reader, p Place) ([]byte, error) {
	key := append(appendHead(nil, p.Prefix, byte(p.Kind)), p.Key...)
	b, closer, err := r.Get(append(key, p.Part...))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("tiles: reading: %w", err)
	}
	b = bytes.Clone(b)
	return b, closer.Close()
}

// tagKept begins what is retained of a group where events before a time are gone: that time (int64, sign flipped), then the group record.
const tagKept = 0x24

// WithKept is a group record as Encoded gives it, with the event time from which its table keeps events; event.Forever: all. It is how it is sent
// elsewhere, where nobody knows the table.
func WithKept(meta []byte, kept int64) []byte {
	if kept == event.Forever {
		return meta
	}
	return append(binary.BigEndian.AppendUint64([]byte{tagKept}, uint64(kept)^1<<63), meta...)
}

// SplitKept is the inverse of WithKept. Errors: ErrCorrupt.
func SplitKept(b []byte) (meta []byte, kept int64, err error) {
	if len(b) == 0 || b[0] != tagKept {
		return b, event.Forever, nil
	}
	if len(b) < 9 {
		return nil, 0, fmt.Errorf("%w: group record %x", ErrCorrupt, b)
	}
	return b[9:], int64(binary.BigEndian.Uint64(b[1:]) ^ 1<<63), nil
}

// EachNode gives the nodes of a key, with their bytes, valid until fn returns.
func (s *Store) EachNode(r pebble.Reader, g *Group, key []byte, fn func(part, value []byte) error) error {
	lo := append(appendHead(nil, g.Prefix, kindNode), key...)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: append(bytes.Clone(lo), bytes.Repeat([]byte{0xff}, nodeTailBytes+1)...)})
	if err != nil {
		return fmt.Errorf("tiles: nodes: %w", err)
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var v []byte
		if v, err = it.ValueAndErr(); err == nil {
			err = fn(it.Key()[len(lo):], v)
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}

// Waits reports whether a key's record, as Encoded gives it, has a state that waits for Rebuild, which changes it once more.
func Waits(g *Group, encoded []byte) (bool, error) {
	if len(encoded) == 0 || !g.Lifetime {
		return false, nil
	}
	var r record
	if err := r.decode(len(g.Partials), encoded); err != nil {
		return false, err
	}
	if r.life == nil {
		return false, nil
	}
	for _, m := range r.life.states.meta {
		if m == 1 {
			return true, nil
		}
	}
	return false, nil
}

// AnyBroken reports whether a key of the group waits for Rebuild in r.
func (s *Store) AnyBroken(r pebble.Reader, g *Group) (bool, error) {
	if !g.Lifetime {
		return false, nil
	}
	lo, hi := kindBounds(g.Prefix, kindBroken)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return false, fmt.Errorf("tiles: keys to rebuild: %w", err)
	}
	found := it.First()
	return found, errors.Join(it.Error(), it.Close())
}

// Getter is what a Reader reads values from by their keys: a Pebble reader is one. Errors: pebble.ErrNotFound for a value that is not there.
type Getter interface {
	Get(key []byte) (value []byte, closer io.Closer, err error)
}

// DistantReader reads a group whose values are elsewhere, where each key is as of a commit of its own: what is retained of the group is
// asked for each key.
func (s *Store) DistantReader(r Getter, g *Group, stats *event.ReadStats) *Reader {
	x := s.Reader(r, g, stats)
	x.distant = true
	return x
}

// Release gives the memory of a Reader that DistantReader made to later ones.
func (r *Reader) Release() { r.release() }
