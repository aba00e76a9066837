package disperse

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// What is said of values is the least that was sent of any key that waits, whatever order keys come and go in.
func TestWaiting(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	w, naive := newWaiting(), map[string]extent{}
	sent := extent{}
	for step := range 20_000 {
		id := keyID(uint32(r.IntN(3)), fmt.Append(nil, r.IntN(30)))
		switch r.IntN(8) {
		case 0, 1:
			if _, waits := naive[id]; !waits {
				naive[id] = sent
			}
			w.add(id, sent)
		case 2, 3, 4, 5:
			delete(naive, id)
			w.remove(id)
		case 6:
			sent = extent{sent.position + 1, sent.at.Add(time.Second)}
		case 7:
			if r.IntN(20) > 0 {
				continue
			}
			prefix := uint32(r.IntN(3))
			for id := range naive {
				if prefixOf(id) == prefix {
					delete(naive, id)
				}
			}
			w.removeGroup(prefix)
		}
		want := sent
		for _, x := range naive {
			if x.position < want.position {
				want = x
			}
		}
		prefix, ok := w.oldest()
		found := false
		for id, x := range naive {
			found = found || prefixOf(id) == prefix && x == want
		}
		if got := w.least(sent); got != want || ok != (len(naive) > 0) || ok && !found || w.none() != (len(naive) == 0) {
			t.Fatalf("step %d: %v, want %v; oldest of group %d, %v, of %d", step, got, want, prefix, ok, len(naive))
		}
	}
}

// Of more keys than are remembered, none is forgotten: how far values are stands still.
func TestWaitingCrowded(t *testing.T) {
	w := newWaiting()
	for i := range mostWaiting + 1 {
		w.add(keyID(1, fmt.Append(nil, i)), extent{position: uint64(7 + i)})
	}
	for i := range mostWaiting + 1 {
		w.remove(keyID(1, fmt.Append(nil, i)))
	}
	if w.none() || w.least(extent{position: 1 << 20}).position != 7 || len(w.by) != 0 || w.order.Len() != 0 {
		t.Errorf("none %v, least %v, %d kept", w.none(), w.least(extent{position: 1 << 20}), len(w.by))
	}
}
