// Package ecb reads the European Central Bank's history of euro foreign
// exchange reference rates, a copy of which is embedded.
//
// It promises the fixing days in ascending order, every rate as the exact text
// of the file (no rounding through a float), and for each day the cells that
// are empty although the currency was quoted both before and after. It does
// not judge the rates: a redenominated currency has a new code, and a peg is a
// rate like any other.
//
// Values are read-only after parsing and may be shared between goroutines.
//
//	history.go  the shapes and the embedded file
//	parse.go    the CSV format and its checks
package ecb
