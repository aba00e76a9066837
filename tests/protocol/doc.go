// Package protocol sends scripts of messages to Tilehouse and to PostgreSQL 15 and compares the messages that come back, one by one:
// what a driver sees, down to the order of messages and the fields of descriptions and errors.
//
// testdata/*.msg holds the scripts. A line is a message, "---" sends those before it and reads the answers up to the last
// ReadyForQuery that they bring; a blank line and a comment begin a case with connections of its own.
package protocol
