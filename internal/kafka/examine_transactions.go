package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/fx-risk-ai/annals/internal/doctor"
)

// transactions compares each partition's last stable offset with its high
// watermark, and asks how long what is between has been open. The watermark is
// asked first: what is produced meanwhile must not look like a transaction.
func (e *examination) transactions(ctx context.Context) doctor.Check {
	names := e.names()
	ends, err := e.admin.admin.ListEndOffsets(ctx, names...)
	if err := answered(ends, err); err != nil {
		return doctor.Ill(doctor.KafkaTransactions, doctor.Indeterminate, "run annals doctor again", "%v", unavailable("list offsets", err))
	}
	stable, err := e.admin.admin.ListCommittedOffsets(ctx, names...)
	if err := answered(stable, err); err != nil {
		return doctor.Ill(doctor.KafkaTransactions, doctor.Indeterminate, "run annals doctor again", "%v", unavailable("list stable offsets", err))
	}
	compared, held := 0, kadm.TopicsSet{}
	waiting := 0
	ends.Each(func(end kadm.ListedOffset) {
		lso, ok := stable.Lookup(end.Topic, end.Partition)
		if !ok || lso.Err != nil || end.Err != nil {
			return
		}
		compared++
		if lso.Offset < end.Offset {
			held.Add(end.Topic, end.Partition)
			waiting++
		}
	})
	switch {
	case compared == 0:
		return doctor.Ill(doctor.KafkaTransactions, doctor.Indeterminate, "grant Describe on the topics, and run annals doctor again", "no partition told its offsets")
	case waiting == 0:
		return doctor.Well(doctor.KafkaTransactions, "none: the last stable offset of %d partitions is their high watermark", compared)
	}
	oldest, unknown := e.ages(ctx, held)
	seen := fmt.Sprintf("%d of %d partitions wait for the end of a transaction", waiting, compared)
	const todo = "find it with kafka-transactions.sh find-hanging and end it with abort: the archive of its partition cannot pass it"
	switch {
	case oldest.age > e.Hanging:
		return doctor.Ill(doctor.KafkaTransactions, doctor.Warning, todo, "%s; the oldest, of producer %d (%s) on %s, has been open for %s", seen, oldest.producer, oldest.id, oldest.where, oldest.age.Round(time.Second))
	case unknown != "":
		return doctor.Ill(doctor.KafkaTransactions, doctor.Indeterminate, "run annals doctor again in a minute: one that is still there then is hanging. With Describe on transactional IDs it would say since when; "+todo, "%s; %s", seen, unknown)
	}
	return doctor.Well(doctor.KafkaTransactions, "%s; the oldest has been open for %s", seen, oldest.age.Round(time.Millisecond))
}

// openTransaction is the oldest that is known.
type openTransaction struct {
	producer  int64
	id, where string
	age       time.Duration
}

// ages asks the partitions which producers hold them back, and the transaction
// coordinators since when (KIP-664). The time in the partition's own answer is
// of records, which may carry any. unknown says why an age is missing, or "".
func (e *examination) ages(ctx context.Context, held kadm.TopicsSet) (oldest openTransaction, unknown string) {
	described, err := e.admin.admin.DescribeProducers(ctx, held)
	if err != nil && len(described) == 0 {
		return oldest, fmt.Sprintf("which producers is not known: %v", err)
	}
	where := map[int64]string{}
	silent := 0
	described.EachPartition(func(p kadm.DescribedProducersPartition) {
		found := false
		p.ActiveProducers.Each(func(d kadm.DescribedProducer) {
			if d.CurrentTxnStartOffset >= 0 {
				where[d.ProducerID] = named(d.Topic, d.Partition)
				found = true
			}
		})
		if !found {
			silent++
		}
	})
	started := e.starts(ctx, where)
	for producer, at := range where {
		since, ok := started[producer]
		if !ok {
			unknown = fmt.Sprintf("since when is not known of producer %d on %s", producer, at)
			continue
		}
		if age := time.Since(since.at); age > oldest.age {
			oldest = openTransaction{producer, since.id, at, age}
		}
	}
	if silent > 0 && unknown == "" {
		unknown = fmt.Sprintf("%d partitions name no producer", silent)
	}
	return oldest, unknown
}

// start is when a transactional ID began its transaction, by its
// coordinator's clock.
type start struct {
	id string
	at time.Time
}

func (e *examination) starts(ctx context.Context, producers map[int64]string) map[int64]start {
	ids := make([]int64, 0, len(producers))
	for id := range producers {
		ids = append(ids, id)
	}
	started := map[int64]start{}
	if len(ids) == 0 {
		return started
	}
	listed, err := e.admin.admin.ListTransactions(ctx, ids, nil)
	if err != nil && len(listed) == 0 || len(listed.TransactionalIDs()) == 0 {
		return started // which is said: its age is not known
	}
	described, err := e.admin.admin.DescribeTransactions(ctx, listed.TransactionalIDs()...)
	if err != nil && len(described) == 0 {
		return started
	}
	described.Each(func(t kadm.DescribedTransaction) {
		if t.Err == nil && t.StartTimestamp > 0 {
			started[t.ProducerID] = start{t.TxnID, time.UnixMilli(t.StartTimestamp)}
		}
	})
	return started
}
