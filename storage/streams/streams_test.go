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

func TestLettersAgain(t *testing.T) {
	log := open(t)
	const source = 5
	next := func(do func(b *Batch)) *State {
		t.Helper()
		s, err := Load(log, source)
		if err != nil {
			t.Fatal(err)
		}
		b := &Batch{Source: source, State: s}
		do(b)
		if err := commit(t, log, b, MaxLetterBytes); err != nil {
			t.Fatal(err)
		}
		if s, err = Load(log, source); err != nil {
			t.Fatal(err)
		}
		letters, size := kept(t, log, source), int64(0)
		for i := range letters {
			size += int64(len(letters[i].append(nil)))
		}
		if s.Kept() != int64(len(letters)) || s.kept != size {
			t.Fatalf("%d letters of %d bytes are kept, the state says %d of %d", len(letters), size, s.Kept(), s.kept)
		}
		return s
	}
	read := func(n uint64) *Letter {
		t.Helper()
		l, err := ReadLetter(log, source, n)
		if err != nil || l == nil || l.Number != n {
			t.Fatalf("letter %d is %+v, %v", n, l, err)
		}
		return l
	}
	ended := func(key string) bool {
		t.Helper()
		e, ok, err := Ended(log, source, []byte(key))
		if err != nil || ok && e != (End{Partition: 1, Offset: 300}) {
			t.Fatalf("the end of %s is %+v, %v", key, e, err)
		}
		return ok
	}
	next(func(b *Batch) { b.NoteEnd([]byte("none"), End{1, 300}) })
	next(func(b *Batch) {
		for i := range 5 {
			b.Add(Letter{Offset: int64(i), Code: "22P02", Reason: "bad", Value: []byte("{")})
		}
		b.NoteEnd([]byte("a"), End{1, 300})
	})
	if ended("none") || !ended("a") {
		t.Error("an end is noted exactly while letters are kept")
	}
	s := next(func(b *Batch) {
		b.Resolve(read(2))
		b.Rewrite(read(3), "22008", "another, longer reason")
		b.Forget(read(5))
	})
	if s.Good != 1 || s.Dead != 4 || s.NewestLetter() != 5 {
		t.Errorf("the state is %+v", s)
	}
	if l := read(3); l.Code != "22008" || l.Reason != "another, longer reason" || string(l.Value) != "{" {
		t.Errorf("letter 3 is %+v", l)
	}
	if l, err := ReadLetter(log, source, 2); l != nil || err != nil {
		t.Errorf("letter 2 is %+v, %v", l, err)
	}
	if n, err := Numbers(log, source, 1, 4, 10); err != nil || !cmp.Equal(n, []uint64{3, 4}) {
		t.Errorf("the numbers are %d, %v", n, err)
	}
	s = next(func(b *Batch) { // as after MaxEnds of them
		b.State.ends = MaxEnds
		b.NoteEnd([]byte("b"), End{1, 300})
	})
	if ended("a") || ended("b") || !s.Blind(read(4)) {
		t.Error("beyond their limit ends are forgotten, and letters from before are blind")
	}
	s = next(func(b *Batch) { b.Add(Letter{Offset: 6}); b.NoteEnd([]byte("c"), End{1, 300}) })
	if !ended("c") || s.Blind(read(6)) {
		t.Error("a letter from after that is not blind")
	}
	next(func(b *Batch) { b.Resolve(read(1)); b.Resolve(read(3)); b.Resolve(read(4)); b.Resolve(read(6)) })
	if ended("c") {
		t.Error("without letters ends are forgotten")
	}
}

// A state of before counted rows only.
func TestStateOfBefore(t *testing.T) {
	b := []byte{1, 7, 9, 100, 5, 3, 50, 1, 12, 1, 6} // batches, position, rows, dead, oldest, bytes, partitions: next, event
	s, err := decodeState(b)
	want := &State{Batches: 7, Position: 9, Good: 100, Live: 100, Dead: 5, newest: 5, oldest: 3, count: 3, kept: 50, Partitions: []Partition{{12, 3}}}
	if err != nil || !cmp.Equal(s, want, cmp.AllowUnexported(State{})) {
		t.Errorf("a state of before is %+v, %v", s, err)
	}
}
