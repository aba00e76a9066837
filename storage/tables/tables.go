package tables

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Kind says what an object is, in PostgreSQL's words.
type Kind string

// The kinds of object.
const (
	Table            Kind = "table"
	View             Kind = "view"
	MaterializedView Kind = "materialized view"
	Index            Kind = "index"
	Sequence         Kind = "sequence"
	Type             Kind = "type" // there is none yet: DROP TYPE names it
	Schema           Kind = "schema"
)

// Public is the schema of objects that are named without one.
const Public = "public"

// Object is a table, view, index, sequence or schema.
type Object struct {
	ID      uint64 `json:"id"` // never given again
	Kind    Kind   `json:"kind"`
	Schema  string `json:"schema,omitempty"` // "" of a schema
	Name    string `json:"name"`
	Comment string `json:"comment,omitempty"`
	Temp    bool   `json:"temp,omitempty"`
	// OnCommit is what COMMIT does to a temporary table: "drop", "delete", or nothing.
	OnCommit string `json:"on_commit,omitempty"`

	Columns     []Column     `json:"columns,omitempty"`     // tables and views of both kinds
	Constraints []Constraint `json:"constraints,omitempty"` // tables, in the order of their making
	// SQL is a view's SELECT, its stars written out and its relations named with their schemas, in PostgreSQL's SQL.
	SQL string `json:"sql,omitempty"`
	// Written is the statement that made a view whose SELECT has clauses that PostgreSQL does not have: it is what is shown of it.
	Written string `json:"written,omitempty"`
	// Reads are the objects that a view reads, by id, and the names of those of storage/schema.
	Reads      []uint64 `json:"reads,omitempty"`
	ReadsNames []string `json:"reads_names,omitempty"`
	Populated  bool     `json:"populated,omitempty"` // a materialized view that can be read
	Options    []string `json:"options,omitempty"`   // of WITH (…), name=value, kept and shown

	Of  *IndexOf       `json:"index,omitempty"`
	Seq *SequenceRange `json:"sequence,omitempty"`
	// OwnedBy is the table of a sequence, and the column's name.
	OwnedBy       uint64 `json:"owned_by,omitempty"`
	OwnedByColumn string `json:"owned_by_column,omitempty"`
}

// Column is a column of a table or view.
type Column struct {
	Name     string      `json:"name"`
	Type     vector.Type `json:"type"`               // of its values
	Declared string      `json:"declared,omitempty"` // the type as format_type writes it: character varying(10)
	// Base is PostgreSQL's internal name of the type without modifiers and brackets: int4, varchar, bpchar, jsonb.
	Base      string `json:"base,omitempty"`
	Length    int    `json:"length,omitempty"`    // greatest number of characters of varchar(n), char(n); 0: any
	Precision *int   `json:"precision,omitempty"` // of timestamp(p), time(p); nil: 6
	// Modifier is pg_attribute.atttypmod plus one of an interval with fields or a precision; 0: none.
	Modifier int32 `json:"modifier,omitempty"`
	// Canonical: values of jsonb are held as PostgreSQL writes them. Columns that are older than that lack it.
	Canonical bool   `json:"canonical,omitempty"`
	NotNull   bool   `json:"not_null,omitempty"`
	Default   string `json:"default,omitempty"`   // an expression in PostgreSQL's SQL, "" for none
	Generated string `json:"generated,omitempty"` // GENERATED ALWAYS AS (expression) STORED
	Identity  string `json:"identity,omitempty"`  // "a": GENERATED ALWAYS AS IDENTITY, "d": BY DEFAULT
	Sequence  uint64 `json:"sequence,omitempty"`  // of serial and identity columns
	Comment   string `json:"comment,omitempty"`
	Collation string `json:"collation,omitempty"`
}

// ConstraintKind is pg_constraint.contype.
type ConstraintKind string

// The kinds of constraint.
const (
	PrimaryKey ConstraintKind = "p"
	Unique     ConstraintKind = "u"
	Check      ConstraintKind = "c"
	ForeignKey ConstraintKind = "f"
)

