package segment

// What the format and this implementation bound. Writer and reader share them:
// nothing is written that would be refused when it is read.
const (
	// MaxField is the largest key, value, or sum of one record's header names
	// or header values, in bytes.
	MaxField = maxPage - 1<<20

	// MaxHeaders is the largest number of headers on one record.
	MaxHeaders = 1 << 22

	// MaxRows is the largest number of rows in one segment, and MaxBytes the
	// largest sum of what they hold: a store takes 5 GiB in one PUT, and footer
	// and page index stay within their bounds.
	MaxRows  = 1 << 26
	MaxBytes = 4 << 30

	// MaxParts is the largest number of parts of one segment.
	MaxParts = 4096

	maxRowGroup   = 1 << 30
	maxPage       = 64 << 20 // uncompressed; a compressed page may be larger by maxZstdGrowth
	maxZstdGrowth = 1 << 20
	maxFooter     = 16 << 20
	maxPageIndex  = 32 << 20
	maxBloom      = 16 << 20
	maxFetch      = 512 << 20 // compressed bytes of one row group held while it is read
)

// How a segment is laid out. Changing these changes no reader.
const (
	defaultRowGroupBytes = 16 << 20
	defaultPageBytes     = 256 << 10 // of value
	minPageBytes         = 16 << 10

	rowGroupRows  = 1 << 16
	pageRows      = 1 << 13
	narrowPage    = 64 << 10  // of every other text or bytes column
	maxDictionary = 64 << 10  // read whole for any one record
	maxStatistic  = 128       // longer minima and maxima are left out
	bloomFPP      = 0.01      // share of segments opened in vain
	zstdLevel     = 1         // klauspost's fastest: of ids in hex it makes less than level 3 does, in half the time
	readAhead     = 128 << 10 // of a segment's end, where footer and page index stand
	readGap       = 256 << 10 // two ranges closer than this are read as one
	readMuch      = 512 << 10 // from here on bytes count more than requests, and the gap is
	readGapOfMuch = 32 << 10
	readParallel  = 4
	readBatch     = 1024 // levels decoded at a time
)
