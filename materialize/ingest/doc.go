// Package ingest reads topics of Kafka and tables of PostgreSQL into the log of record.
//
//	broker ─ fetches ─► consumer ─ rows, offsets, dead letters ─► one transaction of the log ─► tiles, lookups, joins
//	                        ▲                                            │
//	                        └── offsets, after a restart or an error ────┘
//
// A Kafka source is an event table with one writer: a consumer, a goroutine of this package. Everything that is derived from event
// tables is derived from it by the same code, in the batch that commits the rows.
//
// # Invariants
//
//   - Offsets are the log's, never the broker's: what a consumer reads next is what no committed transaction has. It commits
//     nothing to the broker, and joins no consumer group. Of an archived source they are the archive's.
//   - Each message below a partition's next offset has done to the rows what it says, or is a dead letter. A message that cannot be a row does not hold up
//     those behind it; anything else that fails does, and is tried again, with a state and a reason that can be seen. Where a transaction is refused for rows that features
//     cannot be computed of, these are looked for without commits (Config.Refusals), and the rest is committed at once.
//   - A transaction takes what was read and decoded while the one before it was committed (ahead): a single message where they come
//     slowly, up to mostMessages where reading is behind. What waits is bounded by Config.FetchBytes; the rest is on the broker.
//   - Who writes a source holds its turn: its consumer, or a replay of dead letters. A letter goes in the transaction that takes its
//     message. What a message does to rows of primary keys is decided in one place (resolve), whatever the format.
//   - After ALTER SOURCE … SUSPEND or DROP SOURCE nothing of the source is committed any more.
//
// # Archived sources
//
//		broker ─ partitions given to this server ─► collector ─ Add ─► archive ─ Next ─► follower ─ rows, offsets, entry, dead letters ─► one transaction of the log
//
//	  - A collector reads as a member of a consumer group, decodes, and adds what the archive lacks. What it holds of a partition has no gap from an end of
//	    the archive's on (ownership), so that what remains of it after entries of others is what comes next. It writes nothing to the log of record.
//	  - A follower applies every entry in order, its own server's, too, through the same builder as a consumer. What messages do was decided when they
//	    were decoded; what that does to rows of primary keys is decided here, in entry order, and so alike on every server.
//	  - The log's offsets say which messages of an entry were applied, the state's Entry where to go on.
//	  - What the collector fails at, a broker that is away, does not hold up the follower, and shows beside it.
//
// # Tables of PostgreSQL
//
//		replication ─► tableStream ─ transactions ─► tableBatch ─► rows, versions, place: one transaction of the log ─► the slot is told
//		SELECT ──────► reading ───── rows found ───────▲
//
//	  - The place in PostgreSQL's log up to which everything is known is the log's (streams.State), and the slot's afterwards: the slot is never
//	    further. A slot that is, or is gone, has lost changes, and so has a publication without the table: place 0, the table is read as a whole.
//	  - A transaction of PostgreSQL's is part of one transaction of the log, whole. Of a row that it changes several times the last state is a version.
//	  - A reading of the table is compared with the rows that the log has, and commits what differs: one that was cut short is begun anew.
//	  - Times of versions ascend with PostgreSQL's transactions, and are no earlier than this server's clock when they came.
//	  - A change that cannot be taken stops its source: later ones may depend on it.
//
// # Watermark
//
// Each partition has the newest event time of its rows. The source's is the least of those of its partitions, leaving out those that gave
// nothing for the idle timeout; it never goes back. It is committed beside the rows (reclog.Change.Mark), so that it
// is known at every position.
//
// # What it does not do
//
// It does not decode messages (Decoder), balance partitions over servers (the broker and its client do), or write to Kafka.
package ingest
