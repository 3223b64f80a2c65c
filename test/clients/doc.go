// Package clients tries a running `annals up` with clients that are not ours
// and not written in Go: the AWS SDK reads the archive, kafkajs reads a topic
// with SCRAM, ClickHouse's own client counts the index.
//
// It holds tests alone. The clients are npm packages, pinned by
// package-lock.json and installed once into the user's cache folder; without
// Node, npm or a registry the tests are skipped, with the reason.
package clients
