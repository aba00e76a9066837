package engine

import (
	"context"
	"fmt"
	"sync"

	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// A SERIALIZABLE transaction reads one snapshot of everything: of ordinary tables by DuckDB's, of event tables, sources and
// features at one position of the log. One that writes is refused at COMMIT where a relation that it read was changed since by
// another transaction. So each that writes might as well have run at the instant of its COMMIT, each that only reads at that of its
// snapshot, and the commits are their serial order. What a transaction read is known by relation, not by row: more is refused than
// has to be, and no less.
//
// As in PostgreSQL, this holds among SERIALIZABLE transactions; what others committed before the check counts, too.

const serializable = "serializable"

// serialReads is what a SERIALIZABLE transaction read.
type serialReads struct {
	position uint64          // of the log, that it reads at
	commits  uint64          // of ordinary tables, that it sees
	events   map[uint32]bool // relations that are no views, by id
	tables   map[uint64]bool // ordinary tables, by id
}

// tableChanges remembers when ordinary tables were changed, while there are SERIALIZABLE transactions that want to know.
type tableChanges struct {
	// gate is held shared by commits of ordinary tables; SERIALIZABLE transactions hold it alone while they begin to read, and
	// while they check and commit.
	gate    sync.RWMutex
	mu      sync.Mutex // guards the rest
	open    int        // SERIALIZABLE transactions that have begun to read
	commits uint64     // so far
	last    map[uint64]uint64
}

// begin counts a transaction that begins to read, and returns the commits that it sees. The gate is held.
func (c *tableChanges) begin() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	return c.commits
}

// end counts one that ended.
func (c *tableChanges) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open--; c.open == 0 {
		c.last = nil
	}
}

// committed notes the tables that a transaction changed. The gate is held.
func (c *tableChanges) committed(changed map[uint64]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commits++
	if c.open == 0 {
		return
	}
	if c.last == nil {
		c.last = map[uint64]uint64{}
	}
	for id := range changed {
		c.last[id] = c.commits
	}
}

// changedSince is one of the tables that was changed after so many commits, 0: none.
func (c *tableChanges) changedSince(read map[uint64]bool, commits uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range read {
		if c.last[id] > commits {
			return id
		}
	}
	return 0
}

// beginSerial begins DuckDB's transaction, and with it the snapshot of a SERIALIZABLE one.
func (s *Session) beginSerial(ctx context.Context) error {
	changes := &s.e.changes
	changes.gate.Lock()
	defer changes.gate.Unlock()
	tx := s.tx
	tx.journal.seen(s)
	tx.snapshot = s.e.locks.snapshot()
	position := s.e.log.Position()
	if _, err := s.conn.Exec(ctx, "BEGIN TRANSACTION"); err != nil {
		return err
	}
	// DuckDB takes its snapshot of a database where a statement first names something in it.
	_, err := s.conn.Exec(ctx, "SELECT 1 FROM "+tablesDocuments+" LIMIT 1")
	if err == nil {
		_, err = s.ordinary(ctx)
	}
	if err != nil {
		_, _ = s.conn.Exec(context.WithoutCancel(ctx), "ROLLBACK") // the first error is the one to report
		return err
	}
	tx.duck = true
	if tx.serial == nil { // a rollback to a savepoint begins again, and keeps what was read
		tx.serial = &serialReads{commits: changes.begin(), events: map[uint32]bool{}, tables: map[uint64]bool{}}
	}
	tx.serial.position = position
	return nil
}

// endSerial lets go of what a transaction that ended had read.
func (s *Session) endSerial(tx *transaction) {
	if tx.serial != nil {
		tx.serial = nil
		s.e.changes.end()
	}
}

// position is the position of the log that a statement reads at.
func (s *Session) position() uint64 {
	if s.tx != nil && s.tx.serial != nil {
		return s.tx.serial.position
	}
	return s.e.log.Position()
}

// readsTable notes that the open transaction reads an ordinary table.
func (s *Session) readsTable(o *tables.Object) {
	if s.tx != nil && s.tx.serial != nil && !o.Temp {
		s.tx.serial.tables[o.ID] = true
	}
}

// readsRelation notes that the open transaction reads a relation of the catalog.
func (s *Session) readsRelation(cat *schema.Catalog, r *schema.Relation) {
	if s.tx != nil && s.tx.serial != nil && !s.unborn(r) {
		s.tx.serial.events[materialize.Base(cat, r).ID] = true
	}
}

