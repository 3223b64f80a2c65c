package failure

import (
	"strings"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
)

// added are the headers that Annals itself puts onto what it produces.
var added = map[string]bool{
	HeaderRedriven:                true,
	extract.HeaderReplayID:        true,
	extract.HeaderSourceTopic:     true,
	extract.HeaderSourceTopicID:   true,
	extract.HeaderSourcePartition: true,
	extract.HeaderSourceOffset:    true,
}

// Restore gives the headers that the record had before it became a dead letter, in
// their order: without what the frameworks write. Those that Annals added when it
// was put back earlier go in any case. It shares the headers' memory, and gives the
// list itself where nothing goes.
func Restore(list []schema.Header, keepFailure bool) []schema.Header {
	kept := make([]schema.Header, 0, len(list))
	for _, h := range list {
		if _, of := meaningOf(h.Name); of && !keepFailure || added[strings.ToLower(h.Name)] {
			continue
		}
		kept = append(kept, h)
	}
	if len(kept) == len(list) {
		return list
	}
	return kept
}
