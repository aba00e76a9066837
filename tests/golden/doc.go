// Package golden holds text-first tests of statements and errors over the wire.
//
// Each file of testdata is one script, run against an engine and a server of its own: a fresh data directory, a fresh
// directory for files as its only root, and a clock that stands still at 2024-06-01 12:00 UTC. A script is a list of
//
//	command [argument …]
//	text
//	----
//	what came back
//
// and `go test ./tests/golden -rewrite` writes what came back anew. The commands:
//
//	sql [session=NAME] [sort] [types]   run the text as one simple query; sort: order the rows; types: show the columns' types
//	prepare name=NAME [session=NAME]    prepare the text: its parameters' and columns' types
//	execute name=NAME [session=NAME]    execute what was prepared; the text is one argument a line, \N for NULL
//	copy [session=NAME]                 run COPY … FROM STDIN, the first line, with the other lines as data
//	copyout [session=NAME]              run COPY … TO STDOUT
//	file path=P                         write the text to a file below the root
//	parquet path=P                      write the rows of a SELECT of DuckDB's to a Parquet file below the root
//	cut path=P bytes=N                  cut N bytes off the end of a file
//	link path=P to=T                    make a symbolic link; T is relative to the root
//	remove path=P                       remove a file
//	clock                               set the clock to the text, a timestamp
//	restart [roots=none]                close the server and the engine, and open them anew on the same data
//
// An error is shown as SQLSTATE and message, the line that it points at with a caret under the place, detail and hint, and the
// table, column and constraint that it names. The root's own path is shown as $ROOT.
//
// Beside what the scripts say, the runner holds after every command: a failed statement left no trace (the catalog and the
// number of rows of every relation, seen from another session, are those from before it), and no error has the SQLSTATE of an
// internal one (XX000).
package golden
