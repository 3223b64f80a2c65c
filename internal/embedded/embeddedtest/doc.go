// Package embeddedtest gives tests the embedded engines: the real protocols
// over sockets, with the engines Annals itself starts, not fakes.
//
// Every helper starts what it returns, registers its end with the test, and
// fails the test if the engine cannot be started.
package embeddedtest
