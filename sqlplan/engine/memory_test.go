package engine

import (
	"testing"

	"github.com/tilehouse/tilehouse/storage/duck"
)

// What is apart from each other stays under the limit, a twentieth is left, and a greater limit makes no share smaller.
func TestShareMemory(t *testing.T) {
	var last Memory
	for limit := int64(minMemory); limit <= 64<<30; limit += limit / 7 {
		m := ShareMemory(limit)
		if m.duck < 48<<20 || m.Heap < 48<<20 || m.join <= 0 || m.Blocks <= 0 || m.table <= 0 || m.join+2*m.cache >= m.Heap {
			t.Errorf("limit %d: %+v", limit, m)
		}
		// Pebble may hold one table that is being written beside the one being filled.
		if sum := fixedMemory + m.Heap + m.duck + m.Blocks + 2*m.table; limit >= 256<<20 && sum > limit-limit/20 {
			t.Errorf("limit %d: shares %+v take %d", limit, m, sum)
		}
		if m.Heap < last.Heap || m.duck < last.duck || m.Blocks < last.Blocks || m.table < last.table || m.join < last.join || m.cache < last.cache {
			t.Errorf("limit %d: %+v after %+v", limit, m, last)
		}
		last = m
	}
}

// TestLending lends as long as DuckDB would not come to its share if it used twice as much, and what is lent and used never exceed it.
func TestLending(t *testing.T) {
	const share = 900 << 20
	last := int64(share)
	for used := int64(0); used <= 2*share; used += share / 50 {
		lent := lendable(share, used)
		if lent < 0 || lent > last || lent+min(2*used, share) > share || (lent > 0) != (2*used < share) {
			t.Errorf("%d bytes are lent of %d, of which %d are used; %d were when it was less", lent, share, used, last)
		}
		last = lent
	}
	if _, ok := duck.Resident(); !ok {
		t.Skip("DuckDB's allocator cannot be asked here")
	}
	m := ShareMemory(2 << 30)
	told := make(chan int64, 1)
	l := lend(m, func(heap int64) {
		select {
		case told <- heap:
		default: // once is enough
		}
	})
	heap := <-told
	if lent := heap - m.Heap; l.lent() <= 0 || lent <= 0 || lent > m.duck {
		t.Errorf("the heap has %d bytes of which %d are lent; its share is %d, DuckDB's %d", heap, lent, m.Heap, m.duck)
	}
	l.stop()
	if none := lend(m, nil); none.lent() != 0 {
		t.Error("memory is lent to nobody")
	}
}
