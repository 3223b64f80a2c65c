package segment

// Columns chooses what a reader fetches and decodes. Offset, topic, topic ID,
// partition and branch are always there.
type Columns uint8

// The groups of columns.
const (
	Times     Columns = 1 << iota // timestamp and its type
	Broker                        // leader epoch, producer ID and epoch, status
	Payload                       // key, value, headers
	Extracted                     // everything in Row.X
	Status                        // of Broker the status alone
	fixed                         // what the footer says too, and the proof columns

	always Columns = 0
	// All is every group a caller can ask for.
	All = Times | Broker | Payload | Extracted | Status
)
