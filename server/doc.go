// Package server is the gateway: it speaks the PostgreSQL protocol v3 with clients and the session contract with the engine.
//
//	socket ─▶ startup: TLS, SCRAM ─▶ conn: one goroutine a client ─▶ Session, Statement, Result
//	                                   │        ▲
//	                                   │        └ codec: values ⇄ text and binary,  copydata: COPY text, csv and binary ⇄ chunks
//	                                   └ one write buffer, written at Sync, Flush or 64 KiB
//
// Invariants:
//   - A connection is served by one goroutine; all calls of its Session come from it, but that rows of a COPY are added by a
//     goroutine of their own while it decodes the next. Other goroutines (cancel requests, the
//     monitor, Shutdown) only end the context of the running statement, move the read deadline or close the socket.
//   - Who a client is, is known by its certificate or by SCRAM, bound to the channel where it is encrypted. A name that cannot log
//     in is answered like one that can. Connections that have not logged in are few, and the oldest of them go first; logins of an
//     address that failed often wait; the last sessions are kept for superusers.
//   - What a client can make the server keep is bounded: message size before and after authentication, statements, portals,
//     unsent bytes (64 KiB and one row), rows of suspended portals (memory, then a temporary file).
//   - An error inside an extended-protocol sequence skips everything to the next Sync. Executes that share a Sync are one
//     implicit transaction, as are the statements of one simple query.
//   - A statement's context ends when the client cancels it or has hung up. Hanging up is noticed by a monitor that looks,
//     every quarter second, at the sockets of statements that run longer than that, so a short statement pays nothing for it.
//   - A connection that waits for its client is woken by its read deadline: by its idle timeouts, by notifications of other
//     sessions, and by what ends it (waiting.go).
//   - Named prepared statements are the session's, since SQL makes and drops them, too.
//   - Output is not written while further messages of a pipeline are already in the read buffer.
//
// The package does not parse SQL, keeps no settings of its own (it asks the Session), and does not know what a feature is. It
// does not offer md5 or cleartext passwords, replication, or function calls (message F).
package server
