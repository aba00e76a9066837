// Package onlinestore tests the online store in Cassandra: a server that keeps values there, and gateways that answer by them, as processes of
// their own beside real nodes.
//
// The oracle of a gateway is the server: at the same position both give the same bytes. The tests need real nodes and are slow:
// TILEHOUSE_CASSANDRA=1 runs them, with TILEHOUSE_SOAK for longer.
package onlinestore
