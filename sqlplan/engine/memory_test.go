package engine

import "testing"

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
