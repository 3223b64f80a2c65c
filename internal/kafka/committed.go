package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/fx-risk-ai/annals/schema"
)

// Committed is what a consumer group has committed: by topic and partition the next
// offset to read.
type Committed map[string]map[int32]int64

// AllCommitted gives what the groups have committed that may be Described and have
// committed something, at most so many, in the order of their names; hidden are those
// that may not be, leftOut those beyond. Permission where none may be listed.
func (a *Admin) AllCommitted(ctx context.Context, most int) (byGroup map[string]Committed, hidden, leftOut int, err error) {
	listed, err := a.admin.ListGroups(ctx)
	switch {
	case errors.Is(err, kerr.ClusterAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed):
		return nil, 0, 0, schema.Errorf(schema.Permission, "list consumer groups: %w", err)
	case err != nil:
		return nil, 0, 0, unavailable("list consumer groups", err)
	}
	names := listed.Groups()
	if len(names) > most {
		names, leftOut = names[:most], len(names)-most
	}
	byGroup = map[string]Committed{}
	if len(names) == 0 {
		return byGroup, 0, leftOut, nil
	}
	for group, fetched := range a.admin.FetchManyOffsets(ctx, names...) {
		if fetched.Err != nil {
			hidden++
			continue
		}
		if c := committedOf(fetched.Fetched); len(c) > 0 {
			byGroup[group] = c
		}
	}
	return byGroup, hidden, leftOut, nil
}

func committedOf(fetched kadm.OffsetResponses) Committed {
	c := Committed{}
	for topic, partitions := range fetched {
		for partition, o := range partitions {
			if o.Err != nil || o.At < 0 {
				continue
			}
			if c[topic] == nil {
				c[topic] = map[int32]int64{}
			}
			c[topic][partition] = o.At
		}
	}
	return c
}

// CommittedBy gives what one group has committed, and its state in Kafka's words; a
// group that there is not has committed nothing and is Dead.
func (a *Admin) CommittedBy(ctx context.Context, group string) (c Committed, state string, err error) {
	described, err := a.admin.DescribeGroups(ctx, group)
	if err == nil {
		err = described[group].Err
	}
	if errors.Is(err, kerr.GroupIDNotFound) {
		return Committed{}, "Dead", nil
	}
	if err != nil {
		return nil, "", groupError("describe", group, err)
	}
	fetched, err := a.admin.FetchOffsets(ctx, group)
	if err != nil {
		return nil, "", groupError("fetch the offsets of", group, err)
	}
	return committedOf(fetched), described[group].State, nil
}

// Commit commits offsets for a group that has no member. Conflict: it has one; the
// broker itself refuses then, so that a member that joins meanwhile is not overruled.
func (a *Admin) Commit(ctx context.Context, group string, c Committed) error {
	described, err := a.admin.DescribeGroups(ctx, group)
	if err == nil {
		err = described[group].Err
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return groupError("describe", group, err)
	}
	if d := described[group]; err == nil && (len(d.Members) > 0 || !strings.EqualFold(d.State, "Empty") && !strings.EqualFold(d.State, "Dead")) {
		return active(group, fmt.Errorf("it is %s with %d members", d.State, len(d.Members)))
	}
	offsets := kadm.Offsets{}
	for topic, partitions := range c {
		for partition, at := range partitions {
			offsets.AddOffset(topic, partition, at, -1)
		}
	}
	err = a.admin.CommitAllOffsets(ctx, group, offsets)
	if errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.IllegalGeneration) {
		return active(group, err)
	}
	if err != nil {
		return groupError("commit offsets of", group, err)
	}
	return nil
}

func active(group string, err error) error {
	return schema.WithHint(schema.Errorf(schema.Conflict, "consumer group %s is active: %w", group, err), "stop its consumers, and try again")
}

func groupError(doing, group string, err error) error {
	if errors.Is(err, kerr.GroupAuthorizationFailed) || errors.Is(err, kerr.TopicAuthorizationFailed) {
		return schema.WithHint(schema.Errorf(schema.Permission, "%s consumer group %s: %w", doing, group, err), "grant Describe, and to commit Read, on the group, and Read on its topics")
	}
	return unavailable(doing+" consumer group "+group, err)
}

// TopicACLs gives the access rules of topics. Permission where they may not be asked
// for; Conflict where the cluster has no authorizer.
func (a *Admin) TopicACLs(ctx context.Context) ([]schema.TopicACL, error) {
	ask := kadm.NewACLs().Topics().Allow().AllowHosts().Deny().DenyHosts().Operations().ResourcePatternType(kadm.ACLPatternAny)
	found, err := a.admin.DescribeACLs(ctx, ask)
	var list []schema.TopicACL
	seen := map[schema.TopicACL]bool{}
	for i := range found {
		if err == nil {
			err = found[i].Err
		}
		for _, d := range found[i].Described {
			acl := schema.TopicACL{
				Resource: d.Name, Pattern: d.Pattern.String(), Principal: d.Principal, Host: d.Host,
				Operation: d.Operation.String(), Permission: d.Permission.String(),
			}
			if !seen[acl] {
				seen[acl] = true
				list = append(list, acl)
			}
		}
	}
	switch {
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		return nil, schema.Errorf(schema.Permission, "describe ACLs: %w", err)
	case errors.Is(err, kerr.SecurityDisabled):
		return nil, schema.Errorf(schema.Conflict, "describe ACLs: %w", err)
	case err != nil:
		return nil, unavailable("describe ACLs", err)
	}
	return list, nil
}
