// Package schema holds the objects of the catalog: what CREATE made, and the groups that materialize it.
//
//	Relation ◄── Group ◄── Feature ──► Entity
//	(event table, file source, event view)  ▲
//	                                       └── FeatureView: columns derived from outputs of features
//
// A Catalog is an immutable snapshot with a version; a change makes a new one, and is written as documents of
// storage/catalog in one batch. A Kafka source names a Connection, and that Secrets, which have names of their own. Names are unique over relations, entities, features, feature views and the ordinary tables of DuckDB.
//
// It does not parse SQL, and knows no bytes on disk beyond the JSON of its documents.
package schema
