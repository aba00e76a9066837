package engine

import (
	"context"
	"maps"
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// DuckDB knows no savepoints. What a transaction does elsewhere can be cut back: rows of event tables and definitions are kept by
// the session until COMMIT. What it did in DuckDB is done again: its transaction is rolled back, and the statements up to the
// savepoint run anew (journal). That gives the same rows because nothing else has changed since, or is refused.

// savepoint is what a transaction was when SAVEPOINT ran.
type savepoint struct {
	name     string
	level    string
	readOnly bool
	ordinary bool
	settings settingState
	events   []pendingMark
	steps    int // of definitions; -1: there were none
	journal  int
	notify   int
	cursors  int // of the session's count of cursors
}

// pendingMark is how far the pending rows of an event table were.
type pendingMark struct {
	rows                 *pendingRows
	inserts              *vector.Chunk
	n, deletes, goneRows int
}

// maxSavepoints bounds the savepoints of a transaction.
const maxSavepoints = 100_000

func (s *Session) setSavepoint(name string) error {
	tx := s.tx
	if len(tx.savepoint) >= maxSavepoints {
		return fail("54000", "too many savepoints: the limit is %d", maxSavepoints)
	}
	sp := &savepoint{name: name, level: tx.level, readOnly: tx.readOnly, ordinary: tx.ordinary, settings: s.settingState, steps: -1,
		journal: len(tx.journal.entries), notify: len(tx.notify.sent), cursors: s.cursorsMade}
	for _, p := range tx.events {
		sp.events = append(sp.events, pendingMark{p, p.inserts, p.inserts.N, len(p.deletes), len(p.order)})
	}
	if tx.defs != nil {
		sp.steps = len(tx.defs.steps)
	}
	tx.savepoint = append(tx.savepoint, sp)
	return nil
}

// findSavepoint is the number of the newest savepoint of a name.
func (s *Session) findSavepoint(name string) (int, error) {
	for i := len(s.tx.savepoint) - 1; i >= 0; i-- {
		if s.tx.savepoint[i].name == name {
			return i, nil
		}
	}
	return 0, fail("3B001", "savepoint %q does not exist", name)
}

func (s *Session) releaseSavepoint(name string) error {
	i, err := s.findSavepoint(name)
	if err != nil {
		return err
	}
	s.tx.savepoint = s.tx.savepoint[:i]
	return nil
}

// rollbackTo is ROLLBACK TO SAVEPOINT: the savepoint stays.
func (s *Session) rollbackTo(ctx context.Context, name string) error {
	i, err := s.findSavepoint(name)
	if err != nil {
		return err
	}
	tx, sp := s.tx, s.tx.savepoint[i]
	for _, m := range sp.events {
		if m.rows.inserts != m.inserts {
			return fail(codeUnsupported, "cannot roll back to savepoint %q: table %q was altered since", name, m.rows.rel.Name)
		}
	}
	s.closeCursors(func(c *cursor) bool { return c.number > sp.cursors })
	if err := s.restoreDuck(ctx, sp); err != nil {
		return err
	}
	if err := s.restoreDefinitions(sp.steps); err != nil {
		return err
	}
	tx.events = tx.events[:len(sp.events)]
	for k, m := range sp.events {
		tx.events[k] = m.rows
		m.restore()
	}
	tx.savepoint = tx.savepoint[:i+1]
	maps.DeleteFunc(tx.fresh, func(_ uint64, depth int) bool { return depth > i })
	tx.notify.sent = tx.notify.sent[:sp.notify]
	tx.level, tx.readOnly, tx.ordinary, tx.failed = sp.level, sp.readOnly, sp.ordinary, false
	s.restoreSettings(sp.settings)
	return nil
}

// restore cuts pending rows back: rows inserted since stay in the chunk and are gone.
func (m pendingMark) restore() {
	p := m.rows
	for _, row := range p.order[m.goneRows:] {
		delete(p.gone, row)
	}
	p.order = p.order[:m.goneRows]
	for row := m.n; row < p.inserts.N; row++ {
		p.gone[row] = true
	}
	p.deletes = p.deletes[:m.deletes]
}

// restoreDefinitions forgets the definitions since a savepoint; steps is how many there were, -1 none.
func (s *Session) restoreDefinitions(steps int) error {
	d := s.tx.defs
	if d == nil || len(d.steps) == steps {
		return nil
	}
	if steps < 0 {
		return s.discardDefinitions()
	}
	d.steps = d.steps[:steps]
	now := s.e.catalog.Current()
	next := now.Clone().Index()
	if err := d.apply(next); err != nil {
		return s.overtaken(err)
	}
	d.base, d.cat = now, next.Index()
	return nil
}

// journal is what a transaction wrote to DuckDB, to be done again.
type journal struct {
	entries  []journalEntry
	bytes    int
	lost     string // why entries are missing; "": none are
	partial  bool   // a statement failed that may have left writes which no entry says
	finished int64  // the engine's writes, before DuckDB's transaction began
	position uint64 // of the log, then
}

// journalEntry is a statement that wrote.
type journalEntry struct {
	sql      string
	volatile string // what makes it give other rows when it is run again; "": nothing
	run      func(ctx context.Context) (session.Result, error)
}

// Bounds of a journal. Beyond them the transaction goes on, but cannot go back to a savepoint where that needs the journal.
const (
	maxJournalEntries = 100_000
	maxJournalBytes   = 64 << 20
)

// seen notes the state of the engine that DuckDB's transaction is about to see.
func (j *journal) seen(s *Session) {
	if len(j.entries) == 0 {
		j.finished, j.position = s.e.writesFinished.Load(), s.e.log.Position()
	}
}

// note records a statement that wrote to DuckDB.
func (j *journal) note(e journalEntry, args []*vector.Vector) {
	j.bytes += len(e.sql)
	for _, a := range args {
		j.bytes += a.MemBytes()
	}
	if j.bytes > maxJournalBytes || len(j.entries) >= maxJournalEntries {
		j.lost = "it has written too much"
		e.run = nil
	}
	j.entries = append(j.entries, e)
}

// noteCopy records a COPY … FROM STDIN with the rows that it will be given.
func (j *journal) noteCopy(sql string, in *copyIn, again func(ctx context.Context) (session.Result, error)) {
	var rows []*vector.Chunk
	at := len(j.entries)
	add := in.add
	in.add = func(ch *vector.Chunk) error {
		if j.lost == "" {
			keep := &vector.Chunk{N: ch.N}
			for _, c := range ch.Cols {
				v := vector.New(c.Type, 0)
				v.AppendRange(c, 0, ch.N)
				keep.Cols = append(keep.Cols, v)
				j.bytes += v.MemBytes()
			}
			rows = append(rows, keep)
			if j.bytes > maxJournalBytes {
				rows, j.lost = nil, "it has written too much"
				if at < len(j.entries) {
					j.entries[at].run = nil
				}
			}
		}
		return add(ch)
	}
	j.note(journalEntry{sql: sql, run: func(ctx context.Context) (session.Result, error) {
		r, err := again(ctx)
		if err != nil {
			return nil, err
		}
		in := r.CopyIn()
		for _, ch := range rows {
			if err := in.Add(ch); err != nil {
				_, _ = in.Finish(err)
				return nil, err
			}
		}
		_, err = in.Finish(nil)
		return noRows{}, err
	}}, nil)
}

// writing counts a change of tables by this engine from its call to that of the function it returns: between the two it may take
// effect at any moment.
func (e *Engine) writing() func() {
	e.writesStarted.Add(1)
	return func() { e.writesFinished.Add(1) }
}

// restoreDuck makes DuckDB's transaction what it was at a savepoint.
func (s *Session) restoreDuck(ctx context.Context, sp *savepoint) error {
	tx := s.tx
	if !tx.duck {
		return nil
	}
	j := &tx.journal
	if len(j.entries) == sp.journal && !j.partial {
		if _, err := s.conn.Exec(ctx, "SELECT 1"); err == nil { // no statement since wrote, and none made DuckDB give up
			return nil
		}
	}
	again := slices.Clone(j.entries[:sp.journal])
	for _, e := range again {
		switch {
		case e.run == nil && j.lost != "":
			return hint(fail(codeUnsupported, "cannot roll back to savepoint %q: %s", sp.name, j.lost), "Only ROLLBACK is possible. What a transaction wrote to ordinary tables before a savepoint is written again on the way back to it, up to %d statements and %d MB.", maxJournalEntries, maxJournalBytes>>20)
		case e.volatile != "":
			return hint(fail(codeUnsupported, "cannot roll back to savepoint %q: the transaction wrote values of %s before it", sp.name, e.volatile), "Only ROLLBACK is possible. What a transaction wrote to ordinary tables before a savepoint is written again on the way back to it, and would be other values.")
		}
	}
	snapshot := len(again) > 0 || tx.level == "repeatable read" || tx.level == serializable
	finished, position := j.finished, j.position
	_, _ = s.conn.Exec(context.WithoutCancel(ctx), "ROLLBACK") // one that was aborted has rolled back already
	s.keepTempDocs()
	tx.duck, tx.ordinary, tx.now = false, false, 0
	s.forgetTables()
	*j = journal{}
	if err := s.beginDuck(ctx); err != nil {
		return err
	}
	if snapshot && (s.e.writesStarted.Load() != finished || s.e.log.Position() != position) {
		return hint(fail(codeConflict, "could not serialize access: other transactions committed since, and savepoint %q cannot be restored", sp.name), "Run the transaction again.")
	}
	j.finished, j.position = finished, position
	for _, e := range again {
		r, err := e.run(ctx)
		if err == nil {
			err = drain(r)
		}
		if err != nil {
			return err
		}
		j.entries = append(j.entries, e)
		j.bytes += len(e.sql)
	}
	return nil
}

// writesOrdinary notes that the open transaction is about to write ordinary tables with DuckDB.
func (s *Session) writesOrdinary() {
	if s.tx == nil {
		return
	}
	s.tx.ordinary = true
	s.tx.writes++
}

// keepTempDocs makes the table of temporary objects again where the transaction that was rolled back had made it.
func (s *Session) keepTempDocs() {
	if s.tempDocs {
		_, err := s.conn.Exec(context.Background(), "CREATE TEMP TABLE IF NOT EXISTS __tilehouse_objects"+documentColumns)
		s.tempDocs = err == nil
	}
}

// drain reads a result to its end.
func drain(r session.Result) error {
	defer r.Close()
	for {
		ch, err := r.Next()
		if err != nil || ch == nil {
			return err
		}
	}
}

// volatileIn is what a statement's text has that gives another value each time; now() is not, which is the transaction's time.
func volatileIn(st parse.Statement) string {
	sql, ok := st.(*parse.SQL)
	if !ok {
		return ""
	}
	for _, name := range parse.Volatiles(sql.Node) {
		switch name {
		case "now()", "transaction_timestamp()", "CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_USER", "current_database()", "current_schema()", "pg_backend_pid()", "version()", "current_setting()":
		default:
			return name
		}
	}
	return ""
}
