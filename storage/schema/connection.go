package schema

import (
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Connection is CREATE CONNECTION: where something outside is, and how to get in.
type Connection struct {
	ID      uint32            `json:"id"`
	Name    string            `json:"name"`
	Type    string            `json:"type"`              // "kafka" or "postgres"
	Options map[string]string `json:"options,omitempty"` // without type
	Secrets map[string]uint32 `json:"secrets,omitempty"` // options whose values are those of secrets
	SQL     string            `json:"sql"`               // the statement that made it, which names secrets only
	Comment string            `json:"comment,omitempty"`
}

// SecretBackend is where a secret's value is kept.
type SecretBackend string

// The backends. The value is read when it is used, and never kept.
const (
	SecretEnv  SecretBackend = "env"  // an environment variable of the server
	SecretFile SecretBackend = "file" // a file that the server can read; one line end at its end is not of the value
)

// Secret is CREATE SECRET: where a credential is found. Where that is is shown to nobody.
type Secret struct {
	ID      uint32        `json:"id"`
	Name    string        `json:"name"`
	Backend SecretBackend `json:"backend"`
	Place   string        `json:"place"` // the variable's name, or the file's path
	Comment string        `json:"comment,omitempty"`
}

// Kafka is what a Kafka source reads, as it was when the source was made.
type Kafka struct {
	Connection uint32  `json:"connection"`
	Topic      string  `json:"topic"`
	TopicID    string  `json:"topic_id,omitempty"` // hexadecimal; "": the brokers give topics no ids
	Start      []int64 `json:"start"`              // the first offset read, by partition; partitions that come later are read from their start

	Format        string `json:"format"`                   // "PLAIN", "UPSERT" or "DEBEZIUM"
	Encode        string `json:"encode"`                   // "JSON", "AVRO" or "PROTOBUF"
	KeyEncode     string `json:"key_encode,omitempty"`     // of UPSERT: how a message's key is read, "json" or "text"; "": as Encode says
	Schema        string `json:"schema,omitempty"`         // of AVRO and PROTOBUF; "": the connection's registry has it
	Message       string `json:"message,omitempty"`        // of PROTOBUF: the type in Schema; "": the first one
	TimeUnit      string `json:"time_unit,omitempty"`      // of times that are numbers: "s", "ms", "us" or "ns"
	RefuseUnknown bool   `json:"refuse_unknown,omitempty"` // messages with fields that are no columns are refused

	Archive   string `json:"archive,omitempty"`    // the name of the folder that servers share; "": none, the server reads the topic alone
	ArchiveID string `json:"archive_id,omitempty"` // as it was when the source was made

	SessionTimeout int64 `json:"session_timeout,omitempty"` // microseconds without a sign of life after which a server's partitions of an archived topic go to others; 0: of before it could be said

	IdleTimeout int64 `json:"idle_timeout"` // microseconds without a message after which a partition does not hold the watermark back
}

// Replaces reports whether a message is a version of a row, which takes the place of the one before, or the end of a row.
func (k *Kafka) Replaces() bool { return k.Format != "PLAIN" }

// The hidden columns of a Kafka source, which its rows have in the log of record after the declared ones.
const (
	KafkaPartition = "__partition"
	KafkaOffset    = "__offset"
	KafkaTime      = "__timestamp" // the broker's or the producer's, as the topic says
	KafkaArrived   = "__arrived"   // when the server had read it
	KafkaKey       = "__key"
	KafkaHeaders   = "__headers" // a JSON array of {"key": …, "value": …}; a value that is no UTF-8 is \x and hexadecimal digits
)

var kafkaColumns = []Column{
	{Name: KafkaPartition, Type: vector.T(vector.Int32), NotNull: true}, {Name: KafkaOffset, Type: vector.T(vector.Int64), NotNull: true},
	{Name: KafkaTime, Type: vector.T(vector.TimestampTZ), NotNull: true}, {Name: KafkaArrived, Type: vector.T(vector.TimestampTZ), NotNull: true},
	{Name: KafkaKey, Type: vector.T(vector.Bytes)}, {Name: KafkaHeaders, Type: vector.T(vector.JSON)},
}

// Hidden are the columns that the relation's rows have in the log of record beside the declared ones: SELECT * does not give them.
func (r *Relation) Hidden() []Column {
	switch r.Kind {
	case KafkaSource:
		return kafkaColumns
	case DualSource:
		return dualColumns
	}
	return nil
}

// WithHidden is the relation as if its hidden columns were declared, which expressions of definitions may name.
func (r *Relation) WithHidden() *Relation {
	hidden := r.Hidden()
	if len(hidden) == 0 || r.Kind == DualSource { // where its rows are from is nothing that values may depend on
		return r
	}
	out := *r
	out.Columns = append(slices.Clip(r.Columns), hidden...)
	return &out
}

// Connection is the connection of a name, nil if there is none. Connections have names of their own.
func (c *Catalog) Connection(name string) *Connection {
	for _, o := range c.Connections {
		if o.Name == name {
			return o
		}
	}
	return nil
}

// Secret is the secret of a name, nil if there is none. Secrets have names of their own.
func (c *Catalog) Secret(name string) *Secret {
	for _, o := range c.Secrets {
		if o.Name == name {
			return o
		}
	}
	return nil
}
