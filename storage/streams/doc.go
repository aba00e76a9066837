// Package streams keeps, beside the rows of streams in the log of record, up to where each partition of a topic was read, and the
// dead letters: the messages that could not be rows.
//
//	consumer ─ rows ──────────────┐
//	         ─ State.Partitions ──┼─► one transaction of the log: all of it, or nothing
//	         ─ letters ───────────┘
//
// # Invariants
//
//   - A message of a partition has done to the rows what it says, or is a dead letter, exactly when its offset lies below the
//     partition's Next (and not below where the source began): State.Good + State.Dead is how many were taken.
//   - A transaction takes the state that it was made from: Batch.Extra fails with ErrFenced where another has come in between, or
//     the same one before, so that a transaction in doubt can be tried again.
//   - Letters have numbers 1, 2, …, which they keep; the newest of them, of MaxLetterBytes at most, are kept until their message has
//     done what it says after all (Resolve), or they are thrown away (Forget).
//
// # Bytes
//
// The keyspaces go with their source (reclog.Log.DropSource). source is 4 bytes, number 8, big-endian; uv is an unsigned varint,
// sv a signed one, bytes are uv and so many bytes.
//
//	key                  value
//	'o' source           1 byte version: 3; uv batches, position; uv good, dead, live rows; uv newest letter, oldest kept letter, kept
//	                     letters, their bytes; uv ends noted, letter from which on they are known; uv newest applied entry of its archive; uv partitions; of each uv next offset, 1 byte: 1 where an event was taken, and then sv its newest time
//	'd' source number    1 byte version: 1; 8 bytes position; uv partition, offset; sv time of the message, of arrival, in microseconds UTC;
//	                     bytes code, reason; then three times 1 byte, and bytes where it is 1: key, headers, value
//	'e' source key       1 byte version: 1; uv partition, offset: the last message that ended the row of a primary key, encoded as in
//	                     the log of record. Noted while letters are kept, so that one of before does not bring the row back
//
// A source of PostgreSQL has two partitions: next of the first is the place in PostgreSQL's log up to which everything is known, 0 where the
// table is to be read as a whole, and its newest time that of the newest version; next of the second is how often the table was read as a whole, and its
// newest time the object ids of table and place in the publication that were read then, 32 bits each.
//
// # What it does not do
//
// It knows no broker, and decodes no message.
package streams
