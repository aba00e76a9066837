// Package pgfunc is the list of PostgreSQL's functions, operators and casts that queries may call, and what computes each: an
// expression of DuckDB's, where that gives PostgreSQL's value, or a function of ours.
//
//	list.go     the list, and how functions of ours take their arguments
//	types.go    types: what holds their values, their texts in and out
//	numeric.go  numeric with PostgreSQL's scales; numericreal.go its roots, logarithms and powers; math.go integers and floats; datetime.go, tochar.go, tonumber.go, strings.go,
//	            regex.go, json.go, array.go, bits.go, dimensions.go, ranges.go, geometry.go, random.go, aggregate.go: the functions, by what they are about
//	regexsyntax.go    PostgreSQL's regular expressions as Go's; regexprogram.go their compiled form; pikevm.go matches in long texts
//
// Invariants: a function gives what PostgreSQL 15 gives, or an error; tests/clients compares them with a running server. A function
// of ours depends on nothing but its arguments, of which the session's settings are one. What cannot be made equal is not listed.
// Definitions of features and views call functions of ours by name, so names, arguments and results of those that are there stay.
package pgfunc
