package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/streams"
)

// changeKind is what a change does to a row of a table.
type changeKind uint8

const (
	rowPut   changeKind = iota // the row is this, whatever it was
	rowFound                   // a reading of the table found the row: nothing where it is known as it is
	rowGone
	allGone // TRUNCATE
)

// rowChange is one change of a table, in the order in which they came.
type rowChange struct {
	kind      changeKind
	row       int   // in tableBatch.rows, of rowPut and rowFound; -1
	gone      int   // in tableBatch.gone: the key of rowGone, and that of before of a rowPut that changes it; -1
	unchanged []int // columns of the row whose values are those of before: PostgreSQL did not send them
}

// tableTxn is a transaction of PostgreSQL's, or a part of a reading of the table.
type tableTxn struct {
	committed int64 // microseconds UTC; streams.NoEvent: a reading of the table
	known     int64 // the time that its versions get
	initial   bool
	changes   []rowChange
}

// tableBatch is some transactions of PostgreSQL's, which become one of the log: what it leaves of each row, and every version.
type tableBatch struct {
	rel, versions *schema.Relation
	key           []int         // columns of the primary key
	rows          *vector.Chunk // values of rows, unchanged ones NULL
	gone          *vector.Chunk // primary keys
	txns          []tableTxn
	bytes         int // of values
	changes       int
}

func newTableBatch(rel, versions *schema.Relation) *tableBatch {
	b := &tableBatch{rel: rel, versions: versions, rows: vector.NewChunk(typesOf(rel.Columns), 0)}
	var keys []vector.Type
	for _, k := range rel.PrimaryKey {
		i := rel.ColumnIndex(k)
		b.key = append(b.key, i)
		keys = append(keys, rel.Columns[i].Type)
	}
	b.gone = vector.NewChunk(keys, 0)
	return b
}

func (b *tableBatch) empty() bool { return len(b.txns) == 0 }

// last is the transaction that changes are added to.
func (b *tableBatch) last() *tableTxn { return &b.txns[len(b.txns)-1] }

// cutTo takes away what came after a batch had so many rows and keys.
func (b *tableBatch) cutTo(rows, gone int) {
	for _, v := range b.rows.Cols {
		v.Truncate(rows)
	}
	for _, v := range b.gone.Cols {
		v.Truncate(gone)
	}
	b.rows.N, b.gone.N = rows, gone
}

// rowState is a row of a primary key as a batch goes on.
type rowState struct {
	stored     uint64        // its row id where the log has it, 0: it has not
	before     *vector.Chunk // the row that the log has, where it was asked for
	beforeRow  int
	row        int // in tableWork.states: what the batch left so far, -1: as it is stored
	live, was  bool
	touched    bool // by the transaction
	changed    bool // by the batch
	keyOf      *vector.Chunk
	keyColumns []int
	keyRow     int
}

// tableWork applies a batch.
type tableWork struct {
	*tableBatch
	states  *vector.Chunk // values of rows, whole
	out     *vector.Chunk // versions
	holders map[string]*rowState
	order   []*rowState // of holders that are changed
	touched []*rowState // by the transaction
	seen    func(id uint64) bool
	buf     []byte
}

// errUnknownRow: a change keeps a value of a row that is not known.
var errUnknownRow = errors.New("a change leaves a column as it was, of a row that is not known: REFRESH SOURCE reads the table anew")

