// Package large tests Tilehouse on more data than its memory limit holds: many Parquet files, a server process with a small
// --memory-limit, features of every shape of state, a training join, lookups.
//
//	DuckDB, seeded hashes of row numbers ──► Parquet files ──► server process ──join, lookups──► values ─┐
//	                                            └── the rows of sampled keys ──► oracle ──────── equal? ─┘
//
// The server's peak resident memory, which the kernel keeps as VmHWM, must stay within the limit. The seed is printed, and
// TILEHOUSE_SEED sets it. TILEHOUSE_SOAK=1 runs the full size. It has no code of its own, and needs Linux's /proc.
package large
