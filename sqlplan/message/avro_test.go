package message

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// one is a relation of a column c, and one called id.
func one(t vector.Type, encode, text string) *schema.Relation {
	return &schema.Relation{Kind: schema.KafkaSource, PrimaryKey: []string{"id"}, Kafka: &schema.Kafka{Format: Plain, Encode: encode, Schema: text},
		Columns: []schema.Column{{Name: "c", Type: t}, {Name: "id", Type: vector.T(vector.Int64)}}}
}

// read is column c of a message, "NULL", or the code and reason of its refusal.
func read(t *testing.T, d ingest.Decoder, of vector.Type, value []byte) string {
	t.Helper()
	rows := vector.NewChunk([]vector.Type{of, vector.T(vector.Int64)}, 1)
	_, err := d.Append(rows, vector.NewChunk([]vector.Type{vector.T(vector.Int64)}, 0), ingest.Message{Value: value})
	var why *ingest.Rejected
	switch {
	case errors.As(err, &why):
		rows.Check()
		return why.Code + " " + why.Reason
	case err != nil:
		t.Fatal(err)
	}
	rows.N++
	rows.Check()
	if rows.Cols[0].IsNull(0) {
		return "NULL"
	}
	return string(codec.AppendText(nil, rows.Cols[0], 0, codec.Defaults))
}

const avroRecordOf = `{"type": "record", "name": "r", "fields": [{"name": "c", "type": %s}]}`

