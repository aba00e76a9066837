// Package pgsource tests sources that read tables of a real PostgreSQL: readings of a table and its changes, versions, and the latest values
// that are made of them, beside crashes of both servers.
package pgsource
