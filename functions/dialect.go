package functions

import (
	"fmt"
	"math"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Dialect is a SQL engine that computes partial states.
type Dialect uint8

// The dialects. Spark is one with spark.sql.ansi.enabled, so that it raises where a number is too large. DuckDB and PostgreSQL are
// held to Go's states by tests/engine; no test runs Spark, which Connect alone stands for.
const (
	DuckDB Dialect = iota
	PostgreSQL
	Spark
)

// Dialects are all of them.
var Dialects = []Dialect{DuckDB, PostgreSQL, Spark}

func (d Dialect) String() string { return [...]string{"DuckDB", "PostgreSQL", "Spark"}[d] }

// Has reports whether the engine has a type that keeps values of t as they are. PartialSQL may be asked for arguments of such
// types only.
func (d Dialect) Has(t vector.Type) bool {
	switch {
	case d == Spark:
		return t.Kind != vector.UUID && t.Kind != vector.Time && t.Kind != vector.Interval && t.Kind != vector.JSON
	default:
		return true
	}
}

// PartialInput names what PartialSQL groups. All fields are SQL in the dialect, of a row of From.
type PartialInput struct {
	From  string   // a relation, parenthesized or a name
	Keys  []string // group by these, e.g. the entity key and the day
	Args  []string // the arguments, already cast to ArgTypes
	Where string   // a condition on rows, or ""
	TS    string   // event time as BIGINT microseconds
	Tie   string   // key encoding of the primary key as bytes, or "" where there is none
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

// fn is the built-in function of a name, written so that a user's macro or function cannot shadow it.
func (d Dialect) fn(name string) string {
	switch d {
	case DuckDB:
		return "system.main." + name
	case PostgreSQL:
		return "pg_catalog." + name
	case Spark:
		return name // Spark looks among the built-ins first
	}
	panic(fmt.Sprintf("functions: unknown dialect %d", d))
}

// typ is the name of a scalar type.
func (d Dialect) typ(t vector.Type) string {
	switch d {
	case DuckDB:
		return t.DuckDB()
	case PostgreSQL:
		return t.String()
	case Spark:
		switch t.Kind {
		case vector.Decimal:
			return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale)
		case vector.Float32:
			return "FLOAT"
		case vector.Float64:
			return "DOUBLE"
		case vector.Text:
			return "STRING"
		case vector.Bytes:
			return "BINARY"
		case vector.Timestamp:
			return "TIMESTAMP_NTZ"
		case vector.TimestampTZ:
			return "TIMESTAMP"
		}
		return strings.ToUpper(t.String())
	}
	panic(fmt.Sprintf("functions: unknown dialect %d", d))
}

func (d Dialect) cast(x string, t vector.Type) string { return "CAST(" + x + " AS " + d.typ(t) + ")" }

func (d Dialect) bigint(x string) string { return d.cast(x, vector.T(vector.Int64)) }
func (d Dialect) text(x string) string   { return d.cast(x, vector.T(vector.Text)) }

// wide is the integer x as a number whose products and sums have 38 digits.
func (d Dialect) wide(x string) string {
	switch d {
	case DuckDB:
		return "CAST(" + x + " AS HUGEINT)"
	case PostgreSQL:
		return "CAST(" + x + " AS numeric)"
	default:
		return "CAST(" + x + " AS DECIMAL(38,0))"
	}
}

// sum is the sum of integers x, of 38 digits.
func (d Dialect) sum(x string) string {
	if d == Spark { // which sums BIGINT as BIGINT
		x = d.wide(x)
	}
	return d.fn("sum") + "(" + x + ")"
}

// total is the sum of integers x as numeric(38,0). All engines raise where it has more digits.
func (d Dialect) total(x string) string { return d.cast(d.sum(x), vector.DecimalOf(38, 0)) }

// double is a literal of type double precision.
func (d Dialect) double(x float64) string {
	s := "inf"
	if !math.IsInf(x, 1) {
		s = fmt.Sprintf("%.17g", x)
	}
	switch {
	case d == PostgreSQL:
		return "'" + s + "'::float8"
	case s == "inf" && d == DuckDB:
		return "'inf'::DOUBLE"
	case s == "inf":
		return "DOUBLE('Infinity')"
	case d == Spark:
		return s + "D"
	case !strings.Contains(s, "e"):
		return s + "e0"
	}
	return s
}

func (d Dialect) nan() string { return d.cast("'NaN'", vector.T(vector.Float64)) }

func (d Dialect) pow2(n int) string { return d.double(math.Ldexp(1, n)) }

// shift is the BIGINT x without its n lowest bits, rounded down.
func (d Dialect) shift(x string, n int) string {
	if d == Spark {
		return fmt.Sprintf("shiftright(%s, %d)", x, n)
	}
	return fmt.Sprintf("(%s >> %d)", x, n)
}

// fence ends a nested SELECT. PostgreSQL would otherwise pull it up and evaluate what it computes once for every use.
func (d Dialect) fence() string {
	if d == PostgreSQL {
		return " OFFSET 0"
	}
	return ""
}

// ordered is the column x in the order of values: PostgreSQL orders text by the locale unless told otherwise.
func (d Dialect) ordered(x string, t vector.Type) string {
	if d == PostgreSQL && t.Kind == vector.Text {
		return x + ` COLLATE "C"`
	}
	return x
}

// noBytes is the empty string of bytes.
func (d Dialect) noBytes() string { return d.cast("''", vector.T(vector.Bytes)) }
