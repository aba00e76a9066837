package ingest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/streams"
)

// The SQLSTATEs of messages that are read and yet no rows.
const (
	codeNotNull   = "23502"
	codeUnique    = "23505"
	codeTime      = "22008"
	codeTombstone = "22004"
)

// messageTime is the hidden column with a message's time, counted from the first one behind the declared columns.
const messageTime = 2

// batch is some messages as one transaction.
type batch struct {
	streams.Batch
	changes  []reclog.Change
	declared int   // columns of the rows before the hidden ones
	mark     int64 // streams.NoEvent: it does not rise
}

// builder makes a batch.
type builder struct {
	c      *consumer
	rel    *schema.Relation
	rows   *vector.Chunk
	time   int   // column of the event time
	key    []int // columns of the primary key
	filled []int // columns that must not be NULL
	now    int64
	out    *batch
	taken  map[string]bool // primary keys of the batch
	record []int           // which message each row is of
}

// build makes a batch of messages; nil where there is nothing to commit. rejected, if it is not nil, is why the only message is no row.
func (c *consumer) build(cat *schema.Catalog, r *schema.Relation, records []*kgo.Record, rejected *Rejected) (*batch, error) {
	b := &builder{c: c, rel: r, now: c.cfg.Clock().UnixMicro(), time: r.ColumnIndex(r.EventTime), taken: map[string]bool{}}
	stored := r.Stored()
	types := make([]vector.Type, len(stored))
	for i, col := range stored {
		types[i] = col.Type
	}
	b.rows = vector.NewChunk(types, len(records))
	for _, k := range r.PrimaryKey {
		b.key = append(b.key, r.ColumnIndex(k))
	}
	b.filled = filledColumns(cat, r, b.key)
	b.out = &batch{Batch: streams.Batch{Source: reclog.SourceID(r.ID), State: c.state.Clone()}, declared: len(r.Columns), mark: streams.NoEvent}
	for i, rec := range records {
		why := rejected
		if why == nil {
			why = b.add(rec, i)
		}
		if why != nil {
			b.letter(rec, why)
		}
	}
	if err := b.dropTaken(records); err != nil {
		return nil, err
	}
	return b.finish(records)
}

