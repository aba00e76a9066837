// Package engine tests that engines compute the partial states of package functions to the byte: random and edge values are
// grouped by PartialSQL and folded, and compared with states that Go updated from the same rows. DuckDB is always tested,
// PostgreSQL 15 where its server is installed; of that the values of aggregates that it has are compared as well. It has no code
// of its own.
package engine