// resolve makes the changes of a source and its versions of a batch. seen is told of the rows that the log has and a reading of the
// table found, and says whether it was told of one before.
func (b *tableBatch) resolve(ctx context.Context, log *reclog.Log, live func(emit func(rows *vector.Chunk, ids []int64) error) error, seen func(id uint64) bool) ([]reclog.Change, error) {
	w := &tableWork{tableBatch: b, states: vector.NewChunk(typesOf(b.rel.Columns), b.rows.N), out: vector.NewChunk(typesOf(b.versions.Columns), b.rows.N), holders: map[string]*rowState{}, seen: seen}
	if err := w.find(ctx, log); err != nil {
		return nil, err
	}
	for i := range b.txns {
		t := &b.txns[i]
		for j := range t.changes {
			if err := w.apply(&t.changes[j], live); err != nil {
				return nil, err
			}
		}
		w.end(t)
	}
	change := reclog.Change{Source: reclog.SourceID(b.rel.ID), Key: b.key}
	left := vector.NewChunk(typesOf(b.rel.Columns), len(w.order))
	for _, h := range w.order {
		if h.stored != 0 {
			change.Deletes = append(change.Deletes, h.stored)
		}
		if h.live {
			left.AppendRow(w.states, h.row)
		}
	}
	slices.Sort(change.Deletes)
	if left.N > 0 {
		change.Inserts = left
	}
	var out []reclog.Change
	if left.N > 0 || len(change.Deletes) > 0 {
		out = append(out, change)
	}
	if w.out.N > 0 {
		out = append(out, reclog.Change{Source: reclog.SourceID(b.versions.ID), Inserts: w.out})
	}
	return out, nil
}

// find finds the rows that the log has of the primary keys of the batch, with their values where they are needed.
func (w *tableWork) find(ctx context.Context, log *reclog.Log) error {
	whole := make([]int, len(w.key))
	for i := range whole {
		whole[i] = i
	}
	var stored []*rowState
	var ids []uint64
	for _, of := range []struct {
		c   *vector.Chunk
		key []int
	}{{w.rows, w.key}, {w.gone, whole}} {
		owners, err := log.Owners(reclog.SourceID(w.rel.ID), of.c, of.key)
		if err != nil {
			return err
		}
		for i, id := range owners {
			w.buf = appendKeyOf(w.buf[:0], of.c, of.key, i)
			if w.holders[string(w.buf)] != nil {
				continue
			}
			h := &rowState{stored: id, row: -1, live: id != 0, keyOf: of.c, keyColumns: of.key, keyRow: i}
			w.holders[string(w.buf)] = h
			if id != 0 {
				stored, ids = append(stored, h), append(ids, id)
			}
		}
	}
	needed := false
	for i := range w.txns {
		needed = needed || slices.ContainsFunc(w.txns[i].changes, func(c rowChange) bool { return c.kind == rowFound || len(c.unchanged) > 0 })
	}
	if !needed || len(ids) == 0 {
		return nil
	}
	rows, err := log.Rows(ctx, reclog.SourceID(w.rel.ID), ids, reclog.Schema{Types: typesOf(w.rel.Stored())})
	if err != nil {
		return err
	}
	for i, h := range stored {
		h.before, h.beforeRow = rows, i
	}
	return nil
}

func (w *tableWork) holder(c *vector.Chunk, key []int, row int) *rowState {
	w.buf = appendKeyOf(w.buf[:0], c, key, row)
	return w.holders[string(w.buf)]
}

// touch notes that the transaction changes a row.
func (w *tableWork) touch(h *rowState) {
	if !h.touched {
		h.touched, h.was = true, h.live
		w.touched = append(w.touched, h)
	}
	if !h.changed {
		h.changed = true
		w.order = append(w.order, h)
	}
}

func (w *tableWork) apply(c *rowChange, live func(emit func(rows *vector.Chunk, ids []int64) error) error) error {
	var old *rowState
	if c.gone >= 0 {
		old = w.holder(w.gone, nil, c.gone)
	}
	switch c.kind {
	case rowGone:
		if old.live {
			w.touch(old)
			old.live, old.row = false, -1
		}
		return nil
	case allGone:
		return w.truncate(live)
	}
	h := w.holder(w.rows, w.key, c.row)
	if old == nil {
		old = h
	}
	if len(c.unchanged) > 0 && (!old.live || old.row < 0 && old.before == nil) {
		return errUnknownRow
	}
	from, fromRow := old.before, old.beforeRow
	if old.row >= 0 {
		from, fromRow = w.states, old.row
	}
	for j, v := range w.states.Cols {
		if slices.Contains(c.unchanged, j) {
			v.AppendFrom(from.Cols[j], fromRow)
		} else {
			v.AppendFrom(w.rows.Cols[j], c.row)
		}
	}
	w.states.N++
	made := w.states.N - 1
	if c.kind == rowFound {
		if h.row >= 0 || h.stored != 0 && w.seen(h.stored) {
			return fmt.Errorf("the table has two rows of one primary key (%s)", keyNames(w.rel))
		}
		if h.row < 0 && h.before != nil && sameRow(h.before, h.beforeRow, w.states, made) {
			return nil
		}
	}
	if old != h && old.live {
		w.touch(old)
		old.live, old.row = false, -1
	}
	w.touch(h)
	h.live, h.row = true, made
	return nil
}

