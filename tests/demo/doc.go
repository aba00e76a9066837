// Package demo tests the demo from the outside: the binary that make demo runs, its exit codes, and what it prints on a fresh
// directory and again on the same one. It has no code of its own.
package demo
