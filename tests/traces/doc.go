// Package traces tests the spans of OpenTelemetry that a server makes of statements, of transactions of streams, and of what works in the
// background.
package traces
