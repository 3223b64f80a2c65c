// Package kafka is the one place that talks to Kafka on Annals' behalf.
//
// It promises what the commit protocol needs and nothing more: records exactly
// as the broker served them, control records included, read uncommitted, from
// offsets that the caller gives and never from Kafka's own; errors surfaced
// instead of resets; topic IDs (KIP-516) with every batch; a transactional
// producer whose position travels in the same transaction as the records.
//
// It does not decide anything: which transaction committed, where a segment is
// cut and what is archived is package archiver's business.
//
// A Consumer belongs to one goroutine, apart from Close. Admin, Reader and
// Producer are safe for concurrent use.
//
// Where to look:
//
//	options.go     brokers, TLS and SASL, turned into client options
//	token.go       where OAUTHBEARER's tokens come from
//	admin.go       cluster, topics with their IDs, offsets, configurations
//	shared.go      one request for many who ask the same
//	history.go     who leads a partition, where a leader epoch ends, a page of its log
//	gone.go        whether a topic was deleted, by every broker's word
//	vouch.go       which topic a partition's leader has under a name
//	groups.go      which consumer groups read a topic
//	committed.go   what consumer groups have committed, and committing for one
//	consumer.go    the tail: a group member that starts where the ledger says
//	member.go      whether it is a member of its group
//	record.go      the client's records turned into schema records; markers
//	read.go        a bounded range of offsets, once (fresh payloads, read-back)
//	frame.go       a batch as it stands in an answer, and whether it can be decoded
//	unreadable.go  what is kept raw of a batch that cannot be
//	ended.go       how transactions ended whose markers were not read
//	producer.go    the replay's transactional producer
//	sender.go      messages of our own, one by one
//	partition.go   which partition Kafka's clients choose for a key
//	examine*.go    whether a cluster can be archived, for annals doctor
package kafka
