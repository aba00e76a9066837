// Package featurelog keeps a sample of what was served online: the instant and the position of a read, what it bound, and the
// values that it returned, so that they can be compared with the same read made again.
//
//	lookup ─ Add: never waits ─► queue, bounded ─► writer: one batch of many records ─► database of the log of record
//	                                └─ full: the record is dropped, and counted
//
// Invariants: Add costs a copy of one row and no I/O; a record is there whole or not at all; Flush returns once everything
// added before it is durable or dropped. Records are kept for KeepFor and then removed, a range at a time.
//
// # Bytes
//
// uv is an unsigned varint; fixed integers in keys are big-endian.
//
//	key                                value
//	'f' view at sequence               1 byte version: 1; uv instant of the read (microseconds since 1970, zigzag); uv position;
//	                                   uv bound columns; uv columns, then each: uv bytes, name; an encoded chunk of one row
//
// view is 4 bytes; at is when the record was added, 8 bytes of microseconds with the sign flipped; sequence 8 bytes: a random
// half that tells processes apart, and a count.
//
// It does not choose which reads are logged, and does not compare anything.
package featurelog
