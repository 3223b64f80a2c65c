// Package simulation is the archiver in virtual time: whole histories of a
// cluster, with rebalances, leader moves, crashes and faults, each drawn from a
// seed. It holds tests alone, and nothing imports it.
package simulation