// Values that the library writes are read as what they are, by every type that takes them.
func TestAvroTypes(t *testing.T) {
	at := time.Date(2024, 6, 1, 12, 0, 0, 123456000, time.UTC)
	text, integer, bigint, json := vector.T(vector.Text), vector.T(vector.Int32), vector.T(vector.Int64), vector.T(vector.JSON)
	for _, c := range []struct {
		schema string
		value  any
		of     vector.Type
		want   string
	}{
		{`"long"`, int64(math.MinInt64), bigint, "-9223372036854775808"},
		{`"int"`, int(-5), vector.T(vector.Int16), "-5"},
		{`"int"`, int(70000), vector.T(vector.Int16), "22003"},
		{`"long"`, int64(1) << 40, integer, "22003"},
		{`"long"`, int64(12), vector.DecimalOf(12, 2), "12.00"},
		{`"long"`, int64(1) << 53, vector.T(vector.Float64), "9.007199254740992e+15"},
		{`"long"`, int64(1)<<53 + 1, vector.T(vector.Float64), "22003"},
		{`"int"`, int(1), vector.T(vector.Bool), "42804"},
		{`"int"`, int(1), text, "42804"},
		{`"float"`, float32(0.1), vector.T(vector.Float32), "0.1"},
		{`"float"`, float32(0.1), vector.T(vector.Float64), "0.10000000149011612"},
		{`"double"`, 0.1, vector.T(vector.Float64), "0.1"},
		{`"double"`, math.Inf(-1), vector.T(vector.Float64), "-Infinity"},
		{`"double"`, 0.1, vector.T(vector.Float32), "42804"},
		{`"double"`, 0.1, vector.DecimalOf(12, 2), "42804"},
		{`"boolean"`, true, vector.T(vector.Bool), "t"},
		{`"boolean"`, true, text, "42804"},
		{`"string"`, "süß \"x\"", text, "süß \"x\""},
		{`"string"`, "", text, ""},
		{`"string"`, "a\x00b", text, "22021"},
		{`"string"`, "a\xffb", text, "22021"},
		{`"string"`, "12.345", vector.DecimalOf(12, 2), "12.35"},
		{`"string"`, "2024-06-01T12:00:00+02:00", vector.T(vector.TimestampTZ), "2024-06-01 10:00:00+00"},
		{`"string"`, "now", vector.T(vector.TimestampTZ), "22P02"},
		{`"string"`, "true", vector.T(vector.Bool), "42804"},
		{`{"type": "string", "logicalType": "uuid"}`, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", vector.T(vector.UUID), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{`"bytes"`, []byte{0, 255}, vector.T(vector.Bytes), `\x00ff`},
		{`"bytes"`, []byte("a"), text, "42804"},
		{`{"type": "fixed", "name": "f", "size": 16}`, [16]byte{0xa0, 15: 1}, vector.T(vector.UUID), "a0000000-0000-0000-0000-000000000001"},
		{`{"type": "enum", "name": "e", "symbols": ["A", "B"]}`, "B", text, "B"},
		{`{"type": "enum", "name": "e", "symbols": ["A", "B"]}`, "B", integer, "42804"},
		{`{"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3}`, big.NewRat(-12345, 1000), vector.DecimalOf(12, 3), "-12.345"},
		{`{"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3}`, big.NewRat(12345, 1000), vector.DecimalOf(12, 2), "12.35"},
		{`{"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3}`, big.NewRat(12345, 1), vector.DecimalOf(4, 1), "22003"},
		{`{"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 0}`, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(37), nil)), vector.DecimalOf(38, 0), "1" + strings.Repeat("0", 37)},
		{`{"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3}`, big.NewRat(1, 8), vector.T(vector.Float64), "42804"},
		{`{"type": "fixed", "name": "f", "size": 8, "logicalType": "decimal", "precision": 12, "scale": 2}`, big.NewRat(-1, 4), vector.DecimalOf(12, 2), "-0.25"},
		{`{"type": "int", "logicalType": "date"}`, at, vector.T(vector.Date), "2024-06-01"},
		{`{"type": "int", "logicalType": "date"}`, at, bigint, "42804"},
		{`{"type": "int", "logicalType": "time-millis"}`, 90*time.Minute + 5*time.Millisecond, vector.T(vector.Time), "01:30:00.005"},
		{`{"type": "long", "logicalType": "time-micros"}`, 90*time.Minute + 5*time.Microsecond, vector.T(vector.Time), "01:30:00.000005"},
		{`{"type": "long", "logicalType": "timestamp-millis"}`, at, vector.T(vector.TimestampTZ), "2024-06-01 12:00:00.123+00"},
		{`{"type": "long", "logicalType": "timestamp-micros"}`, at, vector.T(vector.TimestampTZ), "2024-06-01 12:00:00.123456+00"},
		{`{"type": "long", "logicalType": "timestamp-micros"}`, time.Date(1700, 1, 2, 0, 0, 0, 0, time.UTC), vector.T(vector.TimestampTZ), "1700-01-02 00:00:00+00"},
		{`{"type": "long", "logicalType": "local-timestamp-micros"}`, at, vector.T(vector.Timestamp), "2024-06-01 12:00:00.123456"},
		{`{"type": "long", "logicalType": "timestamp-micros"}`, at, bigint, "42804"},
		{`"long"`, at.UnixMilli(), vector.T(vector.TimestampTZ), "2024-06-01 12:00:00.123+00"},
		{`"long"`, at.Unix(), vector.T(vector.TimestampTZ), "22008"},
		{`["null", "long"]`, nil, bigint, "NULL"},
		{`["null", "long"]`, int64(5), bigint, "5"},
		{`["null", "long", "string"]`, map[string]any{"string": "5"}, bigint, "5"},
		{`["null", "long", "string"]`, map[string]any{"string": "x"}, bigint, "22P02"},
		{`{"type": "array", "items": ["null", "string"]}`, []any{"a", nil, "b,c"}, vector.ListOf(text), `{a,NULL,"b,c"}`},
		{`{"type": "array", "items": "string"}`, []any{}, vector.ListOf(text), `{}`},
		{`{"type": "array", "items": "string"}`, []any{"a"}, text, "42804"},
		{`{"type": "array", "items": "string"}`, []any{"a", "x"}, vector.ListOf(bigint), "22P02"},
		{`"string"`, "a", vector.ListOf(text), "42804"},
		{`{"type": "map", "values": "long"}`, map[string]any{"a\"b": int64(1)}, json, `{"a\"b":1}`},
		{`{"type": "map", "values": "long"}`, map[string]any{"a": int64(1)}, text, "42804"},
		{`{"type": "record", "name": "s", "fields": [{"name": "x", "type": ["null", "double"]}, {"name": "y", "type": {"type": "int", "logicalType": "date"}}, {"name": "z", "type": "bytes"}]}`,
			map[string]any{"x": math.NaN(), "y": at, "z": []byte{1}}, json, `{"x":"NaN","y":"2024-06-01","z":"\\x01"}`},
		{`{"type": "record", "name": "s", "fields": [{"name": "x", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}}]}`, map[string]any{"x": big.NewRat(5, 4)}, json, `{"x":1.25}`},
		{`{"type": "record", "name": "s", "fields": []}`, map[string]any{}, text, "42804"},
	} {
		text := fmt.Sprintf(avroRecordOf, c.schema)
		d, err := New(one(c.of, "AVRO", text), nil)
		if err != nil {
			t.Errorf("%s: %v", c.schema, err)
			continue
		}
		b, err := avro.Marshal(avro.MustParse(text), map[string]any{"c": c.value})
		if err != nil {
			t.Errorf("%s: %v", c.schema, err)
			continue
		}
		got := read(t, d, c.of, b)
		if got != c.want && !(len(c.want) == 5 && strings.HasPrefix(got, c.want+" ")) {
			t.Errorf("%s of %v for %s is read as %s, want %s", c.schema, c.value, c.of, got, c.want)
		}
		if got == c.want { // cut anywhere, or longer, it is refused
			for i := range b {
				if cut := read(t, d, c.of, b[:i]); !strings.HasPrefix(cut, "22P02 ") {
					t.Errorf("%s of %v, cut to %d of %d bytes, is read as %s", c.schema, c.value, i, len(b), cut)
				}
			}
			if long := read(t, d, c.of, append(b, 0)); !strings.HasPrefix(long, "22P02 something stands after") {
				t.Errorf("%s of %v with one more byte is read as %s", c.schema, c.value, long)
			}
		}
	}
}

