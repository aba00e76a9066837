// Command bench measures Tilehouse side by side with hand-written DuckDB SQL and with PostgreSQL 15, and prints one Markdown
// table. It is run by make bench; -only picks parts, -rounds the rounds, -scale the size of the data.
//
//	main ── environment: the built server, PostgreSQL's programs, a temporary directory, generated Parquet
//	 ├─ training   point-in-time join, cold from files and from a feature's runs, against DuckDB in a process of its own
//	 ├─ lookup     ten values by key, hot and with data five times the cache, against a table of precomputed values
//	 ├─ insert     durable single rows at 16 connections, against a table
//	 ├─ backfill   180 days, then one more
//	 ├─ tenfold    the first and the fourth with ten times the data
//	 ├─ stream     results of many rows through a socket, and COPY of as many into tables
//	 ├─ write      durable transactions of ordinary tables: a row by its key, and pgbench's own
//	 └─ mechanism  row packs, levels, runs and partials, each switched off
//
// Rules that every part keeps:
//   - The two sides of a pair run in turn, A B A B, so that a change of the machine's load meets both. A cell is the median of the
//     rounds with the least and the greatest; the ratio is the median of the rounds' ratios, above 1 where Tilehouse is better.
//   - Both sides do the same work with the same number of threads, and their results are compared in the same run: counts
//     exactly, sums of doubles to one part in 10⁹, because only Tilehouse's are exact. Unequal results end the run with an error.
//   - Tilehouse is the built binary behind a real connection, and its times include the protocol. DuckDB's are taken inside its
//     process, around the statement alone.
//   - Data come from hashes of row numbers and a seed: the same on every run, in no order of time. Only the lookups' and
//     the inserts' are placed relative to the clock, because they are read as of now.
//   - A loss is a row like any other.
//
// Processor seconds stand in the notes of long statements, because they change less with the machine's load than the clock's.
// Peak memory is the kernel's VmHWM of the process, the page cache excluded; for PostgreSQL, which is many processes sharing
// memory, it is not given. Where there is no /proc it is left out. The command does not measure over a network, nor with more
// than the machine's own cores; clients and servers share them, on both sides of a pair.
package main
