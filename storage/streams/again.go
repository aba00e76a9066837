package streams

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/reclog"
)

// MaxEnds is how many ends of rows are kept for the sake of a source's dead letters. Beyond, they are forgotten, and letters from before
// that are not known to be the newest of their key any more.
const MaxEnds = 1 << 20

// End is the message that ended the row of a primary key. Without it a dead letter from before could bring the row back.
type End struct {
	Partition int32
	Offset    int64
}

// end is an End that a batch notes.
type end struct {
	key []byte
	End
}

// Resolve takes away a letter whose message has done now what it says.
func (b *Batch) Resolve(l *Letter) {
	b.Forget(l)
	b.State.Dead--
	b.State.Good++
}

// Forget takes away a letter, which stays counted as dead.
func (b *Batch) Forget(l *Letter) {
	b.State.count--
	b.State.kept -= int64(len(l.append(nil)))
	b.gone = append(b.gone, l.Number)
}

// Rewrite gives a letter another reason.
func (b *Batch) Rewrite(l *Letter, code, reason string) {
	next := *l
	next.Code, next.Reason = code, reason
	b.State.kept += int64(len(next.append(nil)) - len(l.append(nil)))
	b.changed = append(b.changed, next)
}

// NoteEnd notes that the row of a primary key ended, or that one is not there which a message ends. key is not kept.
func (b *Batch) NoteEnd(key []byte, e End) {
	b.ends = append(b.ends, end{append([]byte(nil), key...), e})
}

// sealEnds decides what becomes of the ends of a batch: without letters nobody asks for them.
func (b *Batch) sealEnds() {
	s := b.State
	switch {
	case s.count == 0:
		b.ends, b.forgetEnds = nil, s.ends > 0
		s.ends = 0
	case s.ends+uint64(len(b.ends)) > MaxEnds:
		b.ends, b.forgetEnds = nil, true
		s.ends, s.blind = 0, s.newest
	default:
		s.ends += uint64(len(b.ends))
	}
}

func (b *Batch) writeAgain(w *pebble.Batch) error {
	for _, n := range b.gone {
		if err := w.Delete(letterKey(b.Source, n), nil); err != nil {
			return err
		}
	}
	for i := range b.changed {
		if err := w.Set(letterKey(b.Source, b.changed[i].Number), b.changed[i].append(nil), nil); err != nil {
			return err
		}
	}
	if b.forgetEnds {
		if err := w.DeleteRange(endKey(b.Source, nil), endKey(b.Source+1, nil), nil); err != nil {
			return err
		}
	}
	for _, e := range b.ends {
		if err := w.Set(endKey(b.Source, e.key), binary.AppendUvarint(binary.AppendUvarint([]byte{version}, uint64(e.Partition)), uint64(e.Offset)), nil); err != nil {
			return err
		}
	}
	return nil
}

// Blind reports whether ends of rows after a letter may be forgotten.
func (s *State) Blind(l *Letter) bool { return l.Number <= s.blind }

// Ended is the last message that ended the row of a primary key, as far as letters are kept from before it; false: none.
func Ended(log *reclog.Log, source reclog.SourceID, key []byte) (End, bool, error) {
	v, c, err := log.DB().Get(endKey(source, key))
	if errors.Is(err, pebble.ErrNotFound) {
		return End{}, false, nil
	}
	if err != nil {
		return End{}, false, err
	}
	defer c.Close()
	d := decoder{b: v}
	d.version()
	e := End{Partition: int32(d.uint()), Offset: int64(d.uint())}
	return e, true, d.end("end of a row")
}

// ReadLetter is a letter by its number, nil where it is not kept.
func ReadLetter(log *reclog.Log, source reclog.SourceID, number uint64) (*Letter, error) {
	v, c, err := log.DB().Get(letterKey(source, number))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer c.Close()
	l, err := decodeLetter(append([]byte(nil), v...))
	if err != nil {
		return nil, fmt.Errorf("dead letter %d: %w", number, err)
	}
	l.Number = number
	return l, nil
}

// NewestLetter is the number of the newest letter, 0: there was none.
func (s *State) NewestLetter() uint64 { return s.newest }

// Numbers are the numbers of the letters that are kept, above after and up to upTo, the least first, at most so many.
func Numbers(log *reclog.Log, source reclog.SourceID, after, upTo uint64, most int) ([]uint64, error) {
	if after >= upTo {
		return nil, nil
	}
	it, err := log.DB().NewIter(&pebble.IterOptions{LowerBound: letterKey(source, after+1), UpperBound: letterKey(source, upTo+1)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var out []uint64
	for ok := it.First(); ok && len(out) < most; ok = it.Next() {
		out = append(out, binary.BigEndian.Uint64(it.Key()[5:]))
	}
	return out, it.Error()
}

func endKey(s reclog.SourceID, key []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{reclog.KeyEnds}, uint32(s)), key...)
}
