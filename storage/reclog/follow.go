package reclog

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// A source can follow others: what a transaction does to those does something to it, too, in the same transaction and position. Who follows
// whom, and what is done, is a Follower's to say; it is asked in the committer, one transaction after the other, so that it decides by what
// all transactions before have left, and no two decide at once.

// Follower derives changes of sources from those of others.
type Follower interface {
	// Follows reports whether changes of a source may have to be followed. It is called from any goroutine.
	Follows(source SourceID) bool
	// Follow is called in the committer with a change that was taken, of a source that Follows approves of, and says what else the
	// transaction does. mark is the change's Mark, or the newest event time that it brings, nil where it has neither. r reads as of that change. An
	// error fails the transaction.
	Follow(r Reading, a *Applied, mark *int64) (Followed, error)
}

// Followed is what follows from a change. The sources of its changes are followed by nobody.
type Followed struct {
	Changes []Change
	// Write adds writes outside of this package's keyspaces to the transaction's batch; nil: none. It cannot fail.
	Write func(b *pebble.Batch)
}

// Reading is what a Follower sees: everything that is committed, and the transactions of the batch up to the change that it is asked about.
type Reading struct{ g *group }

// Owner is the live row of a source that has the primary key which row i of c has in the columns key; 0: none has.
func (r Reading) Owner(source SourceID, c *vector.Chunk, i int, key []int) (uint64, error) {
	return r.g.keyOwner(appendPrimary(nil, source, c, i, key))
}

// Row is a live row of a source by its id: row i of the chunk, which must not be changed or kept.
func (r Reading) Row(source SourceID, id uint64) (c *vector.Chunk, i int, err error) {
	ref, e, err := r.g.find(source, id)
	if err != nil {
		return nil, 0, err
	}
	rows, ok := r.g.local[ref]
	if !ok {
		if rows, err = r.g.l.cache.rows(r.g.l.db, ref, e); err != nil {
			return nil, 0, err
		}
	}
	return rows.c, rows.from + int(id-ref.first), nil
}

// SetFollower says who derives changes from changes. It must not be called while there are commits.
func (l *Log) SetFollower(f Follower) { l.follower.Store(&f) }

// follows reports whether changes of a source are followed.
func (l *Log) follows(s SourceID) bool {
	f := l.follower.Load()
	return f != nil && (*f).Follows(s)
}

