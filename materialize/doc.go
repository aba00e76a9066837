// Package materialize keeps everything that is derived from the log of record and from files: projections of event tables in
// DuckDB, sorted runs and daily partials, online tiles. It evaluates features' expressions over source rows, builds groups,
// lets the committer keep their tiles, folds the log's tail into runs, settles days, refreshes file sources, and rebuilds what
// is missing.
//
//	CREATE, REFRESH FEATURE ─► Batch.Build ─► buildGroup: scan ─► runs, days ─► tiles ──► Batch.Publish at COMMIT
//	INSERT, UPDATE, DELETE ──► reclog ──────► Apply: tiles, in the batch of the commit
//	read at a position ──────► Snapshot: runs + tail of the log, or View: tiles at the newest position
//	days end, tails grow ────► Settle: expire; tiles.Settle, Prune; flushTail ─► overlay ─► publishRuns
//	rows dropped by retention ► planTrims ─► no reader of before ─► Trim: out of the log
//	REFRESH SOURCE, schedule ► files added: overlay and tiles.Apply; removed or changed: buildGroup ─► one catalog version
//	the same, ALTER SOURCE ──► loadDuals: rows that came and went, hold the stream side, commit with the boundary ► one catalog version
//	commit of a stream side ─► Follow: what it does to dual sources, in the same transaction
//	start ───────────────────► recover: remove garbage, check, catch up; repair what is missing in the background
//
// # Runs and the tail
//
// A group's manifest (document) holds rows of all versions of positions floor to Position, entries of days as of Position,
// and tombstones: which row versions went, and when. The tail is what the log has after it, in memory, made as reads ask for
// it. A read at p in between hides by tombstone and by row id what is not of p, so that one tail and one manifest serve all
// positions from the floor on; a read below the floor replays the log. A read at many positions takes the row versions of all of them, with the
// positions at which each came and went (Versions): from manifest and tail, or by one replay.
//
// A tail of more than maxTailRows is folded into an overlay in the background: a rows segment, and a days segment with an entry for every key
// of the days that ended since, or for every (key, day) that has an entry and that a row came to or went from. A day of a log that has not
// ended has none: it is read from rows. Segments of similar size are merged (tierFan of a tier), so there are
// some tens of them, however long the history. Tombstones are kept up to maxTombstones; then the rows are merged without the dead
// and the floor rises.
//
// # Fresh rows
//
// A commit of many rows, of a stream that is behind or a COPY, keeps them in memory in front of a group's tiles (fresh.go), from where lookups
// read them: each key's tiles are then read and written once for foldRows rows, not once a commit. They are folded when they are many,
// one key has many, or nothing came for foldIdle; after a start they are read from the log again, from the tiles' position on, as
// whatever tiles lack is. What deletes rows folds first. A commit of few rows changes the tiles itself.
//
// # Recent rows
//
// The event rows that the committer evaluated are kept until runs have them, in memory as fresh rows (recent.go). A flush, and a read of the tail, takes
// them from there, and from the log what is older.
//
// # Rules
//
//   - What readers use changes in one catalog version. Runs change with the apply lock held, so that no commit falls in between; a new group
//     joins live before the version that names it, so that the committer keeps its tiles from then on.
//   - A transaction's groups are built while it is open, without tiles that anybody keeps: its own statements read their runs and
//     the log's tail. They are published together with its rows, or removed.
//   - A published Group and its manifest are immutable. A change makes a new one; live has the newest.
//   - A statement's catalog may be older than live. Group, View.Source and segments.pin see to it that it reads runs which are
//     still there, and tiles only where the committer kept them at the moment of the view.
//   - Run files outlive their manifest by retireAfter and by every snapshot that has them pinned.
//   - Locks are taken in the order build, apply, the catalog's, the tiles' writer; a tail's lock under any of them.
//   - A file source's group shows no tiles while a refresh changes them; a crash leaves them at a position greater than the
//     manifest's, and the next start builds the group anew.
//
// # What the log lacks
//
// Rows that a retention dropped are trimmed from the log with their deletes (trim.go). Whoever derives something from changes after a
// position must therefore be past the deletes before they go, end before they go (Readers), or ask Log.Trimmed whether it still can.
//
// # Attributes
//
// Events that are joined to rows of other relations are evaluated once, with the attributes in force at their time as of the position at
// which they come. The evaluator has every version of these, and so evaluates at any position. A change of attributes that were in force at events which
// are there overtakes the group (overtaken.go): what was built serves the positions before only, until it is built anew. So within the
// positions that a group's runs and tiles serve, an event has the same columns at all of them.
//
// # Builds, cancelling, resuming
//
// A build streams: it holds the Builder's budget (Config.Memory), a batch of rows a segment, and the rows of one key. It shows in
// Jobs. It reads its relation in portions: stretches of files, or ranges of row ids. After each it writes a checkpoint, a file of
// the directory builds that names the segments of rows so far, and what of the relation is in them.
//
// A build that is cancelled, or cut short by the end of the server, leaves no feature and keeps its checkpoint. The next build of
// the same event rows (relation, key, columns; whatever the partials and windows) takes it over: the same statement repeated, a
// refresh, the repair after a start. Rows that went meanwhile are marked by tombstones, rows of files that went are taken out, and
// rows that came lie in what is left to read, because ids of rows and files only grow. A build that fails by its rows keeps
// nothing. The checkpoints of maxKeptBuilds builds are kept, for keepBuildFor.
//
// # Dual sources
//
// A dual source is a source of the log that nobody writes but loads (dualload.go) and the follower (dualfollow.go), which the committer asks
// what a change of the stream side does. Loads hold the build lock, so that one goes at a time, and only they change rows of the batch side. The follower decides by
// the current catalog's boundary, and a load changes that while the stream side is held: so each row of the stream side is judged by the
// boundary that is in force at its position. Rows of a new dual source are in the log before the catalog has it; the next start removes those of one
// whose making was cut short.
//
// # What can be deleted
//
// The directory runs, spill, and projections.duckdb, while the server is down: runs are rebuilt in the background (reads scan the
// relation meanwhile), projections at their first use.
//
// # What it does not do
//
// It knows no SQL statement, no window and no session. It does not keep a file source's removed rows: positions before a refresh
// that found a file removed or changed are read from the files that are still there.
package materialize
