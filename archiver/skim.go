package archiver

import (
	"math"
	"sort"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// A transaction can be larger than the budget, and its verdict comes behind
// its last record. So its partition is read twice: skimmed for the markers
// while nothing is kept, then read with every verdict known, so that it can be
// cut as it comes. The markers are the same both times: who recomputes the
// verdicts from the archived rows gets the same ones.

// ending is where a producer's transaction ended, and how.
type ending struct {
	offset   int64
	producer int64
	epoch    int32
	verdict  schema.Status
	noted    bool // the partition knows that it decided rows
}

// decider is the marker as it is told apart from others.
func (e *ending) decider() schema.Decider {
	return schema.Decider{Offset: e.offset, LeaderEpoch: e.epoch, ProducerID: e.producer, Verdict: e.verdict.String()}
}

// What is kept of a skim counts in the budget so: with it, what lists and maps
// have room for besides. An open transaction counts what its ending will, so that
// a skim that takes no more transactions in does not grow by those it has.
const (
	endingBytes   = 56
	producerBytes = 96 // a producer's list of endings
	openBytes     = 48 + endingBytes + producerBytes
	runBytes      = 32
)

// endings are the ends of the transactions in a range of the log.
type endings struct {
	all   []ending          // ascending
	of    map[int64][]int32 // by producer ID, where in all they are, ascending
	to    int64             // behind the last one
	epoch int32             // the greatest leader epoch seen: a later one may hold another history
	// runs are the last records of each leader epoch that was read in a row:
	// over several, a guard must find them all in one log.
	runs []entry
}

// bytes is what they take of the budget.
func (e *endings) bytes() int64 {
	if e == nil {
		return 0
	}
	return endingBytes*int64(len(e.all)) + producerBytes*int64(len(e.of)) + runBytes*int64(len(e.runs))
}

// end gives that of the transaction of a producer's record; nil: not known.
func (e *endings) end(r *schema.Record) *ending {
	list := e.of[r.ProducerID]
	for len(list) > 0 && e.all[list[0]].offset < r.Offset {
		list = list[1:]
	}
	e.of[r.ProducerID] = list
	if len(list) == 0 {
		return nil
	}
	return &e.all[list[0]]
}

// from are those at an offset or above it.
func (e *endings) from(offset int64) []ending {
	if e == nil {
		return nil
	}
	i := sort.Search(len(e.all), func(i int) bool { return e.all[i].offset >= offset })
	return e.all[i:]
}

// skim is the first of the two readings.
type skim struct {
	endings
	next   int64           // the offset that should come next
	stable int64           // everything below has ended, as the broker said; transactions from there on are left out
	open   map[int64]int64 // by producer ID, the first offset of its transaction
	most   int64           // at so many bytes it takes no more transactions in
}

func newSkim(from, stable int64) *skim {
	return &skim{
		endings: endings{of: map[int64][]int32{}, to: from, epoch: -1},
		next:    from, stable: stable, open: map[int64]int64{}, most: math.MaxInt64,
	}
}

// bytes is what it takes of the budget.
func (s *skim) bytes() int64 {
	if s == nil {
		return 0
	}
	return s.endings.bytes() + openBytes*int64(len(s.open))
}

// take looks at what a fetch brought, and tells whether every transaction with
// a record below stable has shown its end. Without room for more it is stable no
// further than it has come: it goes on to the ends of those that are open there,
// or the first of them might be skimmed for again and again; and what begins
// behind is skimmed again when it fills the budget.
func (s *skim) take(b *kafka.Batch) (done bool) {
	for i := range b.Records {
		r := &b.Records[i]
		if r.Offset < s.next {
			continue
		}
		s.next, s.epoch = r.Offset+1, max(s.epoch, r.LeaderEpoch)
		s.run(entry{r.Offset, r.LeaderEpoch})
		switch r.Status {
		case schema.Undecided:
			if _, ok := s.open[r.ProducerID]; !ok && r.Offset < s.stable {
				s.open[r.ProducerID] = r.Offset
			}
		case schema.Control:
			s.mark(r)
		}
		if s.bytes() >= s.most {
			s.stable = min(s.stable, s.next)
		}
		if s.done() {
			return true
		}
	}
	return s.done()
}

func (s *skim) done() bool { return len(s.open) == 0 && s.next >= s.stable }

// pass leaves out what cannot be read. A transaction that is known to have ended
// ends there for the records that come before: no marker that comes later is
// taken for its own.
func (s *skim) pass(from, to int64, committed map[int64]bool) {
	for producer, well := range committed {
		verdict := schema.Aborted
		if well {
			verdict = schema.Committed
		}
		s.of[producer] = append(s.of[producer], int32(len(s.all)))
		s.all = append(s.all, ending{offset: from, producer: producer, epoch: -1, verdict: verdict, noted: true}) // there is no marker to be asked for
		delete(s.open, producer)
	}
	s.next, s.to = max(s.next, to), max(s.to, to)
}

func (s *skim) run(e entry) {
	if n := len(s.runs); n > 0 && s.runs[n-1].epoch == e.epoch {
		s.runs[n-1] = e
		return
	}
	s.runs = append(s.runs, e)
}

func (s *skim) mark(r *schema.Record) {
	verdict, ok := verdictOf(kafka.MarkerOf(r.Key))
	if _, open := s.open[r.ProducerID]; !ok || !open && r.Offset >= s.stable {
		return
	}
	s.of[r.ProducerID] = append(s.of[r.ProducerID], int32(len(s.all)))
	s.all = append(s.all, ending{offset: r.Offset, producer: r.ProducerID, epoch: r.LeaderEpoch, verdict: verdict})
	s.to = r.Offset + 1
	delete(s.open, r.ProducerID)
}

// verdictOf is what a marker decides; false for one that ends no transaction.
func verdictOf(m kafka.Marker) (schema.Status, bool) {
	switch m {
	case kafka.MarkerAbort:
		return schema.Aborted, true
	case kafka.MarkerCommit:
		return schema.Committed, true
	default:
		return schema.Undecided, false
	}
}
