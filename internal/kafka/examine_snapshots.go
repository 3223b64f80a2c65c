package kafka

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/fx-risk-ai/annals/internal/doctor"
	"github.com/fx-risk-ai/annals/schema"
)

// anyGroup is the name of a group that nobody has: what is asked of it is the right to
// Describe groups of any name.
const anyGroup = "annals-doctor-any-group"

// snapshots asks for what snapshots are of: what groups have committed, and the topics'
// access rules.
func (e *examination) snapshots(ctx context.Context) doctor.Check {
	if !e.Snapshots {
		return doctor.Well(doctor.KafkaSnapshots, "none are taken (archive.snapshots.interval is 0)")
	}
	_, err := e.admin.admin.FetchOffsets(ctx, anyGroup)
	switch {
	case isAny(err, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed):
		return doctor.Ill(doctor.KafkaSnapshots, doctor.Warning, "grant Describe on all groups, or on those whose offsets are to be found later; where one of them is enough, this stays a warning",
			"what consumer groups of any name have committed may not be read: snapshots have those alone that this user may Describe, and count no others")
	case err != nil && !errors.Is(err, kerr.GroupIDNotFound):
		return doctor.Ill(doctor.KafkaSnapshots, doctor.Indeterminate, "run annals doctor again; a group needs its coordinator, and that the topic __consumer_offsets", "offsets of a group: %v", unavailable("fetch offsets", err))
	}
	_, err = e.admin.TopicACLs(ctx)
	switch schema.KindOf(err) {
	case schema.Permission:
		return doctor.Ill(doctor.KafkaSnapshots, doctor.Warning, "grant Describe on the cluster", "what consumer groups have committed may be read; the topics' access rules may not: %v", err)
	case schema.Conflict:
		return doctor.Well(doctor.KafkaSnapshots, "what consumer groups have committed may be read; the cluster has no access rules")
	}
	if err != nil {
		return doctor.Ill(doctor.KafkaSnapshots, doctor.Indeterminate, "run annals doctor again", "%v", err)
	}
	return doctor.Well(doctor.KafkaSnapshots, "what consumer groups have committed, and the topics' access rules, may be read")
}
