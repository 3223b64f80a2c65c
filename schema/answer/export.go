package answer

import "time"

// ExportRequest is a trace, or topics with a time range. The zero time is no
// bound.
type ExportRequest struct {
	TraceID  string
	Topics   []string
	From, To time.Time // record timestamps; To is exclusive
	Case     string    // the asker's own identifier, for bag-info.txt
}
