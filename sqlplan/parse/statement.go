package parse

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Statement is one parsed statement: *SQL or one of the structs below.
type Statement interface{ statement() }

// SQL is a statement of PostgreSQL's, with our clauses beside it.
type SQL struct {
	Text    string         // as the user wrote it
	Plain   string         // Text with our clauses blanked: of equal length, and what Node was parsed from
	Node    *pg_query.Node // the top statement
	Clauses Clauses
}

// Clauses are the added clauses of a statement, in the order of its text.
type Clauses struct {
	Asof       []AsofJoin
	Windows    []SelectWindow
	SystemTime []SystemTime
	Samples    []Sample
}

// Empty reports whether there is no clause.
func (c *Clauses) Empty() bool {
	return len(c.Asof)+len(c.Windows)+len(c.SystemTime)+len(c.Samples) == 0
}

// AsofOf is the mark of a join, or nil where it was not written ASOF.
func (c *Clauses) AsofOf(j *pg_query.JoinExpr) *AsofJoin {
	for i := range c.Asof {
		if c.Asof[i].Join == j {
			return &c.Asof[i]
		}
	}
	return nil
}

// WindowOf is the window list of a SELECT, or nil.
func (c *Clauses) WindowOf(s *pg_query.SelectStmt) *SelectWindow {
	for i := range c.Windows {
		if c.Windows[i].Select == s {
			return &c.Windows[i]
		}
	}
	return nil
}

// SystemTimeOf is the system time of a relation, or nil.
func (c *Clauses) SystemTimeOf(rv *pg_query.RangeVar) *SystemTime {
	for i := range c.SystemTime {
		if c.SystemTime[i].Relation == rv {
			return &c.SystemTime[i]
		}
	}
	return nil
}

// AsofKind is how an ASOF join was written.
type AsofKind uint8

// The kinds. A bare one is INNER over ordinary relations and LEFT over features.
const (
	AsofBare AsofKind = iota
	AsofLeft
	AsofInner
)

func (k AsofKind) String() string { return [...]string{"bare", "left", "inner"}[k] }

// AsofJoin marks a join that was written ASOF. In the AST a bare one stands as a LEFT JOIN, and one with MATCH_CONDITION
// but neither ON nor USING stands with ON TRUE.
type AsofJoin struct {
	Join         *pg_query.JoinExpr
	Kind         AsofKind
	Match        *pg_query.Node // the expression of MATCH_CONDITION (…), or nil
	HasTolerance bool
	Tolerance    int64 // microseconds, ≥ 0
	Position     int   // bytes: of the first word of ASOF JOIN, LEFT ASOF JOIN, …
}

// Window is one window of a feature.
type Window struct {
	Micros    int64 // > 0; 0 for Lifetime
	Lifetime  bool
	Following bool   // a label: it counts events after the cut
	Spelling  string // suffix of column names, in the unit declared: 1h, 24h, 7d, 90m, 30s, 2w, lifetime
	Position  int    // bytes
}

// SelectWindow is WINDOW 7 DAYS, 30 DAYS of a SELECT: at least one window, no two of one spelling.
type SelectWindow struct {
	Select   *pg_query.SelectStmt
	Windows  []Window
	Position int // bytes: of WINDOW
}

// SystemTime is FOR SYSTEM_TIME AS OF of a relation.
type SystemTime struct {
	Relation *pg_query.RangeVar
	Expr     *pg_query.Node // a string literal, a parameter or another expression
	Text     string         // the expression as written
	Position int            // bytes: of FOR
}

// Sample is TABLESAMPLE of a relation. PostgreSQL's grammar reads it; it is listed so that no planner forgets it.
type Sample struct {
	Node     *pg_query.RangeTableSample
	Method   string // lower case as folded, e.g. stratified
	Position int    // bytes
}

// Name is an object's name.
type Name struct {
	Schema   string // "" where not given
	Name     string // folded as PostgreSQL folds identifiers
	Position int    // bytes
}

func (n Name) String() string {
	if n.Schema != "" {
		return n.Schema + "." + n.Name
	}
	return n.Name
}

// OptionKind is how an option's value was written.
type OptionKind uint8

// The kinds of option values.
const (
	OptString     OptionKind = iota // '2 hours'
	OptNumber                       // 10, -0.5
	OptBool                         // true, false, on, off, or no value
	OptIdentifier                   // PLAIN
	OptSecret                       // SECRET name: Value is the name
)

func (k OptionKind) String() string {
	return [...]string{"string", "number", "bool", "identifier", "secret"}[k]
}

