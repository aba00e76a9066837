package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/zeebo/xxh3"

	"github.com/tilehouse/tilehouse/storage/tables"
)

// tableLocks let one transaction at a time change the tables whose constraints it has to check, and DuckDB's other writers wait
// where DuckDB would fail: it has no locks. A transaction holds what it took until it ends.
type tableLocks struct {
	mu      sync.Mutex
	changed chan struct{} // closed and made anew when a lock is given back
	holders map[uint64]*Session
	waits   map[*Session]uint64
	// commits counts the transactions that held locks and committed; last is the count at which a table was last changed.
	commits uint64
	last    map[uint64]uint64
}

func newTableLocks() *tableLocks {
	return &tableLocks{changed: make(chan struct{}), holders: map[uint64]*Session{}, waits: map[*Session]uint64{}, last: map[uint64]uint64{}}
}

// lock takes a table's lock for the session's open transaction. Errors: 40P01, 57014; 40001 where another transaction changed the
// table after this one began to read.
func (l *tableLocks) lock(ctx context.Context, s *Session, table uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.holders[table] != nil && l.holders[table] != s {
		l.waits[s] = table
		for other := l.holders[table]; other != nil; {
			next, waiting := l.waits[other]
			if !waiting {
				break
			}
			if other = l.holders[next]; other == s {
				delete(l.waits, s)
				return hint(fail("40P01", "deadlock detected"), "Run the transaction again.")
			}
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		l.mu.Lock()
		delete(l.waits, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if l.holders[table] == nil {
		l.holders[table] = s
		s.tx.locks = append(s.tx.locks, table)
	}
	if s.tx.duck && l.last[table] > s.tx.snapshot {
		return hint(fail(codeConflict, "could not serialize access due to concurrent update"), "Run the transaction again.")
	}
	return nil
}

// release gives a transaction's locks back.
func (l *tableLocks) release(s *Session, tx *transaction, committed bool) {
	if len(tx.locks) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if committed {
		l.commits++
	}
	for _, t := range tx.locks {
		if l.holders[t] == s {
			delete(l.holders, t)
		}
		if committed {
			l.last[t] = l.commits
		}
	}
	tx.locks = nil
	close(l.changed)
	l.changed = make(chan struct{})
}

// snapshot is the count of commits that a transaction of DuckDB's that begins now sees.
func (l *tableLocks) snapshot() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commits
}

// lockFor takes the locks that a write needs.
func (s *Session) lockFor(ctx context.Context, w *rowWrite) error {
	if _, err := s.ordinary(ctx); err != nil { // a rollback has forgotten it
		return err
	}
	ids := s.lockSet(w.table, w.kind == 'i' && w.conflict == nil)
	s.changes(w.table, w.kind != 'i')
	for _, c := range w.ctes {
		s.changes(c.table, c.kind != 'i')
		ids = append(ids, s.lockSet(c.table, c.kind == 'i' && c.conflict == nil)...)
	}
	return s.takeLocks(ctx, ids)
}

// takeLocks takes locks in one order. Where the open transaction has only read, it reads anew once it has them, as PostgreSQL's
// statements do.
func (s *Session) takeLocks(ctx context.Context, ids []uint64) error {
	return s.takeLocksOf(ctx, ids, !s.tx.ordinary)
}

// takeLocksOf is takeLocks; unwritten: the open transaction has written nothing.
func (s *Session) takeLocksOf(ctx context.Context, ids []uint64, unwritten bool) error {
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		err := s.e.locks.lock(ctx, s, id)
		if e := asError(err); e != nil && e.Code == codeConflict && unwritten && s.mayReadAnew() {
			if _, err := s.conn.Exec(ctx, "ROLLBACK"); err != nil {
				return err
			}
			s.tx.duck = false
			s.forgetTables()
			if err := s.beginDuck(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// nameLocks is a bit that no table's number has: locks with it are of names.
const nameLocks = 1 << 63

// lockName takes the lock of a name that an object is given, so that who makes two of it waits for the other's end, as PostgreSQL's indexes of names
// make them wait. What was read of tables before is read anew where it is old. A statement calls it before it writes anything.
func (s *Session) lockName(ctx context.Context, space, name string) error {
	if err := s.takeLocksOf(ctx, []uint64{nameLocks | xxh3.HashString(space+"\x00"+name)}, !s.tx.ordinary || s.tx.single); err != nil {
		return err
	}
	_, err := s.ordinary(ctx)
	return err
}

// mayReadAnew reports whether the open transaction may see what others committed since it began.
func (s *Session) mayReadAnew() bool {
	return s.tx.level != "repeatable read" && s.tx.level != serializable && len(s.cursors) == 0
}

// lockSet are the tables whose rows a change of a table depends on: those that it refers to, those that refer to it, and itself
// unless rows are added that nothing depends on.
func (s *Session) lockSet(o *tables.Object, insert bool) []uint64 {
	if o.Temp {
		return nil
	}
	seen := map[uint64]bool{}
	var add func(o *tables.Object, cascade bool)
	add = func(o *tables.Object, cascade bool) {
		if seen[o.ID] {
			return
		}
		seen[o.ID] = true
		for i := range o.Constraints {
			if k := &o.Constraints[i]; k.Kind == tables.ForeignKey {
				seen[k.References] = true
			}
		}
		if cascade {
			for _, r := range s.tabs.Referrers(o.ID) {
				add(r.Table, true)
			}
		}
	}
	keyed := slices.ContainsFunc(s.tabs.IndexesOf(o.ID), func(x *tables.Object) bool { return x.Of.Unique })
	refers := slices.ContainsFunc(o.Constraints, func(k tables.Constraint) bool { return k.Kind == tables.ForeignKey })
	if insert && !keyed && !refers {
		return nil
	}
	add(o, !insert)
	var out []uint64
	for id := range seen {
		out = append(out, id)
	}
	return out
}