// Constraint is a constraint of a table.
type Constraint struct {
	ID      uint64         `json:"id"`
	Kind    ConstraintKind `json:"kind"`
	Name    string         `json:"name"`
	Columns []string       `json:"columns,omitempty"` // keys and references in their order; a check: those it names
	Expr    string         `json:"expr,omitempty"`    // of a check, in PostgreSQL's SQL
	// Deferrable and Deferred are DEFERRABLE and INITIALLY DEFERRED; NotValid is NOT VALID: old rows were not checked.
	Deferrable       bool   `json:"deferrable,omitempty"`
	Deferred         bool   `json:"deferred,omitempty"`
	NotValid         bool   `json:"not_valid,omitempty"`
	NullsNotDistinct bool   `json:"nulls_not_distinct,omitempty"`
	Comment          string `json:"comment,omitempty"`

	// A reference: the table and its columns, and what happens to the rows that refer: "a" no action, "r" restrict, "c"
	// cascade, "n" set null, "d" set default.
	References        uint64   `json:"references,omitempty"`
	ReferencesColumns []string `json:"references_columns,omitempty"`
	OnDelete          string   `json:"on_delete,omitempty"`
	OnUpdate          string   `json:"on_update,omitempty"`
	MatchFull         bool     `json:"match_full,omitempty"`
}

// IndexOf is what an index is of.
type IndexOf struct {
	Table  uint64     `json:"table"`
	Unique bool       `json:"unique,omitempty"`
	Method string     `json:"method"`
	Keys   []IndexKey `json:"keys"`
	// Include are further columns, Where is the condition of a partial index in PostgreSQL's SQL.
	Include          []string `json:"include,omitempty"`
	Where            string   `json:"where,omitempty"`
	NullsNotDistinct bool     `json:"nulls_not_distinct,omitempty"`
	// Constraint is the key constraint that the index is of, "" where it was made by CREATE INDEX.
	Constraint string `json:"constraint,omitempty"`
}

// IndexKey is a column or an expression of an index.
type IndexKey struct {
	Column     string `json:"column,omitempty"`
	Expr       string `json:"expr,omitempty"`
	Desc       bool   `json:"desc,omitempty"`
	NullsFirst bool   `json:"nulls_first,omitempty"`
	Opclass    string `json:"opclass,omitempty"`
}

// SequenceRange is the definition of a sequence.
type SequenceRange struct {
	Type      string `json:"type"` // smallint, integer, bigint
	Start     int64  `json:"start"`
	Increment int64  `json:"increment"`
	Min       int64  `json:"min"`
	Max       int64  `json:"max"`
	Cache     int64  `json:"cache"`
	Cycle     bool   `json:"cycle,omitempty"`
	// State is the id under which the sequence's last value is kept: RESTART gives it a new one, so that a rollback takes it back.
	// First is the value that a new state gives first.
	State uint64 `json:"state"`
	First int64  `json:"first"`
}

// Column returns the column called name, or nil.
func (o *Object) Column(name string) *Column {
	if i := o.ColumnIndex(name); i >= 0 {
		return &o.Columns[i]
	}
	return nil
}

// ColumnIndex is the place of the column called name, −1 where there is none.
func (o *Object) ColumnIndex(name string) int {
	return slices.IndexFunc(o.Columns, func(c Column) bool { return c.Name == name })
}

// Constraint returns the constraint called name, or nil.
func (o *Object) Constraint(name string) *Constraint {
	for i := range o.Constraints {
		if o.Constraints[i].Name == name {
			return &o.Constraints[i]
		}
	}
	return nil
}

// Primary is the primary key, or nil.
func (o *Object) Primary() *Constraint {
	for i := range o.Constraints {
		if o.Constraints[i].Kind == PrimaryKey {
			return &o.Constraints[i]
		}
	}
	return nil
}

// IsRelation reports whether an object shares the name space of tables.
func (o *Object) IsRelation() bool { return o.Kind != Type && o.Kind != Schema }

// Clone is a deep copy.
func (o *Object) Clone() *Object {
	out, err := Decode(o.Encode())
	if err != nil {
		panic(fmt.Sprintf("tables: %v", err)) // it was made by Encode
	}
	return out
}

