// Package embedded runs Kafka, S3 and ClickHouse inside or beside the Annals
// process, each behind its real protocol on a loopback port.
package embedded
