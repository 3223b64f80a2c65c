package kafka

import (
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/fx-risk-ai/annals/schema"
)

// maxGroups bounds the consumer groups whose offsets are asked for.
const maxGroups = 2000

// Consumers gives the consumer groups that have committed an offset of a topic,
// by topic, in order; groups that the user may not Describe are not among them,
// and are counted. Permission where none may be listed; Exhausted where there are
// more than can be asked.
func (a *Admin) Consumers(ctx context.Context) (byTopic map[string][]string, hidden int, err error) {
	listed, err := a.admin.ListGroups(ctx)
	switch {
	case errors.Is(err, kerr.ClusterAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed):
		return nil, 0, schema.Errorf(schema.Permission, "list consumer groups: %w", err)
	case err != nil:
		return nil, 0, unavailable("list consumer groups", err)
	}
	names := listed.Groups()
	if len(names) > maxGroups {
		return nil, 0, schema.Errorf(schema.Exhausted, "there are %d consumer groups; the offsets of %d at most are asked for", len(names), maxGroups)
	}
	byTopic = map[string][]string{}
	if len(names) == 0 {
		return byTopic, 0, nil
	}
	for group, fetched := range a.admin.FetchManyOffsets(ctx, names...) {
		if fetched.Err != nil {
			hidden++
			continue
		}
		for topic, partitions := range fetched.Fetched {
			for _, o := range partitions {
				if o.At >= 0 {
					byTopic[topic] = append(byTopic[topic], group)
					break
				}
			}
		}
	}
	for topic := range byTopic {
		slices.Sort(byTopic[topic])
	}
	return byTopic, hidden, nil
}
