// Package rewrite turns a PostgreSQL AST into SQL text for DuckDB, for the general statements that are no feature lookup and
// no ASOF join.
//
//	AST ─copy─► relations ─► named rules, children first ─► Deparse ─► relations' SQL and DuckDB's reserved words put in
//
// Every rule has a name, by which Options.Off switches it off. A rule says in its comment what differs and what it makes of
// it; a rule fires only on forms for which that holds.
//
// Queries come from package analyze, which gave them PostgreSQL's meaning; for those that it analyzed as a whole the rules that do the
// same by rule of thumb are off. They remain for what reads entities and ASOF joins, for features' expressions and for the system's catalog.
//
// The text expects a DuckDB session with integer_division = true and default_null_order = 'postgres'. A division by zero
// raises an error whose message contains DivisionByZero, for the engine to turn into 22012.
//
// Invariants: the AST given is not changed; text of the user's reaches the output only through the AST, so nothing can break
// out of a literal or a name.
//
// What it does not do: it does not check that functions exist, does not type expressions beyond casts and the columns that
// Options.ColumnType knows, and does not know PostgreSQL's catalogs (package pgcatalog).
package rewrite
