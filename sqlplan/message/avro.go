package message

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/hamba/avro/v2"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/schema"
)

const (
	// maxDepth is how deep values of a message may stand in each other.
	maxDepth = 100
	// maxElements is how many elements the arrays and maps of a message may have together: elements of no bytes cost a message nothing.
	maxElements = 1 << 20
)

// avroEncoding is ENCODE AVRO. The library reads schemas; the bytes are read here, into columns, with bounds that hold for any bytes.
type avroEncoding struct {
	o        options
	versions *versions[avroPlan]
}

// avroPlan is how the values of one schema are read.
type avroPlan struct {
	root     avro.Schema
	row, key *avroRecord // nil: the schema is no record
	envelope *avro.RecordSchema
	parts    map[string]*avroRecord // before, after
}

// avroRecord is how a record becomes a row.
type avroRecord struct {
	schema  *avro.RecordSchema
	columns []int // by field; −1: it is no column
	missing []int // columns without a field
	unknown string
}

func newAvroEncoding(text string, o options, schemas Schemas) (*avroEncoding, error) {
	e := &avroEncoding{o: o}
	var err error
	e.versions, err = newVersions("AVRO", text, schemas, e.plan)
	return e, err
}

// parseAvro is a schema, and what it is made of.
func parseAvro(s *ingest.Schema) (avro.Schema, error) {
	var known avro.SchemaCache
	for _, r := range s.References {
		if _, err := avro.ParseBytesWithCache([]byte(r.Text), "", &known); err != nil {
			return nil, fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	return avro.ParseBytesWithCache([]byte(s.Text), "", &known)
}

func (e *avroEncoding) plan(s *ingest.Schema) (*avroPlan, error) {
	root, err := parseAvro(s)
	if err != nil {
		return nil, err
	}
	p := &avroPlan{root: root, parts: map[string]*avroRecord{}}
	rec, ok := deref(root).(*avro.RecordSchema)
	if !ok {
		return p, nil
	}
	p.row, p.key, p.envelope = newAvroRecord(rec, e.o.columns), newAvroRecord(rec, e.o.keys), rec
	for _, f := range rec.Fields() {
		if inner := recordIn(f.Type()); inner != nil {
			switch f.Name() {
			case "before":
				p.parts["before"] = newAvroRecord(inner, e.o.keys)
			case "after":
				p.parts["after"] = newAvroRecord(inner, e.o.columns)
			}
		}
	}
	return p, nil
}

func deref(s avro.Schema) avro.Schema {
	if r, ok := s.(*avro.RefSchema); ok {
		return r.Schema()
	}
	return s
}

// recordIn is the record that a schema is, or that a union has.
func recordIn(s avro.Schema) *avro.RecordSchema {
	switch s := deref(s).(type) {
	case *avro.RecordSchema:
		return s
	case *avro.UnionSchema:
		for _, t := range s.Types() {
			if r, ok := deref(t).(*avro.RecordSchema); ok {
				return r
			}
		}
	}
	return nil
}

func newAvroRecord(s *avro.RecordSchema, columns []schema.Column) *avroRecord {
	r := &avroRecord{schema: s}
	has := make([]bool, len(columns))
	for _, f := range s.Fields() {
		at := -1
		for i, c := range columns {
			if c.Name == f.Name() {
				at = i
				has[i] = true
			}
		}
		if at < 0 && r.unknown == "" {
			r.unknown = f.Name()
		}
		r.columns = append(r.columns, at)
	}
	for i, ok := range has {
		if !ok {
			r.missing = append(r.missing, i)
		}
	}
	return r
}

func (e *avroEncoding) row(rows *vector.Chunk, value []byte) error {
	p, body, err := e.versions.of(value)
	switch {
	case err != nil:
		return err
	case p.row == nil:
		return rejected(codeType, "the message's schema is no record: %s", p.root.Type())
	case e.o.strict && p.row.unknown != "":
		return rejected(codeUnknown, "field %q of the message's schema is no column of the source", p.row.unknown)
	}
	return e.whole(rows, p.row, &avroReader{b: body, unit: e.o.unit})
}

// whole appends the record that all of a reader is.
func (e *avroEncoding) whole(ch *vector.Chunk, rec *avroRecord, r *avroReader) error {
	err := rec.appendTo(ch, r)
	if err == nil {
		err = r.end()
	}
	if err != nil {
		undo(ch)
	}
	return err
}

func (e *avroEncoding) key(gone *vector.Chunk, key []byte) error {
	p, body, err := e.versions.of(key)
	if err != nil {
		return err
	}
	r := &avroReader{b: body, unit: e.o.unit}
	if p.key != nil {
		return e.whole(gone, p.key, r)
	}
	if len(gone.Cols) > 1 {
		return rejected(codeType, "its schema is no record: %s", p.root.Type())
	}
	if err = r.value(gone.Cols[0], p.root, 0); err == nil {
		err = r.end()
	}
	if err != nil {
		undo(gone)
	}
	return err
}

func (e *avroEncoding) change(value []byte) (change, error) {
	p, body, err := e.versions.of(value)
	if err != nil {
		return change{}, err
	}
	if p.envelope == nil {
		return change{}, rejected(codeType, "the message's schema is no record: %s", p.root.Type())
	}
	if after := p.parts["after"]; after != nil && e.o.strict && after.unknown != "" {
		return change{}, rejected(codeUnknown, "field %q of the message's schema is no column of the source", after.unknown)
	}
	r := &avroReader{b: body, unit: e.o.unit}
	var c change
	for _, f := range p.envelope.Fields() {
		s, err := r.branch(f.Type())
		if err != nil {
			return change{}, err
		}
		from := r.at
		if f.Name() == "op" && s.Type() == avro.String {
			c.op = string(r.octets())
		} else if err := r.skip(s, 0); err != nil {
			return change{}, err
		}
		if r.bad {
			return change{}, r.cut()
		}
		if part := p.parts[f.Name()]; part != nil && s == avro.Schema(part.schema) {
			span := body[from:r.at]
			of := func(ch *vector.Chunk) error { return e.whole(ch, part, &avroReader{b: span, unit: e.o.unit}) }
			if f.Name() == "before" {
				c.before = of
			} else {
				c.after = of
			}
		}
	}
	return c, r.end()
}

// appendTo appends the record that comes next to the first columns of ch, which are whole only where there is no error.
func (rec *avroRecord) appendTo(ch *vector.Chunk, r *avroReader) error {
	for i, f := range rec.schema.Fields() {
		var err error
		if c := rec.columns[i]; c >= 0 {
			if err = r.value(ch.Cols[c], f.Type(), 0); err != nil {
				var why *ingest.Rejected
				if errors.As(err, &why) && !r.bad {
					return rejected(why.Code, "column %q: %s", f.Name(), why.Reason)
				}
			}
		} else {
			err = r.skip(f.Type(), 0)
		}
		if err != nil {
			return err
		}
	}
	for _, c := range rec.missing {
		ch.Cols[c].AppendNull()
	}
	return nil
}

// avroReader reads Avro's binary encoding. After the bytes were cut, or were none of the schema's, bad is set and all is zero.
type avroReader struct {
	b        []byte
	at       int
	unit     string
	elements int
	bad      bool
}

func (r *avroReader) cut() error {
	return rejected(codeSyntax, "the message ends within its value, or is not of its schema, at byte %d", r.at)
}

func (r *avroReader) end() error {
	switch {
	case r.bad:
		return r.cut()
	case r.at < len(r.b):
		return rejected(codeSyntax, "something stands after the value, at byte %d: the message is not of its schema", r.at)
	}
	return nil
}

func (r *avroReader) long() int64 {
	x, n := binary.Varint(r.b[r.at:])
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.at += n
	return x
}

func (r *avroReader) fixed(n int) []byte {
	if r.bad || n < 0 || n > len(r.b)-r.at {
		r.bad = true
		return nil
	}
	b := r.b[r.at : r.at+n : r.at+n]
	r.at += n
	return b
}

func (r *avroReader) octets() []byte {
	n := r.long()
	if n < 0 || n > int64(len(r.b)) {
		r.bad = true
		return nil
	}
	return r.fixed(int(n))
}

// branch is a schema, or the one of a union that comes next.
func (r *avroReader) branch(s avro.Schema) (avro.Schema, error) {
	s = deref(s)
	u, ok := s.(*avro.UnionSchema)
	if !ok {
		return s, nil
	}
	i := r.long()
	if r.bad || i < 0 || i >= int64(len(u.Types())) {
		r.bad = true
		return nil, r.cut()
	}
	return deref(u.Types()[i]), nil
}

// blocks calls each for every element of an array or map.
func (r *avroReader) blocks(each func() error) error {
	for {
		n := r.long()
		if n < 0 {
			if n == math.MinInt64 {
				r.bad = true
			}
			n = -n
			r.long() // the bytes of the block
		}
		if r.bad {
			return r.cut()
		}
		if n == 0 {
			return nil
		}
		if n > maxElements || r.elements+int(n) > maxElements {
			return rejected("54000", "the message has more than %d elements", maxElements)
		}
		r.elements += int(n)
		for range n {
			if err := each(); err != nil {
				return err
			}
		}
	}
}

func tooDeep(depth int) error {
	if depth > maxDepth {
		return rejected("54001", "the message's values stand in each other more than %d deep", maxDepth)
	}
	return nil
}

// skip passes over a value.
func (r *avroReader) skip(s avro.Schema, depth int) error {
	if err := tooDeep(depth); err != nil {
		return err
	}
	s, err := r.branch(s)
	if err != nil {
		return err
	}
	switch s := s.(type) {
	case *avro.RecordSchema:
		for _, f := range s.Fields() {
			if err := r.skip(f.Type(), depth+1); err != nil {
				return err
			}
		}
	case *avro.ArraySchema:
		return r.blocks(func() error { return r.skip(s.Items(), depth+1) })
	case *avro.MapSchema:
		return r.blocks(func() error { r.octets(); return r.skip(s.Values(), depth+1) })
	case *avro.FixedSchema:
		r.fixed(s.Size())
	default:
		switch s.Type() {
		case avro.Boolean:
			r.fixed(1)
		case avro.Int, avro.Long, avro.Enum:
			r.long()
		case avro.Float:
			r.fixed(4)
		case avro.Double:
			r.fixed(8)
		case avro.Bytes, avro.String:
			r.octets()
		}
	}
	if r.bad {
		return r.cut()
	}
	return nil
}

// value appends the value that comes next to a column.
func (r *avroReader) value(v *vector.Vector, s avro.Schema, depth int) error {
	if err := tooDeep(depth); err != nil {
		return err
	}
	s, err := r.branch(s)
	if err != nil {
		return err
	}
	if s.Type() == avro.Null {
		v.AppendNull()
		return nil
	}
	if v.Type.Kind == vector.JSON {
		text, err := r.json(nil, s, depth)
		if err != nil {
			return err
		}
		return parsed(codec.AppendParsed(v, text, codec.Defaults))
	}
	switch s := s.(type) {
	case *avro.ArraySchema:
		if v.Type.Kind != vector.List {
			return rejected(codeType, "an array for a column of type %s", v.Type)
		}
		if err := r.blocks(func() error { return r.value(v.Child[0], s.Items(), depth+1) }); err != nil {
			return err
		}
		v.CloseNested()
		return nil
	case *avro.MapSchema:
		if v.Type.Kind == vector.Map {
			text, err := r.json(nil, s, depth)
			if err != nil {
				return err
			}
			return parsed(codec.AppendParsed(v, text, codec.Defaults))
		}
		return rejected(codeType, "a map for a column of type %s", v.Type)
	case *avro.RecordSchema:
		if s.FullName() == variableDecimal {
			return r.variable(v, s)
		}
		return rejected(codeType, "a record for a column of type %s", v.Type)
	}
	if v.Type.Kind == vector.List || v.Type.Kind == vector.Map {
		return rejected(codeType, "a value of type %s for a column of type %s", s.Type(), v.Type)
	}
	return r.scalar(v, s)
}

// connectName is what Kafka Connect's converter notes of a value's meaning.
func connectName(s avro.Schema) string {
	if p, ok := s.(avro.PropertySchema); ok {
		name, _ := p.Prop("connect.name").(string)
		return name
	}
	return ""
}

// variable appends a decimal that says its scale: a record of an int and bytes.
func (r *avroReader) variable(v *vector.Vector, s *avro.RecordSchema) error {
	fields := s.Fields()
	if len(fields) != 2 || fields[0].Name() != "scale" || fields[0].Type().Type() != avro.Int || fields[1].Name() != "value" || fields[1].Type().Type() != avro.Bytes || v.Type.Kind != vector.Decimal {
		return rejected(codeType, "a record for a column of type %s", v.Type)
	}
	scale, b := r.long(), r.octets()
	if r.bad {
		return r.cut()
	}
	if scale < -maxScale || scale > maxScale {
		return rejected(codeRange, "a decimal of scale %d", scale)
	}
	text, err := decimal(b, int(scale))
	if err != nil {
		return err
	}
	return parsed(codec.AppendParsed(v, text, codec.Defaults))
}

func logical(s avro.Schema) (of avro.LogicalType, scale int) {
	l, ok := s.(avro.LogicalTypeSchema)
	if !ok || l.Logical() == nil {
		return "", 0
	}
	if d, ok := l.Logical().(*avro.DecimalLogicalSchema); ok {
		scale = d.Scale()
	}
	return l.Logical().Type(), scale
}

func (r *avroReader) scalar(v *vector.Vector, s avro.Schema) error {
	of, scale := logical(s)
	switch s.Type() {
	case avro.Boolean:
		b := r.fixed(1)
		if r.bad || b[0] > 1 {
			r.bad = true
			return r.cut()
		}
		if v.Type.Kind != vector.Bool {
			return rejected(codeType, "a boolean for a column of type %s", v.Type)
		}
		v.AppendBool(b[0] == 1)
		return nil
	case avro.Int, avro.Long:
		x := r.long()
		if r.bad || s.Type() == avro.Int && (x < math.MinInt32 || x > math.MaxInt32) {
			r.bad = true
			return r.cut()
		}
		switch of {
		case avro.Date:
			return appendDays(v, x)
		case avro.TimeMillis:
			return appendClock(v, x*1000)
		case avro.TimeMicros:
			return appendClock(v, x)
		case avro.TimestampMillis, avro.LocalTimestampMillis:
			return appendMillis(v, x)
		case avro.TimestampMicros, avro.LocalTimestampMicros:
			return appendMicros(v, x)
		}
		if add := connectTimes[connectName(s)]; add != nil {
			return add(v, x)
		}
		return appendInt(v, x, r.unit)
	case avro.Float, avro.Double:
		bits := 64
		if s.Type() == avro.Float {
			bits = 32
		}
		b := r.fixed(bits / 8)
		if r.bad {
			return r.cut()
		}
		if bits == 32 {
			return appendFloat(v, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 32)
		}
		return appendFloat(v, math.Float64frombits(binary.LittleEndian.Uint64(b)), 64)
	case avro.String:
		b := r.octets()
		if r.bad {
			return r.cut()
		}
		if v.Type.Kind == vector.Bool {
			return rejected(codeType, "a string for a column of type %s", v.Type)
		}
		return appendText(v, b)
	case avro.Enum:
		x := r.long()
		name, ok := s.(*avro.EnumSchema).Symbol(int(x))
		if r.bad || !ok {
			r.bad = true
			return r.cut()
		}
		if v.Type.Kind != vector.Text {
			return rejected(codeType, "an enum for a column of type %s", v.Type)
		}
		v.AppendString(name)
		return nil
	}
	var b []byte
	if f, ok := s.(*avro.FixedSchema); ok {
		b = r.fixed(f.Size())
	} else {
		b = r.octets()
	}
	if r.bad {
		return r.cut()
	}
	switch of {
	case avro.Decimal:
		if v.Type.Kind != vector.Decimal {
			return rejected(codeType, "a decimal for a column of type %s", v.Type)
		}
		text, err := decimal(b, scale)
		if err != nil {
			return err
		}
		return parsed(codec.AppendParsed(v, text, codec.Defaults))
	case avro.Duration:
		if v.Type.Kind != vector.Interval || len(b) != 12 {
			return rejected(codeType, "a duration for a column of type %s", v.Type)
		}
		months, days, ms := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])
		return parsed(codec.AppendParsed(v, fmt.Appendf(nil, "%d mons %d days %d.%03d secs", months, days, ms/1000, ms%1000), codec.Defaults))
	}
	return appendOctets(v, b)
}

