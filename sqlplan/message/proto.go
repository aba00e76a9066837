package message

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// protoEncoding is ENCODE PROTOBUF.
type protoEncoding struct {
	o        options
	versions *versions[protoPlan]
}

// protoPlan is how the values of one schema are read.
type protoPlan struct {
	file    protoreflect.FileDescriptor
	one     protoreflect.MessageDescriptor                   // of a schema that is given
	indexes map[protoreflect.FullName]*protoRow              // by message
	list    func(m protoreflect.MessageDescriptor) *protoRow // makes one
}

// protoRow is how a message becomes a row, and a key.
type protoRow struct {
	message      protoreflect.MessageDescriptor
	columns, key []protoreflect.FieldDescriptor // nil: the message has no such field
	unknown      string                         // a field that is no column
}

func newProtoEncoding(text, message string, o options, schemas Schemas) (*protoEncoding, error) {
	e := &protoEncoding{o: o}
	var err error
	e.versions, err = newVersions("PROTOBUF", text, schemas, func(s *ingest.Schema) (*protoPlan, error) { return e.plan(s, message) })
	return e, err
}

// mainFile is the name that a source's or registry's schema has for the compiler.
const mainFile = "message.proto"

// parseProto is a file of message types, and the type of a name in it; "": its first one.
func parseProto(s *ingest.Schema, name string) (*protoPlan, error) {
	files := map[string]string{mainFile: s.Text}
	for _, r := range s.References {
		files[r.Name] = r.Text
	}
	c := protocompile.Compiler{MaxParallelism: 1, Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(files)})}
	out, err := c.Compile(context.Background(), mainFile)
	if err != nil {
		return nil, err
	}
	p := &protoPlan{file: out[0], indexes: map[protoreflect.FullName]*protoRow{}}
	if p.file.Messages().Len() == 0 {
		return nil, errors.New("the schema has no message")
	}
	p.one = p.file.Messages().Get(0)
	if name != "" {
		var find func(ms protoreflect.MessageDescriptors) protoreflect.MessageDescriptor
		find = func(ms protoreflect.MessageDescriptors) protoreflect.MessageDescriptor {
			for i := range ms.Len() {
				m := ms.Get(i)
				if string(m.FullName()) == name || string(m.Name()) == name {
					return m
				}
				if inner := find(m.Messages()); inner != nil {
					return inner
				}
			}
			return nil
		}
		if p.one = find(p.file.Messages()); p.one == nil {
			return nil, fmt.Errorf("the schema has no message %q", name)
		}
	}
	return p, nil
}

func (e *protoEncoding) plan(s *ingest.Schema, name string) (*protoPlan, error) {
	p, err := parseProto(s, name)
	if err == nil {
		p.list = func(m protoreflect.MessageDescriptor) *protoRow {
			r := &protoRow{message: m}
			is := map[protoreflect.Name]bool{}
			fields := func(columns []schema.Column) (out []protoreflect.FieldDescriptor) {
				for _, c := range columns {
					f := m.Fields().ByName(protoreflect.Name(c.Name))
					out = append(out, f)
					if f != nil {
						is[f.Name()] = true
					}
				}
				return out
			}
			r.key = fields(e.o.keys)
			r.columns = fields(e.o.columns)
			for i := range m.Fields().Len() {
				if f := m.Fields().Get(i); !is[f.Name()] && r.unknown == "" {
					r.unknown = string(f.Name())
				}
			}
			return r
		}
	}
	return p, err
}

