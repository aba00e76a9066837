package cassandra

import (
	"context"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"golang.org/x/sync/errgroup"
)

const (
	// inFlight is how many partitions are written at once.
	inFlight = 64
	// batchBytes is how large the values of one batch are, about. A mutation may have half a segment of Cassandra's commit log, 16 MiB by default.
	batchBytes = 1 << 20
	// busyRound is the round of a partition while several batches change it.
	busyRound = -1
	// keyBytes is what a row takes beside its value, about.
	keyBytes = 40
)

// Partition is what changes of the values of one entity key in one group.
type Partition struct {
	Group int64 // of Claimed.Group
	Key   []byte
	Meta  []byte // of the group
	Rows  []Row
}

// Row is a value. Without one a row with a part is deleted; that of the record, whose part is empty, says that there is none.
type Row struct{ Part, Value []byte }

// Bytes is what a partition's change takes, about.
func (p *Partition) Bytes() int64 {
	n := int64(len(p.Key) + len(p.Meta))
	for i := range p.Rows {
		n += int64(len(p.Rows[i].Part) + len(p.Rows[i].Value) + keyBytes)
	}
	return n
}

const (
	cqlStatics = "INSERT INTO tiles (grp, key, round, meta) VALUES (?, ?, ?, ?) USING TIMESTAMP ? AND TTL 0"
	cqlFirst   = "INSERT INTO tiles (grp, key, part, value, round, meta) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL 0"
	cqlRow     = "INSERT INTO tiles (grp, key, part, value) VALUES (?, ?, ?, ?) USING TIMESTAMP ? AND TTL 0"
	cqlDelete  = "DELETE FROM tiles USING TIMESTAMP ? WHERE grp = ? AND key = ? AND part = ?"
)

// Write writes partitions, each of which comes once, at most inFlight at a time, and returns when a quorum has all of them. stamp is
// greater than that of every earlier state of them. The first error ends it; what was written then is good, and is written again.
func (s *Store) Write(ctx context.Context, stamp int64, parts []Partition) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inFlight)
	for i := range parts {
		g.Go(func() error { return s.write(ctx, stamp, &parts[i]) })
	}
	return classify(g.Wait())
}

func (s *Store) write(ctx context.Context, stamp int64, p *Partition) error {
	if len(p.Rows) == 0 {
		return nil
	}
	if len(p.Rows) == 1 && (p.Rows[0].Value != nil || len(p.Rows[0].Part) == 0) {
		return s.session.Query(cqlFirst, p.Group, p.Key, nonNil(p.Rows[0].Part), nonNil(p.Rows[0].Value), stamp, nonNil(p.Meta), stamp).ExecContext(ctx)
	}
	several := p.Bytes() > batchBytes
	if several { // readers wait until the last batch says the round
		if err := s.session.Query(cqlStatics, p.Group, p.Key, int64(busyRound), nonNil(p.Meta), stamp-1).ExecContext(ctx); err != nil {
			return err
		}
	}
	b, size := s.session.Batch(gocql.UnloggedBatch), 0
	for i, r := range p.Rows {
		last := i == len(p.Rows)-1
		if r.Value == nil && len(r.Part) > 0 {
			b.Query(cqlDelete, stamp, p.Group, p.Key, r.Part)
		} else {
			b.Query(cqlRow, p.Group, p.Key, nonNil(r.Part), nonNil(r.Value), stamp)
		}
		if size += len(r.Part) + len(r.Value) + keyBytes; several && size >= batchBytes && !last || b.Size() >= gocql.BatchSizeMaximum-2 {
			if err := b.ExecContext(ctx); err != nil {
				return err
			}
			b, size = s.session.Batch(gocql.UnloggedBatch), 0
		}
		if last {
			b.Query(cqlStatics, p.Group, p.Key, stamp, nonNil(p.Meta), stamp)
		}
	}
	return b.ExecContext(ctx)
}

// WriteGroup writes what is retained of a group.
func (s *Store) WriteGroup(ctx context.Context, stamp, group int64, meta []byte) error {
	return classify(s.session.Query("INSERT INTO groups (grp, meta) VALUES (?, ?) USING TIMESTAMP ? AND TTL 0", group, nonNil(meta), stamp).ExecContext(ctx))
}

// WriteProgress writes up to which position of the log values are, and when that was.
func (s *Store) WriteProgress(ctx context.Context, stamp int64, position uint64, at time.Time) error {
	return classify(s.session.Query("INSERT INTO progress (id, position, at) VALUES (1, ?, ?) USING TIMESTAMP ? AND TTL 0", int64(position), at, stamp).ExecContext(ctx))
}

// nonNil is b, which is no NULL: that would be a tombstone.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// definitionBytes is how much of the definitions one row has.
const definitionBytes = 512 << 10

// Publish makes definitions the ones that gateways read by. Earlier ones stay until Forget.
func (s *Store) Publish(ctx context.Context, stamp int64, c Claimed, version uint64, body []byte) error {
	n := 0
	for rest := body; n == 0 || len(rest) > 0; n++ {
		part := rest[:min(len(rest), definitionBytes)]
		rest = rest[len(part):]
		err := s.session.Query("INSERT INTO definitions (epoch, version, number, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ? AND TTL 0", c.Epoch, int64(version), n, nonNil(part), stamp).ExecContext(ctx)
		if err != nil {
			return classify(err)
		}
	}
	return classify(s.session.Query("INSERT INTO published (id, store, epoch, version, parts) VALUES (1, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL 0", c.Store, c.Epoch, int64(version), n, stamp).ExecContext(ctx))
}

// Forget deletes definitions that were published before others of the claim's epoch.
func (s *Store) Forget(ctx context.Context, stamp int64, c Claimed, version uint64) error {
	return classify(s.session.Query("DELETE FROM definitions USING TIMESTAMP ? WHERE epoch = ? AND version = ?", stamp, c.Epoch, int64(version)).ExecContext(ctx))
}