// Encode is the object's document.
func (o *Object) Encode() []byte {
	doc, err := json.Marshal(o)
	if err != nil {
		panic(fmt.Sprintf("tables: %v", err)) // the struct holds nothing that JSON does not
	}
	return doc
}

// Decode reads a document that Encode made.
func Decode(doc []byte) (*Object, error) {
	o := new(Object)
	if err := json.Unmarshal(doc, o); err != nil {
		return nil, fmt.Errorf("a document of the tables' catalog: %w", err)
	}
	for i := range o.Columns {
		o.Columns[i].Shown()
	}
	return o, nil
}

// Catalog is all objects that a session sees.
type Catalog struct {
	ByID   map[uint64]*Object
	byName map[string]*Object // relations by schema.name, temporary ones by .name
}

// NewCatalog indexes objects.
func NewCatalog(objects []*Object) *Catalog {
	c := &Catalog{ByID: map[uint64]*Object{}, byName: map[string]*Object{}}
	for _, o := range objects {
		c.Put(o)
	}
	return c
}

// Put adds an object to a catalog that is being made.
func (c *Catalog) Put(o *Object) {
	c.ByID[o.ID] = o
	if o.IsRelation() {
		c.byName[key(o)] = o
	}
}

func key(o *Object) string {
	if o.Temp {
		return "." + o.Name
	}
	return o.Schema + "." + o.Name
}

// TempSchema is how temporary objects are qualified.
const TempSchema = "pg_temp"

// Relation finds a table, view, index or sequence by schema and name; nil: none.
func (c *Catalog) Relation(schema, name string) *Object {
	if schema == TempSchema {
		schema = ""
	}
	return c.byName[schema+"."+name]
}

// HasSchema reports whether a schema of the user's exists.
func (c *Catalog) HasSchema(name string) bool {
	if name == Public {
		return true
	}
	for _, o := range c.ByID {
		if o.Kind == Schema && o.Name == name {
			return true
		}
	}
	return false
}

// SchemaObject is the object of a schema that was made by CREATE SCHEMA, or nil.
func (c *Catalog) SchemaObject(name string) *Object {
	for _, o := range c.ByID {
		if o.Kind == Schema && o.Name == name {
			return o
		}
	}
	return nil
}

// Sorted are the objects that keep says yes to, by id.
func (c *Catalog) Sorted(keep func(o *Object) bool) []*Object {
	var out []*Object
	for _, o := range c.ByID {
		if keep(o) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b *Object) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}

// IndexesOf are the indexes of a table, by id.
func (c *Catalog) IndexesOf(table uint64) []*Object {
	return c.Sorted(func(o *Object) bool { return o.Kind == Index && o.Of.Table == table })
}

// Referrer is a reference to a table.
type Referrer struct {
	Table      *Object
	Constraint *Constraint
}

// Referrers are the references to a table from others and itself, by table and constraint.
func (c *Catalog) Referrers(table uint64) []Referrer {
	var out []Referrer
	for _, o := range c.Sorted(func(o *Object) bool { return o.Kind == Table }) {
		for i := range o.Constraints {
			if k := &o.Constraints[i]; k.Kind == ForeignKey && k.References == table {
				out = append(out, Referrer{o, k})
			}
		}
	}
	return out
}

// maxName is the greatest length of a name in bytes, PostgreSQL's NAMEDATALEN − 1.
const maxName = 63

// ChooseName is PostgreSQL's name of an object that the user did not name: table_columns_suffix, cut so that it fits, with a
// number behind it where taken says that the name is.
func ChooseName(table, columns, suffix string, taken func(name string) bool) string {
	for i := 0; ; i++ {
		label := suffix
		if i > 0 {
			label = fmt.Sprint(suffix, i)
		}
		a, b := table, columns
		over := len(label) + 1
		if b != "" {
			over++
		}
		for len(a)+len(b)+over > maxName { // the longer one is cut
			if len(a) > len(b) {
				a = cut(a)
			} else {
				b = cut(b)
			}
		}
		name := a
		if b != "" {
			name += "_" + b
		}
		name += "_" + label
		if !taken(name) {
			return name
		}
	}
}

func cut(s string) string { return strings.ToValidUTF8(s[:len(s)-1], "") }
