// Package e2e looks at the real programs from outside: `annals up` with its
// embedded engines and the demo's services, the command line, the API, Kafka
// and the object store, each through its real protocol. One year of exchange
// rates goes in; what comes out is held, byte for byte, against what an
// independent consumer reads from Kafka and an independent library from
// Parquet.
//
// It holds tests alone. They share one instance where they only ask; those
// that kill, cut or fill something start their own. Cases that take minutes
// run with ANNALS_TEST_LONG=1.
package e2e
