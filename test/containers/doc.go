// Package containers starts real engines in containers for tests: a Kafka
// broker (Redpanda), a ClickHouse server and an S3 store. The default test run
// needs none of them; it uses the embedded engines, and these exist to hold
// what was built against those to servers that Annals will meet.
//
// # What it promises
//
// Each function returns when the engine answers, with all that a client needs,
// and removes the container when the test ends. Where no Docker engine answers
// the test is skipped with the reason.
//
// # What it does not
//
// It configures no replication and no TLS. Containers are for one test each;
// starting one takes seconds.
//
// # Files
//
//	start.go  containers, started for one test; the tests show that they can be reached
package containers
