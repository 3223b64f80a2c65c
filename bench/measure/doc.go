// Package measure is what the benchmarks share: figures beside their limits,
// programs with the CPU and memory of their whole tree, the engines alone in a
// process of their own, and what is asked of both over their protocols.
//
// It promises that a figure that could not be had is never a good one. It does
// not make a busy machine quiet: the load average stands among the figures.
// CPU and memory come from /proc, so it needs Linux.
//
//	main.go     the main function of a bench
//	figure.go   figures, JSON lines, the table, rounds
//	process.go  programs: start, stop, CPU and memory of their whole tree
//	engines.go  Kafka, the object store and ClickHouse in a process
//	ask.go      HTTP, metrics, SQL, Kafka
//	order.go    the record of 300 bytes
//	commit.go   commits of segments that a bench writes itself
//	peers.go    others, through a harness outside of this repository
package measure
