package streams

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/reclog"
)

const (
	// MaxLetterBytes is how many bytes of dead letters a source keeps; beyond, the oldest go.
	MaxLetterBytes = 1 << 30
	// MaxPartitions is the most partitions of a topic that can be read.
	MaxPartitions = 4096
)

// ErrFenced: the state that a transaction was made from is not the newest one.
var ErrFenced = errors.New("streams: the stream was read further by another transaction")

// NoEvent is the newest event time of a partition of which no event was taken.
const NoEvent = math.MinInt64

// Partition is how far one partition was read.
type Partition struct {
	Next   int64 // the first offset that is not read
	Newest int64 // event time, microseconds UTC; NoEvent: none
}

// State is how far a stream was read.
type State struct {
	Batches    uint64 // transactions so far
	Position   uint64 // of the last one
	Good, Dead int64  // messages that did to the rows what they say, and dead letters, those that are not kept any more included
	Live       int64  // rows that are there
	Entry      uint64 // of its archive: all up to this one are applied
	Partitions []Partition
	newest     uint64 // number of the newest letter
	oldest     uint64 // no letter of a smaller number is kept
	count      int64  // letters that are kept
	kept       int64  // their bytes
	ends       uint64 // ends of rows that were noted since they were forgotten
	blind      uint64 // the newest letter at that time
}

// Clone is a copy that shares nothing.
func (s *State) Clone() *State {
	c := *s
	c.Partitions = append([]Partition(nil), s.Partitions...)
	return &c
}

// Kept is how many dead letters are kept.
func (s *State) Kept() int64 { return s.count }

// Letter is a message that is no row.
type Letter struct {
	Number    uint64 // from 1
	Position  uint64 // of the transaction that took it
	Partition int32
	Offset    int64
	Time      int64  // the message's, microseconds UTC
	Arrived   int64  // microseconds UTC
	Code      string // SQLSTATE
	Reason    string
	Key       []byte // nil: NULL
	Headers   []byte // JSON; nil: NULL
	Value     []byte // nil: NULL
}

// Batch is what one transaction does to a stream.
type Batch struct {
	Source  reclog.SourceID
	State   *State   // after it
	Letters []Letter // numbered by Add
	drop    [2]uint64

	gone       []uint64 // letters that go one by one
	changed    []Letter
	ends       []end
	forgetEnds bool // all of before
}

// Add adds a letter. The state counts it.
func (b *Batch) Add(l Letter) {
	b.State.Dead++
	b.State.newest++
	b.State.count++
	l.Number = b.State.newest
	b.Letters = append(b.Letters, l)
}

// Seal ends a batch: it counts a transaction, and finds the letters that go. log is what holds the stream.
func (b *Batch) Seal(log *reclog.Log, limit int64) error {
	s := b.State
	s.Batches++
	s.oldest = max(s.oldest, 1)
	for i := range b.Letters {
		s.kept += int64(len(b.Letters[i].append(nil)))
	}
	b.drop = [2]uint64{s.oldest, s.oldest}
	defer b.sealEnds()
	if s.kept <= limit || len(b.gone)+len(b.changed) > 0 { // where letters go or change, the next batch looks for the limit
		return nil
	}
	it, err := log.DB().NewIter(&pebble.IterOptions{LowerBound: letterKey(b.Source, s.oldest), UpperBound: letterKey(b.Source, math.MaxUint64)})
	if err != nil {
		return err
	}
	defer it.Close()
	gone := func(number uint64, bytes int) {
		s.kept -= int64(bytes)
		s.count--
		s.oldest = number + 1
	}
	for ok := it.First(); ok && s.kept > limit && s.count > 1; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		gone(binary.BigEndian.Uint64(it.Key()[5:]), len(v))
	}
	if err := it.Error(); err != nil {
		return err
	}
	for i := 0; i < len(b.Letters) && s.kept > limit && s.count > 1; i++ { // letters of this batch
		gone(b.Letters[i].Number, len(b.Letters[i].append(nil)))
	}
	b.drop[1] = s.oldest
	return nil
}

// Extra writes the batch: it is a part of a transaction's Extra. Errors: ErrFenced.
func (b *Batch) Extra(log *reclog.Log, w *pebble.Batch, pos uint64) error {
	have, err := Load(log, b.Source)
	if err != nil {
		return err
	}
	if have.Batches+1 != b.State.Batches {
		return ErrFenced
	}
	b.State.Position = pos
	for i := range b.Letters {
		l := b.Letters[i]
		if l.Position = pos; l.Number < b.drop[1] {
			continue
		}
		if err := w.Set(letterKey(b.Source, l.Number), l.append(nil), nil); err != nil {
			return err
		}
	}
	if b.drop[0] < b.drop[1] {
		if err := w.DeleteRange(letterKey(b.Source, b.drop[0]), letterKey(b.Source, b.drop[1]), nil); err != nil {
			return err
		}
	}
	if err := b.writeAgain(w); err != nil {
		return err
	}
	return w.Set(stateKey(b.Source), b.State.append(nil), nil)
}

// Load is a stream's state; that of one that was never read has no partitions.
func Load(log *reclog.Log, source reclog.SourceID) (*State, error) {
	v, c, err := log.DB().Get(stateKey(source))
	if errors.Is(err, pebble.ErrNotFound) {
		return &State{oldest: 1}, nil
	}
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return decodeState(v)
}

// syncWait is how long Committed waits for a transaction to be on disk: one takes a few milliseconds, on a full disk any time.
const syncWait = time.Second

