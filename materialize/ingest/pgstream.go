package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tilehouse/tilehouse/storage/schema"
)

const (
	// linger is how long transactions wait for others to be committed with them.
	linger = 2 * time.Millisecond
	// batchChanges and batchBytes bound the transactions of PostgreSQL's that become one of the log; a single one may be larger.
	batchChanges    = 4096
	batchValueBytes = 4 << 20
	// confirmEvery is how often PostgreSQL is told how far its log is committed here, at least.
	confirmEvery = 5 * time.Second
	// idleEvery is how often a place at which nothing was changed is noted in the log of record.
	idleEvery = 10 * time.Second
	// silence is how long PostgreSQL may say nothing.
	silence = time.Minute
	// checkEvery is how often the table and its publication are looked at.
	checkEvery = 10 * time.Second
)

// errLost: something between what is known and the newest state was lost; the table is to be read as a whole.
var errLost = errors.New("it is read anew")

// follow reads the table as a whole where that was not done yet, and then the transactions that change it.
func (t *tableReader) follow(ctx context.Context, cat *schema.Catalog) (err error) {
	var waiting []chan error
	defer func() {
		for _, w := range waiting {
			w <- err
		}
	}()
	table, published, err := DescribeTable(ctx, cat, t.connection, t.pg)
	if err != nil {
		waiting = t.asked()
		return err
	}
	if err := t.fitsTable(table); err != nil {
		waiting = t.asked()
		return err
	}
	conn, err := connectPG(ctx, cat, t.connection, true)
	if err != nil {
		waiting = t.asked()
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	system, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return pgError(err)
	}
	if t.pg.System != "" && system.SystemID != t.pg.System {
		return fmt.Errorf("another cluster of PostgreSQL answers (system identifier %s, not %s): DROP SOURCE %s and CREATE it anew to read that one", system.SystemID, t.pg.System, t.name)
	}
	if why := t.other(table, published); why != "" && t.place() != 0 {
		return t.lost(ctx, why)
	}
	if t.place() != 0 {
		if err := t.checkSlot(ctx, conn); err != nil {
			return err
		}
	}
	waiting = t.asked()
	if t.place() == 0 || len(waiting) > 0 {
		if err := t.begin(ctx, cat, conn, published); err != nil {
			return err
		}
		for _, w := range waiting {
			w <- nil
		}
		waiting = nil
	}
	if err := pglogrepl.StartReplication(ctx, conn, t.pg.Slot, t.place(), pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication,
		PluginArgs: []string{"proto_version '1'", fmt.Sprintf("publication_names '%s'", quotePG(t.pg.Publish))}}); err != nil {
		return pgError(err)
	}
	t.status.state(StateRunning, t.note, t.cfg.Clock())
	s := &tableStream{tableReader: t, conn: conn, end: t.place(), confirmed: t.place(), heard: time.Now(), checked: time.Now(), idled: time.Now()}
	return s.run(ctx, cat)
}

// tableID is a table and its place in a publication, as PostgreSQL numbers them.
func tableID(table *Table, p *Publication) int64 { return int64(table.OID)<<32 | int64(p.ID) }

// other says why changes of the table may not have come, "": they have.
func (t *tableReader) other(table *Table, p *Publication) string {
	if why := p.Flaw(t.pg.Publish, t.columnNames()); why != "" {
		return why
	}
	switch known := t.state.Partitions[readingsPartition].Newest; {
	case known>>32 != int64(table.OID):
		return "the table was dropped and made anew"
	case known != tableID(table, p):
		return fmt.Sprintf("the table was taken out of publication %q for a while", t.pg.Publish)
	}
	return ""
}

// place is up to where PostgreSQL's log is committed here; 0: the table is to be read as a whole.
func (t *tableReader) place() pglogrepl.LSN {
	return pglogrepl.LSN(t.state.Partitions[placePartition].Next)
}

