// Package disperse keeps the online values of a data directory in Cassandra too, where gateways read them.
//
//	commit ─► tiles and, in its batch, journal ─► round: a snapshot, what changed of each key in it ─► Cassandra
//	                                                └─ acknowledged ─► out of the journal
//	new group, new epoch, journal given up ─► all its keys, in order, a checkpoint after each round
//	all groups of a catalog sent ─► its definitions published
//
// # Invariants
//
//   - What changes is named in the batch that changes it, by key, without its value: the journal costs some bytes a change, and a key that
//     changed often while Cassandra was down is sent once. It survives restarts. Beyond tiles.Options.JournalEntries it is given up, and everything
//     is sent again: Cassandra being down for long costs no more disk than that.
//   - A commit never waits for Cassandra.
//   - A round is sent once its snapshot is synced, so that Cassandra never has what a crash takes back here. Rounds of changes overlap
//     (flight.go), but for a key: it is written by a later round when the one before has landed. Timestamps of rounds grow (storage/cassandra), so
//     writes that arrive late or twice change nothing.
//   - Rounds land in order: how far values are said to be is a position, and the journal loses its oldest entries. A key that waits for a state to be
//     made anew is not sent meanwhile, and holds the position where it was when the key began to wait (waiting.go).
//   - Changes leave the journal, and checkpoints are written, after a quorum has what they stand for. A crash before that sends it again.
//   - Definitions are published when all the online groups that they name have been sent whole. Until then gateways answer by the ones before.
//   - While changes are followed no rows are fresh (storage/tiles): what is committed is in the tiles, and so in what is sent.
//   - A group that a refresh changes, or that attributes have overtaken, is not sent; afterwards it is sent whole.
//   - A minute after definitions were replaced, what no definitions read any more is looked for and deleted (sweep.go), over restarts too.
package disperse
