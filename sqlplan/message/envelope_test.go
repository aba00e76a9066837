package message

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/schema"
)

func relation(format, keyEncode string, primaryKey ...string) *schema.Relation {
	return &schema.Relation{Kind: schema.KafkaSource, PrimaryKey: primaryKey, Kafka: &schema.Kafka{Format: format, Encode: "JSON", KeyEncode: keyEncode},
		Columns: []schema.Column{{Name: "id", Type: vector.T(vector.Int64)}, {Name: "u", Type: vector.T(vector.Text)}, {Name: "day", Type: vector.T(vector.Date)}, {Name: "x", Type: vector.T(vector.Int32)}}}
}

// text is a message or key; NULL is nil.
func text(s string) []byte {
	if s == "NULL" {
		return nil
	}
	return []byte(s)
}

// effect is what a message does, as text: "-key +row", or the code and reason of its refusal.
func effect(t *testing.T, r *schema.Relation, key, value string) string {
	t.Helper()
	d, err := New(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return effectOf(t, d, r, key, value)
}

func effectOf(t *testing.T, d ingest.Decoder, r *schema.Relation, key, value string) string {
	t.Helper()
	var types, keys []vector.Type
	for _, c := range r.Columns {
		types = append(types, c.Type)
	}
	for _, k := range r.PrimaryKey {
		keys = append(keys, r.Columns[r.ColumnIndex(k)].Type)
	}
	rows, gone := vector.NewChunk(types, 1), vector.NewChunk(keys, 1)
	does, err := d.Append(rows, gone, ingest.Message{Key: text(key), Value: text(value)})
	var why *ingest.Rejected
	if errors.As(err, &why) {
		rows.Check() // nothing is left
		gone.Check()
		return why.Code + " " + why.Reason
	}
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	put := func(sign string, ch *vector.Chunk, counts bool) {
		if counts {
			ch.N++
			var cells []string
			for _, v := range ch.Cols {
				if v.IsNull(0) {
					cells = append(cells, "NULL")
				} else {
					cells = append(cells, string(codec.AppendText(nil, v, 0, codec.Defaults)))
				}
			}
			out = append(out, sign+strings.Join(cells, ","))
		}
		ch.Check()
	}
	put("-", gone, does&ingest.Takes != 0)
	put("+", rows, does&ingest.Puts != 0)
	return strings.Join(out, " ")
}

func TestEnvelopes(t *testing.T) {
	envelope := func(op, before, after string) string {
		return fmt.Sprintf(`{"before": %s, "after": %s, "source": {"op": "x"}, "op": %s, "ts_ms": 1}`, before, after, op)
	}
	wrapped := func(payload string) string {
		return fmt.Sprintf(`{"schema": {"type": "struct", "fields": []}, "payload": %s}`, payload)
	}
	for _, c := range []struct {
		format, keyEncode, primary, key, value, want string
	}{
		{"PLAIN", "", "id", `1`, `{"id": 1, "u": "a"}`, "+1,a,NULL,NULL"},
		{"PLAIN", "", "id", `1`, `NULL`, "22004 the message has no value"},

		{"UPSERT", "json", "id", `{"id": 1}`, `{"id": 1, "u": "a"}`, "+1,a,NULL,NULL"},
		{"UPSERT", "json", "id", `{"id": 1, "more": 2}`, `{"u": "a"}`, "+1,a,NULL,NULL"},
		{"UPSERT", "json", "id", `1`, `{"u": "a"}`, "+1,a,NULL,NULL"},
		{"UPSERT", "json", "id", ` "1" `, `{"id": "1"}`, "+1,NULL,NULL,NULL"},
		{"UPSERT", "json", "u", `"k"`, `{"id": 5}`, "+5,k,NULL,NULL"},
		{"UPSERT", "text", "u", `k`, `{"id": 5}`, "+5,k,NULL,NULL"},
		{"UPSERT", "text", "u", ``, `{"id": 5}`, "+5,,NULL,NULL"},
		{"UPSERT", "text", "id", `17`, `NULL`, "-17"},
		{"UPSERT", "json", "u,id", `{"u": "k", "id": 2}`, `{"x": 3}`, "+2,k,NULL,3"},
		{"UPSERT", "json", "u,id", `{"u": "k", "id": 2}`, `NULL`, "-k,2"},
		{"UPSERT", "json", "id", `{"id": 1}`, `NULL`, "-1"},
		{"UPSERT", "json", "id", `NULL`, `{"id": 1}`, "23502 the message's key: it is NULL"},
		{"UPSERT", "json", "id", `NULL`, `NULL`, "23502 the message's key: it is NULL"},
		{"UPSERT", "json", "id", ``, `{"id": 1}`, "22P02 the message's key: the message ends"},
		{"UPSERT", "json", "id", `{"id": null}`, `{"id": 1}`, `23502 column "id" of the primary key is NULL`},
		{"UPSERT", "json", "id", `{"key": 1}`, `{"id": 1}`, `23502 column "id" of the primary key is NULL`},
		{"UPSERT", "json", "u", `k`, `{"id": 1}`, "22P02 the message's key: the message is no JSON"},
		{"UPSERT", "json", "id", `"k"`, `{"id": 1}`, "22P02 the message's key: invalid input syntax for type bigint"},
		{"UPSERT", "json", "id", `1 2`, `{"id": 1}`, "22P02 the message's key: something stands after"},
		{"UPSERT", "json", "u,id", `5`, `NULL`, "42804 the message's key: the message is JSON, but no object"},
		{"UPSERT", "text", "id", `k`, `NULL`, "22P02 the message's key: invalid input syntax"},
		{"UPSERT", "json", "id", `{"id": 1}`, `{"id": 2}`, `22000 column "id" is 2, and 1 in the message's key`},
		{"UPSERT", "json", "id", `{"id": 1}`, ``, "22P02 the message is empty"},
		{"UPSERT", "json", "id", `{"id": 1}`, `{"id": 1, "x": "y"}`, `22P02 column "x"`},

		{"DEBEZIUM", "", "id", `{"id": 1}`, envelope(`"c"`, "null", `{"id": 1, "u": "a", "day": 19875}`), "+1,a,2024-06-01,NULL"},
		{"DEBEZIUM", "", "id", `NULL`, envelope(`"r"`, "null", `{"id": 1}`), "+1,NULL,NULL,NULL"},
		{"DEBEZIUM", "", "id", wrapped(`{"id": 1}`), wrapped(envelope(`"u"`, `{"id": 1, "u": "b"}`, `{"id": 1, "u": "a"}`)), "+1,a,NULL,NULL"},
		{"DEBEZIUM", "", "id", `{"id": 1}`, envelope(`"u"`, "null", `{"id": 1}`), "+1,NULL,NULL,NULL"},
		{"DEBEZIUM", "", "id", `{"id": 2}`, envelope(`"u"`, `{"id": 1}`, `{"id": 2}`), "-1 +2,NULL,NULL,NULL"},
		{"DEBEZIUM", "", "id", `{"id": 1}`, envelope(`"d"`, `{"id": 1, "u": null, "x": "not a number"}`, "null"), "-1"},
		{"DEBEZIUM", "", "id", wrapped(`{"id": 1}`), envelope(`"d"`, "null", "null"), "-1"},
		{"DEBEZIUM", "", "id", `NULL`, envelope(`"d"`, "null", "null"), "23502 the message's key: it is NULL"},
		{"DEBEZIUM", "", "id", `{"id": 1}`, `NULL`, "-1"},
		{"DEBEZIUM", "", "id", wrapped(`{"id": 1}`), `NULL`, "-1"},
		{"DEBEZIUM", "", "id", `NULL`, `NULL`, ""},
		{"DEBEZIUM", "", "id", `garbage`, `NULL`, ""},
		{"DEBEZIUM", "", "id", `garbage`, envelope(`"c"`, "null", `{"id": 1}`), "+1,NULL,NULL,NULL"},
		{"DEBEZIUM", "", "id", `NULL`, envelope(`"t"`, "null", "null"), "0A000 a TRUNCATE of the table"},
		{"DEBEZIUM", "", "id", `NULL`, envelope(`"m"`, "null", "null"), `0A000 a change of kind "m"`},
		{"DEBEZIUM", "", "id", `NULL`, envelope(`5`, "null", "null"), `42804 the message has no text "op"`},
		{"DEBEZIUM", "", "id", `NULL`, envelope(`"c"`, "null", "null"), `22004 a change of kind "c" without the row after it`},
		{"DEBEZIUM", "", "id", `NULL`, envelope(`"c"`, "null", `{"id": 1, "day": 19875.5}`), `22008 column "day"`},
		{"DEBEZIUM", "", "id", `NULL`, envelope(`"c"`, "null", `{"id": 1, "day": 1717243200000}`), `22008 column "day"`},
		{"DEBEZIUM", "", "id", `NULL`, `{"id": 1}`, `42804 the message has no text "op"`},
		{"DEBEZIUM", "", "id", `NULL`, `[1]`, `42804 the message is JSON, but no object`},
		{"DEBEZIUM", "", "id", `NULL`, ``, `22P02 the message is empty`},
		{"DEBEZIUM", "", "id", `NULL`, `{"op": "c", "after": {"id": 1}`, `22P02 the message ends`},
		{"DEBEZIUM", "", "id", `NULL`, wrapped("null"), `42804 the message is JSON, but no object: null`},
	} {
		got := effect(t, relation(c.format, c.keyEncode, strings.Split(c.primary, ",")...), c.key, c.value)
		if got != c.want && (c.want == "" || c.want[0] == '+' || c.want[0] == '-' || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s %s key %s value %s does %q, want %q", c.format, c.keyEncode, c.key, c.value, got, c.want)
		}
	}
}
