// Package message reads messages of streams as rows: FORMAT … ENCODE … of CREATE SOURCE.
//
// A message is a row as a whole or none: what cannot be read is an *ingest.Rejected, which says why, and leaves nothing in the
// columns. There is one answer to a message, whoever reads it and when: nothing depends on a session or the clock.
//
// # Envelopes
//
// FORMAT says what a message does to the rows of its source:
//
//	PLAIN     it is a row
//	UPSERT    its key is a primary key, its value the row's newest version, or NULL where the row is gone. The value may leave the key's
//	          columns out, and is refused where it has another key.
//	DEBEZIUM  its value has before, after and op: c, r and u put after, u takes the row of before where that has another primary key, d
//	          takes before, or the message's key. A value NULL takes the message's key. Whatever else op is is refused, t (TRUNCATE), too.
//	          Key and value may stand beside their schema, in payload. A date may be a number of days since 1970.
//
// # JSON
//
// An object; its fields are the columns of their names, in any order. A column without a field is NULL, and so is one whose field is
// null. Fields that are no columns are skipped, or refuse the message (JSONOptions.RefuseUnknown). Two fields of one name, bytes that are no
// UTF-8, and anything after the object refuse it. What a column takes:
//
//	boolean                            true, false
//	smallint, integer, bigint          a number without fraction or exponent; a string of one
//	numeric, real, double precision    a number; a string of one, 'NaN' and 'Infinity' where the type has them
//	text                               a string
//	timestamptz, timestamp             a string as PostgreSQL reads it, without a zone of UTC; a number since 1970 in JSONOptions.Unit
//	date, time, interval, uuid, bytea  a string as PostgreSQL reads it
//	json                               anything
//	arrays                             an array of what the elements take
//
// Units of times do not overlap: a number in a unit lies between 1973-03-03 and 5138-11-16, so that seconds where milliseconds were
// meant are refused instead of being taken for a day of January 1970.
//
// # Avro and Protobuf
//
// A value is read by its schema: one that is given, or that of a registry (Schemas) whose id the value begins with. What was made of a
// schema is remembered. Fields are columns by name, types as doc of CREATE SOURCE has them; values of any bytes cost no more than they
// have: depth and elements are bounded (maxDepth, maxElements).
//
// It does not talk to brokers or registries.
package message
