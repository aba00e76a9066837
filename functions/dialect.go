package functions

import "github.com/tilehouse/tilehouse/functions/vector"

// Dialect is a SQL engine that computes partial states.
type Dialect uint8

// The dialects.
const (
	DuckDB Dialect = iota
)

// PartialInput names what PartialSQL groups. All fields are SQL in the dialect, of a row of From.
type PartialInput struct {
	From  string   // a relation, parenthesized or a name
	Keys  []string // group by these, e.g. the entity key and the day
	Args  []string // the arguments, already cast to ArgTypes
	Where string   // a condition on rows, or ""
	TS    string   // event time as BIGINT microseconds
	Tie   string   // key encoding of the primary key as BLOB, or "" where there is none
}

// PartialQuery is SQL that yields, for every group, rows of (keys…, columns…), and the Go function that folds the rows
// of one group into the canonical state.
type PartialQuery struct {
	SQL     string
	Columns int // state columns after the keys
	// Fold adds one result row, columns of c after the keys, to s.
	Fold FoldFunc
}

// FoldFunc adds row i of the state columns cols, as an engine returned them, to s.
type FoldFunc func(s State, cols []*vector.Vector, i int) error
