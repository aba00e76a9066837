package reclog

import (
	"bytes"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestKeysAgainstScan holds Keys to what a replay of the log says: keys that lie between those that are there, far from them, in dense
// runs, and twice. What is free is then committed without another look, and found by the next round.
func TestKeysAgainstScan(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	l := mustOpen(t, vfs.NewMem())
	defer l.Close()
	ctx := context.Background()
	for round := range 60 {
		owner := map[int64]uint64{}
		for id, k := range contents(t, l, 1) {
			owner[k] = id
		}
		spread := []int64{50, 500, 100_000, 1 << 40}[rnd.IntN(4)]
		keys := make([]int64, 1+rnd.IntN([]int{3, 300, 1500}[rnd.IntN(3)]))
		next := rnd.Int64N(spread)
		for i := range keys {
			if keys[i] = rnd.Int64N(spread); round%3 == 0 { // counting up
				next += 1 + rnd.Int64N(2)
				keys[i] = next
			}
		}
		rows := rowsOf(keys...)
		k, err := l.Keys(1, rows, []int{0})
		if err != nil {
			t.Fatal(err)
		}
		met := map[int64]bool{}
		var free []int64
		dropped := make([]bool, len(keys))
		for i, key := range keys {
			want := owner[key] == 0 && !met[key]
			if k.Owner(i) != owner[key] || k.Free(i) != want {
				t.Fatalf("seed %d, round %d: key %d is of row %d and free is %t, want %d, %t", seed, round, key, k.Owner(i), k.Free(i), owner[key], want)
			}
			if met[key] = true; want {
				free = append(free, key)
			}
			dropped[i] = !want
		}
		if len(free) == 0 {
			continue
		}
		c := Change{Source: 1, Inserts: rowsOf(free...), Key: []int{0}, Resolved: k.Without(dropped)}
		if len(free) == len(keys) {
			c.Resolved = k
		}
		if _, err := l.Commit(ctx, &Txn{Changes: []Change{c}}); err != nil {
			t.Fatalf("seed %d, round %d: %v", seed, round, err)
		}
		if round%4 == 3 { // some go, and are free again
			var deletes []uint64
			for id := range maps.Keys(contents(t, l, 1)) {
				if rnd.IntN(3) == 0 && len(deletes) < 100 {
					deletes = append(deletes, id)
				}
			}
			if _, err := l.Commit(ctx, &Txn{Changes: []Change{{Source: 1, Deletes: deletes}}}); err != nil {
				t.Fatalf("seed %d, round %d: %v", seed, round, err)
			}
		}
		if round%10 == 9 {
			if err := l.DB().Flush(); err != nil {
				t.Fatal(err)
			}
			verify(t, l, 1)
		}
	}
}

// TestSortKeys compares with a plain sort: keys that share more or less, that begin others, and that are equal.
func TestSortKeys(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	for range 2000 {
		shared := make([]byte, rnd.IntN(12))
		keys := make([][]byte, rnd.IntN(40))
		for i := range keys {
			keys[i] = bytes.Clone(shared)
			for range rnd.IntN(14) {
				keys[i] = append(keys[i], byte(rnd.IntN(2+rnd.IntN(2)*254)))
			}
		}
		want := make([]uint32, len(keys))
		for i := range want {
			want[i] = uint32(i)
		}
		slices.SortStableFunc(want, func(a, b uint32) int { return bytes.Compare(keys[a], keys[b]) })
		if got := sortKeys(keys); !slices.Equal(got, want) {
			t.Fatalf("%x in the order %d, want %d", keys, got, want)
		}
	}
}
