// Package cassandra keeps the values of online tile groups, and the definitions that they are read by, in a keyspace of Cassandra: one
// server disperses to it (Writer), any number of gateways read from it (Reader).
//
//	tiles        (grp, key) ─► part ─► value        one partition an entity key and group; part is empty of the key record
//	             └─ static: round, meta             as of which round the partition is; what is retained of the group then
//	groups       grp ─► meta                        the same for keys without a partition
//	definitions  (epoch, version) ─► number ─► body
//	published    1 ─► epoch, version, …             the definitions that gateways read by
//	progress     1 ─► position, …                   how far values are
//	owner        1 ─► store, directory, epoch, block    who writes, by lightweight transactions
//
// grp is epoch << 32 | the group's number in the data directory.
//
// # Timestamps
//
// Every write but those of owner says its timestamp: epoch << 40 | block << 20 | round. A round is a snapshot of the data directory from
// which the values of some keys are sent. Rounds grow, and each has a snapshot no older than the one before it, so that of two states of a
// value the later one wins, however late the earlier one arrives; a round that is sent again has another number. Cassandra lets
// the larger bytes win among equal timestamps, and a delete over both: here equal timestamps are equal states. Rounds are
// counted in blocks, one or more a start of the server, which a lightweight transaction gives out (Claim). So no two processes
// have a round in common, copies of a data directory included: who finds that another took the next block begins a new epoch.
//
// Nothing is written with a time to live, and TTL 0 is said in each write, whatever default the table was given: a value goes when it is deleted.
//
// # One partition at one time
//
// What changes of a partition in a round is in one unlogged batch, and is one mutation there, which a replica applies as a whole, whether or not
// the batch has other partitions, too (together.go). The next round of the
// partition begins after this one was acknowledged by a quorum. A read by quorum of one partition in one query therefore sees whole
// rounds. A reader that asks a partition again, for nodes further down, compares the round (ErrTorn) and begins anew where it differs. Values of more than
// batchBytes go in several batches; the partition has no round meanwhile (busyRound), and its readers wait.
//
// # What it does not do
//
// It knows no encoding of values. It does not say what changed (storage/tiles), when to send it (materialize/disperse), or what a value means.
package cassandra
