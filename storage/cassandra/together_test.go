package cassandra

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// Each partition comes once, small ones together within the bounds, and a batch is closed only once the next partition does not fit.
func TestTogether(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	s := &Store{policy: gocql.RoundRobinHostPolicy()} // which knows no host: all have the same
	for range 200 {
		var parts []Partition
		for i := range r.IntN(100) {
			p := Partition{Group: 1, Key: fmt.Appendf(nil, "key%d", i), Meta: []byte{1, 2, 3}}
			for range 1 + r.IntN(3) {
				p.Rows = append(p.Rows, Row{Part: []byte("a part"), Value: make([]byte, r.IntN(1+r.IntN(3000)))})
			}
			parts = append(parts, p)
		}
		seen := map[*Partition]bool{}
		var sizes []int64 // of batches of small partitions
		for _, batch := range s.together(parts) {
			var size int64
			for _, p := range batch {
				if seen[p] {
					t.Fatalf("%s comes twice", p.Key)
				}
				seen[p] = true
				size += p.Bytes() + togetherExtra
			}
			if len(batch) == 0 || len(batch) > togetherPartitions || len(batch) > 1 && size > togetherBytes {
				t.Fatalf("a batch has %d partitions of %d bytes", len(batch), size)
			}
			if first := batch[0].Bytes() + togetherExtra; first <= togetherBytes/2 && len(batch) < togetherPartitions {
				sizes = append(sizes, size)
			}
		}
		for i := 0; i+1 < len(sizes); i++ {
			if sizes[i] <= togetherBytes/2 { // the next small partition would have fitted
				t.Fatalf("a batch of %d bytes was closed", sizes[i])
			}
		}
		if len(seen) != len(parts) {
			t.Fatalf("%d of %d partitions are in batches", len(seen), len(parts))
		}
	}
}
