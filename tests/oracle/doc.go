// Package oracle computes features' values in the most naive way: it looks at every version of every row of a key, keeps
// those that the README says count, and aggregates them with big numbers.
//
//	rows ──visible at p?──in the interval?──passes the filter?──► sort, add, count ──► the text that PostgreSQL prints
//
// It is written from the README's rules alone and imports nothing of Tilehouse, so that it shares no mistake with what it checks.
// Times are microseconds since 1970 UTC; positions are any numbers that grow with commits. It is slow by intent: a value costs
// a pass over the rows given.
package oracle
