package archiver

import (
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// How far behind a partition is, in time. The question is since when the
// oldest offset that is not in the ledger has been in Kafka. Kafka keeps that
// only where the topic's timestamps are LogAppendTime; a CreateTime is the
// producer's word, which may be years off. So the ends of the logs are noted
// as they are seen: the offset came between the last moment at which the log
// ended at or below it and the first at which it ended above. Between these
// two the record's own timestamp is believed, outside it the nearer of them.

// mark is an end of a log, with the first and the last time it was seen.
type mark struct {
	end, first, last int64 // times in Unix nanoseconds: there are many of these
}

// marks are ascending. At most one of them is at or below what is sealed.
type marks []mark

const (
	mostMarks = 16
	markEvery = int64(time.Second) // marks are not kept closer than this
)

// note takes a high watermark in. One that fell is another history, or an older
// answer: what was known of the log above it is dropped.
func (m *marks) note(end int64, now time.Time) {
	if end < 0 || now.IsZero() {
		return
	}
	at, list := now.UnixNano(), *m
	for len(list) > 0 && list[len(list)-1].end > end {
		list = list[:len(list)-1]
	}
	switch n := len(list); {
	case n > 0 && list[n-1].end == end:
		list[n-1].last = at
	case n > 1 && list[n-1].first-list[n-2].first < markEvery:
		list[n-1] = mark{end, at, at}
	default:
		list = append(list, mark{end, at, at})
	}
	if len(list) > mostMarks { // every second of those between goes
		kept := list[:1]
		for i := 1; i < len(list); i++ {
			if i%2 == 0 || i == len(list)-1 {
				kept = append(kept, list[i])
			}
		}
		list = kept
	}
	*m = list
}

// forget drops the marks that tell nothing of an offset from next on.
func (m *marks) forget(next int64) {
	list := *m
	for len(list) > 1 && list[1].end <= next {
		list = list[1:]
	}
	if len(list) < len(*m) {
		*m = append(marks(nil), list...)
	}
}

// came is when an offset was appended: not before since, not after until. since
// is zero where no end at or below it was seen; both are while it is not known
// to be in the log.
func (m marks) came(offset int64) (since, until time.Time) {
	for _, k := range m {
		if k.end > offset {
			return since, time.Unix(0, k.first)
		}
		since = time.Unix(0, k.last)
	}
	return time.Time{}, time.Time{}
}

// end is the newest end that was seen; -1: none.
func (m marks) end() int64 {
	if len(m) == 0 {
		return -1
	}
	return m[len(m)-1].end
}

// oldest gives, of the oldest offset that is not in the ledger, when it was
// appended, as well as that is known, and the timestamp by which Kafka judges
// its age; both are zero when everything is sealed.
func (p *partition) oldest() (appended, stamped time.Time) {
	since, until := p.marks.came(p.head.Next)
	if until.IsZero() {
		return time.Time{}, time.Time{}
	}
	stamp, of, read := p.oldestRow()
	if !read {
		if since.IsZero() {
			since = until
		}
		return since, since
	}
	stamped = time.UnixMilli(stamp)
	switch {
	case of == schema.LogAppendTime:
		return stamped, stamped
	case since.IsZero() || stamped.After(until):
		return until, stamped
	case stamped.Before(since):
		return since, stamped
	}
	return stamped, stamped
}

// retention is how long Kafka keeps a topic's records, by its configuration.
type retention struct {
	known bool
	age   time.Duration // 0: records are not deleted for their age
	bytes int64         // of a partition; 0: nor for their size
}

// retentionShare is how near the oldest unsealed record is to being deleted: 1
// means that Kafka may delete it any time. By age it is Kafka's own measure,
// the record's timestamp. By size it is estimated, from the mean size of what
// was read, before compression, so it errs to the safe side. Kafka deletes
// whole log segments, never the one that is written to, so it may be later.
//
// waited is the part of it that the record has spent in Kafka: one that was
// produced with an old timestamp is near its end, and nobody is late.
func (p *partition) retentionShare(now time.Time) (share, waited float64, known bool) {
	if !p.retention.known {
		return 0, 0, false
	}
	appended, stamped := p.oldest()
	if appended.IsZero() {
		return 0, 0, true
	}
	if t := p.tally; p.retention.bytes > 0 && t.records > 0 {
		behind := float64(p.lagRecords()) * float64(t.bytes) / float64(t.records)
		share = behind / float64(p.retention.bytes)
	}
	waited = share
	if p.retention.age > 0 {
		share = max(share, now.Sub(stamped).Seconds()/p.retention.age.Seconds())
		waited = max(waited, now.Sub(appended).Seconds()/p.retention.age.Seconds())
	}
	return share, waited, true
}

// lagRecords is how many offsets Kafka holds above what is sealed.
func (p *partition) lagRecords() int64 { return max(p.marks.end()-p.head.Next, 0) }

// lagTime is for how long the oldest of them has been there.
func (p *partition) lagTime(now time.Time) time.Duration {
	appended, _ := p.oldest()
	if appended.IsZero() {
		return 0
	}
	return max(now.Sub(appended), 0)
}

// Lag is how far this process is behind, over all of its partitions.
type Lag struct {
	// Behind tells that some partition's oldest unsealed record has waited longer
	// than twice Cut.MaxAge, within which everything is sealed when all is well,
	// or half of the time, or the room, for which Kafka keeps it.
	Behind     bool
	Partitions int           // that are behind in that sense
	Records    int64         // offsets that Kafka holds and the ledger does not, of all partitions
	Oldest     time.Duration // the longest that one of them has been in Kafka
	Retention  float64       // the largest share of Kafka's retention that is used up; see retentionShare
	Worst      string        // the partition of which Oldest is told, as topic/partition; "": none
}

// Lag measures now, from what was last heard of the logs: at most
// Options.Silence ago.
func (a *Archiver) Lag() Lag {
	var lag Lag
	for _, r := range a.readings() {
		lag.Records += r.behind
		lag.Retention = max(lag.Retention, r.share)
		if r.age > 2*a.cutAt.MaxAge || r.waited >= 0.5 {
			lag.Partitions++
		}
		if r.age > lag.Oldest {
			lag.Oldest = r.age
			lag.Worst = kafka.TopicPartition{Topic: r.topic, Partition: r.partition}.String()
		}
	}
	lag.Behind = lag.Partitions > 0
	return lag
}
