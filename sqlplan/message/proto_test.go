package message

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize/ingest"
)

const protoFields = `syntax = "proto3"; package p;
import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto"; import "google/protobuf/wrappers.proto";
enum Colour { RED = 0; BLUE = 5; }
message Inner { int32 x = 1; string y = 2; }
message Event {
  int64 id = 1; int64 i64 = 2; optional int64 maybe = 3; uint64 u64 = 4; sint32 s32 = 5; float f = 6; double d = 7; bool b = 8; string s = 9; bytes raw = 10; Colour e = 11;
  google.protobuf.Timestamp at = 12; google.protobuf.Duration took = 13; google.protobuf.Int64Value wrapped = 14; repeated string tags = 15; map<string, int32> m = 16;
  Inner inner = 17; repeated Inner inners = 18; fixed64 fx = 19; oneof choice { string left = 20; int32 right = 21; }
}
message Other { message Nested { string c = 1; } int64 id = 1; }`

// Messages that the library writes are read as what they are, by every type that takes them.
func TestProtoTypes(t *testing.T) {
	text, json, bigint := vector.T(vector.Text), vector.T(vector.JSON), vector.T(vector.Int64)
	for _, c := range []struct {
		field string // renamed c for the test
		value string // as Protobuf's text
		of    vector.Type
		want  string
	}{
		{"i64", `i64: -9007199254740993`, bigint, "-9007199254740993"},
		{"i64", ``, bigint, "0"},
		{"maybe", ``, bigint, "NULL"},
		{"maybe", `maybe: 0`, bigint, "0"},
		{"i64", `i64: 70000`, vector.T(vector.Int16), "22003"},
		{"i64", `i64: 1717243200123`, vector.T(vector.TimestampTZ), "2024-06-01 12:00:00.123+00"},
		{"i64", `i64: 1717243200`, vector.T(vector.TimestampTZ), "22008"},
		{"i64", `i64: 5`, text, "42804"},
		{"u64", `u64: 18446744073709551615`, vector.DecimalOf(20, 0), "18446744073709551615"},
		{"u64", `u64: 18446744073709551615`, bigint, "22003"},
		{"fx", `fx: 7`, bigint, "7"},
		{"s32", `s32: -3`, vector.DecimalOf(5, 1), "-3.0"},
		{"f", `f: 0.1`, vector.T(vector.Float32), "0.1"},
		{"f", `f: 0.1`, vector.T(vector.Float64), "0.10000000149011612"},
		{"d", `d: nan`, vector.T(vector.Float64), "NaN"},
		{"d", `d: 1.5`, vector.T(vector.Float32), "42804"},
		{"b", `b: true`, vector.T(vector.Bool), "t"},
		{"b", ``, vector.T(vector.Bool), "f"},
		{"s", `s: "süß"`, text, "süß"},
		{"s", ``, text, ""},
		{"s", `s: "12.345"`, vector.DecimalOf(12, 2), "12.35"},
		{"s", `s: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"`, vector.T(vector.UUID), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"s", `s: "true"`, vector.T(vector.Bool), "42804"},
		{"raw", `raw: "\000\377"`, vector.T(vector.Bytes), `\x00ff`},
		{"raw", `raw: "a"`, text, "42804"},
		{"e", `e: BLUE`, text, "BLUE"},
		{"e", ``, text, "RED"},
		{"e", `e: BLUE`, vector.T(vector.Int32), "5"},
		{"e", `e: 77`, text, "22P02"},
		{"at", `at { seconds: 1717243200 nanos: 123456789 }`, vector.T(vector.TimestampTZ), "2024-06-01 12:00:00.123456+00"},
		{"at", ``, vector.T(vector.TimestampTZ), "NULL"},
		{"at", `at { seconds: 1717243200000 }`, vector.T(vector.TimestampTZ), "22008"},
		{"at", `at { }`, text, "42804"},
		{"took", `took { seconds: 90061 nanos: 5000 }`, vector.T(vector.Interval), "25:01:01.000005"},
		{"took", `took { seconds: -1 nanos: -500000000 }`, vector.T(vector.Interval), "-00:00:01.5"},
		{"wrapped", `wrapped { value: 5 }`, bigint, "5"},
		{"wrapped", `wrapped { }`, bigint, "0"},
		{"wrapped", ``, bigint, "NULL"},
		{"tags", `tags: "a" tags: "b,c"`, vector.ListOf(text), `{a,"b,c"}`},
		{"tags", ``, vector.ListOf(text), `{}`},
		{"tags", `tags: "a"`, text, "42804"},
		{"m", `m { key: "a" value: 1 }`, json, `{"a":1}`},
		{"m", `m { key: "a" value: 1 }`, text, "42804"},
		{"inner", `inner { x: 1 }`, json, `{"x":1,"y":""}`},
		{"inner", ``, json, `NULL`},
		{"inner", `inner { x: 1 }`, text, "42804"},
		{"inners", `inners { x: 1 }`, json, `[{"x":1,"y":""}]`},
		{"left", `right: 5`, text, "NULL"},
		{"right", `right: 5`, vector.T(vector.Int32), "5"},
	} {
		r := one(c.of, "PROTOBUF", protoFields)
		r.Kafka.Message, r.Columns[0].Name = "Event", c.field
		d, err := New(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := parseProto(&ingest.Schema{Text: protoFields}, "p.Event")
		if err != nil {
			t.Fatal(err)
		}
		m := dynamicpb.NewMessage(p.one)
		if err := prototext.Unmarshal([]byte(c.value), m); err != nil {
			t.Fatalf("%s: %v", c.value, err)
		}
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.NewReplacer(`": `, `":`, `, "`, `,"`).Replace(read(t, d, c.of, b)) // the library's JSON has spaces at random
		if got != c.want && !(len(c.want) == 5 && strings.HasPrefix(got, c.want+" ")) {
			t.Errorf("%s for %s is read as %s, want %s", c.value, c.of, got, c.want)
		}
	}
	r := one(bigint, "PROTOBUF", protoFields)
	r.Columns[0].Name = "id2"
	r.Kafka.Message = "Event"
	d, _ := New(r, nil)
	if got := read(t, d, bigint, []byte("\x08")); !strings.HasPrefix(got, "22P02 the message is no p.Event") {
		t.Errorf("a message that is cut is read as %s", got)
	}
	if got := read(t, d, bigint, []byte(strings.Repeat("\x0b", 1<<16))); !strings.HasPrefix(got, "22P02 ") {
		t.Errorf("groups in groups are read as %s", got)
	}
}

// stub is a registry of schemas by id.
type stub map[int]*ingest.Schema

var errAway = errors.New("away")

func (s stub) ByID(id int) (*ingest.Schema, error) {
	switch x := s[id]; {
	case id == 999:
		return nil, errAway
	case x == nil:
		return nil, &ingest.Rejected{Code: "42704", Reason: "none"}
	default:
		return x, nil
	}
}

// Messages name their schema, and of Protobuf the type in it; what cannot be had is refused, but not where the registry is away.
func TestWireFormat(t *testing.T) {
	schemas := stub{
		1: {Kind: "PROTOBUF", Text: protoFields},
		2: {Kind: "AVRO", Text: `{"type": "record", "name": "r", "fields": [{"name": "c", "type": "string"}]}`},
		3: {Kind: "AVRO", Text: `{"type": "record", "name": "r", "fields": [{"name": "c", "type": ["null", "other.e"]}, {"name": "new", "type": "int"}]}`,
			References: []ingest.SchemaReference{{Name: "other.e", Text: `{"type": "enum", "name": "e", "namespace": "other", "symbols": ["X", "Y"]}`}}},
		4: {Kind: "AVRO", Text: `{"type": "record"`},
		5: {Kind: "JSON", Text: `{}`},
		6: {Kind: "PROTOBUF", Text: `syntax = "proto3"; import "b/common.proto"; message M { b.C c = 1; }`,
			References: []ingest.SchemaReference{{Name: "b/common.proto", Text: `syntax = "proto3"; package b; message C { string c = 1; }`}}},
		7: {Kind: "AVRO", Text: `"string"`},
	}
	text := vector.T(vector.Text)
	for _, c := range []struct{ encode, message, want string }{
		{"AVRO", "\x00\x00\x00\x00\x02\x02x", "x"},
		{"AVRO", "\x00\x00\x00\x00\x03\x02\x02\x0a", "Y"},
		{"AVRO", "\x00\x00\x00\x00\x03\x00\x0a", "NULL"},
		{"AVRO", "\x00\x00\x00\x00\x04\x02x", "22P02 schema 4: "},
		{"AVRO", "\x00\x00\x00\x00\x05\x02x", "42804 schema 5 is of kind JSON, not AVRO"},
		{"AVRO", "\x00\x00\x00\x00\x01\x02x", "42804 schema 1 is of kind PROTOBUF, not AVRO"},
		{"AVRO", "\x00\x00\x00\x00\x07\x02x", "42804 the message's schema is no record: string"},
		{"AVRO", "\x00\x00\x00\x00\x08\x02x", "42704 none"},
		{"AVRO", "\x00\x00\x00\x00", "22P02 the message does not begin with the id"},
		{"AVRO", "", "22P02 the message is empty"},
		{"AVRO", `{"c": "x"}`, "22P02 the message does not begin with the id"},
		{"PROTOBUF", "\x00\x00\x00\x00\x01\x00\x0a\x01x", "NULL"},                      // the first type, Inner, has no such field
		{"PROTOBUF", "\x00\x00\x00\x00\x01\x04\x04\x00\x0a\x01x", "x"},                 // 2, 0: Other.Nested
		{"PROTOBUF", "\x00\x00\x00\x00\x01\x02\x04\x08\x05", "NULL"},                   // 2: Other
		{"PROTOBUF", "\x00\x00\x00\x00\x01\x02\x0e", "22P02 the message does not say"}, // 7
		{"PROTOBUF", "\x00\x00\x00\x00\x01", "22P02 the message does not say"},
		{"PROTOBUF", "\x00\x00\x00\x00\x01\x01", "22P02 the message does not say"},
		{"PROTOBUF", "\x00\x00\x00\x00\x06\x00\x0a\x03\x0a\x01x", "42804 column \"c\": a message b.C"},
	} {
		r := one(text, c.encode, "")
		d, err := New(r, schemas)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time from what is remembered
			if got := read(t, d, text, []byte(c.message)); got != c.want && (len(c.want) < 5 || !strings.HasPrefix(got, c.want)) {
				t.Errorf("%s %q is read as %s, want %s", c.encode, c.message, got, c.want)
			}
		}
	}
	d, err := New(one(text, "AVRO", ""), schemas)
	if err != nil {
		t.Fatal(err)
	}
	rows := vector.NewChunk([]vector.Type{text, vector.T(vector.Int64)}, 1)
	if _, err := d.Append(rows, nil, ingest.Message{Value: []byte("\x00\x00\x00\x03\xe7\x02x")}); !errors.Is(err, errAway) {
		t.Errorf("a registry that is away gives %v", err)
	}
	rows.Check()
	if _, err := New(one(text, "AVRO", ""), nil); err == nil {
		t.Error("a source without a schema has a reader")
	}
	for _, bad := range []string{"", "{", `{"type": "record", "name": "r"}`, `"nothing"`} {
		if CheckSchema("AVRO", bad, "") == nil {
			t.Errorf("%q is a schema", bad)
		}
	}
	for _, bad := range []string{"message", `syntax = "proto3";`, `import "none.proto"; message M {}`} {
		if CheckSchema("PROTOBUF", bad, "") == nil {
			t.Errorf("%q is a schema", bad)
		}
	}
	if CheckSchema("PROTOBUF", protoFields, "p.Nothing") == nil || CheckSchema("PROTOBUF", protoFields, "p.Other.Nested") != nil {
		t.Error("a schema's messages are known by their names")
	}
}

