package archiver

import (
	"context"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
)

// Violations is what the index knows of records with errors. *index.Index has it.
type Violations interface {
	Violations(ctx context.Context, f index.ViolationFilter, scope index.Scope, limit int) ([]index.Violation, bool, error)
}

// Undecoded are sealed records that name a schema which could not be had when they
// were read (extract.SchemaUnavailable): once it can, a reindex of Topics from
// First on decodes them.
type Undecoded struct {
	Records int64
	Topics  []string  // sorted
	First   time.Time // the earliest of their timestamps
	Cut     bool      // there are more, in topics that may not be among these
}

// FindUndecoded asks the index for them, in topics that are wanted; nil: in all.
func FindUndecoded(ctx context.Context, x Violations, wanted func(topic string) bool) (Undecoded, error) {
	found, more, err := x.Violations(ctx, index.ViolationFilter{Rule: extract.SchemaUnavailable}, index.Scope{All: true}, index.MaxPage)
	u := Undecoded{Cut: more}
	for _, v := range found {
		if v.Rule != extract.SchemaUnavailable || wanted != nil && !wanted(v.Topic) {
			continue // the filter is how a rule begins
		}
		u.Records += v.Records
		u.Topics = append(u.Topics, v.Topic)
		if u.First.IsZero() || v.First.Before(u.First) {
			u.First = v.First
		}
	}
	slices.Sort(u.Topics)
	u.Topics = slices.Compact(u.Topics)
	return u, err
}
