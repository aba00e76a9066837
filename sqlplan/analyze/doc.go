// Package analyze does what PostgreSQL's parse analysis does: it resolves the names and types of a query by PostgreSQL's own
// catalogs of types, casts, functions and operators, and writes the query that gives DuckDB the same meaning.
//
//	PostgreSQL's AST ─► names, types, implicit casts, operators, functions ─► AST of DuckDB's functions and ours
//
// catalog/ holds the rows of PostgreSQL 15's pg_type, pg_proc, pg_operator and pg_cast that queries can name. What a function or
// operator computes is said by the list of package pgfunc; one that stands in the catalog and not in that list is refused with
// 0A000, never guessed.
//
// Where a type is not known (a relation of the system catalog, a function that is not PostgreSQL's) an expression is left as it is, with
// what is known inside it analyzed; package rewrite has rules for such.
//
// A numeric is DuckDB's DECIMAL as long as all values of the expression have one scale in PostgreSQL, and a text with PostgreSQL's
// digits otherwise. A text is never compared or ordered as one: key makes of it what sorts as the number does. Columns of numeric without a
// precision hold such texts.
//
// Assign is for what a statement writes: the outputs of a SELECT become values of columns, by PostgreSQL's assignment casts, in the form in
// which DuckDB's tables hold them.
package analyze