// of is what a value is of, and its bytes behind the header: of a registry, behind the schema's id, the path to the message's type among
// those of its file, as a count and as many numbers; a count of 0 is the first type.
func (e *protoEncoding) of(value []byte) (*protoRow, []byte, error) {
	p, body, err := e.versions.of(value)
	if err != nil {
		return nil, nil, err
	}
	m := p.one
	if e.versions.one == nil {
		bad := rejected(codeSyntax, "the message does not say, behind the id of its schema, which of its types it is of")
		next := func() int {
			x, n := binary.Varint(body)
			if n <= 0 || x < 0 || x > math.MaxInt32 {
				return -1
			}
			body = body[n:]
			return int(x)
		}
		types := p.file.Messages()
		n := next()
		if n < 0 || n > maxDepth {
			return nil, nil, bad
		}
		for i := range max(n, 1) {
			at := 0
			if n > 0 {
				at = next()
			}
			if at < 0 || at >= types.Len() {
				return nil, nil, bad
			}
			if m = types.Get(at); i < n-1 {
				types = m.Messages()
			}
		}
	}
	row := p.indexes[m.FullName()]
	if row == nil {
		row = p.list(m)
		p.indexes[m.FullName()] = row
	}
	return row, body, nil
}

var unmarshal = proto.UnmarshalOptions{RecursionLimit: maxDepth, AllowPartial: true}

func (e *protoEncoding) read(value []byte) (*protoRow, protoreflect.Message, error) {
	row, body, err := e.of(value)
	if err != nil {
		return nil, nil, err
	}
	m := dynamicpb.NewMessage(row.message)
	if err := unmarshal.Unmarshal(body, m); err != nil {
		return nil, nil, rejected(codeSyntax, "the message is no %s: %s", row.message.FullName(), clip([]byte(err.Error())))
	}
	return row, m, nil
}

func (e *protoEncoding) row(rows *vector.Chunk, value []byte) error {
	row, m, err := e.read(value)
	switch {
	case err != nil:
		return err
	case e.o.strict && row.unknown != "":
		return rejected(codeUnknown, "field %q of message %s is no column of the source", row.unknown, row.message.FullName())
	case e.o.strict && len(m.GetUnknown()) > 0:
		return rejected(codeUnknown, "the message has fields that message %s has not", row.message.FullName())
	}
	return e.append(rows, row.columns, m)
}

func (e *protoEncoding) key(gone *vector.Chunk, key []byte) error {
	row, m, err := e.read(key)
	if err != nil {
		return err
	}
	return e.append(gone, row.key, m)
}

func (e *protoEncoding) change([]byte) (change, error) {
	return change{}, rejected(codeUnsupported, "a change in Protobuf")
}

func (e *protoEncoding) append(ch *vector.Chunk, fields []protoreflect.FieldDescriptor, m protoreflect.Message) error {
	for i, f := range fields {
		var err error
		if f == nil || f.HasPresence() && !m.Has(f) {
			ch.Cols[i].AppendNull()
		} else {
			err = e.field(ch.Cols[i], f, m)
		}
		if err != nil {
			undo(ch)
			var why *ingest.Rejected
			if errors.As(err, &why) {
				return rejected(why.Code, "column %q: %s", f.Name(), why.Reason)
			}
			return err
		}
	}
	return nil
}

func (e *protoEncoding) field(v *vector.Vector, f protoreflect.FieldDescriptor, m protoreflect.Message) error {
	x := m.Get(f)
	switch {
	case v.Type.Kind == vector.JSON || v.Type.Kind == vector.Map && f.IsMap():
		text, err := jsonOf(f, x)
		if err != nil {
			return err
		}
		return parsed(codec.AppendParsed(v, text, codec.Defaults))
	case f.IsMap():
		return rejected(codeType, "a map for a column of type %s", v.Type)
	case f.IsList():
		if v.Type.Kind != vector.List {
			return rejected(codeType, "a repeated field for a column of type %s", v.Type)
		}
		for i := range x.List().Len() {
			if err := e.value(v.Child[0], f, x.List().Get(i)); err != nil {
				return err
			}
		}
		v.CloseNested()
		return nil
	}
	return e.value(v, f, x)
}

// jsonOf is a field's value as Protobuf's JSON has it.
func jsonOf(f protoreflect.FieldDescriptor, x protoreflect.Value) ([]byte, error) {
	// Only messages are written: one that has the field alone.
	m := dynamicpb.NewMessage(f.ContainingMessage())
	m.Set(f, x)
	text, err := protojson.MarshalOptions{AllowPartial: true, UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, rejected(codeSyntax, "%s", clip([]byte(err.Error())))
	}
	parts, err := fields(text, string(f.Name()))
	if err == nil && parts[0] == nil {
		return []byte("null"), nil
	}
	if err != nil {
		return nil, err
	}
	return parts[0], nil
}

