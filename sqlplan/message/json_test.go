package message

import (
	"errors"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/schema"
)

var testColumns = []schema.Column{
	{Name: "id", Type: vector.T(vector.Int64)}, {Name: "small", Type: vector.T(vector.Int16)}, {Name: "amount", Type: vector.DecimalOf(12, 2)},
	{Name: "price", Type: vector.T(vector.Float64)}, {Name: "name", Type: vector.T(vector.Text)}, {Name: "ok", Type: vector.T(vector.Bool)},
	{Name: "ts", Type: vector.T(vector.TimestampTZ)}, {Name: "day", Type: vector.T(vector.Date)}, {Name: "u", Type: vector.T(vector.UUID)},
	{Name: "raw", Type: vector.T(vector.Bytes)}, {Name: "doc", Type: vector.T(vector.JSON)}, {Name: "tags", Type: vector.ListOf(vector.T(vector.Text))},
	{Name: "span", Type: vector.T(vector.Interval)}, {Name: "at", Type: vector.T(vector.Time)},
}

func chunk() *vector.Chunk {
	var types []vector.Type
	for _, c := range testColumns {
		types = append(types, c.Type)
	}
	return vector.NewChunk(types, 1)
}

// row is the one row of a chunk as text, by column, NULLs left out.
func row(ch *vector.Chunk) map[string]string {
	out := map[string]string{}
	for i, c := range testColumns {
		if !ch.Cols[i].IsNull(0) {
			out[c.Name] = string(codec.AppendText(nil, ch.Cols[i], 0, codec.Defaults))
		}
	}
	return out
}

