// Package reclog is the log of record: the one place where rows of event tables and streams are committed, and the owner of
// the Pebble database that it shares with the catalog and the online tiles, so that one batch commits all of them or none.
//
//	Commit ─ encode rows, keys ─┐                                  ┌─ changes 'l', live rows 'v',
//	Commit ─ encode rows, keys ─┼─► queue ─► committer: one group ─┤  primary keys 'k', times 'p'   ─► one batch, one sync
//	Commit ─ stage a bulk ──────┘            (checks in order)     └─ Txn.Extra, Applier (tiles)
//
// # Invariants
//
//   - A committed transaction is one position: 1, 2, … without gaps. Its commit time is greater than the one before.
//   - A transaction is there as a whole, in every keyspace, or not at all. A failed one leaves no trace (but see ErrInDoubt).
//   - Row ids of a source count up from 1 in the order of positions and are never given again.
//   - Everything under 'v' and 'k' can be rebuilt from 'l'.
//   - What follows from a change to one source for another (Follower) is a change of the same transaction, at the same position.
//   - Rows of a change are never rewritten. Trim takes such out as are dead and of event times that nobody reads, with their deletes or
//     before them, and removes what is left empty; DropSource removes everything. So columns are only added to a source, at the end, and
//     types only widened: a reader's Schema says what rows of before have there.
//
// Position() moves once a group is synced. Reads of DB() may see a group from when Pebble has it in memory, that is up to one
// sync earlier.
//
// # Bytes
//
// A database of the same format version reads these. uv is an unsigned varint (encoding/binary), sv a signed (zigzag) one;
// fixed integers in keys are big-endian. source is 4 bytes, position, row id and bulk are 8.
//
//	key                                    value
//	'm' 'f'                                uv format version: 4
//	'm' 'e'                                uv epoch: how often the database was opened
//	'm' 'n' name                           uv last value reserved of the sequence
//	'm' 'r' source                         uv least next row id of a source that was dropped or trimmed
//	'm' 't' source                         what was trimmed: sv event time, uv position, uv rows, uv bytes
//	'm' 's' source bulk                    empty: the bulk's chunks are staged and not committed; Open removes them
//	'p' position                           commit time, 8 bytes big-endian, microseconds UTC; then, where it changed rows of one
//	                                       source and nothing else, the source, 4 bytes. Trimmed with the last change of it
//	'w' source position                    newest event time up to there, 8 bytes big-endian, microseconds UTC, where it rises
//	'l' source 00 position [change]        a change; change (4 bytes) is its index in the transaction, absent if 0
//	'l' source 01 bulk chunk               uv columns of the primary key, uv each; then an encoded chunk. chunk: 4 bytes
//	'v' source row id                      a live-row entry of the rows that came by one chunk; row id is its first row's
//	'k' source key encoding                uv row id; the encodings of vector.AppendKey, one after the other
//
// A bulk's number is epoch·2³² plus a count, so that no two are the same.
//
// Change:
//
//	1 byte      form: 0 no rows, 1 one chunk within, 2 chunks of a bulk, 3 chunks of a bulk some of which are gone
//	uv          id of the first row; in form 0 the next id to be given
//	uv, sv…     number of deleted row ids; each less the one before (the first less 0)
//	            forms 1 to 3: uv rows, uv columns of the primary key, uv each
//	            form 1: an encoded chunk, to the end
//	            forms 2, 3: uv bulk, uv chunks, uv rows of each
//	            form 3: a bit a chunk, least first, set: gone
//
// Live-row entry, removed when its last row dies:
//
//	1 byte      bit 0: the chunk is of a bulk; bit 1: some rows are dead
//	uv, uv      position, rows
//	uv          index of the change; or of a bulk: uv bulk, uv chunk
//	bytes       if bit 1: a bit a row, least first, set: dead
//
// A chunk of which rows were trimmed, and the others stay:
//
//	1 byte      version: 2
//	uv          rows that it came with
//	bytes       a bit a row, least first, set: the row is there
//	            an encoded chunk of these rows
//	4 bytes     CRC-32C of all before, little-endian
//
// Encoded chunk (AppendChunk), at most 2,048 rows:
//
//	1 byte      version: 1
//	uv, uv      rows n, columns
//	columns     each: type, then the column
//	4 bytes     CRC-32C of all before, little-endian
//
// Type: 1 byte vector.Kind; numeric: 1 byte precision, 1 byte scale; list: element type; map: key and value types.
//
// Column of n values:
//
//	1 byte      0: no NULL; 1: a bit a value follows, least first, set: not NULL
//	integers    numbers (below)
//	floats      1 byte 4 or 8; that many little-endian bytes a value, IEEE 754
//	numeric     numbers of the unscaled values; or 1 byte 15 and 16 little-endian bytes a value, where one exceeds 64 bits
//	text, …     numbers of the lengths; then all bytes
//	list, map   numbers of the lengths; then a column of the elements, or of keys and one of values
//	unknown     nothing
//
// Numbers: 1 byte width w, sv least value, then each value less the least: w = 1…8 little-endian bytes; w = 0 none at all;
// w = 9 one bit. NULLs are written as the least value and read as zero. Elements of lists and maps never have w = 0, so that
// the values a reader makes are at most eight times the bytes it has.
//
// # A full disk
//
// Pebble ends the process when it cannot write its WAL or manifest. So: commits are refused with ErrDiskFull while less than
// ReserveBytes are free; a ballast file of as many bytes is given up when a write yet finds no space, so that the group being
// written and the memtable behind it get to disk; what finds no space even then waits for it inside the file system that
// Pebble is given, and Pebble never learns of it. Nothing is admitted until the ballast is there again. Reads go on
// throughout: the end of a snapshot, which may wait for a write to the manifest, is left to the background (Release). A transaction whose group is caught waiting for longer than StallTimeout fails with ErrInDoubt. Where the file
// system cannot allocate ahead (Preallocate), the free space it reports is the only reserve. A sync that fails, for want of
// space or otherwise, is fatal: what it left on disk is unknown until the next Open.
//
// # What it does not do
//
// It does not know which rows may be trimmed, evaluate expressions, check types or NOT NULL, or know what a feature is. Reads at older
// positions are made from Scan.
package reclog