// value appends one value of a field.
func (e *protoEncoding) value(v *vector.Vector, f protoreflect.FieldDescriptor, x protoreflect.Value) error {
	if v.Type.Kind == vector.List || v.Type.Kind == vector.Map {
		return rejected(codeType, "a value of type %s for a column of type %s", f.Kind(), v.Type)
	}
	switch f.Kind() {
	case protoreflect.BoolKind:
		if v.Type.Kind != vector.Bool {
			return rejected(codeType, "a bool for a column of type %s", v.Type)
		}
		v.AppendBool(x.Bool())
		return nil
	case protoreflect.EnumKind:
		if v.Type.Kind != vector.Text {
			return appendInt(v, int64(x.Enum()), e.o.unit)
		}
		if name := f.Enum().Values().ByNumber(x.Enum()); name != nil {
			v.AppendString(string(name.Name()))
			return nil
		}
		return rejected(codeSyntax, "%d is no value of enum %s", x.Enum(), f.Enum().FullName())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind, protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return appendInt(v, x.Int(), e.o.unit)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return appendUint(v, x.Uint(), e.o.unit)
	case protoreflect.FloatKind:
		return appendFloat(v, x.Float(), 32)
	case protoreflect.DoubleKind:
		return appendFloat(v, x.Float(), 64)
	case protoreflect.StringKind:
		if v.Type.Kind == vector.Bool {
			return rejected(codeType, "a string for a column of type %s", v.Type)
		}
		return appendText(v, []byte(x.String()))
	case protoreflect.BytesKind:
		return appendOctets(v, x.Bytes())
	}
	return e.message(v, x.Message())
}

// message appends a message of a type that is known to everybody.
func (e *protoEncoding) message(v *vector.Vector, m protoreflect.Message) error {
	number := func(name protoreflect.Name) int64 { return m.Get(m.Descriptor().Fields().ByName(name)).Int() }
	switch m.Descriptor().FullName() {
	case "google.protobuf.Timestamp":
		seconds, nanos := number("seconds"), number("nanos")
		if seconds < leastDay*86400 || seconds >= (mostDay+1)*86400 || nanos < 0 || nanos >= 1e9 {
			return rejected(codeTime, "%d seconds and %d nanoseconds are no timestamp", seconds, nanos)
		}
		return appendMicros(v, seconds*1_000_000+nanos/1000)
	case "google.protobuf.Duration":
		seconds, nanos := number("seconds"), number("nanos")
		if v.Type.Kind != vector.Interval || seconds < -315_576_000_000 || seconds > 315_576_000_000 || nanos <= -1e9 || nanos >= 1e9 {
			return rejected(codeType, "a duration for a column of type %s", v.Type)
		}
		return parsed(codec.AppendParsed(v, fmt.Appendf(nil, "%d secs %d microseconds", seconds, nanos/1000), codec.Defaults))
	case "google.type.Date":
		if v.Type.Kind != vector.Date {
			return rejected(codeType, "a date for a column of type %s", v.Type)
		}
		return parsed(codec.AppendParsed(v, fmt.Appendf(nil, "%04d-%02d-%02d", number("year"), number("month"), number("day")), codec.Defaults))
	case "google.type.Decimal":
		return appendText(v, []byte(m.Get(m.Descriptor().Fields().ByName("value")).String()))
	case "google.protobuf.BoolValue", "google.protobuf.BytesValue", "google.protobuf.DoubleValue", "google.protobuf.FloatValue", "google.protobuf.Int32Value",
		"google.protobuf.Int64Value", "google.protobuf.StringValue", "google.protobuf.UInt32Value", "google.protobuf.UInt64Value":
		f := m.Descriptor().Fields().ByName("value")
		return e.value(v, f, m.Get(f))
	}
	return rejected(codeType, "a message %s for a column of type %s", m.Descriptor().FullName(), v.Type)
}