func TestJSON(t *testing.T) {
	for _, c := range []struct {
		message, column, want string
		o                     JSONOptions
	}{
		{message: `{"id": 9007199254740993}`, column: "id", want: "9007199254740993"},
		{message: `{"id": "9223372036854775807"}`, column: "id", want: "9223372036854775807"},
		{message: ` {"id":-1} `, column: "id", want: "-1"},
		{message: `{"amount": 12.345}`, column: "amount", want: "12.35"},
		{message: `{"amount": "9999999999.99"}`, column: "amount", want: "9999999999.99"},
		{message: `{"price": 1e-7}`, column: "price", want: "1e-07"},
		{message: `{"price": "NaN"}`, column: "price", want: "NaN"},
		{message: `{"name": "a\"bé\ud83d\ude00"}`, column: "name", want: `a"bé😀`},
		{message: `{"na\u006de": "x"}`, column: "name", want: "x"},
		{message: `{"name": ""}`, column: "name", want: ""},
		{message: `{"ok": true}`, column: "ok", want: "t"},
		{message: `{"ts": 1717243200123}`, column: "ts", want: "2024-06-01 12:00:00.123+00"},
		{message: `{"ts": 1717243200123.25}`, column: "ts", want: "2024-06-01 12:00:00.12325+00"},
		{message: `{"ts": 1717243200}`, column: "ts", want: "2024-06-01 12:00:00+00", o: JSONOptions{Unit: "s"}},
		{message: `{"ts": 1717243200123456}`, column: "ts", want: "2024-06-01 12:00:00.123456+00", o: JSONOptions{Unit: "us"}},
		{message: `{"ts": 1717243200123456789}`, column: "ts", want: "2024-06-01 12:00:00.123456+00", o: JSONOptions{Unit: "ns"}},
		{message: `{"ts": "2024-06-01T12:00:00+02:00"}`, column: "ts", want: "2024-06-01 10:00:00+00"},
		{message: `{"ts": "2024-06-01 12:00"}`, column: "ts", want: "2024-06-01 12:00:00+00"},
		{message: `{"day": "2024-06-01"}`, column: "day", want: "2024-06-01"},
		{message: `{"u": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"}`, column: "u", want: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{message: `{"raw": "\\x00ff"}`, column: "raw", want: `\x00ff`},
		{message: `{"doc": {"a": [1, null]}}`, column: "doc", want: `{"a": [1, null]}`},
		{message: `{"doc": null}`, column: "doc", want: `null`},
		{message: `{"tags": ["a", null, "b,c"]}`, column: "tags", want: `{a,NULL,"b,c"}`},
		{message: `{"tags": []}`, column: "tags", want: `{}`},
		{message: `{"span": "1 day 02:00"}`, column: "span", want: "1 day 02:00:00"},
		{message: `{"at": "12:30"}`, column: "at", want: "12:30:00"},
		{message: `{"other": {"deep": [1]}, "id": 1}`, column: "id", want: "1"},
	} {
		ch := chunk()
		if err := NewJSON(testColumns, c.o).Append(ch, []byte(c.message)); err != nil {
			t.Errorf("%s: %v", c.message, err)
			continue
		}
		ch.N++
		ch.Check()
		if got := row(ch); len(got) != 1 || got[c.column] != c.want {
			t.Errorf("%s is read as %q, want %s = %q", c.message, got, c.column, c.want)
		}
	}
}

func TestJSONRefused(t *testing.T) {
	strict := JSONOptions{RefuseUnknown: true}
	for _, c := range []struct {
		message, code, reason string
		o                     JSONOptions
	}{
		{message: ``, code: "22P02", reason: "the message is empty"},
		{message: `{"id": 1`, code: "22P02", reason: "the message ends within the JSON object"},
		{message: `{"id": 1, "na`, code: "22P02", reason: "the message ends within the JSON object"},
		{message: `{`, code: "22P02", reason: "the message ends within the JSON object"},
		{message: `{"tags": ["a"`, code: "22P02", reason: "the message ends within the JSON object"},
		{message: `{"id": 1} {"id": 2}`, code: "22P02", reason: "something stands after the JSON object"},
		{message: `{"id": 1, "id": 2}`, code: "22P02", reason: "duplicate"},
		{message: "{\"name\": \"\xff\"}", code: "22P02", reason: "the message is no JSON: invalid UTF-8"},
		{message: `{"name": "a\u0000b"}`, code: "22021", reason: `column "name": invalid byte sequence`},
		{message: `[1]`, code: "42804", reason: "the message is JSON, but no object: an array"},
		{message: `null`, code: "42804", reason: "the message is JSON, but no object: null"},
		{message: `hello`, code: "22P02", reason: "the message is no JSON"},
		{message: "\x00\x00\x00\x00\x01avro", code: "22P02", reason: "the message is no JSON"},
		{message: `{"id": "one"}`, code: "22P02", reason: `column "id": invalid input syntax for type bigint: "one"`},
		{message: `{"id": 1.5}`, code: "22P02", reason: `column "id": invalid input syntax for type bigint: "1.5"`},
		{message: `{"id": 9223372036854775808}`, code: "22003", reason: `column "id": value "9223372036854775808" is out of range`},
		{message: `{"small": 40000}`, code: "22003", reason: `column "small"`},
		{message: `{"id": true}`, code: "42804", reason: `column "id": a boolean for a column of type bigint`},
		{message: `{"id": {"a": 1}}`, code: "42804", reason: `column "id": an object for a column of type bigint`},
		{message: `{"name": 5}`, code: "42804", reason: `column "name": a number for a column of type text`},
		{message: `{"ok": "true"}`, code: "42804", reason: `column "ok": a string`},
		{message: `{"amount": 1e12}`, code: "22003", reason: `column "amount": numeric field overflow`},
		{message: `{"tags": "a"}`, code: "42804", reason: `column "tags": a string`},
		{message: `{"tags": [1]}`, code: "42804", reason: `column "tags": a number`},
		{message: `{"ts": 1717243200}`, code: "22008", reason: `column "ts": 1717243200 is a time in s, and the source's numbers are ms`},
		{message: `{"ts": 1717243200123456}`, code: "22008", reason: "is a time in us"},
		{message: `{"ts": 1717243200123}`, code: "22008", reason: "is a time in ms, and the source's numbers are s", o: JSONOptions{Unit: "s"}},
		{message: `{"ts": 0}`, code: "22008", reason: "0 is no time between 1973 and 5138"},
		{message: `{"ts": -1717243200123}`, code: "22008", reason: "is no time between"},
		{message: `{"ts": "now"}`, code: "22P02", reason: "does not depend on the clock"},
		{message: `{"ts": "yesterday"}`, code: "22P02", reason: "does not depend on the clock"},
		{message: `{"ts": "2024-13-01"}`, code: "22008", reason: `column "ts"`},
		{message: `{"day": 19000}`, code: "42804", reason: `column "day": a number`},
		{message: `{"u": "x"}`, code: "22P02", reason: `column "u"`},
		{message: `{"other": 1}`, code: "42703", reason: `field "other" is no column of the source`, o: strict},
	} {
		ch := chunk()
		err := NewJSON(testColumns, c.o).Append(ch, []byte(c.message))
		var r *ingest.Rejected
		if !errors.As(err, &r) || r.Code != c.code || !strings.Contains(r.Reason, c.reason) {
			t.Errorf("%q: %v, want %s %s", c.message, err, c.code, c.reason)
		}
		ch.Check() // nothing is left
	}
}

// A refused message leaves rows before it as they were, and those after it are read.
func TestJSONAfterRefused(t *testing.T) {
	j, ch := NewJSON(testColumns, JSONOptions{}), chunk()
	for i, m := range []string{`{"id": 1, "tags": ["a", "b"], "name": null}`, `{"tags": ["c", 1]}`, `{"name": "x", "id": "y"}`, `{"id": 2, "name": "n"}`} {
		if err := j.Append(ch, []byte(m)); err == nil {
			ch.N++
		} else if i == 0 || i == 3 {
			t.Fatal(err)
		}
		ch.Check()
	}
	if ch.N != 2 || ch.Cols[0].I64[1] != 2 || string(ch.Cols[4].Bytes(1)) != "n" || !ch.Cols[4].IsNull(0) || !ch.Cols[11].IsNull(1) || ch.Cols[11].Child[0].N != 2 {
		t.Errorf("rows are %v and on", row(ch))
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"id": 1, "tags": ["a"], "doc": {"x": 1}, "ts": "2024-06-01", "amount": 1.5}`))
	f.Add([]byte(`{"id": 1`))
	j := NewJSON(testColumns, JSONOptions{})
	f.Fuzz(func(t *testing.T, m []byte) {
		ch := chunk()
		if err := j.Append(ch, m); err == nil {
			ch.N++
		}
		ch.Check()
	})
}

func BenchmarkJSON(b *testing.B) {
	j, ch := NewJSON(testColumns, JSONOptions{}), chunk()
	m := []byte(`{"id": 123456, "small": 5, "amount": 19.99, "price": 3.5, "name": "a name", "ok": true, "ts": 1717243200123, "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}`)
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	for b.Loop() {
		if err := j.Append(ch, m); err != nil {
			b.Fatal(err)
		}
		if ch.N++; ch.N == 2048 {
			ch.Reset()
		}
	}
}
