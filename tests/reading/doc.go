// Package reading holds the clauses that read relations and features beside lookups and point-in-time joins against naive
// readers written from the README's rules: ASOF joins over ordinary relations, batches of keys in their order, stratified samples;
// and expressions, in statements that read features and in definitions, against PostgreSQL.
package reading
