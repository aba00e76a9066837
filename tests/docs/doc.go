// Package docs runs the documentation: every statement of README.md and of docs/ is executed, and every result shown is
// compared with what came back.
//
// A document is one session against a server of its own, from its first block to its last. A fenced block marked sql is run
// and must not fail. A fenced block that begins with "=> " is a transcript: statements, each after "=> " and ended by a
// semicolon, followed by what psql prints for them. Results of more than 24 rows are shown by their first and their last. Other blocks are not
// looked at. `go test ./tests/docs -rewrite` writes transcripts, and the reference below docs/reference, anew.
package docs
