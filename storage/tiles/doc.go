// Package tiles is the online store: what a feature group knows of each entity key at the newest position, in Pebble, laid out
// so that a window cut at any microsecond is read in a few point reads.
//
//	key record ──► settled days: a state per day and partial,  ─┐
//	    │            and the row pack of a day of few rows      │
//	    │          lifetime: states of everything pruned        ├──► event.Pieces
//	    └─ days ─► tree of a day: inner node ─► … ─► row pack ──┘
//
//	[Lo ─ tail day's tree ─┼─ settled days, from the record ─┼─ head day's tree ─ Hi)
//
// # Reads
//
// A lookup reads the key record, and the trees of the days that an end of the interval cuts. With at most PackRows rows a day and all
// whole days settled, windows of 7 and 30 days read four values: record, head day, two tail days; with few rows a day two, because
// the record holds the packs of settled days of up to 256 bytes, and one as long as rows of the head day came once only. A whole day
// that is not settled yet costs one more. In a day of more rows, an end costs one more read for every level below the root that it passes: at most
// seven, and with rows spread evenly over a day two below a million rows. Days without rows cost nothing: the record lists the days.
// The group record (what is retained) is read once a Reader.
//
// # Trees
//
// The tree of a (key, UTC day) has levels 0…7 whose buckets are 1 day, 2³¹, 2²⁶, 2²¹, 2¹⁶, 2¹¹, 2⁶ and 2⁰ µs wide: 36 minutes, 67 s,
// 2.1 s, 66 ms, 2 ms, 64 µs, 1 µs. A fan-out of 32 to 64 keeps an inner node about as large as a pack. A bucket of more than PackRows
// rows is an inner node, unless it is a microsecond, which no end of an interval can split. One that falls to a quarter of PackRows
// becomes a pack again.
//
// # Invariants
//
//   - An inner node's states and row counts are those of its children's rows; a settled day's are those of its tree. Each is changed
//     in the batch that changes the rows: added to; taken from where the aggregate has an inverse; else computed from the child.
//   - The root of a day's tree is in the record, if it is a pack of at most 256 bytes and the day is settled or its rows came in one
//     commit, else a value of its own. The first row of a day writes the record anyway, which then names the day; the next one moves
//     the root out, and from there on a row rewrites its pack alone. A late row rewrites the record, whose states it changes anyway.
//   - A state has one encoding (functions.State), so values do not depend on the order of arrival; the shape of a tree may.
//   - The record names exactly the days that have a root; the index of days has exactly the (day, key) of the records.
//   - A row is in one place: in the tree of its day if that is retained or still named by the record; else in the lifetime
//     state of its era (Lifetime groups), or nowhere. Eras are what the beginnings of LIFETIME reads divide time into, so that each
//     such read has the whole of some states and nothing of the others.
//   - A key's pruned day moves from its tree to the lifetime states in one commit, so a read at any snapshot counts each row once.
//   - The horizon of the group record rises before rows below it go. Reads below it fail with ErrNotRetained; in a Lifetime group,
//     those that hold some but not all of the event times that a lifetime state spans.
//   - A lifetime state from which a row was deleted that an aggregate cannot take back is broken: reads of it fail with
//     ErrNotRetained, and its key is in an index, written by the same commit, until Rebuild.
//
// # Fresh rows
//
// Many rows at once are kept in memory, in front of the tiles (Add), and folded into these later, all of a key at once (Fold). A row of
// position p is visible to a snapshot if the position of its key's tiles < p ≤ the newest position that fresh rows were committed at; both
// are what the snapshot says of them, so each row is counted once whenever it was taken. A View has the generations of fresh rows of the moment of its snapshot: their rows
// are there before the commit can be seen, and go after the fold's last commit.
//
//		Add ─► growing generation ─ freeze ─► folding generation ─ slices of keys, ascending ─► tiles
//		            └───────────── read by key, sorted, beside the pieces of the tiles ──┘
//
//	  - A fold orders the rows of its generation by key once, by the numbers that keys were given as they came.
//	  - A fold's slice of keys and how far the fold has come are one commit: the position record has the position that it leads to, and the
//	    last key that is there. So after a crash the keys that were folded are known, and the others' rows are given again by the caller.
//	  - Where somebody waits for a fold, parts of a slice are made at once: what is of one key is of one part, and all are one commit.
//	  - Nothing is applied while rows are fresh: a deleted row may be one of them, or its key's tiles be behind.
//
// # Commits and the cache
//
// Writers take turns: one transaction is in flight from the first Apply of a batch to its done. Version n of the store is the
// database after n transactions, and version counts up in done, after the commit. A View reads version v first and takes a Pebble
// snapshot second, or that of a View that had read v and the same position of the log before it, so the snapshot holds all
// transactions up to v, and maybe one more. The cache has records and small packs as they
// are written, and Readers decode them into memory that they keep: that is faster than to collect the garbage of decoded ones, and
// more fit in. Other values are decoded. All of them are immutable. A full cache takes in what was missed before, not long ago. An entry
// (key, value, since) means: the value is what the key has at every version from since to now, the transaction in flight included.
//
//  1. Before a commit can be seen, Apply takes every key it writes out of the cache, and sets the shard's touched to its version.
//  2. A reader enters what it read at view v only if v ≥ touched, that is, if no transaction after v writes to the shard. The value then
//     holds since touched. A reader with an older view is refused, so it cannot bring an old value back.
//  3. A view v takes an entry only if since ≤ v. Its snapshot is at v or later and not later than now, so the entry is what the
//     snapshot has. Hits and reads of one view therefore agree, and a view never sees half a transaction.
//  4. done enters what was written with since = its version, before that version is counted: no view so old takes it.
//
// A transaction that fails counts too: that costs the cache what it touched and nothing else.
//
// # Journal
//
// Where somebody follows changes (FollowChanges), each transaction names the records, nodes and group records that it writes in entries of the
// keyspace 'j', in its own batch. Whoever follows takes a snapshot, reads the entries and what they name in it, and takes the entries out
// (Sent). Bulk loads name nothing: a group that was not there before is read as a whole. Getter is what a Reader reads a group from that
// somebody keeps elsewhere (DistantReader).
//
// # Keys
//
// 't', the group's prefix (uint32), a kind byte, then by kind; integers are big-endian; days and levels are offset so that bytes
// order as values do:
//
//	'K' entity key                                            key record
//	'N' entity key, day (int32, sign flipped), level (byte), bucket (uint64)   node: row pack or inner node
//	'D' day (int32, sign flipped), entity key                 nothing: the index of days
//	'B' entity key                                            nothing: the index of keys that wait for Rebuild
//	'M'                                                       group record
//	'P'                                                       position record
//	'F'                                                       uv newest position of fresh rows
//
// An entity key is vector.AppendKey's encodings, concatenated: self-delimiting, so no key is a prefix of another.
//
// # Values
//
// The first byte is a tag and version: 01 and 04 are of version 1, the others of version 2. A group whose position record is of
// version 1 is not read but built again. "uv" is an unsigned varint, "zz" a zigzag varint.
//
//	row pack     01, rows uv, event times: uv from the bucket's start, then uv differences; row ids: zz differences; ties, if the
//	             layout has them: uv bytes shared with the last, uv more bytes, these; a column each
//	column       mode | 80 if some are NULL; then validity, a bit a row, lowest first; then by mode
//	             0 zz values · 1 zz differences · 2 fixed width, little-endian (float64; int128 low, high) · 3 floats as zz of 100·x
//	             4 dictionary: byte n, n × (uv length, bytes), an index byte a row · 5 uv length, bytes · 6 uv elements a row, then the
//	             children as columns · 7 all NULL
//	table        entries uv; an entry each: id (zz the first, uv differences after), meta uv; of each string uv its length and one more, or
//	             0 where it is the one before it in its entry; the strings, entry after entry. They are the states in order of the
//	             partials, empty for no rows, and what stands below
//	inner node   12, table: id the child's bucket number (offset in the day >> its shift), meta its rows
//	key record   13, table of eras: id the era's number, meta 1 if its state is broken (and empty); of each era zz least and greatest event
//	             time; table of days: id the day, meta 1 if it is settled (else the states are empty), after the states the day's row
//	             pack, empty where the root of its tree is a value of its own
//	group record 04, newest settled day zz, day up to which publication began zz, first retained day zz; −2³¹: none
//	position     15, position uv, rows in packs zz, keys zz; 25 while fresh rows are folded: then uv position of the fold, uv length of
//	             the last key that was folded, the key
//
// # What it does not do
//
// It does not read at older positions, fold states, or know windows. It keeps no log: a lost or doubted group is built again. It does
// not call for Rebuild: who commits looks at Broken.
package tiles
