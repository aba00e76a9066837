// Package dual holds dual sources, history from files and fresh rows from a stream, to a naive union of the two.
package dual
