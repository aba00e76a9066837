// Package e2e tests Tilehouse over the wire: a server, clients, and the naive oracle beside them.
//
//	world ──INSERT, COPY, UPDATE, DELETE──► server ◄──lookup, ASOF JOIN, EXPLAIN FEATURE, AS OF── reader
//	  └──the same rows, versions and positions──► oracle ──────────── equal? ─────────────────────┘
//
// A world keeps every row version that it wrote, so that the oracle can say what any read must return. Seeds are printed;
// TILEHOUSE_SEED repeats one. TILEHOUSE_SOAK=1 runs the full counts. It has no code of its own.
package e2e
