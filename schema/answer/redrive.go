package answer

import "github.com/fx-risk-ai/annals/schema"

// Bounds of a redrive.
const (
	MaxRedriven         = 10_000 // dead letters of one plan
	DefaultRedriveLimit = 3
	MaxRedriveLimit     = 1000
)

// RedriveRequest are dead letters that are to be put back to the topic and partition
// that their headers name.
type RedriveRequest struct {
	Records []RedriveRecord
	// Limit is how often one may have been put back in all; 0 is DefaultRedriveLimit.
	Limit       int
	KeepHeaders bool // what frameworks wrote onto the dead letter stays
	Again       bool // also those of which a copy stands in the original topic already
	SkipRefused bool // what cannot be put back is left out and named; otherwise nothing is planned
}

// RedriveRecord is one dead letter.
type RedriveRecord struct {
	Place
	PutBack *schema.Coordinates // as of DeadRecord
}

// Redrive is what a redrive's plan does to its records.
type Redrive struct {
	Limit       int  `json:"limit"`
	KeepHeaders bool `json:"keep_headers"`
}