// follow adds to the transaction that is being added what follows from one of its changes.
func (g *group) follow(p *pending, c *Change, rec *change, a *Applied, pos uint64) ([]*change, error) {
	mark := c.Mark
	if mark == nil && c.Time > 0 && c.Inserts != nil {
		v := c.Inserts.Cols[c.Time-1]
		for i := range c.Inserts.N {
			if !v.IsNull(i) && (mark == nil || v.I64[i] > *mark) {
				mark = &v.I64[i]
			}
		}
	}
	if rec.rows == 0 && len(rec.deletes) == 0 && mark == nil {
		return nil, nil
	}
	f, err := (*g.l.follower.Load()).Follow(Reading{g}, a, mark)
	if err != nil {
		return nil, err
	}
	if f.Write != nil {
		p.followed = append(p.followed, f.Write)
	}
	var records []*change
	for _, next := range f.Changes {
		i := len(p.changes)
		p.changes, p.rows = append(p.changes, next), append(p.rows, prepared{})
		if next.Inserts != nil && next.Inserts.N > 0 {
			p.rows[i].n = next.Inserts.N
			if len(next.Key) > 0 {
				p.rows[i].keys = encodeKeys(next.Source, next.Inserts, next.Key)
			}
			if err := g.l.encodeRows(context.Background(), p, i); err != nil {
				return nil, fmt.Errorf("reclog: following source %d: %w", c.Source, err)
			}
		}
		r, _, err := g.addChange(&p.changes[i], &p.rows[i], pos, i)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// unfollow takes back what an earlier attempt to add p has derived.
func (l *Log) unfollow(p *pending) {
	own := len(p.txn.Changes)
	l.removeStaged(p, own)
	p.changes, p.rows, p.followed = append(p.changes[:0], p.txn.Changes...), p.rows[:own], nil
}

// gates keep transactions that change a source out while somebody holds it. Guarded by Log.gateMu.
type gate struct {
	inside int           // transactions that change the source
	held   chan struct{} // closed when it is let go; nil: nobody holds it
	empty  chan struct{} // closed when nothing is inside; nil: nobody waits for that
}

// Hold waits until no transaction that changes a source is under way, and keeps others waiting until release is called: in between the
// source's rows are what they are at Position. Whoever holds must not commit changes of the source. Errors: ctx's.
func (l *Log) Hold(ctx context.Context, s SourceID) (release func(), err error) {
	l.gateMu.Lock()
	g := l.gateOf(s)
	for g.held != nil { // one at a time
		held := g.held
		l.gateMu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		l.gateMu.Lock()
		g = l.gateOf(s)
	}
	g.held = make(chan struct{})
	held := g.held
	var empty chan struct{}
	if g.inside > 0 {
		empty = make(chan struct{})
		g.empty = empty
	}
	l.gateMu.Unlock()
	release = func() {
		l.gateMu.Lock()
		defer l.gateMu.Unlock()
		close(held)
		g.held, g.empty = nil, nil
		l.dropGate(s, g)
	}
	if empty == nil {
		return release, nil
	}
	select {
	case <-empty:
		return release, nil
	case <-ctx.Done():
		release()
		return nil, context.Cause(ctx)
	}
}

func (l *Log) gateOf(s SourceID) *gate {
	g := l.gates[s]
	if g == nil {
		g = &gate{}
		l.gates[s] = g
	}
	return g
}

func (l *Log) dropGate(s SourceID, g *gate) {
	if g.inside == 0 && g.held == nil && l.gates[s] == g {
		delete(l.gates, s)
	}
}

// pass lets a transaction through the gates of the sources that it changes, all of them at once; left must be called when it is over.
func (l *Log) pass(ctx context.Context, t *Txn) (left func(), err error) {
	var sources []SourceID
	for i := range t.Changes {
		if s := t.Changes[i].Source; len(sources) == 0 || sources[len(sources)-1] != s {
			sources = append(sources, s)
		}
	}
	if len(sources) == 0 {
		return func() {}, nil
	}
	l.gateMu.Lock()
	for i := 0; i < len(sources); i++ {
		g := l.gates[sources[i]]
		if g == nil || g.held == nil {
			continue
		}
		held := g.held
		l.gateMu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-l.stop:
			return nil, ErrClosed
		}
		l.gateMu.Lock()
		i = -1
	}
	for _, s := range sources {
		l.gateOf(s).inside++
	}
	l.gateMu.Unlock()
	return func() {
		l.gateMu.Lock()
		defer l.gateMu.Unlock()
		for _, s := range sources {
			g := l.gates[s]
			if g.inside--; g.inside == 0 && g.empty != nil {
				close(g.empty)
				g.empty = nil
			}
			l.dropGate(s, g)
		}
	}, nil
}

// NextRow is the id that the next row of a source will have, while the source is held. Errors: ErrClosed, ErrCorrupt.
func (l *Log) NextRow(s SourceID) (uint64, error) {
	if err := l.enter(); err != nil {
		return 0, err
	}
	defer l.leave()
	return l.loadNext(s)
}

// Sources are the sources that the log has changes of.
func (l *Log) Sources() ([]SourceID, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{KeyLog}, UpperBound: []byte{KeyLog + 1}})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var out []SourceID
	for ok := it.First(); ok; {
		if len(it.Key()) < 5 {
			return nil, fmt.Errorf("%w: log key %x", ErrCorrupt, it.Key())
		}
		s := SourceID(binary.BigEndian.Uint32(it.Key()[1:]))
		out = append(out, s)
		ok = it.SeekGE(sourceEnd(KeyLog, s))
	}
	return out, it.Error()
}
