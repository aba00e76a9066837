package ingest

import (
	"context"
	"fmt"
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/streams"
)

// holder is the row of a primary key as a batch goes on.
type holder struct {
	stored    uint64 // its row id where it is in the log; 0: it is not, or the batch has taken it away
	row       int    // in the batch's rows, -1: not of the batch
	partition int32  // of the message that it is of
	offset    int64
}

func (h *holder) there() bool { return h.stored != 0 || h.row >= 0 }

// resolve takes the steps in their order, by the rows that the log has of their primary keys, and refuses those that cannot be taken.
//
// A source whose messages are rows refuses a second one of a primary key: the first one stays. Where messages are versions of rows the
// newest one counts, which only the order of a partition tells: a key's messages in another one than its row's are refused. Of the
// versions of a batch the last one is a row, which alone anybody can see.
//
// Of messages that were dead letters the order is not that of their partition: one that is older than its key's row, or than the end of
// it, does nothing.
func (b *builder) resolve(ctx context.Context, records []message) (reclog.Change, error) {
	change := reclog.Change{Source: b.out.Source, Key: b.key}
	if len(b.key) == 0 {
		if b.rows.N > 0 {
			change.Inserts = b.rows
		}
		return change, nil
	}
	if b.gone.N == 0 && !b.rel.Kafka.Replaces() {
		return b.distinct(change)
	}
	holders, err := b.holders(ctx, records)
	if err != nil {
		return change, err
	}
	dropped, left := make([]bool, b.rows.N), b.rows.N
	drop := func(row int) { dropped[row], left = true, left-1 }
	remove := func(h *holder) {
		if h.stored != 0 {
			change.Deletes = append(change.Deletes, h.stored)
		}
		if h.row >= 0 {
			drop(h.row)
		}
		h.stored, h.row = 0, -1
	}
	var putKey, takeKey []byte
	for _, s := range b.steps {
		m := &records[s.message]
		var put, take *holder
		if s.effect&Puts != 0 {
			putKey = appendKeyOf(putKey[:0], b.rows, b.key, s.row)
			put = holders[string(putKey)]
		}
		if s.effect&Takes != 0 {
			takeKey = appendKeyOf(takeKey[:0], b.gone, nil, s.taken)
			take = holders[string(takeKey)]
		}
		old, why, err := b.judge(m, put, putKey)
		if err != nil {
			return change, err
		}
		oldTake, whyTake, err := b.judge(m, take, takeKey)
		if err != nil {
			return change, err
		}
		if why == nil {
			why = whyTake
		}
		if b.refused[s.message] = why; put != nil && (why != nil || old) {
			drop(s.row)
			put = nil
		}
		if why != nil {
			continue
		}
		if take != nil && !oldTake {
			remove(take)
			b.out.NoteEnd(takeKey, streams.End{Partition: m.Partition, Offset: m.Offset})
		}
		if put != nil {
			remove(put)
			put.row, put.partition, put.offset = s.row, m.Partition, m.Offset
		}
	}
	slices.Sort(change.Deletes)
	if left < b.rows.N {
		b.rows = without(b.rows, dropped)
	}
	if left > 0 {
		change.Inserts = b.rows
	}
	return change, nil
}

// distinct is resolve where every message is a row, of which the first one of a primary key stays.
func (b *builder) distinct(change reclog.Change) (reclog.Change, error) {
	if b.rows.N == 0 {
		return change, nil
	}
	keys, err := b.c.cfg.Log.Keys(b.out.Source, b.rows, b.key)
	if err != nil {
		return change, err
	}
	dropped, left := make([]bool, b.rows.N), b.rows.N
	for _, s := range b.steps {
		if s.effect&Puts != 0 && !keys.Free(s.row) {
			b.refused[s.message] = b.there()
			dropped[s.row], left = true, left-1
		}
	}
	if left < b.rows.N {
		b.rows, keys = without(b.rows, dropped), keys.Without(dropped)
	}
	if left > 0 {
		change.Inserts, change.Resolved = b.rows, keys
	}
	return change, nil
}

