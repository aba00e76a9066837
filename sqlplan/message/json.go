package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// The SQLSTATEs of messages that are refused.
const (
	codeSyntax  = "22P02" // a value that its type cannot read, a message that is no JSON
	codeType    = "42804" // a value of another kind than the column
	codeTime    = "22008" // a time in another unit
	codeUnknown = "42703" // a field that is no column
	codeRange   = "22003" // a number beyond its type
)

// Units are the units of times that are numbers, with the microseconds, or for ns the part of one, that they are.
var Units = []string{"s", "ms", "us", "ns"}

// JSONOptions are what ENCODE JSON (…) may say.
type JSONOptions struct {
	Unit          string // of Units; "": ms
	RefuseUnknown bool
	DateNumbers   bool // a date may be a number: days since 1970
}

// JSON reads JSON objects. It is used by one goroutine.
type JSON struct {
	columns []schema.Column
	byName  map[string]int
	unit    string
	strict  bool
	days    bool

	dec  *jsontext.Decoder
	src  *bytes.Buffer
	text []byte
	seen []bool
	told []*connectSchema // of the columns, of the message that is read; nil: it has none
}

// NewJSON is a reader of the columns.
func NewJSON(columns []schema.Column, o JSONOptions) *JSON {
	j := &JSON{columns: columns, byName: map[string]int{}, unit: o.Unit, strict: o.RefuseUnknown, days: o.DateNumbers, src: new(bytes.Buffer), seen: make([]bool, len(columns))}
	if j.unit == "" {
		j.unit = "ms"
	}
	for i, c := range columns {
		j.byName[c.Name] = i
	}
	j.dec = jsontext.NewDecoder(j.src)
	return j
}

// appendTold is Append of a message with the schemas of its columns; nil: of a column that has none.
func (j *JSON) appendTold(ch *vector.Chunk, message []byte, told []*connectSchema) error {
	j.told = told
	defer func() { j.told = nil }()
	return j.Append(ch, message)
}

// Append appends one value to each of the columns of ch, which may have more columns, or leaves them as they were. Errors:
// *ingest.Rejected.
func (j *JSON) Append(ch *vector.Chunk, message []byte) error {
	err := j.object(ch, message)
	if err != nil {
		for i := range j.columns {
			ch.Cols[i].Truncate(ch.N)
		}
	}
	return err
}

// single appends a message that is one value, and no object, to a column.
func (j *JSON) single(v *vector.Vector, message []byte) error {
	n := v.N
	j.src.Reset()
	j.src.Write(message)
	j.dec.Reset(j.src)
	err := j.column(v, 0)
	if err == nil {
		if _, end := j.dec.ReadToken(); end != io.EOF {
			err = rejected(codeSyntax, "something stands after the JSON value, at byte %d", j.dec.InputOffset())
		}
	}
	if err != nil {
		v.Truncate(n)
	}
	return err
}

// fields are the values of some fields of an object as they stand in it; nil: it lacks one.
func fields(object []byte, names ...string) ([][]byte, error) {
	if len(object) == 0 {
		return nil, rejected(codeSyntax, "the message is empty")
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(object))
	if k := dec.PeekKind(); k != '{' && k > 0 {
		return nil, rejected(codeType, "the message is JSON, but no object: %s", kindName(k))
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	out := make([][]byte, len(names))
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, notJSON(err)
		}
		i := slices.Index(names, name.String())
		if i < 0 {
			if err := dec.SkipValue(); err != nil {
				return nil, notJSON(err)
			}
			continue
		}
		raw, err := dec.ReadValue()
		if err != nil {
			return nil, notJSON(err)
		}
		end := dec.InputOffset()
		out[i] = object[end-int64(len(raw)) : end]
	}
	if _, err := dec.ReadToken(); err != nil { // the closing brace
		return nil, notJSON(err)
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return nil, rejected(codeSyntax, "something stands after the JSON object, at byte %d", dec.InputOffset())
	}
	return out, nil
}

func rejected(code, format string, args ...any) *ingest.Rejected {
	return &ingest.Rejected{Code: code, Reason: fmt.Sprintf(format, args...)}
}