// Committed is Load of what is on disk, as rows are read: a transaction shows in the database a sync earlier.
func Committed(ctx context.Context, log *reclog.Log, source reclog.SourceID) (*State, error) {
	s, err := Load(log, source)
	for end := time.Now().Add(syncWait); err == nil && s.Position > log.Position() && time.Now().Before(end); {
		select {
		case <-time.After(time.Millisecond / 4):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return s, err
}

// Letters calls each with the dead letters of a stream that are kept, the oldest first, until it says false. What a letter has is
// valid during the call.
func Letters(r pebble.Reader, source reclog.SourceID, each func(l *Letter) (more bool, err error)) error {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: letterKey(source, 0), UpperBound: letterKey(source, math.MaxUint64)})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		l, err := decodeLetter(v)
		if err != nil {
			return err
		}
		l.Number = binary.BigEndian.Uint64(it.Key()[5:])
		if more, err := each(l); err != nil || !more {
			return err
		}
	}
	return it.Error()
}

func stateKey(s reclog.SourceID) []byte {
	return binary.BigEndian.AppendUint32([]byte{reclog.KeyStreams}, uint32(s))
}

func letterKey(s reclog.SourceID, number uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32([]byte{reclog.KeyLetters}, uint32(s)), number)
}

// The versions of the bytes of a letter, and of a state: the first states had no letters but the newest ones, and rows only, those
// before the third no archive.
const (
	version      = 1
	stateVersion = 3
)

func (s *State) append(b []byte) []byte {
	b = append(b, stateVersion)
	for _, x := range []uint64{s.Batches, s.Position, uint64(s.Good), uint64(s.Dead), uint64(s.Live), s.newest, s.oldest, uint64(s.count), uint64(s.kept), s.ends, s.blind, s.Entry, uint64(len(s.Partitions))} {
		b = binary.AppendUvarint(b, x)
	}
	for _, p := range s.Partitions {
		b = binary.AppendUvarint(b, uint64(p.Next))
		if p.Newest == NoEvent {
			b = append(b, 0)
			continue
		}
		b = binary.AppendVarint(append(b, 1), p.Newest)
	}
	return b
}

func decodeState(b []byte) (*State, error) {
	d := decoder{b: b}
	of := d.byte()
	s := &State{Batches: d.uint(), Position: d.uint(), Good: int64(d.uint()), Dead: int64(d.uint())}
	switch of {
	case 1:
		s.Live, s.newest, s.oldest, s.kept = s.Good, uint64(s.Dead), d.uint(), int64(d.uint())
		s.count = int64(s.newest - s.oldest + 1)
	case 2, stateVersion:
		s.Live, s.newest, s.oldest, s.count, s.kept, s.ends, s.blind = int64(d.uint()), d.uint(), d.uint(), int64(d.uint()), int64(d.uint()), d.uint(), d.uint()
		if of == stateVersion {
			s.Entry = d.uint()
		}
	default:
		d.bad = true
	}
	n := d.uint()
	if n > MaxPartitions {
		d.bad = true
		n = 0
	}
	for range n {
		p := Partition{Next: int64(d.uint()), Newest: NoEvent}
		if d.byte() == 1 {
			p.Newest = d.int()
		}
		s.Partitions = append(s.Partitions, p)
	}
	return s, d.end("state")
}

func (l *Letter) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, version), l.Position)
	for _, x := range []uint64{uint64(l.Partition), uint64(l.Offset)} {
		b = binary.AppendUvarint(b, x)
	}
	b = binary.AppendVarint(binary.AppendVarint(b, l.Time), l.Arrived)
	for _, s := range []string{l.Code, l.Reason} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	for _, v := range [][]byte{l.Key, l.Headers, l.Value} {
		if v == nil {
			b = append(b, 0)
			continue
		}
		b = append(binary.AppendUvarint(append(b, 1), uint64(len(v))), v...)
	}
	return b
}

func decodeLetter(b []byte) (*Letter, error) {
	d := decoder{b: b}
	d.version()
	l := &Letter{Position: d.fixed(), Partition: int32(d.uint()), Offset: int64(d.uint()), Time: d.int(), Arrived: d.int(), Code: string(d.bytes()), Reason: string(d.bytes())}
	for _, v := range []*[]byte{&l.Key, &l.Headers, &l.Value} {
		if d.byte() == 1 {
			*v = d.bytes()
		}
	}
	return l, d.end("dead letter")
}

// decoder reads what append wrote; after the first fault everything is zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) version() {
	if d.byte() != version {
		d.bad = true
	}
}

func (d *decoder) byte() byte {
	if d.bad || len(d.b) == 0 {
		d.bad = true
		return 0
	}
	x := d.b[0]
	d.b = d.b[1:]
	return x
}

func (d *decoder) fixed() uint64 {
	if d.bad || len(d.b) < 8 {
		d.bad = true
		return 0
	}
	x := binary.BigEndian.Uint64(d.b)
	d.b = d.b[8:]
	return x
}

func (d *decoder) uint() uint64 {
	x, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *decoder) int() int64 {
	x, n := binary.Varint(d.b)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return x
}

// bytes shares the buffer, and is never nil.
func (d *decoder) bytes() []byte {
	n := d.uint()
	if d.bad || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	x := d.b[:n:n]
	d.b = d.b[n:]
	return x
}

func (d *decoder) end(what string) error {
	if d.bad || len(d.b) > 0 {
		return fmt.Errorf("%w: %s of a stream", reclog.ErrCorrupt, what)
	}
	return nil
}
