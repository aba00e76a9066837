package vector

import (
	"fmt"
	"strings"
)

// Kind is the family of a Type. Its number is written in encodings: only append.
type Kind uint8

// The kinds, with the buffer of a Vector that holds them.
const (
	Invalid     Kind = iota
	Bool             // I64: 0 or 1
	Int16            // I64
	Int32            // I64
	Int64            // I64
	Float32          // F64, holding float32 values
	Float64          // F64
	Decimal          // I128: unscaled value; Precision 1…38, Scale 0…Precision
	Text             // Off, Data: UTF-8
	Bytes            // Off, Data
	UUID             // Off, Data: 16 bytes, big-endian as printed
	Date             // I64: days since 1970-01-01
	Time             // I64: microseconds since midnight
	Timestamp        // I64: microseconds since 1970-01-01 00:00 of no zone
	TimestampTZ      // I64: microseconds since 1970-01-01 00:00 UTC
	Interval         // Off, Data: 16 bytes: int32 months, int32 days, int64 microseconds, little-endian
	JSON             // Off, Data: UTF-8
	List             // Off, Child[0]: elements
	Map              // Off, Child[0]: keys, Child[1]: values; keys distinct and ascending
	Null             // no buffer: every value is NULL (an untyped NULL of the engine)
)

// Infinite timestamps and dates, in microseconds and days.
const (
	PosInfinity = int64(1<<63 - 1)
	NegInfinity = -PosInfinity
)

// Type is the SQL type of a column. Types compare with Equal; the zero Type is invalid.
type Type struct {
	Kind      Kind   `json:"kind"`
	Precision uint8  `json:"precision,omitempty"` // Decimal only
	Scale     uint8  `json:"scale,omitempty"`     // Decimal only
	Elem      []Type `json:"elem,omitempty"`      // List: element; Map: key, value
	// Shown is the object id of the PostgreSQL type that clients see the values as, where that is not the kind's own (name, oid,
	// "char", …): it changes how a value is written for a client, and nothing else. 0: the kind's own. Values are kept as the kind
	// says: a numeric of no fixed scale, for one, is a text. Mod is the type's modifier plus one where Shown is set, 0
	// for none. Equal looks at neither.
	Shown uint32 `json:"-"`
	Mod   int32  `json:"-"`
}

// T is the type of a kind that has no parameters.
func T(k Kind) Type { return Type{Kind: k} }

// DecimalOf is numeric(precision, scale), 1 ≤ precision ≤ 38, scale ≤ precision.
func DecimalOf(precision, scale uint8) Type {
	return Type{Kind: Decimal, Precision: precision, Scale: scale}
}

// ListOf is an array of elem.
func ListOf(elem Type) Type { return Type{Kind: List, Elem: []Type{elem}} }

// MapOf is a map from key to value.
func MapOf(key, value Type) Type { return Type{Kind: Map, Elem: []Type{key, value}} }

// Equal reports whether a and b are the same type, parameters included, whatever clients see them as.
func (t Type) Equal(o Type) bool {
	if t.Kind != o.Kind || t.Precision != o.Precision || t.Scale != o.Scale || len(t.Elem) != len(o.Elem) {
		return false
	}
	for i := range t.Elem {
		if !t.Elem[i].Equal(o.Elem[i]) {
			return false
		}
	}
	return true
}

// Buffer is the buffer of a Vector that holds values of a kind.
type Buffer uint8

// The buffers.
const (
	BufNone Buffer = iota
	BufI64
	BufF64
	BufI128
	BufBytes
	BufNested
)

// Buffer names the buffer that holds values of t.
func (t Type) Buffer() Buffer {
	switch t.Kind {
	case Bool, Int16, Int32, Int64, Date, Time, Timestamp, TimestampTZ:
		return BufI64
	case Float32, Float64:
		return BufF64
	case Decimal:
		return BufI128
	case Text, Bytes, UUID, Interval, JSON:
		return BufBytes
	case List, Map:
		return BufNested
	case Invalid, Null:
		return BufNone
	}
	panic(fmt.Sprintf("vector: unknown kind %d", t.Kind))
}

var kindNames = [...]string{
	"invalid", "boolean", "smallint", "integer", "bigint", "real", "double precision", "numeric", "text", "bytea", "uuid",
	"date", "time", "timestamp", "timestamptz", "interval", "json", "list", "map", "unknown",
}

// String is the type as PostgreSQL writes it in SQL; a map, which PostgreSQL lacks, is map(key, value).
func (t Type) String() string {
	switch t.Kind {
	case Decimal:
		return fmt.Sprintf("numeric(%d,%d)", t.Precision, t.Scale)
	case List:
		return t.Elem[0].String() + "[]"
	case Map:
		return "map(" + t.Elem[0].String() + ", " + t.Elem[1].String() + ")"
	}
	return kindNames[t.Kind]
}

// DuckDB is the type as DuckDB's SQL writes it.
func (t Type) DuckDB() string {
	switch t.Kind {
	case Decimal:
		return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale)
	case List:
		return t.Elem[0].DuckDB() + "[]"
	case Map:
		return "MAP(" + t.Elem[0].DuckDB() + ", " + t.Elem[1].DuckDB() + ")"
	case Bytes:
		return "BLOB"
	case Text:
		return "VARCHAR"
	case Float64:
		return "DOUBLE"
	case Null:
		return `"NULL"`
	}
	return strings.ToUpper(kindNames[t.Kind])
}
