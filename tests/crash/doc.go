// Package crash tests what is left of a server that ended without warning, and what a full disk does to one that runs. It has
// no code of its own.
//
//	writers (INSERT, transactions, COPY, UPDATE, DELETE) ─┐
//	definer (CREATE, REFRESH, DROP FEATURE) ──────────────┼─► server ◄── SIGKILL at a random moment
//	reader; event times run ahead: days are published ────┘     │ restart on the same directory
//	      models of what was acknowledged ──── compared with ───┘ rows, lookups, ASOF join, before and after a rebuild
//
// The same world runs inside the test on a file system that forgets what was not synced: the power fails before a random op of
// it, and the server starts on what is left. DuckDB writes its databases outside that file system: what it says is committed of
// ordinary tables is DuckDB's to sync, and its copies of event tables, which are derived from the log, are kept, put back to
// those of an earlier start, or removed.
//
// And a script of every kind of write runs on a disk that gets full at one write of it, at each in turn by make soak: on a disk of
// bytes, where what is removed makes room, and where somebody else fills it at once.
//
// A writer owns its row ids, so its model is exact: the rows of all acknowledged transactions, and at most one transaction
// whose fate it never learned, which must be there whole or not at all. TILEHOUSE_SOAK=1 runs 200 rounds, or
// TILEHOUSE_CRASH_ROUNDS of them; TILEHOUSE_CRASH_SEED repeats a run's choices, though not its moments to the microsecond.
package crash
