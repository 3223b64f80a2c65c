package archiver

// Backlog is what is left to do until everything that Kafka is known to hold is
// archived and indexed.
type Backlog struct {
	Partitions int   // this process has
	Opening    int   // of them are not held against what is archived yet
	Behind     int64 // offsets that Kafka is known to have and that were not read
	Unsealed   int64 // offsets that were read and are not in the ledger
	Comparing  int   // streams whose index is to be held against the ledger
}

// Backlog gives it as it is now.
func (a *Archiver) Backlog() Backlog {
	var b Backlog
	a.mu.Lock()
	b.Partitions = len(a.partitions)
	for _, p := range a.partitions {
		if p.stopped != "" {
			continue // Health says so
		}
		if p.guard != passed {
			b.Opening++
		}
		b.Behind += max(0, p.highWatermark-p.expected)
		b.Unsealed += max(0, p.expected-p.head.Next)
	}
	a.mu.Unlock()
	b.Comparing = a.catchup.left()
	return b
}
