package schema

import (
	"encoding/json"
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// Column is a column of a relation or entity.
type Column struct {
	Name    string      `json:"name"`
	Type    vector.Type `json:"type"`
	NotNull bool        `json:"not_null,omitempty"`
	Default string      `json:"default,omitempty"` // SQL, "" for none
	Comment string      `json:"comment,omitempty"`
	// Bare says that the column was declared numeric without precision, or an event view computes it of such: an aggregate of it
	// asks for a cast.
	Bare bool `json:"bare,omitempty"`
	// Missing is what rows have that were written before the column was added: an encoded chunk of one value, nil for NULL. It never
	// changes, whatever becomes of the default. Event tables only.
	Missing []byte `json:"missing,omitempty"`
	// Kept is the column's inside name, "" where it is Name. Event tables only.
	Kept string `json:"kept,omitempty"`
}

// RelationKind says where a relation's rows live.
type RelationKind string

// The kinds of relation that features read.
const (
	EventTable RelationKind = "event table" // rows in the log of record
	FileSource RelationKind = "file source" // rows in Parquet or CSV files
	// KafkaSource has rows in the log of record, too: a consumer of a topic writes them, and nobody else.
	KafkaSource RelationKind = "kafka source"
	// PostgresSource has rows in the log of record, which one reader of a table of PostgreSQL writes, and PostgresVersions all versions of
	// them.
	PostgresSource   RelationKind = "postgres source"
	PostgresVersions RelationKind = "postgres versions"
	EventView        RelationKind = "event view" // a projection and filter of one of the above
)

// Relation is rows with an event time.
type Relation struct {
	ID         uint32       `json:"id"`
	Name       string       `json:"name"`
	Kind       RelationKind `json:"kind"`
	Columns    []Column     `json:"columns"`
	EventTime  string       `json:"event_time"`            // a column of type timestamptz; "" where the relation has none
	PrimaryKey []string     `json:"primary_key,omitempty"` // columns
	SQL        string       `json:"sql"`                   // the statement that made it
	Comment    string       `json:"comment,omitempty"`

	// Dropped are the columns that were dropped, in the order of their places, and Altered counts how often a column was dropped, renamed
	// or given another type: what was bound before may not fit. Event tables only.
	Dropped []DroppedColumn `json:"dropped,omitempty"`
	Altered uint32          `json:"altered,omitempty"`

	// FutureBound is how far ahead of the server's clock an event time may lie, in microseconds. Event tables and Kafka sources only.
	FutureBound int64 `json:"future_bound,omitempty"`
	// Lateness is how long after its end a day is settled at the earliest, in microseconds.
	Lateness int64 `json:"lateness,omitempty"`

	// Watermark, where it is declared, says by what the newest event time is ahead of what is complete.
	Watermark *Watermark `json:"watermark,omitempty"`
	// Retention is how long before the newest event time events are kept, in microseconds; 0: for good. Event tables only.
	Retention int64 `json:"retention,omitempty"`
	// KeptFrom is the event time before which events may be gone whatever the retention is by now: what a change of it leaves behind.
	// nil: none. Event tables only.
	KeptFrom *int64 `json:"kept_from,omitempty"`

	File     *File     `json:"file,omitempty"`
	Kafka    *Kafka    `json:"kafka,omitempty"`
	Postgres *Postgres `json:"postgres,omitempty"`
	Dual     *Dual     `json:"dual,omitempty"`
	View     *View     `json:"view,omitempty"`

	VersionsOf uint32 `json:"versions_of,omitempty"` // the PostgreSQL source of whose rows these are the versions

	Suspended bool `json:"suspended,omitempty"` // nothing is read from the topic or the table. Kafka and PostgreSQL sources only
}

// Logged reports whether the relation's rows are in the log of record.
func (r *Relation) Logged() bool {
	switch r.Kind {
	case EventTable, KafkaSource, PostgresSource, PostgresVersions, DualSource:
		return true
	}
	return false
}

// Streamed reports whether a reader of this server writes the relation's rows from elsewhere, and goes on to.
func (r *Relation) Streamed() bool { return r.Kafka != nil || r.Postgres != nil }

// StreamConnection is the connection that a streamed relation is read by; 0 for others.
func (r *Relation) StreamConnection() uint32 {
	switch {
	case r.Kafka != nil:
		return r.Kafka.Connection
	case r.Postgres != nil:
		return r.Postgres.Connection
	}
	return 0
}

// Watermark is WATERMARK FOR event time AS event time - INTERVAL delay: an event is complete when one came that is newer by the delay.
type Watermark struct {
	Delay int64 `json:"delay"` // microseconds, at least 0
}

// File is what a file source reads.
type File struct {
	Path            string            `json:"path"`   // a glob, relative to a file root
	Format          string            `json:"format"` // "parquet" or "csv"
	Options         map[string]string `json:"options,omitempty"`
	CompleteThrough int64             `json:"complete_through,omitempty"`
	Delimiter       string            `json:"delimiter,omitempty"` // of CSV, one character; "": a comma
	// Stored are the types in Parquet files of declared columns, where those are other ones.
	Stored       map[string]vector.Type `json:"stored,omitempty"`
	RefreshEvery int64                  `json:"refresh_every,omitempty"` // microseconds; 0: by statement only
	Files        []FileVersion          `json:"files"`                   // every content ever read, ascending by ID
}

// Separator is what stands between the values of a line of CSV.
func (f *File) Separator() string {
	if f.Delimiter == "" {
		return ","
	}
	return f.Delimiter
}

// FileVersion is one content of one file, and the positions at which it was read and was found gone or changed.
type FileVersion struct {
	ID      uint32 `json:"id"` // the high bits of its rows' ids
	Path    string `json:"path"`
	Size    int64  `json:"size"`              // bytes
	ModTime int64  `json:"mtime"`             // nanoseconds since 1970
	Rows    int64  `json:"rows"`              //
	Added   uint64 `json:"added"`             // position
	Removed uint64 `json:"removed,omitempty"` // position; 0: still there
}

// Live reports whether f's rows are visible at position p.
func (f *FileVersion) Live(p uint64) bool { return f.Added <= p && (f.Removed == 0 || p < f.Removed) }

// View is an event view: its rows are SELECT items FROM base WHERE condition.
type View struct {
	Base  uint32   `json:"base"`  // a relation that is no view
	Alias string   `json:"alias"` // the name under which the expressions know the base
	Items []string `json:"items"` // SQL, one a column
	Where string   `json:"where,omitempty"`
	// Since, of a view over versions that the server made, is since when the rows of the first reading hold: "-infinity", or a column.
	Since string `json:"since,omitempty"`
}

// Entity is a key that features belong to.
type Entity struct {
	ID      uint32   `json:"id"`
	Name    string   `json:"name"`
	Keys    []Column `json:"keys"`
	SQL     string   `json:"sql"`
	Comment string   `json:"comment,omitempty"`
}

// Group is the materialization of partial states of one relation by one key: what runs and tiles hold.
type Group struct {
	ID       uint32          `json:"id"`
	Relation uint32          `json:"relation"`
	Keys     []Expr          `json:"keys"`
	Columns  []Expr          `json:"columns"` // arguments, and conditions of type boolean
	From                     // beside the relation
	Partials []Partial       `json:"partials"`
	Layout   event.Layout    `json:"layout"`
	Online   bool            `json:"online"`
	Retain   int64           `json:"retain"` // microseconds of row packs: the longest window plus delay; 0 with Lifetime only
	Lifetime bool            `json:"lifetime"`
	Eras     []int64         `json:"eras,omitempty"`     // event times at which LIFETIME windows begin, ascending, microseconds
	Ready    bool            `json:"ready"`              // published: readers use it, the committer keeps its tiles
	Position uint64          `json:"position"`           // of its runs
	Manifest json.RawMessage `json:"manifest,omitempty"` // JSON of runs.Manifest
	// Rejected counts the rows of a file source that have no key or no event time, and so are no events, by file id.
	Rejected map[uint32]int64 `json:"rejected,omitempty"`
}

// Unnest is a list of a relation's row of which every element makes an event: keys and columns may name it.
type Unnest struct {
	List   string `json:"list"`   // SQL over the relation's columns and earlier lists' elements
	Column string `json:"column"` // the element's name, which no column of the relation has
	Outer  bool   `json:"outer"`  // a row without elements makes one event, with a NULL element
}

// Expr is a scalar expression over a relation's row.
type Expr struct {
	SQL  string      `json:"sql"` // in DuckDB's SQL, columns by their inside names; already cast to Type
	Type vector.Type `json:"type"`
	// Column is the place of the relation's column that the expression is, among the stored ones, or -1.
	Column int `json:"column"`
}

// Partial is one partial state of a group.
type Partial struct {
	Fingerprint string        `json:"fingerprint"`
	Function    string        `json:"function"`
	Args        []int         `json:"args"`                // group columns
	Types       []vector.Type `json:"types"`               // of all arguments as bound, constant ones included
	Constants   []string      `json:"constants,omitempty"` // parameters by argument position, as functions.Definition.Bind takes them; "" for arguments of rows
	MaxState    int           `json:"max_state,omitempty"` // bytes
	Filter      int           `json:"filter"`              // group column, -1 for none
	SQL         string        `json:"sql"`                 // for people
}

// Window is the part of pointintime.Window that a feature declares. All durations are microseconds.
type Window struct {
	Length    int64 `json:"length"`
	Lifetime  bool  `json:"lifetime,omitempty"`
	Following bool  `json:"following,omitempty"`
	Delay     int64 `json:"delay,omitempty"`
	Hop       int64 `json:"hop,omitempty"`
	Start     int64 `json:"start"`
}

// Feature is one CREATE FEATURE.
type Feature struct {
	ID          uint32            `json:"id"`
	Name        string            `json:"name"`
	Entity      uint32            `json:"entity"`
	Relation    uint32            `json:"relation"`
	Attributes  []uint32          `json:"attributes,omitempty"` // relations whose rows are joined to the events
	Group       uint32            `json:"group"`                // 0: not materialized (WITH NO DATA)
	SQL         string            `json:"sql"`
	Options     map[string]string `json:"options,omitempty"`
	Online      bool              `json:"online"`
	Suspended   bool              `json:"suspended,omitempty"`
	TargetLag   int64             `json:"target_lag,omitempty"` // microseconds that lookups may be behind what is read, 0: nobody said
	Lateness    int64             `json:"lateness,omitempty"`   // microseconds after a day's end before it is settled, where the relation says less
	Outputs     []Output          `json:"outputs"`
	Fingerprint string            `json:"fingerprint"`
	Comment     string            `json:"comment,omitempty"`
}

// Output is one column of a feature.
type Output struct {
	Name    string      `json:"name"`
	Type    vector.Type `json:"type"`
	Partial string      `json:"partial"` // fingerprint
	Comment string      `json:"comment,omitempty"`
	Window  Window      `json:"window"`
}

// WithComments is f with the comments of what it takes the place of, nil for nothing: columns are known by their names.
func (f *Feature) WithComments(old *Feature) *Feature {
	if old == nil || old == f {
		return f
	}
	next := *f
	if next.Comment == "" {
		next.Comment = old.Comment
	}
	next.Outputs = slices.Clone(f.Outputs)
	for i := range next.Outputs {
		o := &next.Outputs[i]
		if j := slices.IndexFunc(old.Outputs, func(p Output) bool { return p.Name == o.Name }); j >= 0 && o.Comment == "" {
			o.Comment = old.Outputs[j].Comment
		}
	}
	return &next
}

// Function is a SQL function of the user's own: an expression over its arguments. All SQL in it is PostgreSQL's.
type Function struct {
	ID      uint32   `json:"id"`
	Name    string   `json:"name"`
	Args    []string `json:"args"`  // names, "" for none
	Types   []string `json:"types"` // of the arguments
	Returns string   `json:"returns"`
	Body    string   `json:"body"` // the expression, functions of the user's own that it calls written into it
	Strict  bool     `json:"strict,omitempty"`
	SQL     string   `json:"sql"` // the statement that made it
	Comment string   `json:"comment,omitempty"`
}
