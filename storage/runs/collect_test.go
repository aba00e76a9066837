package runs

import (
	"math"
	"math/bits"
	"slices"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// Words are sorted however they are spread: evenly, crowded into few buckets, all but one alike, more than there are buckets.
func TestSortWords(t *testing.T) {
	r := seeded(t)
	var s Sorter
	for round := range 3000 {
		n := 1 + r.IntN(200)
		if round%100 == 0 {
			n = maxBuckets/2 + r.IntN(4*maxBuckets)
		}
		shift := bits.Len(uint(n - 1))
		width := r.IntN(65 - shift)
		words := make([]uint64, n)
		for i := range words {
			x := r.Uint64()
			switch round % 4 {
			case 1: // crowds
				x = x&3<<62 | x>>40
			case 2: // one far away
				if x >>= 50; i == 0 {
					x = math.MaxUint64
				}
			case 3: // descending
				x = uint64(n-i) << 40
			}
			words[i] = x>>(64-width)<<shift | uint64(i)
		}
		want := slices.Sorted(slices.Values(words))
		hi := want[n-1]
		if r.IntN(2) == 0 {
			hi |= uint64(n - 1) // an upper bound is enough
		}
		s.sortWords(words, hi)
		if !slices.Equal(words, want) {
			t.Fatalf("round %d: %d words of %d bits are not sorted", round, n, width)
		}
	}
}

// Blocks have their room from the start, small ones first: none is moved because it grows, and few rows take little.
func TestBlocksDoNotGrow(t *testing.T) {
	l := event.Layout{Columns: []vector.Type{vector.T(vector.Int64), vector.T(vector.Float64)}}
	rows := event.NewRows(l, 0)
	for i := range 1000 {
		rows.Key.AppendBytes(appendWord(nil, uint64(i)))
		rows.TS = append(rows.TS, int64(i))
		rows.RowID = append(rows.RowID, int64(i))
		rows.Cols[0].AppendInt(1)
		rows.Cols[1].AppendFloat(1)
	}
	b, err := NewBuilder(l, BuilderOptions{Partitions: 1, RowIDs: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for range 30 {
		if err := b.Add(rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	want, n := firstBlockRows, 0
	for _, bl := range b.parts[0].blocks {
		if bl.room != want || cap(bl.words) != want || cap(bl.rows.TS) != want || cap(bl.rows.RowID) != want || cap(bl.rows.Cols[0].I64) != want || cap(bl.rows.Cols[1].F64) != want {
			t.Errorf("a block for %d rows has room for %d times, %d values", want, cap(bl.rows.TS), cap(bl.rows.Cols[0].I64))
		}
		n += bl.n()
		want = min(2*want, blockRows)
	}
	if n != 30_000 || want != blockRows {
		t.Errorf("%d rows, the last block has room for %d", n, want)
	}
}
