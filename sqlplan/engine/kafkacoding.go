package engine

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/message"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// maxSchemaFile is the most bytes of a schema.
const maxSchemaFile = 1 << 20

// setCoding is FORMAT … ENCODE … of a source.
func (s *Session) setCoding(sql string, r *schema.Relation, connection *schema.Connection, c *parse.Coding) error {
	k := r.Kafka
	k.Format, k.Encode = c.Format, c.Encode
	switch {
	case !slices.Contains(message.Formats, k.Format):
		return at(hint(fail(codeUnsupported, "FORMAT %s is not supported", k.Format), "FORMAT %s", strings.Join(message.Formats, ", FORMAT ")), sql, c.CodingPosition)
	case !slices.Contains(message.Encodings, k.Encode):
		return at(hint(fail(codeUnsupported, "ENCODE %s is not supported", k.Encode), "ENCODE %s", strings.Join(message.Encodings, ", ENCODE ")), sql, c.EncodePosition)
	case k.Format == message.Debezium && k.Encode == "PROTOBUF":
		return at(hint(fail(codeUnsupported, "FORMAT DEBEZIUM ENCODE PROTOBUF is not supported"), "FORMAT DEBEZIUM ENCODE JSON, or AVRO"), sql, c.CodingPosition)
	case k.Replaces() && len(r.PrimaryKey) == 0:
		return at(hint(fail(codeDefinition, "source %q has no primary key, by which FORMAT %s knows its rows", r.Name, k.Format), "Among its columns: PRIMARY KEY (id)"), sql, c.CodingPosition)
	}
	enc := readOptions(sql, "ENCODE "+k.Encode, c.EncodeOptions)
	k.TimeUnit = enc.oneOf("timestamp_unit", "ms", message.Units...)
	k.RefuseUnknown = enc.oneOf("unknown_fields", "ignore", "ignore", "refuse") == "refuse"
	if k.Encode != "JSON" {
		if err := s.setSchema(sql, k, connection, c, enc); err != nil {
			return err
		}
	}
	if err := enc.done(); err != nil {
		return err
	}
	format := readOptions(sql, "FORMAT "+k.Format, c.FormatOptions)
	k.KeyEncode = ""
	if k.Format == message.Upsert {
		own, words := message.KeyJSON, []string{message.KeyJSON, message.KeyText}
		if k.Encode != "JSON" && k.Schema == "" { // the registry has the keys' schemas, too
			own = strings.ToLower(k.Encode)
			words = append(words, own)
		}
		if k.KeyEncode = format.oneOf("key_encode", own, words...); k.KeyEncode == own && own != message.KeyJSON {
			k.KeyEncode = ""
		}
		if k.KeyEncode == message.KeyText && len(r.PrimaryKey) > 1 {
			return at(fail(codeDefinition, "key_encode = 'text' is for a primary key of one column: that of source %q has %d", r.Name, len(r.PrimaryKey)), sql, c.FormatOptions["key_encode"].ValuePosition)
		}
	}
	return format.done()
}