// sameRow reports whether two rows have the same values.
func sameRow(a *vector.Chunk, i int, b *vector.Chunk, j int) bool {
	cut := &vector.Chunk{Cols: a.Cols[:len(b.Cols)], N: a.N}
	return bytes.Equal(reclog.AppendChunk(nil, cut, i, i+1), reclog.AppendChunk(nil, b, j, j+1))
}

// truncate ends all rows: those that the log has, and those of the batch.
func (w *tableWork) truncate(live func(emit func(rows *vector.Chunk, ids []int64) error) error) error {
	end := func(h *rowState) {
		if h.live {
			w.touch(h)
			h.live, h.row = false, -1
		}
	}
	err := live(func(rows *vector.Chunk, ids []int64) error {
		keys := &vector.Chunk{N: rows.N}
		for _, k := range w.key {
			keys.Cols = append(keys.Cols, rows.Cols[k])
		}
		for i, id := range ids {
			w.buf = appendKeyOf(w.buf[:0], keys, nil, i)
			h := w.holders[string(w.buf)]
			if h == nil {
				whole := make([]int, len(w.key))
				for k := range whole {
					whole[k] = k
				}
				h = &rowState{stored: uint64(id), row: -1, live: true, keyOf: keys, keyColumns: whole, keyRow: i}
				w.holders[string(w.buf)] = h
			}
			end(h)
		}
		return nil
	})
	for _, h := range w.holders {
		end(h)
	}
	return err
}

// end makes the versions of a transaction: the last state of each row that it changed.
func (w *tableWork) end(t *tableTxn) {
	n := len(w.rel.Columns)
	for _, h := range w.touched {
		h.touched = false
		switch {
		case h.live:
			for j := range n {
				w.out.Cols[j].AppendFrom(w.states.Cols[j], h.row)
			}
		case h.was:
			for j := range n {
				if k := slices.Index(w.key, j); k >= 0 {
					w.out.Cols[j].AppendFrom(h.keyOf.Cols[h.keyColumns[k]], h.keyRow)
				} else {
					w.out.Cols[j].AppendNull()
				}
			}
		default: // it came and went
			continue
		}
		w.out.Cols[n].AppendInt(t.known)
		w.out.Cols[n+1].AppendBool(!h.live)
		w.out.Cols[n+2].AppendBool(t.initial)
		if t.committed == streams.NoEvent {
			w.out.Cols[n+3].AppendNull()
		} else {
			w.out.Cols[n+3].AppendInt(t.committed)
		}
		w.out.N++
	}
	w.touched = w.touched[:0]
}

// checkRow says why row n of a batch cannot be a row of its source.
func (b *tableBatch) checkRow(n int, now int64) error {
	for i, k := range b.key {
		if b.rows.Cols[k].IsNull(n) {
			return fmt.Errorf("column %q of the primary key is NULL", b.rel.PrimaryKey[i])
		}
	}
	if b.rel.EventTime == "" {
		return nil
	}
	v := b.rows.Cols[b.rel.ColumnIndex(b.rel.EventTime)]
	switch {
	case v.IsNull(n):
		return fmt.Errorf("the event time, column %q, is NULL", b.rel.EventTime)
	case v.I64[n] == vector.PosInfinity || v.I64[n] == vector.NegInfinity:
		return fmt.Errorf("the event time, column %q, is infinite", b.rel.EventTime)
	case v.I64[n] > now+b.rel.FutureBound:
		return fmt.Errorf("the event time %s lies more than %s ahead of the server's clock", time.UnixMicro(v.I64[n]).UTC().Format(time.RFC3339Nano), time.Duration(b.rel.FutureBound)*time.Microsecond)
	}
	return nil
}