func (t *tableReader) columnNames() []string {
	out := make([]string, len(t.rel.Columns))
	for i, c := range t.rel.Columns {
		out[i] = c.Name
	}
	return out
}

// lost notes that the table is to be read as a whole, because of why.
func (t *tableReader) lost(ctx context.Context, why string) error {
	t.note = why + ": the table was read anew, and what it went through meanwhile is not known"
	next := t.state.Clone()
	next.Partitions[placePartition].Next = 0
	if err := t.commit(ctx, nil, next, nil); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", why, errLost)
}

// checkSlot looks whether the replication slot is the one that was left.
func (t *tableReader) checkSlot(ctx context.Context, conn *pgconn.PgConn) error {
	rows, err := conn.Exec(ctx, fmt.Sprintf("SELECT confirmed_flush_lsn, wal_status FROM pg_replication_slots WHERE slot_name = '%s'", t.pg.Slot)).ReadAll()
	if err != nil {
		return pgError(err)
	}
	if len(rows) != 1 || len(rows[0].Rows) != 1 {
		return t.lost(ctx, fmt.Sprintf("replication slot %q is gone", t.pg.Slot))
	}
	row := rows[0].Rows[0]
	if string(row[1]) == "lost" {
		return t.lost(ctx, fmt.Sprintf("replication slot %q is invalid: PostgreSQL's max_slot_wal_keep_size was exceeded", t.pg.Slot))
	}
	if at, err := pglogrepl.ParseLSN(string(row[0])); err == nil && at > t.place() {
		return t.lost(ctx, fmt.Sprintf("replication slot %q was read further, or made anew, by somebody else", t.pg.Slot))
	}
	return nil
}

// begin makes the slot and reads the table as it was at the slot's beginning.
func (t *tableReader) begin(ctx context.Context, cat *schema.Catalog, conn *pgconn.PgConn, published *Publication) error {
	if t.place() != 0 { // from here on the slot is not the one that was left
		next := t.state.Clone()
		next.Partitions[placePartition].Next = 0
		if err := t.commit(ctx, nil, next, nil); err != nil {
			return err
		}
	}
	if !published.Exists && t.pg.OwnPublish {
		sql := fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s.%s WITH (publish_via_partition_root = true)", quotePG(t.pg.Publish), quotePG(t.pg.Schema), quotePG(t.pg.Table))
		if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
			return pgError(err)
		}
	} else if why := published.Flaw(t.pg.Publish, t.columnNames()); why != "" {
		return errors.New(why)
	}
	table, published, err := DescribeTable(ctx, cat, t.connection, t.pg)
	if err != nil {
		return err
	}
	t.reads = tableID(table, published)
	if err := dropSlot(ctx, conn, t.pg.Slot); err != nil {
		return err
	}
	t.status.state(StateReading, "PostgreSQL makes a replication slot, for which it waits until transactions that are open end", t.cfg.Clock())
	slot, err := pglogrepl.CreateReplicationSlot(ctx, conn, t.pg.Slot, "pgoutput", pglogrepl.CreateReplicationSlotOptions{Mode: pglogrepl.LogicalReplication, SnapshotAction: "EXPORT_SNAPSHOT"})
	if err != nil {
		return pgError(err)
	}
	at, err := pglogrepl.ParseLSN(slot.ConsistentPoint)
	if err != nil {
		return err
	}
	rows, err := connectPG(ctx, cat, t.connection, false)
	if err != nil {
		return err
	}
	defer rows.Close(context.WithoutCancel(ctx))
	return t.readWhole(ctx, rows, slot.SnapshotName, at)
}

// tableStream is the transactions that change a table.
type tableStream struct {
	*tableReader
	conn *pgconn.PgConn

	relation *pglogrepl.RelationMessage // the table as its changes have it; nil: none came
	columns  []int                      // of the source's columns, in the relation's
	keyed    bool                       // changes say the primary key of the row before where it is another one
	batch    *tableBatch
	open     bool          // the batch's last transaction goes on
	next     pglogrepl.LSN // after the batch
	end      pglogrepl.LSN // up to where nothing is missing
	before   int           // bytes of the batch before the open transaction

	confirmed                   pglogrepl.LSN
	told, heard, checked, idled time.Time
}

