package engine

import (
	"context"
	"maps"
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// transaction is an open transaction block, or the bracket of a simple query with several statements.
type transaction struct {
	id        int64 // what txid_current() is in it; 0: not asked yet
	failed    bool
	implicit  bool
	single    bool  // implicit, around one statement
	duck      bool  // DuckDB's transaction has begun
	ordinary  bool  // ordinary tables were written
	writes    int   // statements that wrote them
	defines   bool  // their columns, perhaps
	began     int64 // what now() is in it, microseconds; 0: not asked yet
	now       int64 // what it is in DuckDB's; 0: not asked yet
	queried   bool  // a statement that reads or writes has run
	level     string
	readOnly  bool
	events    []*pendingRows
	defs      *definitions // nil: none
	before    settingState // what was set when it began
	savepoint []*savepoint
	journal   journal
	notify    pendingNotify
	ddl       bool            // ordinary objects that are not temporary were changed
	upserts   bool            // ON CONFLICT looked for rows of event tables
	snapshot  uint64          // that DuckDB's transaction sees, see tableLocks
	projected *projectedRows  // what DuckDB's transaction sees of event tables; nil: it has read none
	serial    *serialReads    // of a SERIALIZABLE transaction that has begun to read
	changed   map[uint64]bool // ordinary tables whose rows it changes
	locks     []uint64        // that it holds
	fresh     map[uint64]int  // tables that it made or emptied, and how many savepoints there were
	deferred  [][2]uint64     // tables and references of theirs that are checked at COMMIT
}

// pendingRows is what a transaction changed of an event table and did not commit yet. A pending row's id is −1 − its index.
type pendingRows struct {
	rel     *schema.Relation
	inserts *vector.Chunk
	gone    map[int]bool // inserted and deleted again
	order   []int        // of gone, as they came: a savepoint is rolled back to a prefix
	deletes []uint64
}

// TxStatus is the transaction status of ReadyForQuery.
func (s *Session) TxStatus() byte {
	switch {
	case s.tx == nil || s.tx.implicit:
		return 'I'
	case s.tx.failed:
		return 'E'
	}
	return 'T'
}

// Fail marks an open block failed.
func (s *Session) Fail() {
	if s.tx != nil {
		s.tx.failed = true
	}
}

// failed marks an open block failed and makes err what the client sees.
func (s *Session) failed(err error) error {
	s.Fail()
	return asError(err)
}

// begin opens a transaction with the characteristics that new ones have.
func (s *Session) begin(implicit bool) *transaction {
	s.tx = &transaction{implicit: implicit, before: s.settingState, level: s.Setting("default_transaction_isolation"), readOnly: s.Setting("default_transaction_read_only") == "on"}
	return s.tx
}

// BeginImplicit opens the bracket of a simple query.
func (s *Session) BeginImplicit() {
	if s.tx == nil {
		s.begin(true)
	}
}

// EndImplicit commits or rolls back what is left of the bracket.
func (s *Session) EndImplicit(ctx context.Context, ok bool) error {
	if s.tx == nil || !s.tx.implicit {
		return nil
	}
	if !ok || s.tx.failed {
		s.rollback()
		return nil
	}
	return s.commit(ctx)
}

// beginDuck begins DuckDB's transaction inside a block.
func (s *Session) beginDuck(ctx context.Context) error {
	if s.tx == nil || s.tx.duck {
		return nil
	}
	s.tx.projected = nil
	if s.tx.level == serializable {
		return s.beginSerial(ctx)
	}
	s.tx.journal.seen(s)
	s.tx.snapshot = s.e.locks.snapshot()
	if _, err := s.run(ctx, "BEGIN TRANSACTION"); err != nil {
		return err
	}
	if _, err := s.ordinary(ctx); err != nil {
		return err
	}
	s.tx.duck = true
	return nil
}

// rollback ends the transaction without effect; what was set in it is as it was before.
func (s *Session) rollback() {
	if s.tx == nil {
		return
	}
	if s.tx.defines {
		defer s.e.ddl.Add(1)
	}
	s.closeCursors(func(c *cursor) bool { return !c.held })
	if s.tx.duck {
		_, _ = s.conn.Exec(context.Background(), "ROLLBACK") // a failed one has rolled back already
		s.keepTempDocs()
	}
	if s.tx.ordinary || s.tx.duck {
		s.forgetTables()
	}
	s.e.locks.release(s, s.tx, false)
	s.endSerial(s.tx)
	if err := s.discardDefinitions(); err != nil { // the next start removes it
		s.e.cfg.Log.Error("removing what a transaction built", "error", err)
	}
	s.restoreSettings(s.tx.before)
	s.tx = nil
}

// commit ends the block: definitions and rows of event tables as one transaction of the log, ordinary tables as one of
// DuckDB. One block writes only one of the two (refuseMixed), but for the owners and privileges of ordinary tables, which
// follow the tables: a crash in between leaves a table to the bootstrap role.
func (s *Session) commit(ctx context.Context) error {
	tx := s.tx
	if tx.defines {
		defer s.e.ddl.Add(1)
	}
	if err := s.holdCursors(); err != nil {
		s.rollback()
		return asError(err)
	}
	if err := s.tableEnds(ctx); err != nil {
		s.rollback()
		return asError(err)
	}
	if len(tx.deferred) > 0 {
		if err := s.checkDeferred(ctx); err != nil {
			s.rollback()
			return asError(err)
		}
	}
	defer func() { s.e.locks.release(s, tx, true) }()
	var changes []reclog.Change
	for _, p := range tx.events {
		if s.catalog().Relations[p.rel.ID] != nil { // not dropped in the same block
			changes = append(changes, p.change())
		}
	}
	if tx.ordinary || len(changes) > 0 {
		defer s.e.writing()()
	}
	if tx.serial != nil && (tx.ordinary || len(changes) > 0 || tx.defs != nil) {
		s.e.changes.gate.Lock()
		err := s.checkSerial()
		if err != nil {
			s.e.changes.gate.Unlock()
			s.rollback()
			return err
		}
		if tx.ordinary || len(changes) > 0 {
			defer s.e.changes.gate.Unlock()
		} else { // definitions may take long, and change no rows
			s.e.changes.gate.Unlock()
		}
	} else if tx.ordinary {
		s.e.changes.gate.RLock()
		defer s.e.changes.gate.RUnlock()
	}
	if tx.ordinary && tx.duck {
		tx.duck = false // it is over, however it ends
		_, err := s.run(ctx, "COMMIT")
		if err == nil {
			s.e.changes.committed(tx.changed)
		}
		if tx.ddl {
			s.e.tablesVersion.Add(1)
		}
		if err != nil {
			s.rollback()
			return asError(err)
		}
	}
	if err := s.publish(ctx, changes); err != nil {
		s.rollback()
		if e := asError(err); e.Code == codeUnique && tx.upserts { // the row came after ON CONFLICT had looked
			return hint(fail(codeConflict, "could not serialize access due to concurrent update"), "Run the transaction again.")
		}
		return asError(err)
	}
	if tx.duck {
		if _, err := s.run(ctx, "COMMIT"); err != nil {
			s.rollback()
			return asError(err)
		}
	}
	s.endSerial(tx)
	s.tx = nil
	if !maps.Equal(s.set, s.kept) { // SET LOCAL ends
		s.set = s.kept
		s.settingsChanged()
	}
	s.notified(tx.notify)
	return nil
}

// change is p as the log takes it.
func (p *pendingRows) change() reclog.Change {
	c := reclog.Change{Source: reclog.SourceID(p.rel.ID), Deletes: p.deletes, Inserts: p.inserts, Key: keyColumns(p.rel), Time: newestColumn(p.rel)}
	if len(p.gone) > 0 {
		c.Inserts = vector.NewChunk(relationTypes(p.rel), p.inserts.N)
		for i := range p.inserts.N {
			if !p.gone[i] {
				c.Inserts.AppendRow(p.inserts, i)
			}
		}
	}
	if c.Inserts != nil && c.Inserts.N == 0 {
		c.Inserts = nil
	}
	c.Inserts = materialize.StoredRows(p.rel, c.Inserts)
	return c
}

func relationTypes(r *schema.Relation) []vector.Type {
	out := make([]vector.Type, len(r.Columns))
	for i, c := range r.Columns {
		out[i] = c.Type
	}
	return out
}

// keyColumns is reclog.Change.Key.
func keyColumns(r *schema.Relation) []int {
	var out []int
	for _, k := range r.PrimaryKey {
		out = append(out, r.PlaceOf(k))
	}
	return out
}

// newestColumn is reclog.Change.Time: relations of which something asks how new their events are.
func newestColumn(r *schema.Relation) int {
	if r.Watermark == nil && r.Retention == 0 {
		return 0
	}
	return 1 + r.PlaceOf(r.EventTime)
}

// pendingOf is what the open block changed of r, or nil.
func (s *Session) pendingOf(r *schema.Relation) *pendingRows {
	if s.tx == nil {
		return nil
	}
	i := slices.IndexFunc(s.tx.events, func(p *pendingRows) bool { return p.rel.ID == r.ID })
	if i < 0 {
		return nil
	}
	p := s.tx.events[i]
	if len(p.rel.Columns) < len(r.Columns) || p.rel.Altered < r.Altered { // others changed the columns since the first of these rows
		if fit, err := materialize.ShownRows(r, materialize.StoredRows(p.rel, p.inserts)); err == nil {
			p.rel, p.inserts = r, fit
		}
	}
	return p
}

// refuseMixed refuses a block that writes event tables or definitions, and ordinary tables: the two have no common commit.
func (s *Session) refuseMixed(event bool) error {
	if s.tx == nil || event && !s.tx.ordinary || !event && len(s.tx.events) == 0 && (s.tx.defs == nil || !s.tx.defs.objects) {
		return nil
	}
	if s.tx.implicit {
		return hint(fail(codeUnsupported, "a transaction cannot write both ordinary tables, and event tables or definitions of features and their kin"),
			"The statements of one query string are one transaction. Send them one by one: psql -f, or a -c for each.")
	}
	return hint(fail(codeUnsupported, "a transaction cannot write both ordinary tables, and event tables or definitions of features and their kin"), "Commit the one before the other: the two are kept in different stores, which have no common commit.")
}

// refuseOwnWrites refuses a read of features in a block that wrote to what their group reads: its relation, or attributes.
func (s *Session) refuseOwnWrites(cat *schema.Catalog, g *schema.Group) error {
	if s.tx == nil || g == nil {
		return nil
	}
	reads := []uint32{g.Relation}
	for _, j := range g.Joins {
		reads = append(reads, j.Relation)
	}
	for _, id := range reads {
		if w := s.wroteTo(cat, cat.Relations[id]); w != nil {
			return hint(fail(codeUnsupported, "this transaction wrote to %q, and its features would not count the rows", w.Name), "Commit first.")
		}
	}
	return nil
}

// write applies a change of an event table: at once outside a block, at COMMIT inside. Row ids below 0 are pending rows.
func (s *Session) write(ctx context.Context, rel *schema.Relation, deletes []int64, inserts *vector.Chunk) error {
	if err := s.refuseMixed(true); err != nil {
		return err
	}
	if err := s.columnsCommitted(rel); err != nil {
		return err
	}
	if s.tx == nil {
		c := reclog.Change{Source: reclog.SourceID(rel.ID), Inserts: materialize.StoredRows(rel, inserts), Key: keyColumns(rel), Time: newestColumn(rel)}
		for _, id := range deletes {
			c.Deletes = append(c.Deletes, uint64(id))
		}
		if inserts != nil && inserts.N == 0 {
			c.Inserts = nil
		}
		if c.Inserts == nil && len(c.Deletes) == 0 {
			return nil
		}
		return s.e.commit(ctx, s.catalog(), []reclog.Change{c})
	}
	p := s.pendingOf(rel)
	if p == nil {
		p = &pendingRows{rel: rel, inserts: vector.NewChunk(relationTypes(rel), 16), gone: map[int]bool{}}
		s.tx.events = append(s.tx.events, p)
	}
	for _, id := range deletes {
		if id < 0 {
			p.gone[int(-1-id)] = true
			p.order = append(p.order, int(-1-id))
		} else {
			p.deletes = append(p.deletes, uint64(id))
		}
	}
	if inserts != nil {
		for i := range inserts.N {
			p.inserts.AppendRow(inserts, i)
		}
	}
	return nil
}
