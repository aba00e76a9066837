// Package tables is the catalog of ordinary SQL objects: tables whose rows live in DuckDB, views, indexes, sequences
// and schemas, with the constraints, defaults and declared types that DuckDB does not keep as PostgreSQL has them.
//
// Objects are JSON documents in a table of DuckDB's own database, beside the rows they are about, so that DDL is as much a part of
// a DuckDB transaction as the rows: a rollback takes both back, and a commit makes both durable at once. DuckDB's tables carry no
// keys, checks or references: the engine checks them over the rows that a statement is about to write, by the names kept here.
//
// A Catalog is a snapshot; it is not changed in place. It does not know event tables and features: they are storage/schema's.
package tables