// Option is a value of WITH (…).
type Option struct {
	Value         string // a bool is "true" or "false"
	Kind          OptionKind
	Position      int // bytes: of the option's name
	ValuePosition int // bytes: of its value; Position where there is none
}

// Options are the options of WITH (…) by name, folded; a dotted name keeps its dots.
type Options map[string]Option

// Column is a column of a definition.
type Column struct {
	Name     string
	Type     vector.Type
	TypeName *pg_query.TypeName
	NotNull  bool   // NOT NULL or part of the primary key
	Default  string // the expression, or ""
	Position int    // bytes
}

// Watermark is WATERMARK FOR col AS expr.
type Watermark struct {
	Column   string
	Expr     *pg_query.Node
	Text     string
	Delay    int64 // microseconds, where the expression is col or col - INTERVAL '…'
	HasDelay bool  // the expression has that form
	Position int
}

// CreateTable is CREATE TABLE … WITH (event_time = …).
type CreateTable struct {
	SQL
	Name        Name
	IfNotExists bool
	Columns     []Column
	PrimaryKey  []string   // in the order of the key; nil: none
	Watermark   *Watermark // nil: none
	Options     Options    // all of them, event_time included
}

// CreateEntity is CREATE ENTITY.
type CreateEntity struct {
	Name        Name
	OrReplace   bool
	IfNotExists bool
	Columns     []Column
	Options     Options
}

// CreateFeature is CREATE FEATURE.
type CreateFeature struct {
	Name        Name
	OrReplace   bool
	IfNotExists bool
	Entity      *Name    // ON entity
	Windows     []Window // of the header or of the body, nil for a latest-value feature
	Options     Options
	NoData      bool
	Text        string // the statement as written
	Body        Body
}

// CreateFeatureView is CREATE FEATURE VIEW.
type CreateFeatureView struct {
	Name        Name
	OrReplace   bool
	IfNotExists bool
	Options     Options
	Text        string
	BodyText    string // the SELECT as written
	BodyStart   int    // bytes: offset of BodyText in Text
	Body        *SQL   // the SELECT; its Text and positions are those of the whole statement
}

// CreateEventView is CREATE VIEW … WITH (event_time = …).
type CreateEventView struct {
	SQL
	Name      Name
	OrReplace bool
	Aliases   []string // column names in parentheses
	Options   Options
	Select    *pg_query.SelectStmt
	BodyText  string // the SELECT, deparsed
}

// CreateSource is CREATE SOURCE, of a connector or FROM BATCH b STREAM t.
type CreateSource struct {
	Name          Name
	OrReplace     bool
	IfNotExists   bool
	HasColumns    bool // a column list was given
	Columns       []Column
	PrimaryKey    []string
	Watermark     *Watermark
	Options       Options
	Batch, Stream *Name // both or none
	Coding
	Text string
}

// Coding is FORMAT … ENCODE …, which says how messages are read.
type Coding struct {
	Format         string // upper case; "": not given
	FormatOptions  Options
	Encode         string // upper case
	EncodeOptions  Options
	CodingPosition int // bytes: of FORMAT
	EncodePosition int // bytes: of ENCODE
}

// CreateConnection is CREATE CONNECTION.
type CreateConnection struct {
	Name        Name
	OrReplace   bool
	IfNotExists bool
	Options     Options
}

// CreateSecret is CREATE SECRET … AS 'value'.
type CreateSecret struct {
	Name        Name
	OrReplace   bool
	IfNotExists bool
	Options     Options
	Value       string
}

// Object is a kind of object of ours.
type Object string

// The kinds of objects.
const (
	Feature     Object = "FEATURE"
	FeatureView Object = "FEATURE VIEW"
	Entity      Object = "ENTITY"
	Source      Object = "SOURCE"
	Connection  Object = "CONNECTION"
	Secret      Object = "SECRET"
)

// Drop is DROP of objects of ours.
type Drop struct {
	Object   Object
	Names    []Name
	IfExists bool
	Cascade  bool
}

// AlterAction is what ALTER FEATURE does.
type AlterAction uint8

// The actions.
const (
	AlterSuspend AlterAction = iota
	AlterResume
	AlterSet
	AlterReset
	AlterRename
	AlterOwner
	AlterCoding
)

func (a AlterAction) String() string {
	return [...]string{"suspend", "resume", "set", "reset", "rename", "owner", "format"}[a]
}

// Alter is ALTER {FEATURE | FEATURE VIEW | ENTITY | SOURCE | CONNECTION}; only a feature and a source can be suspended.
type Alter struct {
	Object   Object
	Name     Name
	IfExists bool
	Action   AlterAction
	Options  Options            // of SET; of RESET by name, without values
	NewName  string             // of RENAME TO
	Owner    *pg_query.RoleSpec // of OWNER TO
	Position int                // bytes: of the action
	Coding                      // of a source
}

