package message

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// base64Of is a decimal's digits as Kafka Connect writes them, by another way than the one that is tested.
func base64Of(n int64) string {
	b := []byte{byte(n >> 56), byte(n >> 48), byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	for len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
		b = b[1:]
	}
	return base64.StdEncoding.EncodeToString(b)
}

var connectColumns = []schema.Column{{Name: "id", Type: vector.T(vector.Int64)}, {Name: "d", Type: vector.DecimalOf(12, 2)}, {Name: "at", Type: vector.T(vector.TimestampTZ)}, {Name: "local", Type: vector.T(vector.Timestamp)},
	{Name: "day", Type: vector.T(vector.Date)}, {Name: "clock", Type: vector.T(vector.Time)}, {Name: "b", Type: vector.T(vector.Bytes)}, {Name: "j", Type: vector.T(vector.JSON)}, {Name: "took", Type: vector.T(vector.Interval)}}

func connectRelation(encode string) *schema.Relation {
	return &schema.Relation{Kind: schema.KafkaSource, PrimaryKey: []string{"id"}, Columns: connectColumns, Kafka: &schema.Kafka{Format: Debezium, Encode: encode}}
}

// What stands in a message with its schema is what the schema says.
func TestConnectSchemas(t *testing.T) {
	const at = 1717243200 // 2024-06-01 12:00:00
	for _, c := range []struct{ column, field, value, want string }{
		{"d", `"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}`, `"` + base64Of(123456) + `"`, "1234.56"},
		{"d", `"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}`, `"` + base64Of(-5) + `"`, "-0.05"},
		{"d", `"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "0"}`, `"AA=="`, "0.00"},
		{"d", `"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}`, `"1234"`, "-26588.24"}, // digits, and base64 of others
		{"d", `"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal"`, `"AA=="`, "42804"},
		{"d", `"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}`, `12.5`, "42804"},
		{"d", `"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}`, `"?"`, "22P02"},
		{"d", `"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "0"}`, `"` + base64Of(1e15) + `"`, "22003"},
		{"d", `"type": "struct", "name": "io.debezium.data.VariableScaleDecimal"`, `{"scale": 1, "value": "` + base64Of(77) + `"}`, "7.70"},
		{"d", `"type": "struct", "name": "io.debezium.data.VariableScaleDecimal"`, `{"scale": 100000000, "value": "AA=="}`, "22003"},
		{"d", `"type": "string"`, `"1234"`, "1234.00"},
		{"d", `"type": "double"`, `12.5`, "12.50"},
		{"d", `"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}`, `null`, "NULL"},
		{"at", `"type": "int64", "name": "io.debezium.time.Timestamp"`, fmt.Sprint(at * 1_000), "2024-06-01 12:00:00+00"},
		{"at", `"type": "int64", "name": "io.debezium.time.MicroTimestamp"`, fmt.Sprint(at*1_000_000 + 7), "2024-06-01 12:00:00.000007+00"},
		{"at", `"type": "int64", "name": "io.debezium.time.NanoTimestamp"`, fmt.Sprint(at * 1_000_000_000), "2024-06-01 12:00:00+00"},
		{"at", `"type": "int64", "name": "io.debezium.time.MicroTimestamp"`, `-1`, "1969-12-31 23:59:59.999999+00"}, // which no unit is guessed of
		{"at", `"type": "int64", "name": "io.debezium.time.MicroTimestamp"`, `0`, "1970-01-01 00:00:00+00"},
		{"at", `"type": "string", "name": "io.debezium.time.ZonedTimestamp"`, `"2024-06-01T14:00:00.5+02:00"`, "2024-06-01 12:00:00.5+00"},
		{"at", `"type": "int64", "name": "org.apache.kafka.connect.data.Timestamp"`, fmt.Sprint(at * 1_000), "2024-06-01 12:00:00+00"},
		{"at", `"type": "int64"`, fmt.Sprint(at * 1_000), "2024-06-01 12:00:00+00"}, // by the source's unit
		{"at", `"type": "int64"`, fmt.Sprint(at), "22008"},
		{"at", `"type": "int64", "name": "io.debezium.time.Timestamp"`, `9223372036854775807`, "22008"},
		{"at", `"type": "int64", "name": "io.debezium.time.Timestamp"`, `"2024-06-01"`, "42804"},
		{"local", `"type": "int64", "name": "io.debezium.time.MicroTimestamp"`, fmt.Sprint(at * 1_000_000), "2024-06-01 12:00:00"},
		{"day", `"type": "int32", "name": "io.debezium.time.Date"`, `19875`, "2024-06-01"},
		{"day", `"type": "int32", "name": "org.apache.kafka.connect.data.Date"`, `-1`, "1969-12-31"},
		{"day", `"type": "int64", "name": "io.debezium.time.MicroTimestamp"`, `19875`, "42804"},
		{"clock", `"type": "int32", "name": "io.debezium.time.Time"`, `43200001`, "12:00:00.001"},
		{"clock", `"type": "int64", "name": "io.debezium.time.MicroTime"`, `43200000001`, "12:00:00.000001"},
		{"clock", `"type": "int64", "name": "io.debezium.time.NanoTime"`, `43200000001000`, "12:00:00.000001"},
		{"clock", `"type": "int32", "name": "io.debezium.time.Time"`, `9223372036854775807`, "22008"},
		{"clock", `"type": "int32"`, `43200001`, "42804"},
		{"b", `"type": "bytes"`, `"/wBh"`, `\xff0061`},
		{"b", `"type": "bytes"`, `"\\xff"`, "22P02"},
		{"j", `"type": "string", "name": "io.debezium.data.Json"`, `"{\"a\": 1}"`, `{"a": 1}`},
		{"j", `"type": "string"`, `"text"`, `"text"`},
		{"took", `"type": "int64", "name": "io.debezium.time.MicroDuration"`, `90000000`, "00:01:30"},
		{"took", `"type": "string", "name": "io.debezium.time.Interval"`, `"P1DT2H"`, "1 day 02:00:00"},
	} {
		row := fmt.Sprintf(`{"type": "struct", "fields": [{"type": "int64", "field": "id"}, {%s, "field": "%s"}]`, c.field, c.column)
		message := fmt.Sprintf(`{"schema": {"type": "struct", "fields": [%s, "field": "before"}, %s, "field": "after"}, {"type": "string", "field": "op"}]}, "payload": {"before": null, "after": {"id": 1, "%s": %s}, "op": "c"}}`,
			row, row, c.column, c.value)
		want := c.want
		if !isCode(want) {
			cells := make([]string, len(connectColumns))
			for i, col := range connectColumns {
				switch cells[i] = "NULL"; col.Name {
				case "id":
					cells[i] = "1"
				case c.column:
					cells[i] = want
				}
			}
			want = "+" + strings.Join(cells, ",")
		}
		got := effect(t, connectRelation("JSON"), "NULL", message)
		if got != want && !(isCode(want) && strings.HasPrefix(got, want)) {
			t.Errorf("%s of {%s} does %q, want %q", c.value, c.field, got, want)
		}
	}
	// A key, alone and as an object, and a change after the table's schema changed.
	r := &schema.Relation{Kind: schema.KafkaSource, PrimaryKey: []string{"d"}, Columns: connectColumns[:2], Kafka: &schema.Kafka{Format: Debezium, Encode: "JSON"}}
	d, err := New(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	of := func(scale int) string {
		return fmt.Sprintf(`"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "%d"}`, scale)
	}
	for _, c := range []struct{ key, value, want string }{
		{fmt.Sprintf(`{"schema": {%s}, "payload": "%s"}`, of(2), base64Of(150)), "NULL", "-1.50"},
		{fmt.Sprintf(`{"schema": {"type": "struct", "fields": [{%s, "field": "d"}]}, "payload": {"d": "%s"}}`, of(1), base64Of(150)), "NULL", "-15.00"},
		{fmt.Sprintf(`{"schema": {"type": "struct", "fields": [{%s, "field": "d"}]}, "payload": {"d": "%s"}}`, of(0), base64Of(150)), "NULL", "-150.00"},
		{"NULL", `{"schema": {"fields": 5}, "payload": {"op": "c", "after": {"id": 1, "d": "2.5"}}}`, "+1,2.50"},
		{"NULL", `{"op": "c", "after": {"id": 1, "d": {"scale": 3, "value": "` + base64Of(2500) + `"}}}`, "+1,2.50"},
	} {
		if got := effectOf(t, d, r, c.key, c.value); got != c.want {
			t.Errorf("key %s value %s does %q, want %q", c.key, c.value, got, c.want)
		}
	}
	if got := effectOf(t, d, r, "NULL", `{"op": "c", "after": {"id": 1, "d": "AeJA"}}`); !strings.Contains(got, "schema stands beside it") {
		t.Errorf("base64 without a schema does %q", got)
	}
	// Any decimal, against arithmetic of its own.
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n := rnd.Int64N(1e12) - 5e11
		if rnd.IntN(3) == 0 {
			n = rnd.Int64N(512) - 256
		}
		want := new(big.Rat).SetFrac64(n, 100).FloatString(2)
		got := effectOf(t, d, r, fmt.Sprintf(`{"schema": {%s}, "payload": "%s"}`, of(2), base64Of(n)), "NULL")
		if n > -1e12 && got != "-"+want && !strings.HasPrefix(got, "22003") {
			t.Fatalf("%d is %s, want %s", n, got, want)
		}
	}
}

