package cassandra

import (
	"context"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"golang.org/x/sync/errgroup"
)

const (
	// inFlight is how many batches are written at once.
	inFlight = 32
	// batchBytes is how large the values of one batch are, about. A mutation may have half a segment of Cassandra's commit log, 16 MiB by default.
	batchBytes = 1 << 20
	// batchRows is how many rows one batch has at most. The protocol counts statements in 16 bits.
	batchRows = gocql.BatchSizeMaximum - 2
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

func (r *Row) deleted() bool { return r.Value == nil && len(r.Part) > 0 }

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

// Round is the writing of partitions with one timestamp. It is for one goroutine.
type Round struct {
	s     *Store
	stamp int64
	ctx   context.Context
	g     *errgroup.Group
}

// Begin begins a round. stamp is greater than that of every earlier state of the partitions that it will write.
func (s *Store) Begin(ctx context.Context, stamp int64) *Round {
	r := &Round{s: s, stamp: stamp}
	r.g, r.ctx = errgroup.WithContext(ctx)
	r.g.SetLimit(inFlight)
	return r
}

// Write writes partitions, which are unchanged until Wait, and of which each comes once a round. It waits while inFlight batches are under way, and
// does nothing once one has failed.
func (r *Round) Write(parts []Partition) {
	for _, batch := range r.s.together(parts) {
		if r.ctx.Err() != nil {
			return
		}
		r.g.Go(func() error {
			if len(batch) > 1 {
				return r.s.writeSeveral(r.ctx, r.stamp, batch)
			}
			return r.s.write(r.ctx, r.stamp, batch[0])
		})
	}
}

// Wait returns when a quorum has all that the round wrote, or one batch has failed: what was written then is good, and is written again.
func (r *Round) Wait() error { return classify(r.g.Wait()) }

// writeSeveral writes small partitions in one batch.
func (s *Store) writeSeveral(ctx context.Context, stamp int64, parts []*Partition) error {
	b := s.session.Batch(gocql.UnloggedBatch)
	for _, p := range parts {
		s.add(b, stamp, p, p.Rows)
	}
	return b.ExecContext(ctx)
}

// add adds the statements of a partition, all of them, to a batch. Of its rows the last one that is there says the round, too.
func (s *Store) add(b *gocql.Batch, stamp int64, p *Partition, rows []Row) {
	said := false
	for i := len(rows) - 1; i >= 0; i-- {
		switch r := &rows[i]; {
		case r.deleted():
			b.Query(cqlDelete, stamp, p.Group, p.Key, r.Part)
		case said:
			b.Query(cqlRow, p.Group, p.Key, nonNil(r.Part), nonNil(r.Value), stamp)
		default:
			b.Query(cqlFirst, p.Group, p.Key, nonNil(r.Part), nonNil(r.Value), stamp, nonNil(p.Meta), stamp)
			said = true
		}
	}
	if !said && len(rows) > 0 {
		b.Query(cqlStatics, p.Group, p.Key, stamp, nonNil(p.Meta), stamp)
	}
}

// write writes a partition, in several batches where it is large.
func (s *Store) write(ctx context.Context, stamp int64, p *Partition) error {
	if len(p.Rows) == 0 {
		return nil
	}
	if len(p.Rows) == 1 && !p.Rows[0].deleted() {
		return s.session.Query(cqlFirst, p.Group, p.Key, nonNil(p.Rows[0].Part), nonNil(p.Rows[0].Value), stamp, nonNil(p.Meta), stamp).ExecContext(ctx)
	}
	rows := p.Rows
	if p.Bytes() > batchBytes || len(rows) > batchRows { // readers wait until the last batch says the round
		if err := s.session.Query(cqlStatics, p.Group, p.Key, int64(busyRound), nonNil(p.Meta), stamp-1).ExecContext(ctx); err != nil {
			return err
		}
		for n, size := 0, 0; n < len(rows)-1; {
			size += len(rows[n].Part) + len(rows[n].Value) + keyBytes
			if n++; size < batchBytes && n < batchRows {
				continue
			}
			b := s.session.Batch(gocql.UnloggedBatch)
			for _, r := range rows[:n] {
				if r.deleted() {
					b.Query(cqlDelete, stamp, p.Group, p.Key, r.Part)
				} else {
					b.Query(cqlRow, p.Group, p.Key, nonNil(r.Part), nonNil(r.Value), stamp)
				}
			}
			if err := b.ExecContext(ctx); err != nil {
				return err
			}
			rows, n, size = rows[n:], 0, 0
		}
	}
	b := s.session.Batch(gocql.UnloggedBatch)
	s.add(b, stamp, p, rows)
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
