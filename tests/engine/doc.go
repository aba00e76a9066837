// Package engine tests that DuckDB computes the partial states of package functions to the byte: random and edge values are
// grouped by PartialSQL and folded, and compared with states that Go updated from the same rows. It has no code of its own.
package engine
