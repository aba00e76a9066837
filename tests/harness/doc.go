// Package harness starts an engine and its server inside a test, on a free loopback port and a directory of the test's own,
// and connects to it as any client does. Tests that need a process of its own start the command instead.
package harness
