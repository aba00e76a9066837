// Package codec turns values of vectors into PostgreSQL 15's text and binary formats and back.
//
//	              AppendText / AppendBinary
//	vector value ────────────────────────────▶ bytes a PostgreSQL client reads
//	             ◀────────────────────────────
//	              AppendParsed / AppendDecoded, ParseText / DecodeParam for one value
//
// Text output is PostgreSQL's byte for byte (ISO date style; a test compares it with a running server). Text input takes the
// spellings PostgreSQL takes for the types there are. What PostgreSQL has no type for (maps, lists of lists, lists of maps)
// travels as json.
//
// Invariants:
//   - A function that appends to a vector leaves it as it was when it returns an error.
//   - Errors are *Error, with PostgreSQL's SQLSTATE and wording; input of any bytes and length gives an error, never a panic.
//   - Formatters keep no reference to the vector, parsers none to the input.
//
// Binary formats are big-endian as in PostgreSQL's *_send functions: dates are int32 days and timestamps int64 microseconds
// since 2000-01-01, numeric is int16 ndigits, weight, sign, dscale and base-10000 digits, an array is int32 dimensions, flags,
// element oid, then length and lower bound of each dimension, then length-prefixed elements.
//
// The package knows no protocol message, no session and no catalog. It does not format DateStyles other than ISO.
package codec
