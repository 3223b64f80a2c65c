package model

// config is one run: what there is, and how often each fault may happen. Small
// enough to be searched to its end.
type config struct {
	name    string
	long    bool   // only with ANNALS_TEST_LONG
	offsets uint8  // how long a log may become
	logs    []rows // the leader's log at the beginning, one run for each
	others  []rows // the other replica's; each with each log
	kinds   []row  // what producers write behind it
	// Budgets.
	elections, deletions, crashes            uint8
	holds, purges, compacts, collects, reads uint8
	ends                                     uint8
	returns                                  bool // a topic whose chain has ended is there again
	requests                                 int  // on their way at once
	slowUploads                              bool // segments travel as requests too
	tailsOn                                  bool // a writer reads on while it seals
}

// written is a log of epoch 1.
func written(kinds ...row) (l rows) {
	for o, k := range kinds {
		l[o] = entry(k, 1)
	}
	return l
}

var (
	alone = []rows{{}}
	two   = []rows{written(plain, plain)}
	three = []rows{written(plain, plain, plain)}
)

var configs = []config{
	{name: "core", offsets: 2, logs: two, others: alone, crashes: 1, requests: 3, slowUploads: true, tailsOn: true},
	{name: "longer", offsets: 4, logs: []rows{written(plain, plain, plain, plain)}, others: alone, crashes: 1, requests: 2, tailsOn: true},
	{name: "retention", offsets: 3, logs: three, others: alone, crashes: 1, requests: 2, deletions: 2},
	{
		name: "transactions", offsets: 4, others: alone, crashes: 1, requests: 2,
		logs: []rows{
			written(inTxn, plain, commitMark, plain), written(plain, inTxn, abortMark, inTxn),
			written(inTxn, abortRaised, inTxn), written(inTxn, inTxn, commitRaised), written(inTxn, abortMark, plain),
		},
	},
	{
		name: "divergence", offsets: 2, logs: two, others: []rows{{}, written(plain)}, kinds: []row{plain},
		elections: 2, crashes: 1, requests: 2, tailsOn: true,
	},
	{
		name: "one divergence", offsets: 2, logs: two, others: alone, kinds: []row{plain},
		elections: 1, crashes: 1, requests: 1, tailsOn: true,
	},
	{
		name: "branch point", offsets: 3, logs: three, others: []rows{{}, written(plain)}, kinds: []row{plain},
		elections: 1, requests: 1,
	},
	{
		name: "verdicts", offsets: 3, logs: []rows{written(inTxn, commitMark)}, others: []rows{written(inTxn)},
		kinds: []row{plain, abortMark}, elections: 1, requests: 1,
	},
	{
		name: "retention and transactions", offsets: 4, logs: []rows{written(inTxn, abortMark, inTxn, commitMark)}, others: alone,
		deletions: 3, requests: 1,
	},
	{
		name: "retention and divergence", offsets: 2, logs: two, others: []rows{{}, written(plain)}, kinds: []row{plain},
		elections: 1, deletions: 2, requests: 1,
	},
	{
		name: "marker of an older epoch", offsets: 2, logs: []rows{written(inTxn, abortMark)}, others: []rows{written(inTxn)},
		kinds: []row{commitMark}, elections: 2, crashes: 1, requests: 1,
	},
	{name: "compaction", offsets: 2, logs: two, others: alone, requests: 1, compacts: 1, collects: 1, reads: 1},
	{name: "compaction twice", offsets: 3, logs: three, others: alone, requests: 1, compacts: 2, reads: 1},
	{name: "compaction and divergence", offsets: 2, logs: two, others: alone, kinds: []row{plain}, elections: 1, requests: 1, compacts: 1},
	{
		name: "collection and divergence", offsets: 1, logs: []rows{written(plain)}, others: alone, kinds: []row{plain},
		elections: 1, crashes: 1, requests: 1, collects: 1,
	},
	{name: "purge", offsets: 2, logs: two, others: alone, crashes: 1, requests: 1, holds: 1, purges: 1, compacts: 1, reads: 1},
	{
		name: "end", offsets: 2, logs: two, others: []rows{{}, written(plain)}, kinds: []row{plain},
		elections: 1, crashes: 1, requests: 2, holds: 1, ends: 1,
	},
	{name: "end and return", offsets: 2, logs: two, others: alone, crashes: 1, requests: 1, ends: 1, returns: true},
	{name: "end and compaction", offsets: 2, logs: two, others: alone, requests: 1, compacts: 1, reads: 1, ends: 1},

	{name: "core, three crashes", long: true, offsets: 3, logs: three, others: alone, crashes: 3, requests: 3, slowUploads: true, tailsOn: true},
	{
		name: "branch point and crash", long: true, offsets: 3, logs: three, others: []rows{{}, written(plain)}, kinds: []row{plain},
		elections: 1, crashes: 1, requests: 2, tailsOn: true,
	},
	{
		name: "verdicts of two transactions", long: true, offsets: 3, logs: []rows{written(inTxn, commitMark), written(inTxn, plain, abortMark)},
		others: []rows{{}, written(inTxn)}, kinds: []row{plain, inTxn, commitMark, abortMark}, elections: 1, requests: 1,
	},
	{name: "collection and divergence of two", long: true, offsets: 2, logs: two, others: alone, kinds: []row{plain}, elections: 1, requests: 1, collects: 1},
	{name: "upkeep and divergence", long: true, offsets: 2, logs: two, others: alone, kinds: []row{plain}, elections: 1, requests: 1, compacts: 1, purges: 1},
	{
		name: "verdicts and crash", long: true, offsets: 3, logs: []rows{written(inTxn, commitMark)}, others: []rows{written(inTxn)},
		kinds: []row{plain, abortMark}, elections: 1, crashes: 1, requests: 2,
	},
	{name: "two purges", long: true, offsets: 2, logs: two, others: alone, crashes: 1, requests: 1, holds: 1, purges: 2, compacts: 1, reads: 1},
	{name: "purge and collection", long: true, offsets: 2, logs: two, others: alone, requests: 1, holds: 1, purges: 1, compacts: 1, collects: 1},
	{name: "compaction and crash", long: true, offsets: 2, logs: two, others: alone, crashes: 1, requests: 1, holds: 1, compacts: 1, collects: 1, reads: 1},
}

func named(name string) config {
	for _, c := range configs {
		if c.name == name {
			return c
		}
	}
	panic("no configuration is called " + name)
}