// Bytes that claim to be much, or to be deep, cost nothing.
func TestAvroHostile(t *testing.T) {
	huge := binary.AppendVarint(nil, math.MaxInt64)
	for _, c := range []struct {
		schema string
		b      []byte
		of     vector.Type
		code   string
	}{
		{`"string"`, huge, vector.T(vector.Text), "22P02"},
		{`"bytes"`, binary.AppendVarint(nil, -1), vector.T(vector.Bytes), "22P02"},
		{`{"type": "array", "items": "null"}`, huge, vector.ListOf(vector.T(vector.Text)), "54000"},
		{`{"type": "array", "items": "null"}`, binary.AppendVarint(binary.AppendVarint(nil, -1<<40), 5), vector.ListOf(vector.T(vector.Text)), "54000"},
		{`{"type": "array", "items": "null"}`, binary.AppendVarint(nil, math.MinInt64), vector.ListOf(vector.T(vector.Text)), "22P02"},
		{`{"type": "record", "name": "l", "fields": [{"name": "next", "type": ["null", "l"]}]}`, []byte(strings.Repeat("\x02", 1<<20)), vector.T(vector.JSON), "54001"},
		{`{"type": "record", "name": "l", "fields": [{"name": "next", "type": ["null", "l"]}]}`, []byte(strings.Repeat("\x02", 1<<20)), vector.Type{}, "54001"}, // skipped
		{`["null", "long"]`, binary.AppendVarint(nil, 2), vector.T(vector.Int64), "22P02"},
		{`{"type": "enum", "name": "e", "symbols": ["A"]}`, binary.AppendVarint(nil, 1), vector.T(vector.Text), "22P02"},
		{`"boolean"`, []byte{2}, vector.T(vector.Bool), "22P02"},
		{`"int"`, binary.AppendVarint(nil, 1<<40), vector.T(vector.Int64), "22P02"},
		{`{"type": "bytes", "logicalType": "decimal", "precision": 200, "scale": 3}`, append(binary.AppendVarint(nil, 100), make([]byte, 100)...), vector.DecimalOf(38, 0), "22003"},
		{`{"type": "long", "logicalType": "timestamp-millis"}`, huge, vector.T(vector.TimestampTZ), "22008"},
		{`{"type": "int", "logicalType": "date"}`, binary.AppendVarint(nil, math.MaxInt32), vector.T(vector.Date), "22008"},
	} {
		r := one(c.of, "AVRO", fmt.Sprintf(avroRecordOf, c.schema))
		if c.of.Kind == vector.Invalid {
			c.of = vector.T(vector.Text)
			r = one(c.of, "AVRO", strings.Replace(fmt.Sprintf(avroRecordOf, c.schema), `"name": "c"`, `"name": "other"`, 1))
		}
		d, err := New(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, d, c.of, c.b); !strings.HasPrefix(got, c.code+" ") {
			t.Errorf("%s of %.20x is read as %s, want %s", c.schema, c.b, got, c.code)
		}
	}
}

func FuzzAvro(f *testing.F) {
	const text = `{"type": "record", "name": "r", "fields": [{"name": "c", "type": {"type": "array", "items": ["null", "string"]}}, {"name": "d", "type": ["null", "r"]},
		{"name": "id", "type": ["long", "double", {"type": "map", "values": "bytes"}]}]}`
	of := vector.ListOf(vector.T(vector.Text))
	r := one(of, "AVRO", text)
	r.Columns = append(r.Columns, schema.Column{Name: "d", Type: vector.T(vector.JSON)})
	d, err := New(r, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{2, 2, 2, 'a', 0, 0, 0, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		rows := vector.NewChunk([]vector.Type{of, vector.T(vector.Int64), vector.T(vector.JSON)}, 1)
		if _, err := d.Append(rows, nil, ingest.Message{Value: b}); err == nil {
			rows.N++
		}
		rows.Check()
	})
}

func BenchmarkAvro(b *testing.B) {
	const text = `{"type": "record", "name": "r", "fields": [{"name": "c", "type": "string"}, {"name": "id", "type": ["null", "long"]}, {"name": "other", "type": "double"}]}`
	d, err := New(one(vector.T(vector.Text), "AVRO", text), nil)
	if err != nil {
		b.Fatal(err)
	}
	m, err := avro.Marshal(avro.MustParse(text), map[string]any{"c": "some text of a field", "id": int64(123456), "other": 2.5})
	if err != nil {
		b.Fatal(err)
	}
	rows := vector.NewChunk([]vector.Type{vector.T(vector.Text), vector.T(vector.Int64)}, 1)
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Append(rows, nil, ingest.Message{Value: m}); err != nil {
			b.Fatal(err)
		}
		if rows.N++; rows.N == 2048 {
			rows.Reset()
		}
	}
}
