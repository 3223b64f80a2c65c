// Package broker runs Apache Kafka itself for tests: the servers from Maven's
// jars, one node or several, that can be killed, stopped and started again. The
// tests of this folder hold the archiver and replays to it. The embedded broker
// (kfake) is one implementation of the protocol; compaction, retention,
// elections, sessions and permissions are what it does least like a cluster.
//
// # What it promises
//
// A test that needs Kafka is skipped where Java 17 or Maven is missing, and the
// reason says which. The jars are fetched once, by Maven with whatever settings
// and mirrors it has, into the user's cache folder; ANNALS_TEST_KAFKA_JARS names
// a folder that holds them already. A restarted node has the
// address that it had. No server outlives the test binary, and a test that fails
// shows what the servers said.
//
// # What it does not
//
// No TLS, no tiered storage, no rack awareness, one version of Kafka. Timeouts
// are far shorter than a production cluster's, so that a test need not wait for
// them; heaps are small.
//
// A Cluster's clients are for any goroutine; its nodes are stopped and started by
// one.
//
// # Files
//
//	jars.go         the servers' jars, fetched once (pom.xml)
//	cluster.go      Options, Start, Launch, Replace; users; clients
//	node.go         one server: start, kill, stop, what it said
//	properties.go   a server's configuration
//	process_*.go    how a server ends with the test binary
package broker
