package cassandra

import (
	"encoding/binary"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// Small partitions are written several in a batch, which saves a node most of what a request costs it. Each of them is a mutation of its
// own there, applied as a whole, as if it came alone. Those of a batch have a replica in common, which the batch is sent to. Beyond
// these bounds Cassandra warns, by its defaults (batch_size_warn_threshold 5 KiB, unlogged_batch_across_partitions_warn_threshold 10): it counts some
// togetherExtra bytes a partition more than Partition.Bytes does.
const (
	togetherPartitions = 10
	togetherBytes      = 5000
	togetherExtra      = 120
)

// together divides partitions into batches. Each is of one partition, or of small ones whose first replica is the same.
func (s *Store) together(parts []Partition) (batches [][]*Partition) {
	type open struct {
		at    int // of batches
		bytes int64
	}
	byReplica := map[string]*open{}
	for i := range parts {
		p := &parts[i]
		size := p.Bytes() + togetherExtra
		if size > togetherBytes/2 {
			batches = append(batches, []*Partition{p})
			continue
		}
		replica := s.replica(p)
		o := byReplica[replica]
		if o == nil || len(batches[o.at]) == togetherPartitions || o.bytes+size > togetherBytes {
			batches = append(batches, nil)
			o = &open{at: len(batches) - 1}
			byReplica[replica] = o
		}
		batches[o.at] = append(batches[o.at], p)
		o.bytes += size
	}
	return batches
}

// replica is the host that a statement on the partition would be sent to.
func (s *Store) replica(p *Partition) string {
	host := s.policy.Pick(routed{s.keyspace, p})()
	if host == nil || host.Info() == nil { // none is up: the write will say so
		return ""
	}
	return host.Info().HostID()
}

// routed is a statement on a partition, as a policy of the driver asks for it.
type routed struct {
	keyspace string
	p        *Partition
}

// GetRoutingKey is the partition key as Cassandra composes it: each column's length in two bytes, its bytes, and a zero.
func (r routed) GetRoutingKey() ([]byte, error) {
	b := make([]byte, 0, 2+8+1+2+len(r.p.Key)+1)
	b = binary.BigEndian.AppendUint16(b, 8)
	b = append(binary.BigEndian.AppendUint64(b, uint64(r.p.Group)), 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.p.Key)))
	return append(append(b, r.p.Key...), 0), nil
}
func (r routed) Keyspace() string           { return r.keyspace }
func (r routed) Table() string              { return "tiles" }
func (r routed) IsIdempotent() bool         { return true }
func (r routed) GetHostID() string          { return "" }
func (r routed) Statement() gocql.Statement { return nil }
