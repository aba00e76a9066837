package cassandra

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// Bits of an epoch's timestamps, and of a block's: 2²⁰ blocks an epoch, 2²³ epochs. A round takes two timestamps.
const (
	epochBits = 40
	blockBits = 20
)

// Rounds is how many rounds a block has. After them it is to be claimed again.
const Rounds = 1 << (blockBits - 1)

// Claimed is the right to write to a keyspace, as a data directory remembers it. The zero value has none.
type Claimed struct {
	Store     string `json:"store"`     // which keyspace: a text that it was given when it was first claimed
	Directory string `json:"directory"` // which data directory: a text of its own
	Epoch     int64  `json:"epoch"`
	Block     int64  `json:"block"`
	Next      int64  `json:"next,omitempty"` // a block that was asked for, and perhaps given
}

// Group is the number of a group in the keyspace.
func (c Claimed) Group(prefix uint32) int64 { return c.Epoch<<32 | int64(prefix) }

// Timestamp is that of a round of the block, from 0. The one before it is of no other round.
func (c Claimed) Timestamp(round int64) int64 {
	return c.Epoch<<epochBits | c.Block<<blockBits | (round<<1 | 1)
}

// Claim takes the next block of rounds, for the process that calls it. before is what the directory remembers, and keep makes it remember
// something else, durably. Where the keyspace has not what it remembers, because it or the directory was restored, copied or made anew, the
// claim is of a new epoch: nothing of it has been sent. A keyspace of another directory is taken over only if takeOver says so.
// Errors: ErrOwned, ErrLost where another process claims at the same time; keep's; the driver's.
func (s *Store) Claim(ctx context.Context, before Claimed, takeOver bool, keep func(Claimed) error) (Claimed, error) {
	c := before
	if c.Directory == "" {
		c.Directory = rand.Text()
	}
	var store, directory string
	var epoch, block int64
	err := s.session.Query("SELECT store, directory, epoch, block FROM owner WHERE id = 1").Consistency(gocql.LocalSerial).ScanContext(ctx, &store, &directory, &epoch, &block)
	switch {
	case errors.Is(err, gocql.ErrNotFound):
		c.Store, c.Epoch, c.Block, c.Next = rand.Text(), c.Epoch+1, 0, 1
		if err := keep(c); err != nil {
			return before, err
		}
		return s.claimed(c, keep, s.session.Query("INSERT INTO owner (id, store, directory, epoch, block) VALUES (1, ?, ?, ?, ?) IF NOT EXISTS", c.Store, c.Directory, c.Epoch, c.Next))(ctx)
	case err != nil:
		return before, classify(err)
	case directory != c.Directory && !takeOver:
		return before, ErrOwned
	}
	if store != c.Store || directory != c.Directory || epoch != c.Epoch || block != c.Block && (c.Next == 0 || block != c.Next) {
		c.Store, c.Epoch, c.Block, c.Next = store, max(epoch, c.Epoch)+1, 0, 1
	} else {
		c.Block, c.Next = block, block+1
	}
	if err := keep(c); err != nil {
		return before, err
	}
	return s.claimed(c, keep, s.session.Query("UPDATE owner SET directory = ?, epoch = ?, block = ? WHERE id = 1 IF store = ? AND directory = ? AND epoch = ? AND block = ?",
		c.Directory, c.Epoch, c.Next, store, directory, epoch, block))(ctx)
}

// claimed runs the lightweight transaction that gives a claim. An answer that is lost leaves it in doubt, for the next Claim to find out.
func (s *Store) claimed(c Claimed, keep func(Claimed) error, q *gocql.Query) func(context.Context) (Claimed, error) {
	return func(ctx context.Context) (Claimed, error) {
		applied, err := q.Idempotent(false).MapScanCASContext(ctx, map[string]any{})
		switch {
		case err != nil:
			return c, classify(err)
		case !applied:
			return c, ErrLost
		case c.Next >= 1<<(epochBits-blockBits):
			return c, fmt.Errorf("epoch %d has no rounds left", c.Epoch)
		}
		c.Block, c.Next = c.Next, 0
		return c, keep(c)
	}
}

// Owns checks that no other process has claimed the keyspace since. Errors: ErrLost, the driver's.
func (s *Store) Owns(ctx context.Context, c Claimed) error {
	var store, directory string
	var epoch, block int64
	err := s.session.Query("SELECT store, directory, epoch, block FROM owner WHERE id = 1").Consistency(gocql.LocalSerial).ScanContext(ctx, &store, &directory, &epoch, &block)
	switch {
	case errors.Is(err, gocql.ErrNotFound):
		return ErrLost
	case err != nil:
		return classify(err)
	case store != c.Store || directory != c.Directory || epoch != c.Epoch || block != c.Block:
		return ErrLost
	}
	return nil
}
