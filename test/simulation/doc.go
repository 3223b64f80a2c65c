// Package simulation is the archiver in virtual time: whole histories of a
// cluster, with rebalances, leader moves, crashes and faults, each drawn from a
// seed. It holds tests alone, and nothing imports it.
//
// # What runs
//
// The real archiver, ledger, segments, S3 client and Kafka client in one
// testing/synctest bubble, where minutes and nights pass as fast as everybody
// sleeps. Brokers are kfake on its virtual network. Real sockets keep a bubble's
// clock from moving, so the store is an S3 bucket in memory that the S3 client
// has for a transport (s3_test.go; objstoretest.Accept holds it to what every
// store must do) and the index is a set of rows and commits.
//
// A seed draws topics, two or three archivers in one group, plain, idempotent
// and interleaved transactional producers, and then what happens: leader moves,
// broker restarts, unclean elections (the brokers' data is set back to an
// earlier copy, under leader epochs that nobody had), deleted records, topics
// deleted and created again, archivers that start, stop, are killed or are cut
// off for minutes and come back, nights of a day or more after which days are
// compacted and collected, archivers that sleep through such a night between a
// segment and its commit, holds that take a seq; and 14 faults of the store, slow
// answers, late requests, errors of the brokers and of the index.
//
// A third of the seeds have a spool, on the real disk (disk_test.go): bits of it
// flip, files are cut, exchanged and deleted, cannot be created, the folder goes,
// and a killed archiver's files are what the next one finds. Every run has besides
// twelve histories that end in a drill of the spool alone, whatever its seeds are,
// and fails if no frame was written, read back, refused, damaged or left without
// room; a run of one seed or one drill says what it leaves undecided. When all is
// archived nothing may be held in a spool, and whoever ends leaves no file.
//
// Six seeds in ten end in a drill (drill_test.go): the shortest way, most of them
// the model's, to where one rule is all that stands before a wrong archive, such as
// a log that loses what an archiver has buffered, or two of them that compact the
// same. Chance comes there too seldom. ANNALS_DRILL=… has every seed end in the one
// whose name has that in it; with a bug none of the seeds is left out then, so that
// the share of them that find it is seen.
//
// # What must hold
//
// In the end all faults cease, and within 15 minutes of virtual time everything
// is archived and indexed, what was archived of deleted topics too. Then each
// chain is held, object by object, against the logs as a client of the
// simulation's own read them: every offset is one row, byte for byte, with the
// verdict of the marker that followed it, or a gap that was deleted; superseded
// rows were in a log that was lost; what producers were told is there, is; a
// reader finds what it looked up (verify_test.go).
//
// # Seeds
//
// Seeds 1 to 200, with ANNALS_TEST_LONG=1 to 10,000; ANNALS_FROM=m ANNALS_SEEDS=n
// are n seeds from m on. A seed that fails prints its number and what happened.
// ANNALS_SEED=n lives through that one again, with the archivers' logs. What the
// script does is a function of the seed; in which order goroutines run that are
// ready in the same moment is not, so a seed that fails on such an order may take
// several runs to fail again. A run whose -timeout is nearly over begins no more
// seeds, and fails, with how many it lived through.
//
//	go test -tags synctests ./test/simulation -run TestSeeds
//
// All 10,000 take hours, and no longer than -timeout says.
//
//	ANNALS_TEST_LONG=1 go test ./test/simulation -run TestSimulation -timeout 6h
//
// The tag makes the Kafka client wait on channels instead of mutexes, which
// would keep the clock from moving too; TestSimulation builds with it.
//
// # Bugs
//
// TestBugsAreFound, with ANNALS_TEST_LONG=1, breaks the code where the model in
// test/model is broken, and in what the model leaves out, the index and the spool,
// and expects each found within 200 seeds; it prints by which. It says of some why
// there is no such code to break, or where else it is broken.
//
// # What is not
//
// Compacted topics; replicas that lag by partition: an unclean election is one
// of all partitions at once. kfake forgets group members when it is restarted,
// so in half of the seeds another kfake coordinates the group; in the others an
// unclean election takes the partitions from their owners. Queries, replays, the
// transparency log.
package simulation