func (s *tableStream) run(ctx context.Context, cat *schema.Catalog) error {
	s.batch = newTableBatch(s.rel, s.versions)
	for {
		if s.isAsked() {
			return nil
		}
		wait := tick
		if !s.batch.empty() && !s.open {
			wait = linger
		}
		waiting, cancel := context.WithTimeout(ctx, wait)
		msg, err := s.conn.ReceiveMessage(waiting)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && pgconn.Timeout(err):
			if !s.open {
				if err := s.flush(ctx); err != nil {
					return err
				}
			}
		case err != nil:
			return pgError(err)
		default:
			s.heard = time.Now()
			if err := s.take(ctx, msg); err != nil {
				return err
			}
		}
		if err := s.keep(ctx, cat); err != nil {
			return err
		}
	}
}

// take takes a message of PostgreSQL's.
func (s *tableStream) take(ctx context.Context, msg pgproto3.BackendMessage) error {
	switch msg := msg.(type) {
	case *pgproto3.ErrorResponse:
		return pgError(pgconn.ErrorResponseToPgError(msg))
	case *pgproto3.CopyDone:
		return errors.New("PostgreSQL ended the replication")
	case *pgproto3.CopyData:
		if len(msg.Data) == 0 {
			return errors.New("an empty message of replication")
		}
		switch msg.Data[0] {
		case pglogrepl.PrimaryKeepaliveMessageByteID:
			k, err := pglogrepl.ParsePrimaryKeepaliveMessage(msg.Data[1:])
			if err != nil {
				return err
			}
			s.ends(k.ServerWALEnd)
			if !s.open {
				if err := s.flush(ctx); err != nil {
					return err
				}
				s.end = max(s.end, k.ServerWALEnd)
				s.whole()
			}
			if k.ReplyRequested {
				return s.confirm()
			}
		case pglogrepl.XLogDataByteID:
			x, err := pglogrepl.ParseXLogData(msg.Data[1:])
			if err != nil {
				return err
			}
			s.ends(x.ServerWALEnd)
			s.came(x.WALStart)
			return s.change(ctx, x.WALData)
		}
	}
	return nil
}

// ends notes how far PostgreSQL's log goes.
func (s *tableStream) ends(at pglogrepl.LSN) {
	s.status.set(func(st *Status) {
		p := st.partition(placePartition)
		p.End = max(p.End, int64(at))
		p.Next = s.state.Partitions[placePartition].Next
	})
}

// keep does what is due at times.
func (s *tableStream) keep(ctx context.Context, cat *schema.Catalog) error {
	now := time.Now()
	if now.Sub(s.heard) > silence {
		return fmt.Errorf("%w: nothing came for %s", ErrNoServer, silence)
	}
	if !s.open && s.batch.empty() && s.end > s.place() && now.Sub(s.idled) >= idleEvery {
		s.idled = now
		next := s.state.Clone()
		next.Partitions[placePartition].Next = int64(s.end)
		if err := s.commit(ctx, nil, next, nil); err != nil {
			return err
		}
		if err := s.confirm(); err != nil {
			return err
		}
	}
	if now.Sub(s.told) >= confirmEvery {
		if err := s.confirm(); err != nil {
			return err
		}
	}
	if now.Sub(s.checked) < checkEvery || s.open {
		return nil
	}
	s.checked = now
	table, published, err := DescribeTable(ctx, cat, s.connection, s.pg)
	if err != nil {
		return err
	}
	if err := s.fitsTable(table); err != nil {
		return err
	}
	if why := s.other(table, published); why != "" {
		return s.lost(ctx, why)
	}
	return nil
}

