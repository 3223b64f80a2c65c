// Package embedded runs the engines that the user does not bring: Kafka, S3
// and ClickHouse, each behind its real protocol on a loopback port, so that
// kcat, an S3 client or a ClickHouse client can connect too.
//
// # What it promises
//
//   - Every engine asks for credentials: random ones, made once for a data
//     directory and kept there in a file of mode 0600. Loopback is not a
//     border: any page in a browser can send bytes to it. So Kafka's requests
//     are checked before the broker sees them, and no engine listens on any
//     other address.
//   - What was acknowledged survives a kill -9 of everything. Kafka syncs each
//     batch; S3 answers a change only after a syncfs(2) that began after it,
//     one for all that wait, and hands out no object before that sync. After a
//     failed sync it takes nothing more until it is opened again.
//   - Of writers that create the same object with If-None-Match: *, or replace
//     the same version with If-Match, exactly one succeeds.
//   - Addresses, cluster ID, topic IDs and data are the same after a restart.
//   - The process's working directory does not matter and is not changed.
//   - Connections, request sizes and waits are bounded.
//
// # What it does not
//
//   - It is for one machine, for trying Annals out and for tests. Kafka has one
//     node. Consumer offsets that belong to a transaction may be lost if the
//     broker is killed in the instant of the commit (see recoverTransactions).
//     DeleteRecords may be undone by a kill, as after an unclean election. A
//     group's rebalance lasts no longer than its members' sessions.
//   - S3 is a directory, so an object cannot be named like another's folder
//     ("a" beside "a/b"), nor a part of a key between slashes be longer than
//     255 bytes. Copies on the server, versions and users are not implemented.
//     It needs Linux and a file system with extended attributes.
//   - One S3 gateway per process: its library keeps global state.
//
// # Concurrency
//
// All methods of [Kafka], [S3] and [ClickHouse] may be called concurrently.
// The Start functions return when the engine answers; their goroutines end
// with Close.
//
// # Files
//
//	kafka.go, kafka_guard.go            the broker; the check of foreign bytes
//	kafka_groups.go                     members are answered before they are forgotten
//	kafka_recover.go, kafka_scan.go,
//	kafka_producers.go                  transactions left open by a kill
//	kafka_prepared.go                   commits that a kill cut in two
//	s3.go, proxy.go                     the gateway and the port before it
//	rooted.go, rooted_object.go         the file backend without a working directory
//	durable.go, durable_backend.go      group sync; what waits for it
//	s3_torn.go                          what a loss of power left in part
//	clickhouse*.go                      ClickHouse in a supervised child process
//	credentials.go, upfile.go, lock.go  secrets, up.json, one process a directory
//	listen.go, files.go, syncfs_*.go    loopback listeners, atomic files, syncfs
package embedded