func isCode(s string) bool { return len(s) == 5 && strings.Trim(s, "0123456789P") == "" }

// The converter for Avro notes the same meanings as properties.
func TestConnectAvro(t *testing.T) {
	row := `{"type": "record", "name": "Value", "fields": [{"name": "id", "type": "long"},
		{"name": "d", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2, "connect.name": "org.apache.kafka.connect.data.Decimal"}]},
		{"name": "at", "type": {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}}, {"name": "local", "type": ["null", {"type": "long", "connect.name": "io.debezium.time.NanoTimestamp"}]},
		{"name": "day", "type": {"type": "int", "connect.name": "io.debezium.time.Date"}}, {"name": "clock", "type": {"type": "long", "connect.name": "io.debezium.time.MicroTime"}}]}`
	text := `{"type": "record", "name": "Envelope", "fields": [{"name": "before", "type": ["null", ` + row + `]}, {"name": "after", "type": ["null", "Value"]}, {"name": "op", "type": "string"}]}`
	s, err := avro.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	r := connectRelation("AVRO")
	r.Columns = connectColumns[:6]
	r.Kafka.Schema = text
	value, err := avro.Marshal(s, map[string]any{"before": nil, "op": "c", "after": map[string]any{"Value": map[string]any{"id": int64(1), "d": map[string]any{"bytes.decimal": big.NewRat(5, 4)}, "at": int64(1717243200000007),
		"local": map[string]any{"long": int64(1717243200000008000)}, "day": 19875, "clock": int64(43200000001)}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := effect(t, r, "NULL", string(value)), "+1,1.25,2024-06-01 12:00:00.000007+00,2024-06-01 12:00:00.000008,2024-06-01,12:00:00.000001"; got != want {
		t.Errorf("a change does %q, want %q", got, want)
	}
	// Decimals of no certain scale.
	text = `{"type": "record", "name": "Envelope", "fields": [{"name": "before", "type": "null"}, {"name": "after", "type": {"type": "record", "name": "Value", "fields": [{"name": "id", "type": "long"},
		{"name": "d", "type": {"type": "record", "name": "VariableScaleDecimal", "namespace": "io.debezium.data", "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}]}}]}}, {"name": "op", "type": "string"}]}`
	if s, err = avro.Parse(text); err != nil {
		t.Fatal(err)
	}
	r.Columns, r.Kafka.Schema = connectColumns[:2], text
	value, err = avro.Marshal(s, map[string]any{"before": nil, "op": "c", "after": map[string]any{"id": int64(1), "d": map[string]any{"scale": 3, "value": []byte{0x01, 0xc8}}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := effect(t, r, "NULL", string(value)), "+1,0.46"; got != want {
		t.Errorf("a decimal of scale 3 does %q, want %q", got, want)
	}
}
