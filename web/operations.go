package web

import (
	"fmt"

	"github.com/fx-risk-ai/annals/schema"
)

// operations implements the API. Requests were held against the document; what
// it cannot say is checked here.
type operations struct {
	services Services
	options  Options
	leaving  <-chan struct{} // closed when the server stops
}

// elsewhere is the answer of a process that does not play the role that is
// asked for.
func elsewhere(what, command string) error {
	return schema.WithHint(schema.Errorf(schema.Conflict, "this process does not %s", what),
		fmt.Sprintf("ask the process that runs %s, or annals up", command))
}

// parseID reads a topic ID that may be left out.
func parseID(text *string) (*schema.TopicID, error) {
	if text == nil {
		return nil, nil
	}
	id, err := schema.ParseTopicID(*text)
	if err != nil {
		return nil, schema.InvalidField("topic_id", "%w", err)
	}
	return &id, nil
}

// value is what a pointer points to, or zero.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
