package streams

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/tilehouse/tilehouse/storage/reclog"
)

func open(t *testing.T) *reclog.Log {
	t.Helper()
	log, err := reclog.Open(t.TempDir(), reclog.Options{ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func commit(t *testing.T, log *reclog.Log, b *Batch, limit int64) error {
	t.Helper()
	if err := b.Seal(log, limit); err != nil {
		t.Fatal(err)
	}
	_, err := log.Commit(t.Context(), &reclog.Txn{Extra: func(w *pebble.Batch, pos uint64) error { return b.Extra(log, w, pos) }})
	return err
}

func kept(t *testing.T, log *reclog.Log, source reclog.SourceID) (out []Letter) {
	t.Helper()
	err := Letters(log.DB(), source, func(l *Letter) (bool, error) {
		c := *l
		c.Key, c.Headers, c.Value = clone(l.Key), clone(l.Headers), clone(l.Value)
		out = append(out, c)
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}

func TestStateAndLetters(t *testing.T) {
	log := open(t)
	const source = 7
	s, err := Load(log, source)
	if err != nil {
		t.Fatal(err)
	}
	if s.Batches != 0 || len(s.Partitions) != 0 || s.Kept() != 0 {
		t.Fatalf("a stream that was never read has the state %+v", s)
	}
	next := s.Clone()
	next.Partitions = []Partition{{Next: 12, Newest: -5}, {Next: 0, Newest: NoEvent}}
	next.Good, next.Live = 10, 9
	b := &Batch{Source: source, State: next}
	want := []Letter{
		{Partition: 1, Offset: 3, Time: -1, Arrived: 2, Code: "22P02", Reason: "bad", Key: nil, Value: []byte("{")},
		{Partition: 0, Offset: 11, Code: "23502", Reason: "", Key: []byte{}, Headers: []byte("[]"), Value: nil},
	}
	for _, l := range want {
		b.Add(l)
	}
	if err := commit(t, log, b, MaxLetterBytes); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i].Number, want[i].Position = uint64(i+1), 1
	}
	if d := cmp.Diff(want, kept(t, log, source)); d != "" {
		t.Error(d)
	}
	got, err := Load(log, source)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(next, got, cmp.AllowUnexported(State{})); d != "" {
		t.Error(d)
	}
	// The same transaction once more, as after one in doubt, is refused, and leaves nothing.
	again := *b
	if _, err := log.Commit(t.Context(), &reclog.Txn{Extra: func(w *pebble.Batch, pos uint64) error { return again.Extra(log, w, pos) }}); !errors.Is(err, ErrFenced) {
		t.Errorf("a batch was taken twice: %v", err)
	}
	if log.Position() != 1 {
		t.Errorf("the refused batch took position %d", log.Position())
	}
	if err := log.DropSource(source); err != nil {
		t.Fatal(err)
	}
	if n := len(kept(t, log, source)); n != 0 {
		t.Errorf("%d letters outlived their source", n)
	}
}

func TestOldLettersGo(t *testing.T) {
	log := open(t)
	const source, limit = 3, 200
	s, err := Load(log, source)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		s = s.Clone()
		b := &Batch{Source: source, State: s}
		for j := range i % 4 {
			b.Add(Letter{Offset: int64(i), Value: fmt.Appendf(nil, "message %d of batch %d", j, i)})
		}
		if err := commit(t, log, b, limit); err != nil {
			t.Fatal(err)
		}
		letters, size := kept(t, log, source), 0
		for k := range letters {
			size += len(letters[k].append(nil))
			if want := uint64(s.Dead) - uint64(len(letters)) + uint64(k) + 1; letters[k].Number != want {
				t.Fatalf("letter %d stands where %d should", letters[k].Number, want)
			}
		}
		if int64(len(letters)) != s.Kept() || size > limit && len(letters) > 1 {
			t.Fatalf("after batch %d %d letters of %d bytes are kept, the state says %d", i, len(letters), size, s.Kept())
		}
	}
	if s.Dead != 30 {
		t.Errorf("%d letters were counted", s.Dead)
	}
}

func FuzzDecode(f *testing.F) {
	s := State{Batches: 3, Good: 4, Live: 3, Dead: 2, newest: 2, oldest: 1, count: 2, kept: 9, Partitions: []Partition{{1, 2}, {3, NoEvent}}}
	l := Letter{Partition: 1, Offset: 3, Code: "22P02", Reason: "bad", Value: []byte("{")}
	f.Add(s.append(nil))
	f.Add(l.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeState(b); err == nil {
			if again, err := decodeState(s.append(nil)); err != nil || !cmp.Equal(s, again, cmp.AllowUnexported(State{})) {
				t.Errorf("%+v is read back as %+v, %v", s, again, err)
			}
		}
		if l, err := decodeLetter(b); err == nil {
			if again, err := decodeLetter(l.append(nil)); err != nil || !cmp.Equal(l, again) {
				t.Errorf("%+v is read back as %+v, %v", l, again, err)
			}
		}
	})
}
