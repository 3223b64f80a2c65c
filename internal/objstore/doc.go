// Package objstore is the one client for S3-compatible object storage, over
// minio-go. Everything durable in Annals goes through a [Store].
//
// # What a Store promises
//
// Durability: a write that returned nil is as durable as the store makes an
// answered PUT. Nothing is buffered here and nothing is written in parts: an
// object appears whole or not at all.
//
// Integrity: every write carries the SHA-256 of its bytes, twice: as the
// payload hash that the request's signature covers, and as a checksum that the
// store verifies and keeps. A store that received other bytes refuses them: of
// bytes whose hash is made here that is damage on the way, and passes
// ([schema.Unavailable]); of a hash that the caller gave the error is
// [schema.Corrupt]. Reads of whole objects are held against that
// checksum where the store sends it back, all reads against the announced
// length; whoever knows an object's hash still compares it himself.
//
// Consistency: what the store gives. Annals needs read-after-write and
// list-after-write consistency and atomic conditional writes, which Amazon S3
// documents; stores that call themselves compatible do not all have them.
//
// Retries: reads, lists, deletes and unconditional writes are repeated here, at
// most [MaxAttempts] times, with growing pauses and jitter, on refusals that
// pass (5xx, 429, lost connections, cut answers). The conditional writes,
// [Store.PutIfAbsent] and [Store.PutIfMatch], are sent once: repeating them
// blindly would turn one's own success into somebody else's (412). Their
// outcome is one of: written (nil), refused ([ErrExists], [ErrChanged]),
// collided and not written ([ErrBusy]), or unknown ([ErrUncertain]). Proxies
// and stores may repeat a request on their own, so even a 412 is no proof that
// somebody else wrote: compare what is there with what was sent.
//
// Deadlines: one attempt has [Options.Timeout] plus a second for every MiB it
// moves. A context that ends sooner wins.
//
// # Errors
//
//	schema.NotFound     no such object, or no such bucket
//	schema.Conflict     ErrExists, ErrChanged
//	schema.Permission   401, 403: wrong keys or missing rights
//	schema.Exhausted    the store is full (ErrFull: 507, "no space left", quota),
//	                    or the object is larger than the caller's limit
//	schema.Corrupt      the checksum of what was read, or of what PutFile was
//	                    given, does not fit, or an object is shorter than it
//	                    should be
//	schema.Invalid      a key that no store takes
//	schema.Unavailable  no answer, or 5xx, 429, 409 (ErrBusy, ErrUncertain)
//	schema.Internal     everything else
//
// A context's own error stays visible to errors.Is.
//
// # Concurrency
//
// A Store is safe for concurrent use and starts no goroutines of its own. It
// bounds nothing across calls: how much is in flight is the caller's.
//
// # Where to look
//
//	store.go    Options, Open, bucket
//	key.go      the archive's prefix, which keys are taken
//	write.go    Put, PutFile, the conditional writes, Delete
//	read.go     Get, GetRange, ReaderAt, Stat
//	list.go     List, Folders
//	attempt.go  deadlines, retries, jitter
//	error.go    kinds of error
//	metrics.go  collectors
//	race.go     writers that meet on one key
//	probe*.go   whether a store can be relied on, for annals doctor and the archiver's start
package objstore
