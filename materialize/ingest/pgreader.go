package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/streams"
)

// A table's state in the log (streams.State) has two partitions. Of the first one Next is the place in PostgreSQL's log up to which
// everything is committed here, 0: the table is to be read as a whole; and Newest the newest time that a version was given. Of the
// second one Next is how often the table was read as a whole, and Newest which table and publication that was (tableID).
const (
	placePartition = iota
	readingsPartition
	tablePartitions
)

// tableReader reads a table of PostgreSQL.
type tableReader struct {
	worker
	pg    *schema.Postgres
	bound int64 // the source's future bound
	bytes int64 // about what the values of a transaction that waits to be committed may take

	asks struct {
		sync.Mutex
		waiting []chan error // who waits for the table to be read as a whole
	}

	// What follows belongs to the goroutine.
	rel, versions *schema.Relation
	types         []typeID // of the source's columns in the table, as it was last looked at
	reads         int64    // tableID of what is read
	note          string   // why the table was read anew
}

func newTableReader(cfg Config, cat *schema.Catalog, r *schema.Relation, turn turn, bytes int64) *tableReader {
	return &tableReader{worker: newWorker(cfg, cat, r, turn), pg: r.Postgres, bound: r.FutureBound, bytes: bytes}
}

func (t *tableReader) fits(cat *schema.Catalog, r *schema.Relation) bool {
	return t.pg == r.Postgres && t.bound == r.FutureBound && t.sameWay(cat, r)
}

