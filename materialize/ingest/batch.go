package ingest

import (
	"bytes"
	"context"
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

// The SQLSTATEs of messages that are read and yet change no row.
const (
	codeNotNull = "23502"
	codeUnique  = "23505"
	codeTime    = "22008"
	codeMoved   = "55000" // the newest message of a key cannot be told
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

// message is a message of the broker, or one that was a dead letter and is tried again.
type message struct {
	*kgo.Record
	headers []byte // JSON; nil: NULL
	arrived int64
	letter  *streams.Letter // nil: of the broker
	of      *archived       // nil: its value is to be decoded
	entry   uint64          // of an archive: what is applied with it; 0: its entry goes on
}

// builder makes a batch: of each message what it does (add), then of all together what they do to the rows that are there (complete).
type builder struct {
	c        *consumer
	rel      *schema.Relation
	rows     *vector.Chunk
	gone     *vector.Chunk // primary keys of rows that are taken away
	declared int           // the first columns of rows
	time     int           // column of the event time
	key      []int         // columns of the primary key
	filled   []int         // columns that must not be NULL
	now      int64
	out      *batch
	steps    []step
	refused  []*Rejected // by message
	rejected []*Rejected // by message: those that are refused whatever they have; nil: none
}

// step is what one message does.
type step struct {
	message    int
	effect     Effect
	row, taken int // in rows and gone
}

// build makes a batch of messages; nil where there is nothing to commit. rejected, if it is not nil, is by message why it is no row, as far as that is known.
func (c *consumer) build(ctx context.Context, cat *schema.Catalog, r *schema.Relation, records []message, rejected []*Rejected) (*batch, error) {
	b := c.newBuilder(cat, r, len(records))
	b.rejected = rejected
	if err := b.addAll(records); err != nil {
		return nil, err
	}
	return b.complete(ctx, records)
}

func (c *consumer) newBuilder(cat *schema.Catalog, r *schema.Relation, messages int) *builder {
	b := &builder{c: c, rel: r, time: r.ColumnIndex(r.EventTime), declared: len(r.Columns)}
	b.rows = vector.NewChunk(typesOf(r.Stored()), messages)
	for _, k := range r.PrimaryKey {
		b.key = append(b.key, r.ColumnIndex(k))
	}
	var keys []vector.Type
	for _, k := range b.key {
		keys = append(keys, r.Columns[k].Type)
	}
	b.gone = vector.NewChunk(keys, 0)
	b.filled = filledColumns(cat, r, b.key)
	return b
}

// fits reports whether what was added is what it would be by a catalog.
func (b *builder) fits(cat *schema.Catalog, r *schema.Relation) bool {
	return b.rel == r && slices.Equal(b.filled, filledColumns(cat, r, b.key))
}

// addAll adds messages, of which those before the one that has an error are added.
func (b *builder) addAll(records []message) error {
	b.c.decoding.Lock()
	defer b.c.decoding.Unlock()
	b.now = b.c.cfg.Clock().UnixMicro()
	for i := range records {
		if err := b.add(&records[i], len(b.refused)); err != nil {
			return err
		}
	}
	return nil
}

// complete makes a batch of the messages that were added; nil where there is nothing to commit.
func (b *builder) complete(ctx context.Context, records []message) (*batch, error) {
	b.out = &batch{Batch: streams.Batch{Source: reclog.SourceID(b.rel.ID), State: b.c.state.Clone()}, declared: len(b.rel.Columns), mark: streams.NoEvent}
	change, err := b.resolve(ctx, records)
	if err != nil {
		return nil, err
	}
	for i := range records {
		m, why := &records[i], b.refused[i]
		switch {
		case m.letter == nil && why != nil:
			b.letter(m, why)
		case m.letter != nil && why == nil:
			b.out.Resolve(m.letter)
		case m.letter != nil && (why.Code != m.letter.Code || why.Reason != m.letter.Reason):
			b.out.Rewrite(m.letter, why.Code, why.Reason)
		}
	}
	return b.finish(records, change)
}

func typesOf(columns []schema.Column) []vector.Type {
	out := make([]vector.Type, len(columns))
	for i, c := range columns {
		out[i] = c.Type
	}
	return out
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
		out = append(out, cat.KeyPlaces(g, r)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// add appends what a message does, or notes why it does nothing. An error says that it cannot be read now.
func (b *builder) add(rec *message, index int) error {
	if b.rejected != nil && b.rejected[index] != nil {
		b.refused = append(b.refused, b.rejected[index])
		return nil
	}
	if rec.of != nil {
		b.addArchived(rec, index)
		return nil
	}
	n, taken := b.rows.N, b.gone.N
	effect, err := b.c.decoder.Append(b.rows, b.gone, Message{Key: rec.Key, Value: rec.Value})
	if err == nil && effect&Puts != 0 {
		b.appendHidden(b.rows.Cols[b.declared:], rec)
		if why := b.check(n); why != nil {
			err = why
		}
	}
	var why *Rejected
	if err != nil && !errors.As(err, &why) {
		b.truncate(n, taken)
		return err
	}
	b.took(why, index, effect, n, taken)
	return nil
}

// appendHidden appends a message's values to the hidden columns.
func (b *builder) appendHidden(cols []*vector.Vector, rec *message) {
	cols[0].AppendInt(int64(rec.Partition))
	cols[1].AppendInt(rec.Offset)
	cols[messageTime].AppendInt(rec.Timestamp.UnixMicro())
	cols[3].AppendInt(rec.arrived)
	appendBytes(cols[4], rec.Key)
	appendBytes(cols[5], rec.headers)
}

// truncate takes back what was appended to rows and gone, which had n and taken rows.
func (b *builder) truncate(n, taken int) {
	for _, v := range b.rows.Cols {
		v.Truncate(n)
	}
	for _, v := range b.gone.Cols {
		v.Truncate(taken)
	}
}

// took notes a message's effect, whose row and key were appended to rows and gone, which had n and taken rows; or why it has none.
func (b *builder) took(why *Rejected, index int, effect Effect, n, taken int) {
	b.refused = append(b.refused, why)
	if why != nil {
		b.truncate(n, taken)
		return
	}
	if effect&Takes != 0 {
		b.gone.N++
	}
	if effect&Puts != 0 {
		b.rows.N++
	}
	b.steps = append(b.steps, step{message: index, effect: effect, row: n, taken: taken})
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
	if why := b.checkFilled(n); why != nil {
		return why
	}
	switch t := cols[b.time].I64[n]; {
	case t == vector.PosInfinity || t == vector.NegInfinity:
		return &Rejected{codeTime, fmt.Sprintf("the event time, column %q, is infinite", b.rel.EventTime)}
	case t > b.now+b.rel.FutureBound:
		return &Rejected{codeTime, fmt.Sprintf("the event time %s lies more than %s ahead of the server's clock", time.UnixMicro(t).UTC().Format(time.RFC3339Nano), time.Duration(b.rel.FutureBound)*time.Microsecond)}
	}
	return nil
}

// checkFilled says which column of row n is NULL and must not be.
func (b *builder) checkFilled(n int) *Rejected {
	for _, i := range b.filled {
		if b.rows.Cols[i].IsNull(n) {
			return &Rejected{codeNotNull, fmt.Sprintf("column %q is NULL: it is a key, or declared NOT NULL", b.rel.Stored()[i].Name)}
		}
	}
	return nil
}

// letter makes a dead letter of a message.
func (b *builder) letter(rec *message, why *Rejected) {
	b.out.Add(streams.Letter{Partition: rec.Partition, Offset: rec.Offset, Time: rec.Timestamp.UnixMicro(), Arrived: rec.arrived, Code: why.Code, Reason: why.Reason,
		Key: rec.Key, Headers: rec.headers, Value: rec.Value})
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
func (b *builder) finish(records []message, change reclog.Change) (*batch, error) {
	s := b.out.State
	for i := range records {
		m := &records[i]
		if m.letter != nil {
			continue
		}
		s.Partitions[m.Partition].Next = m.Offset + 1
		s.Entry = max(s.Entry, m.entry)
		if b.refused[i] == nil {
			s.Good++
		}
	}
	s.Live -= int64(len(change.Deletes))
	if rows := change.Inserts; rows != nil {
		s.Live += int64(rows.N)
		partitions := rows.Cols[b.declared].I64
		for i, t := range rows.Cols[b.time].I64 {
			p := &s.Partitions[partitions[i]]
			p.Newest = max(p.Newest, t)
		}
	}
	if w := b.c.watermark(s, b.c.cfg.Clock()); w > b.c.marked {
		b.out.mark = w
		change.Mark = &w
	}
	if len(records) == 0 && change.Mark == nil {
		return nil, nil
	}
	if change.Inserts != nil || change.Mark != nil || len(change.Deletes) > 0 {
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
