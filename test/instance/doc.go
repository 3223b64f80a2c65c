// Package instance runs the real programs for tests that look at them from
// outside: it builds them once, starts `annals up` on free ports, asks its
// command line and its API, stops it, and kills it with everything it started.
//
// What it promises: no process outlives the test run, and a failure shows the
// last lines of what the program said. What it does not promise: anything
// about what the program answers; that is for the tests to say.
//
// An Instance may be asked from several goroutines; Stop and Kill are for one.
//
//	build.go   the programs, compiled into a folder of the run
//	start.go   starting, waiting, stopping, killing
//	ask.go     the command line and the API
//	settle.go  waiting until everything is sealed and indexed
//	kafka.go   an independent look into Kafka
package instance
