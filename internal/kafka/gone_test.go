package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/schema"
)

// TestWhatABrokerSaysOfATopic: only that it knows no topic of the ID, or that the
// name has another, means that the topic is gone; what is hidden or in error is there,
// and what is no answer says nothing.
func TestWhatABrokerSaysOfATopic(t *testing.T) {
	ours, other := schema.TopicID{1}, schema.TopicID{2}
	for name, c := range map[string]struct {
		code    int16
		id      schema.TopicID
		gone    bool
		unknown bool
	}{
		"no such ID":             {kerr.UnknownTopicID.Code, ours, true, false},
		"no such name":           {kerr.UnknownTopicOrPartition.Code, schema.TopicID{}, true, false},
		"the name has another":   {0, other, true, false},
		"it is there":            {0, ours, false, false},
		"it is there, no leader": {kerr.LeaderNotAvailable.Code, ours, false, false},
		"hidden":                 {kerr.TopicAuthorizationFailed.Code, ours, false, false},
		"hidden, by name":        {kerr.TopicAuthorizationFailed.Code, schema.TopicID{}, false, false},
		"no ID":                  {0, schema.TopicID{}, false, true},
		"another error":          {kerr.UnknownServerError.Code, schema.TopicID{}, false, true},
	} {
		answer := &kmsg.MetadataResponse{Topics: []kmsg.MetadataResponseTopic{{ErrorCode: c.code, TopicID: c.id}}}
		if gone, err := saysGone(answer, ours); gone != c.gone || (err != nil) != c.unknown {
			t.Errorf("%s: gone %t, %v", name, gone, err)
		}
	}
	if gone, err := saysGone(&kmsg.MetadataResponse{}, ours); gone || err == nil {
		t.Errorf("no topic in the answer: gone %t, %v", gone, err)
	}
}
