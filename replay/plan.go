package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Plan resolves a selection into exact segments, counts and bytes, checks the
// targets, and keeps the plan. Nothing is produced. Planning the same again
// gives the plan that is there.
//
// Errors: Invalid names the field, and of a filter the character, or says what was
// searched when nothing is selected; Permission where a filter looks into what
// policy withholds; NotFound for a topic or trace that the principal may not see or
// that is not there; Conflict when a target may not be written or records are
// not sealed yet; Corrupt names the segment that is missing or damaged;
// Exhausted when the selection is too large to be one plan.
func (s *Service) Plan(ctx context.Context, who policy.Principal, request answer.ReplayRequest) (*answer.ReplayPlan, error) {
	if err := typed(&request, time.Now()); err != nil {
		return nil, err
	}
	if err := check(&request); err != nil {
		return nil, err
	}
	r := &resolver{service: s, who: who, request: request, named: newSchemasNamed(s.options.Extract)}
	d, err := r.resolve(ctx)
	if err != nil {
		return nil, fmt.Errorf("plan replay: %w", err)
	}
	raw, id, err := d.encode()
	if err != nil {
		return nil, err
	}
	if len(raw) > maxPlanBytes-(1<<20) {
		return nil, schema.WithHint(schema.Errorf(schema.Exhausted, "plan replay: the plan takes %d bytes, at most %d", len(raw), maxPlanBytes-(1<<20)),
			"narrow the time range, name fewer topics, or let the filter choose fewer records")
	}
	targets, notes, err := s.targetsOf(ctx, d, id)
	if err != nil {
		return nil, fmt.Errorf("plan replay: %w", err)
	}
	configs, err := s.configsOf(ctx, d, targets)
	if err != nil {
		return nil, fmt.Errorf("plan replay: %w", err)
	}
	if d.spreads() && d.Redrive == nil && !request.ProvenanceHeaders {
		notes = append(notes, "headers that name the original record are added: by them a replay that chooses partitions is checked")
	}
	object := &planObject{
		Format: d.format(), ID: id, Created: time.Now().UTC().Format(time.RFC3339Nano),
		Warnings: r.warningsOf(notes), Oversized: r.oversized, Untold: r.sieve.untold(), Plan: raw,
	}
	kept, err := s.keepPlan(ctx, object)
	if err != nil {
		return nil, fmt.Errorf("plan replay: %w", err)
	}
	// What is said of the targets is as of now, not as of the first planning.
	kept.Warnings, kept.Oversized, kept.Untold = object.Warnings, object.Oversized, object.Untold
	plan, err := summary(kept, d, targets)
	if err != nil {
		return nil, err
	}
	plan.NeedsApproval = s.isApprovalNeeded(&plan.Request, targets)
	plan.EstimatedSeconds = s.estimate(plan.Records, plan.Bytes)
	for i := range plan.Topics {
		t := &plan.Topics[i]
		t.TargetExists, t.TargetConfig = targets[i].Existed, configs[i]
		t.Schemas, t.MoreSchemas = r.named.of(t.Source)
	}
	return plan, nil
}

// targetsOf names and checks a plan's targets. Those of a plan that was run
// already are its job's own: they may exist.
func (s *Service) targetsOf(ctx context.Context, d *document, id string) ([]target, []string, error) {
	st, err := s.loadState(ctx, id)
	if schema.KindOf(err) == schema.NotFound {
		to, err := s.destinationOf(d)
		if err != nil {
			return nil, nil, err
		}
		return to.inspect(ctx, d, id)
	}
	if err != nil {
		return nil, nil, err
	}
	return st.Targets, []string{fmt.Sprintf("this plan was run already, its job is %s: running it again gives that job; another target_prefix makes another one", st.State)}, nil
}

func planKey(id string) string { return schema.ReplayPrefix + id + "/plan.json" }

// keepPlan writes the plan unless it is there, and returns the one that is.
func (s *Service) keepPlan(ctx context.Context, object *planObject) (*planObject, error) {
	body, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	pauses := retry.Between(200*time.Millisecond, 2*time.Second)
	for attempt := 1; ; attempt++ {
		_, err := s.store.PutIfAbsent(ctx, planKey(object.ID), body)
		switch {
		case err == nil:
			return object, nil
		case errors.Is(err, objstore.ErrExists):
			there, _, err := s.loadPlan(ctx, object.ID)
			if err != nil {
				return nil, err
			}
			if !bytes.Equal(there.Plan, object.Plan) {
				return nil, schema.Errorf(schema.Corrupt, "plan %s is kept with other content", object.ID)
			}
			return there, nil
		case attempt == 5 || !errors.Is(err, objstore.ErrBusy) && !errors.Is(err, objstore.ErrUncertain):
			return nil, err
		}
		if err := pauses.Wait(ctx); err != nil {
			return nil, err
		}
	}
}

func (s *Service) loadPlan(ctx context.Context, id string) (*planObject, *document, error) {
	if !isID(id) {
		return nil, nil, schema.InvalidField("id", "%.80q is no plan's ID: want 64 lower-case hex digits", id)
	}
	raw, _, err := s.store.Get(ctx, planKey(id), maxPlanBytes)
	if schema.KindOf(err) == schema.NotFound {
		return nil, nil, schema.WithHint(schema.Errorf(schema.NotFound, "no plan %s", id), "make one with annals replay plan")
	}
	if err != nil {
		return nil, nil, err
	}
	return parsePlan(raw, id)
}

func isID(id string) bool {
	var d schema.Digest
	return d.UnmarshalText([]byte(id)) == nil
}

// summary is the plan as callers see it.
func summary(o *planObject, d *document, targets []target) (*answer.ReplayPlan, error) {
	created, err := time.Parse(time.RFC3339Nano, o.Created)
	if err != nil {
		return nil, schema.Errorf(schema.Corrupt, "plan %s: %w", o.ID, err)
	}
	p := &answer.ReplayPlan{
		ID: o.ID, Created: created, Request: d.request(), Warnings: o.Warnings, Oversized: o.Oversized, Untold: o.Untold, Redrive: d.Redrive,
		TargetClusterID: d.ClusterID,
	}
	for i := range d.Topics {
		t := &d.Topics[i]
		records, size, segments := t.totals()
		p.Topics = append(p.Topics, answer.ReplayTopic{
			Cluster: t.Cluster, Source: t.Source, TopicID: t.TopicID, Target: targets[i].Name, Partitions: int(d.spreadOf(t).partitions), Records: records, Bytes: size,
		})
		p.Records, p.Bytes, p.Segments = p.Records+records, p.Bytes+size, p.Segments+segments
	}
	if first, last, known := d.span(); known {
		p.From, p.To = time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC()
	}
	return p, nil
}
