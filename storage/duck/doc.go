// Package duck embeds DuckDB: databases, connections, streamed results as typed columns, bulk loading, and errors with a
// SQLSTATE. It speaks to DuckDB's vectors directly, so that a chunk of rows costs a few copies and no value is boxed.
//
//	DB ── one engine: its memory limit, its threads, its spill directory, its locked configuration
//	 └─ Conn ── a session; used by one goroutine at a time
//	     ├─ Stmt ── a prepared statement: parameter types and result columns without executing
//	     ├─ Rows ── a streamed result: *vector.Chunk of at most 2,048 rows, reused by the next call
//	     ├─ Each ── a result given on the threads that compute it, in no order, to as many takers
//	     ├─ Appender ── chunks into a table, in the connection's transaction
//	     └─ DivisionTypes ── what the divisions of a statement divide: decimals are divided by a function of ours
//
// Invariants:
//   - A connection runs one thing at a time. While Rows is open (neither read to its end nor closed), everything else on its
//     connection is refused with SQLSTATE 55006, because DuckDB would silently kill the stream.
//   - Each is a scalar function that a query applies to its rows. DuckDB calls it on its own threads, so that the decoding of a
//     file, the copy into vectors and what takes them run side by side; Rows is read by one goroutine, which also does most of
//     the computing. It is for rows whose order does not matter and whose taker is safe for it.
//   - A statement runs on its caller's thread; DuckDB's other threads (workers.go) join in when it takes longer than patience, and
//     compute ahead of the reader of a long result.
//   - A vector handed out obeys package vector: the slots of NULLs, which hold garbage in DuckDB, are zeroed; the keys of a
//     map, which DuckDB keeps in insertion order, are sorted.
//   - Every error that DuckDB reports is an *Error; its SQLSTATE is chosen in errors.go and nowhere else.
//   - After Open the configuration is locked: no statement can change a setting but its session's TimeZone and streaming buffer, read a file outside Options.ReadRoots, load
//     an extension, or reach the network. A path under a read root can also be written by COPY TO, and enable_logging is not
//     stopped by the lock: which statements run is for the callers to decide.
//   - When a context ends, the running statement is interrupted and its error wraps the context's. A context that cannot end
//     costs nothing. Functions of ours (Scalar) end with it within a value, which DuckDB's do not (call.go), and bound what they take.
//   - A statement that fails says with what, whichever of DuckDB's threads failed (streamed.go, Linux).
//   - What computes rows is refused blocks of long texts once DuckDB takes more than its limit and a bound (bound.go, Linux).
//   - What a statement freed is given back to the system when it ends (reclaim.go).
//
// Types become vector.Type as follows; everything absent keeps its name.
//
//	TINYINT, UTINYINT, SMALLINT        smallint            HUGEINT, UBIGINT, UHUGEINT, BIGNUM   numeric(38,0), 22003 beyond
//	USMALLINT, INTEGER                 integer             TIMESTAMP_S, _MS, _NS                timestamp (µs, truncated)
//	UINTEGER, BIGINT                   bigint              TIME_NS                              time (µs, truncated)
//	ENUM, BIT, TIME WITH TIME ZONE     text                ARRAY                                list
//	STRUCT, UNION, MAP of nested keys  json                GEOMETRY                             bytea (WKB)
//	VARIANT                            refused with 0A000
//
// It does not rewrite SQL, knows no PostgreSQL syntax, and does not decide which statements are allowed.
package duck
