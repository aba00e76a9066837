package reclog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/tilehouse/tilehouse/functions/vector"
)

// Limits of the committer.
const (
	// maxQueue is how many transactions may wait for the committer; further callers of Commit wait to enter.
	maxQueue = 1024
	// maxGroupTxns and maxGroupBytes end a group: transactions beyond wait for the next one. The bytes are of encoded rows;
	// one transaction may exceed them, up to bulkBytes.
	maxGroupTxns  = 1024
	maxGroupBytes = 4 << 20
	// MaxChanges is the most changes of one transaction.
	MaxChanges = 1 << 20
)

// Change is what a transaction does to one source: deletes first, then inserts.
type Change struct {
	Source  SourceID
	Deletes []uint64      // row ids that must be live, else ErrConflict
	Inserts *vector.Chunk // rows with all columns of the source, any number of them; nil: none
	// Time is 1 + the column of Inserts, a timestamptz, of which Newest keeps the newest value; 0: none.
	Time int
	// Mark, where it is not nil, is what Newest keeps instead, if it is newer: a time, in microseconds UTC, that the caller has found
	// itself. The change may then be of no rows.
	Mark *int64
	Key  []int // primary-key columns of Inserts; nil: none. Deletes find the key of a row with the row
	// Resolved, where it is not nil, is the keys of Inserts, which the caller has found free, and distinct: they are not looked for again.
	// Only who alone inserts into a source can know that. There are no Deletes.
	Resolved *Keys
}

// Txn is a transaction. Its changes apply in order. The ids of rows that it inserts are known after Commit only, so that a
// row both inserted and deleted by it must be left out by the caller. The caller must not change it until Commit returns.
type Txn struct {
	Changes []Change
	// Extra adds further writes, outside this package's keyspaces, to the batch: a catalog version. It is called in the
	// committer, perhaps more than once, with the position that the transaction will have; b is not indexed. An error fails
	// the transaction. nil: none.
	Extra func(b *pebble.Batch, pos uint64) error
}

// Committed is what became of a transaction.
type Committed struct {
	Position   uint64
	Time       int64    // of commit, microseconds UTC; strictly increasing with the position
	FirstRowID []uint64 // for each change the id of its first insert; the ids of its inserts are consecutive
}

// Applied is a committed change, as an Applier is told of it. Nothing in it may be kept or changed.
type Applied struct {
	Source        SourceID
	Position      uint64
	DeletedIDs    []uint64
	Deleted       *vector.Chunk // the deleted rows, in the order of DeletedIDs, with the columns of Applier.Schema. nil: none
	FirstInsertID uint64
	Inserted      *vector.Chunk // with the columns that the writer knew. nil: none
}

// Applier derives further writes from changes, in the batch that commits them: online tiles.
type Applier interface {
	// Schema is the newest columns of a source, which no rows have more of; without types where the source is not known.
	Schema(source SourceID) Schema
	// Apply is called once for a group of transactions, from one goroutine, with positions ascending. b is not indexed: reads
	// go to Log.DB, which holds every earlier group, and what changes of one group mean together is for Apply to work out.
	// An error fails the group, whose transactions are then tried one by one, so that only the guilty one fails. Unless it
	// returned an error, done, if not nil, is called once with what became of the batch.
	Apply(b *pebble.Batch, changes []Applied) (done func(committed bool), err error)
}

// States of a pending commit.
const (
	stateQueued = iota
	stateClaimed
	stateCancelled
)

// pending is one request to the committer: a transaction, the dropping of a source, or an internal write.
type pending struct {
	txn     *Txn
	changes []Change   // of txn, and then those that follow from them
	rows    []prepared // one a change
	// followed are the further writes that follow from changes.
	followed []func(b *pebble.Batch)
	bytes    int // of encoded rows
	prep     *preparation

	drop *SourceID
	own  func(b *pebble.Batch)

	state atomic.Int32
	done  chan struct{}
	res   Committed
	err   error
}

// alone reports whether p forms a group of its own.
func (p *pending) alone() bool { return p.drop != nil || p.prep != nil }

// Commit makes t durable and visible, or leaves no trace of it. It blocks until the group that t is part of is synced; many
// callers share one sync. Cancelling ctx withdraws t only while it waits for its group. Errors: *UniqueError, ErrConflict,
// ErrDiskFull, ErrTooLarge, ErrClosed, ctx's error, errors of Extra and of the Applier; and ErrInDoubt, the only one after
// which t may yet be there.
func (l *Log) Commit(ctx context.Context, t *Txn) (Committed, error) {
	if len(t.Changes) > MaxChanges {
		return Committed{}, fmt.Errorf("%w: %d changes", ErrTooLarge, len(t.Changes))
	}
	if err := l.enter(); err != nil {
		return Committed{}, err
	}
	defer l.leave()
	left, err := l.pass(ctx, t)
	if err != nil {
		return Committed{}, err
	}
	p := &pending{txn: t}
	if err := l.prepare(ctx, p); err != nil {
		left()
		return Committed{}, err
	}
	err = l.submit(ctx, p)
	l.release(p, err)
	if errors.Is(err, ErrInDoubt) { // it may come yet
		go func() {
			select {
			case <-p.done:
			case <-l.ended:
			}
			left()
		}()
		return Committed{}, err
	}
	left()
	if err != nil {
		return Committed{}, err
	}
	return p.res, nil
}