// Refresh is REFRESH FEATURE or REFRESH SOURCE.
type Refresh struct {
	Object           Object
	Name             Name
	From, To         *pg_query.Node // expressions, or nil
	FromText, ToText string
	Full             bool
}

// DeadLetters is REPLAY DEAD LETTERS, or DROP DEAD LETTERS.
type DeadLetters struct {
	Drop          bool
	Source        Name
	Where         *pg_query.Node // over tilehouse.dead_letters; nil: all of the source's
	WhereText     string
	WherePosition int // bytes
}

// Show is SHOW {FEATURES | SOURCES | ENTITIES | …}: the views of schema tilehouse.
type Show struct {
	What    string // lower case: features, …
	Like    string
	HasLike bool
}

// Explain is EXPLAIN of a statement.
type Explain struct {
	Analyze, Verbose bool
	Options          Options // of the parenthesised form, analyze and verbose included
	Inner            Statement
	Text             string
}

// ExplainFeature is EXPLAIN [(options)] FEATURE f FOR (values) [AT time] [AS OF position].
type ExplainFeature struct {
	Name        Name
	Options     Options // of the parenthesised form
	Values      []*pg_query.Node
	ValueTexts  []string
	At          *pg_query.Node // nil: now
	AtText      string
	AsOf        int64 // a position of the log
	HasAsOf     bool
	Text        string
	AtPosition  int // bytes
	ForPosition int // bytes
}

// Comment is COMMENT ON an object of ours.
type Comment struct {
	Object Object
	Name   Name
	Text   *string // nil: NULL, the comment is removed
}

// Grant is GRANT or REVOKE … ON an object of ours; Node is the statement as if it were ON TABLE.
type Grant struct {
	SQL
	Object Object
}

func (*SQL) statement()               {}
func (*CreateEntity) statement()      {}
func (*CreateFeature) statement()     {}
func (*CreateFeatureView) statement() {}
func (*CreateSource) statement()      {}
func (*CreateConnection) statement()  {}
func (*CreateSecret) statement()      {}
func (*Drop) statement()              {}
func (*Alter) statement()             {}
func (*Refresh) statement()           {}
func (*DeadLetters) statement()       {}
func (*Show) statement()              {}
func (*Explain) statement()           {}
func (*ExplainFeature) statement()    {}
func (*Comment) statement()           {}

// Body is the SELECT of a feature.
type Body struct {
	Text      string               // as written, windows included
	Plain     string               // the SELECT without windows, deparsed; ASOF joins appear as the joins they stand for
	Start     int                  // bytes: offset of Text in the statement
	Select    *pg_query.SelectStmt // positions are those of the whole statement
	Clauses   Clauses
	Source    *pg_query.RangeVar // the relation whose rows are aggregated: the leftmost of FROM
	Unnest    []Unnest           // lists of the row, unnested beside Source; later ones may read earlier ones
	Joins     []Join             // ASOF joins to relations of attributes
	Joined    bool               // FROM is more than Source, Unnest and Joins
	From      []*pg_query.Node   // the whole FROM
	FromText  string
	Where     *pg_query.Node // nil: none
	WhereText string
	GroupBy   []Expr // in the order written; ordinals and output names resolved to their expressions
	Targets   []Target
	// Latest marks a latest-value feature: no aggregate, no GROUP BY, no window.
	Latest bool
}

// Unnest is unnest(list) in FROM: an event for every element.
type Unnest struct {
	List   Expr
	Alias  string // of the table: qualifies the column
	Column string
	Outer  bool // LEFT JOIN: a row without elements is one event, with a NULL element
}

// Join is an ASOF join of a feature's FROM.
type Join struct {
	Relation *pg_query.RangeVar
	Node     *pg_query.JoinExpr
	Mark     *AsofJoin
}

// Expr is a scalar expression.
type Expr struct {
	Node     *pg_query.Node
	Text     string // deparsed
	Position int    // bytes
}

// Target is an output of a feature's body.
type Target struct {
	Name     string // alias; else the column's or the function's name, as PostgreSQL names outputs
	Alias    bool   // an alias was written
	Expr     Expr
	Key      int            // index into Body.GroupBy of the expression, or -1
	Call     *AggregateCall // not nil: an aggregate
	Position int            // bytes
}

// AggregateCall is a call of an aggregate at the top of an output.
type AggregateCall struct {
	Name       string // unqualified, folded
	Distinct   bool
	Star       bool
	Args       []Expr
	Filter     *pg_query.Node // nil: none
	FilterText string
	Position   int // bytes
}
