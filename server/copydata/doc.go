// Package copydata reads and writes the text, csv and binary formats of PostgreSQL's COPY.
//
//	bytes in pieces of any size ──Reader──▶ lines ──▶ fields ──▶ codec ──▶ chunks of ChunkRows rows
//	rows of chunks ──AppendRow──▶ lines
//
// Invariants: memory is bounded by one chunk and the longest line allowed; a chunk is handed on before the next one is begun;
// an error names the line (counted from 1, the header included) and, where one is at fault, the column.
//
// Formats are PostgreSQL 15's: in text, \b \f \n \r \t \v \ooo \xhh are escapes, the NULL string is compared before they are
// undone, and \. alone on a line ends the data; in csv, quotes may span lines, and only an unquoted field can be the NULL string.
// A header line with a quote that never closes is an error, where PostgreSQL skips all of the data. The first line's end (\n, \r\n or \r) holds for all.
// What is no UTF-8 is refused before the fields of its line are looked at.
//
// Nearly all data is plain: stretches of whole characters without NUL and carriage return, fields without escapes and quotes. Such a
// stretch is looked over once, and its lines and fields are found by their delimiters alone; all else is read byte by byte, as PostgreSQL does.
//
// The package knows no protocol message.
package copydata
