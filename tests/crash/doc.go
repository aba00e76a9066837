// Package crash tests what is left of a server that ended without warning, and what a full disk does to one that runs. It has
// no code of its own.
//
//	writers (INSERT, transactions, COPY, UPDATE, DELETE) ─┐
//	definer (CREATE, REFRESH, DROP FEATURE) ──────────────┼─► server ◄── SIGKILL at a random moment
//	reader; event times run ahead: days are published ────┘     │ restart on the same directory
//	      models of what was acknowledged ──── compared with ───┘ rows, lookups, ASOF join, before and after a rebuild
//
// A writer owns its row ids, so its model is exact: the rows of all acknowledged transactions, and at most one transaction
// whose fate it never learned, which must be there whole or not at all. TILEHOUSE_SOAK=1 runs 200 rounds, or
// TILEHOUSE_CRASH_ROUNDS of them; TILEHOUSE_CRASH_SEED repeats a run's choices, though not its moments to the microsecond.
package crash
