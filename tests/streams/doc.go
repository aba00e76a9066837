// Package streams tests Kafka sources over the wire: topics of a broker in the test's process, and of a real Kafka where its jars can be
// had (tests/kafka).
package streams
