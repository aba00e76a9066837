package message

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// The formats: what a message means for the rows of its source.
const (
	Plain    = "PLAIN"    // it is a row
	Upsert   = "UPSERT"   // its value is the newest version of the row of its key; NULL: the row is gone
	Debezium = "DEBEZIUM" // it says how a row of a table was before a change, and is after it
)

// The encodings of keys of Upsert. Without one of them the key is encoded as the value is.
const (
	KeyJSON = "json" // an object of the primary key's columns; of a primary key of one column its value, too
	KeyText = "text" // the value of the primary key's one column, as PostgreSQL reads it
)

// Formats are all of them.
var Formats = []string{Plain, Upsert, Debezium}

// The SQLSTATEs of messages that an envelope refuses.
const (
	codeNull        = "22004" // a tombstone that has no meaning
	codeNoKey       = "23502" // no primary key
	codeOtherKey    = "22000" // the value's primary key is not the message's
	codeUnsupported = "0A000" // a change of more than one row
)

// encoding reads what stands in messages, by ENCODE. What it appends to is as it was after an error. Errors: *ingest.Rejected, and those of
// Schemas.
type encoding interface {
	// row appends a value's row to the declared columns, the first ones of rows.
	row(rows *vector.Chunk, value []byte) error
	// key appends the primary key that is a message's key, which is not NULL, to gone; parts of it may be NULL.
	key(gone *vector.Chunk, key []byte) error
	// change reads an envelope of Debezium's.
	change(value []byte) (change, error)
}

// change is a change of a row. before appends to columns of the primary key, after to the declared ones; nil: NULL.
type change struct {
	op            string
	before, after func(ch *vector.Chunk) error
}

// New is what reads the messages of a source. schemas is nil where the source needs none.
func New(r *schema.Relation, schemas Schemas) (ingest.Decoder, error) {
	k := r.Kafka
	o := options{columns: r.Columns, unit: k.TimeUnit, strict: k.RefuseUnknown, debezium: k.Format == Debezium}
	if o.unit == "" {
		o.unit = "ms"
	}
	var key []int
	for _, name := range r.PrimaryKey {
		c := r.ColumnIndex(name)
		key, o.keys = append(key, c), append(o.keys, r.Columns[c])
	}
	enc, err := newEncoding(k, o, schemas)
	if err != nil {
		return nil, err
	}
	keys := keyReader{columns: o.keys, read: enc.key}
	switch k.KeyEncode {
	case KeyText:
		keys.read = func(gone *vector.Chunk, key []byte) error {
			return parsed(codec.AppendParsed(gone.Cols[0], key, codec.Defaults))
		}
	case KeyJSON:
		keys.read = newJSONEncoding(o).key
	}
	switch k.Format {
	case Plain:
		return plain{enc}, nil
	case Upsert:
		return &upsert{enc: enc, key: key, keys: keys}, nil
	case Debezium:
		return &debezium{enc: enc, key: key, keys: keys}, nil
	}
	return nil, fmt.Errorf("FORMAT %s is not supported", k.Format)
}

// Encodings are those of ENCODE.
var Encodings = []string{"JSON", "AVRO", "PROTOBUF"}

func newEncoding(k *schema.Kafka, o options, schemas Schemas) (encoding, error) {
	switch k.Encode {
	case "JSON":
		return newJSONEncoding(o), nil
	case "AVRO":
		return newAvroEncoding(k.Schema, o, schemas)
	case "PROTOBUF":
		return newProtoEncoding(k.Schema, k.Message, o, schemas)
	}
	return nil, fmt.Errorf("ENCODE %s is not supported", k.Encode)
}

// options are what encodings have in common.
type options struct {
	columns  []schema.Column // declared
	keys     []schema.Column // of the primary key
	unit     string          // of Units: of times that are plain numbers
	strict   bool            // fields that are no columns refuse the message
	debezium bool
}

// plain is FORMAT PLAIN.
type plain struct{ enc encoding }

func (p plain) Append(rows, _ *vector.Chunk, m ingest.Message) (ingest.Effect, error) {
	if m.Value == nil {
		return 0, rejected(codeNull, "the message has no value: a tombstone of a compacted topic, which FORMAT PLAIN has no meaning for")
	}
	return ingest.Puts, p.enc.row(rows, m.Value)
}

// keyReader reads primary keys.
type keyReader struct {
	columns []schema.Column
	read    func(gone *vector.Chunk, key []byte) error
}

// whole refuses a primary key with a NULL in it, which was appended.
func (k *keyReader) whole(gone *vector.Chunk) error {
	for i, v := range gone.Cols {
		if v.IsNull(gone.N) {
			undo(gone)
			return rejected(codeNoKey, "column %q of the primary key is NULL, or not there", k.columns[i].Name)
		}
	}
	return nil
}

