// Package latest tests latest-value features end to end: a server in the test's process, versions written over the wire in
// random order, late, tied, NULL, updated and deleted, read by lookup, ASOF JOIN and EXPLAIN FEATURE, and held against an oracle
// of some twenty lines that is written from the README's rules of a value and shares no code with the engine.
package latest
