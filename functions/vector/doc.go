// Package vector holds typed columns: the one in-memory form of rows between DuckDB, the log of record, runs, packs,
// aggregates and the wire.
//
//	Type ── what a value is in SQL (kind, precision, scale, element types)
//	Vector ── a column of values of one Type, with a validity bitmap
//	Chunk ── columns of equal length, usually at most 2,048 rows
//
// Invariants: a Vector of length n has exactly the buffers its kind names, each holding n values (n+1 offsets); the
// buffers of a NULL hold a zero value. Buffers are little-endian in memory, as DuckDB's and Arrow's are, so that they can
// be copied whole.
//
// It does not know SQL text, files, or aggregates.
package vector
