// Package clients tests the built server with the clients that people use: psql, pgbench, pgx and psycopg, over a loopback
// socket, and with PostgreSQL 15 beside it where the statements are common. It has no code of its own; servertest, below,
// runs the server.
//
// testdata/conformance/*.sql are run statement by statement on both servers, and column names, types, rows, command tags and
// SQLSTATEs compared. A statement after a line "-- differs: why" must differ, so that a note that is out of date fails.
package clients