// setSchema is where the schemas of messages are: a statement's text, a file, whose text is kept, or the connection's registry.
func (s *Session) setSchema(sql string, k *schema.Kafka, connection *schema.Connection, c *parse.Coding, enc *optionReader) error {
	k.Schema, k.Message = enc.text("schema", ""), ""
	place := c.EncodePosition
	if enc.has("schema") {
		place = c.EncodeOptions["schema"].ValuePosition
	}
	if enc.has("schema.file") {
		place = c.EncodeOptions["schema.file"].ValuePosition
		if enc.has("schema") {
			return at(fail(codeInvalidParameter, "options \"schema\" and \"schema.file\" say the same"), sql, place)
		}
		text, err := s.schemaFile(c.EncodeOptions["schema.file"].Value)
		if err != nil {
			return at(asError(err), sql, place)
		}
		k.Schema = text
	}
	if k.Encode == "PROTOBUF" {
		if k.Message = enc.text("message", ""); k.Message != "" && k.Schema == "" {
			return at(fail(codeInvalidParameter, "option \"message\" is of a schema that is given: messages say their type where a registry has it"), sql, c.EncodeOptions["message"].ValuePosition)
		}
	}
	if k.Schema == "" {
		if connection == nil || connection.Options[ingest.OptRegistry] == "" {
			return at(hint(fail(codeDefinition, "ENCODE %s needs a schema", k.Encode), "ENCODE %s (schema = '…') or (schema.file = '…'), or a connection WITH (…, schema.registry = 'http://host:8081')", k.Encode), sql, c.EncodePosition)
		}
		return nil
	}
	if len(k.Schema) > maxSchemaFile {
		return at(fail("54000", "the schema is longer than %d bytes", maxSchemaFile), sql, place)
	}
	if err := message.CheckSchema(k.Encode, k.Schema, k.Message); err != nil {
		return at(fail(codeInvalidParameter, "the schema cannot be read as %s: %s", k.Encode, err), sql, place)
	}
	return nil
}

// schemaFile is the text of a file below the file roots.
func (s *Session) schemaFile(name string) (string, error) {
	if !s.catalog().HasRightsOf(s.role, schema.ReadServerFiles) {
		return "", hint(denied("must be superuser or have privileges of the pg_read_server_files role to read a schema's file"), "GRANT pg_read_server_files TO %s;", roleName(s, s.role))
	}
	f := &copyFile{name: name}
	path, err := s.e.mat.Resolve(name)
	if err != nil {
		return "", f.unreadable(err)
	}
	file, err := os.Open(path)
	if err != nil {
		return "", f.unreadable(err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxSchemaFile+1))
	return string(b), err
}

// decoder is what reads the messages of a source.
func (e *Engine) decoder(cat *schema.Catalog, r *schema.Relation) (ingest.Decoder, error) {
	if r.Kafka.Encode == "JSON" || r.Kafka.Schema != "" {
		return message.New(r, nil)
	}
	connection := cat.Connections[r.Kafka.Connection]
	if connection == nil {
		return nil, fmt.Errorf("the connection of source %q is gone", r.Name)
	}
	registry, err := ingest.NewRegistry(cat, connection, e.cfg.Clock)
	if err != nil {
		return nil, err
	}
	if registry == nil {
		return nil, fmt.Errorf("connection %q has no schema registry any more", connection.Name)
	}
	return message.New(r, registry)
}

// alterCoding is ALTER SOURCE … FORMAT … ENCODE …: messages that are read from then on, dead letters too, are read by it.
func (s *Session) alterCoding(sql string, st *parse.Alter, r *schema.Relation) error {
	next, kafka := *r, *r.Kafka
	next.Kafka = &kafka
	if err := s.setCoding(sql, &next, s.catalog().Connections[kafka.Connection], &st.Coding); err != nil {
		return err
	}
	if kafka.Format != r.Kafka.Format {
		return at(hint(fail(codeInvalidParameter, "source %q has FORMAT %s, which says what its rows are, and cannot be changed", r.Name, r.Kafka.Format), "DROP it and CREATE it anew."), sql, st.CodingPosition)
	}
	parsed, err := parse.Parse(r.SQL)
	if err != nil {
		return err
	}
	made, ok := parsed.(*parse.CreateSource)
	if !ok {
		return fmt.Errorf("source %q is not made by CREATE SOURCE", r.Name)
	}
	next.SQL = r.SQL[:made.CodingPosition] + strings.TrimRight(sql[st.CodingPosition:], "; \t\r\n")
	return s.define(func(c *schema.Catalog) error {
		have := c.Relations[r.ID]
		if have == nil || have.SQL != r.SQL {
			return fail(codeConflict, "source %q was changed meanwhile", r.Name)
		}
		now := *have
		now.SQL, now.Kafka = next.SQL, &kafka
		c.Relations[r.ID] = &now
		return nil
	})
}