// filledColumns are the columns of rows that can be events of every feature that reads a source: no NULL in what was declared so, in
// the primary key, or in a key of a feature.
func filledColumns(cat *schema.Catalog, r *schema.Relation, key []int) []int {
	out := slices.Clone(key)
	for i, col := range r.Columns {
		if col.NotNull {
			out = append(out, i)
		}
	}
	for _, g := range cat.Groups {
		if g.Relation == r.ID {
			for _, k := range g.Keys {
				if k.Column >= 0 {
					out = append(out, k.Column)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// add appends the row of a message, or says why it has none.
func (b *builder) add(rec *kgo.Record, index int) *Rejected {
	if rec.Value == nil {
		return &Rejected{codeTombstone, "the message has no value: a tombstone of a compacted topic, which FORMAT PLAIN has no meaning for"}
	}
	n := b.rows.N
	if err := b.c.decoder.Append(b.rows, rec.Value); err != nil {
		var why *Rejected
		if errors.As(err, &why) {
			return why
		}
		return &Rejected{"XX000", err.Error()}
	}
	if why := b.check(n); why != nil {
		for i := range b.rel.Columns {
			b.rows.Cols[i].Truncate(n)
		}
		return why
	}
	cols := b.rows.Cols[len(b.rel.Columns):]
	cols[0].AppendInt(int64(rec.Partition))
	cols[1].AppendInt(rec.Offset)
	cols[messageTime].AppendInt(rec.Timestamp.UnixMicro())
	cols[3].AppendInt(b.now)
	appendBytes(cols[4], rec.Key)
	appendBytes(cols[5], headers(rec))
	b.rows.N++
	b.record = append(b.record, index)
	return nil
}

func appendBytes(v *vector.Vector, b []byte) {
	if b == nil {
		v.AppendNull()
	} else {
		v.AppendBytes(b)
	}
}

// check says why row n, which is not counted yet, cannot be.
func (b *builder) check(n int) *Rejected {
	cols := b.rows.Cols
	if cols[b.time].IsNull(n) {
		return &Rejected{codeNotNull, fmt.Sprintf("the event time, column %q, is NULL", b.rel.EventTime)}
	}
	for _, i := range b.filled {
		if cols[i].IsNull(n) {
			return &Rejected{codeNotNull, fmt.Sprintf("column %q is NULL: it is a key, or declared NOT NULL", b.rel.Columns[i].Name)}
		}
	}
	switch t := cols[b.time].I64[n]; {
	case t == vector.PosInfinity || t == vector.NegInfinity:
		return &Rejected{codeTime, fmt.Sprintf("the event time, column %q, is infinite", b.rel.EventTime)}
	case t > b.now+b.rel.FutureBound:
		return &Rejected{codeTime, fmt.Sprintf("the event time %s lies more than %s ahead of the server's clock", time.UnixMicro(t).UTC().Format(time.RFC3339Nano), time.Duration(b.rel.FutureBound)*time.Microsecond)}
	}
	return nil
}

// letter makes a dead letter of a message.
func (b *builder) letter(rec *kgo.Record, why *Rejected) {
	b.out.Add(streams.Letter{Partition: rec.Partition, Offset: rec.Offset, Time: rec.Timestamp.UnixMicro(), Arrived: b.now, Code: why.Code, Reason: why.Reason,
		Key: rec.Key, Headers: headers(rec), Value: rec.Value})
}

// dropTaken makes dead letters of the rows whose primary key another row has: the first one stays.
func (b *builder) dropTaken(records []*kgo.Record) error {
	if len(b.key) == 0 || b.rows.N == 0 {
		return nil
	}
	owners, err := b.c.cfg.Log.Owners(b.out.Source, b.rows, b.key)
	if err != nil {
		return err
	}
	var keep *vector.Chunk // nil: all so far
	var buf []byte
	for i := range b.rows.N {
		buf = buf[:0]
		for _, k := range b.key {
			buf = vector.AppendKey(buf, b.rows.Cols[k], i)
		}
		if owners[i] == 0 && !b.taken[string(buf)] {
			b.taken[string(buf)] = true
			if keep != nil {
				keep.AppendRow(b.rows, i)
			}
			continue
		}
		if keep == nil {
			types := make([]vector.Type, len(b.rows.Cols))
			for j, col := range b.rows.Cols {
				types[j] = col.Type
			}
			keep = vector.NewChunk(types, b.rows.N)
			for j := range i {
				keep.AppendRow(b.rows, j)
			}
		}
		b.letter(records[b.record[i]], &Rejected{codeUnique, fmt.Sprintf("a row of this primary key (%s) is there already", keyNames(b.rel))})
	}
	if keep != nil {
		b.rows = keep
	}
	return nil
}

func keyNames(r *schema.Relation) string {
	out := ""
	for i, k := range r.PrimaryKey {
		if i > 0 {
			out += ", "
		}
		out += k
	}
	return out
}

// finish notes how far the partitions are read, and what the watermark rises to.
func (b *builder) finish(records []*kgo.Record) (*batch, error) {
	s := b.out.State
	for _, rec := range records {
		s.Partitions[rec.Partition].Next = rec.Offset + 1
	}
	s.Rows += int64(b.rows.N)
	partitions := b.rows.Cols[len(b.rel.Columns)].I64
	for i, t := range b.rows.Cols[b.time].I64 {
		p := &s.Partitions[partitions[i]]
		p.Newest = max(p.Newest, t)
	}
	change := reclog.Change{Source: b.out.Source, Key: b.key}
	if b.rows.N > 0 {
		change.Inserts = b.rows
	}
	if w := b.c.watermark(s, b.c.cfg.Clock()); w > b.c.marked {
		b.out.mark = w
		change.Mark = &w
	}
	if len(records) == 0 && change.Mark == nil {
		return nil, nil
	}
	if change.Inserts != nil || change.Mark != nil {
		b.out.changes = []reclog.Change{change}
	}
	return b.out, b.out.Seal(b.c.cfg.Log, b.c.cfg.LetterBytes)
}

// watermark is the newest event time that every partition which is not idle has reached; streams.NoEvent where one has none yet, or all
// are idle.
func (c *consumer) watermark(s *streams.State, now time.Time) int64 {
	least := int64(math.MaxInt64)
	for p := range s.Partitions {
		if p < len(c.last) && !c.idle(p, now) {
			least = min(least, s.Partitions[p].Newest)
		}
	}
	if least == math.MaxInt64 {
		return streams.NoEvent
	}
	return least
}

// headers are a message's headers as JSON; nil where it has none.
func headers(rec *kgo.Record) []byte {
	if len(rec.Headers) == 0 {
		return nil
	}
	type header struct {
		Key   string  `json:"key"`
		Value *string `json:"value"`
	}
	out := make([]header, len(rec.Headers))
	for i, h := range rec.Headers {
		out[i].Key = h.Key
		if h.Value == nil {
			continue
		}
		v := string(h.Value)
		if !utf8.Valid(h.Value) || bytes.IndexByte(h.Value, 0) >= 0 { // JSON of PostgreSQL has no NUL
			v = `\x` + hex.EncodeToString(h.Value)
		}
		out[i].Value = &v
	}
	b, err := json.Marshal(out)
	if err != nil { // strings only
		panic(err)
	}
	return b
}