// readsGroup notes that the open transaction reads values of a group. It returns the position to read them at where they changed
// since the transaction began to read, or asOf, which the statement said; nil: the newest ones. Whoever reads the newest ones has opened
// its view by then.
func (s *Session) readsGroup(cat *schema.Catalog, g *schema.Group, asOf *uint64) *uint64 {
	if s.tx == nil || s.tx.serial == nil {
		return asOf
	}
	changed := false
	note := func(id uint32) {
		if r := cat.Relations[id]; r != nil {
			s.readsRelation(cat, r)
			changed = changed || s.e.changedAt(cat, materialize.Base(cat, r).ID) > s.tx.serial.position
		}
	}
	note(g.Relation)
	for _, j := range g.Joins {
		note(j.Relation)
	}
	if changed && (asOf == nil || *asOf > s.tx.serial.position) {
		return &s.tx.serial.position
	}
	return asOf
}

// changedAt is the position of the last change of a relation's rows that may matter to a reader; one that is no longer in the catalog
// has changed.
func (e *Engine) changedAt(cat *schema.Catalog, relation uint32) uint64 {
	r := cat.Relations[relation]
	if r == nil {
		return ^uint64(0)
	}
	if r.File == nil {
		return e.log.LastChange(reclog.SourceID(relation))
	}
	at := uint64(0)
	for i := range r.File.Files {
		at = max(at, r.File.Files[i].Added, r.File.Files[i].Removed)
	}
	return at
}

// refuseMoved refuses a read of a group's events by DuckDB where its snapshot of them is not of the position that a SERIALIZABLE
// transaction reads at.
func (s *Session) refuseMoved(ctx context.Context, cat *schema.Catalog, g *schema.Group) error {
	if s.tx == nil || s.tx.serial == nil {
		return nil
	}
	s.readsGroup(cat, g, nil)
	r := materialize.Base(cat, cat.Relations[g.Relation])
	if !r.Logged() || s.unborn(r) {
		return nil
	}
	p, err := s.projected(ctx, cat)
	if err == nil && !p.holds[r.ID] {
		err = readChanged(r.Name)
	}
	return err
}

// checkSerial refuses to commit a SERIALIZABLE transaction that read what another one changed since. The gate is held.
func (s *Session) checkSerial() error {
	reads := s.tx.serial
	cat := s.e.catalog.Current()
	for id := range reads.events {
		if s.e.changedAt(cat, id) > reads.position {
			name := fmt.Sprint(id)
			if r := s.catalog().Relations[id]; r != nil {
				name = r.Name
			}
			return readChanged(name)
		}
	}
	if id := s.e.changes.changedSince(reads.tables, reads.commits); id != 0 {
		name := fmt.Sprint(id)
		if o := s.tabs.ByID[id]; o != nil {
			name = o.Name
		}
		return readChanged(name)
	}
	return nil
}

func readChanged(name string) *session.Error {
	e := hint(fail(codeConflict, "could not serialize access due to read/write dependencies among transactions"), "The transaction might succeed if retried.")
	e.Detail = fmt.Sprintf("Relation %q, which the transaction read, was changed by another one since.", name)
	return e
}

// inSerial runs a change of event tables outside of a block: in a transaction of its own where what it read must not have changed when
// it is committed.
func (s *Session) inSerial(ctx context.Context, run func(ctx context.Context) error) error {
	if s.tx != nil || s.Setting("default_transaction_isolation") != serializable {
		return run(ctx)
	}
	return s.inTransaction(ctx, func(ctx context.Context) error {
		s.tx.queried = true
		if err := s.beginDuck(ctx); err != nil {
			return err
		}
		return run(ctx)
	})
}

// changes notes that the open transaction changes rows of an ordinary table, and of those that its changes cascade to.
func (s *Session) changes(o *tables.Object, cascade bool) {
	if s.tx == nil || o.Temp || s.tx.changed[o.ID] && !cascade {
		return
	}
	if s.tx.changed == nil {
		s.tx.changed = map[uint64]bool{}
	}
	s.tx.changed[o.ID] = true
	if !cascade {
		return
	}
	seen := map[uint64]bool{o.ID: true}
	for next := []uint64{o.ID}; len(next) > 0; {
		id := next[0]
		next = next[1:]
		for _, r := range s.tabs.Referrers(id) {
			if !seen[r.Table.ID] {
				seen[r.Table.ID], s.tx.changed[r.Table.ID] = true, true
				next = append(next, r.Table.ID)
			}
		}
	}
}
