// Package archive keeps the messages of a topic as an ordered log of entries in a folder that several servers share.
//
//	owner of some partitions ─ Add ─► entries/<number>.parquet ─┬─ Next ─► every server, in the order of the numbers
//	                                         │ Merge            │
//	                                         └─► runs/<segment>.parquet
//
// An entry is some messages, a row each, and the offsets that they cover: partition, first offset, end. Entries have numbers 1, 2, 3, …
// Position is an entry's number and, of each partition, the first offset that no entry up to there covers.
//
// # Invariants
//
//   - An entry's file is written under a name of its own, synced, and then linked to the name of its number, which fails where that is
//     taken: there is one entry of each number, it is whole, and it never changes.
//   - Of each partition an entry covers offsets from the end of entry number − 1 on. Who adds number n has read n−1 (At), and who loses n to
//     another reads that and begins anew. So the ranges of a partition, by entries, join without gap or overlap: each offset is covered
//     exactly once, whatever servers believe to own. Ownership saves work, and decides nothing.
//   - What Next gives is on disk in the folder, too: a folder is synced before an entry that is not known to be is given, and before the
//     next one is added. So no crash of the machine takes back what a server has applied, or leaves a gap.
//   - A segment of entries is merged into one run when all of them are there. The run is linked and on disk before the first of them is deleted.
//     It has their messages in their order, and is never deleted.
//   - An entry whose number a run covers is void. A server that slept may add number n after n was merged and deleted: the name is free. But the run
//     was there before the name was, so whoever looks for the run after it linked, or read, the entry finds it: Add then says that the
//     number was taken, and Next gives the run.
//
// # Crashes
//
// Before the link there is a file that nobody reads (new/, swept after a day). After it the entry is added, whatever becomes of its server: the next
// reader sees it, the server itself when it comes back, and what it covers is added by nobody again. A link that a crash of the machine took back was seen by nobody, by the third invariant.
// A merge that ends before its link leaves a file that nobody reads; after it, entries that are void, which the next merge, or Open, deletes.
//
// # Two owners
//
// Two servers that both read a partition add entries of it in turn: the one that comes second to a number finds, by the entry that took it, which of its messages
// are covered, drops them and adds the rest. Nothing is lost, as each holds messages from an end of the archive's on without a gap, and the archive's end only grows.
//
// # Bytes
//
// archive.json says the version, the archive's id and what all servers agree on; it is linked once, and never changes. Files are Parquet. Their metadata has
// tilehouse.archive (id), .entries (first and last number), .covers ([partition, from, to] each) and .next (the ends after it, by partition, as JSON). The xxh3 of all
// other bytes, 8 of them, little-endian, stands before the footer, and is compared before anything else is read.
// Columns have their declared types, but interval, which is 16 bytes: int32 months, int32 days, int64 microseconds, little-endian.
//
// # What it does not do
//
// It knows no broker, decodes no message, and deletes no history. The folder's file system must have hard links that fail where a name is taken (NFS has), and show what was linked to
// all servers in that order.
package archive