// submit hands p to the committer and waits for the outcome.
func (l *Log) submit(ctx context.Context, p *pending) error {
	p.done = make(chan struct{})
	select {
	case <-l.stop:
		return ErrClosed
	default:
	}
	if l.fs.waiting.Load() > 0 && p.drop == nil {
		return ErrDiskFull // rather than queue behind the group that waits for space
	}
	select {
	case l.queue <- p:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.stop:
		return ErrClosed
	}
	stall := time.NewTimer(l.o.StallTimeout)
	defer stall.Stop()
	cancelled := ctx.Done()
	for {
		select {
		case <-p.done:
			return p.err
		case <-cancelled:
			if p.state.CompareAndSwap(stateQueued, stateCancelled) {
				return context.Cause(ctx)
			}
			cancelled = nil
		case <-l.ended:
			// The committer may have answered just before it ended.
			select {
			case <-p.done:
				return p.err
			default:
			}
			if p.state.CompareAndSwap(stateQueued, stateCancelled) {
				return ErrClosed
			}
			return ErrInDoubt
		case <-stall.C:
			if l.fs.waiting.Load() > 0 {
				if p.state.CompareAndSwap(stateQueued, stateCancelled) {
					return ErrDiskFull
				}
				return ErrInDoubt
			}
			stall.Reset(l.o.StallTimeout)
		}
	}
}

// run is the committer.
func (l *Log) run() {
	defer close(l.ended)
	var held *pending // taken from the queue, but to stand alone
	for {
		first := held
		held = nil
		if first == nil {
			select {
			case first = <-l.queue:
			case <-l.stop:
				return
			}
		}
		group := []*pending{first}
		if !first.alone() {
			bytes := first.bytes
			for bytes < maxGroupBytes && len(group) < maxGroupTxns && held == nil {
				var p *pending
				select {
				case p = <-l.queue:
				default:
				}
				if p == nil {
					break
				}
				if p.alone() {
					held = p
					break
				}
				group, bytes = append(group, p), bytes+p.bytes
			}
		}
		claimed := group[:0]
		for _, p := range group {
			if p.state.CompareAndSwap(stateQueued, stateClaimed) {
				claimed = append(claimed, p)
			}
		}
		l.commitAll(claimed)
	}
}

// commitAll commits a group, and each of its transactions alone where the Applier refuses them together.
func (l *Log) commitAll(group []*pending) {
	if len(group) == 0 {
		return
	}
	bytes, urgent := int64(0), true
	for _, p := range group {
		bytes += int64(p.bytes)
		urgent = urgent && p.drop != nil
	}
	err := l.fs.admit(2*bytes, urgent)
	if err == nil {
		if err = l.commitGroup(group); errors.Is(err, errRetryAlone) {
			for _, p := range group {
				l.answer([]*pending{p}, l.commitGroup([]*pending{p}))
			}
			return
		}
	}
	l.answer(group, err)
}

// answer tells the callers; a general err counts for those that have none of their own.
func (l *Log) answer(group []*pending, err error) {
	for _, p := range group {
		if p.err == nil {
			p.err = err
		}
		close(p.done)
	}
}

var errRetryAlone = errors.New("reclog: the group fails together")

// commitGroup commits those of the group that can be, and sets the others' errors. The error it returns is of all.
func (l *Log) commitGroup(ps []*pending) error {
	g := l.newGroup()
	defer g.close()
	var in []*pending
	for _, p := range ps {
		if p.err = g.add(p); p.err == nil {
			in = append(in, p)
		}
	}
	if len(in) == 0 {
		return nil
	}
	var done func(bool)
	if a := l.applier.Load(); a != nil && len(g.applied) > 0 {
		var err error
		if done, err = (*a).Apply(g.b, g.applied); err != nil {
			if len(ps) == 1 {
				return err
			}
			return errRetryAlone
		}
	}
	committed := false
	defer func() {
		if done != nil {
			done(committed)
		}
	}()
	if err := g.write(); err != nil {
		return err
	}
	l.noteChanged(g)
	if err := g.b.Commit(pebble.Sync); err != nil {
		// Pebble reports here only what it refuses before writing; a failed write ends in Options.Fatal.
		return err
	}
	committed = true
	for s, n := range g.next {
		l.next[s] = n
	}
	maps.Copy(l.newest, g.newest)
	l.noteTouched(g, ps)
	l.lastTime = g.time
	l.pos.Store(g.pos)
	return nil
}