// confirm tells PostgreSQL how far its log is committed here, which it then keeps no longer.
func (s *tableStream) confirm() error {
	s.told = time.Now()
	at := s.place()
	return pglogrepl.SendStandbyStatusUpdate(context.Background(), s.conn, pglogrepl.StandbyStatusUpdate{WALWritePosition: at, WALFlushPosition: at, WALApplyPosition: at, ReplyRequested: time.Since(s.heard) > silence/3})
}

// flush commits the transactions that came as a whole.
func (s *tableStream) flush(ctx context.Context) error {
	if s.batch.empty() {
		return nil
	}
	next := s.state.Clone()
	next.Partitions[placePartition].Next = int64(s.next)
	if err := s.commit(ctx, s.batch, next, nil); err != nil {
		return err
	}
	s.end = max(s.end, s.next)
	s.batch = newTableBatch(s.rel, s.versions)
	return s.confirm()
}

// change takes a message of the output plugin.
func (s *tableStream) change(ctx context.Context, data []byte) error {
	msg, err := decode(data)
	if err != nil {
		return err
	}
	switch m := msg.(type) {
	case *pglogrepl.RelationMessage:
		return s.shape(m)
	case *pglogrepl.BeginMessage:
		s.open, s.before = true, s.batch.bytes
		known := s.nextKnown()
		if !s.batch.empty() {
			known = max(known, s.batch.last().known+1)
		}
		s.batch.txns = append(s.batch.txns, tableTxn{committed: m.CommitTime.UnixMicro(), known: known})
	case *pglogrepl.CommitMessage:
		s.open = false
		b := s.batch
		if n := len(b.last().changes); n == 0 || m.TransactionEndLSN <= s.place() { // none of the table, or it is committed already
			b.changes -= n
			b.txns = b.txns[:len(b.txns)-1]
			if b.empty() {
				s.end = max(s.end, m.TransactionEndLSN)
			}
			return nil
		}
		s.next = m.TransactionEndLSN
		if b.changes >= batchChanges || b.bytes >= batchValueBytes {
			return s.flush(ctx)
		}
	case *pglogrepl.InsertMessage:
		return s.put(m.RelationID, nil, m.Tuple)
	case *pglogrepl.UpdateMessage:
		if s.relation != nil && m.RelationID == s.relation.RelationID && !s.keyed {
			return s.noKey(s.rel.PrimaryKey[0])
		}
		return s.put(m.RelationID, m.OldTuple, m.NewTuple)
	case *pglogrepl.DeleteMessage:
		return s.gone(m.RelationID, m.OldTuple)
	case *pglogrepl.TruncateMessage:
		if s.relation != nil && slices.Contains(m.RelationIDs, s.relation.RelationID) {
			s.add(rowChange{kind: allGone, row: -1, gone: -1})
		}
	}
	return nil
}

// decode reads a message of the output plugin; the library's decoder does not look for the end of all that it reads.
func decode(data []byte) (m pglogrepl.Message, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a message of replication is cut short: %v", r)
		}
	}()
	return pglogrepl.Parse(data)
}

// wide refuses a row that has other columns than the table's.
func (s *tableStream) wide(row *pglogrepl.TupleData) error {
	if row == nil || len(row.Columns) != len(s.relation.Columns) {
		return errors.New("a row of replication has other columns than its table")
	}
	return nil
}

