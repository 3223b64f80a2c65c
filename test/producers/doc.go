// Package producers holds what clients/ offers to producers against what Annals
// reads: the page of headers, the hook for franz-go, and the examples in Java,
// Python and Node, which run here against `annals up` and are traced. So are
// programs that write no header themselves, in clients that OpenTelemetry
// instruments (otel/): kafkajs, confluent-kafka, aiokafka and Kafka's own.
//
// It holds tests alone. The libraries come from Maven, PyPI and npm, in
// the versions that the programs pin, and are kept in the user's cache
// folder; without a runtime or a registry a program is skipped, with the
// reason. The hook is a module that this one does not require
// (docs/adr/0026-the-producers-hook-is-a-module-of-its-own.md), so it is asked
// through a program of its own.
package producers