// there is why a message is no row whose primary key has one.
func (b *builder) there() *Rejected {
	return &Rejected{codeUnique, fmt.Sprintf("a row of this primary key (%s) is there already", keyNames(b.rel))}
}

// judge says of a message and the row of one of its primary keys, nil for none, whether the message is older than what is known of the
// row, and why it cannot be taken otherwise.
func (b *builder) judge(m *message, h *holder, key []byte) (old bool, why *Rejected, err error) {
	if h == nil {
		return false, nil, nil
	}
	if !b.rel.Kafka.Replaces() {
		if h.there() {
			why = b.there()
		}
		return false, why, nil
	}
	partition, offset, known := h.partition, h.offset, h.there()
	if !known && m.letter != nil {
		if b.out.State.Blind(m.letter) {
			return false, &Rejected{codeMoved, fmt.Sprintf("whether the row of this primary key (%s) was ended after this message is not known any more", keyNames(b.rel))}, nil
		}
		var e streams.End
		if e, known, err = streams.Ended(b.c.cfg.Log, b.out.Source, key); err != nil {
			return false, nil, err
		}
		partition, offset = e.Partition, e.Offset
	}
	switch {
	case !known:
	case partition != m.Partition:
		why = &Rejected{codeMoved, fmt.Sprintf("the row of this primary key (%s) is of partition %d: which of two partitions' messages is newer cannot be told", keyNames(b.rel), partition)}
	case m.letter != nil:
		old = offset > m.Offset
	}
	return old, why, nil
}

// holders are the rows of the primary keys that the steps name.
func (b *builder) holders(ctx context.Context, records []message) (map[string]*holder, error) {
	out := map[string]*holder{}
	var stored []*holder
	var ids []uint64
	find := func(c *vector.Chunk, key []int) error {
		owners, err := b.c.cfg.Log.Owners(b.out.Source, c, key)
		if err != nil {
			return err
		}
		var buf []byte
		for i, id := range owners {
			buf = appendKeyOf(buf[:0], c, key, i)
			if out[string(buf)] != nil {
				continue
			}
			h := &holder{stored: id, row: -1}
			out[string(buf)] = h
			if id != 0 {
				stored, ids = append(stored, h), append(ids, id)
			}
		}
		return nil
	}
	if err := find(b.rows, b.key); err != nil {
		return nil, err
	}
	whole := make([]int, len(b.key))
	for i := range whole {
		whole[i] = i
	}
	if err := find(b.gone, whole); err != nil {
		return nil, err
	}
	again := len(records) > 0 && records[0].letter != nil
	if len(ids) == 0 || !b.rel.Kafka.Replaces() || len(b.out.State.Partitions) == 1 && !again {
		return out, nil
	}
	rows, err := b.c.cfg.Log.Rows(ctx, b.out.Source, ids, reclog.Schema{Types: typesOf(b.rel.Stored())})
	if err != nil {
		return nil, err
	}
	for i, h := range stored {
		h.partition, h.offset = int32(rows.Cols[b.declared].I64[i]), rows.Cols[b.declared+1].I64[i]
	}
	return out, nil
}

// appendKeyOf appends the encoding of row i of a chunk, of the columns of key; nil: of all.
func appendKeyOf(dst []byte, c *vector.Chunk, key []int, i int) []byte {
	if key == nil {
		for _, v := range c.Cols {
			dst = vector.AppendKey(dst, v, i)
		}
		return dst
	}
	for _, k := range key {
		dst = vector.AppendKey(dst, c.Cols[k], i)
	}
	return dst
}

// without is the rows of a chunk that are not dropped.
func without(c *vector.Chunk, dropped []bool) *vector.Chunk {
	out := vector.NewChunk(c.Types(), c.N)
	for i, drop := range dropped {
		if !drop {
			out.AppendRow(c, i)
		}
	}
	return out
}
