// Package telemetrytest is for tests of what a process reports: a receiver of
// traces that reads them off the wire, and a log that is kept.
package telemetrytest