// shape notes what the table's changes look like from here on.
func (s *tableStream) shape(m *pglogrepl.RelationMessage) error {
	if int64(m.RelationID) != s.state.Partitions[readingsPartition].Newest>>32 { // whatever it was called then
		return nil // of a publication with other tables; one that has the name now is found by keep
	}
	s.relation, s.columns = m, s.columns[:0]
	for _, c := range s.rel.Columns {
		at := slices.IndexFunc(m.Columns, func(of *pglogrepl.RelationMessageColumn) bool { return of.Name == c.Name })
		if at < 0 {
			return fmt.Errorf("the table has no column %q any more: DROP SOURCE %s and CREATE it anew", c.Name, s.name)
		}
		if id := (typeID{m.Columns[at].DataType, m.Columns[at].TypeModifier}); id != s.types[len(s.columns)] {
			return fmt.Errorf("column %q of the table has got another type: DROP SOURCE %s and CREATE it anew", c.Name, s.name)
		}
		s.columns = append(s.columns, at)
	}
	s.keyed = true
	for _, k := range s.rel.PrimaryKey {
		s.keyed = s.keyed && (m.ReplicaIdentity == 'f' || m.Columns[s.columns[s.rel.ColumnIndex(k)]].Flags&1 != 0)
	}
	return nil
}

// add adds a change to the open transaction.
func (s *tableStream) add(c rowChange) {
	t := s.batch.last()
	t.changes = append(t.changes, c)
	s.batch.changes++
}

// put takes a row that came, or changed. old is what PostgreSQL says of the row before, nil: nothing, the primary key is the same.
func (s *tableStream) put(relation uint32, old, row *pglogrepl.TupleData) error {
	if s.relation == nil || relation != s.relation.RelationID {
		return nil
	}
	if err := s.wide(row); err != nil {
		return err
	}
	b := s.batch
	c := rowChange{kind: rowPut, row: b.rows.N, gone: -1}
	for i, v := range b.rows.Cols {
		d := row.Columns[s.columns[i]]
		switch d.DataType {
		case pglogrepl.TupleDataTypeToast:
			v.AppendNull()
			c.unchanged = append(c.unchanged, i)
		case pglogrepl.TupleDataTypeNull:
			v.AppendNull()
		default:
			if err := s.append(v, i, bytesOf(d)); err != nil {
				return err
			}
			b.bytes += len(d.Data)
		}
		b.bytes += 8
	}
	if err := b.checkRow(b.rows.N, s.cfg.Clock().UnixMicro()); err != nil {
		return err
	}
	b.rows.N++
	if old != nil {
		if err := s.key(old); err != nil {
			return err
		}
		c.gone = b.gone.N - 1
	}
	s.add(c)
	return s.fitsMemory()
}

func (s *tableStream) gone(relation uint32, old *pglogrepl.TupleData) error {
	if s.relation == nil || relation != s.relation.RelationID {
		return nil
	}
	if err := s.key(old); err != nil {
		return err
	}
	s.add(rowChange{kind: rowGone, row: -1, gone: s.batch.gone.N - 1})
	return s.fitsMemory()
}

// key appends the primary key of an old row.
func (s *tableStream) key(old *pglogrepl.TupleData) error {
	if err := s.wide(old); err != nil {
		return err
	}
	b := s.batch
	for k, i := range b.key {
		d := old.Columns[s.columns[i]]
		if d.DataType != pglogrepl.TupleDataTypeText {
			return s.noKey(s.rel.PrimaryKey[k])
		}
		if err := s.append(b.gone.Cols[k], i, bytesOf(d)); err != nil {
			return err
		}
	}
	b.gone.N++
	b.bytes += 16
	return nil
}

func (s *tableStream) noKey(column string) error {
	return fmt.Errorf("PostgreSQL does not say column %q of the primary key of a row that changed: ALTER TABLE %s REPLICA IDENTITY DEFAULT, or FULL; then REFRESH SOURCE %s", column, s.pg.Table, s.name)
}

func bytesOf(d *pglogrepl.TupleDataColumn) []byte {
	if d.Data == nil {
		return []byte{}
	}
	return d.Data
}

// fitsMemory refuses a transaction that is too large.
func (s *tableStream) fitsMemory() error {
	if int64(s.batch.bytes-s.before) <= s.bytes {
		return nil
	}
	return fmt.Errorf("a transaction of PostgreSQL's changes more than %d bytes of rows: a greater --memory-limit takes it as a whole, and REFRESH SOURCE %s reads the table anew instead", s.bytes, s.name)
}
