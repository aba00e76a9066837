// Package pointintime says which events count for a value and computes values: one at a time from pieces, or for a whole
// training set by one merge.
//
//	Window.Interval ── which events count at a cut: half-open microseconds. Everything below sees intervals only.
//	Assemble        ── intervals → states, from event.Pieces (lookup, EXPLAIN FEATURE, few cuts over many rows)
//	Join            ── labels × events → values, by a merge
//
//	labels, any order ─► runs.Builder ─┐ partitions by key hash,         ┌► running state per
//	                                   ├─► one at a time on each thread ─┤  (partial, window),   ─► sink
//	events, any order ─► runs.Builder ─┘ or a runs.Snapshot, by key      └► label after label
//
// How a Join is kept cheap:
//
//   - Labels come first, so that events of other keys, and events no label can count, are dropped on arrival (a filter of
//     key hashes and the hull of all windows) or when their partition is numbered (exactly).
//   - Events take over the numbers of their label's key: there is no join of two tables of keys, and no order by key.
//   - A window's ends are located in the ascending times of a key once for all partials, by galloping. Running states then
//     see places of rows: what leaves, what stays, what enters. A state with an inverse retracts and adds, or starts anew
//     where more leaves than stays; one without is a queue of two stacks, with one state a coming cut (not one a row).
//     Each row enters and leaves a state at most once, however hot its key.
//   - Over a Snapshot, a key with few labels and many rows is assembled from daily partials instead.
//   - Labels that have a position each (JoinSpec.Life) are joined to the row versions of all positions, which are read once: a key's labels are
//     taken in the order of positions, and a state changes by the rows that came, went, entered and left in between.
//
// Invariants: values are those of LANGUAGE §2 in every Mode, whatever the partitions, threads, batches and the order of
// arrival: states are canonical, and rows are only added to and taken from exact ones. Rows leave a state before others
// enter it, so that each state on the way is of a subset of a window and no bound on a state's size depends on the path.
//
// What it does not do: evaluate expressions (events come with their argument columns), order results (they carry the
// label's row number), read Parquet or SQL. A partition of streamed events, or one key's rows of a snapshot, must fit in
// memory: beyond that, raise Options.Partitions.
package pointintime
