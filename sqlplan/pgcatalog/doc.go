// Package pgcatalog is PostgreSQL 15's system catalogs: the relations of pg_catalog and information_schema with their columns and
// types, the rows that every PostgreSQL has (types, functions, operators, casts, the catalogs themselves), and the rows and functions
// that describe the objects of this server, as PostgreSQL would describe them.
//
//	catalog.gz ──► Static: relations, columns, rows, views' definitions          (what PostgreSQL 15 says of itself)
//	Objects ─────► Snapshot: the same relations with the rows of our objects     (what there is here)
//	                 ├─ Rows(relation)       chunks for a scan
//	                 └─ Call(function, …)    format_type, pg_get_indexdef, to_regclass, …
//	statement ───► Analyze: types of outputs, views written out, casts to regclass and its kin
//
// catalog.gz is exported from a PostgreSQL 15 by the test TestExport with -rewrite, and holds facts of PostgreSQL's catalogs and the
// definitions of its system views, Copyright (c) 1996-2022, The PostgreSQL Global Development Group, under the PostgreSQL License
// (LICENSE.postgresql beside it).
//
// Expressions (pg_node_tree in PostgreSQL) are held as SQL. Object ids of PostgreSQL's own objects are PostgreSQL's, those of
// others begin at FirstOID and are given by the caller.
//
// It knows neither DuckDB nor the server's catalog: the engine describes its objects and runs the statements.
package pgcatalog
