package schema

import (
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Postgres is what a PostgreSQL source reads, as it was when the source was made.
//
// The source's rows are those of the table now. Its versions are a relation of their own, Versions, to which nothing but rows is ever
// added: each state of a row, and each end of one, with the time at which it became known.
type Postgres struct {
	Connection uint32 `json:"connection"`
	Schema     string `json:"schema"`
	Table      string `json:"table"`
	Mode       string `json:"mode"`                  // ModeCDC or ModeSnapshot
	System     string `json:"system,omitempty"`      // identifier of the database cluster; of ModeCDC
	Slot       string `json:"slot,omitempty"`        // of ModeCDC; made when the reading begins, and dropped with the source
	Publish    string `json:"publication,omitempty"` // of ModeCDC
	OwnPublish bool   `json:"own_publication,omitempty"`
	// Types are the types of the source's columns in the table, as format_type writes them.
	Types        []string `json:"types"`
	Versions     uint32   `json:"versions"`                // the relation of versions
	RefreshEvery int64    `json:"refresh_every,omitempty"` // of ModeSnapshot, microseconds; 0: by statement only
}

// The modes of a PostgreSQL source.
const (
	ModeCDC      = "cdc"      // each committed transaction of the table's database, by logical replication
	ModeSnapshot = "snapshot" // what has changed between two readings of the table
)

// The columns of a relation of versions behind those of its source.
const (
	VersionKnown     = "__known"     // when the version became known; the relation's event time
	VersionDeleted   = "__deleted"   // the row ended: of the source's columns only those of the primary key are there
	VersionInitial   = "__initial"   // of the first reading of the table
	VersionCommitted = "__committed" // when PostgreSQL committed it; NULL: a reading of the table found it
)

// VersionSince is the event time of a view over versions whose first ones hold since another time than that at which they became known.
const VersionSince = "__valid_from"

// IsVersionColumn reports whether a name is that of a column that only versions have.
func IsVersionColumn(name string) bool {
	return name == VersionSince || slices.ContainsFunc(versionColumns, func(c Column) bool { return c.Name == name })
}

// VersionsSince is the view over versions whose first ones hold since another time (View.Since), nil if there is none.
func (c *Catalog) VersionsSince(v *Relation, since string) *Relation {
	for _, r := range c.Relations {
		if r.View != nil && r.View.Base == v.ID && r.View.Since == since {
			return r
		}
	}
	return nil
}

var versionColumns = []Column{
	{Name: VersionKnown, Type: vector.T(vector.TimestampTZ), NotNull: true}, {Name: VersionDeleted, Type: vector.T(vector.Bool), NotNull: true},
	{Name: VersionInitial, Type: vector.T(vector.Bool), NotNull: true}, {Name: VersionCommitted, Type: vector.T(vector.TimestampTZ)},
}

// VersionsName is the name of the relation of versions of a source.
func VersionsName(source string) string { return source + "_versions" }

// NewVersions is the relation of versions of a source, without an id.
func NewVersions(r *Relation) *Relation {
	v := &Relation{Name: VersionsName(r.Name), Kind: PostgresVersions, EventTime: VersionKnown, SQL: r.SQL, FutureBound: r.FutureBound, VersionsOf: r.ID}
	for _, c := range r.Columns {
		c.NotNull = false
		v.Columns = append(v.Columns, c)
	}
	v.Columns = append(v.Columns, versionColumns...)
	return v
}

// VersionsOf is the relation with every version of a PostgreSQL source's rows; nil where r is no such source.
func (c *Catalog) VersionsOf(r *Relation) *Relation {
	if r == nil || r.Postgres == nil {
		return nil
	}
	return c.Relations[r.Postgres.Versions]
}
