package ingest

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/reclog"
)

// holder is the row of a primary key as a batch goes on.
type holder struct {
	stored    uint64 // its row id where it is in the log; 0: it is not, or the batch has taken it away
	row       int    // in the batch's rows, -1: not of the batch
	partition int32  // whose message it is of
}

func (h *holder) there() bool { return h.stored != 0 || h.row >= 0 }

// resolve takes the steps in their order, by the rows that the log has of their primary keys, and refuses those that cannot be taken.
//
// A source whose messages are rows refuses a second one of a primary key: the first one stays. Where messages are versions of rows the
// newest one counts, which only the order of a partition tells: a key's messages in another one than its row's are refused. Of the
// versions of a batch the last one is a row, which alone anybody can see.
func (b *builder) resolve(ctx context.Context, records []*kgo.Record) (reclog.Change, error) {
	change := reclog.Change{Source: b.out.Source, Key: b.key}
	if len(b.key) == 0 {
		if b.rows.N > 0 {
			change.Inserts = b.rows
		}
		return change, nil
	}
	holders, err := b.holders(ctx)
	if err != nil {
		return change, err
	}
	dropped, left := make([]bool, b.rows.N), b.rows.N
	drop := func(row int) { dropped[row], left = true, left-1 }
	replaces := b.rel.Kafka.Replaces()
	var buf []byte
	for _, s := range b.steps {
		var put, take *holder
		if s.effect&Puts != 0 {
			buf = appendKeyOf(buf[:0], b.rows, b.key, s.row)
			put = holders[string(buf)]
		}
		if s.effect&Takes != 0 {
			buf = appendKeyOf(buf[:0], b.gone, nil, s.taken)
			take = holders[string(buf)]
		}
		partition := records[s.message].Partition
		var why *Rejected
		for _, h := range []*holder{take, put} {
			switch {
			case why != nil || h == nil || !h.there():
			case !replaces:
				why = &Rejected{codeUnique, fmt.Sprintf("a row of this primary key (%s) is there already", keyNames(b.rel))}
			case h.partition != partition:
				why = &Rejected{codeMoved, fmt.Sprintf("the row of this primary key (%s) is of partition %d: which of two partitions' messages is newer cannot be told", keyNames(b.rel), h.partition)}
			}
		}
		if why != nil {
			b.refused[s.message] = why
			if put != nil {
				drop(s.row)
			}
			continue
		}
		for _, h := range []*holder{take, put} {
			if h == nil {
				continue
			}
			if h.stored != 0 {
				change.Deletes = append(change.Deletes, h.stored)
			}
			if h.row >= 0 {
				drop(h.row)
			}
			h.stored, h.row = 0, -1
		}
		if put != nil {
			put.row, put.partition = s.row, partition
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

// holders are the rows of the primary keys that the steps name.
func (b *builder) holders(ctx context.Context) (map[string]*holder, error) {
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
	if len(ids) == 0 || !b.rel.Kafka.Replaces() || len(b.out.State.Partitions) == 1 {
		return out, nil
	}
	rows, err := b.c.cfg.Log.Rows(ctx, b.out.Source, ids, reclog.Schema{Types: typesOf(b.rel.Stored())})
	if err != nil {
		return nil, err
	}
	for i, h := range stored {
		h.partition = int32(rows.Cols[b.declared].I64[i])
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
	types := make([]vector.Type, len(c.Cols))
	for i, col := range c.Cols {
		types[i] = col.Type
	}
	out := vector.NewChunk(types, c.N)
	for i, drop := range dropped {
		if !drop {
			out.AppendRow(c, i)
		}
	}
	return out
}
