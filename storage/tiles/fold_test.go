package tiles

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tilehouse/tilehouse/storage/event"
)

// TestFoldsAreOne compares what folds of the same rows leave, byte for byte: of one key after the other, each looked for by itself; of many keys at
// once, read ascending; and of many in parts, as where somebody waits.
func TestFoldsAreOne(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := testGroup(t, 7, Unlimited, false)
	var want []byte
	for _, how := range []struct {
		name string
		keys int
		wait bool
	}{{"one by one", 1, false}, {"ascending", 200, false}, {"in parts", 200, true}} {
		r := rand.New(rand.NewPCG(seed, 2))
		db := openDB(t, vfs.NewMem())
		s := Open(db, Options{PackRows: 16, FoldKeys: how.keys})
		id := int64(0)
		for round := range int64(4) {
			for pos := uint64(5*round + 1); pos <= uint64(5*round+5); pos++ {
				rows := event.NewRows(g.Layout, 0)
				for range 400 {
					id++
					// A few keys have many rows of a day, and days begin while others go on.
					key := min(r.Int64N(500), r.Int64N(500), r.Int64N(500))
					addRow(rows, keyOf(key), event.Day*20000+round*event.Day/2+r.Int64N(event.Day/2), id)
				}
				b := db.NewBatch()
				done, err := s.Add(b, g, pos, rows)
				if err != nil {
					t.Fatal(err)
				}
				if err := b.Commit(pebble.NoSync); err != nil {
					t.Fatal(err)
				}
				done(true)
				_ = b.Close()
			}
			w, err := s.waitingOf(g)
			if err != nil {
				t.Fatal(err)
			}
			if how.wait {
				w.awaited.Add(1)
			}
			if err := s.FoldAll(context.Background(), g); err != nil {
				t.Fatal(err)
			}
			if how.wait {
				w.awaited.Add(-1)
			}
			if round == 1 {
				if err := s.Settle(context.Background(), g, 20000, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		var got []byte
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte("t"), UpperBound: []byte("u")})
		if err != nil {
			t.Fatal(err)
		}
		for ok := it.First(); ok; ok = it.Next() {
			got = append(append(append(got, it.Key()...), 0), it.Value()...)
		}
		if err := it.Close(); err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		}
		if len(got) < 1<<12 || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of tiles, which differ from the %d of one by one", how.name, len(got), len(want))
		}
		_ = db.Close()
	}
}
