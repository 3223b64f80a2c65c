package forecast

import (
	"math"
	"time"
)

// Cut is the archiver's rule for when a buffer becomes a segment
// (archiver.Cut), with the memory that all buffers of a process share.
type Cut struct {
	Bytes    int64         // raw, at once
	MinBytes int64         // raw, at Age, if there is at least this much
	Age      time.Duration // of the oldest record in the buffer
	MaxAge   time.Duration // at this age, whatever there is
	Memory   int64         // bytes of all buffers of one process
	Spool    int64         // bytes of its spool's files; 0: there is none
}

// BudgetShare is from which share of Memory, or of Spool, on the largest buffers
// are cut.
const BudgetShare = 0.7

// SpoolRatio is how many bytes of a spool one byte of records, their overhead
// in memory apart, is taken to need.
// It is an estimate, not a measurement: what was compressed before, or is
// random, needs more.
const SpoolRatio = 0.5

// The classes of partitions, by what cuts them.
const (
	Busy   = "busy"   // full before it is old
	Steady = "steady" // old enough, with at least MinBytes
	Quiet  = "quiet"  // at MaxAge, however little there is
	Idle   = "idle"   // no record came while it was looked at
)

// Classes lists them in the order of a table.
var Classes = []string{Busy, Steady, Quiet, Idle}

// fill is how long a buffer takes, in seconds from its first record, until it
// is cut at a rate of raw bytes a second, the budget apart.
func (c Cut) fill(rate float64) (seconds float64, class string) {
	full, least := float64(c.Bytes)/rate, float64(c.MinBytes)/rate
	aged, last := max(c.Age.Seconds(), least), c.MaxAge.Seconds()
	switch {
	case full <= aged && full <= last:
		return full, Busy
	case aged <= last:
		return aged, Steady
	default:
		return last, Quiet
	}
}

// ceiling is the size at which the budget cuts the largest buffer. Buffers are
// cut at different moments, so that on average each is half full; the ceiling
// is where those halves fill the budget of all processes. +Inf: it suffices.
// Of what is held, bare is the share of the records' own bytes.
func (c Cut) ceiling(sizes []float64, processes int, bare float64) float64 {
	budget := BudgetShare * (float64(c.Memory) + float64(c.Spool)/SpoolRatio/max(bare, 1e-9)) * float64(max(1, processes))
	halves := func(most float64) float64 {
		sum := 0.0
		for _, size := range sizes {
			sum += min(size, most) / 2
		}
		return sum
	}
	high := 0.0
	for _, size := range sizes {
		high = max(high, size)
	}
	if halves(high) <= budget {
		return math.Inf(1)
	}
	low := 0.0
	for range 100 { // far below a byte
		if middle := (low + high) / 2; halves(middle) <= budget {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// spool is how large the spool of each process must be to hold what memory does
// not, with buffers half full on average; 0: memory holds it.
func (c Cut) spool(sizes []float64, processes int, bare float64) float64 {
	sum := 0.0
	for _, size := range sizes {
		sum += size / 2
	}
	beyond := sum/BudgetShare/float64(max(1, processes)) - float64(c.Memory)
	return max(0, beyond*bare*SpoolRatio)
}