func (j *JSON) object(ch *vector.Chunk, message []byte) error {
	if len(message) == 0 {
		return rejected(codeSyntax, "the message is empty")
	}
	j.src.Reset()
	j.src.Write(message)
	j.dec.Reset(j.src)
	clear(j.seen)
	if k := j.dec.PeekKind(); k != '{' && k > 0 {
		return rejected(codeType, "the message is JSON, but no object: %s", kindName(k))
	}
	if _, err := j.dec.ReadToken(); err != nil {
		return notJSON(err)
	}
	for j.dec.PeekKind() == '"' {
		name, err := j.dec.ReadValue()
		if err != nil {
			return notJSON(err)
		}
		if j.text, err = jsontext.AppendUnquote(j.text[:0], name); err != nil {
			return notJSON(err)
		}
		i, known := j.byName[string(j.text)]
		if !known {
			if j.strict {
				return rejected(codeUnknown, "field %s is no column of the source", clip(name))
			}
			if err := j.dec.SkipValue(); err != nil {
				return notJSON(err)
			}
			continue
		}
		j.seen[i] = true
		if err := j.column(ch.Cols[i], i); err != nil {
			var r *ingest.Rejected
			if errors.As(err, &r) {
				r.Reason = fmt.Sprintf("column %q: %s", j.columns[i].Name, r.Reason)
			}
			return err
		}
	}
	if _, err := j.dec.ReadToken(); err != nil { // the closing brace
		return notJSON(err)
	}
	if _, err := j.dec.ReadToken(); err != io.EOF {
		return rejected(codeSyntax, "something stands after the JSON object, at byte %d", j.dec.InputOffset())
	}
	for i, seen := range j.seen {
		if !seen {
			ch.Cols[i].AppendNull()
		}
	}
	return nil
}

// column appends the value of column i that comes next.
func (j *JSON) column(v *vector.Vector, i int) error {
	if i < len(j.told) && j.told[i].tells() {
		return j.value(v, j.told[i])
	}
	return j.value(v, nil)
}

// value appends the value that comes next, which is what told says; nil: what it shows.
func (j *JSON) value(v *vector.Vector, told *connectSchema) error {
	kind := j.dec.PeekKind()
	if v.Type.Kind == vector.List && kind == '[' {
		if told != nil {
			told = told.Items
		}
		return j.array(v, told)
	}
	raw, err := j.dec.ReadValue()
	if err != nil {
		return notJSON(err)
	}
	if kind == 'n' && v.Type.Kind != vector.JSON {
		v.AppendNull()
		return nil
	}
	if told != nil && told.Type != "array" {
		return told.scalar(v, kind, raw)
	}
	return j.scalar(v, kind, raw)
}

func (j *JSON) array(v *vector.Vector, told *connectSchema) error {
	if _, err := j.dec.ReadToken(); err != nil {
		return notJSON(err)
	}
	for j.dec.PeekKind() != ']' {
		if err := j.value(v.Child[0], told); err != nil {
			return err
		}
	}
	if _, err := j.dec.ReadToken(); err != nil {
		return notJSON(err)
	}
	v.CloseNested()
	return nil
}

// scalar appends a value that is no array for an array.
func (j *JSON) scalar(v *vector.Vector, kind jsontext.Kind, raw []byte) error {
	mismatch := func() error {
		return rejected(codeType, "%s for a column of type %s", kindName(kind), v.Type)
	}
	switch v.Type.Kind {
	case vector.JSON:
		return parsed(codec.AppendParsed(v, raw, codec.Defaults))
	case vector.Map:
		if kind != '{' {
			return mismatch()
		}
		return parsed(codec.AppendParsed(v, raw, codec.Defaults))
	case vector.Bool:
		if kind != 't' && kind != 'f' {
			return mismatch()
		}
		v.AppendBool(kind == 't')
		return nil
	case vector.Int16, vector.Int32, vector.Int64, vector.Decimal, vector.Float32, vector.Float64:
		if kind == '0' {
			return parsed(codec.AppendParsed(v, raw, codec.Defaults))
		}
		if v.Type.Kind == vector.Decimal && kind == '{' && j.days { // Debezium's decimals of no certain scale say it themselves
			return (&connectSchema{Name: variableDecimal}).scalar(v, kind, raw)
		}
	case vector.Date:
		if kind == '0' && j.days {
			n, err := strconv.ParseInt(string(raw), 10, 32)
			if err != nil || n < leastDay || n > mostDay {
				return rejected(codeTime, "%s is no number of days since 1970", clip(raw))
			}
			v.AppendInt(n)
			return nil
		}
	case vector.TimestampTZ, vector.Timestamp:
		if kind == '0' {
			t, err := moment(raw, j.unit)
			if err != nil {
				return err
			}
			v.AppendInt(t)
			return nil
		}
	}
	if kind != '"' || v.Type.Kind == vector.List {
		return mismatch()
	}
	var err error
	if j.text, err = jsontext.AppendUnquote(j.text[:0], raw); err != nil {
		return notJSON(err)
	}
	err = appendText(v, j.text)
	if r := (*ingest.Rejected)(nil); v.Type.Kind == vector.Decimal && j.days && errors.As(err, &r) {
		r.Reason += "; base64 of a decimal is read where its schema stands beside it"
	}
	return err
}

// leastDay and mostDay bound dates that are numbers: the years 1 and 9999.
const (
	leastDay = -719162
	mostDay  = 2932896
)

func notJSON(err error) error {
	var s *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return rejected(codeSyntax, "the message ends within the JSON object")
	case errors.As(err, &s):
		return rejected(codeSyntax, "the message is no JSON: %v at byte %d", s.Err, s.ByteOffset)
	}
	return rejected(codeSyntax, "the message is no JSON: %v", err)
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return "no JSON"
}
