package message

import (
	"bytes"
	"strconv"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// jsonEncoding is ENCODE JSON.
type jsonEncoding struct {
	value    *JSON
	keys     *JSON
	debezium bool // keys and values may stand beside their schema
	schemas  connectSchemas
}

func newJSONEncoding(o options) *jsonEncoding {
	of := JSONOptions{Unit: o.unit, RefuseUnknown: o.strict, DateNumbers: o.debezium}
	e := &jsonEncoding{value: NewJSON(o.columns, of), debezium: o.debezium}
	of.RefuseUnknown = false
	e.keys = NewJSON(o.keys, of)
	return e
}

func (e *jsonEncoding) row(rows *vector.Chunk, value []byte) error {
	return e.value.Append(rows, value)
}

func (e *jsonEncoding) key(gone *vector.Chunk, key []byte) error {
	var told []*connectSchema
	if e.debezium {
		if inner, of, err := payload(key); err == nil {
			key = inner
			if s := e.schemas.parse(of); s != nil && s.Type == "struct" {
				told = s.columns(e.keys.columns)
			} else if s != nil {
				told = []*connectSchema{s}
			}
		}
	}
	if len(gone.Cols) > 1 || isObject(key) {
		return e.keys.appendTold(gone, key, told)
	}
	e.keys.told = told
	defer func() { e.keys.told = nil }()
	return e.keys.single(gone.Cols[0], key)
}

func (e *jsonEncoding) change(value []byte) (change, error) {
	value, of, err := payload(value)
	if err != nil {
		return change{}, err
	}
	told := e.schemas.parse(of)
	parts, err := fields(value, "op", "before", "after")
	if err != nil {
		return change{}, err
	}
	c := change{}
	if op := parts[0]; len(op) > 0 && op[0] == '"' {
		if c.op, err = strconv.Unquote(string(op)); err != nil { // escapes that only JSON has: no operation has any
			c.op = string(op)
		}
	}
	if before := parts[1]; !isNull(before) {
		c.before = func(ch *vector.Chunk) error {
			return e.keys.appendTold(ch, before, told.field("before").columns(e.keys.columns))
		}
	}
	if after := parts[2]; !isNull(after) {
		c.after = func(ch *vector.Chunk) error {
			return e.value.appendTold(ch, after, told.field("after").columns(e.value.columns))
		}
	}
	return c, nil
}

func isNull(raw []byte) bool { return raw == nil || bytes.Equal(raw, []byte("null")) }

func isObject(raw []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) }

// payload is what stands beside a schema, and the schema; or all of a value that has none.
func payload(value []byte) (inner, of []byte, err error) {
	if !isObject(value) {
		return value, nil, nil
	}
	parts, err := fields(value, "schema", "payload")
	if err != nil || parts[0] == nil || parts[1] == nil {
		return value, nil, err
	}
	return parts[1], parts[0], nil
}
