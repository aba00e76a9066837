package pgcatalog

// Object ids that PostgreSQL gives.
const (
	FirstOID = 16384 // of objects that are not PostgreSQL's own

	OwnerOID      = 10 // the role that owns PostgreSQL's own objects
	SchemaCatalog = 11
	SchemaToast   = 99
	SchemaPublic  = 2200

	classType, classProc, classClass, classRole, classDatabase     = 1247, 1255, 1259, 1260, 1262
	classConstraint, classNamespace, classAttrdef, classRewrite    = 2606, 2615, 2604, 2618
	classTablespace, classForeignServer, classForeignDataWrapper   = 1213, 1417, 2328
	heapAM, btreeAM, hashAM, artAM                                 = 2, 403, 405, 403
	tablespaceDefault, tablespaceGlobal, languageSQL, encodingUTF8 = 1663, 1664, 14, 6
	collationDefault                                               = 100
)

// Objects are what there is beside PostgreSQL's own: what the engine's catalog, its roles and ordinary tables are to clients. It is
// not changed once a Snapshot was made of it.
type Objects struct {
	Database    string
	DatabaseOID uint32
	DatabaseACL []string
	User        string   // of the session
	SearchPath  []string // schemas that exist, pg_catalog not among them unless named
	Roles       []Role
	Members     []Member
	Schemas     []Schema
	Tables      []*Table
	Functions   []*Function
	Wrappers    []Wrapper
	Servers     []Server
	DefaultACLs []DefaultACL
	// Rows are those of functions in FROM that the server knows (pg_stat_get_activity, pg_prepared_statement, pg_cursor), by the
	// names of their columns; what is left out is NULL. They are asked for when a statement reads them.
	Rows func(function string) []map[string]any

	// Privileged reports whether a role has a privilege on an object; nil: every role has all. kind is "table", "column", "schema",
	// "database", "function", "sequence", "type", "tablespace", "language", "server" or "foreign data wrapper"; column is a
	// number or 0. A privilege is PostgreSQL's word in capitals, perhaps with " WITH GRANT OPTION".
	Privileged func(role uint32, kind string, oid uint32, column int, privilege string) bool
	// HasRole reports whether a role has the rights of another ("USAGE"), is a member of it ("MEMBER"), or may make others members
	// ("ADMIN"); nil: the same role, and superusers.
	HasRole func(role, of uint32, privilege string) bool
}

// Role is a row of pg_authid.
type Role struct {
	OID                                                                 uint32
	Name                                                                string
	Super, Inherit, CreateRole, CreateDB, Login, Replication, BypassRLS bool
	ConnectionLimit                                                     int    // −1: none
	ValidUntil                                                          *int64 // microseconds since 1970
	Config                                                              []string
	Comment                                                             string
}

// Member is a row of pg_auth_members.
type Member struct {
	Role, Member, Grantor uint32
	Admin                 bool
}

// Schema is a schema that is not PostgreSQL's own, or PostgreSQL's with another owner, rights or comment.
type Schema struct {
	OID     uint32
	Name    string
	Owner   uint32
	ACL     []string
	Comment string
}

// DefaultACL is a row of pg_default_acl.
type DefaultACL struct {
	OID, Role, Schema uint32
	Kind              byte
	ACL               []string
}

// What pg_relation_is_updatable says: UPDATE, INSERT and DELETE, and the last one alone.
const (
	Events      = 1<<2 | 1<<3 | EventDelete
	EventDelete = 1 << 4
)

// Kinds of Table, as pg_class.relkind has them.
const (
	KindTable, KindView, KindMaterialized, KindForeign, KindSequence = 'r', 'v', 'm', 'f', 'S'
)

// Table is a relation: a table, view, materialized view, foreign table or sequence.
type Table struct {
	OID, TypeOID, ArrayOID, RuleOID uint32 // of the relation, its row type, the array of that, and its rule (views); 0: none
	Schema                          uint32
	Name                            string
	Kind                            byte
	Persistence                     byte // 'p', 't' or 'u'
	Owner                           uint32
	ACL, Options                    []string
	Columns                         []TableColumn
	Constraints                     []Constraint
	Indexes                         []Index
	Definition                      string // of a view: the SELECT, or the statement that made it
	Select                          bool   // Definition is a SELECT
	Sequence                        *Sequence
	Server                          uint32 // of a foreign table
	ServerOptions                   []string
	Comment                         string
	Events                          int      // what a view is written through by: Events, EventDelete or 0
	Unpopulated                     bool     // a materialized view that cannot be read yet
	ReadsNames                      []string // relations that a view reads, where their ids are not known
	Bytes                           int64    // that its rows take, −1: not known; its indexes are counted with it
	Rows                            int64    // that it has, where Bytes is known
	DependsOn                       []uint32 // relations that a view reads
}

// TableColumn is a column.
type TableColumn struct {
	Name       string
	Type       uint32
	Mod        int32 // type modifier, −1: none
	NotNull    bool
	Default    string // SQL, "" for none; of a generated column, its expression
	DefaultOID uint32
	Identity   byte // 'a', 'd' or 0
	Generated  byte // 's' or 0
	Updatable  bool // of a view: it is written through
	Comment    string
	ACL        []string
	Dropped    bool // only its number is left
}

// Constraint is a constraint of a table.
type Constraint struct {
	OID                uint32
	Name               string
	Type               byte // 'p', 'u', 'f' or 'c'
	Columns            []int
	Index              uint32 // that enforces it
	Deferrable         bool
	Deferred           bool
	NotValid           bool
	Foreign            uint32 // referenced table
	ForeignColumns     []int
	OnUpdate, OnDelete byte   // 'a', 'r', 'c', 'n' or 'd'
	Check              string // SQL
	Comment            string
}

// Index is an index of a table.
type Index struct {
	OID              uint32
	Name             string
	Unique, Primary  bool
	Columns          []int // numbers, 0 where it is an expression; those that are only included come last
	Keys             int   // of Columns that are keys; 0: all
	Options          []int // of the keys: 1 descending, 2 NULLs first; nil: none
	NullsNotDistinct bool
	Expressions      []string // SQL, in the order of the zeros
	Predicate        string
	Comment          string
}

// Sequence is what a sequence counts.
type Sequence struct {
	Start, Increment, Min, Max, Cache int64
	Cycle                             bool
	Type                              uint32 // 20, 23 or 21
	OwnedBy                           uint32 // table; 0: nobody
	Column                            int
	Identity                          bool
}

// Function is a function of the user's own.
type Function struct {
	OID        uint32
	Schema     uint32
	Name       string
	ArgNames   []string
	ArgTypes   []uint32
	Returns    uint32
	Strict     bool
	Volatility byte // 'i', 's' or 'v'
	Body       string
	Owner      uint32
	Comment    string
	ACL        []string
}

// Wrapper is a foreign data wrapper, Server a foreign server.
type (
	Wrapper struct {
		OID  uint32
		Name string
	}
	Server struct {
		OID, Wrapper uint32
		Name         string
		Comment      string
	}
)

// table is the relation of an object id, nil where there is none.
func (o *Objects) table(oid uint32) *Table {
	for _, t := range o.Tables {
		if t.OID == oid {
			return t
		}
	}
	return nil
}

// Measure says how many bytes a table takes, and how many rows it has. It is called before anything is asked of a snapshot's functions
// of sizes.
func (o *Objects) Measure(table uint32, bytes, rows int64) {
	if t := o.table(table); t != nil {
		t.Bytes, t.Rows = bytes, rows
	}
}
