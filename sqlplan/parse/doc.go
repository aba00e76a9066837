// Package parse turns SQL text into statements. PostgreSQL's own grammar parses everything; Tilehouse's added clauses are
// taken off on tokens first and given back by position.
//
//	text ──Scan──► tokens ──peel──► text of equal length, our clauses blanked ──PostgreSQL's Parse──► AST
//	                  │                                                                               │
//	                  └── clauses: ASOF JOIN, WINDOW 7 DAYS, FOR SYSTEM_TIME AS OF ──by position──────┘
//
// A statement is one of the structs of this package where the statement is ours (CREATE FEATURE, DROP SOURCE, …), and *SQL
// for anything that PostgreSQL knows, with the clauses that were found in it.
//
// Invariants:
//   - A blanked clause is replaced by as many bytes, so every location in an AST, in a token and in a struct of this package
//     is an offset in bytes (0-based) into the text given to Parse. An Error's Position is what PostgreSQL sends: characters,
//     1-based.
//   - A text without any of our words costs one scan of its bytes beyond PostgreSQL's Parse.
//   - Any input gives a Statement or an *Error; none panics.
//   - Pointers in Clauses are nodes of the same statement's AST.
//
// Which words are taken where: ASOF is a join only when it follows a relation (or the end of a join condition) and JOIN
// follows, so that a column, a table or an explicit alias (AS asof) of that name stays PostgreSQL's. WINDOW is ours when a
// number or LIFETIME follows; WINDOW w AS (…) stays PostgreSQL's. A quoted word is never ours.
//
// It does not know which tables, features and functions exist, nor what an aggregate is called: binding does.
package parse
