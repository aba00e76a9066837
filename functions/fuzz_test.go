package functions

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// FuzzMergeEncoded: what decodes encodes to the same bytes, and finalizes; what does not is ErrBadState, never a panic.
func FuzzMergeEncoded(f *testing.F) {
	all := subjects()
	r := rand.New(rand.NewPCG(1, 2))
	for i, sub := range all {
		a := sub.agg
		s := a.New()
		in := sub.input(r, 6)
		for row := range 6 {
			s.Update(in, row)
		}
		f.Add(uint16(i), s.Append(nil))
	}
	f.Fuzz(func(t *testing.T, which uint16, b []byte) { checkDecoder(t, all[int(which)%len(all)], b) })
}

func checkDecoder(t *testing.T, sub *subject, b []byte) {
	t.Helper()
	a := sub.agg
	s := a.New()
	if err := s.MergeEncoded(b); err != nil {
		if !errors.Is(err, ErrBadState) {
			t.Fatalf("%s: %v", sub.def.Name, err)
		}
		return
	}
	if got := s.Append(nil); !bytes.Equal(got, b) {
		t.Fatalf("%s%v: %x encodes to %x", sub.def.Name, sub.types, b, got)
	}
	out := vector.New(a.ResultType(), 1)
	if err := s.Finalize(out); err != nil && !errors.Is(err, ErrOutOfRange) && !errors.Is(err, ErrBadState) && !errors.Is(err, ErrStateTooLarge) {
		t.Fatal(err)
	}
	if err := s.MergeEncoded(b); err != nil {
		t.Fatalf("%s: a second time: %v", sub.def.Name, err)
	}
}

// Encodings cut short, with a bit flipped or with a byte too many: the fuzzer's first steps, on every run.
func TestDamagedEncodings(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for _, sub := range subjects() {
		for range 5 {
			s := sub.agg.New()
			in := sub.input(r, 8)
			for row := range 8 {
				s.Update(in, row)
			}
			b := s.Append(nil)
			for cut := range len(b) {
				checkDecoder(t, sub, b[:cut])
			}
			checkDecoder(t, sub, append(b[:len(b):len(b)], byte(r.IntN(256))))
			for range 60 {
				if len(b) > 0 {
					damaged := bytes.Clone(b)
					for range 1 + r.IntN(2) {
						damaged[r.IntN(len(b))] ^= 1 << r.IntN(8)
					}
					checkDecoder(t, sub, damaged)
				}
			}
		}
	}
}