// Refresh reads the table of a PostgreSQL source as a whole, and returns when what has changed is committed. Errors: ErrSuspended, ctx's, what
// reading the table fails with.
func (in *Ingest) Refresh(ctx context.Context, r *schema.Relation) error {
	in.mu.Lock()
	t, _ := in.readers[r.ID].(*tableReader)
	in.mu.Unlock()
	if t == nil {
		return ErrSuspended
	}
	done := make(chan error, 1)
	t.asks.Lock()
	t.asks.waiting = append(t.asks.waiting, done)
	t.asks.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
	select {
	case err := <-done:
		return err
	case <-t.ended:
		return ErrSuspended
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// asked takes those who wait for a reading.
func (t *tableReader) asked() []chan error {
	t.asks.Lock()
	defer t.asks.Unlock()
	out := t.asks.waiting
	t.asks.waiting = nil
	return out
}

func (t *tableReader) isAsked() bool {
	t.asks.Lock()
	defer t.asks.Unlock()
	return len(t.asks.waiting) > 0
}

func (t *tableReader) read(ctx context.Context) error {
	cat := t.cfg.Catalog.Current()
	if t.rel = cat.Relations[t.id]; t.rel == nil {
		return errGone
	}
	t.versions = cat.VersionsOf(t.rel)
	if t.connection == nil || t.versions == nil {
		return errors.New("its connection is gone")
	}
	var err error
	if t.state, err = streams.Load(t.cfg.Log, reclog.SourceID(t.id)); err != nil {
		return err
	}
	for len(t.state.Partitions) < tablePartitions {
		t.state.Partitions = append(t.state.Partitions, streams.Partition{Newest: streams.NoEvent})
	}
	if t.pg.Mode == schema.ModeSnapshot {
		return t.keepSnapshots(ctx, cat)
	}
	return t.follow(ctx, cat)
}

// keepSnapshots reads the table as a whole when it is asked to, and as often as the source says.
func (t *tableReader) keepSnapshots(ctx context.Context, cat *schema.Catalog) error {
	due := t.state.Partitions[readingsPartition].Next == 0 || t.pg.RefreshEvery > 0
	for {
		if waiting := t.asked(); due || len(waiting) > 0 {
			err := t.snapshot(ctx, cat)
			for _, w := range waiting {
				w <- err
			}
			if err != nil {
				return err
			}
		}
		var timer <-chan time.Time
		if t.pg.RefreshEvery > 0 {
			timer = time.After(time.Duration(t.pg.RefreshEvery) * time.Microsecond)
		}
		due = false
		select {
		case <-timer:
			due = true
		case <-t.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// snapshot is one reading of a source of snapshots.
func (t *tableReader) snapshot(ctx context.Context, cat *schema.Catalog) error {
	conn, err := connectPG(ctx, cat, t.connection, false)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	table, err := describeTable(ctx, conn, t.pg.Schema, t.pg.Table)
	if err != nil {
		return err
	}
	if err := t.fitsTable(table); err != nil {
		return err
	}
	if err := t.readWhole(ctx, conn, "", 0); err != nil {
		return err
	}
	t.status.state(StateRunning, "", t.cfg.Clock())
	return nil
}

// fitsTable says why a table is not the one that the source was made of.
func (t *tableReader) fitsTable(table *Table) error {
	t.types = t.types[:0]
	for i, c := range t.rel.Columns {
		switch have := table.Column(c.Name); {
		case have == nil:
			return fmt.Errorf("the table has no column %q any more: add it again, or DROP SOURCE %s and CREATE it anew", c.Name, t.name)
		case have.Type != t.pg.Types[i]:
			return fmt.Errorf("column %q of the table is of type %s now, and was %s: DROP SOURCE %s and CREATE it anew", c.Name, have.Type, t.pg.Types[i], t.name)
		default:
			t.types = append(t.types, have.TypeID)
		}
	}
	if t.pg.Mode == schema.ModeSnapshot {
		return nil
	}
	for _, k := range t.rel.PrimaryKey {
		if !slices.Contains(table.IdentityKey, k) {
			return fmt.Errorf("the table's replica identity lacks column %q of the primary key: ALTER TABLE %s REPLICA IDENTITY DEFAULT, or FULL", k, t.pg.Table)
		}
	}
	if table.WALLevel != "logical" {
		return fmt.Errorf("PostgreSQL's wal_level is %s: ALTER SYSTEM SET wal_level = logical, and a restart of PostgreSQL", table.WALLevel)
	}
	return nil
}

// readingBytes and readingRows bound what one transaction of the log takes of a reading of a table.
const (
	readingBytes = 8 << 20 // and no more than a quarter of tableReader.bytes
	readingRows  = 16384
)

// readWhole reads the table as a whole, in a transaction of conn that sees an exported snapshot ("": the newest state), and commits what
// differs from what is known, in parts. The last one notes that the table was read, and that everything up to a place is known.
func (t *tableReader) readWhole(ctx context.Context, conn *pgconn.PgConn, snapshot string, place pglogrepl.LSN) error {
	t.status.state(StateReading, t.note, t.cfg.Clock())
	begin := "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	if snapshot != "" {
		begin += "; SET TRANSACTION SNAPSHOT '" + strings.ReplaceAll(snapshot, "'", "''") + "'"
	}
	if _, err := conn.Exec(ctx, begin).ReadAll(); err != nil {
		return pgError(err)
	}
	columns := make([]string, len(t.rel.Columns))
	for i, c := range t.rel.Columns {
		columns[i] = quotePG(c.Name)
	}
	only := "" // the children of a table are tables of their own, the partitions of one are not
	if t.pg.Mode == schema.ModeCDC {
		only = "ONLY "
	}
	r := &reading{t: t, known: t.nextKnown(), initial: t.state.Partitions[readingsPartition].Next == 0, from: t.cfg.Log.Position(), found: map[uint64]uint64{}, unmet: t.state.Live}
	r.begin()
	sql := fmt.Sprintf("SELECT %s FROM %s%s.%s", strings.Join(columns, ", "), only, quotePG(t.pg.Schema), quotePG(t.pg.Table))
	if only != "" {
		if kind, err := ask(ctx, conn, "SELECT relkind FROM pg_class WHERE oid = $1::text::regclass", quotePG(t.pg.Schema)+"."+quotePG(t.pg.Table)); err == nil && len(kind) == 1 && kind[0][0] == "p" {
			sql = strings.Replace(sql, only, "", 1)
		}
	}
	res := conn.ExecParams(ctx, sql, nil, nil, nil, nil)
	for res.NextRow() {
		if err := r.add(ctx, res.Values()); err != nil {
			return err
		}
	}
	if _, err := res.Close(); err != nil {
		return pgError(err)
	}
	return r.finish(ctx, place)
}

// nextKnown is the time of versions that become known now: later than all others.
func (t *tableReader) nextKnown() int64 {
	now := t.cfg.Clock().UnixMicro()
	if last := t.state.Partitions[placePartition].Newest; last != streams.NoEvent && now <= last {
		now = last + 1
	}
	return now
}

// reading is a reading of a table as a whole.
type reading struct {
	t       *tableReader
	batch   *tableBatch
	known   int64
	initial bool
	from    uint64            // the position at which it began
	found   map[uint64]uint64 // 64 rows of the log each, by id: a bit where the table has the row
	unmet   int64             // rows of the log that the table may not have
}

func (r *reading) begin() {
	r.batch = newTableBatch(r.t.rel, r.t.versions)
	r.batch.txns = []tableTxn{{committed: streams.NoEvent, known: r.known, initial: r.initial}}
}

// seen notes that the table has a row of the log, and says whether that was noted before.
func (r *reading) seen(id uint64) bool {
	word, bit := id/64, uint64(1)<<(id%64)
	have := r.found[word]&bit != 0
	if r.found[word] |= bit; !have {
		r.unmet--
	}
	return have
}

func (r *reading) add(ctx context.Context, values [][]byte) error {
	b := r.batch
	n := b.rows.N
	for i, v := range b.rows.Cols {
		if err := r.t.append(v, i, values[i]); err != nil {
			b.cutTo(n, b.gone.N)
			return err
		}
		b.bytes += len(values[i]) + 8
	}
	if err := b.checkRow(n, r.t.cfg.Clock().UnixMicro()); err != nil {
		return err
	}
	b.rows.N++
	b.changes++
	b.last().changes = append(b.last().changes, rowChange{kind: rowFound, row: n, gone: -1})
	if b.rows.N < readingRows && int64(b.bytes) < min(readingBytes, r.t.bytes/4) {
		return nil
	}
	err := r.t.commit(ctx, b, r.t.state.Clone(), r.seen)
	r.begin()
	return err
}

// finish commits the rest, and the ends of the rows that the table does not have any more.
func (r *reading) finish(ctx context.Context, place pglogrepl.LSN) error {
	t := r.t
	if r.batch.changes > 0 {
		if err := t.commit(ctx, r.batch, t.state.Clone(), r.seen); err != nil {
			return err
		}
		r.begin()
	}
	if r.unmet == 0 {
		return r.done(ctx, place)
	}
	err := t.cfg.Live(ctx, t.rel, r.from, func(rows *vector.Chunk, ids []int64) error {
		for i, id := range ids {
			if r.found[uint64(id)/64]&(1<<(uint64(id)%64)) != 0 {
				continue
			}
			b := r.batch
			for k, at := range b.key {
				b.gone.Cols[k].AppendFrom(rows.Cols[at], i)
			}
			b.gone.N++
			b.changes++
			b.last().changes = append(b.last().changes, rowChange{kind: rowGone, row: -1, gone: b.gone.N - 1})
			if b.gone.N == readingRows {
				if err := t.commit(ctx, b, t.state.Clone(), nil); err != nil {
					return err
				}
				r.begin()
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.done(ctx, place)
}

// done commits the rest, and that the table was read.
func (r *reading) done(ctx context.Context, place pglogrepl.LSN) error {
	next := r.t.state.Clone()
	next.Partitions[placePartition].Next = int64(place)
	next.Partitions[readingsPartition].Next++
	next.Partitions[readingsPartition].Newest = r.t.reads
	return r.t.commit(ctx, r.batch, next, nil)
}

// append appends the value of column i as PostgreSQL writes it; nil is NULL.
func (t *tableReader) append(v *vector.Vector, i int, text []byte) error {
	if text == nil {
		v.AppendNull()
		return nil
	}
	if err := t.cfg.Text(v, t.rel.Columns[i].Bare, text); err != nil {
		return fmt.Errorf("a value of column %q cannot be taken: %w", t.rel.Columns[i].Name, err)
	}
	return nil
}

// commit commits a batch and the state after it, which it counts, and tries again while the disk is full.
func (t *tableReader) commit(ctx context.Context, b *tableBatch, next *streams.State, seen func(id uint64) bool) error {
	for {
		once, span := t.commitSpan(ctx, b)
		err := t.commitOnce(once, b, next.Clone(), seen)
		endCommit(span, err)
		if !errors.Is(err, reclog.ErrDiskFull) {
			return err
		}
		t.fail(err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *tableReader) commitOnce(ctx context.Context, b *tableBatch, next *streams.State, seen func(id uint64) bool) error {
	cat := t.cfg.Catalog.Current()
	if r := cat.Relations[t.id]; r == nil || r.Suspended {
		return errGone
	}
	out := &streams.Batch{Source: reclog.SourceID(t.id), State: next}
	var changes []reclog.Change
	if b != nil {
		var err error
		changes, err = b.resolve(ctx, t.cfg.Log, func(emit func(rows *vector.Chunk, ids []int64) error) error {
			return t.cfg.Live(ctx, t.rel, t.cfg.Log.Position(), emit)
		}, seen)
		if err != nil {
			return err
		}
		newest := &next.Partitions[placePartition].Newest
		for _, txn := range b.txns {
			*newest = max(*newest, txn.known)
		}
		next.Good += int64(b.changes)
		for i := range changes {
			if c := &changes[i]; c.Source == out.Source {
				next.Live -= int64(len(c.Deletes))
				if c.Inserts != nil {
					next.Live += int64(c.Inserts.N)
				}
			}
		}
		t.cfg.Assigned(*newest)
	}
	if err := out.Seal(t.cfg.Log, t.cfg.LetterBytes); err != nil {
		return err
	}
	_, err := t.cfg.Log.Commit(ctx, &reclog.Txn{Changes: changes, Extra: func(w *pebble.Batch, pos uint64) error {
		if now := t.cfg.Catalog.Current().Relations[t.id]; now == nil || now.Suspended {
			return errGone
		}
		return out.Extra(t.cfg.Log, w, pos)
	}})
	if err != nil {
		if why := t.cfg.OfRow(cat, changes, err); why != nil {
			return fmt.Errorf("a row cannot be taken: %w", why)
		}
		return err
	}
	t.state, t.progress = out.State, true
	now := t.cfg.Clock()
	t.status.set(func(s *Status) {
		if b != nil && b.changes > 0 {
			s.LastCommit = now
			t.observe(b, now)
		}
		p := s.partition(placePartition)
		p.Next = t.state.Partitions[placePartition].Next
		if p.End >= 0 {
			p.End = max(p.End, p.Next)
		}
	})
	return nil
}

// observe tells how long transactions took from their commit in PostgreSQL on.
func (t *tableReader) observe(b *tableBatch, now time.Time) {
	if t.cfg.Freshness == nil {
		return
	}
	to := t.cfg.Freshness.WithLabelValues(t.name)
	for i := range b.txns {
		if at := b.txns[i].committed; at != streams.NoEvent {
			for range b.txns[i].changes {
				to.Observe(max(0, float64(now.UnixMicro()-at)/1e6))
			}
		}
	}
}
