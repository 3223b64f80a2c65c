// Package telemetry makes what a process reports about itself: a logger, a
// logger for messages that may repeat, a metrics registry, traces of its own
// work, and which build it is.
//
// # What it promises
//
//   - [NewLogger] writes one line a message: text on a terminal, JSON elsewhere.
//   - [Limit] lets one message of a kind through per interval, counts the rest,
//     and tells the count: with the next message of the kind, or by
//     [Limiter.Flush]. Nothing is dropped unsaid, and memory stays bounded.
//   - [NewTracer] sends spans by OTLP/HTTP. Without one, a nil [Tracer] makes
//     none. A message that is logged with the context of a span carries its ids.
//     Nothing of it goes into Kafka's records, nor into requests to the engines.
//   - [NewRegistry] is a registry of its own; nothing goes to Prometheus'
//     global one.
//
// # What it does not
//
// It decides nothing about content: other packages keep payloads and secrets
// out of their messages. It serves no HTTP; whoever does gets the registry.
//
// # Concurrency
//
// Loggers, limiters, registries and tracers may be used from several
// goroutines. Only NewTracer starts some, which Close ends.
//
// # Files
//
//	log.go      loggers
//	limit.go    messages that repeat
//	metrics.go  the registry
//	trace.go    spans
//	otlp.go     how they are sent
//	build.go    the version
package telemetry
