package message

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

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

// The encodings of keys of Upsert.
const (
	KeyJSON = "json" // an object of the primary key's columns; of a primary key of one column its value, too
	KeyText = "text" // the value of the primary key's one column, as PostgreSQL reads it
)

// Formats and KeyEncodings are all of them.
var (
	Formats      = []string{Plain, Upsert, Debezium}
	KeyEncodings = []string{KeyJSON, KeyText}
)

// The SQLSTATEs of messages that an envelope refuses.
const (
	codeNull        = "22004" // a tombstone that has no meaning
	codeNoKey       = "23502" // no primary key
	codeOtherKey    = "22000" // the value's primary key is not the message's
	codeUnsupported = "0A000" // a change of more than one row
)

// New is what reads the messages of a source.
func New(r *schema.Relation) (ingest.Decoder, error) {
	k := r.Kafka
	if k.Encode != "JSON" {
		return nil, fmt.Errorf("ENCODE %s is not supported", k.Encode)
	}
	o := JSONOptions{Unit: k.TimeUnit, RefuseUnknown: k.RefuseUnknown, DateNumbers: k.Format == Debezium}
	value := NewJSON(r.Columns, o)
	o.RefuseUnknown = false
	key := make([]int, len(r.PrimaryKey))
	for i, name := range r.PrimaryKey {
		key[i] = r.ColumnIndex(name)
	}
	keys := newKeys(r, key, o)
	switch k.Format {
	case Plain:
		return plain{value}, nil
	case Upsert:
		return &upsert{value: value, key: key, keys: keys, text: k.KeyEncode == KeyText}, nil
	case Debezium:
		return &debezium{value: value, key: key, keys: keys}, nil
	}
	return nil, fmt.Errorf("FORMAT %s is not supported", k.Format)
}

// reader reads a value as a row of columns: Append appends one value to each of the first columns of ch, or leaves them as they were.
type reader interface {
	Append(ch *vector.Chunk, value []byte) error
}

// plain is FORMAT PLAIN.
type plain struct{ value reader }

func (p plain) Append(rows, _ *vector.Chunk, m ingest.Message) (ingest.Effect, error) {
	if m.Value == nil {
		return 0, rejected(codeNull, "the message has no value: a tombstone of a compacted topic, which FORMAT PLAIN has no meaning for")
	}
	return ingest.Puts, p.value.Append(rows, m.Value)
}

// keys reads primary keys.
type keys struct {
	columns []schema.Column
	json    *JSON
}

func newKeys(r *schema.Relation, key []int, o JSONOptions) *keys {
	k := &keys{}
	for _, c := range key {
		k.columns = append(k.columns, r.Columns[c])
	}
	k.json = NewJSON(k.columns, o)
	return k
}

// row appends the primary key of a row that is an object, before or after a change.
func (k *keys) row(gone *vector.Chunk, raw []byte) error {
	if err := k.json.Append(gone, raw); err != nil {
		return err
	}
	return k.whole(gone)
}

// whole refuses a primary key with a NULL in it, which was appended.
func (k *keys) whole(gone *vector.Chunk) error {
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
func (k *keys) message(gone *vector.Chunk, key []byte, text bool) error {
	err := k.read(gone, key, text)
	if err == nil {
		return k.whole(gone)
	}
	undo(gone)
	var r *ingest.Rejected
	if errors.As(err, &r) {
		r.Reason = "the message's key: " + r.Reason
	}
	return err
}

func (k *keys) read(gone *vector.Chunk, key []byte, text bool) error {
	switch {
	case key == nil:
		return rejected(codeNoKey, "it is NULL")
	case text:
		return parsed(codec.AppendParsed(gone.Cols[0], key, codec.Defaults))
	case len(k.columns) > 1 || bytes.HasPrefix(bytes.TrimLeft(key, " \t\r\n"), []byte("{")):
		return k.json.Append(gone, key)
	}
	return k.json.single(gone.Cols[0], key)
}

// upsert is FORMAT UPSERT.
type upsert struct {
	value  reader
	key    []int // the primary key's columns
	keys   *keys
	text   bool
	buf    []byte
	inside []byte
}

func (u *upsert) Append(rows, gone *vector.Chunk, m ingest.Message) (ingest.Effect, error) {
	if err := u.keys.message(gone, m.Key, u.text); err != nil {
		return 0, err
	}
	if m.Value == nil {
		return ingest.Takes, nil
	}
	defer undo(gone)
	if err := u.value.Append(rows, m.Value); err != nil {
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
			of := u.keys.columns[i].Name
			reason := fmt.Sprintf("column %q is %s, and %s in the message's key", of, codec.AppendText(nil, v, rows.N, codec.Defaults), codec.AppendText(nil, gone.Cols[i], gone.N, codec.Defaults))
			undo(rows)
			return 0, rejected(codeOtherKey, "%s", reason)
		}
	}
	return ingest.Puts, nil
}

// debezium is FORMAT DEBEZIUM.
type debezium struct {
	value reader
	key   []int // the primary key's columns
	keys  *keys
	buf   []byte
	old   []byte
}

// Append reads an envelope, with its schema or without. A tombstone repeats the end of a row.
func (d *debezium) Append(rows, gone *vector.Chunk, m ingest.Message) (ingest.Effect, error) {
	key, err := payload(m.Key)
	if err != nil {
		key = m.Key // it counts only where the row does not say its key
	}
	if m.Value == nil {
		if key == nil || d.keys.message(gone, key, false) != nil {
			return 0, nil
		}
		return ingest.Takes, nil
	}
	value, err := payload(m.Value)
	if err != nil {
		return 0, err
	}
	parts, err := fields(value, "op", "before", "after")
	if err != nil {
		return 0, err
	}
	op, before, after := string(parts[0]), parts[1], parts[2]
	switch op {
	case `"c"`, `"r"`, `"u"`:
		if isNull(after) {
			return 0, rejected(codeNull, "a change of kind %s without the row after it", op)
		}
		if err := d.value.Append(rows, after); err != nil {
			return 0, err
		}
		if op == `"u"` && !isNull(before) && d.keys.row(gone, before) == nil {
			d.buf, d.old = d.buf[:0], d.old[:0]
			for i, c := range d.key {
				d.buf, d.old = vector.AppendKey(d.buf, rows.Cols[c], rows.N), vector.AppendKey(d.old, gone.Cols[i], gone.N)
			}
			if !bytes.Equal(d.buf, d.old) {
				return ingest.Takes | ingest.Puts, nil
			}
			undo(gone)
		}
		return ingest.Puts, nil
	case `"d"`:
		if !isNull(before) && d.keys.row(gone, before) == nil {
			return ingest.Takes, nil
		}
		return ingest.Takes, d.keys.message(gone, key, false)
	case `"t"`:
		return 0, rejected(codeUnsupported, "a TRUNCATE of the table: its rows are kept")
	case "":
		return 0, rejected(codeType, "the message has no field \"op\": it is no change as Debezium writes them")
	}
	return 0, rejected(codeUnsupported, "a change of kind %s", clip(parts[0]))
}

func isNull(raw []byte) bool { return raw == nil || bytes.Equal(raw, []byte("null")) }

// payload is what stands beside a schema, or all of a value that has none.
func payload(value []byte) ([]byte, error) {
	if !bytes.HasPrefix(bytes.TrimLeft(value, " \t\r\n"), []byte("{")) {
		return value, nil
	}
	parts, err := fields(value, "schema", "payload")
	if err != nil || parts[0] == nil || parts[1] == nil {
		return value, err
	}
	return slices.Clip(parts[1]), nil
}
