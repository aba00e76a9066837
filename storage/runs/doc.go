// Package runs keeps event rows sorted by key and time: in memory for the length of a join, and in immutable files for the
// history of a feature group, beside the daily partial states built from it.
//
//	unsorted rows ─► Builder ─► partitions (memory, spill file) ─► Sorter ─► Sorted ─┬─► the merge of a join
//	                                                                                └─► Store.WriteRows ─► rows segment
//	rows segments ─► Store.BuildDays ─► days segment          segments ─► Store.Compact ─► one segment
//	Manifest + tail + dead rows + dirty days = Snapshot ─► Reader (event.Pieces) ─► one key's states and rows
//
// # Why it is built so
//
// A partition is the unit of memory and of parallel work. It is chosen by the xxh3 hash of the encoded key, so that labels
// and events of one key meet without any exchange. Nothing is compared that need not be: keys are numbered in a hash
// table, rows fall into their group by counting, and only groups that arrived out of order are sorted, by words that
// hold time and place. Keys are ordered by bytes only where a file needs it. Keys of one eight-byte value (the common
// case) are words, and never touched as bytes after partitioning.
//
// # Segments
//
// A segment is two Arrow IPC files, written under a temporary name (.tmp), synced, renamed, and the directory synced; the
// caller then enters it in its manifest. Files that no manifest names are garbage; Open removes temporary ones.
//
// Rows file, <id>.rows.arrow. Rows of partition 0, then 1, …; in a partition by key bytes, then event.Compare. A batch has
// rows of one partition, at most 8,192, and ends early at about 4 MiB. Columns: ts (int64, microseconds), row id (int64),
// tie (binary, where the layout has it), then the layout's columns. A column's Arrow type follows from the buffer that
// holds its values, the layout says what they mean:
//
//	I64 int64 · F64 double · I128 decimal128(38, scale) · bytes, text, … binary · list list<…> · map list<struct<key, value>>
//
// Key file, <id>.keys.arrow: an entry for every key, in the same order. Columns: key (binary), then int64s: first batch of
// its rows, first row in that batch, last batch, end of its rows in that (exclusive), number of rows, least ts, greatest
// ts. Part in the manifest says which batches of both files are a partition's. A time range of a key is found by binary
// search over the key batches, then over the key's row batches, then within one: it reads the few batches it lies in.
//
// A days segment has the same files. Its rows are entries: ts is the start of the day, row id 0, and a binary column a
// partial holds the encoded state; NULL means that no row of the day counts. An entry whose states are all NULL says that
// the day has become empty.
//
// Arrow has no checksums, and its library believes what it reads. So the xxh3 of each 32 KiB of a file follow its content, the
// manifest keeps the xxh3 of those, and every read is compared: damaged bytes are an error wrapping ErrCorrupt.
//
// # Invariants
//
//   - Segments overlay: all rows segments of a manifest count together; of days segments the newest entry of a (key, day).
//   - A days segment speaks for all of its span: a key without an entry there, in any segment, has no rows on that day.
//   - A (key, day) whose rows changed after its entry was built is listed by Snapshot.Dirty (days of tail rows are seen to
//     here). Then the day is read from rows, so an entry used is always exactly what its live rows give.
//   - The number of partitions, and PartitionOf, are fixed for the life of a group.
//   - Dead is asked of every row version read; deletion never rewrites a file. Compact drops what no position sees.
//
// # Limits
//
// MaxPartitions, MaxSegments, MaxMerge (segments of one compaction: a batch of rows and one of keys each in memory),
// batches as above, StoreOptions.CacheBytes of decoded batches. A Builder's Budget counts collected rows; sorting takes,
// beyond it, about twice one partition's rows a goroutine.
//
// # What it does not do
//
// It knows no SQL and no window, keeps no catalog, decides on no compaction, and does not recover rows: everything here
// can be built again from the log of record or the source's files.
package runs
