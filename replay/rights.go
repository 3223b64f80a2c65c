package replay

import (
	"context"
	"fmt"
	"strings"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// mayCreate refuses a target that could not be made.
func (s *destination) mayCreate(ctx context.Context, d *document, t *topicPlan, name string) error {
	if largest, _ := t.largest(d); largest > maxRecordBytes {
		return tooLarge(t, d, maxRecordBytes, "any topic")
	}
	n := d.spreadOf(t).partitions
	err := s.cluster.MayCreate(ctx, name, n, -1)
	if schema.KindOf(err) == schema.Permission {
		return schema.WithHint(fmt.Errorf("target topic: %w", err), "grant Create, Write, Read and Describe on it, or have it made with "+fmt.Sprint(n)+" partitions and set allow_existing")
	}
	return err
}

// transactionalID is that of a job's producers.
func transactionalID(job string) string { return "annals-replay-" + job }

// withRights says what to grant where a transactional id may not be used.
func withRights(err error) error {
	if schema.KindOf(err) != schema.Permission {
		return err
	}
	return schema.WithHint(err, "grant Write and Describe on the transactional ids that begin with annals-replay-")
}

// seen refuses a topic that may be there and whose existence the cluster does not tell.
func (s *destination) seen(ctx context.Context, name string) error {
	named, err := s.cluster.Describe(ctx, name)
	if err != nil || len(named) == 0 || named[0].Access != kafka.NoDescribe {
		return err
	}
	return schema.WithHint(schema.Errorf(schema.Permission, "target topic %s: the server lacks Describe on it, and is not told whether it is there", name),
		"a replay produces into it and reads it back: grant Describe, Write and Read, and Create if it is to be made")
}

// writable refuses a topic that the principal may not produce to, or may not
// read back.
func writable(there *kafka.Topic, what string) error {
	var lacks []string
	if there.NoWrite {
		lacks = append(lacks, "Write")
	}
	if there.Access != kafka.MayRead {
		lacks = append(lacks, "Read")
	}
	if lacks == nil {
		return nil
	}
	return schema.WithHint(schema.Errorf(schema.Permission, "%s %s: the server lacks %s on it", what, there.Name, strings.Join(lacks, " and ")),
		"a replay produces into it and reads it back: grant Write, Read and Describe")
}