// maxDecimal is how many bytes a decimal may have: some 150 digits.
const maxDecimal = 64

// decimal is the text of a two's-complement, big-endian number with so many digits behind the point.
func decimal(b []byte, scale int) ([]byte, error) {
	if len(b) > maxDecimal {
		return nil, rejected(codeRange, "a decimal of %d bytes", len(b))
	}
	x := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		x.Sub(x, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return fmt.Appendf(nil, "%se%d", x, -scale), nil
}

// json appends the value that comes next as JSON: records and maps as objects, bytes as \x and hexadecimal digits, other values as text of
// what they are.
func (r *avroReader) json(dst []byte, s avro.Schema, depth int) ([]byte, error) {
	if err := tooDeep(depth); err != nil {
		return nil, err
	}
	s, err := r.branch(s)
	if err != nil {
		return nil, err
	}
	quoted := func(text []byte) ([]byte, error) {
		out, err := jsontext.AppendQuote(dst, text)
		if err != nil {
			return nil, rejected("22021", "a text is no UTF-8")
		}
		return out, nil
	}
	first := true
	comma := func() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
	}
	switch s := s.(type) {
	case *avro.NullSchema:
		return append(dst, "null"...), nil
	case *avro.RecordSchema:
		dst = append(dst, '{')
		for _, f := range s.Fields() {
			comma()
			dst = append(strconv.AppendQuote(dst, f.Name()), ':')
			if dst, err = r.json(dst, f.Type(), depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	case *avro.ArraySchema:
		dst = append(dst, '[')
		err := r.blocks(func() (err error) { comma(); dst, err = r.json(dst, s.Items(), depth+1); return err })
		return append(dst, ']'), err
	case *avro.MapSchema:
		dst = append(dst, '{')
		err := r.blocks(func() error {
			comma()
			name := r.octets()
			if r.bad {
				return r.cut()
			}
			out, err := quoted(name)
			if err == nil {
				dst, err = r.json(append(out, ':'), s.Values(), depth+1)
			}
			return err
		})
		return append(dst, '}'), err
	}
	// A scalar is read as the type that holds it exactly, and printed.
	of, scale := logical(s)
	t := vector.T(vector.Text)
	plain := false
	switch {
	case of == avro.Decimal:
		t, plain = vector.DecimalOf(38, uint8(min(scale, 38))), true
	case of == avro.Date:
		t = vector.T(vector.Date)
	case of == avro.TimeMillis, of == avro.TimeMicros:
		t = vector.T(vector.Time)
	case of == avro.TimestampMillis, of == avro.TimestampMicros:
		t = vector.T(vector.TimestampTZ)
	case of == avro.LocalTimestampMillis, of == avro.LocalTimestampMicros:
		t = vector.T(vector.Timestamp)
	case of == avro.Duration:
		t = vector.T(vector.Interval)
	case s.Type() == avro.Int, s.Type() == avro.Long:
		t, plain = vector.T(vector.Int64), true
	case s.Type() == avro.Float:
		t = vector.T(vector.Float32)
	case s.Type() == avro.Double:
		t = vector.T(vector.Float64)
	case s.Type() == avro.Boolean:
		b := r.fixed(1)
		if r.bad || b[0] > 1 {
			r.bad = true
			return nil, r.cut()
		}
		return strconv.AppendBool(dst, b[0] == 1), nil
	case s.Type() == avro.Bytes || s.Type() == avro.Fixed:
		t = vector.T(vector.Bytes)
	}
	v := vector.New(t, 1)
	if err := r.scalar(v, s); err != nil {
		return nil, err
	}
	if t.Kind == vector.Bytes {
		return append(hex.AppendEncode(append(dst, `"\\x`...), v.Bytes(0)), '"'), nil
	}
	text := codec.AppendText(nil, v, 0, codec.Defaults)
	if t.Kind == vector.Float32 || t.Kind == vector.Float64 {
		plain = !math.IsNaN(v.F64[0]) && !math.IsInf(v.F64[0], 0)
	}
	if plain {
		return append(dst, text...), nil
	}
	return quoted(text)
}