// undo takes away what was appended behind a chunk's rows.
func undo(ch *vector.Chunk) {
	for _, v := range ch.Cols {
		v.Truncate(ch.N)
	}
}

// message appends the primary key that is a message's key.
func (k *keyReader) message(gone *vector.Chunk, key []byte) error {
	err := error(rejected(codeNoKey, "it is NULL"))
	if key != nil {
		err = k.read(gone, key)
	}
	if err == nil {
		return k.whole(gone)
	}
	undo(gone)
	var r *ingest.Rejected
	if errors.As(err, &r) {
		return rejected(r.Code, "the message's key: %s", r.Reason)
	}
	return err
}

// upsert is FORMAT UPSERT.
type upsert struct {
	enc    encoding
	key    []int // the primary key's columns
	keys   keyReader
	buf    []byte
	inside []byte
}

func (u *upsert) Append(rows, gone *vector.Chunk, m ingest.Message) (ingest.Effect, error) {
	if err := u.keys.message(gone, m.Key); err != nil {
		return 0, err
	}
	if m.Value == nil {
		return ingest.Takes, nil
	}
	defer undo(gone)
	if err := u.enc.row(rows, m.Value); err != nil {
		return 0, err
	}
	// The value may leave the key out, and cannot have another one.
	for i, c := range u.key {
		v := rows.Cols[c]
		if v.IsNull(rows.N) {
			v.Truncate(rows.N)
			v.AppendFrom(gone.Cols[i], gone.N)
			continue
		}
		u.buf, u.inside = vector.AppendKey(u.buf[:0], gone.Cols[i], gone.N), vector.AppendKey(u.inside[:0], v, rows.N)
		if !bytes.Equal(u.buf, u.inside) {
			err := rejected(codeOtherKey, "column %q is %s, and %s in the message's key", u.keys.columns[i].Name,
				codec.AppendText(nil, v, rows.N, codec.Defaults), codec.AppendText(nil, gone.Cols[i], gone.N, codec.Defaults))
			undo(rows)
			return 0, err
		}
	}
	return ingest.Puts, nil
}

// debezium is FORMAT DEBEZIUM.
type debezium struct {
	enc  encoding
	key  []int // the primary key's columns
	keys keyReader
	buf  []byte
	old  []byte
}

// Append reads an envelope. A tombstone repeats the end of a row.
func (d *debezium) Append(rows, gone *vector.Chunk, m ingest.Message) (ingest.Effect, error) {
	if m.Value == nil {
		if m.Key == nil {
			return 0, nil
		}
		return d.maybe(ingest.Takes, d.keys.message(gone, m.Key))
	}
	c, err := d.enc.change(m.Value)
	if err != nil {
		return 0, err
	}
	switch c.op {
	case "c", "r", "u":
		if c.after == nil {
			return 0, rejected(codeNull, "a change of kind %q without the row after it", c.op)
		}
		if err := c.after(rows); err != nil {
			return 0, err
		}
		effect, err := d.before(c, gone)
		if err != nil || c.op != "u" || effect == 0 {
			undo(gone)
			return ingest.Puts, err
		}
		d.buf, d.old = d.buf[:0], d.old[:0]
		for i, col := range d.key {
			d.buf, d.old = vector.AppendKey(d.buf, rows.Cols[col], rows.N), vector.AppendKey(d.old, gone.Cols[i], gone.N)
		}
		if bytes.Equal(d.buf, d.old) {
			undo(gone)
			return ingest.Puts, nil
		}
		return ingest.Takes | ingest.Puts, nil
	case "d":
		effect, err := d.before(c, gone)
		if effect == 0 && err == nil {
			return ingest.Takes, d.keys.message(gone, m.Key)
		}
		return effect, err
	case "t":
		return 0, rejected(codeUnsupported, "a TRUNCATE of the table: its rows are kept")
	case "":
		return 0, rejected(codeType, "the message has no text \"op\": it is no change as Debezium writes them")
	}
	return 0, rejected(codeUnsupported, "a change of kind %q", clip([]byte(c.op)))
}

// before appends the primary key of the row before a change: Takes, or nothing where it does not say it.
func (d *debezium) before(c change, gone *vector.Chunk) (ingest.Effect, error) {
	if c.before == nil {
		return 0, nil
	}
	err := c.before(gone)
	if err == nil {
		err = d.keys.whole(gone)
	}
	return d.maybe(ingest.Takes, err)
}

// maybe is an effect, or nothing where the message does not say what it needs.
func (d *debezium) maybe(effect ingest.Effect, err error) (ingest.Effect, error) {
	switch {
	case err == nil:
		return effect, nil
	case errors.As(err, new(*ingest.Rejected)):
		return 0, nil
	}
	return 0, err
}
