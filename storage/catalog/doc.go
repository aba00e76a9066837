// Package catalog stores the catalog's documents durably: (kind, id) → JSON, in the database of the log of record, so that a
// change of the catalog commits in the batch of a transaction (reclog.Txn.Extra).
//
//	DDL ─► reclog.Txn{Extra: Put, Delete} ─► one batch: documents, version ─► Load at the next start
//
// Invariants: the version grows with every change; documents and version are read from one snapshot. The writer names the
// version, and the position that Extra is given is the natural one: it is unique and grows.
//
// # Bytes
//
//	key                        value
//	'c' 'v'                    version: unsigned varint
//	'c' 'd' kind 00 id         the document's JSON
//
// It does not know what the documents say, keep older versions, or arbitrate between concurrent writers: that is for the
// layer that owns the objects.
package catalog
