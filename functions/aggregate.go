package functions

import (
	"errors"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Input is columns of event rows that states are updated from. All slices index by row and are owned by the caller.
type Input struct {
	Args []*vector.Vector // the arguments of one aggregate, in order; a filtered-out row is not passed at all
	TS   []int64          // event times, microseconds UTC
	Tie  *vector.Vector   // Bytes: key encodings of the declared primary key; nil where the source has none
}

// Aggregate is one aggregate function bound to argument types. It is immutable and safe for concurrent use.
type Aggregate interface {
	// Definition is the entry of the list that it comes from.
	Definition() *Definition
	// ArgTypes are the types that Input.Args must have, after the casts the binder adds.
	ArgTypes() []vector.Type
	// ResultType is the type that Finalize appends.
	ResultType() vector.Type
	// New is the empty partial state.
	New() State
	// PartialSQL is the computation of the same state by an engine's GROUP BY.
	PartialSQL(d Dialect, in PartialInput) PartialQuery
}

// State is a mergeable partial state: a value of a commutative monoid over multisets of rows. It is not safe for concurrent
// use. Equal multisets have equal encodings, in whatever order and split they were added.
type State interface {
	// Update adds a row. NULLs are skipped as the Definition's NullRule says: as PostgreSQL's aggregate skips them.
	Update(in *Input, row int)
	// Merge adds the rows of o, a state of the same aggregate, which stays as it is.
	Merge(o State)
	// MergeEncoded adds the rows of an encoded state. A bad encoding is an error wrapping ErrBadState; the state is then undefined.
	MergeEncoded(b []byte) error
	// Append appends the canonical, versioned encoding.
	Append(dst []byte) []byte
	// Finalize appends the value to out, whose type is the ResultType. Errors: ErrOutOfRange (22003), ErrStateTooLarge (54000), and
	// ErrBadState where bytes were merged that no rows have.
	Finalize(out *vector.Vector) error
	// Reset makes the state empty and keeps its memory.
	Reset()
}

// Inverter is a State of which rows can be taken away again, exactly.
type Inverter interface {
	State
	// Retract takes away a row that was added before.
	Retract(in *Input, row int)
	// Unmerge takes away the rows of o, all of which were added before.
	Unmerge(o State)
}

// Bounded is a State that max_state bounds. In memory it holds at most a small multiple of that.
type Bounded interface {
	State
	// TooLarge reports whether its encoding is a mark without content, from which no row can be taken away, and its value an error
	// wrapping ErrStateTooLarge. A state that was too large by far is so until Reset, whatever is taken away.
	TooLarge() bool
}

// Errors of states. They reach the client with the SQLSTATE named.
var (
	ErrBadState      = errors.New("bad encoding of a partial state") // XX001
	ErrOutOfRange    = errors.New("value out of range")              // 22003
	ErrStateTooLarge = errors.New("partial state exceeds max_state") // 54000
)

// Definition is an entry of the list of aggregates: what documentation, pg_proc, the planner and the tests read.
type Definition struct {
	Name         string
	Family       Family   // where documentation lists it; "" where Implicit
	Calls        []string // how SQL calls it, arguments by name; empty where Implicit
	Example      string   // a call over the purchases of the reference (sql/reference/world.sql)
	Help         string   // one line
	Arguments    string   // in words: the types that the arguments may have
	Result       string   // in words: the type of the value
	NullRule     string   // in words: which rows are skipped, and the value of none
	Inverse      bool     // its states implement Inverter
	Ordered      bool     // the value depends on the order by (event time, primary key, argument)
	Implicit     bool     // SQL cannot call it: the planner does, for a clause that stands for it
	ErrorBound   string   // in words; "exact" where there is none
	StateVersion byte     // first byte of a non-empty encoding
	StateOf      string   // the aggregate whose states its own are, of equal arguments and none but these; "": its own
	Parameters   []Parameter
	// Bind returns the aggregate for argument types, parameters included, and the constants that arguments are: "" where an
	// argument is none, otherwise a number as SQL writes it, or numbers in braces: "5", "-2.5e3", "{0.5,0.9}". Errors are *BindError.
	Bind func(args []vector.Type, constants []string, opt Options) (Aggregate, error)
}

// Family is what aggregates have in common, in words.
type Family string

// The families, in the order of the documentation.
const (
	CountsAndSums Family = "counts, sums"
	Spread        Family = "spread"
	TwoColumns    Family = "two columns"
	OrderOfValues Family = "order of values"
	OrderOfTime   Family = "order of time"
	PerValue      Family = "by value"
)

// Families are all of them.
var Families = []Family{CountsAndSums, Spread, TwoColumns, OrderOfValues, OrderOfTime, PerValue}

// Parameter is a constant argument. Parameters stand after the arguments of rows.
type Parameter struct {
	Name    string
	Help    string   // in words: what it may be
	Samples []string // constants that are taken, as Bind takes them: what tests bind with
}

// Options are limits of states.
type Options struct {
	MaxState int // bytes of an exact multiset's encoding; 0: DefaultMaxState
}

// DefaultMaxState is the bound of an exact multiset's encoding, in bytes.
const DefaultMaxState = 64 << 10

// BindError says why an aggregate cannot take its arguments.
type BindError struct {
	SQLState string // 42883, 42804, 0A000, 22023, …
	Message  string
	Hint     string
}

func (e *BindError) Error() string { return e.Message }
