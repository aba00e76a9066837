// Package clients tests the built server with the clients that people use: psql, pgbench, pgx and psycopg, over a loopback
// socket, and with PostgreSQL 15 beside it where the statements are common. It has no code of its own; servertest, below,
// runs the server.
//
// Programs in Python, Java, Node, Go, Rust and a dbt project, each in its folder and unmodified for either server, print sections
// of what they see; TestPrograms compares them with PostgreSQL's, and testdata/programs.txt lists each difference with its reason
// (ready.sh installs what they need). TestPgxSuite runs pgx's own tests against both servers; testdata/pgxsuite.txt attributes
// what passes on PostgreSQL only. A sample runs with the tests, everything by make clients.
//
// testdata/conformance/*.sql are run statement by statement on both servers: column names, types and modifiers, rows as text
// and, of statements that only read, in binary, command tags, SQLSTATEs and the transaction's status are compared. Each file
// has a server and a database to itself, and its counts are printed. After "-- differs: why" a statement must be refused, or
// fail otherwise than on PostgreSQL; after "-- silent: why" it must give another answer. A note that is out of date fails, so
// the notes are the list of all differences. With "-- compare: fields" at its top a file compares all fields of errors, too.
package clients
