// Package failure reads what frameworks write onto a record that they could not
// process when they copy it to a dead letter topic: where it stood, what went
// wrong, and who gave up. It says which failures are alike, and what the record
// was before.
//
// # What it promises
//
// [Of] never fails: what the headers do not say is empty, and what they say and
// cannot be read is in Problem. Text is bounded, and valid UTF-8. The same failure
// has the same [Signature] in every process and version; changing the rules is
// changing signatureVersion.
//
// # What it does not
//
// It does not tell whether a topic is one of dead letters: that a header of a
// framework is there, does. It does not guess where a record without coordinates
// came from.
//
// # Where to look
//
//	dialect.go    the headers, by framework
//	failure.go    what they say of a record
//	signature.go  which failures are alike
//	restore.go    the record's headers as they were before
//
// Sources: Spring for Apache Kafka (KafkaHeaders, DeadLetterPublishingRecoverer,
// RetryTopicHeaders), Spring Cloud Stream's Kafka binder, Kafka Connect (KIP-298),
// Kafka Streams (KIP-1034), the error handlers of bakdata's kafka-error-handling,
// and docs/formats/dead-letters.md for Annals' own.
//
// All functions are safe for concurrent use.
package failure
