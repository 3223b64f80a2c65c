package replay

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// fileList is the object that names a job's files, when they are what was planned.
type fileList struct {
	Format string      `json:"format"`
	Job    string      `json:"job"`
	Files  []fileEntry `json:"files"`
}

// fileEntry is one of them, and which records it has: of Topic's partition, by offset.
type fileEntry struct {
	Key       string         `json:"key"`
	SHA256    schema.Digest  `json:"sha256"`
	Bytes     int64          `json:"bytes,string"`
	Records   int64          `json:"records,string"`
	Topic     string         `json:"topic"`
	TopicID   schema.TopicID `json:"topic_id"`
	Partition int32          `json:"partition"`
	From      int64          `json:"from,string"`
	Next      int64          `json:"next,string"`
}

func filesKey(id string) string { return schema.ReplayPrefix + id + "/files.json" }

// reconcileFiles reads the source again from the segments and the parts from the
// store, and compares them record by record, one lane after another: a part is in
// memory as a whole.
func (a *attempt) reconcileFiles(ctx context.Context) (*answer.Receipt, error) {
	a.claim.readBack.Store(0)
	receipt := &answer.Receipt{Produced: a.claim.produced.Load(), Exclusive: true, Matches: true}
	list := fileList{Format: filesFormat, Job: a.claim.id, Files: []fileEntry{}}
	for i := range a.lanes {
		l := &a.lanes[i]
		parts, err := a.parts(ctx, l)
		if err != nil {
			return nil, err
		}
		line := answer.ReceiptPartition{Source: l.topic.Source, Target: l.target, Partition: l.stream.Partition}
		err = a.match(ctx, l, &line, a.back(ctx, l, parts, &list), func(_ context.Context, source, target int64) error {
			if source != target {
				line.Difference = fmt.Sprintf("the record of source offset %d is said to be that of %d", source, target)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		line.To = line.ReadBack
		receipt.Partitions = append(receipt.Partitions, line)
	}
	for i := range receipt.Partitions {
		addLine(receipt, &receipt.Partitions[i])
	}
	receipt.Matches = receipt.Matches && receipt.Planned == receipt.Read && receipt.Planned == receipt.Produced && receipt.Planned == receipt.ReadBack
	if !receipt.Matches {
		return receipt, nil
	}
	body, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("encode the list of files: %w", err)
	}
	sum := schema.Digest(sha256.Sum256(body))
	receipt.Files = &sum
	return receipt, a.keepByContent(ctx, filesKey(a.claim.id), body)
}

// back yields the records of a lane's parts, and lists these.
func (a *attempt) back(ctx context.Context, l *lane, parts []filePart, list *fileList) iter.Seq2[*schema.Record, error] {
	return func(yield func(*schema.Record, error) bool) {
		for _, p := range parts {
			body, _, err := a.store.Get(ctx, p.key, p.size)
			if err != nil {
				yield(nil, fmt.Errorf("read back %s: %w", p.key, err))
				return
			}
			n := int64(0)
			for record, err := range recordsOf(ctx, a.doc.File, body) {
				if err == nil && (record.Topic != l.topic.Source || record.TopicID != l.topic.TopicID || record.Partition != l.stream.Partition) {
					err = schema.Errorf(schema.Corrupt, "it has a record of %s/%d (%s)", record.Topic, record.Partition, record.TopicID)
				}
				if err != nil {
					yield(nil, fmt.Errorf("read back %s: %w", p.key, err))
					return
				}
				n++
				if !yield(record, nil) {
					return
				}
			}
			if n != p.records {
				yield(nil, schema.Errorf(schema.Corrupt, "read back %s: it has %d records", p.key, n))
				return
			}
			list.Files = append(list.Files, fileEntry{
				Key: p.key, SHA256: sha256.Sum256(body), Bytes: int64(len(body)), Records: n,
				Topic: l.topic.Source, TopicID: l.topic.TopicID, Partition: l.stream.Partition, From: p.first, Next: p.next,
			})
		}
	}
}
