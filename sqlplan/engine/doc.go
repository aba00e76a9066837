// Package engine runs SQL: it opens a data directory, opens sessions over it, binds statements and executes them.
//
//	text ─parse─► statement ─bind (catalog snapshot)─► plan ─execute at (t, p)─► rows
//	                            │
//	       ┌────────────┬───────┴──────┬──────────────┬───────────────┐
//	     lookup      ASOF join      DML on event    definitions     the rest:
//	  (tiles, runs)  (runs, merge)  tables (log)    (catalog)       DuckDB
//
// Invariants: a statement reads one catalog snapshot and one position of the log; a failed statement leaves no trace; what
// enters DuckDB as SQL was parsed and rewritten here, never passed through.
//
// It knows no wire bytes: server talks to it through package session.
package engine
