// Package property says how often the property tests (rapid) draw: a test whose
// every draw is dear names a smaller number for the default run.
package property
