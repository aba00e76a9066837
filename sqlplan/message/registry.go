package message

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tilehouse/tilehouse/materialize/ingest"
)

// Schemas gives the schemas of a registry. Errors: *ingest.Rejected where there is none of that id; others say that it cannot be asked
// now.
type Schemas interface {
	ByID(id int) (*ingest.Schema, error)
}

// maxSchemas is how many schemas are remembered with what was made of them; beyond, they are asked for again.
const maxSchemas = 256

// versions is what the values of messages are read by: one schema, which is given, or those of a registry, which each message names: a
// zero byte, and four bytes of the schema's id. P is what is made of a schema.
type versions[P any] struct {
	kind    string // of schemas: AVRO, PROTOBUF
	one     *P     // nil: of a registry
	schemas Schemas
	build   func(s *ingest.Schema) (*P, error)
	known   map[int]version[P]
}

type version[P any] struct {
	of  *P
	err error // why there is none
}

func newVersions[P any](kind, text string, schemas Schemas, build func(s *ingest.Schema) (*P, error)) (*versions[P], error) {
	v := &versions[P]{kind: kind, schemas: schemas, build: build, known: map[int]version[P]{}}
	if text != "" {
		var err error
		v.one, err = build(&ingest.Schema{Kind: kind, Text: text})
		return v, err
	}
	if schemas == nil {
		return nil, errors.New("no schema is given, and the connection has no schema registry")
	}
	return v, nil
}

// of is what a value is read by, and the value behind its header.
func (v *versions[P]) of(value []byte) (*P, []byte, error) {
	if v.one != nil {
		return v.one, value, nil
	}
	switch {
	case len(value) == 0:
		return nil, nil, rejected(codeSyntax, "the message is empty")
	case value[0] != 0 || len(value) < 5:
		return nil, nil, rejected(codeSyntax, "the message does not begin with the id of a schema: a zero byte, and four bytes")
	}
	id := int(binary.BigEndian.Uint32(value[1:5]))
	if have, ok := v.known[id]; ok {
		return have.of, value[5:], have.err
	}
	s, err := v.schemas.ByID(id)
	if err != nil {
		return nil, nil, err
	}
	var made version[P]
	if s.Kind != v.kind {
		made.err = rejected(codeType, "schema %d is of kind %s, not %s", id, s.Kind, v.kind)
	} else if made.of, err = v.build(s); err != nil {
		made.of, made.err = nil, rejected(codeSyntax, "schema %d: %s", id, clip([]byte(err.Error())))
		var why *ingest.Rejected
		if errors.As(err, &why) {
			made.err = rejected(why.Code, "schema %d: %s", id, why.Reason)
		}
	}
	if len(v.known) >= maxSchemas {
		clear(v.known)
	}
	v.known[id] = made
	return made.of, value[5:], made.err
}

// CheckSchema says what is wrong with a schema that a source gives.
func CheckSchema(encode, text, message string) (err error) {
	defer func() {
		if p := recover(); p != nil { // of a library that is given any text
			err = fmt.Errorf("%v", p)
		}
	}()
	switch encode {
	case "AVRO":
		_, err = parseAvro(&ingest.Schema{Text: text})
	case "PROTOBUF":
		_, err = parseProto(&ingest.Schema{Text: text}, message)
	}
	return err
}