// Changes as Debezium writes them in Avro.
func TestAvroEnvelope(t *testing.T) {
	const text = `{"type": "record", "name": "Envelope", "fields": [
		{"name": "before", "type": ["null", {"type": "record", "name": "Value", "fields": [{"name": "id", "type": "long"}, {"name": "u", "type": ["null", "string"]}]}]},
		{"name": "after", "type": ["null", "Value"]}, {"name": "source", "type": {"type": "map", "values": "string"}}, {"name": "op", "type": "string"}, {"name": "ts_ms", "type": ["null", "long"]}]}`
	key := `{"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}`
	schemas := stub{1: {Kind: "AVRO", Text: text}, 2: {Kind: "AVRO", Text: key}, 3: {Kind: "AVRO", Text: `"long"`}}
	head := func(id string, rest ...string) string { return "\x00\x00\x00\x00" + id + strings.Join(rest, "") }
	row := func(id, u string) string { return "\x02" + id + "\x02\x02" + u } // a branch of the union; u has one letter
	none, end := "\x00", func(op string) string { return "\x00\x02" + op + "\x00" }
	r := relation("DEBEZIUM", "", "id")
	r.Kafka.Encode = "AVRO"
	for _, c := range []struct{ key, value, want string }{
		{head("\x02", "\x02"), head("\x01", none, row("\x02", "a"), end("c")), "+1,a,NULL,NULL"},
		{head("\x02", "\x02"), head("\x01", row("\x02", "b"), row("\x02", "a"), end("u")), "+1,a,NULL,NULL"},
		{head("\x02", "\x02"), head("\x01", row("\x04", "b"), row("\x02", "a"), end("u")), "-2 +1,a,NULL,NULL"},
		{head("\x02", "\x02"), head("\x01", row("\x04", "b"), none, end("d")), "-2"},
		{head("\x02", "\x06"), head("\x01", none, none, end("d")), "-3"},
		{head("\x03", "\x06"), head("\x01", none, none, end("d")), "-3"},
		{head("\x02", "\x06"), "NULL", "-3"},
		{"NULL", "NULL", ""},
		{"NULL", head("\x01", none, none, end("d")), "23502 the message's key: it is NULL"},
		{"NULL", head("\x01", none, none, end("t")), "0A000 a TRUNCATE"},
		{"NULL", head("\x01", none, none, end("c")), "22004"},
		{"NULL", head("\x01", none, row("\x02", "a"), "\x00\x02"), "22P02 the message ends"},
		{"NULL", head("\x02", "\x02"), "42804 the message has no text \"op\""},
	} {
		d, err := New(r, schemas)
		if err != nil {
			t.Fatal(err)
		}
		if got := effectOf(t, d, r, c.key, c.value); got != c.want && (c.want == "" || c.want[0] == '+' || c.want[0] == '-' || !strings.HasPrefix(got, c.want)) {
			t.Errorf("key %q value %q does %q, want %q", c.key, c.value, got, c.want)
		}
	}
	// And of keys and values by their schemas.
	r = relation("UPSERT", "", "id")
	r.Kafka.Encode = "AVRO"
	schemas[4] = &ingest.Schema{Kind: "AVRO", Text: `{"type": "record", "name": "v", "fields": [{"name": "u", "type": "string"}]}`}
	d, err := New(r, schemas)
	if err != nil {
		t.Fatal(err)
	}
	if got := effectOf(t, d, r, head("\x02", "\x0a"), head("\x04", "\x02z")); got != "+5,z,NULL,NULL" {
		t.Errorf("an upsert does %q", got)
	}
	if got := effectOf(t, d, r, head("\x02", "\x0a"), "NULL"); got != "-5" {
		t.Errorf("a tombstone does %q", got)
	}
}
