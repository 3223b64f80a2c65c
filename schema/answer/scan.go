package answer

// ScanRequest asks for records by what is in their bytes.
type ScanRequest struct {
	Query string // as it is typed; at least one term that the index cannot answer, or any
	Limit int    // records found after which to stop; 0: as many as whoever answers sees fit
}

// ScanProgress is how much of what is in range was read. Records and bytes are
// those of whole segments, as they are stored; of the one that is being read, in
// proportion.
type ScanProgress struct {
	Segments, OfSegments int
	Records, OfRecords   int64
	Bytes, OfBytes       int64
}

// The reasons for which a scan ends before everything in range was read.
const (
	StoppedByLimit = "limit" // as many were found as were asked for
	StoppedByBytes = "bytes" // the configuration allows no more
	StoppedByTime  = "time"
)

// Scan is how a scan ended.
type Scan struct {
	ScanProgress
	Found   int
	Stopped string // "": everything in range was read
	// Unsealed are records that are indexed and not sealed yet: they are in no
	// segment and were not read. -1: the index does not answer.
	Unsealed int64
	// Opaque are the records that a term with a JSON Pointer could not look into,
	// because their values are no JSON.
	Opaque int64
	// Withheld are those of which policy withholds a part that a term asks for.
	Withheld int64
	Unknown  []UnknownTopic
}
