// Package telemetry makes what a process reports about itself: a logger, a
// logger for messages that may repeat, a metrics registry, and which build it
// is.
//
// # What it promises
//
//   - [NewLogger] writes one line a message: text on a terminal, JSON elsewhere.
//   - [Limit] lets one message of a kind through per interval, counts the rest,
//     and tells the count: with the next message of the kind, or by
//     [Limiter.Flush]. Nothing is dropped unsaid, and memory stays bounded.
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
// Loggers, limiters and registries may be used from several goroutines. The
// package starts none.
//
// # Files
//
// log.go (loggers), limit.go (messages that repeat), metrics.go (registry),
// build.go (version).
package telemetry
