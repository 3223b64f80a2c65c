// Package seeded holds the bugs that a model is tried by against the rules that
// they break.
package seeded
