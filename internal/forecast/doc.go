// Package forecast says what an archive of a cluster will cost: segments,
// requests, objects and bytes a day, rows of the index, and money a month.
//
// It is arithmetic over the rule by which the archiver cuts (design, and
// archiver.Cut), applied to a steady rate of each partition. [Estimate] is a
// pure function; [Survey] measures its input on a running cluster, and says of
// each figure where it is from.
//
// What it promises: more traffic never costs less, and a partition that is cut
// by age makes 2 × 86,400 ÷ age writes a day. What it does not: rates are
// averages of the interval that was measured, so bursts, nights and weekends
// are not in it; reads by searches, replays and exports, traffic out of a
// region, and machines are not either.
//
// Where to look:
//
//	forecast.go  Load, Settings, Estimate, Forecast
//	cut.go       how often a partition is cut, and what memory does to it
//	price.go     the list prices
//	survey.go    rates, sizes and ratios of a running cluster
//	print.go     the table
package forecast
