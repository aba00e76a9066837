package message

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// connectSchema is a schema as Kafka Connect writes it beside a value: what its numbers, texts and bytes mean.
type connectSchema struct {
	Type       string            `json:"type"`
	Name       string            `json:"name"` // of the meaning, such as io.debezium.time.MicroTimestamp
	Field      string            `json:"field"`
	Parameters map[string]string `json:"parameters"`
	Fields     []*connectSchema  `json:"fields"` // of a struct
	Items      *connectSchema    `json:"items"`  // of an array
}

// The meanings of values that their bytes do not show.
const (
	connectDecimal  = "org.apache.kafka.connect.data.Decimal" // bytes; the parameter scale says the digits behind the point
	variableDecimal = "io.debezium.data.VariableScaleDecimal" // a struct of scale and value
	debeziumJSON    = "io.debezium.data.Json"                 // a text
	microDuration   = "io.debezium.time.MicroDuration"
)

// connectTimes are the meanings of numbers that are times, with what appends one.
var connectTimes = map[string]func(v *vector.Vector, x int64) error{
	"io.debezium.time.Date":                   appendDays,
	"io.debezium.time.Time":                   millisClock,
	"io.debezium.time.MicroTime":              appendClock,
	"io.debezium.time.NanoTime":               func(v *vector.Vector, x int64) error { return appendClock(v, x/1000) },
	"io.debezium.time.Timestamp":              appendMillis,
	"io.debezium.time.MicroTimestamp":         appendMicros,
	"io.debezium.time.NanoTimestamp":          func(v *vector.Vector, x int64) error { return appendMicros(v, floorDiv(x, 1000)) },
	"org.apache.kafka.connect.data.Date":      appendDays,
	"org.apache.kafka.connect.data.Time":      millisClock,
	"org.apache.kafka.connect.data.Timestamp": appendMillis,
	microDuration: func(v *vector.Vector, x int64) error {
		if v.Type.Kind != vector.Interval {
			return rejected(codeType, "a duration for a column of type %s", v.Type)
		}
		return parsed(codec.AppendParsed(v, fmt.Appendf(nil, "%d microseconds", x), codec.Defaults))
	},
}

func millisClock(v *vector.Vector, x int64) error {
	return appendClock(v, max(min(x, microsOfDay), -1)*1000) // beyond a day either way: refused
}

func floorDiv(x, by int64) int64 {
	q := x / by
	if x%by < 0 {
		q--
	}
	return q
}

// field is the schema of a struct's field; nil: it has none.
func (c *connectSchema) field(name string) *connectSchema {
	if c == nil || c.Type != "struct" {
		return nil
	}
	for _, f := range c.Fields {
		if f != nil && f.Field == name {
			return f
		}
	}
	return nil
}

// columns are the schemas of columns, nil for those without.
func (c *connectSchema) columns(of []schema.Column) []*connectSchema {
	out := make([]*connectSchema, len(of))
	for i := range of {
		out[i] = c.field(of[i].Name)
	}
	return out
}

// tells reports whether a schema says more of a value than the value itself.
func (c *connectSchema) tells() bool {
	switch {
	case c == nil:
		return false
	case c.Type == "array":
		return c.Items.tells()
	case c.Type == "bytes", c.Name == variableDecimal, c.Name == debeziumJSON:
		return true
	}
	return connectTimes[c.Name] != nil
}

// scalar appends a value, which is not null, by its schema.
func (c *connectSchema) scalar(v *vector.Vector, kind jsontext.Kind, raw []byte) error {
	mismatch := func() error {
		return rejected(codeType, "%s where the message's schema has %s", kindName(kind), c.meaning())
	}
	if c.Name == variableDecimal {
		parts, err := fields(raw, "scale", "value")
		if err != nil {
			return err
		}
		scale, err := strconv.Atoi(string(parts[0]))
		if err != nil || isNull(parts[1]) {
			return mismatch()
		}
		return appendConnectDecimal(v, parts[1], scale)
	}
	if add := connectTimes[c.Name]; add != nil {
		x, err := strconv.ParseInt(string(raw), 10, 64)
		if kind != '0' || err != nil {
			return mismatch()
		}
		return add(v, x)
	}
	if kind != '"' {
		return mismatch()
	}
	if c.Name == debeziumJSON {
		text, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return notJSON(err)
		}
		return appendText(v, text)
	}
	if c.Name == connectDecimal {
		scale, err := strconv.Atoi(c.Parameters["scale"])
		if err != nil {
			return rejected(codeType, "the message's schema has a decimal without its scale")
		}
		return appendConnectDecimal(v, raw, scale)
	}
	b, err := unbase64(raw)
	if err != nil {
		return err
	}
	return appendOctets(v, b)
}

func (c *connectSchema) meaning() string {
	if c.Name != "" {
		return clip([]byte(c.Name))
	}
	return clip([]byte(c.Type))
}

// maxScale bounds the digits behind the point, and zeros before it, of decimals.
const maxScale = 1000

// appendConnectDecimal appends a decimal: base64 of a two's-complement, big-endian number, with so many digits behind the point.
func appendConnectDecimal(v *vector.Vector, raw []byte, scale int) error {
	if v.Type.Kind != vector.Decimal {
		return rejected(codeType, "a decimal for a column of type %s", v.Type)
	}
	if scale < -maxScale || scale > maxScale {
		return rejected(codeRange, "a decimal of scale %d", scale)
	}
	b, err := unbase64(raw)
	if err != nil {
		return err
	}
	text, err := decimal(b, scale)
	if err != nil {
		return err
	}
	return parsed(codec.AppendParsed(v, text, codec.Defaults))
}

// unbase64 is what a JSON string is base64 of.
func unbase64(raw []byte) ([]byte, error) {
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return nil, rejected(codeSyntax, "%s is no base64", clip(raw))
	}
	b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(b, text)
	if err != nil {
		return nil, rejected(codeSyntax, "%s is no base64", clip(raw))
	}
	return b[:n], nil
}

// keptSchemas is how many schemas of messages are remembered; a topic has one for values and one for keys, until its table changes.
const keptSchemas = 16

// connectSchemas are the schemas that stand beside values, by their bytes.
type connectSchemas struct {
	last []byte
	of   *connectSchema
	kept map[string]*connectSchema
}

// parse is a schema; nil where the bytes are none, or NULL: what stands beside it is then read as it is.
func (c *connectSchemas) parse(raw []byte) *connectSchema {
	if isNull(raw) {
		return nil
	}
	if bytes.Equal(raw, c.last) {
		return c.of
	}
	s, known := c.kept[string(raw)]
	if !known {
		var out connectSchema
		if err := json.Unmarshal(raw, &out); err == nil {
			s = &out
		}
		if c.kept == nil || len(c.kept) >= keptSchemas {
			c.kept = map[string]*connectSchema{}
		}
		c.kept[string(raw)] = s
	}
	c.last, c.of = bytes.Clone(raw), s
	return s
}
