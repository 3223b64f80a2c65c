// Package embeddedtest gives tests the embedded engines: the real protocols
// over sockets, with the engines Annals itself starts, not fakes.
//
// Every helper that starts an engine registers its end with the test, and fails
// the test if it cannot be started. [Eventually] waits for what engines do in
// their own time.
package embeddedtest
